//! The lab as an HTTP client of the AWS SDK, in process.

use std::io;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt as _;

use super::{Lab, TransportFault};

/// Hands the SDK's requests to the lab. No socket is opened, whatever the endpoint says.
#[derive(Debug, Clone)]
pub struct LabHttpClient {
    lab: Lab,
}

impl LabHttpClient {
    pub(super) fn new(lab: Lab) -> Self {
        Self { lab }
    }
}

impl HttpClient for LabHttpClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(LabConnector {
            lab: self.lab.clone(),
            read_timeout: settings.read_timeout(),
        })
    }
}

#[derive(Debug)]
struct LabConnector {
    lab: Lab,
    read_timeout: Option<std::time::Duration>,
}

impl HttpConnector for LabConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let lab = self.lab.clone();
        let read_timeout = self.read_timeout;
        HttpConnectorFuture::new(async move {
            // A request that was sent is carried out although nobody may wait for its answer any more.
            let answer = tokio::spawn(async move { exchange(&lab, request).await });
            let answer = async {
                answer
                    .await
                    .unwrap_or_else(|error| Err(ConnectorError::other(error.into(), None)))
            };
            match read_timeout {
                // The client's patience is its own time, not the lab's.
                Some(limit) => tokio::time::timeout(limit, answer)
                    .await
                    .unwrap_or_else(|_| {
                        Err(ConnectorError::timeout(
                            io::Error::new(
                                io::ErrorKind::TimedOut,
                                "the lab did not answer within the read timeout",
                            )
                            .into(),
                        ))
                    }),
                None => answer.await,
            }
        })
    }
}

async fn exchange(lab: &Lab, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    let (mut parts, body) = request.into_parts();
    // As every client does on its way to a socket; the SDK has signed it.
    let host = parts.uri.authority().map(|host| host.as_str().to_owned());
    if let Some(host) = host.and_then(|host| http::HeaderValue::from_str(&host).ok()) {
        parts.headers.entry(http::header::HOST).or_insert(host);
    }
    let body: Bytes = body
        .collect()
        .await
        .map_err(ConnectorError::user)?
        .to_bytes();
    let response = lab
        .handle(http::Request::from_parts(parts, body))
        .await
        .map_err(|fault| match fault {
            TransportFault::Reset | TransportFault::LostResponse => {
                ConnectorError::io(io::Error::new(io::ErrorKind::ConnectionReset, fault).into())
            }
        })?;
    HttpResponse::try_from(response.map(SdkBody::from))
        .map_err(|error| ConnectorError::other(error.into(), None))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test_support::{lab, request};
    use crate::{Fault, FaultKind};

    async fn call(
        lab: &Lab,
        read_timeout: Option<Duration>,
    ) -> Result<HttpResponse, ConnectorError> {
        let request = request("AKIALAB", "eu-central-1", "ec2", "Action=DescribeInstances");
        let request = HttpRequest::try_from(request.map(SdkBody::from)).unwrap();
        let connector = LabConnector {
            lab: lab.clone(),
            read_timeout,
        };
        connector.call(request).await
    }

    /// The SDK signs a Host header and leaves it to its connector to send one.
    #[tokio::test(start_paused = true)]
    async fn p30_a_real_lab_in_this_process_takes_what_its_own_console_signs() {
        let lab = crate::keys::tests::guarded().await;
        let key = lab.key().unwrap();
        let mut request = http::Request::post("http://lab.invalid/")
            .header("host", "lab.invalid")
            .header("x-amz-date", "20261121T040000Z")
            .body(Bytes::from_static(b"Action=DescribeInstances"))
            .unwrap();
        crate::sigv4::sign(
            &mut request,
            &key.access_key,
            &key.secret,
            "eu-central-1",
            "ec2",
        );
        request.headers_mut().remove("host");
        let request = HttpRequest::try_from(request.map(SdkBody::from)).unwrap();
        let connector = LabConnector {
            lab: lab.clone(),
            read_timeout: None,
        };
        assert_eq!(
            connector.call(request).await.unwrap().status().as_u16(),
            200
        );
    }

    #[tokio::test(start_paused = true)]
    async fn answers_resets_and_times_out_like_a_network() {
        let (lab, _) = lab(false).await;
        let response = call(&lab, None).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let body = response.into_body();
        assert!(String::from_utf8_lossy(body.bytes().unwrap()).contains("i-0000000000000000a"));

        let order = |kind| {
            lab.faults().inject(Fault {
                action: "*".into(),
                skip: 0,
                times: 1,
                kind,
            });
        };
        order(FaultKind::Reset);
        assert!(call(&lab, None).await.unwrap_err().is_io());
        order(FaultKind::LoseResponse);
        assert!(call(&lab, None).await.unwrap_err().is_io());
        order(FaultKind::Delay(Duration::from_secs(20)));
        let slow = call(&lab, Some(Duration::from_secs(5))).await;
        assert!(slow.unwrap_err().is_timeout());
    }
}

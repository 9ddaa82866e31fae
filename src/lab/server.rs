//! The lab on a loopback port, for anything that speaks AWS.

use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Lab;
use super::wire::AppError;

/// Larger requests are refused.
const BODY_LIMIT: usize = 8 << 20;

impl Lab {
    /// Serves HTTP/1.1 until `shutdown` is cancelled; open connections are then dropped.
    ///
    /// # Errors
    /// When the listener itself fails. A broken connection ends only itself.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        self.served_at(
            listener
                .local_addr()
                .ok()
                .map(|address| format!("http://{address}")),
        );
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => {
                    self.served_at(None);
                    return Ok(());
                }
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                // The peer was gone before we looked.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            let lab = self.clone();
            let stop = shutdown.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(lab.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    () = stop.cancelled() => {}
                    ended = connection => if let Err(error) = ended {
                        tracing::debug!(%error, "lab connection ended");
                    },
                }
            });
        }
    }
}

/// An `Err` makes hyper close the connection without an answer, which is what a transport fault is.
async fn answer(
    lab: Lab,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, super::TransportFault> {
    let (parts, body) = request.into_parts();
    let response = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => {
            let request = Request::from_parts(parts, body.to_bytes());
            // A request that was sent is carried out although its sender may hang up.
            tokio::spawn(async move { lab.handle(request).await })
                .await
                .unwrap_or(Err(super::TransportFault::LostResponse))?
        }
        Err(_) => AppError::with_status(
            413,
            "RequestEntityTooLarge",
            "The request body could not be read or is too large",
        )
        .ec2_response("-"),
    };
    Ok(response.map(Full::new))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::lab::test_support::lab;
    use crate::lab::{Fault, FaultKind};

    const FORM: &str = "Action=CreateSnapshot&VolumeId=vol-00000000000000002";

    /// Everything that the server says before it hangs up.
    async fn talk(port: u16) -> String {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 Credential=K/20261121/eu-central-1/ec2/aws4_request\r\nContent-Length: {}\r\n\r\n{FORM}",
            FORM.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn serves_on_a_port_and_hangs_up_on_a_lost_response() {
        let (lab, _) = lab(false).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let server = tokio::spawn({
            let (lab, stop) = (lab.clone(), stop.clone());
            async move { lab.serve(listener, stop).await }
        });
        lab.faults().inject(Fault {
            action: "CreateSnapshot".into(),
            skip: 0,
            times: 1,
            kind: FaultKind::LoseResponse,
        });
        assert_eq!(talk(port).await, "");
        assert_eq!(lab.world().snapshots.len(), 1);
        let answer = talk(port).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(
            answer.contains("SnapshotCreationPerVolumeRateExceeded"),
            "{answer}"
        );
        stop.cancel();
        server.await.unwrap().unwrap();
    }
}

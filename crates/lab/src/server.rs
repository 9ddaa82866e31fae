//! The lab on a loopback port, for anything that speaks AWS. What a client may cost is bounded (`super::bounds`), who
//! may speak at all is decided by `gate`.

mod connections;
mod gate;
mod stream;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::wire::AppError;
use super::{Lab, bounds};
use connections::{Connections, Place};
use stream::Patient;

/// How long the lab rests when the machine gives it no more connections.
const REST: Duration = Duration::from_millis(100);
/// What a client hears when every place is taken by a request that is being answered.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

impl Lab {
    /// Serves HTTP/1.1 until `shutdown` is cancelled; open connections are then dropped.
    ///
    /// # Errors
    /// When the listener cannot say where it listens. Nothing that a client does ends it.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let address = listener.local_addr()?;
        self.served_at(Some(format!("http://{address}")));
        let all = Connections::default();
        let most = connections_that_fit();
        let desk = Desk {
            lab: self.clone(),
            port: address.port(),
            hands: Arc::new(Semaphore::new(bounds::REQUESTS)),
        };
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
                Err(error) => {
                    // The peer was gone before we looked, or the machine has no descriptor or memory left for it.
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        tracing::warn!(%error, "the lab could not take a connection");
                        tokio::time::sleep(REST).await;
                    }
                    continue;
                }
            };
            let Some(place) = all.admit(most) else {
                turn_away(stream);
                continue;
            };
            let desk = desk.clone();
            let stop = shutdown.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = place.close.clone().cancelled_owned() => {}
                    () = talk(desk, stream, Arc::new(place)) => {}
                }
            });
        }
    }
}

/// What every connection needs to be answered.
#[derive(Clone)]
struct Desk {
    lab: Lab,
    port: u16,
    /// Requests that may be in work at the same time, also those whose client has hung up.
    hands: Arc<Semaphore>,
}

/// How many connections this process can hold beside everything else that it has open.
fn connections_that_fit() -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = descriptors.and_then(|most| usize::try_from(most / 2).ok());
    half.map_or(bounds::CONNECTIONS, |half| {
        half.clamp(1, bounds::CONNECTIONS)
    })
}

/// Says once that there is no room; whoever does not listen is not waited for.
fn turn_away(mut stream: TcpStream) {
    tokio::spawn(async move {
        let said = async {
            stream.write_all(FULL).await?;
            stream.shutdown().await
        };
        tokio::time::timeout(REST, said).await.ok();
    });
}

/// One connection, until either side ends it.
async fn talk(desk: Desk, stream: TcpStream, place: Arc<Place>) {
    let service = service_fn(move |request| {
        let (desk, busy) = (desk.clone(), place.busy());
        async move {
            let answer = answer(&desk, request).await;
            drop(busy);
            answer
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds::HEAD_TIME)
        .max_headers(bounds::HEADERS)
        .max_buf_size(bounds::HEAD)
        .serve_connection(
            TokioIo::new(Patient::new(stream, bounds::WRITE_TIME)),
            service,
        );
    if let Err(error) = connection.await {
        tracing::debug!(%error, "lab connection ended");
    }
}

/// An `Err` makes hyper close the connection without an answer, which is what a transport fault is.
async fn answer(
    desk: &Desk,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, super::TransportFault> {
    let (parts, body) = request.into_parts();
    let lab = desk.lab.clone();
    let body = match gate::check(&parts, desk.port) {
        Ok(()) => read(body).await,
        Err(refused) => Err(refused),
    };
    let taken = body.and_then(|body| match Arc::clone(&desk.hands).try_acquire_owned() {
        Ok(hand) => Ok((body, hand)),
        Err(_) => Err(AppError::with_status(
            503,
            "ServiceUnavailable",
            "The lab has as many requests in work as it takes",
        )),
    });
    let response = match taken {
        Ok((body, hand)) => {
            let request = Request::from_parts(parts, body);
            // A request that was sent is carried out although its sender may hang up.
            let work = async move {
                let answer = lab.handle(request).await;
                drop(hand);
                answer
            };
            tokio::spawn(work)
                .await
                .unwrap_or(Err(super::TransportFault::LostResponse))?
        }
        Err(refused) => {
            let mut response = lab.marked(refused.ec2_response(&lab.request_id()));
            // The rest of what such a client sends is not read.
            let close = http::HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response
        }
    };
    Ok(response.map(Full::new))
}

async fn read(body: Incoming) -> Result<Bytes, AppError> {
    let large = || {
        let message = format!("The request body has more than {} bytes", bounds::BODY);
        AppError::with_status(413, "RequestEntityTooLarge", message)
    };
    if body.size_hint().lower() > bounds::BODY as u64 {
        return Err(large());
    }
    match tokio::time::timeout(
        bounds::BODY_TIME,
        Limited::new(body, bounds::BODY).collect(),
    )
    .await
    {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(large()),
        Ok(Err(error)) => Err(AppError::new(
            "InvalidRequest",
            format!("The request body could not be read: {error}"),
        )),
        Err(_) => Err(AppError::with_status(
            408,
            "RequestTimeout",
            "The request body did not come in time",
        )),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::test_support::lab;
    use crate::{Fault, FaultKind};

    const FORM: &str = "Action=CreateSnapshot&VolumeId=vol-00000000000000002";

    /// Everything that the server says before it hangs up.
    async fn talk(port: u16) -> String {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 Credential=K/20261121/eu-central-1/ec2/aws4_request\r\nContent-Length: {}\r\n\r\n{FORM}",
            FORM.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// A served lab: its port, and what ends it.
    async fn served() -> (Lab, u16, CancellationToken) {
        let (lab, _) = lab(false).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        tokio::spawn({
            let (lab, stop) = (lab.clone(), stop.clone());
            async move { lab.serve(listener, stop).await }
        });
        (lab, port, stop)
    }

    /// What the server says to these bytes, until it hangs up.
    async fn say(port: u16, bytes: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn p30_other_hosts_pages_and_other_methods_get_nothing() {
        let (lab, port, _stop) = served().await;
        let sign = "Authorization: AWS4-HMAC-SHA256 Credential=K/20261121/eu-central-1/ec2/aws4_request\r\nConnection: close\r\n";
        let body = format!("Content-Length: {}\r\n\r\n{FORM}", FORM.len());
        for (head, status) in [
            (
                format!("POST / HTTP/1.1\r\nHost: evil.example:{port}\r\n"),
                403,
            ),
            (
                format!(
                    "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://evil.example\r\n"
                ),
                403,
            ),
            (
                format!("POST http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"),
                403,
            ),
            (
                format!(
                    "OPTIONS / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: null\r\nAccess-Control-Request-Method: POST\r\n"
                ),
                405,
            ),
            (
                format!("DELETE / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"),
                405,
            ),
            ("POST / HTTP/1.1\r\n".to_owned(), 400),
        ] {
            let answer = say(port, &format!("{head}{sign}{body}")).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{head}{answer}"
            );
            assert!(!answer.contains("access-control"), "{answer}");
        }
        assert_eq!(lab.world().snapshots.len(), 0);
        let answer = say(
            port,
            &format!("POST / HTTP/1.1\r\nHost: [::1]:{port}\r\n{sign}{body}"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn p30_slow_and_large_requests_are_ended() {
        let (_lab, port, _stop) = served().await;
        let host = format!("Host: 127.0.0.1:{port}\r\n");
        // Nothing, half a head, half a body, in chunks: none is waited for without end.
        for part in [
            String::new(),
            "POST / HT".to_owned(),
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 9\r\n\r\nActi"),
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n4\r\nActi\r\n"),
        ] {
            let answer = say(port, &part).await;
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
                "{part:?}: {answer}"
            );
        }
        // An idle connection after an answer ends too.
        let answer = say(port, &format!("GET /_lab HTTP/1.1\r\n{host}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        for (head, status) in [
            (
                format!("POST / HTTP/1.1\r\n{host}Content-Length: 999999999999\r\n\r\n"),
                "413",
            ),
            (
                format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(200_000)),
                "4",
            ),
            (
                format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: y\r\n".repeat(100)),
                "431",
            ),
            (
                format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "y".repeat(200_000)),
                "4",
            ),
        ] {
            let answer = say(port, &head).await;
            // Where it hangs up before all was sent, the answer may be lost.
            assert!(
                answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{head:.30}: {answer:.60}"
            );
        }
        let answer = say(
            port,
            &format!("GET /_lab HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn p30_open_connections_keep_nobody_out() {
        let (_lab, port, _stop) = served().await;
        let mut open = Vec::new();
        for _ in 0..bounds::CONNECTIONS + 40 {
            open.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        }
        let answer = say(
            port,
            &format!("GET /_lab HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
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

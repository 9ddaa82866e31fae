//! From the SDK's errors to [`Problem`]: kind, cause, hint, and whether the call may have happened.

use std::error::Error as StdError;

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId as _;

use super::lab_detector::{KEY_FILE, MARK};
use crate::domain::problem::{Kind, Problem};
use crate::domain::restore::shell_quote;
use crate::domain::text::visible;

/// Codes by which AWS says "slow down" (aws-facts 8.4 and 4.3).
const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
    "EC2ThrottledException",
    "SnapshotCreationPerVolumeRateExceeded",
    "ConcurrentSnapshotLimitExceeded",
    "PendingSnapshotLimitExceeded",
];

/// Codes that say the credentials are no good.
pub(super) const CREDENTIALS: &[&str] = &[
    "AuthFailure",
    "RequestExpired",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "IncompleteSignature",
    "OptInRequired",
];

const DENIED: &[&str] = &[
    "UnauthorizedOperation",
    "AccessDenied",
    "AccessDeniedException",
    "Blocked",
];

/// What to do about an answer of 500 and above.
const UNAVAILABLE: &str = "the service had no answer just now: wait a minute and try again; if it lasts, look at \
     AWS's Health dashboard, and at the proxy or endpoint in between (--endpoint-url)";

/// Turns what the SDK returned into a problem. `what` names the call and the thing.
pub(super) fn problem<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Problem
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    if let Some(ours) = ours(error) {
        return ours.clone();
    }
    let mut problem = describe(what, error);
    problem.request_id = error
        .request_id()
        .map(|id| visible(id).chars().take(64).collect::<String>().into());
    tracing::info!(
        %problem,
        code = problem.code,
        request_id = problem.request_id,
        "AWS carried out no request, or gave no answer"
    );
    problem
}

fn describe<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Problem
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let inner = service.err();
            let status = service.raw().status().as_u16();
            let Some(code) = inner.code() else {
                return nobodys(what, status);
            };
            let message = inner.message().unwrap_or(code);
            let (kind, hint) = match by_code(code) {
                // Whatever the code is called: AWS's side, or what stands between, could not do it now.
                (Kind::Aws, _) if status >= 500 => (Kind::Aws, UNAVAILABLE),
                known => known,
            };
            let mut problem = Problem::new(kind, what, message, hint).with_code(code);
            if kind == Kind::Credentials
                && let Some(hint) = lab_key_hint(service.raw())
            {
                problem.hint = hint;
            }
            // A server-side failure, an answer of a proxy without a code, or a success that could not be
            // read do not say whether the work was done. Being throttled says that it was not.
            problem.may_have_happened = kind != Kind::Throttled && !(300..500).contains(&status);
            problem
        }
        SdkError::TimeoutError(_) => maybe(Problem::new(
            Kind::Timeout,
            what,
            "no answer within the time limit",
            "check the connection to the endpoint and try again; what may have been done is looked up, never repeated",
        )),
        SdkError::DispatchFailure(failure) => {
            let cause = failure
                .as_connector_error()
                .map_or_else(|| "the request could not be sent".to_owned(), |e| chain(e));
            if cause.contains("credential") || failure.is_user() {
                return no_credentials(what, &cause);
            }
            let connected = !failure
                .as_connector_error()
                .is_some_and(|error| never_connected(error));
            let hint = if cause.contains("certificate") {
                "name the certificates to trust with AWS_CA_BUNDLE (or ca_bundle of the profile), and check the endpoint"
            } else {
                "check that the endpoint is right and reachable (--endpoint-url, --region, HTTPS_PROXY and NO_PROXY)"
            };
            let mut problem = Problem::new(Kind::Network, what, &cause, hint);
            // A connection that was never made carried nothing.
            problem.may_have_happened = connected;
            problem
        }
        SdkError::ResponseError(_) => maybe(Problem::new(
            Kind::Malformed,
            what,
            "the answer could not be understood",
            "check that the endpoint really is AWS or the lab; run again with --log-level debug to record it",
        )),
        other => {
            let cause = chain(other);
            if cause.to_lowercase().contains("credential") || cause.contains("identity") {
                return no_credentials(what, &cause);
            }
            Problem::new(
                Kind::Aws,
                what,
                cause,
                "this is a defect of ours; please report it with the text above",
            )
        }
    }
}

/// Whether no connection was made: name resolution, the connection or its TLS handshake failed.
fn never_connected(error: &(dyn StdError + 'static)) -> bool {
    std::iter::successors(Some(error), |error: &&(dyn StdError + 'static)| {
        (*error).source()
    })
    .any(|error| {
        let client = error.downcast_ref::<hyper_util::client::legacy::Error>();
        let socket = error.downcast_ref::<std::io::Error>();
        client.is_some_and(hyper_util::client::legacy::Error::is_connect)
            || socket.is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused)
    })
}

/// The hint for a lab that accepts only its own key.
fn lab_key_hint(answer: &HttpResponse) -> Option<String> {
    let headers = answer.headers();
    let file = headers.get(KEY_FILE);
    file.or(headers.get(MARK).filter(|runtime| *runtime == "real"))?;
    let file = file.map_or_else(
        || "the file `credentials` in its --lab-dir".to_owned(),
        |file| shell_quote(&visible(file)),
    );
    Some(format!(
        "this lab runs commands as root and takes its own key alone, which it printed when it started: take it with \
         AWS_SHARED_CREDENTIALS_FILE={file} (only its owner may read it), and leave --profile and \
         AWS_ACCESS_KEY_ID out"
    ))
}

/// A problem of our own that the SDK carried up: credentials that could not be had, a call that was not let out.
fn ours<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Problem> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(problem) = error.downcast_ref::<Problem>() {
            return Some(problem);
        }
        next = error.source();
    }
    None
}

/// An answer without a code is none of AWS's: something in between gave it. It does not say whether the work was done.
fn nobodys(what: &str, status: u16) -> Problem {
    maybe(Problem::new(
        Kind::Aws,
        what,
        format!(
            "status {status}, and the answer is no error of AWS's: something in between may have given it"
        ),
        match status {
            500.. => UNAVAILABLE,
            _ => {
                "look at the proxy (HTTPS_PROXY, HTTP_PROXY, NO_PROXY) and at the endpoint (--endpoint-url)"
            }
        },
    ))
}

fn maybe(mut problem: Problem) -> Problem {
    problem.may_have_happened = true;
    problem
}

fn no_credentials(what: &str, cause: &str) -> Problem {
    Problem::new(
        Kind::Credentials,
        what,
        cause,
        "sign in (`aws sso login`), name a profile (--profile), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; \
         to try freezeframe without an account use --lab",
    )
}

/// The chain of causes in one line, each said once.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        let text = short(&error.to_string());
        if !parts.iter().any(|p| p.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

/// A cause as a person can read it: some libraries put the whole request into their words.
fn short(text: &str) -> String {
    const LONGEST: usize = 300;
    let end = ["Request {", "Response {"]
        .iter()
        .filter_map(|dump| text.find(dump))
        .min();
    let text = &text[..end.unwrap_or(text.len())];
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn by_code(code: &str) -> (Kind, &'static str) {
    if THROTTLED.contains(&code) {
        return (
            Kind::Throttled,
            "wait a little and try again; other tools share this account's limits",
        );
    }
    if CREDENTIALS.contains(&code) {
        return (
            Kind::Credentials,
            "renew the credentials (`aws sso login` or a new session): they are read again by themselves, and by ctrl-r in the \
             console; check the region and this machine's clock",
        );
    }
    if DENIED.contains(&code) {
        return (
            Kind::Denied,
            "ask for this permission; docs/permissions.md lists what each feature needs",
        );
    }
    match code {
        "InvalidDocument" | "InvalidDocumentVersion" | "InvalidDocumentContent" => (
            Kind::Document,
            "install the documents with `freezeframe setup documents`",
        ),
        "InvalidInstanceId" => (
            Kind::Agent,
            "check that the SSM agent runs, that the instance may reach SSM, and that the region is right",
        ),
        "InvalidParameterValue"
        | "InvalidParameters"
        | "ValidationException"
        | "InvalidParameter"
        | "InvalidParameterCombination"
        | "MissingParameter" => (Kind::Aws, "correct the value that the message names"),
        _ if code.ends_with(".NotFound")
            || code.ends_with("NotFound")
            || code.ends_with("DoesNotExist") =>
        {
            (
                Kind::NotFound,
                "check the id, the account and the region; something just made may need a moment to be visible",
            )
        }
        _ if code.contains("InUse") || code.contains("State") || code.ends_with("Mismatch") => (
            Kind::State,
            "wait until the resource is in a fitting state, or choose another",
        ),
        _ => (
            Kind::Aws,
            "read the message; if it seems wrong, try again with --log-level debug",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_never_a_dump() {
        assert_eq!(
            short("bad uri: Request { method: POST, body: x }"),
            "bad uri: "
        );
        assert_eq!(short(&"ü".repeat(1000)).chars().count(), 301);
        assert_eq!(short("plain"), "plain");
    }

    /// A lab that takes its own key only.
    async fn guarded_lab() -> crate::lab::Lab {
        use crate::lab::{Clock, Lab, LabOptions, WorldSpec, runtime_simulated::SimulatedRuntime};
        let base = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let clock = Clock::virtual_from(base);
        let options = LabOptions {
            world: WorldSpec::parse("name = \"empty\"").unwrap(),
            seed: 1,
            clock: clock.clone(),
            runtime: std::sync::Arc::new(SimulatedRuntime::new(clock, 1).guarded()),
            throttling: false,
            account: "123456789012".into(),
            region: "eu-central-1".into(),
        };
        Lab::start(options).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn another_key_at_a_real_lab_is_told_which_one_it_takes() {
        let lab = guarded_lab().await;
        lab.keeps_its_key_in(std::path::Path::new("/root/my lab/credentials"));
        let keys = aws_credential_types::Credentials::new("AKIALAB", "lab", None, None, "test");
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(aws_sdk_sts::config::Region::new("eu-central-1"))
            .http_client(lab.connector())
            .endpoint_url("http://lab.invalid")
            .credentials_provider(keys)
            .build();
        let asked = aws_sdk_sts::Client::from_conf(config).get_caller_identity();
        let problem = problem("ask", &asked.send().await.unwrap_err());
        assert_eq!(problem.kind, Kind::Credentials);
        let hint = &problem.hint;
        assert!(
            hint.contains("AWS_SHARED_CREDENTIALS_FILE='/root/my lab/credentials'"),
            "{hint}"
        );
        assert!(!hint.contains("renew"), "{hint}");
    }

    /// Asks STS at that address with a client of our own.
    async fn asked_at(url: String) -> Problem {
        let aws = crate::config::aws::Aws::default();
        let keys = aws_credential_types::Credentials::new("AKIALAB", "lab", None, None, "test");
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(aws_sdk_sts::config::Region::new("eu-central-1"))
            .http_client(crate::aws::http::client(&aws).unwrap())
            .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
            .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
            .endpoint_url(url)
            .credentials_provider(keys)
            .build();
        let asked = aws_sdk_sts::Client::from_conf(config).get_caller_identity();
        problem("ask", &asked.send().await.unwrap_err())
    }

    #[tokio::test]
    async fn p22_a_request_may_have_happened_only_where_a_connection_was_made() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hang_up = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
        let made = asked_at(format!("http://127.0.0.1:{port}")).await;
        assert_eq!(
            (made.kind, made.may_have_happened),
            (Kind::Network, true),
            "{made:?}"
        );
        hang_up.await.unwrap();
        // Nobody listens there any more; and a certificate is none that anybody would trust.
        let refused = asked_at(format!("http://127.0.0.1:{port}")).await;
        assert_eq!(
            (refused.kind, refused.may_have_happened),
            (Kind::Network, false),
            "{refused:?}"
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plain = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(b"HTTP/1.1 400 no\r\n\r\n").await.ok();
        });
        let tls = asked_at(format!("https://127.0.0.1:{port}")).await;
        assert_eq!(
            (tls.kind, tls.may_have_happened),
            (Kind::Network, false),
            "{tls:?}"
        );
        plain.await.unwrap();
    }

    #[test]
    fn codes_find_their_kind() {
        assert_eq!(by_code("RequestLimitExceeded").0, Kind::Throttled);
        assert_eq!(by_code("ExpiredTokenException").0, Kind::Credentials);
        assert_eq!(by_code("InvalidSnapshot.NotFound").0, Kind::NotFound);
        assert_eq!(by_code("InvalidSnapshot.InUse").0, Kind::State);
        assert_eq!(by_code("InvalidVolume.ZoneMismatch").0, Kind::State);
        assert_eq!(by_code("UnauthorizedOperation").0, Kind::Denied);
        assert_eq!(by_code("SomethingNew").0, Kind::Aws);
    }
}

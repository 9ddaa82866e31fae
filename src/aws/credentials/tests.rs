//! Who signs each request, and where it goes: the real session on files of its own, answered by a small STS and EC2.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use tempfile::TempDir;

use super::{of_source, says_ended};
use crate::aws::session::{Options, Session};
use crate::config::aws::Aws;
use crate::config::layers::{Overrides, with};
use crate::config::variables::Variables;
use crate::domain::credentials::{How, Source};
use crate::domain::problem::{Kind, Problem};

/// One request: host, action, access key.
type Call = (String, String, String);

/// Answers by the access key: `AKIA…1` is of account 111111111111, and so on.
#[derive(Debug, Clone, Default)]
struct Fake {
    calls: Arc<Mutex<Vec<Call>>>,
    /// Keys that have ended.
    ended: Arc<Mutex<Vec<String>>>,
    /// How long an assumed role lasts, in seconds.
    lasts: Arc<Mutex<u64>>,
    assumed: Arc<Mutex<u32>>,
}

impl Fake {
    fn calls(&self, action: &str) -> Vec<(String, String)> {
        self.calls
            .lock()
            .unwrap()
            .iter()
            .filter(|(_, did, _)| did == action)
            .map(|(host, _, key)| (host.clone(), key.clone()))
            .collect()
    }

    fn answer(&self, action: &str, key: &str) -> (u16, String) {
        let digit = key.chars().last().unwrap_or('0');
        if self.ended.lock().unwrap().iter().any(|k| k == key) {
            let code = "<Response><Errors><Error><Code>RequestExpired</Code><Message>Request has expired.</Message>\
                </Error></Errors><RequestID>r</RequestID></Response>";
            return (400, code.to_owned());
        }
        let text = match action {
            "GetCallerIdentity" => format!(
                "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::{account}:user/{key}</Arn>\
                 <UserId>u</UserId><Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
                account = digit.to_string().repeat(12),
            ),
            "AssumeRole" | "AssumeRoleWithWebIdentity" => {
                let mut n = self.assumed.lock().unwrap();
                *n += 1;
                let end = SystemTime::now() + Duration::from_secs(*self.lasts.lock().unwrap());
                let end = chrono::DateTime::<chrono::Utc>::from(end).format("%Y-%m-%dT%H:%M:%SZ");
                format!(
                    "<{action}Response><{action}Result><Credentials><AccessKeyId>ASIA{n}ROLE7</AccessKeyId>\
                     <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{end}</Expiration>\
                     </Credentials></{action}Result></{action}Response>"
                )
            }
            _ => format!("<{action}Response><volumeSet/></{action}Response>"),
        };
        (200, text)
    }
}

impl HttpClient for Fake {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = request.uri().parse::<http::Uri>().unwrap();
        let host = host.authority().unwrap().to_string();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let action = body
            .split('&')
            .find_map(|pair| pair.strip_prefix("Action="))
            .unwrap_or_default()
            .to_owned();
        let key = request
            .headers()
            .get("authorization")
            .and_then(|text| text.split("Credential=").nth(1))
            .and_then(|text| text.split('/').next())
            .unwrap_or("nobody")
            .to_owned();
        self.calls
            .lock()
            .unwrap()
            .push((host, action.clone(), key.clone()));
        let (status, text) = self.answer(&action, &key);
        HttpConnectorFuture::ready(Ok(HttpResponse::new(
            status.try_into().unwrap(),
            SdkBody::from(text),
        )))
    }
}

/// A home with AWS files.
struct Home(TempDir);

impl Home {
    fn new(config: &str, credentials: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::write(home.file("config"), config).unwrap();
        home.credentials(credentials);
        home
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn credentials(&self, text: &str) {
        std::fs::write(self.file("credentials"), text).unwrap();
    }

    async fn open(
        &self,
        fake: &Fake,
        flags: Overrides,
        more: &[(&str, &str)],
    ) -> Result<Session, Problem> {
        let path = |file: &Path| file.display().to_string();
        let mut pairs = vec![
            ("AWS_CONFIG_FILE".to_owned(), path(&self.file("config"))),
            (
                "AWS_SHARED_CREDENTIALS_FILE".to_owned(),
                path(&self.file("credentials")),
            ),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ];
        pairs.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let variables = Variables::from_pairs(pairs);
        let ours = self.file("config.toml");
        std::fs::write(&ours, "").unwrap();
        let config = with(Some(&ours), &flags, &variables)?;
        Session::open(Options {
            aws: Some(Aws::resolve(&config, variables)?),
            http: Some(SharedHttpClient::new(fake.clone())),
            ..Options::default()
        })
        .await
    }
}

fn flags(profile: &str) -> Overrides {
    Overrides {
        profile: Some(profile.to_owned()),
        region: Some("eu-central-1".to_owned()),
        endpoint_url: Some("http://lab.invalid:4566".to_owned()),
        ..Overrides::default()
    }
}

fn keys(profile: &str, id: &str) -> String {
    format!("[{profile}]\naws_access_key_id = {id}\naws_secret_access_key = s\n")
}

async fn read(session: &Session) -> Result<(), Problem> {
    session
        .ec2
        .describe_volumes()
        .send()
        .await
        .map(|_| ())
        .map_err(|error| crate::aws::error::problem("read volumes", &error))
}

const ENV: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIAENV9"),
    ("AWS_SECRET_ACCESS_KEY", "s"),
];

#[tokio::test]
async fn p26_a_profile_named_by_flag_signs_every_request_whatever_the_environment_has() {
    let home = Home::new("", &keys("viewer", "AKIAVIEW1"));
    let fake = Fake::default();
    let session = home.open(&fake, flags("viewer"), &ENV).await.unwrap();
    assert_eq!(session.scope().account.as_str(), "111111111111");
    assert_eq!(
        session.who().to_string(),
        "account 111111111111, eu-central-1, as AKIAVIEW1; credentials: profile viewer (credentials file)"
    );
    read(&session).await.unwrap();
    for (host, _, key) in fake.calls.lock().unwrap().iter() {
        assert_eq!(
            (host.as_str(), key.as_str()),
            ("lab.invalid:4566", "AKIAVIEW1")
        );
    }
    assert_eq!(
        session.cli_flags(),
        " --profile viewer --endpoint-url http://lab.invalid:4566"
    );
}

/// Credentials that no request can carry are refused as what they are, wherever they come from; the SDK would end the
/// process at some of them.
#[tokio::test]
async fn credentials_that_cannot_be_signed_with_are_refused_without_showing_them() {
    let process = |json: &str| format!("[profile p]\ncredential_process = printf '%s' '{json}'\n");
    let of = |id: &str, secret: &str, token: &str| {
        process(&format!(
            r#"{{"Version": 1, "AccessKeyId": "{id}", "SecretAccessKey": "{secret}", "SessionToken": "{token}"}}"#
        ))
    };
    for (config, words) in [
        (of(r"AKIA\nQ7Z", "s", "t"), "access key id"),
        (of("AKIA/Q7Z", "s", "t"), "access key id"),
        (of("AKIA Q7Z", "s", "t"), "access key id"),
        (of("AKIAÄQ7Z", "s", "t"), "access key id"),
        (of("AKIA", r"Q7Z\n", "t"), "secret access key"),
        (of("AKIA", "s", r"Q7Z\u0000"), "session token"),
    ] {
        let (home, fake) = (Home::new(&config, ""), Fake::default());
        let problem = home.open(&fake, flags("p"), &[]).await.unwrap_err();
        assert_eq!(problem.kind, Kind::Usage, "{problem}");
        assert!(problem.cause.contains(words), "{config}: {problem}");
        assert!(!format!("{problem:?}").contains("Q7Z"), "{problem:?}");
        assert!(fake.calls.lock().unwrap().is_empty());
    }
    for variable in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SESSION_TOKEN",
        "AWS_EXECUTION_ENV",
    ] {
        let (home, fake) = (Home::new("", ""), Fake::default());
        let mut more = ENV.to_vec();
        more.push((variable, "Q7Z\nx"));
        let no_profile = Overrides {
            profile: None,
            ..flags("p")
        };
        let problem = home.open(&fake, no_profile, &more).await.unwrap_err();
        assert_eq!(problem.kind, Kind::Usage, "{problem}");
        assert!(problem.what.contains(variable), "{problem}");
        assert!(!format!("{problem:?}").contains("Q7Z"), "{problem:?}");
    }
}

/// A program that prints for ever fills no memory, and is told as what it is.
#[tokio::test]
async fn a_credential_process_that_prints_for_ever_is_refused() {
    let config = "[profile p]\ncredential_process = yes AKIA\n";
    let (home, fake) = (Home::new(config, ""), Fake::default());
    let problem = home.open(&fake, flags("p"), &[]).await.unwrap_err();
    assert_eq!(problem.kind, Kind::Credentials, "{problem}");
    assert!(problem.cause.contains("more than 1 MiB"), "{problem}");
    assert!(problem.hint.contains("credential_process"), "{problem}");
    assert!(fake.calls.lock().unwrap().is_empty());
}

#[test]
fn refused_credentials_are_named_with_the_way_to_renew_them() {
    let refused = || {
        Problem::new(
            Kind::Credentials,
            "ask STS who we are",
            "expired",
            "sign in",
        )
    };
    let keys = Source::Profile {
        name: "old one".to_owned(),
        how: How::CredentialsFile,
    };
    let problem = of_source(refused(), &keys);
    assert!(
        problem
            .what
            .ends_with("credentials: profile old one (credentials file)"),
        "{problem}"
    );
    assert!(
        problem.hint.contains("--profile 'old one'"),
        "{}",
        problem.hint
    );
    let environment = of_source(refused(), &Source::Variables { instead_of: None });
    assert!(
        environment.hint.contains("environment"),
        "{}",
        environment.hint
    );
    let sso = Source::Profile {
        name: "corp".to_owned(),
        how: How::Sso,
    };
    assert_eq!(of_source(refused(), &sso).hint, "sign in");
}

#[tokio::test]
async fn p26_a_profile_that_is_not_there_asks_nobody() {
    let home = Home::new("", &keys("viewer", "AKIAVIEW1"));
    let fake = Fake::default();
    for more in [&ENV[..], &[]] {
        let problem = home.open(&fake, flags("viewr"), more).await.unwrap_err();
        assert_eq!(problem.kind, Kind::Usage);
        assert!(
            problem.hint.contains("`viewer`"),
            "{problem} / {}",
            problem.hint
        );
    }
    assert!(fake.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_role_is_assumed_at_the_endpoint_that_was_named_and_nowhere_else() {
    let home = Home::new(
        "[profile admin]\nrole_arn = arn:aws:iam::777777777777:role/Admin\nsource_profile = viewer\n\
         [profile pod]\nrole_arn = arn:aws:iam::777777777777:role/Pod\nweb_identity_token_file = TOKEN\n",
        &keys("viewer", "AKIAVIEW1"),
    );
    let token = home.file("token");
    std::fs::write(&token, "jwt\n").unwrap();
    let config = std::fs::read_to_string(home.file("config")).unwrap();
    std::fs::write(
        home.file("config"),
        config.replace("TOKEN", &token.display().to_string()),
    )
    .unwrap();
    for (profile, action, signer) in [
        ("admin", "AssumeRole", "AKIAVIEW1"),
        ("pod", "AssumeRoleWithWebIdentity", "nobody"),
    ] {
        let fake = Fake::default();
        *fake.lasts.lock().unwrap() = 3600;
        let session = home.open(&fake, flags(profile), &ENV).await.unwrap();
        read(&session).await.unwrap();
        assert_eq!(session.scope().account.as_str(), "777777777777");
        assert_eq!(
            fake.calls(action),
            [("lab.invalid:4566".to_owned(), signer.to_owned())]
        );
        for (host, did, key) in fake.calls.lock().unwrap().iter() {
            assert_eq!(host, "lab.invalid:4566", "{did}");
            assert!(did == action || key == "ASIA1ROLE7", "{did} by {key}");
        }
    }
}

#[tokio::test]
async fn what_has_no_service_at_the_endpoint_is_refused_before_anybody_is_asked() {
    let home = Home::new(
        "[profile sso]\nsso_start_url = https://x.awsapps.com/start\nsso_region = us-east-1\nsso_account_id = 111111111111\n\
         sso_role_name = Ops\n[profile login]\nlogin_session = arn:aws:iam::111111111111:user/me\n",
        "",
    );
    for profile in ["sso", "login"] {
        let fake = Fake::default();
        let problem = home.open(&fake, flags(profile), &[]).await.unwrap_err();
        assert_eq!(problem.kind, Kind::Usage, "{problem}");
        assert!(
            problem.cause.contains("http://lab.invalid:4566"),
            "{problem}"
        );
        assert!(fake.calls.lock().unwrap().is_empty(), "{profile}");
    }
}

#[tokio::test]
async fn credentials_that_were_renewed_in_the_file_are_read_when_aws_says_that_the_old_ones_ended()
{
    let home = Home::new("", &keys("viewer", "AKIAOLD1"));
    let fake = Fake::default();
    let session = home.open(&fake, flags("viewer"), &[]).await.unwrap();
    read(&session).await.unwrap();
    home.credentials(&keys("viewer", "AKIANEW1"));
    // Nothing says that the old ones have ended: they go on.
    read(&session).await.unwrap();
    fake.ended.lock().unwrap().push("AKIAOLD1".to_owned());
    let problem = read(&session).await.unwrap_err();
    assert_eq!(problem.kind, Kind::Credentials);
    read(&session).await.unwrap();
    let proven = fake.calls("GetCallerIdentity");
    assert_eq!(
        proven.len(),
        2,
        "the new ones were proven before they were used"
    );
    assert_eq!(proven[1].1, "AKIANEW1");
    assert!(session.arn().ends_with("AKIANEW1"), "{}", session.arn());
}

#[tokio::test]
async fn credentials_are_read_again_when_a_person_asks_and_never_those_of_another_account() {
    let home = Home::new("", &keys("viewer", "AKIAOLD1"));
    let fake = Fake::default();
    let session = home.open(&fake, flags("viewer"), &[]).await.unwrap();
    home.credentials(&keys("viewer", "AKIANEW1"));
    session.renew_credentials();
    read(&session).await.unwrap();
    assert_eq!(fake.calls("DescribeVolumes")[0].1, "AKIANEW1");
    home.credentials(&keys("viewer", "AKIAOTHER2"));
    session.renew_credentials();
    let problem = read(&session).await.unwrap_err();
    assert!(
        problem.cause.contains("222222222222") && problem.cause.contains("111111111111"),
        "{problem}"
    );
    assert_eq!(
        fake.calls("DescribeVolumes").len(),
        1,
        "nothing was sent with them"
    );
    // A profile that went away is told as what it is, and when it is back all is well.
    home.credentials("[viewer\n");
    let problem = read(&session).await.unwrap_err();
    assert!(problem.cause.contains("line 1"), "{problem}");
    home.credentials(&keys("viewer", "AKIANEW1"));
    read(&session).await.unwrap();
}

#[tokio::test]
async fn a_role_that_ends_is_assumed_again() {
    let home = Home::new(
        "[profile admin]\nrole_arn = arn:aws:iam::777777777777:role/Admin\nsource_profile = viewer\n",
        &keys("viewer", "AKIAVIEW1"),
    );
    let fake = Fake::default();
    *fake.lasts.lock().unwrap() = 1;
    let session = home.open(&fake, flags("admin"), &[]).await.unwrap();
    *fake.lasts.lock().unwrap() = 3600;
    read(&session).await.unwrap();
    read(&session).await.unwrap();
    assert_eq!(fake.calls("AssumeRole").len(), 2);
    let readers: Vec<String> = fake
        .calls("DescribeVolumes")
        .into_iter()
        .map(|(_, key)| key)
        .collect();
    assert_eq!(readers, ["ASIA2ROLE7", "ASIA2ROLE7"]);
}

#[test]
fn the_codes_are_found_in_every_protocols_error() {
    for body in [
        "<Response><Errors><Error><Code>RequestExpired</Code></Error></Errors></Response>",
        "<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>",
        r#"{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"x"}"#,
        r#"{"__type":"UnrecognizedClientException"}"#,
    ] {
        assert!(says_ended(body.as_bytes()), "{body}");
    }
    assert!(!says_ended(
        b"<Error><Code>UnauthorizedOperation</Code></Error>"
    ));
}

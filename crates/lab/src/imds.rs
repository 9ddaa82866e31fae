//! The instance metadata service, version 2 only, and the role credentials that it hands out.
//!
//! AWS answers at a link-local address that only the instance reaches; the lab answers on its port under
//! `/imds/<instance-id>`, which is what `AWS_EC2_METADATA_SERVICE_ENDPOINT` says in the real runtime's commands.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::{Mutex, MutexGuard};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::{Method, Request, Response};

use super::wire::respond;
use super::world::Instance;
use super::{Lab, bounds, sigv4};

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Seconds that a metadata token may live at most.
const LONGEST_TTL: i64 = 21_600;
/// How long role credentials are good for.
const CREDENTIALS_HOURS: i64 = 6;
/// Credentials with less time left are replaced by the next request for them.
const RENEWED_MINUTES: i64 = 15;

/// An instance's role, as requests signed with its credentials act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSession {
    pub instance: String,
    pub role: super::world::Role,
    pub access_key: String,
    pub secret: String,
    /// Session token: a request without it is refused.
    pub token: String,
    pub issued: DateTime<Utc>,
    pub expires: DateTime<Utc>,
}

impl RoleSession {
    /// `assumed-role/NAME/i-…`
    pub fn principal(&self) -> String {
        format!("assumed-role/{}/{}", self.role.name(), self.instance)
    }
}

/// Tokens and credentials that were handed out.
#[derive(Debug, Default)]
pub(super) struct Imds(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    /// Token → instance and end.
    tokens: BTreeMap<String, (String, DateTime<Utc>)>,
    /// The tokens in the order in which they were handed out.
    issued: VecDeque<String>,
    /// By access key.
    sessions: BTreeMap<String, RoleSession>,
}

impl Imds {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock()
    }

    /// Lets all role credentials that are out now expire.
    pub(super) fn expire(&self, now: DateTime<Utc>) {
        for session in self.books().sessions.values_mut() {
            session.expires = session.expires.min(now);
        }
    }

    fn session(&self, access_key: &str) -> Option<RoleSession> {
        self.books().sessions.get(access_key).cloned()
    }
}

impl Lab {
    /// The credentials of an instance's role, as its metadata service hands them out now; `None` without a role.
    pub fn role_session(&self, instance: &str) -> Option<RoleSession> {
        let mut world = self.world();
        let role = world.instances.get(instance)?.role;
        let now = world.now;
        let mut books = self.inner.imds.books();
        let fresh = books.sessions.values().find(|session| {
            session.instance == instance
                && session.role == role
                && session.expires - now > chrono::Duration::minutes(RENEWED_MINUTES)
        });
        if let Some(session) = fresh {
            return Some(session.clone());
        }
        if role == super::world::Role::None {
            return None;
        }
        let session = RoleSession {
            instance: instance.to_owned(),
            role,
            access_key: format!("ASIA{}", self.letters(&mut world, 16).to_uppercase()),
            secret: self.letters(&mut world, 40),
            token: format!("{}==", self.letters(&mut world, 240)),
            issued: now,
            expires: now + chrono::Duration::hours(CREDENTIALS_HOURS),
        };
        books
            .sessions
            .insert(session.access_key.clone(), session.clone());
        Some(session)
    }

    /// The role whose credentials these are.
    pub(super) fn role_with_key(&self, access_key: &str) -> Option<RoleSession> {
        self.inner.imds.session(access_key)
    }

    /// Where an instance's commands find their metadata service; `None` as long as the lab is not served.
    pub fn metadata_endpoint(&self, instance: &str) -> Option<String> {
        let endpoint = self.endpoint()?;
        Some(match self.door(instance) {
            Some(door) => format!("{endpoint}/imds/{instance}/{door}"),
            None => format!("{endpoint}/imds/{instance}"),
        })
    }

    /// Answers `/imds/<instance-id>/…`; `None` for any other path.
    pub(super) fn metadata(&self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let rest = request.uri().path().strip_prefix("/imds/")?;
        let (instance, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = match self.door(instance) {
            None => Some(path),
            Some(door) => path
                .split_once('/')
                .filter(|(shown, _)| sigv4::same(shown, &door))
                .map(|(_, path)| path),
        };
        let Some(path) = path else {
            return Some(respond(404, "text/plain", &self.request_id(), ""));
        };
        let (status, kind, body) = self.metadata_of(request, instance, path);
        let mut response = respond(status, kind, &self.request_id(), body);
        if status == 200
            && request.method() == Method::PUT
            && let Some(ttl) = request.headers().get(TOKEN_TTL)
        {
            response.headers_mut().insert(TOKEN_TTL, ttl.clone());
        }
        Some(response)
    }

    fn metadata_of(
        &self,
        request: &Request<Bytes>,
        instance: &str,
        path: &str,
    ) -> (u16, &'static str, String) {
        const PLAIN: &str = "text/plain";
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let words = |status: u16| (status, PLAIN, String::new());
        let now = self.clock().now();
        if !self.world().instances.contains_key(instance) {
            return words(404);
        }
        if path == "latest/api/token" {
            if request.method() != Method::PUT {
                return words(405);
            }
            // Whoever asks through a proxy is not the instance.
            if header("x-forwarded-for").is_some() {
                return words(403);
            }
            let ttl = header(TOKEN_TTL).and_then(|text| text.parse::<i64>().ok());
            let Some(ttl) = ttl.filter(|ttl| (1..=LONGEST_TTL).contains(ttl)) else {
                return words(400);
            };
            let token = format!("{}==", self.letters(&mut self.world(), 54));
            let mut books = self.inner.imds.books();
            // The oldest go first: whoever asks for many takes none from those who come after.
            while books.issued.len() >= bounds::METADATA_TOKENS {
                if let Some(oldest) = books.issued.pop_front() {
                    books.tokens.remove(&oldest);
                }
            }
            books.issued.push_back(token.clone());
            let end = now + chrono::Duration::seconds(ttl);
            books
                .tokens
                .insert(token.clone(), (instance.to_owned(), end));
            return (200, PLAIN, token);
        }
        let allowed = header(TOKEN).is_some_and(|token| {
            let books = self.inner.imds.books();
            books
                .tokens
                .get(token)
                .is_some_and(|(owner, end)| owner == instance && *end > now)
        });
        if !allowed {
            return words(401);
        }
        if request.method() != Method::GET {
            return words(405);
        }
        match self.item(instance, path) {
            Some((kind, body)) => (200, kind, body),
            None => words(404),
        }
    }

    fn item(&self, instance: &str, path: &str) -> Option<(&'static str, String)> {
        const JSON: &str = "application/json";
        let found = self.world().instances.get(instance)?.clone();
        if path == "latest/dynamic/instance-identity/document" {
            return Some((JSON, identity(self.account(), &found).to_string()));
        }
        let plain = |text: &str| Some(("text/plain", text.to_owned()));
        let role = found.role;
        let has_role = role != super::world::Role::None;
        match path
            .strip_prefix("latest/meta-data")?
            .trim_start_matches('/')
        {
            "" if has_role => {
                plain("iam/\ninstance-id\ninstance-type\nlocal-ipv4\nplacement/\nservices/")
            }
            "" => plain("instance-id\ninstance-type\nlocal-ipv4\nplacement/\nservices/"),
            "instance-id" => plain(&found.id),
            "instance-type" => plain(&found.instance_type),
            "ami-id" => plain(&found.image),
            "local-ipv4" => plain(&found.private_ip),
            "placement/" | "placement" => plain("availability-zone\nregion"),
            "placement/region" => plain(&found.region),
            "placement/availability-zone" => plain(&found.az),
            "services/" | "services" => plain("domain\npartition"),
            "services/domain" => plain("amazonaws.com"),
            "services/partition" => plain("aws"),
            "iam/security-credentials/" | "iam/security-credentials" if has_role => {
                plain(role.name())
            }
            other => {
                let name = other.strip_prefix("iam/security-credentials/")?;
                let session = self
                    .role_session(instance)
                    .filter(|session| session.role.name() == name)?;
                Some(("text/plain", credentials(&session).to_string()))
            }
        }
    }
}

fn credentials(session: &RoleSession) -> serde_json::Value {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    serde_json::json!({
        "Code": "Success",
        "LastUpdated": time(session.issued),
        "Type": "AWS-HMAC",
        "AccessKeyId": session.access_key,
        "SecretAccessKey": session.secret,
        "Token": session.token,
        "Expiration": time(session.expires),
    })
}

fn identity(account: &str, instance: &Instance) -> serde_json::Value {
    serde_json::json!({
        "accountId": account,
        "architecture": "x86_64",
        "availabilityZone": instance.az,
        "imageId": instance.image,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "privateIp": instance.private_ip,
        "region": instance.region,
        "version": "2017-09-30",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::lab;

    const BASE: &str = "http://127.0.0.1/imds/i-0000000000000000a/latest";

    async fn ask(lab: &Lab, method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{BASE}/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = lab
            .handle(request.body(Bytes::new()).unwrap())
            .await
            .unwrap();
        let body = String::from_utf8(answer.body().to_vec()).unwrap();
        (answer.status().as_u16(), body)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_told_without_a_token_of_this_instance() {
        let (lab, _) = lab(false).await;
        let region = "meta-data/placement/region";
        assert_eq!(ask(&lab, Method::GET, region, &[]).await.0, 401);
        assert_eq!(ask(&lab, Method::PUT, "api/token", &[]).await.0, 400);
        let proxied = [(TOKEN_TTL, "60"), ("x-forwarded-for", "10.0.0.1")];
        assert_eq!(ask(&lab, Method::PUT, "api/token", &proxied).await.0, 403);
        let (status, token) = ask(&lab, Method::PUT, "api/token", &[(TOKEN_TTL, "60")]).await;
        assert_eq!(status, 200);
        let with = [(TOKEN, token.as_str())];
        assert_eq!(
            ask(&lab, Method::GET, region, &with).await,
            (200, "eu-central-1".into())
        );
        assert_eq!(
            ask(&lab, Method::GET, "meta-data/nothing", &with).await.0,
            404
        );
        let (_, document) = ask(
            &lab,
            Method::GET,
            "dynamic/instance-identity/document",
            &with,
        )
        .await;
        assert!(
            document.contains("\"instanceId\":\"i-0000000000000000a\""),
            "{document}"
        );
        lab.clock().sleep(std::time::Duration::from_secs(61)).await;
        assert_eq!(ask(&lab, Method::GET, region, &with).await.0, 401);
    }

    fn signed(lab: &Lab, session: &RoleSession, form: &str, token: &str) -> Request<Bytes> {
        let now = lab.clock().now().format("%Y%m%dT%H%M%SZ").to_string();
        let mut request = Request::post("http://ec2/")
            .header("host", "ec2")
            .header("x-amz-date", now)
            .header("x-amz-security-token", token)
            .body(Bytes::from(form.to_owned()))
            .unwrap();
        let (key, secret) = (&session.access_key, &session.secret);
        super::super::sigv4::sign(&mut request, key, secret, "eu-central-1", "ec2");
        request
    }

    #[tokio::test(start_paused = true)]
    async fn role_credentials_may_snapshot_and_nothing_else() {
        use crate::test_support::send;
        let (lab, _) = lab(false).await;
        let session = lab.role_session("i-0000000000000000a").unwrap();
        let again = lab.role_session("i-0000000000000000a").unwrap();
        assert_eq!(
            session, again,
            "the same credentials until they are renewed"
        );
        let create = "Action=CreateSnapshots&InstanceSpecification.InstanceId=i-0000000000000000a";
        let good = |form: &str| signed(&lab, &session, form, &session.token);
        let (status, body) = send(&lab, good(&format!("{create}&DryRun=true")))
            .await
            .unwrap();
        assert!(status == 412 && body.contains("DryRunOperation"), "{body}");
        let (status, body) = send(&lab, good("Action=DeleteSnapshot&SnapshotId=snap-1"))
            .await
            .unwrap();
        assert!(
            status == 403 && body.contains("UnauthorizedOperation"),
            "{body}"
        );
        assert!(body.contains("/i-0000000000000000a"), "{body}");
        let (status, body) = send(&lab, signed(&lab, &session, create, ""))
            .await
            .unwrap();
        assert!(status == 401 && body.contains("AuthFailure"), "{body}");
        let mut forged = good(create);
        *forged.body_mut() = Bytes::from(format!("{create}&Description=x"));
        let (_, body) = send(&lab, forged).await.unwrap();
        assert!(body.contains("SignatureDoesNotMatch"), "{body}");
        assert_eq!(send(&lab, good(create)).await.unwrap().0, 200);
        lab.expire_role_credentials();
        let (_, body) = send(&lab, good(create)).await.unwrap();
        assert!(body.contains("RequestExpired"), "{body}");
        let renewed = lab.role_session("i-0000000000000000a").unwrap();
        assert_ne!(renewed.access_key, session.access_key);
    }
}

//! Whose requests the lab takes. A simulated lab runs nothing and takes every key. A real one runs commands as root:
//! it makes a key of its own when it starts, and takes no request that this key, or the credentials that it gave an
//! instance, did not sign.

use std::path::Path;

use bytes::Bytes;
use http::Request;

use super::imds::RoleSession;
use super::sessions::Assumed;
use super::sigv4::{self, Authorization};
use super::wire::AppError;
use super::{Lab, World};

/// Signatures further off than this are refused.
const SKEW_MINUTES: i64 = 15;

/// The one key that a real lab takes.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Access key id.
    pub access_key: String,
    /// Secret key.
    pub secret: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A key that nobody can guess.
    pub(super) fn random() -> Self {
        Self {
            access_key: format!("AKIALAB{}", random_letters(13).to_uppercase()),
            secret: random_letters(40),
        }
    }
}

/// Letters and digits from the machine's own dice.
fn random_letters(count: usize) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let bytes = std::iter::repeat_with(|| uuid::Uuid::new_v4().into_bytes()).flat_map(|bytes| {
        // Two of the sixteen bytes hold the version and the variant.
        bytes
            .into_iter()
            .enumerate()
            .filter(|(at, _)| !matches!(at, 6 | 8))
            .map(|(_, byte)| usize::from(byte))
    });
    bytes
        // What does not divide evenly would make some letters likelier.
        .filter(|byte| *byte < LETTERS.len() * 4)
        .map(|byte| char::from(LETTERS[byte % LETTERS.len()]))
        .take(count)
        .collect()
}

/// Who signed, where the lab knows more than that it takes the key.
#[derive(Debug)]
pub(super) struct Signer {
    pub role: Option<RoleSession>,
    pub assumed: Option<Assumed>,
}

impl Signer {
    /// The session token and the secret key.
    fn secrets(&self) -> Option<(&str, &str)> {
        let role = self
            .role
            .as_ref()
            .map(|s| (s.token.as_str(), s.secret.as_str()));
        let assumed = self.assumed.as_ref();
        role.or_else(|| assumed.map(|s| (s.token.as_str(), s.secret.as_str())))
    }
}

impl Lab {
    /// The key that this lab asks for; `None` when it takes any.
    pub fn key(&self) -> Option<&Key> {
        self.inner.key.as_ref()
    }

    /// Says where this lab's key is kept, so that who comes with another one is told.
    pub fn keeps_its_key_in(&self, file: &Path) {
        let file = file.display().to_string();
        self.inner.key_file.get_or_init(|| file);
    }

    /// Letters for a secret: from the world's dice where a seed replays, from the machine's where commands are real.
    pub(super) fn letters(&self, world: &mut World, count: usize) -> String {
        match self.key() {
            Some(_) => random_letters(count),
            None => (0..count).map(|_| world.rng.alphanumeric()).collect(),
        }
    }

    /// What must follow an instance's id in the path of its metadata service, so that only its own commands find it:
    /// AWS's is reached from inside the instance alone, the lab's from everything on this machine.
    pub(super) fn door(&self, instance: &str) -> Option<String> {
        let key = self.key()?;
        Some(sigv4::mark(
            key.secret.as_bytes(),
            format!("metadata {instance}").as_bytes(),
        ))
    }

    /// Finds the signer of a request: an instance's role, a role that was assumed, or neither for everybody else that the lab
    /// takes.
    ///
    /// # Errors
    /// What the service says to an unknown key, a wrong signature, a missing session token, or a clock that is far off.
    pub(super) fn identify(
        &self,
        request: &Request<Bytes>,
        authorization: &Authorization,
    ) -> Result<Signer, AppError> {
        let access_key = &authorization.access_key;
        let signer = Signer {
            role: self.role_with_key(access_key),
            assumed: self.inner.sessions.with_key(access_key),
        };
        let secret = match (signer.secrets(), self.key()) {
            (Some((token, secret)), _) => {
                let shown = sigv4::header(request, "x-amz-security-token");
                if !sigv4::same(&shown, token) {
                    return Err(unknown(&authorization.service));
                }
                secret
            }
            (None, None) => return Ok(signer),
            (None, Some(key)) if sigv4::same(&key.access_key, &authorization.access_key) => {
                key.secret.as_str()
            }
            (None, Some(_)) => return Err(unknown(&authorization.service)),
        };
        if !authorization.proves(request, secret) {
            let code = match authorization.service.as_str() {
                "ssm" => "InvalidSignatureException",
                _ => "SignatureDoesNotMatch",
            };
            return Err(AppError::with_status(
                403,
                code,
                "The request signature we calculated does not match the signature you provided.",
            ));
        }
        let date = sigv4::header(request, "x-amz-date");
        let now = self.clock().now();
        let signed = chrono::NaiveDateTime::parse_from_str(&date, "%Y%m%dT%H%M%SZ");
        match signed.map(|at| (at.and_utc() - now).abs()) {
            Ok(off)
                if off <= chrono::Duration::minutes(SKEW_MINUTES)
                    && date.starts_with(&authorization.date) =>
            {
                Ok(signer)
            }
            Ok(_) => Err(AppError::new("RequestExpired", "Request has expired.")),
            Err(_) => Err(unknown(&authorization.service)),
        }
    }
}

/// What a service says to a key that it does not know.
fn unknown(service: &str) -> AppError {
    match service {
        "ssm" | "monitoring" => AppError::new(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        "sts" => AppError::with_status(
            403,
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        ),
        _ => AppError::with_status(
            401,
            "AuthFailure",
            "AWS was not able to validate the provided access credentials",
        ),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::test_support::{Memory, WORLD, all, base, request, send};
    use crate::{Clock, LabOptions, WorldSpec};

    pub(crate) async fn guarded() -> Lab {
        let runtime = Memory {
            real: true,
            ..Memory::default()
        };
        let options = LabOptions {
            world: WorldSpec::parse(WORLD).unwrap(),
            seed: 1,
            clock: Clock::virtual_from(base()),
            runtime: Arc::new(runtime),
            throttling: false,
            account: "123456789012".into(),
            region: "eu-central-1".into(),
        };
        Lab::start(options).await.unwrap()
    }

    fn signed(key: &Key, date: &str, service: &str, form: &str) -> Request<Bytes> {
        let mut request = Request::post("http://lab/")
            .header("host", "lab")
            .header("x-amz-date", date)
            .body(Bytes::from(form.to_owned()))
            .unwrap();
        sigv4::sign(
            &mut request,
            &key.access_key,
            &key.secret,
            "eu-central-1",
            service,
        );
        request
    }

    const NOW: &str = "20261121T040000Z";
    const ASK: &str = "Action=DescribeVolumes";

    async fn code(lab: &Lab, request: Request<Bytes>) -> String {
        let (status, body) = send(lab, request).await.unwrap();
        match status {
            200 => "OK".to_owned(),
            _ => all(&body, "Code").into_iter().next().unwrap_or(body),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p30_a_real_lab_takes_only_what_its_own_key_signed() {
        let lab = guarded().await;
        let key = lab.key().unwrap().clone();
        assert_eq!(code(&lab, signed(&key, NOW, "ec2", ASK)).await, "OK");
        // The well-known key of simulated labs, also with a signature of its own secret.
        let known = Key {
            access_key: "AKIALAB".into(),
            secret: "lab".into(),
        };
        let bare = request("AKIALAB", "eu-central-1", "ec2", ASK);
        assert_eq!(code(&lab, bare).await, "AuthFailure");
        assert_eq!(
            code(&lab, signed(&known, NOW, "ec2", ASK)).await,
            "AuthFailure"
        );
        let sts = "Action=GetCallerIdentity";
        assert_eq!(
            code(&lab, signed(&known, NOW, "sts", sts)).await,
            "InvalidClientTokenId"
        );
        // The right key's name, without its secret.
        let guessed = Key {
            secret: "lab".into(),
            ..key.clone()
        };
        let wrong = signed(&guessed, NOW, "ec2", ASK);
        assert_eq!(code(&lab, wrong).await, "SignatureDoesNotMatch");
        // A body, a path, a query, a header that was not signed so.
        let mut other_body = signed(&key, NOW, "ec2", ASK);
        *other_body.body_mut() =
            Bytes::from_static(b"Action=StopInstances&InstanceId.1=i-0000000000000000a");
        assert_eq!(code(&lab, other_body).await, "SignatureDoesNotMatch");
        let mut other_path = signed(&key, NOW, "ec2", ASK);
        *other_path.uri_mut() = "http://lab/?x=y".parse().unwrap();
        assert_eq!(code(&lab, other_path).await, "SignatureDoesNotMatch");
        let mut unsigned = signed(&key, NOW, "ec2", ASK);
        unsigned
            .headers_mut()
            .insert("x-amz-content-sha256", "UNSIGNED-PAYLOAD".parse().unwrap());
        assert_eq!(code(&lab, unsigned).await, "SignatureDoesNotMatch");
        // Another service than the one it was signed for, an hour ago, and a scope of another day.
        let text = signed(&key, NOW, "ec2", ASK);
        let header = text.headers()["authorization"]
            .to_str()
            .unwrap()
            .replace("/ec2/", "/ssm/");
        let mut elsewhere = signed(&key, NOW, "ec2", ASK);
        elsewhere
            .headers_mut()
            .insert("authorization", header.parse().unwrap());
        assert_ne!(code(&lab, elsewhere).await, "OK");
        let old = signed(&key, "20261121T030000Z", "ec2", ASK);
        assert_eq!(code(&lab, old).await, "RequestExpired");
    }

    #[tokio::test(start_paused = true)]
    async fn p30_the_payload_hash_that_was_signed_must_be_the_bodys() {
        let lab = guarded().await;
        let key = lab.key().unwrap().clone();
        let mut request = Request::post("http://lab/")
            .header("host", "lab")
            .header("x-amz-date", NOW)
            .header(
                "x-amz-content-sha256",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            )
            .body(Bytes::from_static(ASK.as_bytes()))
            .unwrap();
        sigv4::sign(
            &mut request,
            &key.access_key,
            &key.secret,
            "eu-central-1",
            "ec2",
        );
        assert_eq!(code(&lab, request).await, "SignatureDoesNotMatch");
    }

    #[tokio::test(start_paused = true)]
    async fn p30_a_real_labs_metadata_is_behind_a_door_of_its_own() {
        let lab = guarded().await;
        let instance = "i-0000000000000000a";
        let ask = async |path: String| {
            let request = Request::put(path)
                .header("x-aws-ec2-metadata-token-ttl-seconds", "60")
                .body(Bytes::new())
                .unwrap();
            send(&lab, request).await.unwrap().0
        };
        assert_eq!(ask(format!("/imds/{instance}/latest/api/token")).await, 404);
        let door = lab.door(instance).unwrap();
        let other = lab.door("i-0000000000000000b").unwrap();
        assert_eq!(
            ask(format!("/imds/{instance}/{other}/latest/api/token")).await,
            404
        );
        assert_eq!(
            ask(format!("/imds/{instance}/{door}/latest/api/token")).await,
            200
        );
        // And what is handed out there is nothing that a seed tells.
        let twin = guarded().await;
        let (one, two) = (lab.role_session(instance), twin.role_session(instance));
        assert_ne!(one.unwrap().secret, two.unwrap().secret);
        assert_ne!(lab.key().unwrap().secret, twin.key().unwrap().secret);
    }

    #[tokio::test(start_paused = true)]
    async fn p30_a_real_labs_role_credentials_work_and_only_as_they_may() {
        let lab = guarded().await;
        let session = lab.role_session("i-0000000000000000a").unwrap();
        let role = Key {
            access_key: session.access_key.clone(),
            secret: session.secret.clone(),
        };
        let form = "Action=CreateSnapshots&InstanceSpecification.InstanceId=i-0000000000000000a&DryRun=true";
        assert_eq!(
            code(&lab, signed(&role, NOW, "ec2", form)).await,
            "AuthFailure",
            "no token"
        );
        let mut request = Request::post("http://lab/")
            .header("host", "lab")
            .header("x-amz-date", NOW)
            .header("x-amz-security-token", &session.token)
            .body(Bytes::from_static(form.as_bytes()))
            .unwrap();
        sigv4::sign(
            &mut request,
            &role.access_key,
            &role.secret,
            "eu-central-1",
            "ec2",
        );
        assert_eq!(code(&lab, request).await, "DryRunOperation");
    }

    #[test]
    fn secrets_use_every_letter() {
        let many = random_letters(20_000);
        assert_eq!(many.len(), 20_000);
        let different: std::collections::BTreeSet<char> = many.chars().collect();
        assert_eq!(different.len(), 62);
    }
}

//! Sessions of roles that somebody assumed: `sts:AssumeRole`, and who signs with what it answers.
//!
//! The lab has no IAM: every name is a role of its account that whoever may sign may assume. A role whose name says that
//! it looks (`View`, `ReadOnly`) may not write.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::{Mutex, MutexGuard};

use chrono::{DateTime, Duration, Utc};

use super::caller::Caller;
use super::wire::AppError;
use super::wire::query::Params;
use super::{Lab, bounds};

/// Seconds of a session, where the call says none.
const USUAL: i64 = 3_600;
/// Longest session that a session may ask for: role chaining.
const CHAINED: i64 = 3_600;

/// A session of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumed {
    /// Name of the role, without its path.
    pub role: String,
    /// Its unique id, `AROA…`.
    pub role_id: String,
    /// Name of the session.
    pub session: String,
    pub access_key: String,
    pub secret: String,
    /// A request without it is refused.
    pub token: String,
    pub expires: DateTime<Utc>,
    /// Handed on along a chain of roles.
    pub source_identity: Option<String>,
}

impl Assumed {
    /// `assumed-role/NAME/SESSION`
    pub fn principal(&self) -> String {
        format!("assumed-role/{}/{}", self.role, self.session)
    }

    /// The role may only look.
    pub fn read_only(&self) -> bool {
        let name = self.role.to_lowercase();
        name.contains("view") || name.contains("readonly")
    }
}

/// The sessions that are out, by access key, and in the order in which they were handed out.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    by_key: BTreeMap<String, Assumed>,
    issued: VecDeque<String>,
}

impl Sessions {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock()
    }

    pub(super) fn with_key(&self, access_key: &str) -> Option<Assumed> {
        self.books().by_key.get(access_key).cloned()
    }

    fn keep(&self, session: Assumed) {
        let mut books = self.books();
        while books.issued.len() >= bounds::SESSIONS {
            let Some(oldest) = books.issued.pop_front() else {
                break;
            };
            books.by_key.remove(&oldest);
        }
        books.issued.push_back(session.access_key.clone());
        books.by_key.insert(session.access_key.clone(), session);
    }
}

/// `sts:AssumeRole`
///
/// # Errors
/// `ValidationError` for what the service's model refuses, `AccessDenied` for a role of another account.
pub(super) fn assume(lab: &Lab, ctx: &Caller, params: &Params) -> Result<Assumed, AppError> {
    let arn = text(params, "RoleArn", 20, 2048, |_| true)?.unwrap_or_default();
    let session = text(params, "RoleSessionName", 2, 64, is_word)?.unwrap_or_default();
    let source = text(params, "SourceIdentity", 2, 64, is_word)?;
    let more = |c: char| is_word(c) || matches!(c, ':' | '/');
    text(params, "ExternalId", 2, 1224, more)?;
    text(params, "SerialNumber", 9, 256, more)?;
    text(params, "TokenCode", 6, 6, |c| c.is_ascii_digit())?;
    let seconds = params.get("DurationSeconds").unwrap_or_default();
    let seconds = match seconds.parse::<i64>() {
        Ok(seconds) => seconds,
        Err(_) => USUAL,
    };
    if ctx.assumed.is_some() && seconds > CHAINED {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ));
    }
    let (account, role) = role_of(arn).ok_or_else(|| invalid(format!("{arn} is invalid")))?;
    let handed_on = ctx.assumed.as_ref().and_then(|a| a.source_identity.clone());
    let other = source.is_some_and(|said| handed_on.as_deref().is_some_and(|had| had != said));
    if account != ctx.account || other {
        let who = ctx.arn();
        return Err(AppError::with_status(
            403,
            "AccessDenied",
            format!("User: {who} is not authorized to perform: sts:AssumeRole on resource: {arn}"),
        ));
    }
    let mut world = lab.world();
    let assumed = Assumed {
        role: role.to_owned(),
        role_id: role_id(role),
        session: session.to_owned(),
        access_key: format!("ASIA{}", lab.letters(&mut world, 16).to_uppercase()),
        secret: lab.letters(&mut world, 40),
        token: format!("{}==", lab.letters(&mut world, 240)),
        expires: ctx.now + Duration::seconds(seconds),
        source_identity: source.map(str::to_owned).or(handed_on),
    };
    drop(world);
    lab.inner.sessions.keep(assumed.clone());
    Ok(assumed)
}

/// The account and the name, without its path, in `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
fn role_of(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let head = parts.next() == Some("arn")
        && parts
            .next()
            .is_some_and(|partition| partition.starts_with("aws"))
        && parts.next() == Some("iam")
        && parts.next() == Some("");
    let account = parts.next()?;
    let path = parts.next()?.strip_prefix("role/")?;
    let name = path.rsplit('/').next()?;
    let number = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let named = (1..=64).contains(&name.len()) && name.chars().all(is_word);
    (head && number && named).then_some((account, name))
}

/// The same role has the same id for ever.
fn role_id(name: &str) -> String {
    let mark = super::sigv4::mark(b"role id", name.as_bytes());
    let mark = mark.get(..17).unwrap_or_default().to_uppercase();
    format!("AROA{mark}")
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=' | ',' | '.' | '@' | '-')
}

/// A member as the model bounds it.
fn text<'a>(
    params: &'a Params,
    name: &str,
    least: usize,
    most: usize,
    fits: impl Fn(char) -> bool,
) -> Result<Option<&'a str>, AppError> {
    let must = matches!(name, "RoleArn" | "RoleSessionName");
    let mut rest = name.chars();
    let first = rest.next().map(|c| c.to_ascii_lowercase());
    let member = format!("{}{}", first.unwrap_or_default(), rest.as_str());
    let refused = |value: &str, rule: String| {
        let value: String = value.chars().take(80).collect();
        invalid(format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {rule}"
        ))
    };
    let Some(value) = params.get(name) else {
        if must {
            return Err(refused("null", "not be null".to_owned()));
        }
        return Ok(None);
    };
    let long = value.chars().count();
    if long < least {
        return Err(refused(
            value,
            format!("have length greater than or equal to {least}"),
        ));
    }
    if long > most {
        return Err(refused(
            value,
            format!("have length less than or equal to {most}"),
        ));
    }
    if !value.chars().all(fits) {
        return Err(refused(
            value,
            "satisfy regular expression pattern".to_owned(),
        ));
    }
    Ok(Some(value))
}

fn invalid(message: impl Into<String>) -> AppError {
    AppError::new("ValidationError", message)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use crate::keys::{Key, tests::guarded};
    use crate::test_support::{all, base, lab, request, send};
    use crate::{Lab, sigv4};

    const ROLE: &str = "arn:aws:iam::123456789012:role/backup/Nightly";

    fn form(role: &str, more: &str) -> String {
        format!(
            "Action=AssumeRole&Version=2011-06-15&RoleSessionName=me%40host&RoleArn={role}{more}"
        )
    }

    async fn ask(lab: &Lab, request: Request<Bytes>) -> (u16, String) {
        send(lab, request).await.unwrap()
    }

    fn one(body: &str, name: &str) -> String {
        all(body, name)
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("{name}: {body}"))
    }

    /// A request signed with what AssumeRole answered, now.
    fn signed(lab: &Lab, answer: &str, token: &str, service: &str, form: &str) -> Request<Bytes> {
        let mut request = Request::post("http://lab/")
            .header("host", "lab")
            .header(
                "x-amz-date",
                lab.clock().now().format("%Y%m%dT%H%M%SZ").to_string(),
            )
            .header("x-amz-security-token", token)
            .body(Bytes::from(form.to_owned()))
            .unwrap();
        let (id, secret) = (one(answer, "AccessKeyId"), one(answer, "SecretAccessKey"));
        sigv4::sign(&mut request, &id, &secret, "eu-central-1", service);
        request
    }

    #[tokio::test(start_paused = true)]
    async fn an_assumed_role_acts_as_itself_also_along_a_chain() {
        let lab = lab(false).await.0;
        let (status, answer) = ask(
            &lab,
            request("AKIALAB", "eu-central-1", "sts", &form(ROLE, "")),
        )
        .await;
        assert_eq!(status, 200, "{answer}");
        let user = one(&answer, "Arn");
        assert_eq!(
            user,
            "arn:aws:sts::123456789012:assumed-role/Nightly/me@host"
        );
        let token = one(&answer, "SessionToken");
        let who = "Action=GetCallerIdentity&Version=2011-06-15";
        let (_, said) = ask(&lab, signed(&lab, &answer, &token, "sts", who)).await;
        assert_eq!(one(&said, "Arn"), user);
        assert_eq!(one(&said, "UserId"), one(&answer, "AssumedRoleId"));
        // Without its token, and with another secret, they are nobody's.
        let (status, _) = ask(&lab, signed(&lab, &answer, "another", "sts", who)).await;
        assert_eq!(status, 403);
        // The next role of a chain, which may only look, and an hour at most.
        let viewer = form(
            "arn:aws:iam::123456789012:role/Viewer",
            "&DurationSeconds=900",
        );
        let (status, second) = ask(&lab, signed(&lab, &answer, &token, "sts", &viewer)).await;
        assert_eq!(status, 200, "{second}");
        let token2 = one(&second, "SessionToken");
        let (_, said) = ask(&lab, signed(&lab, &second, &token2, "sts", who)).await;
        assert_eq!(
            one(&said, "Arn"),
            "arn:aws:sts::123456789012:assumed-role/Viewer/me@host"
        );
        let write = "Action=DeleteVolume&VolumeId=vol-0000000000000000a";
        let (_, said) = ask(&lab, signed(&lab, &second, &token2, "ec2", write)).await;
        assert_eq!(one(&said, "Code"), "UnauthorizedOperation");
        let long = form(ROLE, "&DurationSeconds=7200");
        let (_, said) = ask(&lab, signed(&lab, &answer, &token, "sts", &long)).await;
        assert_eq!(one(&said, "Code"), "ValidationError");
        let (status, _) = ask(&lab, request("AKIALAB", "eu-central-1", "sts", &long)).await;
        assert_eq!(status, 200, "of a key it may be longer");
        // After its time it is over.
        lab.clock().sleep(std::time::Duration::from_secs(901)).await;
        let (_, said) = ask(&lab, signed(&lab, &second, &token2, "sts", who)).await;
        assert_eq!(one(&said, "Code"), "ExpiredToken");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_model_refuses_is_refused() {
        let lab = lab(false).await.0;
        for (role, more, code) in [
            (
                "arn:aws:iam::123456789012:user/somebody",
                "",
                "ValidationError",
            ),
            ("nonsense-of-twenty-letters", "", "ValidationError"),
            ("short", "", "ValidationError"),
            ("arn:aws:iam::210987654321:role/Nightly", "", "AccessDenied"),
            (ROLE, "&DurationSeconds=899", "ValidationError"),
            (ROLE, "&DurationSeconds=43201", "ValidationError"),
            (ROLE, "&ExternalId=x", "ValidationError"),
            (ROLE, "&TokenCode=12345x", "ValidationError"),
            (ROLE, "&SourceIdentity=a%20b", "ValidationError"),
            (ROLE, "&Colour=red", "UnknownParameter"),
        ] {
            let asked = request("AKIALAB", "eu-central-1", "sts", &form(role, more));
            let (status, said) = ask(&lab, asked).await;
            assert!(status >= 400, "{role} {more}");
            assert_eq!(one(&said, "Code"), code, "{role} {more}");
        }
        let nameless = "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/Nightly";
        let (_, said) = ask(&lab, request("AKIALAB", "eu-central-1", "sts", nameless)).await;
        assert_eq!(one(&said, "Code"), "ValidationError");
    }

    #[tokio::test(start_paused = true)]
    async fn a_real_lab_hands_a_role_to_its_own_key_alone() {
        let lab = guarded().await;
        let key: Key = lab.key().unwrap().clone();
        let stranger = request("AKIALAB", "eu-central-1", "sts", &form(ROLE, ""));
        assert_eq!(ask(&lab, stranger).await.0, 403);
        let mut own = Request::post("http://lab/")
            .header("host", "lab")
            .header("x-amz-date", base().format("%Y%m%dT%H%M%SZ").to_string())
            .body(Bytes::from(form(ROLE, "")))
            .unwrap();
        sigv4::sign(
            &mut own,
            &key.access_key,
            &key.secret,
            "eu-central-1",
            "sts",
        );
        let (status, answer) = ask(&lab, own).await;
        assert_eq!(status, 200, "{answer}");
        let token = one(&answer, "SessionToken");
        let who = "Action=GetCallerIdentity";
        assert_eq!(
            ask(&lab, signed(&lab, &answer, &token, "sts", who)).await.0,
            200
        );
    }
}

//! A `credential_process`: a program that prints credentials as JSON. What it prints is bounded, and it ends with the
//! question: the SDK's own provider reads without end, and leaves behind what takes too long.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::domain::text::visible;

/// Most bytes of what it prints, on either stream: 1 MiB. AWS's own tools name no number.
pub(super) const MOST: usize = 1 << 20;
/// Most characters of its complaint that are shown.
const SHOWN: usize = 300;

/// Runs it by the shell, as AWS's tools do, and reads its answer. It stays in this process's group: it may ask a person at
/// the terminal. Where it is given up, the shell is killed, and what it started finds its output closed.
///
/// # Errors
/// Why there are no credentials, in words that show none.
pub(super) async fn credentials(command: &str) -> Result<Credentials, String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("it could not be started: {error}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err) = tokio::try_join!(bounded(out), bounded(err))?;
    let status = child
        .wait()
        .await
        .map_err(|error| format!("its end could not be seen: {error}"))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&err);
        let said: String = said.trim().chars().take(SHOWN).collect();
        return Err(match visible(&said) {
            said if said.is_empty() => format!("it ended with {status}"),
            said => format!("it ended with {status}: {said}"),
        });
    }
    read(&out)
}

/// All that is printed, if it is not too much.
async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    if let Some(stream) = stream {
        let most = u64::try_from(MOST).unwrap_or(u64::MAX);
        stream
            .take(most + 1)
            .read_to_end(&mut all)
            .await
            .map_err(|error| format!("what it prints could not be read: {error}"))?;
    }
    if all.len() > MOST {
        return Err("it prints more than 1 MiB, and credentials are less".to_owned());
    }
    Ok(all)
}

/// Parses a credential_process's answer; keys are compared without regard to case, as the SDK does.
fn read(out: &[u8]) -> Result<Credentials, String> {
    let answer: Map<String, Value> =
        serde_json::from_slice(out).map_err(|_| "what it prints is no JSON object".to_owned())?;
    let member = |name: &str| {
        let mut members = answer.iter();
        let found = members.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    };
    let text = |name: &str| match member(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("{name} is no text in what it prints")),
    };
    let needed =
        |name: &str| text(name)?.ok_or_else(|| format!("{name} is missing in what it prints"));
    match member("Version") {
        Some(version) if version.as_u64() == Some(1) => {}
        Some(_) => return Err("Version is not 1 in what it prints".to_owned()),
        None => return Err("Version is missing in what it prints".to_owned()),
    }
    let expires = text("Expiration")?
        .map(|at| {
            let at = chrono::DateTime::parse_from_rfc3339(at).map_err(|_| {
                "Expiration is no time in what it prints, such as 2026-12-01T04:00:00Z".to_owned()
            })?;
            let seconds = u64::try_from(at.timestamp()).unwrap_or_default();
            Ok::<_, String>(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        })
        .transpose()?;
    Ok(Credentials::new(
        needed("AccessKeyId")?,
        needed("SecretAccessKey")?,
        text("SessionToken")?.map(str::to_owned),
        expires,
        "credential_process",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(command: &str) -> String {
        credentials(command).await.unwrap_err()
    }

    #[tokio::test]
    async fn what_it_prints_is_read_as_the_sdk_reads_it() {
        let json = r#"{"Version": 1, "accesskeyid": "AKIAONE", "SecretAccessKey": "s", "SessionToken": null,
            "Expiration": "2026-12-01T06:00:00+02:00", "Other": [1]}"#;
        let made = credentials(&format!("printf '%s' '{json}'")).await.unwrap();
        assert_eq!(made.access_key_id(), "AKIAONE");
        assert_eq!(made.session_token(), None);
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_097_600);
        assert_eq!(made.expiry(), Some(expires));
        for (json, words) in [
            ("", "no JSON"),
            ("[]", "no JSON"),
            ("{}", "Version is missing"),
            (r#"{"Version": 2}"#, "Version is not 1"),
            (
                r#"{"Version": 1, "SecretAccessKey": "Q7Z"}"#,
                "AccessKeyId is missing",
            ),
            (
                r#"{"Version": 1, "AccessKeyId": 7, "SecretAccessKey": "Q7Z"}"#,
                "no text",
            ),
            (
                r#"{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "Q7Z", "Expiration": "soon"}"#,
                "Expiration",
            ),
        ] {
            let said = refused(&format!("printf '%s' '{json}'")).await;
            assert!(
                said.contains(words) && !said.contains("Q7Z"),
                "{json}: {said}"
            );
        }
        let failed = refused("echo 'sign in first' >&2; exit 7").await;
        assert!(
            failed.contains('7') && failed.contains("sign in first"),
            "{failed}"
        );
    }

    /// Memory and time of a program that prints for ever are bounded, on either stream, and nothing of it is left.
    #[tokio::test]
    async fn a_program_that_prints_for_ever_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        for redirect in ["", ">&2"] {
            let pid = dir.path().join("pid");
            let command = format!(
                "sh -c 'echo $$ > {}; exec yes AKIA {redirect}'; true",
                pid.display()
            );
            let said = refused(&command).await;
            assert!(said.contains("more than 1 MiB"), "{said}");
            let pid: i32 = std::fs::read_to_string(&pid)
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            // Its output is closed: it ends as soon as it prints again.
            let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
            let ended = |stat: &String| stat.contains(") Z ");
            while state().filter(|stat| !ended(stat)).is_some() {
                tokio::task::yield_now().await;
            }
        }
    }
}

//! The one error shape that a person meets: what failed, why, and what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of failure it is; decides exit codes and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// A flag, a config line or an expression is wrong.
    Usage,
    /// The thing named does not exist (in this account and region).
    NotFound,
    /// No credentials, expired credentials, or a signature that was refused.
    Credentials,
    /// The caller is known but not allowed.
    Denied,
    /// The endpoint could not be reached, or the answer never came.
    Network,
    /// AWS asked us to slow down, past our patience.
    Throttled,
    /// The resource is not in a state that allows it.
    State,
    /// The SSM agent is offline or the command was not delivered.
    Agent,
    /// A document is missing, malformed or not what it should be.
    Document,
    /// The script on the instance reported a failure.
    Script,
    /// An answer or a line that could not be understood.
    Malformed,
    /// The journal or another local file could not be used.
    Local,
    /// The operator (or a safety rule) stopped it.
    Cancelled,
    /// A time limit passed.
    Timeout,
    /// Anything that AWS answered and that fits nowhere above.
    Aws,
}

/// A failure in words: `what` failed, the `cause`, and the `hint`. All three are safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What sort of failure it is.
    pub kind: Kind,
    /// What was being done, naming the thing: "read snapshots of eu-central-1".
    pub what: String,
    /// Why it failed, in the words of whoever refused.
    pub cause: String,
    /// What to do next. Never empty.
    pub hint: String,
    /// AWS's error code where there is one, such as `InvalidSnapshot.InUse`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// The id that AWS gave the request; its support asks for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<Box<str>>,
    /// True when the request may have been carried out although no answer came. Such a call is
    /// looked up by its tags, never repeated.
    #[serde(default)]
    pub may_have_happened: bool,
}

impl Problem {
    /// A problem from its parts; hostile characters are made visible.
    pub fn new(
        kind: Kind,
        what: impl AsRef<str>,
        cause: impl AsRef<str>,
        hint: impl AsRef<str>,
    ) -> Self {
        let safe = |text: &str| super::text::visible(text).into_owned();
        Self {
            kind,
            what: safe(what.as_ref()),
            cause: safe(cause.as_ref()),
            hint: safe(hint.as_ref()),
            code: None,
            request_id: None,
            may_have_happened: false,
        }
    }

    /// The same problem, whichever request met it: AWS gives each request another id.
    #[must_use]
    pub fn of_any_request(&self) -> Self {
        Self {
            request_id: None,
            ..self.clone()
        }
    }

    /// The same problem with AWS's error code.
    #[must_use]
    pub fn with_code(mut self, code: impl AsRef<str>) -> Self {
        self.code = Some(super::text::visible(code.as_ref()).into_owned());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cause)?;
        if let Some(code) = &self.code {
            write!(f, " [{code}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

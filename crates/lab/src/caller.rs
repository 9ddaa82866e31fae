//! Who calls, from where and when: what the services know of a request beside its parameters.

use chrono::{DateTime, Utc};

use super::imds::RoleSession;
use super::sessions::Assumed;

/// The caller of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// Access key id.
    pub access_key: String,
    /// Set when an instance's role signed.
    pub role: Option<RoleSession>,
    /// Set when the session of a role that was assumed signed.
    pub assumed: Option<Assumed>,
    /// The time.
    pub now: DateTime<Utc>,
    /// AWS's request id.
    pub request_id: String,
}

impl Caller {
    /// The ARN of the caller, as STS names it.
    pub fn arn(&self) -> String {
        let who = match (&self.role, &self.assumed) {
            (Some(session), _) => session.principal(),
            (None, Some(assumed)) => assumed.principal(),
            _ if self.read_only() => "assumed-role/BackupViewer/you".to_owned(),
            _ => "assumed-role/BackupOperator/you".to_owned(),
        };
        format!("arn:aws:sts::{}:{who}", self.account)
    }

    /// The key may only look.
    pub fn read_only(&self) -> bool {
        self.access_key.contains("READONLY")
            || self.assumed.as_ref().is_some_and(Assumed::read_only)
    }

    /// The key's session is over.
    pub fn expired(&self) -> bool {
        self.access_key.contains("EXPIRED")
            || self
                .role
                .as_ref()
                .is_some_and(|session| session.expires <= self.now)
            || self
                .assumed
                .as_ref()
                .is_some_and(|session| session.expires <= self.now)
    }
}

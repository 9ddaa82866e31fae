//! Identifiers as AWS writes them. Parsing is strict for what a person types; what an API returned is
//! kept as it came (`from_api`), because refusing to show a row helps nobody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What was wrong with an identifier that a person typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {kind}: expected {expected}")]
pub struct IdError {
    /// The text as given, made safe for display.
    pub text: String,
    /// What it was meant to be, with its article.
    pub kind: &'static str,
    /// The shape that would have been accepted.
    pub expected: &'static str,
}

/// `prefix` followed by 8 or 17 lower-case hexadecimal digits (aws-facts, section 0).
fn is_resource_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|hex| {
        matches!(hex.len(), 8 | 17)
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Keeps what an API (or our own journal) returned, unchecked.
            pub fn from_api(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError {
                        text: crate::text::visible(text).into_owned(),
                        kind: $kind,
                        expected: $expected,
                    })
                }
            }
        }
    };
}

id!(
    /// An EC2 instance, `i-` and 8 or 17 hex digits.
    InstanceId, "an instance id", "i- and 8 or 17 hex digits",
    |t| is_resource_id(t, "i-")
);
id!(
    /// An EBS volume, `vol-` and 8 or 17 hex digits.
    VolumeId, "a volume id", "vol- and 8 or 17 hex digits",
    |t| is_resource_id(t, "vol-")
);
id!(
    /// An EBS snapshot, `snap-` and 8 or 17 hex digits.
    SnapshotId, "a snapshot id", "snap- and 8 or 17 hex digits",
    |t| is_resource_id(t, "snap-")
);
id!(
    /// A machine image, `ami-` and 8 or 17 hex digits.
    ImageId, "an image id", "ami- and 8 or 17 hex digits",
    |t| is_resource_id(t, "ami-")
);
id!(
    /// One consistent snapshot of one instance; a lower-case UUID, also the documents' `executionId`
    /// and the id of the set that the job makes.
    JobId, "a job id", "a UUID such as 0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10", is_uuid
);
id!(
    /// The jobs started together; a lower-case UUID.
    RunId, "a run id", "a UUID such as 0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10", is_uuid
);
id!(
    /// An SSM command, a UUID of exactly 36 characters.
    CommandId, "a command id", "a UUID", is_uuid
);
id!(
    /// An AWS account, 12 digits.
    AccountId, "an account id", "12 digits",
    |t| t.len() == 12 && t.bytes().all(|b| b.is_ascii_digit())
);
id!(
    /// An AWS region name such as `eu-central-1`.
    Region, "a region", "a name such as eu-central-1",
    |t| t.len() >= 5 && t.len() <= 25 && t.contains('-')
        && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

/// The account and region that STS proved for a row or a write. Rows from two scopes never mix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The account that `sts:GetCallerIdentity` answered.
    pub account: AccountId,
    /// The region that the client was built for.
    pub region: Region,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_for_people_lenient_for_apis() {
        assert!("i-0123456789abcdef0".parse::<InstanceId>().is_ok());
        assert!("i-01234567".parse::<InstanceId>().is_ok());
        for bad in [
            "",
            "i-",
            "i-0123456G",
            "vol-01234567",
            "i-012345678",
            "i-01234567\n",
        ] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?}");
        }
        assert_eq!(VolumeId::from_api("vol-ffff").as_str(), "vol-ffff");
        let error = "i-\u{1b}[2J".parse::<InstanceId>().unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
}

//! Whose credentials a session acts with, in words that every plan, question and result shows.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::Scope;
use super::text::visible;

/// Where the credentials of a session come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The lab inside this process, or keys that a test handed in.
    #[default]
    Lab,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. `instead_of` is the profile that gives way to them.
    Variables {
        /// The profile that they stand in front of.
        instead_of: Option<String>,
    },
    /// A profile of the shared AWS files.
    Profile {
        /// Its name.
        name: String,
        /// Where it has them from.
        how: How,
    },
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`. `instead_of` is the profile that gives way to them.
    WebIdentity {
        /// The profile that they stand in front of.
        instead_of: Option<String>,
    },
    /// The role of the container that this process runs in.
    Container,
    /// The role of the EC2 instance that this process runs on.
    Instance,
}

/// How a profile gives credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Keys in the credentials file.
    CredentialsFile,
    /// Keys in the configuration file.
    ConfigFile,
    /// A role that is assumed with other credentials.
    Role {
        /// The role.
        arn: String,
    },
    /// A role that is assumed with a web identity token.
    WebIdentity {
        /// The role.
        arn: String,
    },
    /// `aws sso login`.
    Sso,
    /// `aws login`.
    Login,
    /// A program that prints credentials.
    Process,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CredentialsFile => f.write_str("credentials file"),
            Self::ConfigFile => f.write_str("config file"),
            Self::Role { arn } => write!(f, "role {}", visible(role_of(arn))),
            Self::WebIdentity { arn } => {
                write!(f, "web identity, role {}", visible(role_of(arn)))
            }
            Self::Sso => f.write_str("IAM Identity Center"),
            Self::Login => f.write_str("aws login"),
            Self::Process => f.write_str("credential_process"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = |f: &mut fmt::Formatter<'_>, profile: &Option<String>| match profile {
            Some(profile) => write!(f, ", not profile {}", visible(profile)),
            None => Ok(()),
        };
        match self {
            Self::Lab => f.write_str("keys of the lab"),
            Self::Variables { instead_of } => {
                f.write_str("environment variables")?;
                over(f, instead_of)
            }
            Self::Profile { name, how } => write!(f, "profile {} ({how})", visible(name)),
            Self::WebIdentity { instead_of } => {
                f.write_str("web identity of the environment")?;
                over(f, instead_of)
            }
            Self::Container => f.write_str("role of this container"),
            Self::Instance => f.write_str("role of this instance"),
        }
    }
}

impl Source {
    /// The shortest words, for the first line of the screen; a lab says by itself that it is one.
    pub fn short(&self) -> Option<String> {
        Some(match self {
            Self::Lab => return None,
            Self::Variables { .. } => "environment variables".to_owned(),
            Self::WebIdentity { .. } => "web identity".to_owned(),
            Self::Profile { name, .. } => format!("profile {}", visible(name)),
            Self::Container | Self::Instance => self.to_string(),
        })
    }

    /// The profile that gives the credentials.
    pub fn profile(&self) -> Option<&str> {
        match self {
            Self::Profile { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// Who acts, and where: the proven account, the region, the caller, and whose credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Proven account and region.
    pub scope: Scope,
    /// ARN of the caller, as STS told it.
    pub arn: String,
    /// Whose credentials.
    pub source: Source,
}

impl fmt::Display for Who {
    /// The one line of every plan, question and table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "account {}, {}, as {}; credentials: {}",
            self.scope.account,
            self.scope.region,
            visible(role_of(&self.arn)),
            self.source
        )
    }
}

impl Who {
    /// The same for a title, shortest words: `123456789012 eu-central-1, profile prod`.
    pub fn short(&self) -> String {
        let Scope { account, region } = &self.scope;
        let source = self.source.short();
        let source = source.unwrap_or_else(|| self.source.to_string());
        format!("{account} {region}, {source}")
    }

    /// The same for programs: `account`, `region`, `arn`, `credentials`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "account": self.scope.account,
            "region": self.scope.region,
            "arn": self.arn,
            "credentials": self.source.to_string(),
        })
    }
}

/// The role or user that an ARN names: the last part that a person would know it by.
pub fn role_of(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    let mut parts = resource.split('/');
    let kind = parts.next().unwrap_or(resource);
    match kind {
        "assumed-role" | "federated-user" => parts.next().unwrap_or(resource),
        "user" | "role" => parts.next_back().unwrap_or(resource),
        _ => resource,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AccountId, Region};

    #[test]
    fn roles_are_read_from_arns() {
        for (arn, role) in [
            (
                "arn:aws:sts::123456789012:assumed-role/BackupOperator/anna",
                "BackupOperator",
            ),
            ("arn:aws:iam::123456789012:user/ops/anna", "anna"),
            ("arn:aws:iam::123456789012:root", "root"),
            ("arn:aws:sts::123456789012:federated-user/anna", "anna"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(role_of(arn), role);
        }
    }

    #[test]
    fn the_line_names_account_region_caller_and_credentials() {
        let who = Who {
            scope: Scope {
                account: AccountId::from_api("123456789012"),
                region: Region::from_api("eu-central-1"),
            },
            arn: "arn:aws:iam::123456789012:user/anna".to_owned(),
            source: Source::Profile {
                name: "viewer".to_owned(),
                how: How::CredentialsFile,
            },
        };
        assert_eq!(
            who.to_string(),
            "account 123456789012, eu-central-1, as anna; credentials: profile viewer (credentials file)"
        );
        assert_eq!(
            who.json(),
            serde_json::json!({
                "account": "123456789012",
                "region": "eu-central-1",
                "arn": "arn:aws:iam::123456789012:user/anna",
                "credentials": "profile viewer (credentials file)",
            })
        );
        let keys = Source::Variables {
            instead_of: Some("viewer".to_owned()),
        };
        assert_eq!(
            keys.to_string(),
            "environment variables, not profile viewer"
        );
    }
}

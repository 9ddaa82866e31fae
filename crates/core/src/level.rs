//! How much a snapshot is worth, and who made it.

use serde::{Deserialize, Serialize};

/// What a volume's snapshot is. Ordered: a later variant promises more.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Level {
    /// Not proven yet; worth no more than `crash` until it is.
    Pending,
    /// As if the power had failed.
    Crash,
    /// The filesystem was frozen: everything written is on it, its journal is at rest.
    Filesystem,
    /// The application was quiesced as well (for InnoDB: redo recovery is still to be expected).
    Application,
}

impl Level {
    /// Whether evidence stands behind it.
    pub fn is_proven(self) -> bool {
        self >= Self::Filesystem
    }
}

/// Who made and keeps a snapshot. Only `Freezeframe` ones are ours to prune.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Origin {
    /// Carries our job tag.
    Freezeframe,
    /// Managed by a Data Lifecycle Manager policy.
    Dlm {
        /// The policy's id.
        policy: String,
    },
    /// Managed by AWS Backup; EC2 refuses to delete it.
    AwsBackup,
    /// Held by a machine image.
    Image {
        /// The image's id.
        image: String,
    },
    /// Carries the tags of a snapshot of ours, and is another.
    Copy {
        /// The one whose tags it carries, as they say.
        of: String,
    },
    /// Anything else.
    Manual,
}

impl Origin {
    /// A word for tables and filters.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Freezeframe => "freezeframe",
            Self::Dlm { .. } => "dlm",
            Self::AwsBackup => "aws-backup",
            Self::Image { .. } => "ami",
            Self::Copy { .. } => "copy",
            Self::Manual => "manual",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_spelled() {
        assert!(Level::Application > Level::Filesystem);
        assert!(Level::Filesystem > Level::Crash && Level::Crash > Level::Pending);
        assert_eq!(Level::Application.to_string(), "application");
        assert_eq!("filesystem".parse::<Level>(), Ok(Level::Filesystem));
        assert!("Consistent".parse::<Level>().is_err());
        assert!(!Level::Pending.is_proven() && !Level::Crash.is_proven());
    }
}

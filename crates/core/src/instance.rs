//! EC2 instances as the console knows them.

use crate::state::InstanceState;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{InstanceId, Scope, VolumeId};
use super::tags::{CONSISTENT_SNAPSHOT, Tags};

/// `Instance.Platform` is only ever `Windows`; everything else is taken for Linux (aws-facts 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Platform {
    /// Linux and whatever else is not Windows.
    Linux,
    /// Windows.
    Windows,
}

/// What Systems Manager says of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Agent {
    /// `PingStatus` Online (may be five minutes old).
    Online {
        /// Version of the agent.
        version: String,
        /// Time of the last ping.
        last_ping: Option<DateTime<Utc>>,
    },
    /// `ConnectionLost` or `Inactive`.
    Lost {
        /// Time of the last ping.
        last_ping: Option<DateTime<Utc>>,
    },
    /// Systems Manager does not know the instance (or it is stopped).
    Absent,
    /// Not asked, or asking failed.
    Unknown,
}

impl Agent {
    /// A word for tables and filters.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Online { .. } => "online",
            Self::Lost { .. } => "lost",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }
}

/// One entry of an instance's block device mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Name asked for at attachment, such as `/dev/sdf` or `xvdf`.
    pub device: String,
    /// The volume behind it.
    pub volume: VolumeId,
    /// Deleted with the instance.
    pub delete_on_termination: bool,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Whose it is.
    #[serde(flatten)]
    pub scope: Scope,
    /// Its id.
    pub id: InstanceId,
    /// `pending`, `running`, `stopping`, `stopped`, … as AWS writes it.
    pub state: InstanceState,
    /// Linux or Windows.
    pub platform: Platform,
    /// The richer description, such as `Windows with SQL Server`.
    pub platform_details: String,
    /// Instance type, such as `m7g.large`.
    pub instance_type: String,
    /// Availability zone.
    pub zone: String,
    /// Device name of the root volume.
    pub root_device: String,
    /// Volumes, in the order of their device names.
    pub devices: Vec<BlockDevice>,
    /// When it was launched.
    pub launched: Option<DateTime<Utc>>,
    /// Its tags.
    pub tags: Tags,
    /// What Systems Manager says.
    pub agent: Agent,
}

impl Instance {
    /// The `Name` tag, or the id.
    pub fn name(&self) -> &str {
        self.tags.name().unwrap_or_else(|| self.id.as_str())
    }

    /// The value of the tag `ConsistentSnapshot`, as written.
    pub fn recipe_tag(&self) -> Option<&str> {
        self.tags.get(CONSISTENT_SNAPSHOT)
    }

    /// The root volume: the attachment whose device is the root device (aws-facts 4.13).
    pub fn root_volume(&self) -> Option<&VolumeId> {
        self.devices
            .iter()
            .find(|d| d.device == self.root_device)
            .map(|d| &d.volume)
    }

    /// Every attached volume but the root volume.
    pub fn data_volumes(&self) -> impl Iterator<Item = &BlockDevice> {
        self.devices.iter().filter(|d| d.device != self.root_device)
    }
}

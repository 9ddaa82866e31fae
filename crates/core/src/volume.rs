//! EBS volumes as the console knows them.

use crate::state::{AttachmentState, VolumeState};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{InstanceId, Scope, SnapshotId, VolumeId};
use super::tags::{EXCLUDE, Tags};

/// Where a volume is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The instance.
    pub instance: InstanceId,
    /// Device name there.
    pub device: String,
    /// How far it is.
    pub state: AttachmentState,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Whose it is.
    #[serde(flatten)]
    pub scope: Scope,
    /// Its id.
    pub id: VolumeId,
    /// Where it is.
    pub state: VolumeState,
    /// Size in GiB.
    pub size_gib: u32,
    /// `gp3`, `io2`, `st1`, …
    pub volume_type: String,
    /// Provisioned operations per second, where the type has them.
    pub iops: Option<u32>,
    /// Provisioned throughput in MiB/s (gp3 only).
    pub throughput: Option<u32>,
    /// Encrypted at rest.
    pub encrypted: bool,
    /// Its key, when encrypted.
    pub kms_key: Option<String>,
    /// Availability zone.
    pub zone: String,
    /// Snapshot that it was made from.
    pub from_snapshot: Option<SnapshotId>,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// Where it is attached (several for Multi-Attach).
    pub attachments: Vec<Attachment>,
    /// Its tags.
    pub tags: Tags,
}

impl Volume {
    /// The `Name` tag, or the id.
    pub fn name(&self) -> &str {
        self.tags.name().unwrap_or_else(|| self.id.as_str())
    }

    /// Whether its tag keeps it out of sets.
    pub fn is_excluded(&self) -> bool {
        self.tags.get(EXCLUDE).is_some()
    }
}

//! Restores: from a point in time to volumes beside the data. A plan names every call before one is made.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{InstanceId, JobId, Scope, SnapshotId, VolumeId};
use super::level::Level;
use super::tags::Tags;

mod calls;
mod copy_tags;
mod device;
mod performance;
mod plan;
mod twins;

pub use calls::shell_quote;
pub use device::{device_taken, is_device};
pub use performance::{Source, TYPES};
pub use plan::{is_root_device, kms_key, plan};
pub use twins::Twin;

/// What a restore is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, Default)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Purpose {
    /// New volumes at new devices, originals untouched.
    #[default]
    BesideTheData,
}

/// What a person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// The set to restore from.
    pub set: JobId,
    /// Only these snapshots of it; empty means every member but the root volume's.
    pub only: Vec<SnapshotId>,
    /// Where to attach.
    pub target: InstanceId,
    /// First device name to use (`/dev/sdf`); `None` picks free ones.
    pub device: Option<String>,
    /// Volume type; `None` keeps the source volume's, or `gp3`. This and the next four go for every volume.
    pub volume_type: Option<String>,
    /// Provisioned IOPS; `None` keeps the source volume's where they apply.
    #[serde(default)]
    pub iops: Option<u32>,
    /// Provisioned throughput in MiB/s (gp3); `None` keeps the source volume's where it applies.
    #[serde(default)]
    pub throughput: Option<u32>,
    /// Encrypt even where the snapshot is not.
    #[serde(default)]
    pub encrypted: bool,
    /// Key to encrypt with; `None` keeps the snapshot's, or takes the account's default.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Keys of the source's tags that the copies get too.
    #[serde(default)]
    pub copy_tags: Vec<String>,
    /// All of them.
    #[serde(default)]
    pub copy_all_tags: bool,
    /// Later sets of the instance take the copies along.
    #[serde(default)]
    pub in_sets: bool,
    /// Mount under this directory, one subdirectory per device; `None` attaches only.
    pub mount_under: Option<String>,
}

impl RestoreRequest {
    /// A whole set to that instance, everything else as it comes.
    pub fn new(set: JobId, target: InstanceId) -> Self {
        Self {
            set,
            only: Vec::new(),
            target,
            device: None,
            volume_type: None,
            iops: None,
            throughput: None,
            encrypted: false,
            kms_key: None,
            copy_tags: Vec::new(),
            copy_all_tags: false,
            in_sets: false,
            mount_under: None,
        }
    }
}

/// One volume to bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreItem {
    /// Snapshot it comes from.
    pub snapshot: SnapshotId,
    /// Volume the snapshot was taken from.
    pub source: VolumeId,
    /// Level of the snapshot.
    pub level: Level,
    /// Size in GiB.
    pub size_gib: u32,
    /// Availability zone of the target.
    pub zone: String,
    /// Volume type.
    pub volume_type: String,
    /// Provisioned IOPS where the type needs them.
    pub iops: Option<u32>,
    /// Provisioned throughput, MiB/s (gp3).
    pub throughput: Option<u32>,
    /// Where the type comes from.
    #[serde(default)]
    pub type_from: Source,
    /// Where the IOPS come from.
    #[serde(default)]
    pub iops_from: Source,
    /// Where the throughput comes from.
    #[serde(default)]
    pub throughput_from: Source,
    /// Whether the copy is encrypted at rest.
    #[serde(default)]
    pub encrypted: bool,
    /// Whether encryption was asked for, of a snapshot that has none.
    #[serde(default)]
    pub encrypt: bool,
    /// Key that was asked for; `None` is the snapshot's, or the account's default.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Volumes at the target with the same filesystem UUIDs and labels.
    #[serde(default)]
    pub same_filesystems: Vec<Twin>,
    /// Keys of the source's tags that the copy does not get.
    #[serde(default)]
    pub tags_left_off: Vec<String>,
    /// Device name at the target.
    pub device: String,
    /// Where it will be mounted.
    pub mount: Option<String>,
    /// Tags of the new volume: its Name, those that were asked for, and ours.
    pub tags: Tags,
    /// Idempotency token of `CreateVolume`; derived from restore id and snapshot.
    pub client_token: String,
}

impl RestoreItem {
    /// Type and performance in words, and where each comes from:
    /// `gp3, 6000 IOPS, 400 MiB/s (as recorded with the set)`.
    pub fn performance(&self) -> String {
        let mut parts = vec![(self.volume_type.clone(), self.type_from)];
        if let Some(iops) = self.iops {
            parts.push((format!("{iops} IOPS"), self.iops_from));
        }
        if let Some(mibs) = self.throughput {
            parts.push((format!("{mibs} MiB/s"), self.throughput_from));
        }
        let mut words = String::new();
        for (n, (part, from)) in parts.iter().enumerate() {
            if n > 0 {
                words.push_str(", ");
            }
            words.push_str(part);
            // One source for all is said once.
            if parts.get(n + 1).is_none_or(|(_, next)| next != from) {
                words.push_str(&format!(" ({from})"));
            }
        }
        words
    }

    /// How the copy is encrypted, in words.
    pub fn encryption(&self) -> String {
        match (&self.kms_key, self.encrypted) {
            (Some(key), _) => format!("encrypted with {key} (as you asked)"),
            (None, true) if self.encrypt => {
                "encrypted with the account's default key (as you asked)".to_owned()
            }
            (None, true) => "encrypted with the snapshot's key".to_owned(),
            (None, false) => "not encrypted".to_owned(),
        }
    }
}

/// One call of the plan, in words and as a line for a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCall {
    /// AWS operation, such as `CreateVolume`.
    pub operation: String,
    /// What it does, in words.
    pub words: String,
    /// Equivalent AWS CLI line; ids that are not known yet stand as `$VOLUME_1`.
    pub cli: String,
}

/// The plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// Id of this restore, a UUID.
    pub id: String,
    /// The only account and region that it may be carried out in.
    #[serde(flatten)]
    pub scope: Scope,
    /// What it is for.
    pub purpose: Purpose,
    /// The set.
    pub set: JobId,
    /// The moment whose data comes back.
    pub point_in_time: DateTime<Utc>,
    /// Where to.
    pub target: InstanceId,
    /// The target's name, for people.
    pub target_name: String,
    /// What comes back.
    pub items: Vec<RestoreItem>,
    /// Every call, in order.
    pub calls: Vec<PlannedCall>,
    /// Things that a person should know before saying yes.
    pub warnings: Vec<String>,
    /// What was decided, and how to decide otherwise.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Where one item of a running restore stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// `CreateVolume` was sent.
    Creating,
    /// The volume is available; `AttachVolume` was sent.
    Attaching,
    /// Attached; the mount command was sent.
    Mounting,
    /// Finished.
    Done,
    /// Failed; see the note.
    Failed,
}

/// Live status of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemStatus {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// The new volume once known.
    pub volume: Option<VolumeId>,
    /// Where it stands.
    pub state: StepState,
    /// What happened, in words.
    pub note: String,
}

/// A restore as screens and JSON show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreView {
    /// The plan.
    pub plan: RestorePlan,
    /// Each item, in the plan's order.
    pub items: Vec<ItemStatus>,
    /// All items ended (well or not).
    pub finished: bool,
}

impl RestoreView {
    /// `open` until it has ended; then `failed` where an item is not done, else `done`.
    pub fn state(&self) -> &'static str {
        if !self.finished {
            "open"
        } else if self.items.iter().all(|item| item.state == StepState::Done) {
            "done"
        } else {
            "failed"
        }
    }
}

//! Restores: from a point in time to volumes beside the data. A plan names every call before one is made.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{InstanceId, JobId, Scope, SnapshotId, VolumeId};
use super::level::Level;
use super::tags::Tags;

mod calls;
mod device;
mod plan;

pub use calls::shell_quote;
pub use plan::{is_root_device, plan};

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
    /// Volume type; `None` keeps the source volume's, or `gp3`.
    pub volume_type: Option<String>,
    /// Mount under this directory, one subdirectory per device; `None` attaches only.
    pub mount_under: Option<String>,
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
    /// Device name at the target.
    pub device: String,
    /// Where it will be mounted.
    pub mount: Option<String>,
    /// Tags of the new volume: its parent's own, and ours.
    pub tags: Tags,
    /// Idempotency token of `CreateVolume`; derived from restore id and snapshot.
    pub client_token: String,
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

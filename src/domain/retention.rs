//! Retention: which sets stay, which go, and why. One plan object for review, `--dry-run` and run.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{InstanceId, JobId, Scope, SnapshotId, VolumeId};
use super::level::Level;
use super::problem::{Kind, Problem};

mod decide;
mod drift;

pub use decide::{Facts, plan};
pub use drift::drift;

/// How many to keep. All zero is not a policy: it is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Policy {
    /// The newest N.
    pub keep_last: u32,
    /// The newest of each of the last N hours that have one.
    pub keep_hourly: u32,
    /// The newest of each of the last N days (UTC) that have one.
    pub keep_daily: u32,
    /// The newest of each of the last N ISO weeks that have one.
    pub keep_weekly: u32,
    /// The newest of each of the last N months that have one.
    pub keep_monthly: u32,
    /// The newest of each of the last N years that have one.
    pub keep_yearly: u32,
}

impl Policy {
    /// Refuses a policy that keeps nothing: a slip must not read as "delete everything".
    ///
    /// # Errors
    /// Every number is zero.
    pub fn check(&self) -> Result<(), Problem> {
        if *self == Self::default() {
            return Err(Problem::new(
                Kind::Usage,
                "check the retention policy",
                "it keeps nothing: every number is zero",
                "say what to keep, such as keep-last 3 or keep-daily 7",
            ));
        }
        Ok(())
    }
}

/// What happens to a set (or to a foreign snapshot, which is always blocked).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Fate {
    /// It stays, because a rule keeps it.
    Keep,
    /// It goes.
    Delete,
    /// No rule keeps it, yet it must not (or cannot) be deleted.
    Blocked,
}

/// One snapshot of the plan, as reviewed; compared with what AWS says just before it is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSnapshot {
    /// The snapshot.
    pub id: SnapshotId,
    /// Its volume.
    pub volume: VolumeId,
    /// Device name it had.
    pub device: String,
    /// Size of its volume in GiB.
    pub volume_gib: u32,
    /// State at the review.
    pub state: String,
}

/// One line of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The set's job; absent for a snapshot that is not ours.
    pub job: Option<JobId>,
    /// The instance that it was taken from, where known.
    pub instance: Option<InstanceId>,
    /// The instance's name at the review, for people.
    pub instance_name: String,
    /// The moment whose data it holds.
    pub started: DateTime<Utc>,
    /// The level that its tags say, whoever wrote them; absent for a snapshot that is not ours.
    pub level: Option<Level>,
    /// What happens to it.
    pub fate: Fate,
    /// Every reason, such as `daily 2026-11-20`, `newest proven set of vol-…`, `used by ami-…`.
    pub reasons: Vec<String>,
    /// Whole set, by device.
    pub snapshots: Vec<PlannedSnapshot>,
}

/// The plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunePlan {
    /// The only account and region that it may be carried out in.
    #[serde(flatten)]
    pub scope: Scope,
    /// The policy that it follows.
    pub policy: Policy,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// One decision per set and per foreign snapshot, newest first within an instance.
    pub decisions: Vec<Decision>,
}

impl PrunePlan {
    /// The sets to delete.
    pub fn deletions(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|d| d.fate == Fate::Delete)
    }

    /// How many of each fate: keep, delete, blocked.
    pub fn counts(&self) -> (usize, usize, usize) {
        let n = |fate| self.decisions.iter().filter(|d| d.fate == fate).count();
        (n(Fate::Keep), n(Fate::Delete), n(Fate::Blocked))
    }

    /// The ids to delete, in the order of deletion.
    pub fn doomed(&self) -> Vec<SnapshotId> {
        self.deletions()
            .flat_map(|d| d.snapshots.iter().map(|s| s.id.clone()))
            .collect()
    }
}

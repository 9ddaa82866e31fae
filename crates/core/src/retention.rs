//! Retention: which sets stay, which go, and why. One plan object for review, `--dry-run` and run.

use crate::state::SnapshotState;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::filter::{Filter, RowKind};
use super::ids::{InstanceId, JobId, Scope, SnapshotId, VolumeId};
use super::level::Level;
use super::problem::{Kind, Problem};

mod age;
mod decide;
mod drift;
mod selection;

pub use age::Age;
pub use decide::{Facts, plan};
pub use drift::drift;
pub use selection::{Chosen, Of, Selection, TagPair};

/// How many to keep, of each volume and of each class: proven sets, unproven ones, failed ones. All zero is not a
/// policy: it is refused.
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
    /// Unproven and failed sets that are older go, whatever keeps them, where each of their volumes has a newer proven
    /// set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_unproven_after: Option<Age>,
    /// Only sets of these instances, by id or by unique name; empty: of all.
    #[serde(
        deserialize_with = "selection::not_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub instance: Vec<String>,
    /// Only sets of instances that carry all these tags.
    #[serde(
        deserialize_with = "selection::not_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub tag: Vec<TagPair>,
    /// Only sets that this filter takes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// What narrows it further, such as the command line does to a policy of the configuration.
    #[serde(skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub narrowed: Vec<Selection>,
}

impl Policy {
    /// Its rules in words: `last 3`, `daily 7`.
    pub fn rules(&self) -> Vec<String> {
        let counts = [
            ("last", self.keep_last),
            ("hourly", self.keep_hourly),
            ("daily", self.keep_daily),
            ("weekly", self.keep_weekly),
            ("monthly", self.keep_monthly),
            ("yearly", self.keep_yearly),
        ];
        let mut rules: Vec<String> = counts
            .iter()
            .filter(|(_, n)| *n > 0)
            .map(|(word, n)| format!("{word} {n}"))
            .collect();
        if let Some(age) = self.drop_unproven_after {
            rules.push(format!("drop unproven after {age}"));
        }
        rules
    }

    /// Everything that says of which sets it speaks; all of it must hold. Empty: of all in the account and region.
    pub fn selections(&self) -> Vec<Selection> {
        let own = Selection {
            instance: self.instance.clone(),
            tag: self.tag.clone(),
            filter: self.filter.clone(),
        };
        std::iter::once(&own)
            .chain(&self.narrowed)
            .filter(|selection| !selection.is_all())
            .cloned()
            .collect()
    }

    /// Of which sets it speaks, in words.
    pub fn scope_words(&self) -> String {
        let words: Vec<String> = self.selections().iter().map(Selection::words).collect();
        if words.is_empty() {
            "every instance".to_owned()
        } else {
            words.join(" and ")
        }
    }

    /// Refuses a policy that keeps nothing (a slip must not read as "delete everything"), one whose filter cannot be
    /// read, and a name that is empty.
    ///
    /// # Errors
    /// Every number is zero; the filter's own; an empty name.
    pub fn check(&self) -> Result<(), Problem> {
        Filter::parse(&self.filter, RowKind::Sets)?;
        if self.instance.iter().any(|name| name.trim().is_empty()) {
            return Err(Problem::new(
                Kind::Usage,
                "check the retention policy",
                "an instance has an empty name",
                "give its id or its Name, or leave the key out for every instance",
            ));
        }
        let counts = [
            self.keep_last,
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ];
        if counts.iter().all(|n| *n == 0) {
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

/// What happens to a set (or to a snapshot that is not ours, which is always blocked).
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
    pub state: SnapshotState,
    /// The level that its tag said at the review, whoever wrote it; absent where it is not ours.
    #[serde(default)]
    pub tagged: Option<Level>,
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
    /// What may be claimed of it, by this machine's journal where that has its job, else by what its tags bear out;
    /// absent for a snapshot that is not ours.
    pub level: Option<Level>,
    /// The level that its tags say, whoever wrote them.
    #[serde(default)]
    pub tagged: Option<Level>,
    /// What happens to it.
    pub fate: Fate,
    /// Every reason, such as `daily 2026-11-20`, `newest proven set of vol-…`, `used by ami-…`.
    pub reasons: Vec<String>,
    /// What else a person should know: that its instance or a volume is gone, or whose tags put it in the scope.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How many snapshots its job made, as tagged.
    #[serde(default)]
    pub expected: Option<usize>,
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
    /// One decision per set and per snapshot that is not ours, newest first within an instance.
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

    /// What the plan is of: account, region, and which instances.
    pub fn title(&self) -> String {
        format!("{}, {}", self.scope, self.policy.scope_words())
    }

    /// Whether a scope was given in which there is nothing.
    pub fn is_of_nothing(&self) -> bool {
        self.decisions.is_empty() && !self.policy.selections().is_empty()
    }

    /// What is said of a scope in which there is nothing.
    pub fn of_nothing(&self) -> Problem {
        Problem::new(
            Kind::NotFound,
            format!("plan what to delete in {}", self.scope),
            format!(
                "nothing matches: no set and no snapshot is of {}",
                self.policy.scope_words()
            ),
            "instances, tags and filter narrow each other; `freezeframe list instances` and `freezeframe list sets` \
             show what there is",
        )
    }

    /// The ids to delete, in the order of deletion.
    pub fn doomed(&self) -> Vec<SnapshotId> {
        self.deletions()
            .flat_map(|d| d.snapshots.iter().map(|s| s.id.clone()))
            .collect()
    }
}

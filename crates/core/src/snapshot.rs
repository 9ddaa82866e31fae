//! EBS snapshots as the console knows them.

use crate::state::SnapshotState;
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{InstanceId, JobId, Scope, SnapshotId, VolumeId};
use super::level::{Level, Origin};
use super::tags::{self, Tags};

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Whose it is.
    #[serde(flatten)]
    pub scope: Scope,
    /// Its id.
    pub id: SnapshotId,
    /// Source volume. Meaningless for copies (aws-facts 4.1).
    pub volume: VolumeId,
    /// `pending`, `completed`, `error`, `recoverable`, `recovering`.
    pub state: SnapshotState,
    /// 0 to 100, absent when AWS said nothing.
    pub progress: Option<u8>,
    /// When it was initiated: the moment whose data it holds.
    pub started: DateTime<Utc>,
    /// When it completed, where known.
    pub completed: Option<DateTime<Utc>>,
    /// Size of the volume (not of the data) in GiB.
    pub volume_gib: u32,
    /// Full size of written blocks in bytes, where AWS tells; not the increment.
    pub full_bytes: Option<u64>,
    /// Encrypted at rest.
    pub encrypted: bool,
    /// `standard` or `archive`.
    pub tier: String,
    /// Free text.
    pub description: String,
    /// Who made and keeps it.
    pub origin: Origin,
    /// Its tags.
    pub tags: Tags,
}

impl Snapshot {
    /// The job that made it, when it is ours and the tag is well formed.
    pub fn job(&self) -> Option<JobId> {
        self.tags.get(tags::JOB).and_then(|t| t.parse().ok())
    }

    /// The level that its tag says. `None` for snapshots that are not ours; a missing or unknown word on ours is
    /// `pending`: unknown is never shown as consistent. Anybody may have written it: what is shown as proven is
    /// [`Snapshot::verified_level`].
    pub fn level(&self) -> Option<Level> {
        self.job().map(|_| {
            self.tags
                .get(tags::LEVEL)
                .and_then(|word| word.parse().ok())
                .unwrap_or(Level::Pending)
        })
    }

    /// The level that its tags bear out: what its tag says, but no more than `crash` where a proven level has not
    /// what freezeframe writes with one.
    pub fn verified_level(&self) -> Option<Level> {
        self.level().map(|level| {
            if self.unverified_claim().is_some() {
                level.min(Level::Crash)
            } else {
                level
            }
        })
    }

    /// The snapshot from which its tags were copied, as they say: it is then a copy of that one, or one that another tool
    /// made with its tags, and none of its set. Until a set is judged its call's own words stand, whatever its volume
    /// carries ([`tags::UNJUDGED`]).
    pub fn copied_from(&self) -> Option<&str> {
        let unjudged = self.tags.get(tags::SET_SIZE) == Some(tags::UNJUDGED);
        let named = self.tags.get(tags::SNAPSHOT).filter(|_| !unjudged)?;
        (named != self.id.as_str()).then_some(named)
    }

    /// The level that its tag claims and nothing else on it bears out: freezeframe writes the set's size, the
    /// freeze window and the snapshot's own id in the same call as a proven level.
    pub fn unverified_claim(&self) -> Option<Level> {
        let marked = self
            .tags
            .get(tags::SET_SIZE)
            .is_some_and(|size| size.parse::<usize>().is_ok_and(|n| n > 0))
            && self
                .tags
                .get(tags::FROZEN_MS)
                .is_some_and(|ms| ms == tags::UNKNOWN || ms.parse::<u64>().is_ok())
            && self.tags.get(tags::SNAPSHOT) == Some(self.id.as_str());
        self.level().filter(|level| level.is_proven() && !marked)
    }

    /// Whether its volume was one that a recipe covered in a set that was frozen, as we tagged it.
    pub fn was_frozen(&self) -> bool {
        let told = self.tags.get(tags::FROZEN_MS);
        told.is_some_and(|ms| ms != tags::UNJUDGED)
    }

    /// The best level that its recipe could earn for it, as we tagged it: `crash` where it was not covered,
    /// `filesystem` where nothing of the database lies on its volume. A mark beside `application` came from the volume,
    /// which was restored with the tags of another set.
    pub fn best(&self) -> Level {
        if !self.was_frozen() {
            Level::Crash
        } else if self.tags.get(tags::WITHOUT).is_some() && self.level() != Some(Level::Application)
        {
            Level::Filesystem
        } else {
            Level::Application
        }
    }

    /// The instance that it was taken from, as we tagged it.
    pub fn instance(&self) -> Option<InstanceId> {
        self.tags.get(tags::INSTANCE).and_then(|t| t.parse().ok())
    }

    /// The device name that the volume had.
    pub fn device(&self) -> Option<&str> {
        self.tags.get(tags::DEVICE)
    }

    /// Whether data can be restored from it now.
    pub fn is_restorable(&self) -> bool {
        self.state == SnapshotState::Completed && self.tier == "standard"
    }
}

/// Snapshots of one volume, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeBackups {
    /// How many there are, ours and others'.
    pub count: usize,
    /// When the newest was started.
    pub newest: DateTime<Utc>,
    /// Level of the newest; `None` when it is not ours.
    pub level: Option<Level>,
}

/// The snapshots of each volume, in short.
pub fn by_volume(snapshots: &[Snapshot]) -> HashMap<VolumeId, VolumeBackups> {
    let mut by_volume: HashMap<VolumeId, VolumeBackups> = HashMap::new();
    for snapshot in snapshots {
        let new = VolumeBackups {
            count: 1,
            newest: snapshot.started,
            level: snapshot.verified_level(),
        };
        by_volume
            .entry(snapshot.volume.clone())
            .and_modify(|old| {
                old.count += 1;
                if new.newest > old.newest {
                    old.newest = new.newest;
                    old.level = new.level;
                }
            })
            .or_insert(new);
    }
    by_volume
}

/// The origin of a snapshot with our tags: freezeframe itself, or the copy of one of its snapshots.
fn ours_or_copy(copied_from: Option<&str>) -> Origin {
    match copied_from {
        None => Origin::Freezeframe,
        Some(of) => Origin::Copy { of: of.to_owned() },
    }
}

/// The origin of a snapshot, by its tags (aws-facts 1.6, 4.5). What AWS manages comes before what our own tag says.
pub fn origin(snapshot: &Snapshot) -> Origin {
    let tags = &snapshot.tags;
    if let Some(policy) = tags.get("aws:dlm:lifecycle-policy-id") {
        return Origin::Dlm {
            policy: policy.to_owned(),
        };
    }
    if tags.get("dlm:managed") == Some("true") {
        return Origin::Dlm {
            policy: "unknown".to_owned(),
        };
    }
    if tags.iter().any(|(key, _)| key.starts_with("aws:backup:")) {
        return Origin::AwsBackup;
    }
    match tags.get(tags::JOB) {
        Some(job) if job.parse::<JobId>().is_ok() => ours_or_copy(snapshot.copied_from()),
        _ => Origin::Manual,
    }
}

/// A snapshot that `CreateSnapshots` answered or that its tag found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedSnapshot {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its volume.
    pub volume: VolumeId,
    /// Size of the volume in GiB.
    pub volume_gib: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";

    fn row(pairs: &[(&str, &str)]) -> Snapshot {
        let mut row: Snapshot = serde_json::from_value(serde_json::json!({
            "account": "111122223333", "region": "eu-central-1", "id": "snap-00000000000000001",
            "volume": "vol-00000000000000001", "state": "completed", "progress": 100,
            "started": "2026-11-21T04:00:00Z", "completed": null, "volume_gib": 1, "full_bytes": null,
            "encrypted": false, "tier": "standard", "description": "", "origin": {"by": "manual"}, "tags": {},
        }))
        .unwrap();
        row.tags = pairs.iter().copied().collect();
        row
    }

    #[test]
    fn what_aws_manages_comes_first() {
        let of = |pairs: &[(&str, &str)]| origin(&row(pairs));
        assert_eq!(of(&[(tags::JOB, JOB)]), Origin::Freezeframe);
        assert_eq!(of(&[(tags::JOB, "yes")]), Origin::Manual);
        let dlm = ("aws:dlm:lifecycle-policy-id", "policy-1");
        let managed = Origin::Dlm {
            policy: "policy-1".into(),
        };
        assert_eq!(of(&[(tags::JOB, JOB), dlm]), managed);
        let backup = ("aws:backup:source-resource-arn", "x");
        assert_eq!(of(&[backup]), Origin::AwsBackup);
    }

    #[test]
    fn the_best_level_follows_from_the_freeze_and_from_the_database() {
        let best = |pairs: &[(&str, &str)]| row(pairs).best();
        let frozen = (tags::FROZEN_MS, "12");
        let without = (tags::WITHOUT, "mysql");
        let ours = (tags::JOB, JOB);
        let level = |text| (tags::LEVEL, text);
        assert_eq!(best(&[]), Level::Crash);
        assert_eq!(best(&[without]), Level::Crash);
        assert_eq!(best(&[frozen]), Level::Application);
        assert_eq!(best(&[frozen, without]), Level::Filesystem);
        assert_eq!(
            best(&[ours, frozen, without, level("filesystem")]),
            Level::Filesystem
        );
        // The mark came with a volume that was restored from another set.
        assert_eq!(
            best(&[ours, frozen, without, level("application")]),
            Level::Application
        );
    }

    #[test]
    fn p11_tags_that_name_another_snapshot_are_those_of_a_copy() {
        let labelled = |id: &'static str, size: &'static str| {
            row(&[
                (tags::JOB, JOB),
                (tags::LEVEL, "application"),
                (tags::FROZEN_MS, "12"),
                (tags::SET_SIZE, size),
                (tags::SNAPSHOT, id),
            ])
        };
        let own = labelled("snap-00000000000000001", "1");
        assert_eq!((own.copied_from(), own.unverified_claim()), (None, None));
        let other = labelled("snap-00000000000000002", "1");
        assert_eq!(other.copied_from(), Some("snap-00000000000000002"));
        assert_eq!(other.unverified_claim(), Some(Level::Application));
        assert_eq!(other.verified_level(), Some(Level::Crash));
        assert_eq!(origin(&other).word(), "copy");
        // What our own call makes of a volume with such tags is ours, and not judged.
        let new = labelled("snap-00000000000000002", tags::UNJUDGED);
        assert_eq!(new.copied_from(), None);
        assert_eq!(new.verified_level(), Some(Level::Crash));
    }
}

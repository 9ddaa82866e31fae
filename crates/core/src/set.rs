//! Sets: the snapshots of one instance that one job took in one call. The unit of everything.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{InstanceId, JobId, Scope, SnapshotId};
use super::level::Level;
use super::snapshot::Snapshot;
use super::tags;
use super::text::visible;

/// A set as its snapshots' tags describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSet {
    /// Whose it is.
    #[serde(flatten)]
    pub scope: Scope,
    /// The job that made it.
    pub job: JobId,
    /// The instance it was taken from, when the tags agree.
    pub instance: Option<InstanceId>,
    /// The moment whose data it holds.
    pub started: DateTime<Utc>,
    /// Recipe, as tagged.
    pub recipe: Option<String>,
    /// Who called `CreateSnapshots` and why, as tagged; sets of earlier versions do not tell.
    #[serde(default)]
    pub mode: Option<String>,
    /// What may be claimed by its members' levels ([`whole`]), as far as their tags bear
    /// it out ([`Snapshot::verified_level`]); `pending` while any of ours is pending. Where the journal has the job,
    /// whoever shows the set lowers or proves it by that.
    pub level: Level,
    /// The same by the levels' tags alone, whoever wrote them. What protects a set from being pruned goes by this.
    pub tagged: Level,
    /// Freeze window in milliseconds, as tagged.
    pub frozen_ms: Option<u64>,
    /// Members, by device.
    pub members: Vec<SnapshotId>,
    /// How many members the job made, as tagged.
    pub expected: Option<usize>,
    /// All members are there, completed and in the standard tier.
    pub restorable: bool,
    /// Its members carry the tags of other snapshots, which are not here: copies, or what another tool made with those
    /// tags.
    #[serde(default)]
    pub copy: bool,
}

impl SnapshotSet {
    /// Whether members are missing.
    pub fn is_partial(&self) -> bool {
        self.expected.is_some_and(|n| n != self.members.len())
    }

    /// The word for whether it can be restored now.
    pub fn state(&self) -> &'static str {
        if self.restorable {
            "restorable"
        } else {
            "incomplete"
        }
    }

    /// The proven level that its tags claim and that nothing bears out.
    pub fn unverified_claim(&self) -> Option<Level> {
        Some(self.tagged).filter(|tagged| tagged.is_proven() && *tagged > self.level)
    }
}

/// Groups our snapshots into sets, newest first. Snapshots that are not ours are left out, and so is what carries the
/// tags of a snapshot of ours where members of that set are there: another tool made it. Where there are only such, as
/// in a region to which a set was copied, they are a set of their own ([`SnapshotSet::copy`]).
pub fn group(snapshots: &[Snapshot]) -> Vec<SnapshotSet> {
    let mut by_job: BTreeMap<(Scope, JobId), Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in snapshots {
        if let Some(job) = snapshot.job() {
            by_job
                .entry((snapshot.scope.clone(), job))
                .or_default()
                .push(snapshot);
        }
    }
    let mut sets: Vec<SnapshotSet> = by_job
        .into_iter()
        .map(|((scope, job), mut members)| {
            if members.iter().any(|m| m.copied_from().is_none()) {
                members.retain(|m| m.copied_from().is_none());
            }
            members.sort_by(|a, b| a.device().cmp(&b.device()).then_with(|| a.id.cmp(&b.id)));
            build_set(scope, job, &members)
        })
        .collect();
    sets.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| a.job.cmp(&b.job)));
    sets
}

/// For each instance the place of its newest proven set in `sets`, which are newest first; a set is worth the level
/// that it carries.
pub fn last_proven<'a>(
    sets: impl IntoIterator<Item = &'a SnapshotSet>,
) -> HashMap<InstanceId, usize> {
    let mut newest = HashMap::new();
    for (place, set) in sets.into_iter().enumerate() {
        if let Some(instance) = set.instance.as_ref().filter(|_| set.level.is_proven()) {
            newest.entry(instance.clone()).or_insert(place);
        }
    }
    newest
}

/// The level of a set by its members' levels and the best that the recipe can earn for each: `pending` while a member is;
/// the best of the set where every covered member earned what it can; else the lowest of those that did not. A best of
/// `crash` means that the recipe did not cover the member. Where none is known to be covered, the highest stands.
pub fn whole(members: impl Iterator<Item = (Level, Level)>) -> Level {
    let members: Vec<(Level, Level)> = members.collect();
    let levels = || members.iter().map(|(level, _)| *level);
    let covered = || members.iter().filter(|(_, best)| best.is_proven());
    if levels().any(|level| level == Level::Pending) {
        return Level::Pending;
    }
    let top = covered().map(|(_, best)| *best).max();
    covered()
        .map(|(level, best)| {
            if level >= best {
                top.unwrap_or(*best)
            } else {
                *level
            }
        })
        .min()
        .or(levels().max())
        .unwrap_or(Level::Pending)
}

fn build_set(scope: Scope, job: JobId, members: &[&Snapshot]) -> SnapshotSet {
    let tag = |key: &str| members.iter().find_map(|m| m.tags.get(key));
    let instances: Vec<InstanceId> = members.iter().filter_map(|m| m.instance()).collect();
    let instance = instances
        .first()
        .filter(|first| instances.iter().all(|i| i == *first))
        .cloned();
    let worth = |of: fn(&Snapshot) -> Option<Level>| {
        let level = |m: &&Snapshot| (of(m).unwrap_or(Level::Pending), m.best());
        whole(members.iter().map(level))
    };
    // Of what is judged: until then the tag is a word.
    let size = |m: &&Snapshot| m.tags.get(tags::SET_SIZE)?.parse().ok();
    let frozen = |m: &&Snapshot| m.tags.get(tags::FROZEN_MS)?.parse().ok();
    let expected = members.iter().find_map(size);
    SnapshotSet {
        scope,
        job,
        instance,
        started: members.iter().map(|m| m.started).min().unwrap_or_default(),
        recipe: tag(tags::RECIPE).map(str::to_owned),
        mode: tag(tags::MODE).map(|words| visible(words).into_owned()),
        level: worth(Snapshot::verified_level),
        tagged: worth(Snapshot::level),
        frozen_ms: members.iter().find_map(frozen),
        members: members.iter().map(|m| m.id.clone()).collect(),
        expected,
        restorable: members.iter().all(|m| m.is_restorable())
            && expected.is_none_or(|n| n == members.len()),
        copy: members.iter().all(|m| m.copied_from().is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";

    fn member(id: &str, device: &str, tagged: &str) -> Snapshot {
        serde_json::from_value(serde_json::json!({
            "account": "111122223333", "region": "eu-central-1", "id": id, "volume": format!("vol-{device}"),
            "state": "completed", "progress": 100, "started": "2026-11-21T04:00:00Z", "completed": null,
            "volume_gib": 1, "full_bytes": null, "encrypted": false, "tier": "standard", "description": "",
            "origin": {"by": "freezeframe"},
            "tags": {
                "freezeframe:job": JOB, "freezeframe:level": "application", "freezeframe:device": device,
                "freezeframe:instance": "i-00000000000000001", "freezeframe:frozen-ms": "12",
                "freezeframe:set-size": "2", "freezeframe:snapshot": tagged,
            },
        }))
        .unwrap()
    }

    /// Data Lifecycle Manager, AWS Backup or a person copies all tags of a volume or of a snapshot.
    #[test]
    fn p11_what_another_tool_makes_with_the_tags_of_a_set_is_none_of_it() {
        let set = [
            member("snap-a", "f", "snap-a"),
            member("snap-b", "g", "snap-b"),
        ];
        let mut all = set.to_vec();
        all.insert(0, member("snap-c", "f", "snap-a"));
        let sets = group(&all);
        assert_eq!(sets, group(&set));
        assert_eq!((sets.len(), sets[0].level), (1, Level::Application));
        assert!(sets[0].restorable && !sets[0].copy);
        // Before its label a snapshot names nobody.
        let mut unjudged = set.to_vec();
        unjudged[1].tags.0.remove(tags::SNAPSHOT);
        unjudged[1].tags.set(tags::LEVEL, "pending");
        let sets = group(&unjudged);
        assert_eq!((sets[0].members.len(), sets[0].level), (2, Level::Pending));
    }

    /// A region to which a set was copied with its tags has the copies alone.
    #[test]
    fn p11_a_copied_set_is_told_as_a_copy_and_can_be_restored() {
        let copies = [
            member("snap-c", "f", "snap-a"),
            member("snap-d", "g", "snap-b"),
        ];
        let sets = group(&copies);
        let [set] = sets.as_slice() else {
            panic!("{sets:?}");
        };
        assert!(set.copy && set.restorable, "{set:?}");
        assert_eq!((set.level, set.tagged), (Level::Crash, Level::Application));
    }

    #[test]
    fn p11_the_level_of_a_set_is_that_of_the_lowest_volume_that_its_recipe_covered() {
        use Level::{Application, Crash, Filesystem, Pending};
        let root = (Crash, Crash);
        let (locked, unlocked) = ((Application, Application), (Filesystem, Application));
        // Nothing of the database lies on it.
        let files = (Filesystem, Filesystem);
        for (members, level) in [
            // The root volume is never covered, and is only crash-consistent.
            (&[root, locked][..], Application),
            (&[root, locked, unlocked], Filesystem),
            (&[root, locked, files], Application),
            (&[root, unlocked, files], Filesystem),
            (&[root, locked, (Crash, Filesystem)], Crash),
            (&[root, (Crash, Application), files], Crash),
            (&[root, files], Filesystem),
            // Somebody raised it by hand.
            (&[root, unlocked, (Application, Filesystem)], Filesystem),
            (&[(Crash, Application), locked], Crash),
            (&[locked, (Pending, Crash)], Pending),
            (&[locked, (Pending, Filesystem)], Pending),
            (&[root, root], Crash),
            (&[], Pending),
        ] {
            assert_eq!(whole(members.iter().copied()), level, "{members:?}");
        }
    }
}

//! Labels: what is to be written on the snapshots of a set once its evidence is judged. The judgement is on
//! record before the first of them is written, so whoever comes later can write what is left: never more
//! than was judged, and only where nothing was decided since.

use serde::{Deserialize, Serialize};

use super::ids::{InstanceId, SnapshotId, VolumeId};
use super::job::Member;
use super::level::Level;
use super::problem::Problem;
use super::record::VolumeRecord;
use super::snapshot::Snapshot;
use super::tags::{self, Tags};
use super::volume::Volume;

/// What is to be written on a snapshot once the evidence is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its volume.
    pub volume: VolumeId,
    /// Device name at the instance; empty when it is not known.
    #[serde(default)]
    pub device: String,
    /// Whether the recipe covers the volume: the job's verdict speaks of these only.
    #[serde(default)]
    pub covered: bool,
    /// What it is worth.
    pub level: Level,
    /// Why.
    pub reason: String,
    /// Freeze window in milliseconds, for covered volumes of a set that was frozen.
    pub frozen_ms: Option<u64>,
    /// How many snapshots the set has.
    pub set_size: usize,
    /// Further tags: where the engine's logs stood, as far as there is room for tags.
    pub positions: Vec<(String, String)>,
    /// Tags that come with it: the record of the volume, and what the call itself did not bring
    /// ([`super::set_plan::SetPlan::beside`]).
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub beside: Tags,
}

impl Label {
    /// Whether it is still to be written on a snapshot whose tag says `now`: one that was never judged, or
    /// that claims more than was judged. A lower word that somebody wrote since stands.
    pub fn is_due(&self, now: Level) -> bool {
        now == Level::Pending || now > self.level
    }

    /// The tags that are written in one call. Those beside a proven level tell it from one that somebody wrote
    /// ([`super::snapshot::Snapshot::unverified_claim`]), so none of them is ever left out.
    pub fn tags(&self) -> Tags {
        let mut tags = self.beside.clone();
        tags.set(tags::SET_SIZE, self.set_size.to_string());
        tags.set(tags::SNAPSHOT, self.snapshot.as_str());
        let unmeasured = self.level.is_proven().then(|| tags::UNKNOWN.to_owned());
        if let Some(ms) = self.frozen_ms.map(|ms| ms.to_string()).or(unmeasured) {
            tags.set(tags::FROZEN_MS, ms);
        }
        if !self.device.is_empty() {
            tags.set(tags::DEVICE, &self.device);
        }
        for (key, value) in &self.positions {
            tags.set(key, value);
        }
        tags.set(tags::LEVEL, self.level.to_string());
        tags
    }
}

/// The label of a snapshot of a set that nobody judged and no journal on this machine knows: `crash`, with the record
/// of its volume as every label has it, where the volume is still there and has not grown since.
pub fn unjudged(snapshot: &Snapshot, volume: Option<&Volume>, set_size: usize) -> Label {
    let attached = || {
        let (volume, instance) = (volume?, snapshot.instance()?);
        let mut places = volume.attachments.iter();
        let place = places.find(|place| place.instance == instance)?;
        Some(place.device.clone())
    };
    let device = snapshot.device().map(str::to_owned).or_else(attached);
    let mut beside = Tags::default();
    // They come with a label only: those that are there are of another set, whose tags the volume carries.
    for key in [tags::VOLUME, tags::MODE] {
        if snapshot.tags.get(key).is_some() {
            beside.set(key, tags::UNKNOWN);
        }
    }
    if let Some(volume) = volume.filter(|volume| volume.size_gib == snapshot.volume_gib) {
        beside.set(tags::VOLUME, VolumeRecord::of(volume).to_string());
    }
    if room(snapshot, &beside).is_none() {
        beside.0.retain(|key, _| snapshot.tags.get(key).is_some());
    }
    Label {
        snapshot: snapshot.id.clone(),
        volume: snapshot.volume.clone(),
        device: device.unwrap_or_default(),
        covered: false,
        level: Level::Crash,
        reason: "nobody judged its set".to_owned(),
        frozen_ms: None,
        set_size,
        positions: Vec::new(),
        beside,
    }
}

/// How many more tags there is room for on a snapshot that gets these with its label; `None` where they themselves have
/// no room.
pub fn room(snapshot: &Snapshot, beside: &Tags) -> Option<usize> {
    let known = |key: &str| snapshot.tags.get(key).is_some();
    let more = beside.iter().filter(|(key, _)| !known(key)).count();
    // Beside the three that come with a label.
    tags::MAX_TAGS.checked_sub(snapshot.tags.copyable().count() + more + 3)
}

/// What came of writing labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// What stands now: the snapshot and the level that was written on it.
    pub labels: Vec<(SnapshotId, Level)>,
    /// Why the others do not.
    pub problem: Option<Problem>,
}

impl Written {
    /// The outcome in which all these labels are written.
    pub fn all(labels: &[Label]) -> Self {
        Self {
            labels: labels
                .iter()
                .map(|label| (label.snapshot.clone(), label.level))
                .collect(),
            problem: None,
        }
    }

    /// None that is known of.
    pub fn none(problem: Problem) -> Self {
        Self {
            labels: Vec::new(),
            problem: Some(problem),
        }
    }

    /// Takes what stands off the labels that are pending, and shows it on the members.
    pub fn settle(&self, pending: &mut Vec<Label>, set: &mut [Member]) {
        for (snapshot, level) in &self.labels {
            let stands = |label: &Label| label.snapshot == *snapshot && label.level == *level;
            let Some(n) = pending.iter().position(stands) else {
                continue;
            };
            let label = pending.remove(n);
            if let Some(member) = set.iter_mut().find(|m| m.snapshot == label.snapshot) {
                member.level = label.level;
                member.reason = label.reason;
            }
        }
    }
}

fn doing(instance: &InstanceId) -> String {
    format!("write the labels of the set of {instance}")
}

/// The problem that labels are pending: why, and who writes them.
pub fn pending_problem(instance: &InstanceId, why: Option<&Problem>) -> Problem {
    let mut problem = Problem::new(
        why.map_or(super::problem::Kind::Aws, |why| why.kind),
        doing(instance),
        why.map_or("they are not known to be written", |why| &why.cause),
        "the levels are on record: the next start of freezeframe writes them, or `freezeframe jobs resume` now; \
         until then the snapshots are `pending`, which nothing takes for proven",
    );
    if let Some(why) = why {
        problem.code.clone_from(&why.code);
        problem.may_have_happened = why.may_have_happened;
    }
    problem
}

/// Whether it is the problem that [`pending_problem`] makes.
pub fn is_pending_problem(instance: &InstanceId, problem: &Problem) -> bool {
    problem.what == doing(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(level: Level) -> Label {
        Label {
            snapshot: SnapshotId::from_api("snap-00000000000000001"),
            volume: VolumeId::from_api("vol-00000000000000001"),
            device: "/dev/sdf".into(),
            covered: true,
            level,
            reason: "every link held".into(),
            frozen_ms: Some(12),
            set_size: 1,
            positions: Vec::new(),
            beside: Tags::default(),
        }
    }

    #[test]
    fn a_label_never_raises_what_somebody_decided_since() {
        let due = |judged, now| label(judged).is_due(now);
        assert!(due(Level::Application, Level::Pending));
        assert!(due(Level::Crash, Level::Pending));
        assert!(due(Level::Crash, Level::Application), "it was lowered");
        assert!(!due(Level::Application, Level::Crash));
        assert!(!due(Level::Application, Level::Application));
    }

    #[test]
    fn p11_a_label_bears_out_its_level_whatever_is_known_of_the_window() {
        for level in [
            Level::Pending,
            Level::Crash,
            Level::Filesystem,
            Level::Application,
        ] {
            for frozen_ms in [None, Some(0), Some(12)] {
                let written = Label {
                    frozen_ms,
                    ..label(level)
                };
                let mut row: crate::snapshot::Snapshot =
                    serde_json::from_value(serde_json::json!({
                        "account": "111122223333", "region": "eu-central-1", "id": written.snapshot,
                        "volume": written.volume, "state": "completed", "progress": 100,
                        "started": "2026-11-21T04:00:00Z", "completed": null, "volume_gib": 1,
                        "full_bytes": null, "encrypted": false, "tier": "standard", "description": "",
                        "origin": {"by": "freezeframe"}, "tags": written.tags(),
                    }))
                    .unwrap();
                row.tags
                    .set(tags::JOB, "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10");
                assert_eq!(row.verified_level(), Some(level), "{frozen_ms:?}");
                row.tags.set(tags::SET_SIZE, "many");
                assert_eq!(row.verified_level(), Some(level.min(Level::Crash)));
            }
        }
    }

    /// A window's call copies the volume's tags: those of another set, where the volume was restored with them.
    #[test]
    fn what_a_volume_lends_to_a_set_that_nobody_judged_is_overruled() {
        let mut row: crate::snapshot::Snapshot = serde_json::from_value(serde_json::json!({
            "account": "111122223333", "region": "eu-central-1", "id": "snap-00000000000000001",
            "volume": "vol-00000000000000001", "state": "completed", "progress": 100,
            "started": "2026-11-21T04:00:00Z", "completed": null, "volume_gib": 1,
            "full_bytes": null, "encrypted": false, "tier": "standard", "description": "",
            "origin": {"by": "freezeframe"}, "tags": {},
        }))
        .unwrap();
        assert!(super::unjudged(&row, None, 1).beside.is_empty());
        row.tags.set(tags::VOLUME, "type=io2 iops=64000 gib=1");
        row.tags.set(tags::MODE, "coordinated: it was asked for");
        let label = super::unjudged(&row, None, 1);
        for key in [tags::VOLUME, tags::MODE] {
            assert_eq!(label.beside.get(key), Some(tags::UNKNOWN), "{key}");
        }
        row.tags.0.extend(label.tags().0);
        assert_eq!(VolumeRecord::on(&row), None);
        // Also where there is no room for more.
        for n in 0..tags::MAX_TAGS {
            row.tags.set(format!("k{n}"), "x");
        }
        assert_eq!(super::unjudged(&row, None, 1).beside.0.len(), 2);
    }

    #[test]
    fn only_the_very_label_that_stands_is_owed_no_more() {
        let mut pending = vec![label(Level::Crash)];
        let mut set = vec![Member {
            snapshot: pending[0].snapshot.clone(),
            volume: pending[0].volume.clone(),
            device: String::new(),
            level: Level::Pending,
            reason: String::new(),
            progress: 0,
            volume_gib: 1,
        }];
        // A late answer of the higher one that was meant before.
        Written::all(&[label(Level::Application)]).settle(&mut pending, &mut set);
        assert_eq!((pending.len(), set[0].level), (1, Level::Pending));
        Written::all(&[label(Level::Crash)]).settle(&mut pending, &mut set);
        assert_eq!((pending.len(), set[0].level), (0, Level::Crash));
        assert_eq!(set[0].reason, "every link held");
    }

    #[test]
    fn the_words_keep_the_reason_and_are_known_again() {
        let there = InstanceId::from_api("i-0123456789abcdef0");
        let why = Problem::new(super::super::problem::Kind::Denied, "tag", "no", "ask")
            .with_code("UnauthorizedOperation");
        let problem = pending_problem(&there, Some(&why));
        assert_eq!(problem.code.as_deref(), Some("UnauthorizedOperation"));
        assert!(problem.hint.contains("jobs resume"));
        assert!(is_pending_problem(&there, &problem) && !is_pending_problem(&there, &why));
    }
}

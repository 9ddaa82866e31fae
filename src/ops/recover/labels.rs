//! The labels that an interrupted job owes. What was judged is on record before the first of them is written,
//! by the console that drove the job or by whoever resumed it; from then on nobody judges again.

use crate::domain::state::SnapshotState;
use chrono::{DateTime, TimeDelta, Utc};

use super::UNDER_WAY_S;
use super::proof::Proof;
use crate::domain::ids::{SnapshotId, VolumeId};
use crate::domain::job::{EvidenceReport, JobView, Phase, Verdict};
use crate::domain::label::{self, Label, Written};
use crate::domain::level::Level;
use crate::domain::problem::{Kind, Problem};
use crate::domain::set;
use crate::domain::snapshot::Snapshot;
use crate::domain::tags;
use crate::jobs::journal::CallRow;
use crate::jobs::outcome::CallOutcome;
use crate::ops::Ops;
use crate::ops::admission::owner::owner_of_this_process;
use crate::ops::set_calls;
use crate::ops::set_calls::LABELS;

/// What the tag says now; `pending` where it says nothing that is known.
pub(super) fn level(snapshot: &Snapshot) -> Level {
    snapshot.level().unwrap_or(Level::Pending)
}

/// What stands on a snapshot, and why, where that is known.
pub(super) fn stands(snapshot: &Snapshot, proof: Option<&Proof>) -> (Level, Option<String>) {
    let now = level(snapshot);
    if snapshot.state == SnapshotState::Error {
        return (now.min(Level::Crash), Some(FAILED.to_owned()));
    }
    let reason = proof
        .and_then(|p| p.judged.iter().find(|j| j.snapshot == snapshot.id))
        .filter(|judged| judged.level == now)
        .map(|judged| judged.reason.clone());
    (now, reason)
}

/// What a snapshot's label is to be: what was written by its own console stands, unless AWS failed it since.
fn worth(snapshot: &Snapshot, proof: &Proof) -> (Level, String) {
    if snapshot.state == SnapshotState::Error {
        return (Level::Crash, FAILED.to_owned());
    }
    let judged = proof.judged.iter().find(|j| j.snapshot == snapshot.id);
    match (level(snapshot), judged) {
        (Level::Pending, Some(judged)) => (judged.level, judged.reason.clone()),
        (written, _) => (written, String::new()),
    }
}

const FAILED: &str = "AWS reports that the snapshot failed";

/// Reads what EC2 does not show yet of the labels that were written a moment ago from the journal, which says that they
/// were taken: who finds none on the snapshot would judge what is judged.
pub(super) fn shown_late(
    view: &JobView,
    calls: &[CallRow],
    now: DateTime<Utc>,
    set: &mut [Snapshot],
) {
    let limit = now - TimeDelta::seconds(UNDER_WAY_S);
    let lately = |call: &&CallRow| {
        call.action == LABELS
            && matches!(call.outcome, Some(CallOutcome::Answered(_)))
            && DateTime::parse_from_rfc3339(&call.intended).is_ok_and(|at| at > limit)
    };
    for snapshot in set.iter_mut().filter(|s| level(s) == Level::Pending) {
        let mut written = calls.iter().filter(lately).rev();
        let written = written.find_map(|call| {
            let (id, level) = call.detail.split_once(' ')?;
            (id == snapshot.id.as_str())
                .then(|| level.parse::<Level>().ok())
                .flatten()
        });
        let Some(level) = written else {
            continue;
        };
        snapshot.tags.set(tags::LEVEL, level.to_string());
        let window = view.evidence.window_ms;
        if let Some(ms) = window.filter(|_| view.evidence.covered.contains(&snapshot.volume)) {
            snapshot.tags.set(tags::FROZEN_MS, ms.to_string());
        }
        (view.evidence).mark(&snapshot.volume, level, &mut snapshot.tags);
    }
}

/// Puts a judgement into the view: which labels are to be written, and what the job earns by them. What an
/// earlier judgement said is never raised.
pub(super) fn judged(view: &mut JobView, set: &[Snapshot], proof: &Proof) {
    let mut levels = Vec::new();
    let mut pending = Vec::new();
    for snapshot in set {
        let (mut level, reason) = worth(snapshot, proof);
        let before = view
            .pending_labels
            .iter()
            .find(|l| l.snapshot == snapshot.id);
        let stood = view.set.iter().find(|m| m.snapshot == snapshot.id);
        let stood = stood.map(|m| m.level).filter(|l| *l > Level::Pending);
        let before = before.map(|before| before.level).or(stood);
        level = before.map_or(level, |before| before.min(level));
        let borne = proof.judged.iter().find(|j| j.snapshot == snapshot.id);
        levels.push((
            &snapshot.volume,
            match view.earns {
                Some(_) => level,
                // No judgement is on record, so the tag is nobody's here: it earns what the records bear out.
                None => borne.map_or(Level::Pending, |borne| borne.level.min(level)),
            },
        ));
        if level == self::level(snapshot) {
            continue;
        }
        let covered = proof
            .judged
            .iter()
            .any(|j| j.snapshot == snapshot.id && j.covered);
        let mut beside = view
            .set_plan
            .as_ref()
            .map(|plan| plan.beside(&snapshot.volume, view.spec.mode, &view.spec.mode_words()))
            .unwrap_or_default();
        evidence_of(view, proof).mark(&snapshot.volume, level, &mut beside);
        if label::room(snapshot, &beside).is_none() {
            // A plan of an earlier version left no room for it.
            beside.0.remove(tags::MODE);
        }
        let room = label::room(snapshot, &beside).unwrap_or_default();
        pending.push(Label {
            snapshot: snapshot.id.clone(),
            volume: snapshot.volume.clone(),
            device: proof
                .facts
                .as_ref()
                .map_or("", |f| f.device(&snapshot.volume))
                .to_owned(),
            covered,
            level,
            reason,
            frozen_ms: proof.window_ms.filter(|_| covered),
            set_size: set.len(),
            // Those that a tag can carry, if there is room.
            positions: tags::of_positions(&proof.report.positions, room),
            beside,
        });
    }
    view.pending_labels = pending;
    if view.earns != Some(Verdict::Cancelled) {
        // What the first judgement found covered is so still.
        let evidence = evidence_of(view, proof);
        view.earns = Some(of_level(whole(evidence, &levels)));
    }
}

/// The report that knows which volumes are covered: that of the first judgement, if it did.
fn evidence_of<'a>(view: &'a JobView, proof: &'a Proof) -> &'a EvidenceReport {
    if view.evidence.covered.is_empty() {
        &proof.report
    } else {
        &view.evidence
    }
}

/// The level of the covered volumes together ([`set::whole`]), one that has no snapshot counting as `pending`. Where
/// nobody knows which those are, the lowest of all.
fn whole(evidence: &EvidenceReport, levels: &[(&VolumeId, Level)]) -> Level {
    let of = |volume: &VolumeId| {
        let its = levels.iter().filter(|(of, _)| *of == volume);
        its.map(|(_, level)| *level).min().unwrap_or(Level::Pending)
    };
    if evidence.covered.is_empty() {
        let lowest = levels.iter().map(|(_, level)| *level).min();
        return lowest.unwrap_or(Level::Pending);
    }
    let covered = evidence.covered.iter();
    set::whole(covered.map(|volume| (of(volume), evidence.best(volume))))
}

fn of_level(level: Level) -> Verdict {
    match level {
        Level::Application => Verdict::Application,
        Level::Filesystem => Verdict::Filesystem,
        Level::Crash | Level::Pending => Verdict::Crash,
    }
}

/// The verdict of a job whose set stands like that: what it earns, as far as that is written.
pub(super) fn verdict(view: &JobView, set: &[Snapshot], failed: bool) -> Verdict {
    if view.earns == Some(Verdict::Cancelled) {
        return Verdict::Cancelled;
    }
    if failed || set.is_empty() {
        return Verdict::Failed;
    }
    let complete = view
        .set
        .iter()
        .all(|member| set.iter().any(|s| s.id == member.snapshot));
    if !complete || view.pending_labels.iter().any(|label| label.covered) {
        return Verdict::Crash;
    }
    // Somebody may have lowered the tags since.
    let levels: Vec<_> = view.set.iter().map(|m| (&m.volume, m.level)).collect();
    let level = whole(&view.evidence, &levels);
    match view.earns {
        Some(Verdict::Application) => of_level(level),
        Some(Verdict::Filesystem) => of_level(level.min(Level::Filesystem)),
        _ => Verdict::Crash,
    }
}

/// What became of the labels.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    why: Option<Problem>,
    gone: Vec<SnapshotId>,
}

impl Outcome {
    /// In words; nothing where every label stands.
    pub(super) fn problem(&self, view: &JobView) -> Option<Problem> {
        if !view.pending_labels.is_empty() {
            return Some(label::pending_problem(
                &view.spec.instance,
                self.why.as_ref(),
            ));
        }
        (!self.gone.is_empty()).then(|| {
            let ids: Vec<&str> = self.gone.iter().map(SnapshotId::as_str).collect();
            Problem::new(
                Kind::NotFound,
                format!("label the set of {}", view.spec.instance),
                format!(
                    "{} with the tag of job {} is not there any more; its label was let go",
                    ids.join(", "),
                    view.spec.job
                ),
                "run the job again if a whole set is wanted",
            )
        })
    }
}

/// Writes the labels that are pending and still due, after they are on record. What is gone is let go, once it
/// is certain that it is not merely out of sight.
///
/// # Errors
/// [`Kind::Local`]: they could not be put on record, and none was written.
pub(super) async fn write(
    ops: &Ops,
    view: &mut JobView,
    set: &[Snapshot],
) -> Result<Outcome, Problem> {
    let now = ops.clock.now();
    let seen = view
        .phases
        .iter()
        .find(|record| record.phase == Phase::Verifying)
        .map(|record| record.started)
        .or(view.started());
    let out_of_sight = seen.is_some_and(|at| now < at + TimeDelta::seconds(UNDER_WAY_S));
    let mut outcome = Outcome::default();
    let mut stand = Written::default();
    let mut pending = Vec::new();
    let mut due = Vec::new();
    for mut label in std::mem::take(&mut view.pending_labels) {
        let Some(there) = set.iter().find(|s| s.id == label.snapshot) else {
            if out_of_sight {
                pending.push(label);
            } else {
                tell(
                    view,
                    &label.snapshot,
                    None,
                    "it was gone before its label could be written",
                );
                outcome.gone.push(label.snapshot);
            }
            continue;
        };
        if there.state == SnapshotState::Error {
            label.level = Level::Crash;
            FAILED.clone_into(&mut label.reason);
        }
        let tagged = level(there);
        if label.is_due(tagged) {
            due.push(label.clone());
        } else if tagged == label.level {
            stand.labels.push((label.snapshot.clone(), label.level));
        } else {
            let reason = lowered(tagged, label.level);
            tell(view, &label.snapshot, Some(tagged), &reason);
            continue;
        }
        pending.push(label);
    }
    // What AWS failed after its label stood.
    for there in set
        .iter()
        .filter(|s| s.state == SnapshotState::Error && level(s) > Level::Crash)
    {
        if !pending.iter().any(|label| label.snapshot == there.id) {
            let label = failed(there, set.len());
            due.push(label.clone());
            pending.push(label);
        }
    }
    view.pending_labels = pending;
    stand.settle(&mut view.pending_labels, &mut view.set);
    if due.is_empty() {
        return Ok(outcome);
    }
    // A tag that is to say less claims too much until it does; the record does not, from now on.
    for label in &due {
        if let Some(member) = view.set.iter_mut().find(|m| m.snapshot == label.snapshot)
            && member.level > label.level
        {
            member.level = label.level;
            member.reason.clone_from(&label.reason);
        }
    }
    ops.journal
        .save_job(view, &owner_of_this_process(), true, now)?;
    let written = set_calls::label(ops, &view.spec.job, due).await;
    written.settle(&mut view.pending_labels, &mut view.set);
    outcome.why = written.problem;
    Ok(outcome)
}

/// Why a level is lower than what was judged.
pub(super) fn lowered(tagged: Level, judged: Level) -> String {
    format!("its tag says {tagged} since, though {judged} was judged")
}

fn failed(snapshot: &Snapshot, set_size: usize) -> Label {
    Label {
        snapshot: snapshot.id.clone(),
        volume: snapshot.volume.clone(),
        device: snapshot.device().unwrap_or_default().to_owned(),
        covered: false,
        level: Level::Crash,
        reason: FAILED.to_owned(),
        frozen_ms: None,
        set_size,
        positions: Vec::new(),
        beside: tags::Tags::default(),
    }
}

fn tell(view: &mut JobView, snapshot: &SnapshotId, level: Option<Level>, reason: &str) {
    if let Some(member) = view.set.iter_mut().find(|m| m.snapshot == *snapshot) {
        member.level = level.unwrap_or(member.level);
        reason.clone_into(&mut member.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::view;
    use super::*;

    const ROOT: &str = "vol-00000000000000001";
    const DATA: &str = "vol-00000000000000002";
    const LOG: &str = "vol-00000000000000003";

    #[test]
    fn the_lowest_of_the_covered_volumes_decides_and_where_they_are_unknown_the_lowest_of_all() {
        let [root, data, log] = [ROOT, DATA, LOG].map(VolumeId::from_api);
        let covered = [data.clone(), log.clone()];
        let report = |covered: &[VolumeId]| EvidenceReport {
            covered: covered.to_vec(),
            ..EvidenceReport::default()
        };
        let of = |covered: &[VolumeId], levels: &[_]| super::whole(&report(covered), levels);
        let (high, low) = (Level::Application, Level::Crash);
        let whole = [(&root, low), (&data, high), (&log, high)];
        assert_eq!(of(&covered, &whole), high);
        assert_eq!(of(&[], &whole), low, "nobody knows which are covered");
        let lowered = [(&root, low), (&data, high), (&log, Level::Filesystem)];
        assert_eq!(of(&covered, &lowered), Level::Filesystem);
        // Where nothing of the database lies on that volume it lowers nothing, unless it is worth less than that.
        let mut without = report(&covered);
        without.without.insert(log.clone(), "mysql".to_owned());
        assert_eq!(super::whole(&without, &lowered), high);
        let torn = [(&data, high), (&log, low)];
        assert_eq!(super::whole(&without, &torn), low);
        // A covered volume that has no snapshot, and one that has two.
        assert_eq!(of(&covered, &whole[..2]), Level::Pending);
        let twice = [(&data, high), (&log, high), (&log, low)];
        assert_eq!(of(&covered, &twice), low);
        assert_eq!(of(&[], &[]), Level::Pending);
    }

    fn snapshot(n: u8, volume: &str, level: Level) -> Snapshot {
        serde_json::from_value(serde_json::json!({
            "account": "111122223333", "region": "eu-central-1", "id": format!("snap-0000000000000000{n}"),
            "volume": volume, "state": "completed", "progress": 100, "started": "2026-11-21T04:00:00Z",
            "completed": null, "volume_gib": 1, "full_bytes": null, "encrypted": false, "tier": "standard",
            "description": "", "origin": {"by": "freezeframe"},
            "tags": {"freezeframe:job": "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10", "freezeframe:level": level.to_string()},
        }))
        .unwrap()
    }

    /// What was judged of the data volume; the root is never more than `crash`.
    fn proof(level: Level, covered: &[&str]) -> Proof {
        let judged = [(1, ROOT, Level::Crash), (2, DATA, level)].map(|(n, volume, level)| {
            crate::domain::evidence::Judged {
                snapshot: snapshot(n, volume, level).id,
                volume: VolumeId::from_api(volume),
                level,
                reason: String::new(),
                covered: covered.contains(&volume),
            }
        });
        Proof {
            report: crate::domain::job::EvidenceReport {
                covered: covered.iter().map(|v| VolumeId::from_api(*v)).collect(),
                ..Default::default()
            },
            judged: judged.to_vec(),
            facts: None,
            window_ms: None,
            found_frozen: false,
        }
    }

    #[test]
    fn tags_earn_no_more_than_the_records_bear_out_where_no_judgement_is_on_record() {
        let set = |level| [snapshot(1, ROOT, Level::Crash), snapshot(2, DATA, level)];
        let earns = |level, proof: &Proof, before| {
            let mut view = view(Phase::Queued);
            view.earns = before;
            judged(&mut view, &set(level), proof);
            view.earns
        };
        let (high, crash) = (Some(Verdict::Application), Some(Verdict::Crash));
        let proven = proof(Level::Application, &[DATA]);
        let broken = proof(Level::Crash, &[DATA]);
        let unknown = proof(Level::Crash, &[]);
        assert_eq!(earns(Level::Pending, &proven, None), high);
        assert_eq!(earns(Level::Application, &proven, None), high);
        assert_eq!(earns(Level::Crash, &proven, None), crash, "it was lowered");
        assert_eq!(
            earns(Level::Application, &broken, None),
            crash,
            "by somebody's hand"
        );
        // Its own console wrote it, after its judgement.
        assert_eq!(earns(Level::Application, &broken, high), high);
        // Not even then, where nobody knows which volumes were covered.
        assert_eq!(earns(Level::Application, &unknown, high), crash);
    }
}

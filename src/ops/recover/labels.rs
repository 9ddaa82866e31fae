//! The labels that an interrupted job owes. What was judged is on record before the first of them is written,
//! by the console that drove the job or by whoever took it up; from then on nobody judges again.

use chrono::TimeDelta;

use super::UNDER_WAY_S;
use super::proof::Proof;
use crate::domain::ids::SnapshotId;
use crate::domain::job::{JobView, Phase, Verdict};
use crate::domain::label::{self, Label, Written};
use crate::domain::level::Level;
use crate::domain::problem::{Kind, Problem};
use crate::domain::snapshot::Snapshot;
use crate::domain::tags;
use crate::ops::owner::owner_of_this_process;
use crate::ops::{Ops, backup};

/// What the tag says now; `pending` where it says nothing that is known.
pub(super) fn level(snapshot: &Snapshot) -> Level {
    snapshot.level().unwrap_or(Level::Pending)
}

/// What stands on a snapshot, and why, where that is known.
pub(super) fn stands(snapshot: &Snapshot, proof: Option<&Proof>) -> (Level, Option<String>) {
    let now = level(snapshot);
    if snapshot.state == "error" {
        return (now.min(Level::Crash), Some(FAILED.to_owned()));
    }
    let reason = proof
        .and_then(|p| p.judged.iter().find(|j| j.snapshot == snapshot.id))
        .filter(|judged| judged.level == now)
        .map(|judged| judged.reason.clone());
    (now, reason)
}

/// What a snapshot is worth: what was written by its own console stands, unless AWS failed it since.
fn worth(snapshot: &Snapshot, proof: &Proof) -> (Level, String) {
    if snapshot.state == "error" {
        return (Level::Crash, FAILED.to_owned());
    }
    let judged = proof.judged.iter().find(|j| j.snapshot == snapshot.id);
    match (level(snapshot), judged) {
        (Level::Pending, Some(judged)) => (judged.level, judged.reason.clone()),
        (written, _) => (written, String::new()),
    }
}

const FAILED: &str = "AWS reports that the snapshot failed";

/// Puts a judgement into the view: which labels are to be written, and what the job earns by them. What an
/// earlier judgement said is never raised.
pub(super) fn judged(view: &mut JobView, set: &[Snapshot], proof: &Proof) {
    let mut levels = Vec::new();
    let mut owed = Vec::new();
    for snapshot in set {
        let (mut level, reason) = worth(snapshot, proof);
        let before = view.owed_labels.iter().find(|l| l.snapshot == snapshot.id);
        level = before.map_or(level, |before| before.level.min(level));
        levels.push((snapshot, level));
        if level == self::level(snapshot) {
            continue;
        }
        let covered = proof
            .judged
            .iter()
            .any(|j| j.snapshot == snapshot.id && j.covered);
        let room = tags::MAX_TAGS.saturating_sub(snapshot.tags.copyable().count() + 3);
        owed.push(Label {
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
            // Those that a tag can carry, if there is room beside the three that come with a label.
            positions: tags::of_positions(&proof.report.positions, room),
        });
    }
    view.owed_labels = owed;
    if view.earns != Some(Verdict::Cancelled) {
        view.earns = Some(earned(&levels, proof));
    }
}

/// What the levels of the covered volumes are worth; where nobody knows any more which those were, what the
/// best of a wholly judged set is worth.
fn earned(levels: &[(&Snapshot, Level)], proof: &Proof) -> Verdict {
    let best = match &proof.facts {
        Some(facts) => facts
            .covered_volumes()
            .into_iter()
            .map(|volume| {
                levels
                    .iter()
                    .find(|(snapshot, _)| snapshot.volume == *volume)
                    .map_or(Level::Pending, |(_, level)| *level)
            })
            .min(),
        None if levels.iter().all(|(_, level)| *level > Level::Pending) => {
            levels.iter().map(|(_, level)| *level).max()
        }
        None => None,
    };
    of_level(best.unwrap_or(Level::Pending))
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
    let whole = view
        .set
        .iter()
        .all(|member| set.iter().any(|s| s.id == member.snapshot));
    if !whole || view.owed_labels.iter().any(|label| label.covered) {
        return Verdict::Crash;
    }
    // Somebody may have lowered the tags since.
    let best = view.set.iter().map(|m| m.level).max();
    match (view.earns, best) {
        (Some(Verdict::Application), Some(best)) => of_level(best),
        (Some(Verdict::Filesystem), Some(best)) => of_level(best.min(Level::Filesystem)),
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
        if !view.owed_labels.is_empty() {
            return Some(label::owed(&view.spec.instance, self.why.as_ref()));
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

/// Writes the labels that are owed and still due, after they are on record. What is gone is let go, once it
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
    let mut owed = Vec::new();
    let mut due = Vec::new();
    for mut label in std::mem::take(&mut view.owed_labels) {
        let Some(there) = set.iter().find(|s| s.id == label.snapshot) else {
            if out_of_sight {
                owed.push(label);
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
        if there.state == "error" {
            label.level = Level::Crash;
            FAILED.clone_into(&mut label.reason);
        }
        let tagged = level(there);
        if label.is_due(tagged) {
            due.push(label.clone());
        } else if tagged == label.level {
            stand.labels.push((label.snapshot.clone(), label.level));
        } else {
            let reason = format!(
                "its tag says {tagged} since, though {} was judged",
                label.level
            );
            tell(view, &label.snapshot, Some(tagged), &reason);
            continue;
        }
        owed.push(label);
    }
    // What AWS failed after its label stood.
    for there in set
        .iter()
        .filter(|s| s.state == "error" && level(s) > Level::Crash)
    {
        if !owed.iter().any(|label| label.snapshot == there.id) {
            let label = failed(there, set.len());
            due.push(label.clone());
            owed.push(label);
        }
    }
    view.owed_labels = owed;
    stand.settle(&mut view.owed_labels, &mut view.set);
    if due.is_empty() {
        return Ok(outcome);
    }
    ops.journal
        .save_job(view, &owner_of_this_process(), true, now)?;
    let written = backup::label(ops, &view.spec, due).await;
    written.settle(&mut view.owed_labels, &mut view.set);
    outcome.why = written.problem;
    Ok(outcome)
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
    }
}

fn tell(view: &mut JobView, snapshot: &SnapshotId, level: Option<Level>, reason: &str) {
    if let Some(member) = view.set.iter_mut().find(|m| m.snapshot == *snapshot) {
        member.level = level.unwrap_or(member.level);
        reason.clone_into(&mut member.reason);
    }
}

//! Bringing the record of an interrupted job to its end: its set found by tag, judged by what can still be
//! proven, labelled, and watched until AWS has copied it.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::proof::{self, Proof};
use super::{Thaw, certain_at};
use crate::domain::job::{JobView, Member, Mode, Phase, PhaseRecord, Verdict};
use crate::domain::level::Level;
use crate::domain::machine::Label;
use crate::domain::problem::{Kind, Problem};
use crate::domain::snapshot::Snapshot;
use crate::domain::tags;
use crate::jobs::journal::CallRow;
use crate::ops::Ops;
use crate::ops::backup;

/// Looks for a set that may exist although nobody saw the answer, and the pause between, growing:
/// something just made may need a moment to be visible (aws-facts 8.3).
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(2);

/// Brings a job's record to its end as far as it goes. Returns whether the job is over.
pub(super) async fn close(ops: &Ops, view: &mut JobView, thawed: Thaw) -> bool {
    match thawed {
        Thaw::Done => {
            view.thaw_uncertain = false;
            view.frozen_since = None;
        }
        Thaw::Later => {
            view.frozen_since = None;
            view.error = Some(interrupted(view, None));
            return false;
        }
        Thaw::Uncertain(problem) => {
            view.thaw_uncertain = true;
            view.error = Some(problem);
            // After that the failsafe has acted or is gone with the instance: no later try knows more.
            // Somebody else's document has none: it is asked again for a day.
            let patience = TimeDelta::days(i64::from(view.spec.foreign));
            if certain_at(view).is_some_and(|at| ops.clock.now() < at + patience) {
                return false;
            }
        }
    }
    match settle_set(ops, view).await {
        Ok(over) => over,
        Err(problem) => {
            if !view.thaw_uncertain {
                view.error = Some(problem);
            }
            false
        }
    }
}

async fn settle_set(ops: &Ops, view: &mut JobView) -> Result<bool, Problem> {
    let set = find(ops, view).await?;
    let now = ops.clock.now();
    let copying = set.iter().any(|s| s.state == "pending");
    let unjudged = set.iter().any(|s| level(s) == Level::Pending);
    let failed: Vec<&Snapshot> = set.iter().filter(|s| s.state == "error").collect();
    let mut proof = None;
    // While only the copying goes on there is nothing to judge.
    if !set.is_empty() && (unjudged || !copying) {
        let found = proof::gather(ops, view, &set).await?;
        write_labels(ops, view, &set, &found).await?;
        if unjudged || view.evidence.links.is_empty() {
            view.evidence = found.report.clone();
            view.freeze_window_ms = view.freeze_window_ms.or(found.window_ms);
        }
        proof = Some(found);
    }
    for snapshot in &set {
        keep(view, snapshot, proof.as_ref());
    }
    if copying {
        enter(view, Phase::Completing, now);
        return Ok(false);
    }
    let verdict = verdict(view, proof.as_ref(), !failed.is_empty());
    if !view.thaw_uncertain {
        view.error = match verdict {
            Verdict::Application | Verdict::Filesystem => None,
            _ if !failed.is_empty() => Some(Problem::new(
                Kind::Aws,
                format!("complete the set of {}", view.spec.instance),
                "AWS reports that a snapshot of it failed",
                "run the job again; an incomplete set cannot be restored as one",
            )),
            _ => Some(interrupted(view, proof.as_ref())),
        };
    }
    if let Some(last) = view.phases.last_mut() {
        last.failed |= verdict == Verdict::Failed;
    }
    view.verdict = Some(verdict);
    enter(view, Phase::Done, now);
    Ok(true)
}

fn interrupted(view: &JobView, proof: Option<&Proof>) -> Problem {
    let mut cause = "the console that drove it ended before the job did".to_owned();
    if let Some(broken) = proof.and_then(Proof::broken) {
        cause.push_str("; not proven any more: ");
        cause.push_str(&broken);
    }
    Problem::new(
        Kind::Cancelled,
        format!("finish job {}", view.spec.job),
        cause,
        "its set, if any, is labelled by what was proven; start a new job for a proven one",
    )
}

/// The set by its tag. Where a call may have made one, an answer that lacks something is asked again.
async fn find(ops: &Ops, view: &JobView) -> Result<Vec<Snapshot>, Problem> {
    let calls = ops.journal.calls(view.spec.job.as_str())?;
    let expected = calls.iter().find_map(expected).or_else(|| {
        // There the instance makes the call, if its command was not refused. What was seen must be there.
        let sent = calls.iter().any(super::was_sent);
        (view.spec.mode == Mode::Autonomous && sent).then(|| view.set.len().max(1))
    });
    let mut pause = PAUSE;
    for look in 1.. {
        let found = ops.session.snapshots_of_job(&view.spec.job).await?;
        if look >= LOOKS || expected.is_none_or(|n| found.len() >= n) {
            return Ok(found);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Ok(Vec::new())
}

/// How many snapshots a call must have made at least; `None` when it is no such call, or was refused.
fn expected(call: &CallRow) -> Option<usize> {
    if call.action != "CreateSnapshots" {
        return None;
    }
    match call.outcome.as_deref() {
        None => Some(1),
        Some(outcome) if outcome.starts_with("unknown") => Some(1),
        Some(outcome) => outcome
            .strip_prefix("ok: ")
            .map(|ids| ids.split_whitespace().count()),
    }
}

fn level(snapshot: &Snapshot) -> Level {
    snapshot.level().unwrap_or(Level::Pending)
}

/// What a snapshot is worth: what was written by its own console stands, unless AWS failed it since.
fn worth(snapshot: &Snapshot, proof: Option<&Proof>) -> (Level, Option<String>) {
    if snapshot.state == "error" {
        let reason = "AWS reports that the snapshot failed".to_owned();
        return (Level::Crash, Some(reason));
    }
    let judged = proof.and_then(|p| p.judged.iter().find(|j| j.snapshot == snapshot.id));
    match (level(snapshot), judged) {
        (Level::Pending, Some(judged)) => (judged.level, Some(judged.reason.clone())),
        (written, Some(judged)) if judged.level == written => {
            (written, Some(judged.reason.clone()))
        }
        (written, _) => (written, None),
    }
}

/// Writes what differs from the tags that stand.
async fn write_labels(
    ops: &Ops,
    view: &JobView,
    set: &[Snapshot],
    proof: &Proof,
) -> Result<(), Problem> {
    let labels: Vec<Label> = set
        .iter()
        .filter_map(|snapshot| {
            let (worth, reason) = worth(snapshot, Some(proof));
            let covered = proof
                .judged
                .iter()
                .any(|j| j.snapshot == snapshot.id && j.covered);
            (worth != level(snapshot)).then(|| Label {
                snapshot: snapshot.id.clone(),
                volume: snapshot.volume.clone(),
                level: worth,
                reason: reason.unwrap_or_default(),
                frozen_ms: proof.window_ms.filter(|_| covered),
                set_size: set.len(),
                positions: positions(snapshot, proof),
            })
        })
        .collect();
    let devices: HashMap<_, _> = proof
        .facts
        .iter()
        .flat_map(|f| &f.volumes)
        .map(|v| (v.volume.clone(), v.device.clone()))
        .collect();
    backup::label(ops, &view.spec, &devices, labels).await
}

/// Where the engine's logs stood, as tags: those that a tag can carry, if the snapshot has room beside the
/// three (device, window, size of the set) that come with a label.
fn positions(snapshot: &Snapshot, proof: &Proof) -> Vec<(String, String)> {
    let room = tags::MAX_TAGS.saturating_sub(snapshot.tags.copyable().count() + 3);
    tags::of_positions(&proof.report.positions, room)
}

fn keep(view: &mut JobView, snapshot: &Snapshot, proof: Option<&Proof>) {
    let (level, reason) = worth(snapshot, proof);
    let device = proof
        .and_then(|p| p.facts.as_ref())
        .map(|f| f.device(&snapshot.volume))
        .filter(|device| !device.is_empty())
        .or(snapshot.device())
        .unwrap_or_default();
    let n = match view.set.iter().position(|m| m.snapshot == snapshot.id) {
        Some(n) => n,
        None => {
            view.set.push(Member {
                snapshot: snapshot.id.clone(),
                volume: snapshot.volume.clone(),
                device: crate::domain::text::visible(device).into_owned(),
                level: Level::Pending,
                reason: String::new(),
                progress: 0,
                volume_gib: snapshot.volume_gib,
            });
            view.set.len() - 1
        }
    };
    if let Some(member) = view.set.get_mut(n) {
        member.level = level;
        member.progress = match snapshot.state.as_str() {
            "completed" => 100,
            _ => member.progress.max(snapshot.progress.unwrap_or(0).min(100)),
        };
        if let Some(reason) = reason {
            member.reason = reason;
        }
    }
}

/// What the labels that stand on the covered volumes are worth; where nobody knows any more which those
/// were, what the best of a wholly judged set is worth.
fn verdict(view: &JobView, proof: Option<&Proof>, failed: bool) -> Verdict {
    if failed || view.set.is_empty() {
        return Verdict::Failed;
    }
    let level = match proof.and_then(|p| p.facts.as_ref()) {
        Some(facts) => facts
            .covered_volumes()
            .into_iter()
            .map(|volume| {
                view.set
                    .iter()
                    .find(|m| m.volume == *volume)
                    .map_or(Level::Pending, |m| m.level)
            })
            .min(),
        None if view.set.iter().all(|m| m.level > Level::Pending) => {
            view.set.iter().map(|m| m.level).max()
        }
        None => None,
    };
    match level {
        Some(Level::Application) => Verdict::Application,
        Some(Level::Filesystem) => Verdict::Filesystem,
        _ => Verdict::Crash,
    }
}

/// Moves on to a phase; the one before ends now.
fn enter(view: &mut JobView, phase: Phase, now: DateTime<Utc>) {
    if view.phase == phase {
        return;
    }
    for record in &mut view.phases {
        record.ended = record.ended.or(Some(now));
    }
    view.phases.push(PhaseRecord {
        phase,
        started: now,
        ended: (phase == Phase::Done).then_some(now),
        failed: false,
    });
    view.phase = phase;
}

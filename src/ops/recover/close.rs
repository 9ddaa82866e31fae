//! Bringing the record of an interrupted job to its end: its set found by tag, judged by what can still be
//! proven, labelled, and watched until AWS has copied it.

use crate::domain::state::SnapshotState;
use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::proof::{self, Proof};
use super::{FIRST_LOOK, Thaw, UNDER_WAY_S, certain_at, labels, values};
use crate::aws::ssm::Polled;
use crate::domain::held::{Delivery, Freezing};
use crate::domain::ids::{SnapshotId, VolumeId};
use crate::domain::job::{JobView, Member, Mode, Phase, PhaseRecord, Verdict};
use crate::domain::label;
use crate::domain::level::Level;
use crate::domain::machine::{GONE_SINCE, incomplete};
use crate::domain::problem::{Kind, Problem};
use crate::domain::snapshot::Snapshot;
use crate::jobs::journal::CallRow;
use crate::jobs::outcome::CallOutcome;
use crate::ops::Ops;
use crate::ops::command::send::{self, Step};
use crate::ops::confirmations;
use crate::ops::set_calls::{FIND_LOOKS, FIND_PAUSE};
use crate::ops::snapshot_progress::GONE_AFTER;

/// Looks for a set that may exist although nobody saw the answer, and the pause between, growing:
/// something just made may need a moment to be visible (aws-facts 8.3).
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(2);

/// Brings a job's record to its end as far as it goes. Returns whether the job is over.
pub(super) async fn close(ops: &Ops, view: &mut JobView, thawed: Thaw) -> bool {
    let held = matches!(thawed, Thaw::StillFrozen(_));
    if view.phase == Phase::Done {
        let unconfirmed = view.needs_thaw() && stays_unconfirmed(ops, view, &thawed);
        let settled = if view.set_unseen {
            unseen(ops, view, held).await
        } else if view.has_pending_labels() {
            pending(ops, view).await
        } else {
            Ok(true)
        };
        let settled = settled.unwrap_or_else(|problem| {
            tracing::warn!(%problem, "pending labels could not be written");
            false
        });
        return settled && !unconfirmed;
    }
    match thawed {
        Thaw::Confirmed => {
            view.thawed();
        }
        // Somebody has proven it since: that nobody can be reached now is no new unconfirmed thaw.
        Thaw::Unconfirmed(_) if confirmations::is_proven(ops, &view.spec) => {
            view.thawed();
        }
        Thaw::Later => {
            view.frozen_since = None;
            if let Freezing::Open(freeze) = &mut view.freezing {
                freeze.nothing_at = Some(ops.clock.now());
            }
            let delivery = tokio::time::timeout(FIRST_LOOK, delivery(ops, view)).await;
            if let Ok(Some(delivery)) = delivery
                && let Freezing::Open(freeze) = &mut view.freezing
            {
                freeze.delivery = delivery;
            }
            view.error = Some(interrupted(view));
            return false;
        }
        Thaw::Unconfirmed(problem) | Thaw::StillFrozen(problem) => {
            view.thaw_unconfirmed = true;
            view.error = Some(problem);
            if may_yet_be_told(ops, view) {
                return false;
            }
        }
    }
    match settle_set(ops, view, held).await {
        Ok(over) => over,
        Err(problem) => {
            if !view.thaw_unconfirmed {
                view.error = Some(problem);
            }
            false
        }
    }
}

/// Whether a later try to thaw may know more. When the failsafe has acted, or is gone with the instance, none does.
/// Somebody else's document has none: it is asked again for a day.
fn may_yet_be_told(ops: &Ops, view: &JobView) -> bool {
    let patience = TimeDelta::days(i64::from(view.spec.third_party));
    certain_at(view).is_some_and(|at| ops.clock.now() < at + patience)
}

/// A job that ended unconfirmed was asked to thaw again: whether it is to be asked once more.
fn stays_unconfirmed(ops: &Ops, view: &mut JobView, thawed: &Thaw) -> bool {
    match thawed {
        Thaw::Confirmed => {
            view.thawed();
            false
        }
        // While the instance was asked somebody has proven it, or has looked: that ended the unconfirmed thaw, as it is on record.
        Thaw::Later | Thaw::Unconfirmed(_) if confirmations::is_ended(ops, &view.spec) => {
            if let Ok(Some(now)) = ops.journal.job(ops.scope(), &view.spec.job) {
                *view = now;
            }
            view.thawed();
            false
        }
        Thaw::Later | Thaw::Unconfirmed(_) | Thaw::StillFrozen(_) => may_yet_be_told(ops, view),
    }
}

/// `held`: the instance has just said that something is frozen.
async fn settle_set(ops: &Ops, view: &mut JobView, held: bool) -> Result<bool, Problem> {
    let (mut set, expected) = find_set(ops, view).await?;
    let lost = lost(ops, view, &mut set).await?;
    let missing = missing(view, &set, expected);
    let now = ops.clock.now();
    let calls = ops.journal.calls(view.spec.job.as_str())?;
    labels::shown_late(view, &calls, now, &mut set);
    let waits = match (lost.unsure.as_slice(), missing.as_slice()) {
        ([], []) => None,
        ([], missing) => (!long_ago(view, &set, now)).then(|| piecemeal(view, &set, missing)),
        (unsure, _) => Some(out_of_sight(view, unsure)),
    };
    let gone = lost.gone;
    let copying = set.iter().any(|s| s.state == SnapshotState::Pending) || waits.is_some();
    let on_record = |s: &Snapshot| view.pending_labels.iter().any(|l| l.snapshot == s.id);
    let unjudged = set
        .iter()
        .any(|s| labels::level(s) == Level::Pending && !on_record(s));
    // Half of it is not judged while the other half may only be out of sight.
    if let Some(waits) = waits.as_ref().filter(|_| unjudged || set.is_empty()) {
        if !view.thaw_unconfirmed {
            view.error = Some(waits.clone());
        }
        return Ok(false);
    }
    view.pending_labels.retain(|l| !gone.contains(&l.snapshot));
    for member in &mut view.set {
        if gone.contains(&member.snapshot) {
            member.level = member.level.min(Level::Crash);
            GONE_SINCE.clone_into(&mut member.reason);
        }
    }
    // What was judged is on record. While only the copying goes on there is nothing to judge.
    let mut proof = None;
    if !set.is_empty() && (unjudged || (view.earns.is_none() && !copying)) {
        let found = proof::gather(ops, view, &set).await?;
        labels::judged(view, &set, &found);
        if unjudged || view.evidence.links.is_empty() {
            let before = std::mem::replace(&mut view.evidence, found.report.clone());
            // That does not change, whether or not it can be read any more.
            if view.evidence.covered.is_empty() {
                view.evidence.covered = before.covered;
                view.evidence.without = before.without;
            }
            view.freeze_window_ms = view.freeze_window_ms.or(found.window_ms);
        }
        // Somebody else's document may be delivered again, and freeze once more.
        if !held && !view.spec.third_party && found.tells_of_the_thaw() {
            view.thawed();
        }
        proof = Some(found);
    }
    for snapshot in &set {
        keep(view, snapshot, proof.as_ref());
    }
    if !set.is_empty() && view.phase < Phase::Verifying {
        enter(view, Phase::Verifying, now);
    }
    let covered: Vec<_> = view
        .pending_labels
        .iter()
        .filter(|label| label.frozen_ms.is_some())
        .map(|label| label.snapshot.clone())
        .collect();
    let outcome = labels::write(ops, view, &set).await?;
    if copying {
        if view.phase != Phase::Done {
            enter(view, Phase::Completing, now);
        }
        if !view.thaw_unconfirmed {
            view.error = outcome.problem(view).or(waits);
        }
        return Ok(false);
    }
    let errored: Vec<String> = set
        .iter()
        .filter(|s| s.state == SnapshotState::Error)
        .map(|s| s.id.to_string())
        .collect();
    let failed = !errored.is_empty() || !gone.is_empty();
    let verdict = labels::verdict(view, &set, failed);
    if !view.thaw_unconfirmed {
        view.error = match verdict {
            _ if failed => {
                let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
                Some(incomplete(&view.spec.instance, &errored, &gone))
            }
            Verdict::Application | Verdict::Filesystem => outcome.problem(view),
            // What it said of itself stays true where no set is found.
            _ if set.is_empty() && view.set_unseen => view.error.take(),
            _ if !missing.is_empty() => Some(
                outcome
                    .problem(view)
                    .unwrap_or_else(|| partial(view, &set, &missing)),
            ),
            _ => Some(outcome.problem(view).unwrap_or_else(|| interrupted(view))),
        };
    }
    if let Some(last) = view.phases.last_mut() {
        last.failed |= verdict == Verdict::Failed;
    }
    view.verdict = Some(verdict);
    view.set_unseen = false;
    values::publish(ops, view, &set, |snapshot| {
        values::tagged(snapshot) || covered.contains(&snapshot.id)
    })
    .await;
    enter(view, Phase::Done, now);
    Ok(view.pending_labels.is_empty())
}

/// A job that ended without anybody being able to look for its set: it is looked for now, and judged by the
/// records like that of an interrupted job.
async fn unseen(ops: &Ops, view: &mut JobView, held: bool) -> Result<bool, Problem> {
    if view.verdict == Some(Verdict::Cancelled) {
        view.earns = view.verdict;
    }
    settle_set(ops, view, held).await
}

/// A job that is over but for its labels: nothing is thawed or published again. Returns whether all stand.
async fn pending(ops: &Ops, view: &mut JobView) -> Result<bool, Problem> {
    let (set, _) = find_set(ops, view).await?;
    // A level that was lowered since is; what shows none may only be shown late.
    for snapshot in set.iter().filter(|s| labels::level(s) > Level::Pending) {
        keep(view, snapshot, None);
    }
    let outcome = labels::write(ops, view, &set).await?;
    let ours = |problem: &Problem| label::is_pending_problem(&view.spec.instance, problem);
    let mine = view.error.as_ref().is_none_or(ours);
    if mine {
        view.error = outcome.problem(view);
    }
    if view.pending_labels.is_empty() {
        if mine && view.error.is_none() {
            for record in &mut view.phases {
                record.failed &= record.phase != Phase::Verifying;
            }
        }
        if view.verdict == Some(Verdict::Crash) {
            view.verdict = Some(labels::verdict(view, &set, false));
        }
    }
    Ok(view.pending_labels.is_empty())
}

/// How far the command that freezes is by now, where Systems Manager says.
async fn delivery(ops: &Ops, view: &JobView) -> Option<Delivery> {
    let instance = &view.spec.instance;
    let comment = send::comment(&view.spec, Step::Pre);
    let found = ops.session.find_command(&comment, instance).await;
    let command = found.ok().flatten()?;
    match ops.session.poll_command(&command, instance).await.ok()? {
        Polled::Running(delivery) => Some(delivery),
        Polled::Ended(_) => Some(Delivery::Ended),
    }
}

fn interrupted(view: &JobView) -> Problem {
    let mut cause = if view.set_unseen {
        "its set could not be looked for when it ended".to_owned()
    } else {
        "the console that drove it ended before the job did".to_owned()
    };
    if let Some(broken) = view.evidence.links.iter().find(|link| !link.holds) {
        cause.push_str("; not proven any more: ");
        cause.push_str(&format!("{}: {}", broken.name, broken.seen));
    }
    Problem::new(
        Kind::Cancelled,
        format!("finish job {}", view.spec.job),
        cause,
        "its set, if any, is labelled by what was proven; start a new job for a proven one",
    )
}

/// The set by its tag, and how many snapshots of it were expected. Where a call may have made one, an answer that lacks
/// something is asked again; where the answer was lost, nothing is whole before each volume of the plan has its
/// snapshot and two looks agree, because EC2 may show it piece by piece.
async fn find_set(ops: &Ops, view: &JobView) -> Result<(Vec<Snapshot>, Option<Expected>), Problem> {
    let calls = ops.journal.calls(view.spec.job.as_str())?;
    let expected = calls.iter().find_map(expected).or_else(|| {
        // There the instance makes the call, if its command was not refused.
        let sent = calls.iter().any(super::was_sent);
        (view.spec.mode == Mode::Autonomous && sent).then_some(Expected::Unanswered)
    });
    // What was seen must be there.
    let planned = view.set_plan.as_ref().map_or(0, |p| p.members.len());
    let least = planned.max(view.set.len()).max(1);
    // A call of a moment ago may yet be carried out.
    let limit = ops.clock.now() - TimeDelta::seconds(UNDER_WAY_S);
    let makes = |call: &&CallRow| call.action == "CreateSnapshots" || super::freezes(call);
    let recent = calls
        .iter()
        .filter(makes)
        .any(|call| DateTime::parse_from_rfc3339(&call.intended).is_ok_and(|at| at > limit));
    let looks = if recent { FIND_LOOKS } else { LOOKS };
    let mut pause = PAUSE;
    let mut before = None;
    for look in 1.. {
        let found = ops.session.snapshots_of_job(&view.spec.job).await?;
        let ids: BTreeSet<SnapshotId> = found.iter().map(|s| s.id.clone()).collect();
        let whole = match expected {
            None => true,
            Some(Expected::All(n)) => found.len() >= n,
            Some(Expected::Unanswered) => {
                let agree = before.as_ref() == Some(&ids);
                found.len() >= least && agree && (look >= LOOKS || !recent)
            }
        };
        if look >= looks || whole {
            return Ok((found, expected));
        }
        before = Some(ids);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(FIND_PAUSE);
    }
    Ok((Vec::new(), expected))
}

/// The volumes of the plan whose snapshots EC2 does not show: a call that was not answered made one of each, if it made
/// any. What was judged before is whole.
fn missing(view: &JobView, set: &[Snapshot], expected: Option<Expected>) -> Vec<VolumeId> {
    let judged = !matches!(view.earns, None | Some(Verdict::Cancelled));
    if judged || set.is_empty() || !matches!(expected, Some(Expected::Unanswered)) {
        return Vec::new();
    }
    let planned = view.set_plan.iter().flat_map(|plan| &plan.members);
    planned
        .map(|member| &member.volume)
        .filter(|volume| !set.iter().any(|s| s.volume == **volume))
        .filter(|volume| !view.set.iter().any(|m| m.volume == **volume))
        .cloned()
        .collect()
}

/// Whether everything that was made for the job is old enough for EC2 to show it everywhere. By this clock; what AWS
/// dates after it says nothing.
fn long_ago(view: &JobView, set: &[Snapshot], now: DateTime<Utc>) -> bool {
    let before = view.phases.iter().filter(|p| p.phase <= Phase::Verifying);
    let asked = before.map(|p| p.started).max();
    asked.is_some_and(|at| now >= at + GONE_AFTER)
        && (set.iter().map(|s| s.started)).all(|at| at > now || now >= at + GONE_AFTER)
}

/// Snapshots of a job that its tag does not find.
#[derive(Default)]
struct Lost {
    /// EC2 has them no more.
    gone: Vec<SnapshotId>,
    /// Made so lately that they may only be out of sight.
    unsure: Vec<SnapshotId>,
}

/// What is known to have been made and was not found by its tag is asked for by its id. What is there after all joins
/// the set, unless somebody took the tag off it: then it is of no set any more.
async fn lost(ops: &Ops, view: &JobView, set: &mut Vec<Snapshot>) -> Result<Lost, Problem> {
    let mut known: Vec<SnapshotId> = view.set.iter().map(|m| m.snapshot.clone()).collect();
    for call in ops.journal.calls(view.spec.job.as_str())? {
        for id in answered(&call) {
            if !known.contains(&id) {
                known.push(id);
            }
        }
    }
    let long_ago = long_ago(view, &[], ops.clock.now());
    let mut lost = Lost::default();
    for id in known {
        if set.iter().any(|s| s.id == id) {
            continue;
        }
        match ops.session.snapshot(&id).await? {
            Some(there) if there.job().as_ref() == Some(&view.spec.job) => set.push(there),
            Some(_) => {}
            None if long_ago => lost.gone.push(id),
            None => lost.unsure.push(id),
        }
    }
    Ok(lost)
}

fn out_of_sight(view: &JobView, ids: &[SnapshotId]) -> Problem {
    let ids: Vec<&str> = ids.iter().map(SnapshotId::as_str).collect();
    Problem::new(
        Kind::NotFound,
        format!("find the set of {}", view.spec.instance),
        format!(
            "EC2 does not show {}: made lately, or deleted by somebody since",
            ids.join(", ")
        ),
        "any start of freezeframe looks again; what is not there ten minutes after it was made is gone",
    )
}

fn piecemeal(view: &JobView, set: &[Snapshot], missing: &[VolumeId]) -> Problem {
    Problem::new(
        Kind::NotFound,
        format!("find the set of {}", view.spec.instance),
        shown(set, missing),
        "any start of freezeframe looks again; what is not there ten minutes after the set was made is not in it",
    )
}

/// What there is was judged without the rest.
fn partial(view: &JobView, set: &[Snapshot], missing: &[VolumeId]) -> Problem {
    Problem::new(
        Kind::NotFound,
        format!("complete the set of {}", view.spec.instance),
        format!(
            "{}: detached before the set was made, or deleted by somebody since",
            shown(set, missing)
        ),
        "run the job again if a whole set is wanted; `freezeframe jobs orphans` shows what appears later",
    )
}

fn shown(set: &[Snapshot], missing: &[VolumeId]) -> String {
    let (some, all) = (set.len(), set.len() + missing.len());
    let volumes: Vec<&str> = missing.iter().map(VolumeId::as_str).collect();
    format!(
        "EC2 shows {some} of its {all} snapshots, and none of {}",
        volumes.join(", ")
    )
}

/// The snapshots that a call is known to have made.
fn answered(call: &CallRow) -> Vec<SnapshotId> {
    let outcome = call.outcome.as_ref();
    outcome
        .filter(|_| call.action == "CreateSnapshots")
        .and_then(CallOutcome::answer)
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(SnapshotId::from_api)
        .collect()
}

/// How many snapshots a call made.
#[derive(Clone, Copy)]
enum Expected {
    /// As it was answered.
    All(usize),
    /// The answer was lost: one of each volume, or none.
    Unanswered,
}

/// `None` when it is no such call, or was refused.
fn expected(call: &CallRow) -> Option<Expected> {
    if call.action != "CreateSnapshots" {
        return None;
    }
    match &call.outcome {
        None | Some(CallOutcome::Unknown(_)) => Some(Expected::Unanswered),
        Some(CallOutcome::Answered(_)) => Some(Expected::All(answered(call).len())),
        Some(CallOutcome::Refused(_)) => None,
    }
}

fn keep(view: &mut JobView, snapshot: &Snapshot, proof: Option<&Proof>) {
    let (level, reason) = labels::stands(snapshot, proof);
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
        // What it claimed before, its tag said.
        let reason = reason.or_else(|| {
            let lower = member.level > level && member.level.is_proven();
            lower.then(|| labels::lowered(level, member.level))
        });
        member.level = level;
        member.progress = match snapshot.state {
            SnapshotState::Completed => 100,
            _ => member.progress.max(snapshot.progress.unwrap_or(0).min(100)),
        };
        if let Some(reason) = reason {
            member.reason = reason;
        }
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

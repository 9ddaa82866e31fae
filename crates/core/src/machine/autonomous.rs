//! Autonomous mode: one command on the instance freezes, calls `CreateSnapshots` itself, thaws and tells.
//!
//! Until it ends the console sees only its status, and the set by its tag. Then the one trace decides
//! what still has to be done: nothing, a thaw because it does not say that all is thawed, a search for
//! the set because the call may have been made.

use crate::script_exit::ScriptExit;
use chrono::{DateTime, Utc};

use super::{CommandEnd, CreatedSnapshot, JobEffect, Timer};
use super::{Completion, FreezeCommand, Job, SnapshotCall, ThawCommand};
use crate::ids::SnapshotId;
use crate::job::{Member, Mode, Phase};
use crate::level::Level;
use crate::problem::Problem;
use crate::set_plan::SetPlan;
use crate::trace::{Trace, TraceEvent};

impl Job {
    /// Snapshots that the instance says it was answered. A search by tag is not complete without them.
    pub fn expected(&self) -> Vec<SnapshotId> {
        self.pre_told
            .iter()
            .flat_map(|told| told.trace.answered_snapshots())
            .map(|(snapshot, ..)| snapshot.clone())
            .collect()
    }

    /// How many snapshots a whole set has: as many as the instance was answered; else one for each attached volume that
    /// is not left out. 0 when nobody has said.
    pub fn attached(&self) -> usize {
        let whole = self.pre_told.as_ref().filter(|told| told.trace.is_whole());
        let answered = whole.map_or(0, |told| told.trace.answered_snapshots().len());
        if answered > 0 {
            return answered;
        }
        let planned = self.planned.as_ref().map_or(0, |plan| plan.members.len());
        self.facts.as_ref().map_or(planned, |f| f.in_set().count())
    }

    /// The plan of the set, once it is known.
    pub fn set_plan(&self) -> Option<&SetPlan> {
        let seen = self.facts.as_ref().and_then(|f| f.set.as_deref());
        seen.or(self.planned.as_ref())
    }

    /// EC2 shows a set while the command is under way: then the instance is past its freeze, and it
    /// snapshots or thaws. What the set is worth is still open.
    pub(super) fn set_appeared(&mut self, set: Vec<CreatedSnapshot>, now: DateTime<Utc>) {
        if self.spec.mode != Mode::Autonomous || !self.waits_for_pre() || set.is_empty() {
            return;
        }
        self.enter(Phase::Snapshotting, now);
        self.set = set
            .iter()
            .map(|made| self.member(made, "it appeared at EC2; nothing is proven yet"))
            .collect();
        self.seen = set;
    }

    /// Handles the end of the one command of autonomous mode, known or not: its report is in `pre_told`.
    pub(super) fn autonomous_ended(
        &mut self,
        ended: &CommandEnd,
        problem: Option<Problem>,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        let empty = Trace::default();
        let trace = self.pre_told.as_ref().map_or(&empty, |told| &told.trace);
        // Of a second delivery one learns nothing of the first; and a set that was seen was asked for.
        let twice = matches!(
            ended,
            CommandEnd::Failed {
                exit: ScriptExit::AlreadyFrozen
            }
        ) && !trace.has_error("busy");
        let call = if twice || !self.seen.is_empty() {
            SnapshotCall::Unknown
        } else {
            call_of(trace, ended)
        };
        let open = match ended {
            // What has said something has run, whatever Systems Manager believes.
            CommandEnd::NeverDelivered
            | CommandEnd::TimedOut {
                may_have_run: false,
            } => !trace.lines.is_empty() && !trace.left_nothing_held(),
            // 204 is either another job at work, which is none of ours, or a second delivery of our own
            // command: then the first one's freeze may stand.
            CommandEnd::Failed {
                exit: ScriptExit::AlreadyFrozen,
            } => !trace.left_nothing_held() || !trace.has_error("busy"),
            CommandEnd::Success | CommandEnd::Failed { .. } | CommandEnd::Cancelled { .. } => {
                !trace.left_nothing_held() || trace.may_begin_again()
            }
            CommandEnd::TimedOut { may_have_run: true }
            | CommandEnd::WorkerLost
            | CommandEnd::Lost(_) => true,
        };
        if self.phase > Phase::Snapshotting {
            // Given up meanwhile; the thaw goes on. That no call was made is still worth knowing.
            if self.call == SnapshotCall::Unknown && self.completion == Completion::No {
                self.call = call;
            }
            return;
        }
        todo.push(JobEffect::Disarm(Timer::Quiesce));
        if let Some(problem) = problem {
            self.fail_record(problem);
        }
        self.call = call;
        if open {
            self.thaw(now, todo);
        } else {
            self.post = ThawCommand::Over;
            if self.call == SnapshotCall::NotMade {
                self.pre = FreezeCommand::Clean;
            }
            self.after_thaw(now, todo);
        }
    }

    pub(super) fn member(&self, made: &CreatedSnapshot, reason: &str) -> Member {
        Member {
            snapshot: made.snapshot.clone(),
            volume: made.volume.clone(),
            device: self
                .facts
                .as_ref()
                .map_or("", |f| f.device(&made.volume))
                .to_owned(),
            level: Level::Pending,
            reason: reason.to_owned(),
            progress: 0,
            volume_gib: made.volume_gib,
        }
    }
}

/// What is certain of the instance's call: that it made none, or nothing. Even a good answer is looked up
/// by the tag, because the set is what EC2 shows.
fn call_of(trace: &Trace, ended: &CommandEnd) -> SnapshotCall {
    let never_ran = matches!(
        ended,
        CommandEnd::NeverDelivered
            | CommandEnd::TimedOut {
                may_have_run: false
            }
    ) && trace.lines.is_empty();
    let asked = trace.events().any(|said| *said == TraceEvent::Request);
    let refused = match trace.answer() {
        Some(TraceEvent::Answer {
            ok: false,
            status,
            code,
            ..
        }) => {
            // A client error, or "slow down": AWS did nothing. Any other failure may have come too late.
            let slow = matches!(
                code.as_deref(),
                Some("RequestLimitExceeded" | "Throttling" | "ThrottlingException")
            );
            (400..500).contains(status) || slow
        }
        _ => false,
    };
    let told_all =
        trace.is_whole() && !matches!(ended, CommandEnd::Lost(_) | CommandEnd::WorkerLost);
    if never_ran || (told_all && (!asked || refused)) {
        SnapshotCall::NotMade
    } else {
        SnapshotCall::Unknown
    }
}

#[cfg(test)]
mod tests;

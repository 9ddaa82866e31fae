//! What a run may do at once, and which of its jobs are tried again.

use std::time::Duration;

use serde::Deserialize;

use super::job::{JobView, Mode, OnFailure, Phase, Verdict};
use super::problem::{Kind, Problem};
use super::refusal::Refusal;

/// Most jobs under way at once that may be asked for: more would only wait for EC2's buckets, longer
/// than preflight may last.
const AT_ONCE_MOST: u32 = 200;
/// Pause before the second attempt; each further one waits that much longer. Also longer than EC2 wants
/// between two requests for one volume.
const PAUSE: Duration = Duration::from_secs(20);

/// Limits of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Jobs under way at once, 1 to 200; one that only waits for AWS's copying does not count.
    pub at_once: u32,
    /// Instances of one group that may be frozen at once, 1 to 100.
    pub freezes_per_group: u32,
    /// How often a job that touched nothing is tried again, 0 to 10.
    pub retries: u32,
    /// The tag whose value names an instance's group.
    pub group_tag: String,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 10,
            freezes_per_group: 1,
            retries: 0,
            group_tag: super::tags::GROUP.to_owned(),
        }
    }
}

impl Limits {
    /// Refuses numbers that make no sense.
    ///
    /// # Errors
    /// [`Kind::Usage`], naming the key and its range.
    pub fn check(&self) -> Result<(), Problem> {
        let wrong = |key: &str, value: u32, range: &str| {
            Problem::new(
                Kind::Usage,
                "read the limits of a run",
                format!("{key} is {value}"),
                format!("choose {range}"),
            )
        };
        if !(1..=AT_ONCE_MOST).contains(&self.at_once) {
            return Err(wrong("at_once", self.at_once, "1 to 200"));
        }
        if !(1..=100).contains(&self.freezes_per_group) {
            return Err(wrong(
                "freezes_per_group",
                self.freezes_per_group,
                "1 to 100",
            ));
        }
        if self.retries > 10 {
            return Err(wrong("retries", self.retries, "0 to 10"));
        }
        if self.group_tag.trim().is_empty() {
            return Err(Problem::new(
                Kind::Usage,
                "read the limits of a run",
                "group_tag is empty",
                "name a tag, such as freezeframe:group",
            ));
        }
        Ok(())
    }

    /// What an attempt does when it cannot quiesce, if `wanted` is asked for: the last one decides, so that
    /// no lesser set is made while a better one may still be had. Attempts count from 1.
    pub fn on_failure(&self, attempt: u32, wanted: OnFailure) -> OnFailure {
        if attempt > self.retries {
            wanted
        } else {
            OnFailure::Skip
        }
    }

    /// What follows on an attempt that has ended. `wanted` is what the run was asked to do on failure.
    pub fn next(&self, view: &JobView, attempt: u32, wanted: OnFailure) -> Next {
        if attempt > self.retries || !untouched(view) {
            return Next::Over;
        }
        if may_pass(view) {
            let after = PAUSE * attempt;
            return Next::Again { after };
        }
        // No use in trying the same again; but the lesser set that was asked for is still to be made.
        let cannot_quiesce = view.error.as_ref().is_some_and(|problem| {
            matches!(problem.kind, Kind::Agent | Kind::Document | Kind::Script)
        });
        if wanted == OnFailure::CrashConsistent && cannot_quiesce {
            Next::Last
        } else {
            Next::Over
        }
    }
}

/// What follows on an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: its view is the outcome.
    Over,
    /// The same again, as a new job, after a pause.
    Again {
        /// The pause.
        after: Duration,
    },
    /// The last attempt, at once.
    Last,
}

/// Codes with which an autonomous command ends before it asks for snapshots. Not `already-frozen`: a second
/// delivery of a command that is at work says it too.
const BEFORE_THE_REQUEST: [&str; 9] = [
    "lock-timeout",
    "busy",
    "freeze-failed",
    "db-unreachable",
    "other-server",
    "no-metadata",
    "no-credentials",
    "arm-failed",
    "before-boot",
];

/// Whether a job ended without a snapshot asked for and with nothing left frozen, for certain.
fn untouched(view: &JobView) -> bool {
    let reached = |phase| view.phases.iter().any(|record| record.phase == phase);
    let asked = reached(Phase::Frozen) || reached(Phase::Snapshotting) || !view.set.is_empty();
    // The instance asks by itself: only a command that was never taken, or an error that comes before the
    // request, tells that it did not.
    let by_itself = view.spec.mode == Mode::Autonomous && reached(Phase::Quiescing);
    let code = view.error.as_ref().and_then(|p| p.code.as_deref());
    let refused = view.error.as_ref().is_some_and(|p| !p.may_have_happened);
    let before = code.is_some_and(|code| BEFORE_THE_REQUEST.contains(&code))
        || (refused && view.evidence.pre_command.is_none());
    matches!(view.verdict, Some(Verdict::Failed | Verdict::Skipped))
        && !view.thaw_unconfirmed
        && !asked
        && (!by_itself || before)
}

/// Whether what went wrong may be gone a little later.
fn may_pass(view: &JobView) -> bool {
    let Some(problem) = &view.error else {
        return false;
    };
    match problem.kind {
        Kind::Agent
        | Kind::Network
        | Kind::Throttled
        | Kind::Timeout
        | Kind::Aws
        | Kind::State
        | Kind::NotFound => true,
        Kind::Script => match Refusal::of_problem(problem) {
            Some(refusal) => refusal.may_pass(),
            None => matches!(
                problem.code.as_deref(),
                None | Some(
                    "lock-timeout"
                        | "busy"
                        | "already-frozen"
                        | "freeze-failed"
                        | "db-unreachable"
                        | "device-changed"
                        | "no-metadata"
                        | "no-credentials"
                        | "arm-failed"
                        | "before-boot"
                )
            ),
        },
        Kind::Usage
        | Kind::Credentials
        | Kind::Denied
        | Kind::Document
        | Kind::Malformed
        | Kind::Local
        | Kind::Cancelled => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(phases: &[Phase], problem: Option<Problem>) -> JobView {
        let phases: Vec<_> = phases
            .iter()
            .map(|phase| json!({"phase": phase, "started": "2026-11-21T12:00:00Z", "ended": null, "failed": false}))
            .collect();
        serde_json::from_value(json!({
            "job": "00000000-0000-4000-8000-000000000001", "run": "00000000-0000-4000-8000-000000000002",
            "account": "123456789012", "region": "eu-central-1", "instance": "i-1", "instance_name": "db",
            "recipe": "linux-mysql", "document": "freezeframe-linux-mysql", "mode": "coordinated",
            "budget_s": 30, "on_failure": "skip", "mounts": [], "namespace": "N",
            "phase": "done", "verdict": "failed", "thaw_unconfirmed": false, "phases": phases,
            "frozen_since": null, "freeze_window_ms": null, "set": [], "evidence": {
                "links": [], "frozen_mounts": [], "pre_command": null, "post_command": null,
                "window_ms": null, "failsafe_fired": false,
            },
            "error": problem,
        }))
        .unwrap()
    }

    fn script(code: &str) -> Option<Problem> {
        Some(Problem::new(Kind::Script, "quiesce", "no", "wait").with_code(code))
    }

    const QUIESCED: [Phase; 3] = [Phase::Preflight, Phase::Quiescing, Phase::Done];

    fn twice() -> Limits {
        Limits {
            retries: 2,
            ..Limits::default()
        }
    }

    #[test]
    fn a_lock_that_could_not_be_had_is_tried_again_as_often_as_asked() {
        let gave_up = view(&QUIESCED, script("lock-timeout"));
        let next = |attempt| twice().next(&gave_up, attempt, OnFailure::Skip);
        assert_eq!(next(1), Next::Again { after: PAUSE });
        assert_eq!(next(2), Next::Again { after: PAUSE * 2 });
        assert_eq!(next(3), Next::Over);
        let never = Limits::default();
        assert_eq!(never.next(&gave_up, 1, OnFailure::Skip), Next::Over);
    }

    #[test]
    fn nothing_is_tried_again_once_snapshots_were_asked_for_or_a_freeze_may_stand() {
        let next = |v: &JobView| twice().next(v, 1, OnFailure::CrashConsistent);
        for touched in [Phase::Frozen, Phase::Snapshotting] {
            let v = view(
                &[Phase::Quiescing, touched, Phase::Thawing],
                script("lock-timeout"),
            );
            assert_eq!(next(&v), Next::Over, "{touched}");
        }
        let mut unconfirmed = view(&QUIESCED, script("lock-timeout"));
        unconfirmed.thaw_unconfirmed = true;
        assert_eq!(next(&unconfirmed), Next::Over);
        for verdict in [Verdict::Cancelled, Verdict::Crash, Verdict::Application] {
            let mut v = view(&QUIESCED, script("lock-timeout"));
            v.verdict = Some(verdict);
            assert_eq!(next(&v), Next::Over, "{verdict}");
        }
        // The instance may have asked for the set by itself.
        let mut alone = view(&QUIESCED, script("snapshot-unknown"));
        alone.spec.mode = Mode::Autonomous;
        alone.evidence.pre_command = Some(super::super::ids::CommandId::from_api("c"));
        assert_eq!(next(&alone), Next::Over);
        // Or the command was never taken.
        let mut refused = view(
            &QUIESCED,
            Some(Problem::new(Kind::Throttled, "send", "slow down", "wait")),
        );
        refused.spec.mode = Mode::Autonomous;
        assert!(matches!(next(&refused), Next::Again { .. }));
        let mut lost = refused.clone();
        lost.error.as_mut().unwrap().may_have_happened = true;
        assert_eq!(next(&lost), Next::Over);
        alone.error = script("lock-timeout");
        assert!(matches!(next(&alone), Next::Again { .. }));
    }

    #[test]
    fn the_last_attempt_decides_what_a_failure_makes() {
        let limits = twice();
        let wanted = OnFailure::CrashConsistent;
        assert_eq!(limits.on_failure(1, wanted), OnFailure::Skip);
        assert_eq!(limits.on_failure(2, wanted), OnFailure::Skip);
        assert_eq!(limits.on_failure(3, wanted), wanted);
        assert_eq!(Limits::default().on_failure(1, wanted), wanted);
        // What no repetition mends goes straight to the last attempt, or ends.
        let denied = view(&QUIESCED, script("db-denied"));
        assert_eq!(limits.next(&denied, 1, wanted), Next::Last);
        assert_eq!(limits.next(&denied, 1, OnFailure::Skip), Next::Over);
        // Told by the command itself, in autonomous mode, before it asked for anything.
        let mut other = view(&QUIESCED, script("other-server"));
        other.spec.mode = Mode::Autonomous;
        assert_eq!(limits.next(&other, 1, wanted), Next::Last);
    }

    #[test]
    fn limits_are_bounded() {
        let limits = |f: fn(&mut Limits)| {
            let mut limits = Limits::default();
            f(&mut limits);
            limits.check()
        };
        assert!(limits(|_| ()).is_ok());
        assert!(limits(|l| l.at_once = 0).is_err());
        assert!(limits(|l| l.at_once = 201).is_err());
        assert!(limits(|l| l.freezes_per_group = 0).is_err());
        assert!(limits(|l| l.retries = 11).is_err());
        assert!(limits(|l| l.group_tag = " ".into()).is_err());
    }
}

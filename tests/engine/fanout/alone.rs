//! Runs in autonomous mode: the same lanes, limits, retries and abort, while every instance asks for its set
//! by itself.

use std::sync::Mutex;

use freezeframe::domain::ids::JobId;
use freezeframe::domain::job::{JobView, Mode, OnFailure, Phase, Verdict};
use freezeframe::domain::run::Limits;
use freezeframe::ops::job::run::run_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{calls, fault, fleet, most_at_once, never_together, refusal, run, throttled, verdicts};

async fn specs(ops: &super::Ops, limits: &Limits) -> Vec<super::JobSpec> {
    fleet::specs(ops, limits, Mode::Autonomous).await.unwrap()
}

/// Sets that were made.
fn sets(lab: &freezeframe::lab::Lab) -> usize {
    let made =
        |c: &&freezeframe::lab::CallRecord| c.action == "CreateSnapshots" && c.outcome == "OK";
    lab.calls().iter().filter(made).count()
}

#[tokio::test(start_paused = true)]
async fn forty_instances_snapshot_themselves_and_no_call_is_throttled() {
    let (lab, ops) = fleet::open(40, 0, "").await.unwrap();
    let limits = Limits {
        at_once: 15,
        ..Limits::default()
    };
    let (views, seen) = run(&ops, specs(&ops, &limits).await, &limits).await;
    assert_eq!(verdicts(&views)["filesystem"], 40);
    assert_eq!(throttled(&lab), 0);
    assert_eq!(sets(&lab), 40);
    assert_eq!(calls(&lab, "CreateSnapshots"), 40);
    let asked = lab.calls().iter().filter(|c| c.dry_run).count();
    assert_eq!(asked, 40, "each asks first whether it may");
    let by_us = |c: &&freezeframe::lab::CallRecord| {
        c.action == "CreateSnapshots" && c.caller.contains("BackupOperator")
    };
    assert_eq!(lab.calls().iter().filter(by_us).count(), 0);
    let most = most_at_once(&seen);
    assert!((8..=15).contains(&most), "{most} at once");
    // No post-script: a look and the one command each.
    assert_eq!(calls(&lab, "SendCommand"), 80);
}

#[tokio::test(start_paused = true)]
async fn groups_hold_for_instances_that_freeze_by_themselves() {
    let (_lab, ops) = fleet::open(12, 3, "").await.unwrap();
    let limits = Limits {
        at_once: 12,
        ..Limits::default()
    };
    let (views, seen) = run(&ops, specs(&ops, &limits).await, &limits).await;
    assert_eq!(verdicts(&views)["filesystem"], 12);
    never_together(&views);
    let waits = |v: &JobView| v.waiting.as_deref() == Some("waits for group pair-0002");
    assert!(seen.iter().any(waits));
}

/// A look, or the command itself, that Systems Manager refused: nothing ran, and it is tried again. One whose
/// fate is unknown may have asked for a set, and is not.
#[tokio::test(start_paused = true)]
async fn only_what_certainly_did_not_run_is_tried_again() {
    for (skip, code, attempts, verdict) in [
        (0, "InvalidInstanceId", 2, Verdict::Filesystem),
        (1, "InvalidInstanceId", 2, Verdict::Filesystem),
        (1, "lost", 1, Verdict::Filesystem),
    ] {
        let (lab, ops) = fleet::open(1, 0, "").await.unwrap();
        let limits = Limits {
            retries: 2,
            ..Limits::default()
        };
        let mut broken = refusal("SendCommand", skip, 1, code);
        if code == "lost" {
            broken.kind = super::FaultKind::LoseResponse;
        }
        lab.faults().inject(broken);
        let (views, _) = run(&ops, specs(&ops, &limits).await, &limits).await;
        let view = views[0].as_ref().unwrap();
        assert_eq!(
            view.verdict,
            Some(verdict),
            "{skip} {code}: {:?}",
            view.error
        );
        let jobs = ops.journal.jobs(None, 10).unwrap();
        assert_eq!(jobs.len(), attempts, "{skip} {code}");
        assert_eq!(sets(&lab), 1, "{skip} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_that_the_instance_was_refused_is_not_asked_for_again() {
    let (lab, ops) = fleet::open(1, 0, "").await.unwrap();
    let limits = Limits {
        retries: 3,
        ..Limits::default()
    };
    // The look proves its right to make the call by a call of its own.
    fault(&lab, "CreateSnapshots", 9, "SnapshotLimitExceeded");
    let (views, _) = run(&ops, specs(&ops, &limits).await, &limits).await;
    let view = views[0].as_ref().unwrap();
    assert!(
        matches!(view.verdict, Some(Verdict::Failed | Verdict::Skipped)),
        "{view:#?}"
    );
    assert_eq!(ops.journal.jobs(None, 10).unwrap().len(), 1);
    assert!(!view.thaw_unconfirmed);
}

/// The last attempt makes the lesser set, and makes it itself.
#[tokio::test(start_paused = true)]
async fn on_failure_decides_what_is_left_when_no_agent_answers() {
    for (on_failure, verdict, made) in [
        (OnFailure::CrashConsistent, Verdict::Crash, 1),
        (OnFailure::Skip, Verdict::Skipped, 0),
    ] {
        let (lab, ops) = fleet::open(1, 0, "").await.unwrap();
        let limits = Limits {
            retries: 1,
            ..Limits::default()
        };
        let mut specs = specs(&ops, &limits).await;
        specs[0].on_failure = on_failure;
        fault(&lab, "SendCommand", 9, "InvalidInstanceId");
        let (views, _) = run(&ops, specs, &limits).await;
        let view = views[0].as_ref().unwrap();
        assert_eq!(view.verdict, Some(verdict), "{:?}", view.error);
        assert_eq!(sets(&lab), made);
        assert_eq!(ops.journal.jobs(None, 10).unwrap().len(), 2);
    }
}

/// Abort of all while some are at work: those are thawed for certain, the others never begin.
#[tokio::test(start_paused = true)]
async fn abort_of_all_thaws_what_is_at_work_and_begins_nothing_more() {
    let (lab, ops) = fleet::open(12, 0, "").await.unwrap();
    let limits = Limits {
        at_once: 3,
        retries: 5,
        ..Limits::default()
    };
    let all = CancellationToken::new();
    let begun: Mutex<Vec<JobId>> = Mutex::default();
    let (updates, mut inbox) = mpsc::channel::<JobView>(1_024);
    let watch = async {
        while let Some(view) = inbox.recv().await {
            if view.phase == Phase::Quiescing && view.evidence.pre_command.is_some() {
                all.cancel();
            }
        }
    };
    let specs = specs(&ops, &limits).await;
    let run = run_all(&ops, specs, &limits, updates, |job| {
        begun.lock().unwrap().push(job.clone());
        all.child_token()
    });
    let (views, ()) = tokio::join!(run, watch);
    assert_eq!(begun.lock().unwrap().len(), 12, "no second attempt");
    let (mut thawed, mut touched) = (0, 0);
    for view in views.iter().map(|v| v.as_ref().unwrap()) {
        assert_eq!(view.verdict, Some(Verdict::Cancelled), "{:?}", view.error);
        assert!(!view.thaw_unconfirmed, "{view:#?}");
        let sent = ops.journal.calls(view.spec.job.as_str()).unwrap();
        let was = |word: &str| sent.iter().any(|c| c.detail.contains(word));
        touched += usize::from(was(" snapshot on "));
        thawed += usize::from(was(" post-script on "));
        // Whatever set came to be is not called proven.
        assert!(view.set.iter().all(|m| !m.level.is_proven()), "{view:#?}");
    }
    assert!((1..=3).contains(&touched), "{touched}");
    assert_eq!(thawed, touched, "and nobody else is bothered");
    assert!(sets(&lab) <= 3);
}

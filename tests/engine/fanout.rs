//! Runs over many instances, on tokio's paused clock and with EC2's token buckets on: nothing is throttled,
//! groups never freeze together, what failed untouched is tried again, what is stopped stays stopped.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod alone;
use crate::fleet;
mod hosts;
mod rates;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use freezeframe::domain::ids::JobId;
use freezeframe::domain::job::{JobSpec, JobView, Mode, OnFailure, Phase, Verdict};
use freezeframe::domain::problem::Problem;
use freezeframe::domain::run::Limits;
use freezeframe::lab::{Fault, FaultKind, Lab};
use freezeframe::ops::Ops;
use freezeframe::ops::admission::owner;
use freezeframe::ops::job::confirm_thaw;
use freezeframe::ops::job::run::run_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Runs to the end and gives back the last views, and every view on the way.
async fn run(
    ops: &Ops,
    specs: Vec<JobSpec>,
    limits: &Limits,
) -> (Vec<Result<JobView, Problem>>, Vec<JobView>) {
    let (updates, mut inbox) = mpsc::channel(1_024);
    let drain = async {
        let mut seen = Vec::new();
        while let Some(view) = inbox.recv().await {
            seen.push(view);
        }
        seen
    };
    let run = run_all(ops, specs, limits, updates, |_| CancellationToken::new());
    tokio::join!(run, drain)
}

/// What kept jobs from being proven, for the message of a test that fails.
fn unproven(views: &[Result<JobView, Problem>]) -> Vec<String> {
    let views = views.iter().flatten();
    let lesser = views.filter(|v| v.verdict != Some(Verdict::Filesystem));
    lesser
        .map(|v| {
            format!(
                "{:?} {:?} {:?}",
                v.verdict,
                v.error,
                v.evidence.links.iter().find(|l| !l.holds)
            )
        })
        .collect()
}

fn verdicts(views: &[Result<JobView, Problem>]) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for view in views {
        let word = view.as_ref().unwrap().verdict.unwrap().to_string();
        *count.entry(word).or_default() += 1;
    }
    count
}

fn throttled(lab: &Lab) -> usize {
    let calls = lab.calls();
    let away = |c: &&freezeframe::lab::CallRecord| {
        matches!(
            c.outcome.as_str(),
            "RequestLimitExceeded" | "ThrottlingException"
        )
    };
    calls.iter().filter(away).count()
}

fn calls(lab: &Lab, action: &str) -> usize {
    let made = |c: &&freezeframe::lab::CallRecord| c.action == action && !c.dry_run;
    lab.calls().iter().filter(made).count()
}

/// A stretch of time.
type Between = (DateTime<Utc>, DateTime<Utc>);

/// From the moment that something may be frozen to the moment that it certainly is not.
fn freeze(view: &JobView) -> Between {
    let at = |phase| {
        let record = view.phases.iter().find(|p| p.phase == phase).unwrap();
        record.started
    };
    (at(Phase::Quiescing), at(Phase::Verifying))
}

/// Jobs that were under way together, counted over every state that was shown.
fn most_at_once(seen: &[JobView]) -> usize {
    let mut phases: HashMap<JobId, Phase> = HashMap::new();
    let mut most = 0;
    for view in seen {
        phases.insert(view.spec.job.clone(), view.phase);
        let inside = |p: &&Phase| (Phase::Preflight..Phase::Completing).contains(*p);
        most = most.max(phases.values().filter(inside).count());
    }
    most
}

/// No two of a group were frozen at the same time.
fn never_together(views: &[Result<JobView, Problem>]) {
    let mut groups: BTreeMap<String, Vec<Between>> = BTreeMap::new();
    for view in views.iter().map(|v| v.as_ref().unwrap()) {
        let group = groups.entry(view.spec.group.clone().unwrap()).or_default();
        group.push(freeze(view));
    }
    for (group, mut freezes) in groups {
        freezes.sort();
        for pair in freezes.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{group}: {freezes:?}");
        }
    }
}

/// A refusal of these calls, to be ordered at the lab.
fn refusal(action: &str, skip: u32, times: u32, code: &str) -> Fault {
    Fault {
        action: action.to_owned(),
        skip,
        times,
        kind: FaultKind::Error {
            status: 400,
            code: code.to_owned(),
            message: "a fault".to_owned(),
        },
    }
}

fn fault(lab: &Lab, action: &str, times: u32, code: &str) {
    lab.faults().inject(refusal(action, 0, times, code));
}

#[tokio::test(start_paused = true)]
async fn sixty_instances_are_proven_and_no_call_is_throttled() {
    let (lab, ops) = fleet::open(60, 0, "").await.unwrap();
    let limits = Limits {
        at_once: 25,
        ..Limits::default()
    };
    let specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    let order: Vec<JobId> = specs.iter().map(|s| s.job.clone()).collect();
    let (views, seen) = run(&ops, specs, &limits).await;
    assert_eq!(
        verdicts(&views),
        BTreeMap::from([("filesystem".into(), 60)])
    );
    assert_eq!(throttled(&lab), 0);
    assert_eq!(calls(&lab, "CreateSnapshots"), 60);
    let answered: Vec<JobId> = views
        .iter()
        .map(|v| v.as_ref().unwrap().spec.job.clone())
        .collect();
    assert_eq!(
        answered, order,
        "the answer keeps the order of the question"
    );
    let most = most_at_once(&seen);
    assert!((10..=25).contains(&most), "{most} at once");
    let words = seen.iter().filter_map(|v| v.waiting.as_deref()).next();
    assert_eq!(words, Some("waits for its turn, 25 at once"));
}

#[tokio::test(start_paused = true)]
async fn a_primary_and_its_replica_are_never_frozen_together() {
    let (_lab, ops) = fleet::open(24, 2, "").await.unwrap();
    let limits = Limits {
        at_once: 24,
        ..Limits::default()
    };
    let specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    assert_eq!(specs[0].group.as_deref(), Some("pair-0000"));
    let (views, seen) = run(&ops, specs, &limits).await;
    assert_eq!(
        verdicts(&views),
        BTreeMap::from([("filesystem".into(), 24)])
    );
    never_together(&views);
    assert!(
        seen.iter()
            .any(|v| v.waiting.as_deref() == Some("waits for group pair-0003"))
    );
}

/// Two runs of one console, or two consoles on one journal: the cap holds across them.
#[tokio::test(start_paused = true)]
async fn the_group_s_cap_holds_across_runs() {
    let (_lab, ops) = fleet::open(2, 2, "").await.unwrap();
    let limits = Limits::default();
    let mut one = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    let two = one.split_off(1);
    let ((first, _), (second, _)) = tokio::join!(run(&ops, one, &limits), run(&ops, two, &limits));
    let (first, second) = (first[0].as_ref().unwrap(), second[0].as_ref().unwrap());
    for view in [first, second] {
        assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:?}", view.error);
    }
    let mut both = [freeze(first), freeze(second)];
    both.sort();
    assert!(both[0].1 <= both[1].0, "{both:?}");
}

/// The same instance twice: one job after the other, and the second not before EC2 takes another
/// snapshot of the same volumes.
#[tokio::test(start_paused = true)]
async fn an_instance_has_one_job_at_a_time_and_its_volumes_are_spaced() {
    let (lab, ops) = fleet::open(1, 0, "").await.unwrap();
    let limits = Limits::default();
    let mut specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    specs.extend(
        fleet::specs(&ops, &limits, Mode::Coordinated)
            .await
            .unwrap(),
    );
    let (views, seen) = run(&ops, specs, &limits).await;
    assert_eq!(verdicts(&views), BTreeMap::from([("filesystem".into(), 2)]));
    let waits = |v: &JobView| {
        v.waiting
            .as_ref()
            .is_some_and(|w| w.starts_with("waits for the other job"))
    };
    assert!(seen.iter().any(waits));
    let of = |i: usize| views[i].as_ref().unwrap();
    assert!(freeze(of(0)).1 <= freeze(of(1)).0);
    assert_eq!(calls(&lab, "CreateSnapshots"), 2);
}

/// Spacing is known from AWS too: somebody else took a snapshot a moment ago.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_somebody_else_took_is_waited_for_before_the_freeze() {
    let (lab, ops) = fleet::open(1, 0, "").await.unwrap();
    let limits = Limits::default();
    let specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    let id = specs[0].instance.clone();
    // Another session knows nothing of ours, and ours nothing of it.
    let (_, other) = (lab.clone(), ops.session.clone());
    other
        .create_snapshots(&id, "by hand", &Default::default())
        .await
        .unwrap();
    let (fresh, mine) = (fleet::session(&lab).await.unwrap(), ops.clone());
    let ops = Ops {
        session: fresh,
        ..mine
    };
    let (views, _) = run(&ops, specs, &limits).await;
    assert_eq!(verdicts(&views), BTreeMap::from([("filesystem".into(), 1)]));
    assert_eq!(calls(&lab, "CreateSnapshots"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_failed_untouched_is_tried_again_as_a_new_job_of_the_same_run() {
    let (lab, ops) = fleet::open(1, 0, "").await.unwrap();
    let limits = Limits {
        retries: 2,
        ..Limits::default()
    };
    let specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    let (first, run_id) = (specs[0].job.clone(), specs[0].run.clone());
    fault(&lab, "SendCommand", 1, "InternalServerError");
    let (views, seen) = run(&ops, specs, &limits).await;
    let view = views[0].as_ref().unwrap();
    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:?}", view.error);
    assert_ne!(view.spec.job, first);
    assert_eq!(view.spec.run, run_id);
    assert!(
        seen.iter()
            .any(|v| v.waiting.as_deref() == Some("attempt 2 of 3 in 20 s"))
    );
    // Both are on record, and both are closed.
    assert_eq!(ops.journal.jobs(None, 10).unwrap().len(), 2);
    assert!(ops.journal.open_jobs(ops.scope()).unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_once_snapshots_were_asked_for() {
    let (lab, ops) = fleet::open(1, 0, "").await.unwrap();
    let limits = Limits {
        retries: 3,
        ..Limits::default()
    };
    let specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    fault(&lab, "CreateSnapshots", 1, "SnapshotLimitExceeded");
    let (views, _) = run(&ops, specs, &limits).await;
    assert_eq!(views[0].as_ref().unwrap().verdict, Some(Verdict::Failed));
    assert_eq!(calls(&lab, "CreateSnapshots"), 1);
}

/// A lesser set is made by the last attempt only.
#[tokio::test(start_paused = true)]
async fn a_crash_consistent_set_is_left_to_the_last_attempt() {
    for (times, verdict, sets) in [(1, Verdict::Filesystem, 1), (9, Verdict::Crash, 1)] {
        let (lab, ops) = fleet::open(1, 0, "").await.unwrap();
        let limits = Limits {
            retries: 1,
            ..Limits::default()
        };
        let mut specs = fleet::specs(&ops, &limits, Mode::Coordinated)
            .await
            .unwrap();
        specs[0].on_failure = OnFailure::CrashConsistent;
        // The agent cannot be reached: SSM does not know the instance.
        fault(&lab, "SendCommand", times, "InvalidInstanceId");
        let (views, _) = run(&ops, specs, &limits).await;
        let view = views[0].as_ref().unwrap();
        assert_eq!(view.verdict, Some(verdict), "{:?}", view.error);
        assert_eq!(calls(&lab, "CreateSnapshots"), sets);
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_a_run_stops_what_waits_too_and_tries_nothing_again() {
    let (lab, ops) = fleet::open(12, 0, "").await.unwrap();
    let limits = Limits {
        at_once: 2,
        retries: 5,
        ..Limits::default()
    };
    let specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    let all = CancellationToken::new();
    let begun: Mutex<Vec<JobId>> = Mutex::default();
    let (updates, mut inbox) = mpsc::channel::<JobView>(1_024);
    let watch = async {
        while let Some(view) = inbox.recv().await {
            if view.phase == Phase::Snapshotting {
                all.cancel();
            }
        }
    };
    let run = run_all(&ops, specs, &limits, updates, |job| {
        begun.lock().unwrap().push(job.clone());
        all.child_token()
    });
    let (views, ()) = tokio::join!(run, watch);
    assert_eq!(begun.lock().unwrap().len(), 12, "no second attempt");
    let ended = verdicts(&views);
    assert_eq!(ended.values().sum::<usize>(), 12);
    assert!(ended["cancelled"] >= 10, "{ended:?}");
    assert!(calls(&lab, "CreateSnapshots") <= 2);
}

/// Thawing again asks every mount, and what was found is put on record; a verdict is not improved by it.
#[tokio::test(start_paused = true)]
async fn an_unconfirmed_thaw_is_settled_by_asking_again() {
    let (lab, ops) = fleet::open(1, 0, "").await.unwrap();
    let limits = Limits::default();
    let specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    let (views, _) = run(&ops, specs, &limits).await;
    let mut view = views[0].as_ref().unwrap().clone();
    view.thaw_unconfirmed = true;
    view.verdict = Some(Verdict::Failed);
    let me = owner::owner_of_this_process();
    ops.journal
        .save_job(&view, &me, false, ops.clock.now())
        .unwrap();
    // Nobody can be asked: it stays unconfirmed.
    fault(&lab, "SendCommand", 1, "InternalServerError");
    let job = view.spec.job.clone();
    assert!(confirm_thaw::thaw_again(&ops, &job).await.is_err());
    let on_record = |ops: &Ops| ops.journal.job(ops.scope(), &job).unwrap().unwrap();
    assert!(on_record(&ops).thaw_unconfirmed);
    let calm = confirm_thaw::thaw_again(&ops, &job).await.unwrap();
    assert!(!calm.thaw_unconfirmed && !on_record(&ops).thaw_unconfirmed);
    assert_eq!(on_record(&ops).verdict, Some(Verdict::Failed));
}

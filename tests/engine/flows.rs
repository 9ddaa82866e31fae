//! The use cases against the real SDK clients and the lab in process, on tokio's paused clock: what a
//! job, a restore, a prune and the metrics do, with and without faults.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

mod gone;
mod pruned;
mod renewed;
mod resumed;
mod sets;
use crate::support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use freezeframe::domain::job::{JobSpec, JobView, Mode, OnFailure, Phase, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::domain::metrics::Metric;
use freezeframe::domain::problem::Kind;
use freezeframe::domain::restore::{RestoreRequest, StepState};
use freezeframe::domain::retention::{Fate, Policy};
use freezeframe::domain::tags;
use freezeframe::jobs::journal::Journal;
use freezeframe::jobs::outcome::CallOutcome;
use freezeframe::lab::FaultKind;
use freezeframe::ops::job::run::spec_for;
use freezeframe::ops::{inventory, metrics, prune, recover, restore, setup};
use support::{Bench, bench, bench_with, options, session};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A process of this machine that is gone: our pid, with another start time.
fn dead_owner() -> String {
    let me = recover::owner_of_this_process();
    let (rest, _) = me.rsplit_once(':').unwrap();
    format!("{rest}:1")
}

/// A channel whose messages somebody takes, as a screen would.
fn listened<T: Send + 'static>() -> mpsc::Sender<T> {
    let (updates, mut inbox) = mpsc::channel(64);
    tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    updates
}

#[tokio::test(start_paused = true)]
async fn a_binary_log_on_a_volume_of_its_own_must_be_frozen_too() {
    for (mounts, verdict) in [
        (vec![], Verdict::Application),
        (vec!["/var/lib/mysql".to_owned()], Verdict::Filesystem),
    ] {
        let bench = bench().await;
        let instances = inventory::instances(&bench.ops).await.unwrap();
        let there = instances.iter().find(|i| i.name() == "shop-db-1").unwrap();
        let mut spec = spec_for(&bench.ops, there, &options(30, OnFailure::Skip)).unwrap();
        spec.mounts = mounts.clone();
        let view = bench.run(spec).await;
        assert_eq!(view.verdict, Some(verdict), "{mounts:?}: {view:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mysql_job_ends_application_with_every_link_of_evidence() {
    let bench = bench().await;
    let view = bench
        .run(bench.spec("linux-mysql", 30, OnFailure::Skip).await)
        .await;
    assert_eq!(
        view.verdict,
        Some(Verdict::Application),
        "{:#?}",
        view.error
    );
    assert_eq!(view.phase, Phase::Done);
    assert!(!view.thaw_unconfirmed);
    assert!(
        view.evidence.links.iter().all(|l| l.holds),
        "{:#?}",
        view.evidence.links
    );
    assert!(view.freeze_window_ms.is_some_and(|ms| ms > 0));
    bench.nothing_frozen(&view.spec.instance);
    // The root volume is in the set, not frozen, and says so.
    let root = view.set.iter().filter(|m| m.level == Level::Crash).count();
    assert_eq!(root, 1, "{:#?}", view.set);
    // What AWS has is what the view says, with the volumes' own tags beside ours.
    let snapshots = bench
        .ops
        .session
        .snapshots_of_job(&view.spec.job)
        .await
        .unwrap();
    assert_eq!(snapshots.len(), view.set.len());
    let volumes = bench.ops.session.volumes().await.unwrap();
    for member in &view.set {
        let there = snapshots.iter().find(|s| s.id == member.snapshot).unwrap();
        assert_eq!(there.level(), Some(member.level));
        assert_eq!(there.state.as_str(), "completed");
        assert_eq!(there.device(), Some(member.device.as_str()));
        assert_eq!(
            there.tags.get(tags::SET_SIZE),
            Some(view.set.len().to_string().as_str())
        );
        let volume = volumes.iter().find(|v| v.id == member.volume).unwrap();
        for (key, value) in volume.tags.copyable() {
            assert_eq!(
                there.tags.get(key),
                Some(value),
                "tag {key} of {}",
                volume.id
            );
        }
    }
    assert_eq!(bench.calls("CreateSnapshots"), 1);
    // Order on record: the intent of each call stands before the next.
    let calls: Vec<String> = bench
        .ops
        .journal
        .calls(view.spec.job.as_str())
        .unwrap()
        .into_iter()
        .map(|c| c.action)
        .collect();
    let at = |action: &str| calls.iter().position(|a| a == action).unwrap();
    assert!(at("CreateSnapshots") < at("CreateTags"), "{calls:?}");
    assert!(
        bench
            .ops
            .journal
            .open_jobs(bench.ops.scope())
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_filesystem_job_promises_no_more_than_the_filesystem() {
    let bench = bench().await;
    let view = bench
        .run(bench.spec("linux-filesystem", 30, OnFailure::Skip).await)
        .await;
    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:#?}", view.error);
    assert!(view.set.iter().all(|m| m.level <= Level::Filesystem));
}

#[tokio::test(start_paused = true)]
async fn a_refused_create_snapshots_thaws_and_fails() {
    let bench = bench().await;
    let spec = bench.spec("linux-mysql", 30, OnFailure::Skip).await;
    bench.fault(
        "CreateSnapshots",
        0,
        1,
        FaultKind::Error {
            code: "SnapshotLimitExceeded".into(),
            message: "quota".into(),
            status: 400,
        },
    );
    let view = bench.run(spec).await;
    assert_eq!(view.verdict, Some(Verdict::Failed));
    assert!(view.set.is_empty());
    assert!(!view.thaw_unconfirmed);
    assert_eq!(
        view.error.as_ref().unwrap().code.as_deref(),
        Some("SnapshotLimitExceeded")
    );
    bench.nothing_frozen(&view.spec.instance);
    assert_eq!(bench.calls("CreateSnapshots"), 1);
}

/// ec2-consistent-snapshot 0.34 left the filesystem frozen when the call took more than 10 s.
#[tokio::test(start_paused = true)]
async fn a_slow_create_snapshots_never_outlives_the_budget_and_proves_nothing() {
    let bench = bench().await;
    let spec = bench.spec("linux-mysql", 10, OnFailure::Skip).await;
    bench.fault(
        "CreateSnapshots",
        0,
        1,
        FaultKind::Delay(Duration::from_secs(40)),
    );
    let view = bench.run(spec).await;
    assert!(
        matches!(view.verdict, Some(Verdict::Crash | Verdict::Failed)),
        "{:?}",
        view.verdict
    );
    assert!(
        view.set.iter().all(|m| m.level <= Level::Crash),
        "{:#?}",
        view.set
    );
    bench.nothing_frozen(&view.spec.instance);
    assert_eq!(bench.calls("CreateSnapshots"), 1);
    for snapshot in bench
        .ops
        .session
        .snapshots_of_job(&view.spec.job)
        .await
        .unwrap()
    {
        assert!(snapshot.level() <= Some(Level::Crash));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_found_by_tag_and_never_repeated() {
    let bench = bench().await;
    let spec = bench.spec("linux-mysql", 30, OnFailure::Skip).await;
    bench.fault("CreateSnapshots", 0, 1, FaultKind::LoseResponse);
    let view = bench.run(spec).await;
    assert_eq!(
        bench.calls("CreateSnapshots"),
        1,
        "a second call would make a second set"
    );
    assert_eq!(view.verdict, Some(Verdict::Crash), "{:#?}", view.error);
    assert!(!view.set.is_empty(), "the set exists and must be found");
    bench.nothing_frozen(&view.spec.instance);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_of_send_command_is_found_by_its_comment() {
    let bench = bench().await;
    let spec = bench.spec("linux-filesystem", 30, OnFailure::Skip).await;
    // The first is the dry run, the second pre-script.
    bench.fault("SendCommand", 1, 1, FaultKind::LoseResponse);
    let view = bench.run(spec).await;
    bench.nothing_frozen(&view.spec.instance);
    assert!(!view.thaw_unconfirmed);
    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:#?}", view.error);
}

/// The thaw may be sent again, but what the first one did and said is what counts.
#[tokio::test(start_paused = true)]
async fn p22_a_lost_reply_of_the_thaw_costs_neither_time_nor_level() {
    for (unseen, lost, sent) in [(false, 1, 3), (false, 3, 3), (true, 1, 4), (true, 2, 5)] {
        let bench = bench().await;
        let spec = bench.spec("linux-mysql", 60, OnFailure::Skip).await;
        bench.fault("SendCommand", 2, lost, FaultKind::LoseResponse);
        let slow = std::cell::Cell::new(unseen);
        let frozen = |view: &JobView| {
            // Nobody can look for it in time.
            if view.phase == Phase::Quiescing && slow.take() {
                let delay = FaultKind::Delay(Duration::from_secs(3));
                bench.fault("ListCommands", 0, 50, delay);
            }
            false
        };
        let view = bench.run_until(spec.clone(), frozen).await;
        bench.nothing_frozen(&view.spec.instance);
        let case = format!("{lost} lost, unseen: {unseen}");
        assert!(!view.thaw_unconfirmed, "{case}");
        assert_eq!(
            view.verdict,
            Some(Verdict::Application),
            "{case}: {:#?}",
            view.error
        );
        assert!(view.evidence.links.iter().all(|l| l.holds), "{case}");
        assert_eq!(bench.calls("SendCommand"), sent, "{case}");
        let calls = bench.ops.journal.calls(spec.job.as_str()).unwrap();
        let on_record = calls.iter().filter(|c| c.action == "SendCommand").count();
        assert_eq!(on_record, sent, "{case}: each request has its intent");
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_while_frozen_thaws_first() {
    let bench = bench().await;
    let spec = bench.spec("linux-mysql", 60, OnFailure::Skip).await;
    bench.fault(
        "CreateSnapshots",
        0,
        1,
        FaultKind::Delay(Duration::from_secs(5)),
    );
    let view = bench
        .run_until(spec, |v| v.phase == Phase::Snapshotting)
        .await;
    assert_eq!(view.verdict, Some(Verdict::Cancelled), "{view:#?}");
    assert!(!view.thaw_unconfirmed);
    bench.nothing_frozen(&view.spec.instance);
    for snapshot in bench
        .ops
        .session
        .snapshots_of_job(&view.spec.job)
        .await
        .unwrap()
    {
        assert!(snapshot.level() <= Some(Level::Crash));
    }
}

/// From `pre-script` on nothing is answered but "expired": nobody can thaw, and nobody may say that it is.
#[tokio::test(start_paused = true)]
async fn p22_credentials_that_expire_mid_freeze_end_thawed_by_the_failsafe_and_unconfirmed() {
    for after in [Phase::Snapshotting, Phase::Thawing] {
        let bench = bench().await;
        let spec = bench.spec("linux-mysql", 30, OnFailure::Skip).await;
        let instance = spec.instance.clone();
        let view = bench
            .run_until(spec, |view| {
                if view.phase == after {
                    bench.fault(
                        "*",
                        0,
                        u32::MAX,
                        FaultKind::Error {
                            code: "ExpiredTokenException".into(),
                            message: "The security token included in the request is expired".into(),
                            status: 400,
                        },
                    );
                }
                false
            })
            .await;
        bench.nothing_frozen(&instance);
        assert!(view.thaw_unconfirmed, "{after}: {view:#?}");
        assert!(
            !matches!(
                view.verdict,
                Some(Verdict::Application | Verdict::Filesystem)
            ),
            "{after}: {:?}",
            view.verdict
        );
        let error = view.error.clone().unwrap();
        assert_eq!(error.kind, Kind::Credentials, "{after}: {error:?}");
        assert!(error.hint.contains("renew"), "{error:?}");
        assert_eq!(
            freezeframe::cli::exit::of_run(&[Ok(view.clone())]),
            freezeframe::cli::exit::THAW_UNCONFIRMED
        );
        bench.lab.faults().clear();
        for snapshot in bench
            .ops
            .session
            .snapshots_of_job(&view.spec.job)
            .await
            .unwrap()
        {
            assert!(snapshot.level() <= Some(Level::Crash), "{snapshot:?}");
        }
    }
}

fn denied() -> FaultKind {
    FaultKind::Error {
        code: "AccessDeniedException".into(),
        message: "no".into(),
        status: 400,
    }
}

/// A job is stopped and nobody can thaw it, until somebody else's proof comes at its n-th save; `None` never.
/// Returns what it ended with, what is on record of it, and how often it was saved.
async fn stopped_with_a_proof_at(n: Option<usize>) -> (JobView, JobView, usize) {
    let mut bench = bench().await;
    let spec = bench.spec("linux-mysql", 5, OnFailure::Skip).await;
    let plain = bench.ops.journal.clone();
    let (scope, job) = (bench.ops.scope().clone(), spec.job.clone());
    let saves = Arc::new(AtomicUsize::new(0));
    let counted = saves.clone();
    let (proof, of) = (plain.clone(), job.clone());
    let at = bench.ops.clock.now();
    bench.ops.journal = plain.clone().observed(Arc::new(move |write| {
        let save = write == "save-job" && counted.fetch_add(1, Ordering::SeqCst) + 1 > 0;
        if save && Some(counted.load(Ordering::SeqCst)) == n {
            let proven = proof.intend(&scope, "other", of.as_str(), "ThawProven", "", at);
            proof
                .outcome(
                    proven.unwrap(),
                    &CallOutcome::Answered("nothing is frozen".into()),
                    at,
                )
                .unwrap();
        }
        true
    }));
    let view = bench
        .run_until(spec, |view| {
            let quiescing = view.phase == Phase::Quiescing;
            if quiescing {
                bench.fault("SendCommand", 0, u32::MAX, denied());
            }
            quiescing
        })
        .await;
    let recorded = plain.job(bench.ops.scope(), &job).unwrap().unwrap();
    (view, recorded, saves.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn a_proven_thaw_clears_a_stopped_job_whenever_the_proof_comes_also_in_its_last_step() {
    let (view, recorded, saves) = stopped_with_a_proof_at(None).await;
    assert_eq!(view.verdict, Some(Verdict::Cancelled), "{view:#?}");
    assert!(view.thaw_unconfirmed && recorded.thaw_unconfirmed);
    assert!(saves > 3, "{saves}");
    for n in 1..=saves {
        let (view, recorded, _) = stopped_with_a_proof_at(Some(n)).await;
        assert_eq!(view.verdict, Some(Verdict::Cancelled), "{n}");
        assert!(!view.thaw_unconfirmed, "{n} of {saves}: {view:#?}");
        assert!(!recorded.thaw_unconfirmed, "{n} of {saves}: {recorded:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn labels_that_cannot_be_written_are_not_claimed() {
    let bench = bench().await;
    let spec = bench.spec("linux-mysql", 30, OnFailure::Skip).await;
    bench.fault(
        "CreateTags",
        0,
        u32::MAX,
        FaultKind::Error {
            code: "UnauthorizedOperation".into(),
            message: "no".into(),
            status: 403,
        },
    );
    let view = bench.run(spec).await;
    assert!(
        !matches!(
            view.verdict,
            Some(Verdict::Application | Verdict::Filesystem)
        ),
        "{:?}",
        view.verdict
    );
    for snapshot in bench
        .ops
        .session
        .snapshots_of_job(&view.spec.job)
        .await
        .unwrap()
    {
        assert_eq!(snapshot.level(), Some(Level::Pending));
    }
    bench.nothing_frozen(&view.spec.instance);
}

/// "Fail the Nth call, for every N, until none fails": no call's failure leaves anything frozen, or a
/// label that nothing stands behind.
#[tokio::test(start_paused = true)]
async fn whichever_call_fails_nothing_stays_frozen_and_no_label_lies() {
    for kind in [
        FaultKind::Error {
            code: "InternalError".into(),
            message: "oops".into(),
            status: 500,
        },
        FaultKind::Reset,
        FaultKind::LoseResponse,
    ] {
        for n in 0..200 {
            let bench = bench().await;
            let spec = bench.spec("linux-mysql", 20, OnFailure::Skip).await;
            let before = bench.lab.calls().len();
            bench.fault("*", n, 6, kind.clone());
            let view = bench.run(spec).await;
            // Past the budget even a thaw that never got through has been made by the failsafe.
            tokio::time::sleep(Duration::from_secs(25)).await;
            bench.nothing_frozen(&view.spec.instance);
            assert!(
                bench.calls("CreateSnapshots") <= 1,
                "call {n} failing by {kind:?} made two sets"
            );
            let proven =
                view.evidence.links.iter().all(|l| l.holds) && !view.evidence.links.is_empty();
            let set = bench
                .ops
                .session
                .snapshots_of_job(&view.spec.job)
                .await
                .unwrap_or_default();
            for snapshot in set {
                let level = snapshot.level().unwrap();
                assert!(
                    proven || level <= Level::Crash,
                    "call {n} failing by {kind:?}: {} is {level} without evidence: {:#?}",
                    snapshot.id,
                    view.evidence
                );
            }
            let made = bench.lab.calls().len() - before;
            if made < usize::try_from(n).unwrap() {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_name_the_thing_and_change_nothing() {
    let bench = bench().await;
    let all = inventory::instances(&bench.ops).await.unwrap();
    let lost = all.iter().find(|i| i.agent.word() == "lost").unwrap();
    let mut spec = bench.spec("linux-filesystem", 30, OnFailure::Skip).await;
    spec.instance = lost.id.clone();
    let view = bench.run(spec).await;
    assert!(
        matches!(view.verdict, Some(Verdict::Skipped | Verdict::Failed)),
        "{:?}",
        view.verdict
    );
    assert_eq!(view.error.as_ref().unwrap().kind, Kind::Agent);
    assert!(!view.error.unwrap().hint.is_empty());
    let mutating: Vec<_> = bench
        .lab
        .calls()
        .into_iter()
        .filter(|c| c.mutating)
        .map(|c| c.action)
        .collect();
    assert!(mutating.is_empty(), "{mutating:?}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_document_is_refused_and_setup_mends_it() {
    let bench = bench().await;
    let spec = bench.spec("linux-filesystem", 30, OnFailure::Skip).await;
    let ours = freezeframe::recipe::document::by_name(&spec.document).unwrap();
    let other = ours
        .content
        .replacen("freezeframe: ", "freezeframe, changed by someone: ", 1);
    assert_ne!(other, ours.content);
    setup::install(&bench.ops, &spec.document, &other)
        .await
        .unwrap();
    let view = bench.run(spec.clone()).await;
    assert_eq!(
        view.error.as_ref().unwrap().kind,
        Kind::Document,
        "{:?}",
        view.error
    );
    let done = setup::documents(&bench.ops, false).await.unwrap();
    assert!(
        done.iter()
            .any(|d| d.document == spec.document && d.outcome == "updated"),
        "{done:?}"
    );
    let calls = bench.ops.journal.calls("setup").unwrap();
    let of_it = calls.iter().filter(|call| call.detail == spec.document);
    let writes: Vec<&str> = of_it.map(|call| call.action.as_str()).collect();
    let update = [
        "CreateDocument",
        "UpdateDocument",
        "UpdateDocumentDefaultVersion",
    ];
    assert_eq!(writes, update.repeat(2), "each write is on record");
    let view = bench
        .run(bench.spec("linux-filesystem", 30, OnFailure::Skip).await)
        .await;
    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:?}", view.error);
}

/// Runs a job until it is seen in that phase, and drops it there, as a console that died would have. Its last view.
async fn dropped_in(bench: &Bench, spec: &JobSpec, phase: Phase) -> JobView {
    let (updates, mut inbox) = mpsc::channel(64);
    let job = tokio::spawn(freezeframe::ops::job::driver::run_job(
        bench.ops.clone(),
        spec.clone(),
        updates,
        CancellationToken::new(),
    ));
    let mut last = None;
    while let Some(view) = inbox.recv().await {
        let there = view.phase == phase;
        last = Some(view);
        if there {
            break;
        }
    }
    job.abort();
    last.unwrap()
}

/// Runs a job until it holds a freeze, and leaves it as a console that died would have.
async fn left_frozen(bench: &Bench, spec: &JobSpec) {
    let last = dropped_in(bench, spec, Phase::Snapshotting).await;
    let frozen = bench.runtime.frozen_mounts(spec.instance.as_str());
    assert!(!frozen.is_empty(), "the test needs a freeze");
    let now = bench.ops.clock.now();
    let journal = &bench.ops.journal;
    journal.save_job(&last, &dead_owner(), true, now).unwrap();
}

/// One job's trouble with the journal is told in the end, and is nobody else's: the others are thawed, settled and
/// saved, and it is resumed again when there is room.
#[tokio::test(start_paused = true)]
async fn a_journal_that_refuses_one_job_keeps_no_other_from_being_thawed_and_settled() {
    for (event, refused) in [
        ("UPDATE OF owner", 0),
        ("UPDATE OF owner", 1),
        ("UPDATE OF view", 0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let mut bench = bench().await;
        bench.ops.journal = Journal::open(&path).unwrap();
        let mut specs = Vec::new();
        for recipe in ["linux-mysql", "linux-filesystem"] {
            bench.fault(
                "CreateSnapshots",
                0,
                1,
                FaultKind::Delay(Duration::from_secs(120)),
            );
            let spec = bench.spec(recipe, 300, OnFailure::Skip).await;
            left_frozen(&bench, &spec).await;
            specs.push(spec);
        }
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch(&format!(
            "CREATE TRIGGER no_room BEFORE {event} ON job WHEN NEW.id = '{}'
             BEGIN SELECT RAISE(ABORT, 'no room'); END",
            specs[refused].job
        ))
        .unwrap();
        let told = recover::settle(&bench.ops, &listened()).await;
        let problem = told.unwrap_err();
        assert_eq!(problem.kind, Kind::Local, "{problem:?}");
        let open = |bench: &Bench| -> Vec<_> {
            let open = bench.ops.journal.open_jobs(bench.ops.scope()).unwrap();
            open.into_iter().map(|(view, _)| view.spec.job).collect()
        };
        assert_eq!(open(&bench), [specs[refused].job.clone()], "{event}");
        bench.nothing_frozen(&specs[1 - refused].instance);
        if event == "UPDATE OF view" {
            bench.nothing_frozen(&specs[refused].instance);
        }
        db.execute_batch("DROP TRIGGER no_room").unwrap();
        // By the same process, as soon as AWS has copied what was made.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(30)).await;
            recover::settle(&bench.ops, &listened()).await.unwrap();
        }
        assert_eq!(open(&bench), [], "{event}");
        bench.nothing_frozen(&specs[refused].instance);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_left_open_is_thawed_then_settled() {
    let bench = bench().await;
    let spec = bench.spec("linux-mysql", 300, OnFailure::Skip).await;
    bench.fault(
        "CreateSnapshots",
        0,
        1,
        FaultKind::Delay(Duration::from_secs(120)),
    );
    left_frozen(&bench, &spec).await;
    let updates = listened();
    let settled = recover::settle(&bench.ops, &updates).await.unwrap();
    assert_eq!(settled.len(), 1);
    assert!(!settled[0].thaw_unconfirmed, "{:#?}", settled[0].error);
    bench.nothing_frozen(&spec.instance);
    assert!(
        bench
            .ops
            .journal
            .open_jobs(bench.ops.scope())
            .unwrap()
            .is_empty()
    );
}

/// The console dies while AWS copies, all labels written; somebody lowers one covered volume's by hand. The set is
/// worth what the lowest of them is.
/// `jobs abort` while a job that another process drives is in preflight: it freezes nothing afterwards.
#[tokio::test(start_paused = true)]
async fn a_job_that_is_stopped_by_another_before_its_freeze_never_begins() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        let bench = bench().await;
        let mut spec = bench
            .spec("linux-filesystem", 30, OnFailure::CrashConsistent)
            .await;
        spec.mode = mode;
        let (updates, mut inbox) = mpsc::channel(64);
        let job = tokio::spawn(freezeframe::ops::job::driver::run_job(
            bench.ops.clone(),
            spec.clone(),
            updates,
            CancellationToken::new(),
        ));
        let first = loop {
            let view = inbox.recv().await.unwrap();
            if view.phase == Phase::Preflight {
                break view;
            }
        };
        recover::thaw_now(&bench.ops, &first).await.unwrap();
        while inbox.recv().await.is_some() {}
        let view = job.await.unwrap().unwrap();
        assert_eq!(view.verdict, Some(Verdict::Cancelled), "{:?}", view.error);
        assert!(view.set.is_empty() && !view.thaw_unconfirmed);
        let calls = bench.ops.journal.calls(spec.job.as_str()).unwrap();
        let freezes =
            |detail: &str| detail.contains(" pre-script ") || detail.contains(" snapshot ");
        assert!(
            calls
                .iter()
                .all(|c| c.action != "CreateSnapshots" && !freezes(&c.detail))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_is_resumed_is_that_of_the_lowest_covered_volume() {
    for (lowered, verdict) in [
        (None, Verdict::Application),
        (Some(Level::Filesystem), Verdict::Filesystem),
        (Some(Level::Crash), Verdict::Crash),
    ] {
        let bench = bench().await;
        // Two of its volumes are covered.
        let all = inventory::instances(&bench.ops).await.unwrap();
        let there = all.iter().find(|i| i.name() == "shop-db-1").unwrap();
        let spec = spec_for(&bench.ops, there, &options(30, OnFailure::Skip)).unwrap();
        let view = dropped_in(&bench, &spec, Phase::Completing).await;
        let proven = |view: &JobView| -> Vec<_> {
            let members = view.set.iter();
            let proven = members.filter(|m| m.level == Level::Application);
            proven.map(|m| m.snapshot.clone()).collect()
        };
        let covered = proven(&view);
        assert!(
            covered.len() > 1 && view.pending_labels.is_empty(),
            "{view:#?}"
        );
        bench
            .ops
            .journal
            .save_job(&view, &dead_owner(), true, bench.ops.clock.now())
            .unwrap();
        if let Some(level) = lowered {
            let mut world = bench.lab.world_of("eu-central-1");
            let there = world.snapshots.get_mut(covered[0].as_str()).unwrap();
            there.tags.insert(tags::LEVEL.to_owned(), level.to_string());
        }
        let mut settled = Vec::new();
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            settled = recover::settle(&bench.ops, &listened()).await.unwrap();
            if settled[0].phase == Phase::Done {
                break;
            }
        }
        assert_eq!(settled[0].verdict, Some(verdict), "{:#?}", settled[0]);
        let whole = covered.len() - usize::from(lowered.is_some());
        assert_eq!(proven(&settled[0]).len(), whole);
        if let Some(level) = lowered {
            let member = settled[0].set.iter().find(|m| m.snapshot == covered[0]);
            let member = member.unwrap();
            assert_eq!(member.level, level);
            assert!(member.reason.contains("its tag says"), "{member:?}");
        }
    }
}

/// Somebody proved that nothing is frozen after its console had died: a later try that cannot reach the instance
/// makes no unconfirmed thaw of it again.
#[tokio::test(start_paused = true)]
async fn a_job_that_is_resumed_is_not_doubted_where_its_thaw_is_proven() {
    let bench = bench().await;
    let spec = bench.spec("linux-mysql", 5, OnFailure::Skip).await;
    bench.fault(
        "CreateSnapshots",
        0,
        1,
        FaultKind::Delay(Duration::from_secs(120)),
    );
    left_frozen(&bench, &spec).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.nothing_frozen(&spec.instance);
    bench.fault("SendCommand", 0, u32::MAX, denied());
    let settled = recover::settle(&bench.ops, &listened()).await.unwrap();
    assert!(settled[0].thaw_unconfirmed);
    let (journal, now) = (&bench.ops.journal, bench.ops.clock.now());
    let (scope, job) = (bench.ops.scope(), spec.job.as_str());
    let proof = journal.intend(scope, "other", job, "ThawProven", "", now);
    journal
        .outcome(
            proof.unwrap(),
            &CallOutcome::Answered("nothing is frozen".into()),
            now,
        )
        .unwrap();
    let settled = recover::settle(&bench.ops, &listened()).await.unwrap();
    assert!(!settled[0].thaw_unconfirmed, "{:#?}", settled[0].error);
}

/// What became of a job may be impossible to record: then it is said.
#[tokio::test(start_paused = true)]
async fn an_end_that_could_not_be_recorded_is_told() {
    let mut last = usize::MAX;
    for round in 0..2 {
        let mut bench = bench().await;
        let spec = bench.spec("linux-mysql", 30, OnFailure::Skip).await;
        let saves = Arc::new(AtomicUsize::new(0));
        let counted = saves.clone();
        bench.ops.journal = bench.ops.journal.clone().observed(Arc::new(move |write| {
            write != "save-job" || counted.fetch_add(1, Ordering::SeqCst) + 1 < last
        }));
        let view = bench.run(spec).await;
        assert_eq!(view.verdict, Some(Verdict::Application), "{view:#?}");
        let kind = view.error.map(|problem| problem.kind);
        assert_eq!(kind, (round == 1).then_some(Kind::Local));
        last = saves.load(Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn published_metrics_are_read_back() {
    let bench = bench().await;
    let view = bench
        .run(bench.spec("linux-mysql", 30, OnFailure::Skip).await)
        .await;
    let series = metrics::read(&bench.ops, &view.spec.instance, 7)
        .await
        .unwrap();
    let frozen = view.freeze_window_ms.unwrap();
    let device = &view
        .set
        .iter()
        .find(|m| m.level == Level::Application)
        .unwrap()
        .device;
    let freeze = series
        .iter()
        .find(|s| s.metric == Metric::FreezeDuration && s.drive == *device)
        .unwrap();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a freeze window of milliseconds is small"
    )]
    let expected = frozen as f64;
    assert_eq!(
        freeze.points.last().unwrap().1.max(expected),
        freeze.points.last().unwrap().1
    );
    for metric in [Metric::ElapsedTime, Metric::Size, Metric::Errors] {
        assert!(
            series
                .iter()
                .any(|s| s.metric == metric && !s.points.is_empty()),
            "{metric}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn planning_a_prune_changes_nothing_and_running_deletes_exactly_the_plan() {
    let bench = bench().await;
    let policy = Policy {
        keep_last: 3,
        keep_daily: 7,
        ..Policy::default()
    };
    let plan = prune::plan(&bench.ops, &policy).await.unwrap();
    assert!(bench.lab.calls().iter().all(|c| !c.mutating));
    let (keep, delete, blocked) = plan.counts();
    assert!(
        keep > 0 && delete > 0 && blocked > 0,
        "{keep} {delete} {blocked}"
    );
    for decision in &plan.decisions {
        assert!(!decision.reasons.is_empty(), "{decision:?}");
        if decision.fate == Fate::Delete {
            assert!(
                decision.job.is_some(),
                "only our own sets are ever deleted: {decision:?}"
            );
        }
    }
    // A part of it, to keep the test short; the plan object is what is carried out.
    let mut part = plan.clone();
    let mut left = 2;
    part.decisions.retain(|d| {
        d.fate == Fate::Delete && {
            left -= 1;
            left >= 0
        }
    });
    let before: Vec<_> = bench
        .ops
        .session
        .snapshots()
        .await
        .unwrap()
        .0
        .into_iter()
        .map(|s| s.id)
        .collect();
    let updates = listened();
    let result = prune::run(&bench.ops, &part, &updates, &CancellationToken::new())
        .await
        .unwrap();
    assert!(
        result.finished && result.failed.is_empty() && result.stopped.is_none(),
        "{result:?}"
    );
    let after: Vec<_> = bench
        .ops
        .session
        .snapshots()
        .await
        .unwrap()
        .0
        .into_iter()
        .map(|s| s.id)
        .collect();
    let gone: Vec<_> = before
        .into_iter()
        .filter(|id| !after.contains(id))
        .collect();
    let mut doomed = part.doomed();
    doomed.sort();
    let mut gone_sorted = gone;
    gone_sorted.sort();
    assert_eq!(gone_sorted, doomed);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_changed_since_the_review_stops_the_prune() {
    let bench = bench().await;
    let policy = Policy {
        keep_last: 1,
        ..Policy::default()
    };
    let plan = prune::plan(&bench.ops, &policy).await.unwrap();
    let first = plan.deletions().next().unwrap().snapshots[0].id.clone();
    let mut pin = tags::Tags::default();
    pin.set(tags::PIN, "audit");
    bench
        .ops
        .session
        .set_tags(first.as_str(), &pin)
        .await
        .unwrap();
    let updates = listened();
    let problem = prune::run(&bench.ops, &plan, &updates, &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(problem.kind, Kind::State, "{problem:?}");
    assert_eq!(bench.calls("DeleteSnapshot"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_shared_is_not_deleted() {
    let bench = bench().await;
    let policy = Policy {
        keep_last: 1,
        ..Policy::default()
    };
    let mut plan = prune::plan(&bench.ops, &policy).await.unwrap();
    let mut left = 2;
    plan.decisions.retain(|d| {
        d.fate == Fate::Delete && {
            left -= 1;
            left >= 0
        }
    });
    let sets: Vec<Vec<_>> = plan
        .deletions()
        .map(|d| d.snapshots.iter().map(|s| s.id.clone()).collect())
        .collect();
    bench
        .lab
        .world_of("eu-central-1")
        .snapshots
        .get_mut(sets[0][0].as_str())
        .unwrap()
        .shared_with
        .push("999999999999".to_owned());
    let updates = listened();
    let result = prune::run(&bench.ops, &plan, &updates, &CancellationToken::new())
        .await
        .unwrap();
    let refused: Vec<_> = result.failed.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(refused, sets[0], "the whole set stays");
    assert!(result.failed[0].1.cause.contains("999999999999"));
    assert_eq!(result.deleted, sets[1]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_policy_is_refused() {
    let bench = bench().await;
    let problem = prune::plan(&bench.ops, &Policy::default())
        .await
        .unwrap_err();
    assert_eq!(problem.kind, Kind::Usage);
}

#[tokio::test(start_paused = true)]
async fn a_restore_beside_the_data_leaves_the_originals_alone() {
    let bench = bench().await;
    let view = bench
        .run(bench.spec("linux-mysql", 30, OnFailure::Skip).await)
        .await;
    let before = bench.ops.session.volumes().await.unwrap();
    let request = RestoreRequest {
        mount_under: Some("/restore".to_owned()),
        ..RestoreRequest::new(view.spec.job.clone(), view.spec.instance.clone())
    };
    let plan = restore::plan(&bench.ops, &request).await.unwrap();
    let covered = view
        .set
        .iter()
        .filter(|m| m.level == Level::Application)
        .count();
    assert_eq!(plan.items.len(), covered);
    assert!(
        plan.calls.iter().all(|c| c.cli.contains("aws ")),
        "{:#?}",
        plan.calls
    );
    let updates = listened();
    let done = restore::run(&bench.ops, plan, &updates).await.unwrap();
    assert!(
        done.items.iter().all(|i| i.state == StepState::Done),
        "{:#?}",
        done.items
    );
    let after = bench.ops.session.volumes().await.unwrap();
    for old in &before {
        assert_eq!(
            after.iter().find(|v| v.id == old.id),
            Some(old),
            "an original changed"
        );
    }
    for (item, status) in done.plan.items.iter().zip(&done.items) {
        let new = after
            .iter()
            .find(|v| Some(&v.id) == status.volume.as_ref())
            .unwrap();
        assert_eq!(new.from_snapshot.as_ref(), Some(&item.snapshot));
        assert_eq!(new.attachments[0].instance, view.spec.instance);
        let parent = before.iter().find(|v| v.id == item.source).unwrap();
        let name = new.tags.name().unwrap();
        assert!(
            name.starts_with(parent.name()) && name.contains(", restored 2"),
            "{name}"
        );
        let ours = |key: &str| key == "Name" || key.starts_with("freezeframe:");
        assert!(new.tags.iter().all(|(key, _)| ours(key)), "{:?}", new.tags);
    }
}

#[tokio::test(start_paused = true)]
async fn bad_sessions_say_what_to_do() {
    let bench = bench().await;
    let expired = session(&bench.lab, "AKIAEXPIRED", "eu-central-1", false)
        .await
        .unwrap_err();
    assert_eq!(expired.kind, Kind::Credentials, "{expired:?}");
    assert!(!expired.hint.is_empty());
    let nowhere = session(&bench.lab, "AKIALAB", "nowhere", false)
        .await
        .unwrap_err();
    assert_eq!(nowhere.kind, Kind::Usage, "{nowhere:?}");
    let reader = session(&bench.lab, "AKIALAB", "eu-central-1", true)
        .await
        .unwrap();
    assert_eq!(
        reader.may_write("x", bench.ops.scope()).unwrap_err().kind,
        Kind::Denied
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_prepared_for_another_scope_is_refused() {
    let bench = bench().await;
    let mut plan = prune::plan(
        &bench.ops,
        &Policy {
            keep_last: 1,
            ..Policy::default()
        },
    )
    .await
    .unwrap();
    plan.scope.account = freezeframe::domain::ids::AccountId::from_api("210987654321");
    let (updates, _inbox) = mpsc::channel(64);
    let problem = prune::run(&bench.ops, &plan, &updates, &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(problem.kind, Kind::Denied);
    assert_eq!(bench.calls("DeleteSnapshot"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttling_storm_slows_reading_but_loses_nothing() {
    let calm = bench().await;
    let expected = inventory::read(&calm.ops).await.unwrap();
    let bench = bench_with(true, "AKIALAB").await;
    bench.fault(
        "DescribeSnapshots",
        1,
        3,
        FaultKind::Error {
            code: "RequestLimitExceeded".into(),
            message: "slow down".into(),
            status: 503,
        },
    );
    let read = inventory::read(&bench.ops).await.unwrap();
    assert_eq!(read.snapshots.len(), expected.snapshots.len());
    assert_eq!(read.instances.len(), expected.instances.len());
    // A storm that does not end is an error, never a shorter list.
    bench.fault(
        "DescribeSnapshots",
        1,
        u32::MAX,
        FaultKind::Error {
            code: "RequestLimitExceeded".into(),
            message: "slow down".into(),
            status: 503,
        },
    );
    assert_eq!(
        inventory::read(&bench.ops).await.unwrap_err().kind,
        Kind::Throttled
    );
}

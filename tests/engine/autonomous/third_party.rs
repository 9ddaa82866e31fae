//! Somebody else's document: it runs by Data Lifecycle Manager's contract, proves nothing, and what is unconfirmed about its
//! thaw stays so until somebody knows better.

use std::time::Duration;

use freezeframe::domain::ids::JobId;
use freezeframe::domain::job::{JobSpec, OnFailure, Phase, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::domain::problem::Kind;
use freezeframe::jobs::journal::{Journal, Lease};
use freezeframe::lab::FaultKind;
use freezeframe::lab::faults::Mishap;
use freezeframe::ops::job::{confirm_thaw, driver};
use freezeframe::ops::{Ops, recover, setup};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::sound;
use super::support::{Bench, bench};

/// The shape of the sample that AWS published for Data Lifecycle Manager, with our own words.
fn dlm_document(commands: &[&str], script: &str) -> String {
    json!({
        "schemaVersion": "2.2",
        "description": "pre/post scripts of an operator",
        "parameters": {
            "executionId": {"type": "String", "default": "None", "allowedPattern":
                "^(None|[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12})$"},
            "command": {"type": "String", "default": "dry-run", "allowedValues": commands},
        },
        "mainSteps": [{
            "action": "aws:runShellScript",
            "name": "run_pre_post_scripts",
            "precondition": {"StringEquals": ["platformType", "Linux"]},
            "inputs": {"runCommand": [script]},
        }],
    })
    .to_string()
}

/// All that the contract needs.
const BOTH: &[&str] = &["pre-script", "post-script"];

/// A job on a document of this name that runs this script for each of these commands.
pub(super) async fn on_document(
    bench: &Bench,
    name: &str,
    commands: &[&str],
    script: &str,
) -> JobSpec {
    let content = dlm_document(commands, script);
    setup::install(&bench.ops, name, &content).await.unwrap();
    JobSpec {
        document: name.to_owned(),
        third_party: true,
        set_options: Default::default(),
        ..bench.spec("linux-filesystem", 30, OnFailure::Skip).await
    }
}

#[tokio::test(start_paused = true)]
async fn anybodys_document_of_the_contract_runs_and_earns_a_crash() {
    let every: &[&str] = &["pre-script", "post-script", "dry-run"];
    for (commands, sent) in [(every, 3), (&every[..2], 2)] {
        let bench = bench().await;
        let spec = on_document(&bench, "ops-pre-post", commands, "echo {{ command }}").await;
        let view = bench.run(spec).await;
        assert_eq!(view.verdict, Some(Verdict::Crash), "{view:#?}");
        assert!(view.error.is_none() && !view.thaw_unconfirmed, "{view:#?}");
        assert!(!view.set.is_empty());
        for member in &view.set {
            assert_eq!(member.level, Level::Crash);
            assert!(member.reason.contains("no FF1 lines"), "{member:?}");
        }
        assert_eq!(
            bench.calls("SendCommand"),
            sent,
            "a dry run only where it is named"
        );
        sound(&bench, &view).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_third_party_document_whose_scripts_fail_is_thawed_and_never_snapshotted() {
    let bench = bench().await;
    let spec = on_document(&bench, "ops-broken", BOTH, "false").await;
    let view = bench.run(spec).await;
    assert_eq!(view.verdict, Some(Verdict::Failed), "{view:#?}");
    assert!(
        view.thaw_unconfirmed,
        "its post-script never said that it thawed"
    );
    assert_eq!(bench.calls("CreateSnapshots"), 0);
    assert!(
        bench.calls("SendCommand") >= 4,
        "one pre-script, and post-script until it is hopeless"
    );
}

/// No failsafe of ours confirms the thaw about somebody else's freeze: each later start asks again, for a day.
#[tokio::test(start_paused = true)]
async fn an_unconfirmed_thaw_of_a_third_party_freeze_is_asked_about_again_for_a_day() {
    for mended in [true, false] {
        let bench = bench().await;
        let spec = on_document(&bench, "ops-stuck", BOTH, "false").await;
        let view = bench.run(spec.clone()).await;
        assert!(
            view.thaw_unconfirmed && view.phase == Phase::Done,
            "{view:#?}"
        );
        let settle = async || {
            let (updates, _inbox) = mpsc::channel(16);
            let start = Ops {
                unconfirmed: recover::UnconfirmedThaws::default(),
                ..bench.ops.clone()
            };
            recover::settle(&start, &updates).await.unwrap()
        };
        let sent = bench.calls("SendCommand");
        let again = settle().await;
        assert_eq!(again.len(), 1);
        assert!(again[0].thaw_unconfirmed && again[0].verdict == view.verdict);
        assert!(bench.calls("SendCommand") > sent, "it was asked");
        let open = || {
            bench
                .ops
                .journal
                .open_jobs(bench.ops.scope())
                .unwrap()
                .len()
        };
        assert_eq!(open(), 1);
        if mended {
            on_document(&bench, "ops-stuck", BOTH, "true").await;
        } else {
            tokio::time::sleep(Duration::from_secs(25 * 3_600)).await;
        }
        let last = settle().await;
        assert_eq!(last[0].thaw_unconfirmed, !mended);
        assert_eq!(
            (last[0].verdict, &last[0].phases),
            (view.verdict, &view.phases)
        );
        assert_eq!(open(), 0);
        assert!(settle().await.is_empty());
    }
}

/// Its post-script is of no job: it would thaw whatever else is frozen there.
#[tokio::test(start_paused = true)]
async fn an_unconfirmed_thaw_of_a_third_party_freeze_is_asked_about_now_and_then_and_never_under_another_job()
 {
    let bench = bench().await;
    let spec = on_document(&bench, "ops-stuck", BOTH, "false").await;
    assert!(bench.run(spec.clone()).await.needs_thaw());
    let settle = async || {
        let (updates, _inbox) = mpsc::channel(16);
        recover::settle(&bench.ops, &updates).await.unwrap()
    };
    // Until its own lease is over.
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    let now = bench.ops.clock.now();
    let until = now + chrono::TimeDelta::seconds(300);
    let other = JobId::from_api("another");
    let (scope, instance) = (&spec.scope, &spec.instance);
    let lease = bench.ops.journal.lease(scope, instance, &other, until, now);
    assert_eq!(lease.unwrap(), Lease::Taken);
    let sent = bench.calls("SendCommand");
    assert!(settle().await[0].needs_thaw());
    let asked = confirm_thaw::thaw_again(&bench.ops, &spec.job).await;
    assert!(asked.unwrap_err().cause.contains("another"), "by a person");
    assert_eq!(bench.calls("SendCommand"), sent, "the other one is at work");
    tokio::time::sleep(Duration::from_secs(301)).await;
    settle().await;
    let asked = bench.calls("SendCommand");
    assert!(asked > sent);
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(settle().await[0].needs_thaw());
    }
    assert_eq!(bench.calls("SendCommand"), asked, "each look is not a thaw");
    tokio::time::sleep(Duration::from_secs(600)).await;
    settle().await;
    assert!(bench.calls("SendCommand") > asked);
}

/// The console of another host is at work there: Systems Manager shows its commands, and no lease of ours does.
#[tokio::test(start_paused = true)]
async fn an_unconfirmed_thaw_of_a_third_party_freeze_is_not_asked_about_under_another_consoles_job()
{
    let bench = bench().await;
    let spec = on_document(&bench, "ops-stuck", BOTH, "false").await;
    assert!(bench.run(spec.clone()).await.needs_thaw());
    // Until others do not heed it any more.
    tokio::time::sleep(Duration::from_secs(1_200)).await;
    let theirs = Ops {
        journal: Journal::in_memory().unwrap(),
        ..bench.ops.clone()
    };
    let other = bench.spec("linux-filesystem", 30, OnFailure::Skip).await;
    assert_eq!(other.instance, spec.instance);
    // Their console is lost while it holds its freeze.
    let (updates, mut inbox) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let run = tokio::spawn(driver::run_job(theirs, other.clone(), updates, stop));
    while inbox.recv().await.unwrap().phase < Phase::Frozen {}
    run.abort();
    let sent = bench.calls("SendCommand");
    let asked = confirm_thaw::thaw_again(&bench.ops, &spec.job)
        .await
        .unwrap_err();
    assert!(asked.cause.contains(other.job.as_str()), "{asked:?}");
    assert_eq!(bench.calls("SendCommand"), sent);
    // Whoever cannot see that does not take it for nobody, where no person wants it.
    bench.fault("ListCommands", 0, u32::MAX, FaultKind::Reset);
    let (updates, _inbox) = mpsc::channel(16);
    let blind = recover::settle(&bench.ops, &updates).await.unwrap();
    assert!(blind[0].needs_thaw());
    assert_eq!(bench.calls("SendCommand"), sent);
    bench.lab.faults().clear();
    tokio::time::sleep(Duration::from_secs(600)).await;
    confirm_thaw::thaw_again(&bench.ops, &spec.job)
        .await
        .unwrap_err();
    assert!(bench.calls("SendCommand") > sent, "that one is over");
}

/// What was cancelled in mid-run may have frozen before, however often the next command finds nothing to thaw.
#[tokio::test(start_paused = true)]
async fn a_third_party_pre_script_that_is_cut_off_leaves_the_thaw_unconfirmed_for_later_starts_too()
{
    let soon = Duration::from_millis(10);
    for (cut, unconfirmed) in [
        (Some(Mishap::Cancelled(soon)), true),
        (Some(Mishap::TimedOut(soon)), true),
        // By somebody who is not the agent: out of memory, an operator.
        (Some(Mishap::Killed(soon)), true),
        (None, false),
    ] {
        let bench = bench().await;
        let spec = on_document(&bench, "ops-cut", BOTH, "exit 205").await;
        if let Some(mishap) = cut {
            bench.fault("pre-script", 0, 1, FaultKind::Command(mishap));
        }
        let view = bench.run(spec.clone()).await;
        assert_eq!(view.verdict, Some(Verdict::Failed), "{view:#?}");
        assert_eq!(view.thaw_unconfirmed, unconfirmed, "{view:#?}");
        assert_eq!(bench.calls("CreateSnapshots"), 0);
        let (updates, _inbox) = mpsc::channel(16);
        let again = recover::settle(&bench.ops, &updates).await.unwrap();
        assert_eq!(again.iter().any(|view| view.needs_thaw()), unconfirmed);
    }
}

/// Who has looked at the instance ends an unconfirmed thaw that no command can end, and no level changes.
#[tokio::test(start_paused = true)]
async fn an_unconfirmed_thaw_ends_by_the_word_of_somebody_who_has_looked() {
    let bench = bench().await;
    let spec = on_document(&bench, "ops-stuck", BOTH, "false").await;
    let before = bench.run(spec.clone()).await;
    assert!(before.needs_thaw());
    let sent = bench.calls("SendCommand");
    let after = confirm_thaw::record_operator_confirmation(&bench.ops, &spec.job).unwrap();
    assert!(!after.thaw_unconfirmed && after.frozen_since.is_none());
    assert_eq!(
        (after.verdict, &after.set, &after.phases),
        (before.verdict, &before.set, &before.phases)
    );
    let who = &bench.ops.session.arn();
    assert!(after.error.unwrap().cause.contains(who));
    let calls = bench.ops.journal.calls(spec.job.as_str()).unwrap();
    let word = calls.iter().find(|call| call.action == "ThawDeclared");
    let outcome = word.and_then(|call| call.outcome.as_ref()?.answer());
    assert!(outcome.is_some_and(|outcome| outcome.contains(who)));
    assert_eq!(bench.calls("SendCommand"), sent, "nothing was sent");
    let (updates, _inbox) = mpsc::channel(16);
    assert!(
        recover::settle(&bench.ops, &updates)
            .await
            .unwrap()
            .is_empty()
    );
    let again = confirm_thaw::record_operator_confirmation(&bench.ops, &spec.job).unwrap_err();
    assert_eq!(again.kind, Kind::State, "its thaw is confirmed");
    let unknown =
        confirm_thaw::record_operator_confirmation(&bench.ops, &JobId::from_api("nobody"));
    assert_eq!(unknown.unwrap_err().kind, Kind::NotFound);
}

/// A word that is given while the instance is being asked stays given.
#[tokio::test(start_paused = true)]
async fn a_thaw_confirmed_while_the_instance_is_asked_stays_confirmed() {
    let bench = bench().await;
    let spec = on_document(&bench, "ops-stuck", BOTH, "false").await;
    assert!(bench.run(spec.clone()).await.needs_thaw());
    tokio::time::sleep(Duration::from_secs(1_200)).await;
    let late = FaultKind::Slow(Duration::from_secs(3));
    bench.fault("SendCommand", 0, 1, late);
    let (updates, _inbox) = mpsc::channel(16);
    let word = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        confirm_thaw::record_operator_confirmation(&bench.ops, &spec.job).unwrap()
    };
    let (settled, declared) = tokio::join!(recover::settle(&bench.ops, &updates), word);
    let settled = settled.unwrap();
    assert_eq!(settled, [declared]);
    let kept = bench.ops.journal.job(bench.ops.scope(), &spec.job);
    assert!(!kept.unwrap().unwrap().thaw_unconfirmed);
    let open = bench.ops.journal.open_jobs(bench.ops.scope()).unwrap();
    assert!(open.is_empty(), "{open:#?}");
}

/// A thaw that comes before somebody else's freeze thaws nothing, and no tombstone marker keeps that freeze from coming: whoever
/// asks for it is told, and the job goes no further.
#[tokio::test(start_paused = true)]
async fn a_thaw_before_somebody_elses_freeze_is_no_success_and_stops_the_job() {
    let bench = bench().await;
    let spec = on_document(&bench, "ops-late", BOTH, "true").await;
    let late = Mishap::Late(Duration::from_secs(20));
    bench.fault("pre-script", 0, 1, FaultKind::Command(late));
    let (updates, mut inbox) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let ops = bench.ops.clone();
    let run = tokio::spawn(driver::run_job(ops, spec.clone(), updates, stop));
    let asked = async {
        while inbox.recv().await.unwrap().phase < Phase::Quiescing {}
        tokio::time::sleep(Duration::from_secs(5)).await;
        let view = bench.ops.journal.job(bench.ops.scope(), &spec.job);
        let asked = recover::thaw_now(&bench.ops, &view.unwrap().unwrap()).await;
        while inbox.recv().await.is_some() {}
        asked
    };
    let (ended, asked) = tokio::join!(run, asked);
    let asked = asked.unwrap_err();
    assert!(asked.cause.contains("may still be on its way"), "{asked:?}");
    let view = ended.unwrap().unwrap();
    assert_eq!(view.verdict, Some(Verdict::Cancelled), "{view:#?}");
    assert_eq!(bench.calls("CreateSnapshots"), 0);
    bench.nothing_frozen(&spec.instance);
}

#[tokio::test(start_paused = true)]
async fn a_document_outside_the_contract_is_refused_with_what_it_lacks() {
    let bench = bench().await;
    for (name, content, lacks) in [
        (
            "no-post",
            dlm_document(&["pre-script"], "true"),
            "post-script",
        ),
        (
            "no-id",
            dlm_document(&["pre-script", "post-script"], "true")
                .replace("executionId", "executionID"),
            "executionId",
        ),
    ] {
        setup::install(&bench.ops, name, &content).await.unwrap();
        let spec = JobSpec {
            document: name.to_owned(),
            third_party: true,
            set_options: Default::default(),
            ..bench.spec("linux-filesystem", 30, OnFailure::Skip).await
        };
        let view = bench.run(spec).await;
        assert_eq!(view.verdict, Some(Verdict::Skipped));
        let error = view.error.unwrap();
        assert_eq!(error.kind, Kind::Document);
        assert!(error.cause.contains(lacks), "{error:?}");
    }
    assert_eq!(bench.calls("SendCommand"), 0);
}

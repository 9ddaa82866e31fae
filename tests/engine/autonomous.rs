//! Autonomous mode and other makers' documents, driven against the lab in process on tokio's paused clock.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod auto;
mod commands;
mod dead_agent;
use crate::support;
mod third_party;

use std::time::Duration;

use freezeframe::domain::job::{JobSpec, JobView, Mode, OnFailure, Phase, Verdict};
use freezeframe::domain::tags;
use freezeframe::lab::FaultKind;
use freezeframe::lab::faults::Mishap;
use freezeframe::ops::recover;
use support::{Bench, bench};
use tokio::sync::mpsc;

async fn alone(bench: &Bench, recipe: &str, on_failure: OnFailure) -> JobSpec {
    JobSpec {
        mode: Mode::Autonomous,
        ..bench.spec(recipe, 30, on_failure).await
    }
}

/// Whatever happened: nothing is frozen, no level without evidence, the tags say what the view says.
async fn sound(bench: &Bench, view: &JobView) {
    assert_eq!(view.phase, Phase::Done);
    bench.nothing_frozen(&view.spec.instance);
    let there = bench
        .ops
        .session
        .snapshots_of_job(&view.spec.job)
        .await
        .unwrap();
    for member in &view.set {
        let level = there
            .iter()
            .find(|s| s.id == member.snapshot)
            .and_then(|s| s.level());
        assert_eq!(level, Some(member.level), "{member:?}");
        if member.level.is_proven() {
            assert!(view.evidence.links.iter().all(|l| l.holds), "{view:#?}");
            assert_eq!(
                bench.runtime.was_frozen(member.snapshot.as_str()),
                Some(true)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_command_makes_a_proven_set_with_the_instances_own_role() {
    // The last is a recipe of the user's own on a document of ours: the set bears its name.
    for (document, recipe, verdict) in [
        ("linux-mysql", "linux-mysql", Verdict::Application),
        ("linux-filesystem", "linux-filesystem", Verdict::Filesystem),
        ("linux-mysql", "mysql-of-ours.2", Verdict::Application),
    ] {
        let bench = bench().await;
        let mut spec = alone(&bench, document, OnFailure::Skip).await;
        spec.recipe = recipe.to_owned();
        let view = bench.run(spec).await;
        assert_eq!(view.verdict, Some(verdict), "{view:#?}");
        assert!(view.evidence.links.iter().all(|l| l.holds), "{view:#?}");
        assert!(view.error.is_none() && !view.thaw_unconfirmed);
        assert!(view.freeze_window_ms.is_some_and(|ms| ms > 0));
        assert!(view.frozen_since.is_none() && view.evidence.post_command.is_none());
        sound(&bench, &view).await;
        let words: Vec<String> = bench
            .ops
            .journal
            .calls(view.spec.job.as_str())
            .unwrap()
            .into_iter()
            .filter(|c| c.action == "SendCommand" || c.action == "CreateSnapshots")
            .map(|c| c.detail)
            .collect();
        assert_eq!(words.len(), 2, "a look and the one command: {words:?}");
        assert!(words[1].contains(" snapshot on "), "{words:?}");
        // What the console would have tagged, the instance has.
        let set = bench
            .ops
            .session
            .snapshots_of_job(&view.spec.job)
            .await
            .unwrap();
        assert_eq!(set.len(), view.set.len());
        assert!(set.iter().all(|s| s.tags.get(tags::RECIPE) == Some(recipe)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_lane_shows_the_set_while_the_command_still_runs() {
    let bench = bench().await;
    // The answer to the instance is slow: the set is there, the freeze still held.
    bench.fault(
        "CreateSnapshots",
        0,
        1,
        FaultKind::Slow(Duration::from_secs(12)),
    );
    let spec = alone(&bench, "linux-filesystem", OnFailure::Skip).await;
    let seen = std::sync::Mutex::new(Vec::new());
    let view = bench
        .run_until(spec, |view| {
            seen.lock()
                .unwrap()
                .push((view.phase, view.set.len(), view.frozen_since));
            false
        })
        .await;
    let seen = seen.into_inner().unwrap();
    assert!(
        seen.iter()
            .any(|(phase, set, _)| *phase == Phase::Snapshotting && *set > 0),
        "{seen:?}"
    );
    assert!(
        seen.iter()
            .all(|(phase, _, since)| *phase != Phase::Frozen && since.is_none())
    );
    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{view:#?}");
    sound(&bench, &view).await;
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_killed_or_cut_off_is_thawed_and_judged_by_what_is_proven() {
    for mishap in [
        Mishap::Killed(Duration::from_millis(300)),
        Mishap::Killed(Duration::from_secs(3)),
        Mishap::Cancelled(Duration::from_millis(300)),
        Mishap::Truncated(200),
        Mishap::Truncated(1_500),
    ] {
        let bench = bench().await;
        bench.fault("snapshot", 0, 1, FaultKind::Command(mishap));
        let spec = alone(&bench, "linux-mysql", OnFailure::Skip).await;
        let view = bench.run(spec).await;
        assert!(!view.thaw_unconfirmed, "{mishap:?} {view:#?}");
        sound(&bench, &view).await;
        assert!(
            bench.calls("CreateSnapshots") <= 1,
            "a dry run and one call: {mishap:?}"
        );
    }
}

/// From the command on nobody could be asked. What it told of its own thaw is read at the next start: that earns the set
/// its level, and confirms the thaw too, with nobody asking the instance again.
#[tokio::test(start_paused = true)]
async fn p22_an_unconfirmed_thaw_ends_with_the_proof_that_the_set_is_labelled_by() {
    let bench = bench().await;
    let spec = alone(&bench, "linux-mysql", OnFailure::Skip).await;
    // The command is taken; then the console can ask nothing more, and the instance's own role goes on.
    let expire = || {
        for (action, taken) in [
            ("SendCommand", 1),
            ("GetCommandInvocation", 0),
            ("ListCommands", 0),
            ("ListCommandInvocations", 0),
            ("DescribeSnapshots", 0),
        ] {
            let expired = FaultKind::Error {
                code: "ExpiredTokenException".into(),
                message: "The security token included in the request is expired".into(),
                status: 400,
            };
            bench.fault(action, taken, u32::MAX, expired);
        }
    };
    let once = std::sync::Once::new();
    let view = bench
        .run_until(spec, |view| {
            if view.phase == Phase::Quiescing {
                once.call_once(expire);
            }
            false
        })
        .await;
    assert!(view.thaw_unconfirmed && view.set_unseen, "{view:#?}");
    bench.lab.faults().clear();
    let sent = bench.calls("SendCommand");
    let (updates, _inbox) = mpsc::channel(16);
    let settled = recover::settle(&bench.ops, &updates).await.unwrap();
    let [settled] = settled.as_slice() else {
        panic!("{settled:#?}")
    };
    assert_eq!(settled.verdict, Some(Verdict::Application), "{settled:#?}");
    assert!(!settled.thaw_unconfirmed, "{settled:#?}");
    assert_eq!((&settled.error, settled.frozen_since), (&None, None));
    assert_eq!(bench.calls("SendCommand"), sent);
    sound(&bench, settled).await;
    let open = bench.ops.journal.open_jobs(bench.ops.scope()).unwrap();
    assert!(open.is_empty(), "{open:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_instance_may_not_make_is_refused_before_anything_is_touched() {
    for on_failure in [OnFailure::Skip, OnFailure::CrashConsistent] {
        let bench = bench().await;
        bench.fault(
            "CreateSnapshots:DryRun",
            0,
            1,
            FaultKind::Error {
                code: "UnauthorizedOperation".to_owned(),
                message: "You are not authorized".to_owned(),
                status: 403,
            },
        );
        let view = bench
            .run(alone(&bench, "linux-mysql", on_failure).await)
            .await;
        let error = view.error.clone().unwrap();
        assert_eq!(error.code.as_deref(), Some("snapshot-refused"), "{error:?}");
        assert!(error.hint.contains("role"), "{error:?}");
        let wanted = match on_failure {
            OnFailure::Skip => Verdict::Skipped,
            OnFailure::CrashConsistent => Verdict::Crash,
        };
        assert_eq!(view.verdict, Some(wanted));
        assert!(
            bench
                .runtime
                .history(view.spec.instance.as_str())
                .is_empty()
        );
        sound(&bench, &view).await;
    }
}

/// A right that is missing is mended in IAM; nothing else is, and saying so would send people the wrong way.
#[tokio::test(start_paused = true)]
async fn an_instance_that_is_not_answered_is_not_told_to_want_rights() {
    let error = |code: &str, status| FaultKind::Error {
        code: code.to_owned(),
        message: "not now".to_owned(),
        status,
    };
    for (fault, words) in [
        (error("RequestLimitExceeded", 503), "limit"),
        (error("RequestExpired", 400), "clock"),
        (error("InternalError", 500), "failed by itself"),
        (FaultKind::Reset, "did not answer"),
        (FaultKind::Delay(Duration::from_secs(30)), "did not answer"),
    ] {
        let bench = bench().await;
        bench.fault("CreateSnapshots:DryRun", 0, 1, fault.clone());
        let view = bench
            .run(alone(&bench, "linux-mysql", OnFailure::Skip).await)
            .await;
        let problem = view.error.clone().unwrap();
        assert!(problem.hint.contains(words), "{fault:?}: {problem:?}");
        assert!(
            !problem.hint.contains("allow the instance's role"),
            "{fault:?}: {problem:?}"
        );
        assert_eq!(view.verdict, Some(Verdict::Skipped), "{fault:?}");
        sound(&bench, &view).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_while_frozen_leaves_no_set_or_the_consoles() {
    for (on_failure, verdict) in [
        (OnFailure::Skip, Verdict::Failed),
        (OnFailure::CrashConsistent, Verdict::Crash),
    ] {
        let bench = bench().await;
        bench.fault(
            "CreateSnapshots",
            0,
            1,
            FaultKind::Error {
                code: "SnapshotCreationPerVolumeRateExceeded".to_owned(),
                message: "slow".to_owned(),
                status: 400,
            },
        );
        let view = bench
            .run(alone(&bench, "linux-filesystem", on_failure).await)
            .await;
        assert_eq!(view.verdict, Some(verdict), "{view:#?}");
        sound(&bench, &view).await;
        assert_eq!(view.set.is_empty(), on_failure == OnFailure::Skip);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_instance_never_got_is_found_and_never_asked_for_again() {
    let bench = bench().await;
    bench.fault("CreateSnapshots", 0, 1, FaultKind::LoseResponse);
    let spec = alone(&bench, "linux-filesystem", OnFailure::CrashConsistent).await;
    let view = bench.run(spec).await;
    assert_eq!(view.verdict, Some(Verdict::Crash), "{view:#?}");
    assert!(!view.set.is_empty());
    assert_eq!(bench.calls("CreateSnapshots"), 1);
    sound(&bench, &view).await;
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_thawed_whenever_it_comes() {
    for phase in [Phase::Quiescing, Phase::Snapshotting] {
        let bench = bench().await;
        bench.fault(
            "CreateSnapshots",
            0,
            1,
            FaultKind::Slow(Duration::from_secs(12)),
        );
        let spec = alone(&bench, "linux-mysql", OnFailure::CrashConsistent).await;
        let view = bench.run_until(spec, |view| view.phase == phase).await;
        assert_eq!(view.verdict, Some(Verdict::Cancelled), "{view:#?}");
        assert!(!view.thaw_unconfirmed);
        sound(&bench, &view).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_of_the_send_is_found_by_its_comment() {
    let bench = bench().await;
    bench.fault("SendCommand", 1, 1, FaultKind::LoseResponse);
    let view = bench
        .run(alone(&bench, "linux-mysql", OnFailure::Skip).await)
        .await;
    assert_eq!(view.verdict, Some(Verdict::Application), "{view:#?}");
    sound(&bench, &view).await;
}

//! Mode `auto`: who calls is decided before anything is sent that freezes, and what EC2 would refuse is asked before it.

use freezeframe::domain::job::{JobSpec, JobView, Mode, OnFailure, Phase, Verdict};
use freezeframe::domain::mode::AskedMode;
use freezeframe::domain::problem::Kind;
use freezeframe::lab::FaultKind;
use freezeframe::lab::runtime_simulated::What;
use freezeframe::ops::admission::preflight;
use freezeframe::ops::job::run::spec_for;

use super::sound;
use super::support::{Bench, bench, options};

async fn auto(bench: &Bench, freeze_root: bool, on_failure: OnFailure) -> JobSpec {
    let mut options = options(30, on_failure);
    options.mode = AskedMode::Auto;
    options.freeze_root = freeze_root;
    let instance = bench.instance("linux-mysql").await;
    let spec = spec_for(&bench.ops, &instance, &options).unwrap();
    assert!(spec.mode_is_open() && spec.mode_reason.is_none());
    spec
}

fn unauthorized() -> FaultKind {
    FaultKind::Error {
        code: "UnauthorizedOperation".to_owned(),
        message: "You are not authorized to perform this operation.".to_owned(),
        status: 403,
    }
}

/// How often anything was locked or frozen there.
fn freezes(bench: &Bench, view: &JobView) -> usize {
    let history = bench.runtime.history(view.spec.instance.as_str());
    let held = |what: &What| matches!(what, What::Locked { .. } | What::Frozen { .. });
    history.iter().filter(|h| held(&h.what)).count()
}

fn reason(view: &JobView) -> &str {
    view.spec.mode_reason.as_deref().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn auto_is_autonomous_where_the_dry_run_proves_the_role_and_says_so() {
    let bench = bench().await;
    let spec = auto(&bench, false, OnFailure::Skip).await;
    let view = bench.run(spec).await;
    assert_eq!(view.verdict, Some(Verdict::Application), "{view:#?}");
    assert_eq!(view.spec.mode, Mode::Autonomous);
    assert_eq!(view.spec.asked_mode, Some(AskedMode::Auto));
    assert!(reason(&view).contains("proved"), "{}", reason(&view));
    assert!(view.evidence.post_command.is_none());
    assert_eq!(bench.calls("SendCommand"), 2, "one look, one command");
    let job = &view.spec.job;
    let kept = bench.ops.journal.job(bench.ops.scope(), job).unwrap();
    assert_eq!(kept.unwrap().spec, view.spec);
    sound(&bench, &view).await;
}

#[tokio::test(start_paused = true)]
async fn auto_is_coordinated_where_the_role_may_not_without_a_second_look() {
    let bench = bench().await;
    bench.fault("CreateSnapshots:DryRun", 0, 1, unauthorized());
    let spec = auto(&bench, false, OnFailure::Skip).await;
    let view = bench.run(spec).await;
    assert_eq!(view.verdict, Some(Verdict::Application), "{view:#?}");
    assert_eq!(view.spec.mode, Mode::Coordinated);
    let why = reason(&view);
    assert!(
        why.contains("role is not proven") && why.contains("UnauthorizedOperation"),
        "{why}"
    );
    assert!(view.evidence.post_command.is_some());
    assert_eq!(bench.calls("SendCommand"), 3);
    sound(&bench, &view).await;
}

#[tokio::test(start_paused = true)]
async fn auto_with_freeze_root_is_refused_where_it_cannot_be_autonomous() {
    let refused = bench().await;
    refused.fault("CreateSnapshots:DryRun", 0, 1, unauthorized());
    let spec = auto(&refused, true, OnFailure::Skip).await;
    let view = refused.run(spec).await;
    assert_eq!(view.verdict, Some(Verdict::Skipped), "{view:#?}");
    let cause = &view.error.as_ref().unwrap().cause;
    assert!(cause.contains("--freeze-root needs autonomous"), "{cause}");
    assert_eq!(freezes(&refused, &view), 0);
    let bench = bench().await;
    let view = bench.run(auto(&bench, true, OnFailure::Skip).await).await;
    assert_eq!(view.spec.mode, Mode::Autonomous);
    assert!(
        view.evidence.frozen_mounts.iter().any(|m| m == "/"),
        "{view:#?}"
    );
}

/// Nobody may make the snapshots: no database stands still for that, in any mode.
#[tokio::test(start_paused = true)]
async fn what_ec2_would_refuse_is_asked_before_anything_stands_still() {
    for asked in [
        AskedMode::Auto,
        AskedMode::Coordinated,
        AskedMode::Autonomous,
    ] {
        for on_failure in [OnFailure::Skip, OnFailure::CrashConsistent] {
            let bench = bench().await;
            bench.fault("CreateSnapshots", 0, u32::MAX, unauthorized());
            let mut options = options(30, on_failure);
            options.mode = asked;
            let instance = bench.instance("linux-mysql").await;
            let spec = spec_for(&bench.ops, &instance, &options).unwrap();
            // What is only looked at says the same.
            let set = preflight::set_plan(&bench.ops, &instance, &spec.set_options).await;
            let set = set.unwrap();
            let would = preflight::foresee(&bench.ops, &spec, &instance, &set, true).await;
            if asked != AskedMode::Autonomous {
                let problem = would.refused.unwrap();
                assert_eq!(problem.kind, Kind::Denied, "{problem:?}");
                assert!(problem.hint.contains("ec2:CreateSnapshots"), "{problem:?}");
            }
            assert_eq!(bench.calls("SendCommand"), 0);
            let view = bench.run(spec).await;
            let ended = matches!(view.verdict, Some(Verdict::Failed | Verdict::Skipped));
            assert!(ended, "{asked}: {view:#?}");
            assert_eq!(freezes(&bench, &view), 0, "{asked}");
            assert!(view.phases.iter().all(|p| p.phase != Phase::Quiescing));
            assert_eq!(bench.calls("SendCommand"), 1, "{asked}: only the look");
            assert!(
                view.error
                    .unwrap()
                    .to_string()
                    .contains("UnauthorizedOperation")
                    || asked != AskedMode::Coordinated
            );
        }
    }
}

/// A question that may be asked again is; one that comes to nothing freezes nothing.
#[tokio::test(start_paused = true)]
async fn a_dry_run_that_is_throttled_or_lost_is_asked_again() {
    for (fault, times, proven) in [
        (FaultKind::LoseResponse, 1, true),
        (FaultKind::Reset, 1, true),
        (FaultKind::Reset, u32::MAX, false),
    ] {
        let bench = bench().await;
        bench.fault("CreateSnapshots:DryRun", 0, times, fault.clone());
        let spec = bench.spec("linux-mysql", 30, OnFailure::Skip).await;
        let view = bench.run(spec).await;
        let wanted = if proven {
            Verdict::Application
        } else {
            Verdict::Failed
        };
        assert_eq!(view.verdict, Some(wanted), "{fault:?}: {view:#?}");
        assert_eq!(freezes(&bench, &view) > 0, proven);
    }
}

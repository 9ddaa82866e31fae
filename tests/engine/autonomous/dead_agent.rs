//! An agent that has died is called online for minutes, and takes no command from then on: known in seconds, told, and
//! nothing that freezes is sent to it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use freezeframe::domain::ids::InstanceId;
use freezeframe::domain::instance::Instance;
use freezeframe::domain::job::{JobSpec, Mode, OnFailure, Phase, Verdict};
use freezeframe::domain::problem::Kind;
use freezeframe::lab::FaultKind;
use freezeframe::lab::runtime_simulated::What;
use freezeframe::lab::world::AgentStatus;
use freezeframe::ops::admission::preflight;

use super::support::{Bench, bench};
use super::third_party::on_document;

/// Its agent dies now.
fn dies(bench: &Bench, instance: &InstanceId) {
    let mut world = bench.lab.world();
    let now = world.now;
    let there = world.instances.get_mut(instance.as_str()).unwrap();
    there.agent.status = AgentStatus::ConnectionLost;
    there.agent.lost = Some(now);
}

fn comes_back(bench: &Bench, instance: &InstanceId) {
    let mut world = bench.lab.world();
    let there = world.instances.get_mut(instance.as_str()).unwrap();
    there.agent.status = AgentStatus::Online;
    there.agent.lost = None;
}

fn froze(bench: &Bench, instance: &InstanceId) -> bool {
    let history = bench.runtime.history(instance.as_str());
    history
        .iter()
        .any(|h| matches!(h.what, What::Frozen { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_dead_agent_is_known_in_seconds_and_its_dry_run_is_taken_back() {
    for (may_ask, mode, most) in [
        (true, Mode::Coordinated, 5),
        (true, Mode::Autonomous, 5),
        // Who may not ask for the connection waits a little longer.
        (false, Mode::Coordinated, 25),
    ] {
        let bench = bench().await;
        let spec = JobSpec {
            mode,
            asked_mode: None,
            ..bench.spec("linux-filesystem", 30, OnFailure::Skip).await
        };
        let there = spec.instance.clone();
        if !may_ask {
            let refused = FaultKind::Error {
                code: "AccessDeniedException".to_owned(),
                message: "not by this role".to_owned(),
                status: 400,
            };
            bench.fault("GetConnectionStatus", 0, u32::MAX, refused);
        }
        dies(&bench, &there);
        assert_eq!(
            bench.ops.session.agent(&there).await.unwrap().word(),
            "online"
        );
        let began = bench.lab.clock().now();
        let told = RefCell::new(Vec::new());
        let view = bench
            .run_until(spec, |view| {
                told.borrow_mut().extend(view.waiting.clone());
                false
            })
            .await;
        let took = (bench.lab.clock().now() - began).num_seconds();
        assert!(took <= most, "{took} s");
        let problem = view.error.clone().unwrap();
        assert_eq!(
            (view.verdict, problem.kind),
            (Some(Verdict::Skipped), Kind::Agent),
            "{view:#?}"
        );
        assert!(problem.cause.contains("not connected"), "{problem}");
        if !may_ask {
            let told = told.into_inner();
            assert!(
                told.iter().any(|words| words.contains("Delayed")),
                "{told:?}"
            );
        }
        assert_eq!(
            (bench.calls("SendCommand"), bench.calls("CancelCommand")),
            (1, 1)
        );
        comes_back(&bench, &there);
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(!froze(&bench, &there));
    }
}

/// Nothing would find out before the first command that freezes, and no failsafe of ours watches that one.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_a_dead_agent_where_the_document_has_no_dry_run() {
    let bench = bench().await;
    let both = &["pre-script", "post-script"];
    let spec = on_document(&bench, "ops-dead", both, "true").await;
    let instance = bench.ops.session.instance(&spec.instance).await.unwrap();
    let agent = bench.ops.session.agent(&spec.instance).await.unwrap();
    let instance = Instance { agent, ..instance };
    let set = preflight::set_plan(&bench.ops, &instance, &spec.set_options);
    let set = set.await.unwrap();
    let foreseen = || preflight::foresee(&bench.ops, &spec, &instance, &set, false);
    let before = foreseen().await;
    assert!(
        before.refused.is_none() && before.warning.is_none(),
        "{before:?}"
    );
    dies(&bench, &spec.instance);
    // Who only looks is told the same.
    let told = foreseen().await.refused.unwrap();
    assert!(told.cause.contains("not connected"), "{told}");
    let view = bench.run(spec).await;
    let kind = view.error.as_ref().map(|problem| problem.kind);
    assert_eq!(
        (view.verdict, kind),
        (Some(Verdict::Skipped), Some(Kind::Agent)),
        "{view:#?}"
    );
    assert_eq!(bench.calls("SendCommand"), 0);
}

/// The agent dies while it holds the freeze: whoever looks on is told that the thaw is delayed, and when the failsafe
/// acts, until it has.
#[tokio::test(start_paused = true)]
async fn p28_a_delayed_thaw_is_told_with_the_moment_of_the_failsafe() {
    let bench = bench().await;
    let spec = bench.spec("linux-filesystem", 30, OnFailure::Skip).await;
    let there = spec.instance.clone();
    let (died, told) = (Cell::new(false), RefCell::new(Vec::new()));
    let view = bench
        .run_until(spec, |view| {
            if view.frozen_since.is_some() && !died.replace(true) {
                dies(&bench, &there);
            }
            if let Some(delayed) = view.delayed_thaw() {
                told.borrow_mut()
                    .push((view.phase, delayed, view.frozen_since));
            }
            false
        })
        .await;
    let told = told.into_inner();
    let (phase, delayed, since) = told.first().copied().unwrap();
    assert_eq!(phase, Phase::Thawing);
    let by = delayed.failsafe_by.unwrap();
    assert_eq!((by - since.unwrap()).num_seconds(), 30);
    let fired = bench.runtime.history(there.as_str());
    let thawed = fired.iter().find(|h| matches!(h.what, What::Thawed { .. }));
    assert!(thawed.unwrap().at <= by, "{fired:?}");
    assert_eq!(view.phase, Phase::Done);
    assert_eq!(view.delayed_thaw(), None);
    bench.nothing_frozen(&there);
}

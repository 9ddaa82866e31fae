//! Systems Manager's rates: kept where they are as assumed, found out where they are not; and what waits for
//! them, waits before anything is on record and before any time limit counts.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use freezeframe::domain::job::{Mode, Verdict};
use freezeframe::domain::pace::Bucket;
use freezeframe::domain::run::Limits;
use freezeframe::jobs::outcome::CallOutcome;

use super::{fleet, refusal, run, throttled, unproven, verdicts};

const SLOW: &str =
    "[ssm_rates]\nsend = { size = 15.0, refill = 4.0 }\nask = { size = 25.0, refill = 5.0 }";

fn together(at_once: u32) -> Limits {
    Limits {
        at_once,
        ..Limits::default()
    }
}

/// An account that takes a quarter of what is assumed: slower, and no job fails.
#[tokio::test(start_paused = true)]
async fn a_slower_systems_manager_is_found_out_and_no_job_fails() {
    let (lab, ops) = fleet::open(20, 0, SLOW).await.unwrap();
    let limits = together(20);
    let specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    let (views, seen) = run(&ops, specs, &limits).await;
    // A thaw waits for nothing and may be sent away a few times; the job says so, and is proven all the same.
    assert_eq!(
        verdicts(&views)["filesystem"],
        20,
        "{:#?}",
        unproven(&views)
    );
    let (away, all) = (throttled(&lab), lab.calls().len());
    assert!(away > 0 && away * 4 < all, "{away} of {all} sent away");
    let waits = seen.iter().filter_map(|v| v.waiting.as_deref());
    assert!(
        waits
            .into_iter()
            .any(|w| w == "waits for its turn at AWS (SendCommand)")
    );
}

/// What is on record was sent at that moment: who is killed in between leaves no unconfirmed thaw that is not there.
#[tokio::test(start_paused = true)]
async fn nothing_waits_between_an_intent_and_its_call() {
    let (lab, ops) = fleet::open(30, 0, SLOW).await.unwrap();
    let limits = together(30);
    let specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    let (views, _) = run(&ops, specs, &limits).await;
    assert_eq!(
        verdicts(&views)["filesystem"],
        30,
        "{:#?}",
        unproven(&views)
    );
    let sent: HashMap<String, DateTime<Utc>> = lab
        .calls()
        .iter()
        .filter(|c| c.action == "SendCommand" && c.outcome == "OK")
        .map(|c| (c.subject.clone(), c.at))
        .collect();
    let mut compared = 0;
    for view in views.iter().flatten() {
        let job = view.spec.job.as_str();
        for call in ops.journal.calls(job).unwrap() {
            let taken = matches!(call.outcome, Some(CallOutcome::Answered(_)));
            let word = call.detail.split(' ').nth(1).unwrap_or_default();
            let comment = format!("freezeframe {word} {job}");
            let Some(at) = sent.get(&comment).filter(|_| taken) else {
                continue;
            };
            let intended = DateTime::parse_from_rfc3339(&call.intended).unwrap();
            // A thaw may have been repeated by the SDK.
            if word != "post-script" {
                assert!(
                    *at - intended.to_utc() < TimeDelta::milliseconds(50),
                    "{call:?} {at}"
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 60, "a look and a pre-script each");
}

/// Waiting for EC2's bucket for longer than preflight may last is no failure, and the lane says what it is.
#[tokio::test(start_paused = true)]
async fn preflight_s_time_limit_does_not_count_waiting() {
    let (_lab, ops) = fleet::open(1, 0, "").await.unwrap();
    let limits = Limits::default();
    let specs = fleet::specs(&ops, &limits, Mode::Coordinated)
        .await
        .unwrap();
    for _ in 0..1_300 {
        let (token, _) = ops.session.pace().promise(Bucket::CreateSnapshots);
        token.spend();
    }
    let begun = ops.clock.now();
    let (views, seen) = run(&ops, specs, &limits).await;
    let view = views[0].as_ref().unwrap();
    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:?}", view.error);
    assert!(ops.clock.now() - begun > TimeDelta::seconds(180 + 30));
    let words = "waits for its turn at AWS (CreateSnapshots)";
    assert!(seen.iter().any(|v| v.waiting.as_deref() == Some(words)));
}

/// A command that was not taken was not carried out: it is offered again, in the same job.
#[tokio::test(start_paused = true)]
async fn a_command_that_was_sent_away_is_offered_again() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        for skip in [0, 1, 2] {
            let (lab, ops) = fleet::open(1, 0, "").await.unwrap();
            let limits = Limits::default();
            let specs = fleet::specs(&ops, &limits, mode).await.unwrap();
            let job = specs[0].job.clone();
            let away = refusal("SendCommand", skip, 2, "ThrottlingException");
            lab.faults().inject(away);
            let (views, _) = run(&ops, specs, &limits).await;
            let view = views[0].as_ref().unwrap();
            assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:?}", view.error);
            assert_eq!(view.spec.job, job);
        }
    }
}

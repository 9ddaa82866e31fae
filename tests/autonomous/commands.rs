//! What Systems Manager tells of a command that was sent: when it ran, and whether it began at all.

use std::collections::BTreeMap;
use std::time::Duration;

use freezeframe::aws::ssm::{Command, Polled};
use freezeframe::domain::ids::{CommandId, InstanceId};
use freezeframe::domain::job::OnFailure;
use freezeframe::domain::machine::CommandEnd;
use freezeframe::lab::FaultKind;
use freezeframe::lab::faults::Mishap;
use freezeframe::ops::inventory;

use super::support::{Bench, bench};

async fn send(bench: &Bench, instance: &InstanceId) -> CommandId {
    let parameters = BTreeMap::from([("commands".to_owned(), vec!["true".to_owned()])]);
    let command = Command {
        instance,
        document: "AWS-RunShellScript",
        hash: None,
        parameters: &parameters,
        comment: "a test",
        delivery_s: 30,
    };
    bench.ops.session.send_command(&command).await.unwrap()
}

async fn end(bench: &Bench, command: &CommandId, instance: &InstanceId) -> CommandEnd {
    loop {
        let polled = bench.ops.session.poll_command(command, instance).await;
        match polled.unwrap() {
            Polled::Ended(outcome) => return outcome.ended,
            Polled::Running(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_order_of_two_commands_is_told_by_when_they_ran() {
    let bench = bench().await;
    let there = bench.spec("linux-filesystem", 30, OnFailure::Skip).await;
    let mut ran = Vec::new();
    for _ in 0..2 {
        let command = send(&bench, &there.instance).await;
        assert_eq!(
            end(&bench, &command, &there.instance).await,
            CommandEnd::Success
        );
        let session = &bench.ops.session;
        ran.push(session.ran(&command, &there.instance).await.unwrap());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let [first, second] = ran[..] else { panic!() };
    assert!(first.began.unwrap() <= first.ended.unwrap(), "{first:?}");
    assert!(second.began_after(&first) && !first.began_after(&second));
    assert!(!first.began_after(&first), "its own end tells no order");
}

#[tokio::test(start_paused = true)]
async fn what_was_cancelled_before_it_began_is_told_from_what_was_cut_off() {
    let bench = bench().await;
    let there = bench
        .spec("linux-filesystem", 30, OnFailure::Skip)
        .await
        .instance;
    let instances = inventory::instances(&bench.ops).await.unwrap();
    let lost = instances
        .iter()
        .find(|i| i.state == "running" && i.agent.word() == "lost")
        .unwrap();
    let session = &bench.ops.session;

    let waiting = send(&bench, &lost.id).await;
    session.cancel_command(&waiting, &lost.id).await.unwrap();
    assert_eq!(
        end(&bench, &waiting, &lost.id).await,
        CommandEnd::Cancelled {
            may_have_run: false
        }
    );
    let never = session.ran(&waiting, &lost.id).await.unwrap();
    assert_eq!((never.began, never.ended), (None, None));

    let soon = Mishap::Cancelled(Duration::from_millis(10));
    bench.fault("*", 0, 1, FaultKind::Command(soon));
    let cut = send(&bench, &there).await;
    assert_eq!(
        end(&bench, &cut, &there).await,
        CommandEnd::Cancelled { may_have_run: true }
    );
    let began = session.ran(&cut, &there).await.unwrap();
    assert!(began.began.is_some());
    // Nothing can be said to have come after what never ended, or never was.
    assert!(!began.began_after(&never) && !never.began_after(&began));
}

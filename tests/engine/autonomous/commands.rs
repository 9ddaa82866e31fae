//! What Systems Manager tells of a command that was sent: when it ran, and whether it began at all.

use std::collections::BTreeMap;
use std::time::Duration;

use freezeframe::aws::ssm::{Command, Polled};
use freezeframe::domain::command::CommandEnd;
use freezeframe::domain::ids::{CommandId, InstanceId};
use freezeframe::domain::job::{Mode, OnFailure, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::domain::snapshot::Snapshot;
use freezeframe::domain::tags;
use freezeframe::lab::FaultKind;
use freezeframe::lab::faults::Mishap;
use freezeframe::ops::inventory;

use super::support::{Bench, bench, noon};

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
        .find(|i| i.state.as_str() == "running" && i.agent.word() == "lost")
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

/// Another tool restored a volume with the tags of the set that it came from. Whoever copies a volume's tags to its
/// snapshots copies these: a window's command, which reads no tags, overrules them, and the console leaves them off.
#[tokio::test(start_paused = true)]
async fn p11_the_tags_of_a_set_on_a_volume_lend_no_level_to_another() {
    const OLD: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";
    let lent = [
        (tags::JOB, OLD),
        (tags::LEVEL, "application"),
        (tags::SET_SIZE, "1"),
        (tags::FROZEN_MS, "200"),
    ];
    for readable in [true, false] {
        for mode in [None, Some(Mode::Coordinated), Some(Mode::Autonomous)] {
            let bench = bench().await;
            let mut spec = bench.spec("linux-filesystem", 30, OnFailure::Skip).await;
            {
                let mut world = bench.lab.world();
                let there = world.instances[spec.instance.as_str()].clone();
                for device in &there.block_devices {
                    let volume = world.volumes.get_mut(&device.volume).unwrap();
                    let tags = lent.map(|(key, value)| (key.to_owned(), value.to_owned()));
                    volume.tags.extend(tags);
                }
            }
            if !readable {
                let refused = FaultKind::Error {
                    code: "UnauthorizedOperation".to_owned(),
                    message: "not by this role".to_owned(),
                    status: 403,
                };
                bench.fault("DescribeVolumes", 0, u32::MAX, refused);
            }
            match mode {
                None => {
                    let parameters =
                        BTreeMap::from([("command".to_owned(), vec!["snapshot".to_owned()])]);
                    let command = Command {
                        instance: &spec.instance,
                        document: "freezeframe-linux-filesystem",
                        hash: None,
                        parameters: &parameters,
                        comment: "a maintenance window",
                        delivery_s: 30,
                    };
                    let sent = bench.ops.session.send_command(&command).await.unwrap();
                    assert_eq!(
                        end(&bench, &sent, &spec.instance).await,
                        CommandEnd::Success
                    );
                }
                Some(mode) => {
                    spec.mode = mode;
                    spec.asked_mode = None;
                    let view = bench.run(spec.clone()).await;
                    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{view:#?}");
                }
            }
            let (all, _) = bench.ops.session.snapshots().await.unwrap();
            let new = |s: &&Snapshot| {
                s.instance().as_ref() == Some(&spec.instance) && s.started >= noon()
            };
            let made: Vec<&Snapshot> = all.iter().filter(new).collect();
            assert!(made.len() > 1, "{mode:?}");
            for snapshot in made {
                let said = format!("{mode:?}, readable {readable}: {snapshot:?}");
                assert_ne!(snapshot.tags.get(tags::JOB), Some(OLD), "{said}");
                let frozen = bench.runtime.was_frozen(snapshot.id.as_str()).unwrap();
                let proven = mode.is_some() && frozen;
                assert_eq!(snapshot.was_frozen(), proven, "{said}");
                // Nobody has judged what a window took; and a bare word bears nothing out.
                for level in [snapshot.level(), snapshot.verified_level()] {
                    assert_eq!(level.is_some_and(Level::is_proven), proven, "{said}");
                }
                let mut claimed = snapshot.clone();
                claimed.tags.set(tags::LEVEL, "application");
                assert_eq!(claimed.unverified_claim().is_some(), !proven, "{said}");
            }
        }
    }
}

//! What can befall a command on its way, and a world that shows things late.

use super::*;
use crate::runtime_simulated::What;
use crate::test_support::{all, ec2};
use crate::{Fault, FaultKind, Mishap, Weather};

fn befall(lab: &Lab, command: &str, mishap: Mishap) {
    lab.faults().inject(Fault {
        action: command.into(),
        skip: 0,
        times: 1,
        kind: FaultKind::Command(mishap),
    });
}

async fn pre(lab: &Lab) -> String {
    let parameters =
        json!({"command": ["pre-script"], "executionId": [JOB], "budgetSeconds": ["20"]});
    send(lab, json!({"DocumentName": "freezeframe-linux-filesystem", "InstanceIds": [DB], "Parameters": parameters, "TimeoutSeconds": 30})).await
}

fn freezes(runtime: &SimulatedRuntime) -> usize {
    let history = runtime.history(DB);
    let freezes = history
        .iter()
        .filter(|h| matches!(h.what, What::Frozen { .. }));
    freezes.count()
}

#[tokio::test(start_paused = true)]
async fn a_late_command_still_runs_and_is_never_reported() {
    let (lab, runtime) = lab().await;
    befall(&lab, "pre-script", Mishap::Late(Duration::from_secs(60)));
    let id = pre(&lab).await;
    lab.clock().sleep(Duration::from_secs(50)).await;
    assert_eq!(freezes(&runtime), 0);
    lab.clock().sleep(Duration::from_secs(15)).await;
    assert_eq!(freezes(&runtime), 2, "it ran after its delivery timeout");
    let end = outcome(&lab, &id, DB).await;
    assert_eq!(end["StatusDetails"], "DeliveryTimedOut");
    assert_eq!(end["StandardOutputContent"], "");
    assert!(
        runtime.frozen_mounts(DB).is_empty(),
        "the failsafe was there"
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_that_comes_twice_freezes_once() {
    let (lab, runtime) = lab().await;
    befall(
        &lab,
        "pre-script",
        Mishap::Twice(Duration::from_millis(300)),
    );
    let id = pre(&lab).await;
    assert_eq!(outcome(&lab, &id, DB).await["Status"], "Success");
    lab.clock().sleep(Duration::from_secs(2)).await;
    assert_eq!(freezes(&runtime), 2, "two mounts, once each");
    assert_eq!(runtime.frozen_mounts(DB).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn kills_cancels_and_lost_agents_are_told_apart() {
    let (lab, runtime) = lab().await;
    let early = Duration::from_millis(200);
    for (mishap, detail) in [
        (Mishap::Killed(early), "Failed"),
        (Mishap::TimedOut(early), "ExecutionTimedOut"),
        (Mishap::Cancelled(early), "Cancelled"),
        (Mishap::AgentLost(Duration::from_secs(9)), "Success"),
    ] {
        befall(&lab, "pre-script", mishap);
        let begun = lab.clock().now();
        let id = pre(&lab).await;
        let end = outcome(&lab, &id, DB).await;
        assert_eq!(end["StatusDetails"], detail, "{mishap:?}");
        let took = lab.clock().now() - begun;
        assert_eq!(took.num_seconds() >= 9, detail == "Success");
        assert_eq!(runtime.frozen_mounts(DB).is_empty(), detail != "Success");
    }
}

#[tokio::test(start_paused = true)]
async fn output_can_arrive_in_part() {
    let (lab, _runtime) = lab().await;
    befall(&lab, "*", Mishap::Truncated(50));
    let id = pre(&lab).await;
    let end = outcome(&lab, &id, DB).await;
    assert_eq!(end["StandardOutputContent"].as_str().unwrap().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn new_things_are_seen_when_the_weather_shows_them() {
    let (lab, _runtime) = lab().await;
    let weather = Weather {
        snapshot_lag_ms: 5_000,
        tag_lag_ms: 3_000,
        command_lag_ms: 4_000,
        flicker_percent: 0,
    };
    lab.set_weather(weather);
    let (_, made) = ec2(&lab, "Action=CreateSnapshot&VolumeId=vol-00000000000000011").await;
    let id = all(&made, "snapshotId").remove(0);
    let ask = format!("Action=DescribeSnapshots&SnapshotId.1={id}");
    assert_eq!(
        all(&ec2(&lab, &ask).await.1, "Code"),
        ["InvalidSnapshot.NotFound"]
    );
    lab.clock().sleep(Duration::from_secs(6)).await;
    let tag = format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=a&Tag.1.Value=b");
    assert_eq!(ec2(&lab, &tag).await.0, 200);
    assert!(!ec2(&lab, &ask).await.1.contains("<key>a</key>"));
    assert_eq!(
        lab.world().snapshots[&id].tags["a"],
        "b",
        "it is written, only not shown"
    );
    lab.clock().sleep(Duration::from_secs(4)).await;
    assert!(ec2(&lab, &ask).await.1.contains("<key>a</key>"));
    let command = pre(&lab).await;
    lab.clock().sleep(Duration::from_secs(2)).await;
    let body = json!({"CommandId": command, "InstanceId": DB});
    let early = call(&lab, "GetCommandInvocation", body).await;
    assert_eq!(early.unwrap_err().code, "InvocationDoesNotExist");
    assert_eq!(outcome(&lab, &command, DB).await["Status"], "Success");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_older_than_it_looks() {
    let (lab, runtime) = lab().await;
    lab.faults().inject(Fault {
        action: "CreateSnapshot".into(),
        skip: 0,
        times: 1,
        kind: FaultKind::Slow(Duration::from_secs(12)),
    });
    let asked = lab.clock().now();
    let (status, _) = ec2(&lab, "Action=CreateSnapshot&VolumeId=vol-00000000000000011").await;
    assert_eq!(
        (status, (lab.clock().now() - asked).num_seconds()),
        (200, 12)
    );
    let call = lab.calls().pop().unwrap();
    assert_eq!((call.ended - call.at).num_seconds(), 12);
    let start = lab.world().snapshots.values().map(|s| s.start).max();
    assert_eq!(start, Some(asked), "taken at once, told late");
    drop(runtime);
}

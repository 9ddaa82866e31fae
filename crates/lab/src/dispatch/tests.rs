//! What happens before and around a service: scope, session, rights, rate, faults.

use std::time::Duration;

use super::MARK;
use crate::test_support::{all, base, ec2, lab, refused, request, send};
use crate::{Fault, FaultKind, TransportFault};

#[tokio::test(start_paused = true)]
async fn the_scope_decides_region_and_rights() {
    let (lab, _) = lab(false).await;
    let elsewhere = send(
        &lab,
        request("AKIALAB", "us-east-1", "ec2", "Action=DescribeInstances"),
    )
    .await
    .unwrap();
    assert_eq!(
        (elsewhere.0, all(&elsewhere.1, "instanceId").len()),
        (200, 0)
    );
    let nowhere = send(
        &lab,
        request("AKIALAB", "mars-north-1", "ec2", "Action=DescribeInstances"),
    )
    .await
    .unwrap();
    assert_eq!(all(&nowhere.1, "Code"), ["AuthFailure"]);
    let unsigned = http::Request::post("/")
        .body(bytes::Bytes::from("Action=DescribeInstances"))
        .unwrap();
    assert_eq!(send(&lab, unsigned).await.unwrap().0, 403);
    let looking = send(
        &lab,
        request(
            "AKIAREADONLY",
            "eu-central-1",
            "ec2",
            "Action=DescribeVolumes",
        ),
    )
    .await
    .unwrap();
    assert_eq!(looking.0, 200);
    let form = "Action=CreateSnapshot&VolumeId=vol-00000000000000002&DryRun=true";
    let touching = send(&lab, request("AKIAREADONLY", "eu-central-1", "ec2", form))
        .await
        .unwrap();
    assert_eq!(
        (touching.0, all(&touching.1, "Code")),
        (403, vec!["UnauthorizedOperation".to_owned()])
    );
    for (service, form, code) in [
        ("ec2", "Action=DescribeInstances", "RequestExpired"),
        ("sts", "Action=GetCallerIdentity", "ExpiredToken"),
    ] {
        let expired = send(&lab, request("AKIAEXPIRED", "eu-central-1", service, form))
            .await
            .unwrap();
        assert_eq!(all(&expired.1, "Code"), [code]);
    }
    let me = send(
        &lab,
        request("AKIALAB", "eu-central-1", "sts", "Action=GetCallerIdentity"),
    )
    .await
    .unwrap();
    assert_eq!(
        all(&me.1, "Arn"),
        ["arn:aws:sts::123456789012:assumed-role/BackupOperator/you"]
    );
}

#[tokio::test(start_paused = true)]
async fn faults_come_before_after_or_instead() {
    let (lab, runtime) = lab(false).await;
    let form = "Action=CreateSnapshot&VolumeId=vol-00000000000000002";
    let ask = || request("AKIALAB", "eu-central-1", "ec2", form);
    let order = |kind| {
        lab.faults().inject(Fault {
            action: "CreateSnapshot".into(),
            skip: 0,
            times: 1,
            kind,
        })
    };
    order(FaultKind::Reset);
    assert_eq!(send(&lab, ask()).await, Err(TransportFault::Reset));
    order(FaultKind::Error {
        code: "Unavailable".into(),
        message: "later".into(),
        status: 503,
    });
    assert_eq!(refused(&lab, form).await, "Unavailable");
    assert!(!runtime.log.lock().contains(&"snapshot 1".to_owned()));
    order(FaultKind::LoseResponse);
    assert_eq!(send(&lab, ask()).await, Err(TransportFault::LostResponse));
    assert_eq!(lab.world().snapshots.len(), 1, "handled all the same");
    order(FaultKind::Delay(Duration::from_secs(30)));
    assert_eq!(send(&lab, ask()).await.unwrap().0, 200);
    assert_eq!((lab.clock().now() - base()).num_seconds(), 30);
    let seen: Vec<(String, bool)> = lab
        .calls()
        .into_iter()
        .map(|call| (call.outcome, call.mutating))
        .collect();
    let outcomes = ["(reset)", "Unavailable", "(lost response)", "OK"];
    assert_eq!(seen, outcomes.map(|outcome| (outcome.to_owned(), true)));
}

#[tokio::test(start_paused = true)]
async fn an_empty_bucket_sends_callers_away_until_it_refills() {
    let (lab, _) = lab(true).await;
    for _ in 0..50 {
        assert_eq!(ec2(&lab, "Action=DescribeVolumes").await.0, 200);
    }
    let (status, body) = ec2(&lab, "Action=DescribeVolumes").await;
    assert_eq!(
        (status, all(&body, "Code")),
        (503, vec!["RequestLimitExceeded".to_owned()])
    );
    lab.clock().sleep(Duration::from_secs(1)).await;
    assert_eq!(ec2(&lab, "Action=DescribeVolumes").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn the_lab_says_what_it_is() {
    let (lab, _) = lab(false).await;
    let (status, body) = send(
        &lab,
        http::Request::get("/_lab")
            .body(bytes::Bytes::new())
            .unwrap(),
    )
    .await
    .unwrap();
    let said: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, said["runtime"].as_str(), said["region"].as_str()),
        (200, Some("memory"), Some("eu-central-1"))
    );
}

#[tokio::test(start_paused = true)]
async fn every_answer_says_that_it_is_a_labs() {
    let (lab, _) = lab(false).await;
    for (key, service, action) in [
        ("AKIALAB", "sts", "Action=GetCallerIdentity"),
        ("AKIALAB", "ec2", "Action=DescribeVolumes"),
        ("AKIALAB", "ec2", "Action=NoSuchThing"),
        ("AKIAEXPIRED", "ec2", "Action=DescribeVolumes"),
    ] {
        let asked = request(key, "eu-central-1", service, action);
        let answer = lab.handle(asked).await.unwrap();
        assert_eq!(answer.headers()[MARK], "memory", "{key} {action}");
    }
}

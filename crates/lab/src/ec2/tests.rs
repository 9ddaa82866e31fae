//! EC2's answers through `Lab::handle`.

use crate::test_support::{all, ec2, lab, refused, wait};

const DB: &str = "i-0000000000000000a";
const WEB: &str = "i-0000000000000000b";
const ROOT: &str = "vol-00000000000000001";
const DATA: &str = "vol-00000000000000002";
const LOOSE: &str = "vol-00000000000000004";

#[tokio::test(start_paused = true)]
async fn describe_instances_filters_escapes_and_refuses() {
    let (lab, runtime) = lab(false).await;
    assert!(runtime.log.lock().contains(&format!("boot {DB} 2")));
    let (status, body) = ec2(
        &lab,
        "Action=DescribeInstances&Filter.1.Name=tag:Env&Filter.1.Value.1=pr*",
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(all(&body, "instanceId"), [DB]);
    assert!(body.contains("<value>db &lt;1&gt;</value>"), "{body}");
    assert_eq!(
        refused(
            &lab,
            "Action=DescribeInstances&Filter.1.Name=colour&Filter.1.Value.1=x"
        )
        .await,
        "InvalidParameterValue"
    );
    assert_eq!(
        refused(
            &lab,
            &format!("Action=DescribeInstances&InstanceId.1={DB}&MaxResults=5")
        )
        .await,
        "InvalidParameterCombination"
    );
    assert_eq!(
        refused(&lab, "Action=DescribeInstances&InstanceId.1=i-123").await,
        "InvalidInstanceID.Malformed"
    );
    assert_eq!(
        refused(&lab, "Action=DescribeInstances&InstanceId.1=i-12345678").await,
        "InvalidInstanceID.NotFound"
    );
    assert_eq!(
        refused(&lab, "Action=LaunchMissiles").await,
        "InvalidAction"
    );
}

#[tokio::test(start_paused = true)]
async fn a_set_shares_its_start_copies_tags_and_completes_on_the_clock() {
    let (lab, runtime) = lab(false).await;
    let form = format!(
        "Action=CreateSnapshots&InstanceSpecification.InstanceId={DB}&CopyTagsFromSource=volume&TagSpecification.1.ResourceType=snapshot&TagSpecification.1.Tag.1.Key=freezeframe:level&TagSpecification.1.Tag.1.Value=pending"
    );
    let dry = format!("{form}&DryRun=true");
    let (status, body) = ec2(&lab, &dry).await;
    assert_eq!(
        (status, all(&body, "Code")),
        (412, vec!["DryRunOperation".to_owned()])
    );
    assert!(
        !runtime
            .log
            .lock()
            .iter()
            .any(|line| line.starts_with("snapshot"))
    );

    let (status, body) = ec2(&lab, &form).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(all(&body, "volumeId"), [ROOT, DATA]);
    let starts = all(&body, "startTime");
    assert_eq!(starts[0], starts[1]);
    assert!(
        body.contains("<key>Content</key><value>datadir</value>")
            && body.contains("<key>freezeframe:level</key>"),
        "{body}"
    );
    assert_eq!(all(&body, "state"), ["pending", "pending"]);
    assert!(runtime.log.lock().contains(&"snapshot 2".to_owned()));
    assert_eq!(
        refused(&lab, &form).await,
        "SnapshotCreationPerVolumeRateExceeded"
    );

    let ask = format!(
        "Action=DescribeSnapshots&Owner.1=self&Filter.1.Name=volume-id&Filter.1.Value.1={DATA}"
    );
    wait(&lab, 3).await;
    let (_, body) = ec2(&lab, &ask).await;
    let progress: u32 = all(&body, "progress")[0]
        .trim_end_matches('%')
        .parse()
        .unwrap();
    assert!(progress > 0 && progress < 100, "{progress}");
    wait(&lab, 60).await;
    let (_, body) = ec2(&lab, &ask).await;
    assert_eq!(
        (all(&body, "status"), all(&body, "progress")),
        (vec!["completed".to_owned()], vec!["100%".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn excludes_leave_out_and_a_sixth_open_snapshot_is_refused() {
    let (lab, _) = lab(false).await;
    let base = format!("Action=CreateSnapshots&InstanceSpecification.InstanceId={DB}");
    let (_, body) = ec2(
        &lab,
        &format!("{base}&InstanceSpecification.ExcludeBootVolume=true"),
    )
    .await;
    assert_eq!(all(&body, "volumeId"), [DATA]);
    let root_named = format!("{base}&InstanceSpecification.ExcludeDataVolumeId.1={ROOT}");
    assert_eq!(refused(&lab, &root_named).await, "InvalidParameterValue");
    let nothing = format!(
        "{base}&InstanceSpecification.ExcludeBootVolume=true&InstanceSpecification.ExcludeDataVolumeId.1={DATA}"
    );
    assert_eq!(refused(&lab, &nothing).await, "InvalidParameterValue");
    {
        let mut world = lab.world();
        let volume = world.volumes[ROOT].clone();
        for n in 0..5 {
            let mut snapshot = world.snapshots.values().next().unwrap().clone();
            (snapshot.id, snapshot.volume) = (format!("snap-1000000{n}"), volume.id.clone());
            world.snapshots.insert(snapshot.id.clone(), snapshot);
        }
    }
    assert_eq!(
        refused(&lab, &format!("Action=CreateSnapshot&VolumeId={ROOT}")).await,
        "ConcurrentSnapshotLimitExceeded"
    );
}

#[tokio::test(start_paused = true)]
async fn deleting_meets_every_obstacle() {
    let (lab, _) = lab(false).await;
    let (_, body) = ec2(&lab, &format!("Action=CreateSnapshot&VolumeId={DATA}")).await;
    let id = all(&body, "snapshotId").remove(0);
    let delete = format!("Action=DeleteSnapshot&SnapshotId={id}");
    // Pending: accepted, gone when complete.
    assert_eq!(ec2(&lab, &delete).await.0, 200);
    assert!(lab.world().snapshots.contains_key(&id));
    wait(&lab, 60).await;
    assert_eq!(refused(&lab, &delete).await, "InvalidSnapshot.NotFound");

    let (_, body) = ec2(&lab, &format!("Action=CreateSnapshot&VolumeId={DATA}")).await;
    let id = all(&body, "snapshotId").remove(0);
    wait(&lab, 60).await;
    let delete = format!("Action=DeleteSnapshot&SnapshotId={id}");
    let change = |change: &dyn Fn(&mut crate::world::Snapshot)| {
        change(lab.world().snapshots.get_mut(&id).unwrap())
    };
    change(&|s| s.fast_restore.push("eu-central-1a".into()));
    assert_eq!(refused(&lab, &delete).await, "InvalidSnapshot.InUse");
    change(&|s| s.fast_restore.clear());
    change(&|s| {
        drop(
            s.tags
                .insert("aws:backup:source-resource".into(), "arn".into()),
        )
    });
    assert_eq!(refused(&lab, &delete).await, "InvalidParameterValue");
    change(&|s| s.tags.clear());
    change(&|s| {
        s.lock = Some(crate::world::Lock {
            mode: "compliance".into(),
            created: s.start,
            days: 1,
        })
    });
    assert_eq!(refused(&lab, &delete).await, "OperationNotPermitted");
    change(&|s| s.lock = None);
    change(&|s| s.owner = "999999999999".into());
    assert_eq!(refused(&lab, &delete).await, "InvalidSnapshot.NotFound");
    change(&|s| s.owner = "123456789012".into());
    assert_eq!(ec2(&lab, &delete).await.0, 200);
    assert_eq!(
        refused(&lab, "Action=DeleteSnapshot&SnapshotId=vol-12345678").await,
        "InvalidSnapshotID.Malformed"
    );
}

#[tokio::test(start_paused = true)]
async fn create_volume_keeps_its_token_and_its_rules() {
    let (lab, runtime) = lab(false).await;
    let form =
        "Action=CreateVolume&AvailabilityZone=eu-central-1a&Size=10&VolumeType=gp3&ClientToken=t1";
    let (_, first) = ec2(&lab, form).await;
    let (_, again) = ec2(&lab, form).await;
    assert_eq!(all(&first, "volumeId"), all(&again, "volumeId"));
    assert_eq!(
        runtime
            .log
            .lock()
            .iter()
            .filter(|line| **line == format!("create {}", all(&first, "volumeId")[0]))
            .count(),
        1
    );
    assert_eq!(
        refused(&lab, &form.replace("Size=10", "Size=11")).await,
        "IdempotentParameterMismatch"
    );
    for (query, code) in [
        (
            "AvailabilityZone=eu-central-1z&Size=1",
            "InvalidZone.NotFound",
        ),
        ("Size=1", "MissingParameter"),
        ("AvailabilityZone=eu-central-1a", "MissingParameter"),
        (
            "AvailabilityZone=eu-central-1a&Size=1&VolumeType=gp9",
            "UnknownVolumeType",
        ),
        (
            "AvailabilityZone=eu-central-1a&Size=10&VolumeType=io2",
            "MissingParameter",
        ),
        (
            "AvailabilityZone=eu-central-1a&Size=10&VolumeType=io1&Iops=600",
            "InvalidParameterCombination",
        ),
        (
            "AvailabilityZone=eu-central-1a&Size=10&VolumeType=gp2&Iops=300",
            "InvalidParameterCombination",
        ),
        (
            "AvailabilityZone=eu-central-1a&Size=100&VolumeType=st1",
            "InvalidParameterValue",
        ),
        (
            "AvailabilityZone=eu-central-1a&Size=10&VolumeType=gp3&Throughput=1500",
            "InvalidParameterCombination",
        ),
        (
            "AvailabilityZone=eu-central-1a&SnapshotId=snap-12345678",
            "InvalidSnapshot.NotFound",
        ),
    ] {
        assert_eq!(
            refused(&lab, &format!("Action=CreateVolume&{query}")).await,
            code,
            "{query}"
        );
    }
    let (_, body) = ec2(&lab, &format!("Action=CreateSnapshot&VolumeId={DATA}")).await;
    let from = format!(
        "Action=CreateVolume&AvailabilityZone=eu-central-1a&SnapshotId={}",
        all(&body, "snapshotId")[0]
    );
    assert_eq!(refused(&lab, &from).await, "IncorrectState");
    wait(&lab, 60).await;
    assert_eq!(
        refused(&lab, &format!("{from}&Size=19")).await,
        "InvalidParameterValue"
    );
    let (_, body) = ec2(&lab, &from).await;
    assert_eq!(
        (all(&body, "size"), all(&body, "status")),
        (vec!["20".to_owned()], vec!["creating".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn attach_and_detach_walk_through_their_states() {
    let (lab, runtime) = lab(false).await;
    let attach = |instance: &str, volume: &str, device: &str| {
        format!("Action=AttachVolume&InstanceId={instance}&VolumeId={volume}&Device={device}")
    };
    assert_eq!(
        refused(&lab, &attach(WEB, LOOSE, "/dev/sdg")).await,
        "InvalidVolume.ZoneMismatch"
    );
    assert_eq!(
        refused(&lab, &attach(DB, LOOSE, "/dev/sdf")).await,
        "InvalidParameterValue"
    );
    assert_eq!(
        refused(&lab, &attach(DB, LOOSE, "/dev/sdk1")).await,
        "InvalidParameterValue"
    );
    assert_eq!(
        refused(&lab, &attach(DB, DATA, "/dev/sdg")).await,
        "VolumeInUse"
    );
    let (_, body) = ec2(&lab, &attach(DB, LOOSE, "/dev/sdg")).await;
    assert_eq!(all(&body, "status"), ["attaching"]);
    let ask = format!("Action=DescribeVolumes&VolumeId.1={LOOSE}");
    wait(&lab, 5).await;
    assert_eq!(
        all(&ec2(&lab, &ask).await.1, "status"),
        ["in-use", "attached"]
    );
    assert_eq!(
        refused(&lab, &format!("Action=DeleteVolume&VolumeId={LOOSE}")).await,
        "VolumeInUse"
    );

    runtime.mounted.lock().insert(LOOSE.to_owned());
    let detach = format!("Action=DetachVolume&VolumeId={LOOSE}");
    assert_eq!(all(&ec2(&lab, &detach).await.1, "status"), ["busy"]);
    wait(&lab, 60).await;
    assert_eq!(all(&ec2(&lab, &ask).await.1, "status"), ["in-use", "busy"]);
    runtime.mounted.lock().clear();
    assert_eq!(all(&ec2(&lab, &detach).await.1, "status"), ["detaching"]);
    wait(&lab, 5).await;
    assert_eq!(all(&ec2(&lab, &ask).await.1, "status"), ["available"]);
    assert_eq!(refused(&lab, &detach).await, "IncorrectState");
    assert_eq!(
        refused(&lab, &format!("Action=DetachVolume&VolumeId={ROOT}")).await,
        "IncorrectState"
    );
    assert_eq!(
        ec2(&lab, &format!("Action=DeleteVolume&VolumeId={LOOSE}"))
            .await
            .0,
        200
    );
    wait(&lab, 5).await;
    assert_eq!(refused(&lab, &ask).await, "InvalidVolume.NotFound");
}

#[tokio::test(start_paused = true)]
async fn tags_have_their_limits() {
    let (lab, _) = lab(false).await;
    let tag =
        |key: &str| format!("Action=CreateTags&ResourceId.1={DATA}&Tag.1.Key={key}&Tag.1.Value=v");
    assert_eq!(refused(&lab, &tag("aws:x")).await, "InvalidParameterValue");
    assert_eq!(
        refused(&lab, &tag("bell%07")).await,
        "InvalidParameterValue"
    );
    assert_eq!(
        refused(
            &lab,
            &format!(
                "Action=CreateTags&ResourceId.1={DATA}&ResourceId.2=snap-12345678&Tag.1.Key=k"
            )
        )
        .await,
        "InvalidSnapshot.NotFound"
    );
    assert!(
        !lab.world().volumes[DATA].tags.contains_key("k"),
        "all or none"
    );
    let many: String = (1..=49)
        .map(|n| format!("&Tag.{n}.Key=k{n}&Tag.{n}.Value=v"))
        .collect();
    assert_eq!(
        refused(
            &lab,
            &format!("Action=CreateTags&ResourceId.1={DATA}{many}")
        )
        .await,
        "TagLimitExceeded"
    );
    assert_eq!(ec2(&lab, &tag("%C3%BCber")).await.0, 200);
    let (_, body) = ec2(
        &lab,
        "Action=DescribeTags&Filter.1.Name=key&Filter.1.Value.1=%C3%BC*",
    )
    .await;
    assert_eq!(all(&body, "resourceId"), [DATA]);
    assert_eq!(
        ec2(
            &lab,
            &format!("Action=DeleteTags&ResourceId.1={DATA}&Tag.1.Key=%C3%BCber&Tag.1.Value=other")
        )
        .await
        .0,
        200
    );
    assert!(lab.world().volumes[DATA].tags.contains_key("über"));
    assert_eq!(
        ec2(
            &lab,
            &format!("Action=DeleteTags&ResourceId.1={DATA}&Tag.1.Key=%C3%BCber")
        )
        .await
        .0,
        200
    );
    assert!(!lab.world().volumes[DATA].tags.contains_key("über"));
}

#[tokio::test(start_paused = true)]
async fn stopping_and_starting_take_their_time() {
    let (lab, _) = lab(false).await;
    let (_, body) = ec2(&lab, &format!("Action=StopInstances&InstanceId.1={DB}")).await;
    assert_eq!(all(&body, "name"), ["stopping", "running"]);
    assert_eq!(
        refused(&lab, &format!("Action=StartInstances&InstanceId.1={DB}")).await,
        "IncorrectInstanceState"
    );
    wait(&lab, 20).await;
    let (_, body) = ec2(&lab, "Action=DescribeInstanceStatus").await;
    assert_eq!(all(&body, "instanceId"), [WEB]);
    assert_eq!(
        ec2(&lab, &format!("Action=DetachVolume&VolumeId={ROOT}"))
            .await
            .0,
        200
    );
    wait(&lab, 5).await;
    assert_eq!(
        refused(&lab, &format!("Action=StartInstances&InstanceId.1={DB}")).await,
        "IncorrectInstanceState"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stopped_instance_lets_go_of_what_it_had_mounted() {
    let (lab, runtime) = lab(false).await;
    runtime.mounted.lock().insert(DATA.to_owned());
    let detach = format!("Action=DetachVolume&VolumeId={DATA}");
    assert_eq!(all(&ec2(&lab, &detach).await.1, "status"), ["busy"]);
    let stop = format!("Action=StopInstances&InstanceId.1={DB}");
    assert_eq!(ec2(&lab, &stop).await.0, 200);
    wait(&lab, 20).await;
    let ask = format!("Action=DescribeVolumes&VolumeId.1={DATA}");
    assert_eq!(all(&ec2(&lab, &ask).await.1, "status"), ["available"]);
    let delete = format!("Action=DeleteVolume&VolumeId={DATA}");
    assert_eq!(ec2(&lab, &delete).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_detached_from_a_stopped_instance_though_it_was_mounted() {
    let (lab, runtime) = lab(false).await;
    runtime.mounted.lock().insert(DATA.to_owned());
    let stop = format!("Action=StopInstances&InstanceId.1={DB}");
    assert_eq!(ec2(&lab, &stop).await.0, 200);
    wait(&lab, 20).await;
    let detach = format!("Action=DetachVolume&VolumeId={DATA}");
    assert_eq!(all(&ec2(&lab, &detach).await.1, "status"), ["detaching"]);
    wait(&lab, 5).await;
    let ask = format!("Action=DescribeVolumes&VolumeId.1={DATA}");
    assert_eq!(all(&ec2(&lab, &ask).await.1, "status"), ["available"]);
}

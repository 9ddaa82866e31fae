use chrono::{DateTime, Utc};

use super::*;
use crate::ids::{AccountId, InstanceId, Region, Scope, VolumeId};
use crate::instance::BlockDevice;
use crate::level::Origin;
use crate::tags;
use crate::volume::Volume;

const ID: &str = "7b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";
const JOB: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";

fn scope() -> Scope {
    Scope {
        account: AccountId::from_api("123456789012"),
        region: Region::from_api("eu-central-1"),
    }
}

fn snapshot(id: &str, volume: &str, device: &str, level: &str) -> Snapshot {
    Snapshot {
        scope: scope(),
        id: SnapshotId::from_api(id),
        volume: VolumeId::from_api(volume),
        state: "completed".into(),
        progress: Some(100),
        started: DateTime::<Utc>::UNIX_EPOCH,
        completed: None,
        volume_gib: 100,
        full_bytes: None,
        encrypted: false,
        tier: "standard".into(),
        description: String::new(),
        origin: Origin::Freezeframe,
        tags: [
            (tags::JOB, JOB),
            (tags::LEVEL, level),
            (tags::INSTANCE, "i-01234567"),
            (tags::DEVICE, device),
            (tags::SET_SIZE, "3"),
            (tags::FROZEN_MS, "12"),
            (tags::SNAPSHOT, id),
            ("Name", "it's $(id)"),
            ("aws:x", "never"),
        ]
        .into_iter()
        .collect(),
    }
}

fn inventory() -> Inventory {
    let device = |device: &str, volume: &str| BlockDevice {
        device: device.into(),
        volume: VolumeId::from_api(volume),
        delete_on_termination: false,
    };
    let instance = Instance {
        scope: scope(),
        id: InstanceId::from_api("i-01234567"),
        state: "running".into(),
        platform: Platform::Linux,
        platform_details: "Linux/UNIX".into(),
        instance_type: "m7g.large".into(),
        zone: "eu-central-1b".into(),
        root_device: "/dev/xvda".into(),
        devices: vec![
            device("/dev/xvda", "vol-00000000"),
            device("/dev/xvdf", "vol-11111111"),
        ],
        launched: None,
        tags: [("Name", "orders")].into_iter().collect(),
        agent: Agent::Online {
            version: "3".into(),
            last_ping: None,
        },
    };
    let volume = Volume {
        scope: scope(),
        id: VolumeId::from_api("vol-11111111"),
        state: "in-use".into(),
        size_gib: 100,
        volume_type: "io2".into(),
        iops: Some(4_000),
        throughput: None,
        encrypted: false,
        kms_key: None,
        zone: "eu-central-1b".into(),
        from_snapshot: None,
        created: None,
        attachments: Vec::new(),
        tags: tags::Tags::default(),
    };
    Inventory {
        scope: scope(),
        taken_at: DateTime::<Utc>::UNIX_EPOCH,
        instances: vec![instance],
        volumes: vec![volume],
        snapshots: vec![
            snapshot("snap-00000000", "vol-00000000", "/dev/xvda", "crash"),
            snapshot("snap-11111111", "vol-11111111", "/dev/xvdf", "application"),
            snapshot("snap-22222222", "vol-22222222", "/dev/xvdg", "application"),
        ],
        images: Vec::new(),
    }
}

fn request() -> RestoreRequest {
    RestoreRequest {
        mount_under: Some("/restore/".into()),
        ..RestoreRequest::new(JOB.parse().unwrap(), "i-01234567".parse().unwrap())
    }
}

#[test]
fn every_member_but_the_root_comes_back_beside_the_data() {
    let plan = plan(&request(), &inventory(), ID).unwrap();
    let [first, second] = plan.items.as_slice() else {
        panic!("{:?}", plan.items)
    };
    // The live volume's type and IOPS; gp3 for the volume that is gone. /dev/sdf would overlap with xvdf.
    assert_eq!(
        (
            first.volume_type.as_str(),
            first.iops,
            first.device.as_str()
        ),
        ("io2", Some(4_000), "/dev/sdg")
    );
    assert_eq!(
        (
            second.volume_type.as_str(),
            second.iops,
            second.device.as_str()
        ),
        ("gp3", None, "/dev/sdh")
    );
    assert_eq!(first.mount.as_deref(), Some("/restore/sdg"));
    assert_eq!(first.zone, "eu-central-1b");
    assert_eq!(first.client_token, format!("ff-{ID}-11111111"));
    let keys: Vec<&str> = first.tags.iter().map(|(k, _)| k).collect();
    let ours = [
        "Name",
        tags::EXCLUDE,
        tags::RESTORE,
        tags::RESTORED_FROM,
        tags::SOURCES,
    ];
    assert_eq!(keys, ours);
    assert_eq!(
        first.tags.name(),
        Some("it's $(id), restored 1970-01-01 00:00Z")
    );
    let operations: Vec<&str> = plan.calls.iter().map(|c| c.operation.as_str()).collect();
    assert_eq!(
        operations,
        ["CreateVolume", "AttachVolume", "SendCommand"].repeat(2)
    );
    assert_eq!(plan.warnings.len(), 2, "{:?}", plan.warnings);
}

/// Each member that meets its own filesystems at the target is warned of, the root volume or not: the source, a copy
/// that an earlier restore attached there, a volume that was itself made from the same data.
#[test]
fn duplicate_filesystems_at_the_target_are_warned_of_for_every_member() {
    let warned = |i: &Inventory, target: &str| {
        let request = RestoreRequest {
            target: target.parse().unwrap(),
            mount_under: None,
            ..request()
        };
        let plan = plan(&request, i, ID).unwrap();
        let twins: Vec<Vec<String>> = plan
            .items
            .iter()
            .map(|i| {
                i.same_filesystems
                    .iter()
                    .map(|t| t.volume.to_string())
                    .collect()
            })
            .collect();
        (plan.warnings.join("\n"), twins)
    };
    let (words, twins) = warned(&inventory(), "i-01234567");
    assert_eq!(twins, [vec!["vol-11111111".to_owned()], vec![]]);
    // One warning, however many copies meet their own.
    assert_eq!(words.matches("nouuid").count(), 1, "{words}");
    for part in [
        "snap-11111111",
        "vol-11111111",
        "/dev/xvdf",
        "orders",
        "i-01234567",
        "UUID",
        "nouuid",
        "LVM",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(!words.contains("boot"), "{words}");
    // To another instance: none, until it has a copy of its own, or one of that copy.
    let mut two = inventory();
    let mut other = two.instances[0].clone();
    other.id = InstanceId::from_api("i-07654321");
    other.devices = Vec::new();
    two.instances.push(other);
    assert!(warned(&two, "i-07654321").1.iter().all(Vec::is_empty));
    let mut copy = two.volumes[0].clone();
    copy.id = VolumeId::from_api("vol-44444444");
    copy.from_snapshot = Some(SnapshotId::from_api("snap-22222222"));
    two.instances[1].devices.push(BlockDevice {
        device: "/dev/sdf".into(),
        volume: copy.id.clone(),
        delete_on_termination: false,
    });
    two.volumes.push(copy.clone());
    assert_eq!(
        warned(&two, "i-07654321").1,
        [vec![], vec!["vol-44444444".to_owned()]]
    );
    // The copy's own snapshot, restored beside the original.
    two.instances[0].devices[1].volume = VolumeId::from_api("vol-22222222");
    two.snapshots[1].volume = copy.id;
    assert_eq!(warned(&two, "i-01234567").1[0], ["vol-22222222"]);
    // A copied snapshot's volume is a number that means nothing.
    two.snapshots[1].volume = VolumeId::from_api("vol-ffffffff");
    two.instances[0].devices[1].volume = VolumeId::from_api("vol-ffffffff");
    assert!(warned(&two, "i-01234567").1[0].is_empty());
}

/// The snapshot that a copy was made from is deleted one day, and its volume too: the copy is known all the same, and so
/// is a copy of that copy.
#[test]
fn a_copy_is_known_when_its_snapshot_is_deleted() {
    let mut later = inventory();
    let attach = |later: &mut Inventory, id: &str, snapshot: &str| {
        let request = RestoreRequest {
            mount_under: None,
            ..request()
        };
        let made = plan(&request, later, ID).unwrap();
        let made = made
            .items
            .into_iter()
            .find(|i| i.snapshot.as_str() == snapshot);
        let made = made.unwrap();
        let mut copy = later.volumes[0].clone();
        copy.id = VolumeId::from_api(id);
        copy.from_snapshot = Some(made.snapshot.clone());
        copy.tags = made.tags.clone();
        later.volumes.push(copy.clone());
        copy.id
    };
    let copy = attach(&mut later, "vol-44444444", "snap-11111111");
    let target = &mut later.instances[0];
    let device = target
        .devices
        .iter_mut()
        .find(|d| d.volume.as_str() == "vol-11111111");
    device.unwrap().volume = copy.clone();
    later.volumes.retain(|v| v.id.as_str() != "vol-11111111");
    // Another snapshot of the same source.
    for snapshot in &mut later.snapshots {
        if snapshot.id.as_str() == "snap-11111111" {
            snapshot.id = SnapshotId::from_api("snap-55555555");
            snapshot.tags.set(tags::SNAPSHOT, "snap-55555555");
        }
    }
    let twins = |later: &Inventory, snapshot: &str| -> Vec<String> {
        let request = RestoreRequest {
            target: "i-01234567".parse().unwrap(),
            mount_under: None,
            ..request()
        };
        let plan = plan(&request, later, ID).unwrap();
        let item = plan.items.iter().find(|i| i.snapshot.as_str() == snapshot);
        let twins = item.unwrap().same_filesystems.iter();
        twins.map(|t| t.volume.to_string()).collect()
    };
    assert_eq!(twins(&later, "snap-55555555"), ["vol-44444444"]);
    // A copy of the copy, whose own source is gone as well.
    for snapshot in &mut later.snapshots {
        if snapshot.id.as_str() == "snap-55555555" {
            snapshot.volume = copy.clone();
        }
    }
    let second = attach(&mut later, "vol-66666666", "snap-55555555");
    let tags = &later.volumes.last().unwrap().tags;
    assert_eq!(tags.get(tags::SOURCES), Some("vol-44444444 vol-11111111"));
    later.volumes.retain(|v| v.id != copy);
    for device in &mut later.instances[0].devices {
        if device.volume == copy {
            device.volume = second.clone();
        }
    }
    for snapshot in &mut later.snapshots {
        if snapshot.id.as_str() == "snap-55555555" {
            snapshot.id = SnapshotId::from_api("snap-77777777");
            snapshot.tags.set(tags::SNAPSHOT, "snap-77777777");
            snapshot.volume = VolumeId::from_api("vol-11111111");
        }
    }
    assert_eq!(twins(&later, "snap-77777777"), ["vol-66666666"]);
}

#[test]
fn a_copy_gets_no_tag_that_could_steer_a_policy_unless_asked_for() {
    let mut tagged = inventory();
    for (key, value) in [
        ("Backup", "daily"),
        ("Team", "blue"),
        ("dlm:managed", "true"),
        ("freezeframe:pin", "x"),
    ] {
        tagged.snapshots[1].tags.set(key, value);
    }
    let keys = |request: &RestoreRequest| {
        let plan = plan(request, &tagged, ID).unwrap();
        let keys: Vec<String> = plan.items[0]
            .tags
            .iter()
            .map(|(k, _)| k.to_owned())
            .collect();
        (
            keys,
            plan.items[0].tags_left_off.clone(),
            plan.notes.join("\n"),
        )
    };
    let (own, left, said) = keys(&request());
    assert_eq!(
        own,
        [
            "Name",
            tags::EXCLUDE,
            tags::RESTORE,
            tags::RESTORED_FROM,
            tags::SOURCES
        ]
    );
    assert_eq!(left, ["Backup", "Team", "dlm:managed"]);
    assert!(
        said.contains("Backup, Team")
            && said.contains("--copy-tag")
            && said.contains(tags::EXCLUDE),
        "{said}"
    );
    let one = RestoreRequest {
        copy_tags: vec!["Team".into()],
        ..request()
    };
    assert!(
        keys(&one).0.contains(&"Team".to_owned()) && !keys(&one).0.contains(&"Backup".to_owned())
    );
    let all = RestoreRequest {
        copy_all_tags: true,
        in_sets: true,
        ..request()
    };
    let (own, left, said) = keys(&all);
    assert_eq!(
        own,
        [
            "Backup",
            "Name",
            "Team",
            tags::RESTORE,
            tags::RESTORED_FROM,
            tags::SOURCES
        ]
    );
    assert_eq!(left, ["dlm:managed"], "it speaks of the snapshot");
    assert!(said.contains("enter later sets"), "{said}");
}

#[test]
fn the_name_of_a_copy_says_what_it_is_once_and_fits() {
    let mut named = inventory();
    let mut name = |name: &str| {
        named.snapshots[1].tags.set("Name", name);
        plan(&request(), &named, ID).unwrap().items[0]
            .tags
            .name()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        name("billing-db /var/lib/mysql"),
        "billing-db /var/lib/mysql, restored 1970-01-01 00:00Z"
    );
    assert_eq!(
        name("db, restored 2026-11-21 04:00Z"),
        "db, restored 1970-01-01 00:00Z"
    );
    assert_eq!(
        name(" "),
        "vol-11111111 /dev/xvdf, restored 1970-01-01 00:00Z"
    );
    let long = name(&"ü".repeat(256));
    assert_eq!(long.chars().count(), 255);
    assert!(long.ends_with("…, restored 1970-01-01 00:00Z"), "{long}");
}

/// What was recorded with the set stands in for a source volume that is gone.
#[test]
fn performance_survives_the_source_volume_and_says_where_it_comes_from() {
    let record = |text: &str| {
        let mut recorded = inventory();
        recorded.volumes.clear();
        recorded.snapshots[1].tags.set(tags::VOLUME, text);
        recorded
    };
    let made = |i: &Inventory| plan(&request(), i, ID).unwrap().items[0].clone();
    let gp3 = made(&record(
        "type=gp3 iops=6000 mibs=400 gib=100 zone=eu-central-1b",
    ));
    assert_eq!(
        (gp3.volume_type.as_str(), gp3.iops, gp3.throughput),
        ("gp3", Some(6_000), Some(400))
    );
    assert_eq!(
        gp3.performance(),
        "gp3, 6000 IOPS, 400 MiB/s (as recorded with the set)"
    );
    let mut large = record("type=st1 gib=500 zone=eu-central-1b");
    large.snapshots[1].volume_gib = 500;
    let st1 = made(&large);
    assert_eq!(
        (st1.volume_type.as_str(), st1.iops, st1.throughput),
        ("st1", None, None)
    );
    let io2 = made(&record("type=io2 iops=9000 gib=100 zone=x"));
    assert_eq!((io2.volume_type.as_str(), io2.iops), ("io2", Some(9_000)));
    // The volume as it is now goes first, and what it was is told.
    let mut changed = inventory();
    changed.snapshots[1]
        .tags
        .set(tags::VOLUME, "type=gp3 iops=3000 mibs=125 gib=100 zone=x");
    let plan_now = plan(&request(), &changed, ID).unwrap();
    assert_eq!(
        plan_now.items[0].performance(),
        "io2, 4000 IOPS (as the source volume has now)"
    );
    assert!(
        plan_now
            .warnings
            .iter()
            .any(|w| w.contains("was gp3 with 3000 IOPS")),
        "{:?}",
        plan_now.warnings
    );
    // Neither: the default, and what nobody knows is named.
    let mut old = inventory();
    old.volumes.clear();
    let plan_old = plan(&request(), &old, ID).unwrap();
    assert_eq!(plan_old.items[0].performance(), "gp3 (the default)");
    let said = plan_old.warnings.join("\n");
    assert!(
        said.contains("not known: type, IOPS and throughput of vol-11111111"),
        "{said}"
    );
    // A tag that somebody bent is no record.
    assert_eq!(made(&record("type=../x iops=1")).volume_type, "gp3");
}

#[test]
fn what_was_asked_for_wins_within_the_limits_of_ebs() {
    type Ask = (Option<&'static str>, Option<u32>, Option<u32>);
    let asked = |gib: u32, (volume_type, iops, throughput): Ask| {
        let mut sized = inventory();
        sized.snapshots[1].volume_gib = gib;
        let request = RestoreRequest {
            only: vec![SnapshotId::from_api("snap-11111111")],
            volume_type: volume_type.map(str::to_owned),
            iops,
            throughput,
            ..request()
        };
        plan(&request, &sized, ID).map(|plan| (plan.items[0].clone(), plan.warnings.join("\n")))
    };
    let numbers = |gib, ask| {
        asked(gib, ask)
            .map(|(item, _)| (item.volume_type, item.iops, item.throughput))
            .map_err(|p| p.cause)
    };
    // The source is an io2 of 4,000 IOPS.
    assert_eq!(
        numbers(100, (Some("gp3"), None, None)),
        Ok(("gp3".into(), Some(4_000), None))
    );
    assert_eq!(
        numbers(100, (Some("gp3"), Some(6_000), Some(400))),
        Ok(("gp3".into(), Some(6_000), Some(400)))
    );
    assert_eq!(
        numbers(500, (Some("st1"), None, None)),
        Ok(("st1".into(), None, None))
    );
    assert!(
        asked(500, (Some("st1"), None, None))
            .unwrap()
            .1
            .contains("4000 IOPS do not apply to st1")
    );
    assert_eq!(
        numbers(10, (Some("io1"), None, None)),
        Ok(("io1".into(), Some(500), None)),
        "50 for each GiB"
    );
    let refused: [(u32, Ask, &str); 11] = [
        (
            100,
            (Some("gp3"), Some(2_999), None),
            "gp3 takes 3000 to 50000 IOPS here (no more than 500 for each of its 100 GiB)",
        ),
        (
            100,
            (Some("gp3"), Some(50_001), None),
            "50001 were asked for",
        ),
        (
            400,
            (Some("gp3"), Some(80_001), None),
            "gp3 takes 3000 to 80000 IOPS here, and",
        ),
        (
            100,
            (Some("gp3"), None, Some(1_001)),
            "a quarter of its 4000 IOPS",
        ),
        (100, (Some("gp3"), None, Some(124)), "125 to 1000 MiB/s"),
        (
            100,
            (Some("io2"), None, Some(200)),
            "io2 takes no --throughput",
        ),
        (100, (Some("gp2"), Some(3_000), None), "gp2 takes no --iops"),
        (100, (Some("st1"), None, None), "st1 holds 125 to 16384 GiB"),
        (
            2_000,
            (Some("standard"), None, None),
            "standard holds 1 to 1024 GiB",
        ),
        (2, (Some("io2"), None, None), "io2 holds 4 to 65536"),
        (10, (Some("nvme"), None, None), "is no volume type"),
    ];
    for (gib, ask, words) in refused {
        let cause = numbers(gib, ask).unwrap_err();
        assert!(cause.contains(words), "{words}: {cause}");
        assert!(cause.contains("snap-11111111"), "{cause}");
    }
}

#[test]
fn keys_are_looked_at_before_ec2_would_let_the_volume_vanish() {
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    for good in [
        id,
        "alias/backup",
        "mrk-1234abcd12ab34cd56ef1234567890ab",
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:eu-central-1:111122223333:alias/backup",
    ] {
        assert_eq!(kms_key(good, "eu-central-1"), Ok(()), "{good}");
    }
    for bad in [
        "",
        "backup",
        "alias/",
        "arn:aws:s3:::bucket",
        "arn:aws:kms:eu-west-1:111122223333:alias/b",
        "alias/a b",
        "$(id)",
        "key/backup",
        "arn:aws:kms:eu-central-1:111122223333:backup",
        "zzzzabcd-12ab-34cd-56ef-1234567890ab",
        "mrk-1234abcd",
    ] {
        assert!(kms_key(bad, "eu-central-1").is_err(), "{bad}");
    }
    let request = RestoreRequest {
        kms_key: Some("alias/backup".into()),
        ..request()
    };
    let plan = plan(&request, &inventory(), ID).unwrap();
    assert!(plan.items[0].encrypt && plan.items[0].encrypted);
    assert!(
        plan.calls[0]
            .cli
            .contains("--encrypted --kms-key-id alias/backup"),
        "{}",
        plan.calls[0].cli
    );
}

/// Runs the lines with a stand-in for `aws` that prints its arguments: no tag may act on the shell.
#[test]
fn the_lines_are_exact_for_a_shell() {
    let plan = plan(&request(), &inventory(), ID).unwrap();
    let run = |line: &str| {
        let script = format!(
            "aws() {{ for a; do printf '[%s]\\n' \"$a\"; done; }}\nVOLUME_1=vol-0abc\n{line}\nprintf '%s' \"$VOLUME_1\""
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}");
        String::from_utf8(output.stdout).unwrap()
    };
    let created = run(&plan.calls[0].cli);
    assert!(
        created.contains("[--iops]\n[4000]\n") && created.contains("[--region]\n[eu-central-1]\n"),
        "{created}"
    );
    assert!(
        created.contains(r#"{"Key":"Name","Value":"it's $(id), restored 1970-01-01 00:00Z"}"#),
        "{created}"
    );
    assert!(run(&plan.calls[1].cli).contains("[--volume-id]\n[vol-0abc]\n"));
    let mounted = run(&plan.calls[2].cli);
    let parameters = mounted.lines().find(|l| l.starts_with("[{")).unwrap();
    let parameters: serde_json::Value =
        serde_json::from_str(&parameters[1..parameters.len() - 1]).unwrap();
    assert_eq!(
        parameters,
        serde_json::json!({ "executionId": [ID], "command": ["mount"], "mountPoint": ["/restore/sdg"], "volumeId": ["vol-0abc"] })
    );
}

#[test]
fn what_stands_in_the_way_is_named() {
    type Change = fn(&mut RestoreRequest, &mut Inventory);
    let cases: [(&str, Change); 16] = [
        ("no set", |r, _| r.set = ID.parse().unwrap()),
        ("no instance", |r, _| {
            r.target = "i-99999999".parse().unwrap()
        }),
        ("is stopping", |_, i| {
            i.instances[0].state = "stopping".into()
        }),
        ("agent lost", |_, i| {
            i.instances[0].agent = Agent::Lost { last_ping: None }
        }),
        ("is stopped", |_, i| i.instances[0].state = "stopped".into()),
        ("Windows", |_, i| {
            i.instances[0].platform = Platform::Windows
        }),
        ("not a directory", |r, _| {
            r.mount_under = Some("/a b".into())
        }),
        ("not a directory", |r, _| {
            r.mount_under = Some("/a/../b".into())
        }),
        ("overlaps with /dev/xvdf", |r, _| {
            r.device = Some("/dev/sdf".into())
        }),
        ("in use by vol-11111111", |r, _| {
            r.device = Some("/dev/xvdf".into())
        }),
        ("not a name", |r, _| r.device = Some("/dev/sdf1".into())),
        ("is pending", |_, i| i.snapshots[1].state = "pending".into()),
        ("archive tier", |_, i| {
            i.snapshots[2].tier = "archive".into()
        }),
        ("partial", |_, i| {
            i.snapshots.pop();
        }),
        ("not a member", |r, _| {
            r.only = vec![SnapshotId::from_api("snap-99999999")]
        }),
        ("needs provisioned IOPS", |r, i| {
            r.volume_type = Some("io1".into());
            i.volumes.clear();
        }),
    ];
    for (words, change) in cases {
        let (mut request, mut inventory) = (request(), inventory());
        change(&mut request, &mut inventory);
        let problem = plan(&request, &inventory, ID).unwrap_err();
        assert!(problem.cause.contains(words), "{words}: {problem}");
        assert!(!problem.hint.is_empty());
    }
}

#[test]
fn the_root_only_on_request_and_with_a_warning() {
    let mut one = request();
    one.only = vec![SnapshotId::from_api("snap-00000000")];
    one.device = Some("/dev/sdp".into());
    let plan = plan(&one, &inventory(), ID).unwrap();
    assert_eq!(plan.items.len(), 1);
    assert_eq!(plan.items[0].device, "/dev/sdp");
    assert_eq!(plan.warnings.len(), 3, "{:?}", plan.warnings);
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("may boot from either"))
    );
}

#[test]
fn tags_stay_within_the_limit_and_devices_run_out() {
    let mut many = inventory();
    for n in 0..60 {
        many.snapshots[1].tags.set(format!("k{n:02}"), "v");
    }
    let all = RestoreRequest {
        copy_all_tags: true,
        ..request()
    };
    let plan_of = |i: &Inventory| plan(&all, i, ID);
    let made = plan_of(&many).unwrap().items[0].clone();
    assert_eq!(made.tags.0.len(), tags::MAX_TAGS);
    assert_eq!(made.tags_left_off.len(), 60 - (tags::MAX_TAGS - 5));
    for c in 'b'..='z' {
        many.instances[0].devices.push(BlockDevice {
            device: format!("/dev/sd{c}"),
            volume: VolumeId::from_api("vol-33333333"),
            delete_on_termination: false,
        });
    }
    assert!(
        plan_of(&many)
            .unwrap_err()
            .cause
            .contains("no free device name")
    );
}

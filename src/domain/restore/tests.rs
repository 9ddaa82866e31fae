use chrono::{DateTime, Utc};

use super::*;
use crate::domain::ids::{AccountId, InstanceId, Region, Scope, VolumeId};
use crate::domain::instance::BlockDevice;
use crate::domain::level::Origin;
use crate::domain::tags;
use crate::domain::volume::Volume;

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
        set: JOB.parse().unwrap(),
        only: Vec::new(),
        target: "i-01234567".parse().unwrap(),
        device: None,
        volume_type: None,
        mount_under: Some("/restore/".into()),
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
    assert_eq!(keys, ["Name", tags::RESTORE, tags::RESTORED_FROM]);
    let operations: Vec<&str> = plan.calls.iter().map(|c| c.operation.as_str()).collect();
    assert_eq!(
        operations,
        ["CreateVolume", "AttachVolume", "SendCommand"].repeat(2)
    );
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
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
        created.contains(r#"{"Key":"Name","Value":"it's $(id)"}"#),
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
        ("needs provisioned IOPS", |r, _| {
            r.volume_type = Some("io1".into())
        }),
    ];
    for (words, change) in cases {
        let (mut request, mut inventory) = (request(), inventory());
        change(&mut request, &mut inventory);
        let problem = plan(&request, &inventory, ID).unwrap_err();
        assert!(problem.cause.contains(words), "{words}: {problem}");
        assert!(!problem.mend.is_empty());
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
    assert_eq!(plan.warnings.len(), 2, "{:?}", plan.warnings);
}

#[test]
fn tags_stay_within_the_limit_and_devices_run_out() {
    let mut many = inventory();
    for n in 0..60 {
        many.snapshots[1].tags.set(format!("k{n:02}"), "v");
    }
    let plan_of = |i: &Inventory| plan(&request(), i, ID);
    assert_eq!(plan_of(&many).unwrap().items[0].tags.0.len(), MAX_TAGS);
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

#[test]
fn volume_type_rules() {
    assert!(performance("st1", 100, None, None).is_err());
    assert!(performance("standard", 2_000, None, None).is_err());
    assert!(performance("nvme", 10, None, None).is_err());
    // AWS reports IOPS for gp2, and refuses to be told them.
    assert_eq!(performance("gp2", 100, Some(300), None), Ok((None, None)));
    assert_eq!(
        performance("gp3", 100, Some(3_000), Some(125)),
        Ok((Some(3_000), Some(125)))
    );
    assert_eq!(
        performance("io2", 100, Some(500), Some(9)),
        Ok((Some(500), None))
    );
}

use super::*;
use crate::ids::SnapshotId;

fn volume(id: &str, tags: &[(&str, &str)]) -> Volume {
    let mut volume: Volume = serde_json::from_value(serde_json::json!({
        "account": "111122223333", "region": "eu-central-1", "id": id, "state": "in-use", "size_gib": 100,
        "volume_type": "gp3", "iops": 6000, "throughput": 400, "encrypted": false, "kms_key": null,
        "zone": "eu-central-1a", "from_snapshot": null, "created": null, "attachments": [], "tags": {},
    }))
    .unwrap();
    volume.tags = tags.iter().copied().collect();
    volume
}

fn instance() -> Instance {
    let device = |device: &str, volume: &str| serde_json::json!({"device": device, "volume": volume, "delete_on_termination": false});
    serde_json::from_value(serde_json::json!({
        "account": "111122223333", "region": "eu-central-1", "id": "i-01234567", "state": "running",
        "platform": "linux", "platform_details": "", "instance_type": "m7g.large", "zone": "eu-central-1a",
        "root_device": "/dev/xvda", "launched": null, "tags": {}, "agent": {"status": "unknown"},
        "devices": [device("/dev/sdf", "vol-1"), device("/dev/sdg", "vol-2"), device("/dev/xvda", "vol-0")],
    }))
    .unwrap()
}

fn known(volumes: &[Volume]) -> HashMap<VolumeId, Volume> {
    volumes.iter().map(|v| (v.id.clone(), v.clone())).collect()
}

fn many(n: usize) -> Volume {
    let tags: Vec<(String, String)> = (0..n)
        .map(|n| (format!("k{n:02}"), "v".to_owned()))
        .collect();
    let pairs: Vec<(&str, &str)> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    volume("vol-1", &pairs)
}

#[test]
fn usually_the_call_takes_all_volumes_and_copies_their_tags() {
    let volumes = known(&[
        volume("vol-0", &[]),
        volume("vol-1", &[("Name", "data"), ("aws:x", "y")]),
        volume("vol-2", &[]),
    ]);
    let plan = plan(&instance(), &volumes, &SetOptions::default()).unwrap();
    assert_eq!((plan.members.len(), plan.left_out.len()), (3, 0));
    let call = plan.call(&Tags::default(), Mode::Coordinated);
    assert!(call.copy_tags && !call.exclude_root && call.exclude_data.is_empty());
    assert!(plan.parameters().is_empty() && plan.notes().is_empty());
    let beside = plan.beside(
        &VolumeId::from_api("vol-1"),
        Mode::Coordinated,
        "coordinated: it was asked for",
    );
    assert_eq!(
        beside.get(tags::VOLUME),
        Some("type=gp3 iops=6000 mibs=400 gib=100 zone=eu-central-1a")
    );
    assert_eq!(
        beside.get(tags::MODE),
        Some("coordinated: it was asked for")
    );
    assert_eq!(beside.0.len(), 2, "the call brings the others");
}

/// A volume with more tags than a snapshot has room for is backed up all the same: what is left off is chosen and told.
#[test]
fn a_volume_with_too_many_tags_keeps_ours_then_the_listed_ones_then_the_others() {
    let mut full = many(50);
    full.tags.0.remove("k49");
    full.tags.set("Name", "data");
    let options = SetOptions {
        keep_tags: vec!["k48".into(), "k47".into(), "absent".into()],
        tags: [("CostCenter", "4711"), ("k00", "mine")]
            .into_iter()
            .collect(),
        ..SetOptions::default()
    };
    let plan = plan(&instance(), &known(std::slice::from_ref(&full)), &options).unwrap();
    let member = &plan.members[0];
    let room = tags::MAX_TAGS - tags::OF_A_JOB - 2;
    assert_eq!(member.tags.0.len(), room);
    for key in ["k48", "k47", "Name", "k01"] {
        assert!(member.tags.get(key).is_some(), "{key}");
    }
    assert_eq!(
        member.tags.get("k00"),
        None,
        "the operator's own says it anew"
    );
    let left: Vec<&str> = member.left_off.iter().map(|off| off.key.as_str()).collect();
    assert_eq!(left.len(), 49 - room);
    assert!(left.contains(&"k46") && !left.contains(&"k00"), "{left:?}");
    // No call copies it all, and the label has room for all that it brings.
    let call = plan.call(&[(tags::JOB, "j")].into_iter().collect(), Mode::Coordinated);
    assert!(!call.copy_tags);
    assert_eq!(call.tags.0.len(), 3);
    assert_eq!(plan.parameters()["leaveOut"], "tags");
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        let mut all = plan.beside(&full.id, mode, "why");
        all.0.extend(plan.call(&Tags::default(), mode).tags.0);
        for key in [
            tags::JOB,
            tags::LEVEL,
            tags::RECIPE,
            tags::INSTANCE,
            tags::DEVICE,
            tags::FROZEN_MS,
            tags::SET_SIZE,
            tags::SNAPSHOT,
            tags::WITHOUT,
        ] {
            all.set(key, "x");
        }
        assert_eq!((all.0.len(), member.room), (tags::MAX_TAGS, 0), "{mode}");
        assert_eq!(all.get("CostCenter"), Some("4711"));
    }
    let said = plan.notes().join("\n");
    assert!(
        said.contains("tags of vol-1 left off") && said.contains("k46"),
        "{said}"
    );
}

#[test]
fn the_tags_of_a_volume_that_could_not_be_read_are_not_copied_unseen() {
    let plan = plan(&instance(), &HashMap::new(), &SetOptions::default()).unwrap();
    assert!(!plan.copies_tags);
    assert_eq!(plan.parameters()["leaveOut"], "tags");
    let told = plan.notes();
    assert!(
        told.iter().any(|n| n.contains("could not be read")),
        "{told:?}"
    );
}

#[test]
fn tags_that_would_say_something_untrue_of_a_snapshot_are_left_off() {
    let bent = volume(
        "vol-1",
        &[
            (tags::FROZEN_MS, "3"),
            (tags::SET_SIZE, "1"),
            (tags::RESTORED_FROM, "snap-11111111"),
            ("dlm:managed", "true"),
            (tags::PIN, "yes"),
            ("Env", "prod"),
        ],
    );
    let plan = plan(&instance(), &known(&[bent]), &SetOptions::default()).unwrap();
    let kept: Vec<&str> = plan.members[0].tags.iter().map(|(k, _)| k).collect();
    assert_eq!(kept, ["Env", tags::PIN]);
    assert!(!plan.copies_tags);
    assert!(
        plan.members[0]
            .left_off
            .iter()
            .all(|off| off.why == LeftOffFor::Meaning)
    );
    // A restored copy that is still attached is announced.
    assert_eq!(
        plan.members[0].restored_from,
        Some(SnapshotId::from_api("snap-11111111"))
    );
    assert!(
        plan.notes()[0].contains("restored copy, made from snap-11111111"),
        "{:?}",
        plan.notes()
    );
}

#[test]
fn volumes_are_left_out_by_tag_by_name_and_as_root() {
    let volumes = known(&[
        volume("vol-0", &[]),
        volume("vol-1", &[(tags::EXCLUDE, "")]),
        volume("vol-2", &[]),
    ]);
    let of = |options: &SetOptions| plan(&instance(), &volumes, options);
    let tagged = of(&SetOptions::default()).unwrap();
    assert_eq!(
        tagged.left_out_words(),
        "vol-1 (/dev/sdf, by its tag freezeframe:exclude)"
    );
    let root = SetOptions {
        exclude_root: true,
        ..SetOptions::default()
    };
    let both = of(&root).unwrap();
    let call = both.call(&Tags::default(), Mode::Coordinated);
    assert!(call.exclude_root);
    assert_eq!(
        call.exclude_data,
        [VolumeId::from_api("vol-1")],
        "EC2 refuses the root volume in this list"
    );
    assert_eq!(both.parameters()["leaveOut"], "root,vol-1");
    assert_eq!(both.members.len(), 1);
    assert!(
        both.notes()[0].starts_with("not in the set: "),
        "{:?}",
        both.notes()
    );
    // The root volume by its id is the root volume.
    let named = SetOptions {
        exclude: vec![VolumeId::from_api("vol-0")],
        ..SetOptions::default()
    };
    assert!(
        of(&named)
            .unwrap()
            .call(&Tags::default(), Mode::Coordinated)
            .exclude_root
    );
    let all = SetOptions {
        exclude: vec![VolumeId::from_api("vol-2")],
        ..root
    };
    assert!(of(&all).unwrap_err().0.contains("every volume is left out"));
}

#[test]
fn own_tags_are_looked_at() {
    for (key, value) in [
        ("CostCenter", "4711"),
        ("team:Größe", "a b/c=d+e-f@g"),
        ("k", ""),
    ] {
        assert_eq!(SetOptions::check_tag(key, value), Ok(()), "{key}");
    }
    let (long, longer) = ("k".repeat(129), "v".repeat(257));
    for (key, value, word) in [
        ("", "x", "needs a key"),
        ("aws:x", "x", "AWS's own"),
        ("AWS:x", "x", "AWS's own"),
        ("freezeframe:level", "application", "freezeframe's own"),
        ("dlm:managed", "true", "Data Lifecycle Manager's own"),
        (long.as_str(), "x", "128 is the most"),
        ("k", longer.as_str(), "256 is the most"),
        ("k", "a\"b", "its value has `\"`"),
        ("k;", "x", "its key has `;`"),
        ("k", "a\nb", "its value has"),
    ] {
        let why = SetOptions::check_tag(key, value).unwrap_err();
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn options_are_empty_until_one_is_asked_for() {
    assert!(SetOptions::default().is_empty());
    let asked = SetOptions {
        exclude_root: true,
        ..SetOptions::default()
    };
    assert!(!asked.is_empty());
}

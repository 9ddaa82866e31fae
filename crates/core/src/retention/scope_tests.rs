//! Of which sets a plan speaks; what the journal says of them; what an earlier prune left behind.

use super::*;
use crate::instance::Instance;
use crate::retention::Selection;

fn instance(n: u32, name: &str, env: &str) -> Instance {
    let mut value = serde_json::json!({
        "account": "123456789012", "region": "eu-central-1", "id": format!("i-0000000{n}"), "state": "running",
        "platform": "linux", "platform_details": "Linux/UNIX", "instance_type": "t3.micro", "zone": "eu-central-1a",
        "launched": null, "root_device": "/dev/xvda", "devices": [], "agent": {"status": "unknown"}, "tags": {"Name": name, "Env": env},
    });
    value["tags"]["Team"] = "x".into();
    serde_json::from_value(value).unwrap()
}

/// Sets of instance `of`, one an hour, each of its volume `of`.
fn sets_of(of: u32, from: u32, count: u32) -> Vec<Snapshot> {
    (0..count)
        .map(|n| {
            let mut one = member(
                from + n,
                of,
                1,
                now() - hours(30 + i64::from(n)),
                "application",
            );
            one.tags.set(tags::INSTANCE, format!("i-0000000{of}"));
            one
        })
        .collect()
}

fn world() -> Inventory {
    let mut all = sets_of(1, 10, 3);
    all.extend(sets_of(2, 20, 3));
    // Instance 3 is gone; its snapshots carry what its volume was tagged with.
    let mut gone = sets_of(3, 30, 3);
    for one in &mut gone {
        one.tags.set("Env", "dev");
    }
    all.extend(gone);
    let mut manual = member(40, 1, 1, now() - hours(5), "crash");
    manual.tags = Tags::default();
    manual.origin = Origin::Manual;
    all.push(manual);
    Inventory {
        instances: vec![instance(1, "web", "dev"), instance(2, "web", "prod")],
        ..inventory(all)
    }
}

pub(super) fn plan_of(policy: &Policy, all: &Inventory, ids: &[&str]) -> PrunePlan {
    let ids: Vec<InstanceId> = ids.iter().map(|id| InstanceId::from_api(*id)).collect();
    let chosen: Vec<Chosen> = policy
        .selections()
        .iter()
        .map(|selection| Chosen::new(selection, &ids).unwrap())
        .collect();
    let facts = Facts {
        chosen: &chosen,
        ..facts(all)
    };
    plan(policy, &facts, now()).unwrap()
}

fn jobs_of(plan: &PrunePlan) -> Vec<u32> {
    let mut all: Vec<u32> = plan
        .decisions
        .iter()
        .filter_map(|d| u32::from_str_radix(&d.job.as_ref()?.as_str()[..8], 16).ok())
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn p16_a_scope_leaves_everything_else_out_of_the_plan() {
    let all = world();
    let tag = |pair: &str| Policy {
        tag: vec![pair.parse().unwrap()],
        ..last(1)
    };
    let dev = plan_of(&tag("Env=dev"), &all, &[]);
    assert_eq!(jobs_of(&dev), [10, 11, 12, 30, 31, 32]);
    // By the tags of the instance; where it is gone, by those of its snapshots, and that is said.
    assert!(
        fate(&dev, 10)
            .notes
            .iter()
            .all(|note| !note.contains("scope"))
    );
    assert!(
        fate(&dev, 30)
            .notes
            .contains(&"in scope by the tags of its snapshots".to_owned())
    );
    assert!(
        fate(&dev, 30)
            .notes
            .contains(&"instance i-00000003 is gone".to_owned())
    );
    assert_eq!(dev.title(), "123456789012/eu-central-1, tag Env=dev");
    assert_eq!(jobs_of(&plan_of(&tag("Env=prod"), &all, &[])), [20, 21, 22]);
    assert!(jobs_of(&plan_of(&tag("Env=de"), &all, &[])).is_empty());
    // Several tags must all match; instances and tags narrow each other.
    let mut both = tag("Env=dev");
    both.tag.push("Team=x".parse().unwrap());
    assert_eq!(jobs_of(&plan_of(&both, &all, &[])), [10, 11, 12]);
    let mut named = tag("Env=dev");
    named.instance = vec!["i-00000002".into()];
    let none = plan_of(&named, &all, &["i-00000002"]);
    assert!(none.decisions.is_empty());
    assert_eq!(
        none.title(),
        "123456789012/eu-central-1, instance i-00000002 and tag Env=dev"
    );
    named.instance = vec!["i-00000003".into()];
    assert_eq!(
        jobs_of(&plan_of(&named, &all, &["i-00000003"])),
        [30, 31, 32]
    );
    // A name that stands for nothing is nothing, not everything.
    assert!(plan_of(&named, &all, &[]).decisions.is_empty());
    // Filters, with what the instance knows; and a policy that the command line narrows.
    let filter = |filter: &str| Policy {
        filter: filter.into(),
        ..last(1)
    };
    assert_eq!(
        jobs_of(&plan_of(
            &filter("tag:Env=dev !instance=i-00000003"),
            &all,
            &[]
        )),
        [10, 11, 12]
    );
    assert_eq!(
        jobs_of(&plan_of(&filter("type=t3.micro !tag:Env=prod"), &all, &[])),
        [10, 11, 12]
    );
    let narrowed = Policy {
        narrowed: vec![Selection {
            filter: "instance=i-00000003".into(),
            ..Selection::default()
        }],
        ..tag("Env=dev")
    };
    let plan = plan_of(&narrowed, &all, &[]);
    assert_eq!(jobs_of(&plan), [30, 31, 32]);
    assert_eq!(
        plan.title(),
        "123456789012/eu-central-1, tag Env=dev and filter `instance=i-00000003`"
    );
    // What is not ours stays in sight where it is in scope.
    let shown = |plan: &PrunePlan| plan.decisions.iter().filter(|d| d.job.is_none()).count();
    assert_eq!(shown(&planned(&last(1), &all, now())), 1);
    assert_eq!(shown(&plan_of(&tag("Env=prod"), &all, &[])), 0);
    let whole = planned(&last(1), &all, now());
    assert_eq!(whole.title(), "123456789012/eu-central-1, every instance");
    assert_eq!(whole.doomed().len(), 6);
}

/// A volume that moved from one instance to another: a plan for the first keeps of its sets what its words say.
#[test]
fn p27_a_scope_counts_only_its_own_sets() {
    let mut all = sets_of(1, 10, 3);
    for (n, hour) in [(20, 1), (21, 2), (22, 3)] {
        let mut moved = member(n, 1, 1, now() - hours(hour), "application");
        moved.tags.set(tags::INSTANCE, "i-00000002");
        all.push(moved);
    }
    let all = inventory(all);
    let first = Policy {
        instance: vec!["i-00000001".into()],
        ..last(2)
    };
    let plan = plan_of(&first, &all, &["i-00000001"]);
    assert_eq!(plan.doomed().len(), 1);
    assert_eq!(fate(&plan, 12).fate, Fate::Delete);
}

#[test]
fn a_policy_of_the_configuration_says_its_scope_and_an_empty_list_is_not_everything() {
    let read = |text: &str| toml::from_str::<Policy>(text).map_err(|e| e.to_string());
    let policy = read(
        "keep-daily = 7\ndrop-unproven-after = \"14d\"\ninstance = [\"web\"]\ntag = [\"Env=dev\"]\nfilter = \"az=eu*\"",
    )
    .unwrap();
    assert_eq!(
        policy.scope_words(),
        "instance web and tag Env=dev and filter `az=eu*`"
    );
    assert_eq!(policy.rules(), ["daily 7", "drop unproven after 14d"]);
    policy.check().unwrap();
    for wrong in [
        "keep-last = 1\ninstance = []",
        "keep-last = 1\ntag = []",
        "keep-last = 1\ntag = [\"Env\"]",
        "keep-last = 1\ndrop-unproven-after = 7",
        "keep-last = 1\ndrop-unproven-after = \"7\"",
        "keep-last = 1\nnarrowed = []",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    for wrong in [
        "drop-unproven-after = \"7d\"\ntag = [\"Env=dev\"]",
        "keep-last = 1\nfilter = \"stat=x\"",
        "keep-last = 1\ninstance = [\" \"]",
    ] {
        assert_eq!(
            read(wrong).unwrap().check().unwrap_err().kind,
            crate::problem::Kind::Usage,
            "{wrong}"
        );
    }
}

/// A job of this machine's journal, with the level of each member of set `n`.
fn on_record(n: u32, members: &[(u32, Level)]) -> JobView {
    let mut view = crate::job::sample::view(&job(n), crate::job::Phase::Done);
    view.set = members
        .iter()
        .map(|(volume, level)| {
            serde_json::from_value(serde_json::json!({
                "snapshot": format!("snap-{n:08x}{volume:09x}"), "volume": format!("vol-{volume:08x}"),
                "device": "/dev/sdf", "level": level, "reason": "", "progress": 100, "volume_gib": 8,
            }))
            .unwrap()
        })
        .collect();
    view.evidence.covered = vec![VolumeId::from_api("vol-00000001")];
    view
}

#[test]
fn p14_what_the_journal_does_not_bear_out_pushes_no_proven_set_out() {
    let mut all = Vec::new();
    for n in 1..=4 {
        all.push(member(
            n,
            1,
            1,
            now() - hours(30 + i64::from(n)),
            "application",
        ));
    }
    // A bare claim that this machine proved itself.
    all[1].tags.0.remove(tags::FROZEN_MS);
    let all = inventory(all);
    let jobs: HashMap<JobId, JobView> = [
        on_record(1, &[(1, Level::Crash)]),
        on_record(2, &[(1, Level::Application)]),
    ]
    .into_iter()
    .map(|view| (view.spec.job.clone(), view))
    .collect();
    let facts = Facts {
        jobs: &jobs,
        ..facts(&all)
    };
    let plan = plan(&last(1), &facts, now()).unwrap();
    let told = |n| {
        (
            fate(&plan, n).fate,
            fate(&plan, n).level,
            fate(&plan, n).tagged,
        )
    };
    let (crash, application) = (Some(Level::Crash), Some(Level::Application));
    assert_eq!(told(1), (Fate::Keep, crash, application));
    assert!(
        fate(&plan, 1)
            .reasons
            .iter()
            .any(|r| r.contains("journal does not bear out"))
    );
    assert_eq!(told(2), (Fate::Keep, application, application));
    assert!(
        fate(&plan, 2)
            .reasons
            .contains(&"newest proven set of vol-00000001".to_owned())
    );
    assert_eq!(told(3).0, Fate::Delete);
    // By the tags alone it is the other way round: set 2 claims, and set 3 is proven.
    let by_tags = planned(&last(1), &all, now());
    assert!(
        fate(&by_tags, 1)
            .reasons
            .contains(&"newest proven set of vol-00000001".to_owned())
    );
    assert_eq!(fate(&by_tags, 2).level, crash);
}

#[test]
fn what_an_earlier_prune_left_half_deleted_goes_and_what_somebody_else_deleted_stays() {
    let mut all = pair(1, now() - hours(30), "application");
    all.push(member(2, 1, 2, now() - hours(50), "application"));
    all.push(member(3, 1, 2, now() - hours(60), "application"));
    let all = inventory(all);
    let condemned: HashMap<JobId, HashSet<SnapshotId>> = [(
        job(2).parse().unwrap(),
        HashSet::from([SnapshotId::from_api("snap-00000002000000000")]),
    )]
    .into_iter()
    .collect();
    let facts = Facts {
        condemned: &condemned,
        ..facts(&all)
    };
    let plan = plan(&last(5), &facts, now()).unwrap();
    assert_eq!(fate(&plan, 2).fate, Fate::Delete);
    assert_eq!(
        fate(&plan, 2).reasons,
        ["an earlier prune has deleted 1 of its 2 snapshots"]
    );
    assert_eq!(fate(&plan, 3).fate, Fate::Blocked);
    assert!(drift(fate(&plan, 2), &all.snapshots[2..3]).is_none());
    assert!(drift(fate(&plan, 2), &[]).is_some());
}

use std::collections::BTreeMap;

use chrono::TimeZone;
use proptest::prelude::*;

use super::super::drift;
use super::*;

#[path = "oracle.rs"]
mod oracle;
#[path = "scope_tests.rs"]
mod scope_tests;

use crate::ids::{AccountId, JobId, Region, Scope};
use crate::inventory::Image;
use crate::tags::Tags;

fn scope() -> Scope {
    Scope {
        account: AccountId::from_api("123456789012"),
        region: Region::from_api("eu-central-1"),
    }
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 20, 12, 30, 0).unwrap()
}

fn job(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

/// A member of set `n`: level `crash` for volume 0, the root, else `level`.
fn member(n: u32, volume: u32, size: usize, started: DateTime<Utc>, level: &str) -> Snapshot {
    let level = if volume == 0 && level != "pending" {
        "crash"
    } else {
        level
    };
    // The root is not covered.
    let frozen = (volume != 0).then(|| (tags::FROZEN_MS, "12".to_owned()));
    Snapshot {
        scope: scope(),
        id: SnapshotId::from_api(format!("snap-{n:08x}{volume:09x}")),
        volume: VolumeId::from_api(format!("vol-{volume:08x}")),
        state: "completed".into(),
        progress: Some(100),
        started,
        completed: None,
        volume_gib: 8,
        full_bytes: None,
        encrypted: false,
        tier: "standard".into(),
        description: String::new(),
        origin: Origin::Freezeframe,
        tags: Tags::from_iter(frozen.into_iter().chain([
            (tags::JOB, job(n)),
            (tags::LEVEL, level.to_owned()),
            (tags::INSTANCE, "i-01234567".to_owned()),
            (
                tags::DEVICE,
                format!(
                    "/dev/sd{}",
                    char::from(b'f' + u8::try_from(volume % 10).unwrap())
                ),
            ),
            (tags::SET_SIZE, size.to_string()),
            (tags::SNAPSHOT, format!("snap-{n:08x}{volume:09x}")),
        ])),
    }
}

fn pair(n: u32, started: DateTime<Utc>, level: &str) -> Vec<Snapshot> {
    vec![
        member(n, 0, 2, started, level),
        member(n, 1, 2, started, level),
    ]
}

fn inventory(snapshots: Vec<Snapshot>) -> Inventory {
    Inventory {
        scope: scope(),
        taken_at: now(),
        instances: Vec::new(),
        volumes: Vec::new(),
        snapshots,
        images: Vec::new(),
    }
}

static NONE: std::sync::LazyLock<HashSet<SnapshotId>> = std::sync::LazyLock::new(HashSet::new);
static NO_JOBS: std::sync::LazyLock<HashMap<JobId, JobView>> =
    std::sync::LazyLock::new(HashMap::new);
static NONE_CONDEMNED: std::sync::LazyLock<HashMap<JobId, HashSet<SnapshotId>>> =
    std::sync::LazyLock::new(HashMap::new);

/// The facts when there is nothing but the inventory.
fn facts(inventory: &Inventory) -> Facts<'_> {
    Facts {
        inventory,
        locked: &NONE,
        fast_restore: &NONE,
        shared: &NONE,
        jobs: &NO_JOBS,
        condemned: &NONE_CONDEMNED,
        chosen: &[],
        complete: true,
    }
}

fn planned(policy: &Policy, inventory: &Inventory, now: DateTime<Utc>) -> PrunePlan {
    plan(policy, &facts(inventory), now).unwrap()
}

fn fate(plan: &PrunePlan, n: u32) -> &Decision {
    let job: JobId = job(n).parse().unwrap();
    plan.decisions
        .iter()
        .find(|d| d.job.as_ref() == Some(&job))
        .unwrap()
}

fn hours(n: i64) -> Duration {
    Duration::hours(n)
}

fn last(n: u32) -> Policy {
    Policy {
        keep_last: n,
        ..Policy::default()
    }
}

#[test]
fn p15_an_empty_policy_or_a_partial_reading_deletes_nothing() {
    let inventory = inventory(pair(1, now(), "application"));
    let facts = |complete| Facts {
        complete,
        ..facts(&inventory)
    };
    assert_eq!(
        plan(&Policy::default(), &facts(true), now())
            .unwrap_err()
            .kind,
        Kind::Usage
    );
    assert_eq!(
        plan(&last(1), &facts(false), now()).unwrap_err().kind,
        Kind::Malformed
    );
}

#[test]
fn p14_what_is_not_proven_never_counts() {
    let mut all = Vec::new();
    for n in 1..=3 {
        all.extend(pair(n, now() - hours(40 + i64::from(n)), "application"));
    }
    all.extend(pair(4, now() - hours(1), "crash"));
    all.extend(pair(5, now() - hours(2), "pending"));
    all.extend(pair(6, now() - hours(48), "crash"));
    all.extend(pair(7, now() - hours(50), "pending"));
    let mut failed = pair(8, now() - hours(3), "pending");
    failed[1].state = "error".into();
    all.extend(failed);
    for n in 9..12 {
        let mut failed = pair(n, now() - hours(51 + i64::from(n)), "crash");
        failed.iter_mut().for_each(|m| m.state = "error".into());
        all.extend(failed);
    }
    let plan = planned(&last(2), &inventory(all), now());
    for (n, expected) in [
        (1, Fate::Keep),
        (2, Fate::Keep),
        (3, Fate::Delete),
        // The newest two that are not proven, among themselves; then what may still be judged, which takes nobody's place.
        (4, Fate::Keep),
        (5, Fate::Blocked),
        (6, Fate::Keep),
        (7, Fate::Delete),
        (8, Fate::Blocked),
        // Failed ones, among themselves.
        (9, Fate::Keep),
        (10, Fate::Keep),
        (11, Fate::Delete),
    ] {
        assert_eq!(
            fate(&plan, n).fate,
            expected,
            "set {n}: {:?}",
            fate(&plan, n).reasons
        );
    }
    assert!(fate(&plan, 1).reasons.contains(&"last 1 of 2".to_owned()));
    assert!(
        fate(&plan, 1)
            .reasons
            .iter()
            .any(|r| r.starts_with("newest proven set of vol-"))
    );
}

#[test]
fn p14_a_set_that_only_claims_its_level_pushes_no_proven_one_out_and_loses_no_protection() {
    let bare = |n, hour| {
        let mut set = pair(n, now() - hours(hour), "application");
        for member in &mut set {
            member.tags.0.remove(tags::FROZEN_MS);
        }
        set
    };
    // Two that claim, between proven ones.
    let mut all = bare(1, 1);
    all.extend(bare(2, 2));
    all.extend(pair(3, now() - hours(3), "application"));
    all.extend(bare(4, 4));
    all.extend(pair(5, now() - hours(5), "application"));
    all.extend(pair(6, now() - hours(6), "application"));
    let plan = planned(&last(2), &inventory(all.clone()), now());
    for (n, expected) in [
        (1, Fate::Keep),
        (2, Fate::Keep),
        (3, Fate::Keep),
        (4, Fate::Delete),
        (5, Fate::Keep),
        (6, Fate::Delete),
    ] {
        let decision = fate(&plan, n);
        assert_eq!(decision.fate, expected, "set {n}: {:?}", decision.reasons);
        let told = decision
            .reasons
            .iter()
            .any(|r| r.contains("claimed by tag, no evidence"));
        assert_eq!(told, [1, 2, 4].contains(&n), "{:?}", decision.reasons);
        let newest = decision
            .reasons
            .iter()
            .any(|r| r.starts_with("newest proven set"));
        assert_eq!(newest, n == 3, "set {n}: {:?}", decision.reasons);
    }
    // What is kept were every tag true, is kept: what claims a level is never worse off for it.
    let mut believed = all.clone();
    for member in believed
        .iter_mut()
        .filter(|m| m.level() > Some(Level::Crash))
    {
        member.tags.set(tags::FROZEN_MS, "12");
    }
    let before = planned(&last(2), &inventory(believed), now());
    for n in 1..=6 {
        if fate(&before, n).fate == Fate::Keep {
            assert_eq!(fate(&plan, n).fate, Fate::Keep, "set {n}");
        }
    }
    // Alone, it is all that there is.
    let alone = planned(&last(1), &inventory(bare(1, 1)), now());
    assert_eq!(fate(&alone, 1).fate, Fate::Keep);
    // A tag that somebody writes between review and deletion is a change, bare as it is.
    let mut all = pair(1, now() - hours(1), "application");
    all.extend(pair(2, now() - hours(9), "crash"));
    all.extend(pair(3, now() - hours(2), "crash"));
    let plan = planned(&last(1), &inventory(all), now());
    let doomed = fate(&plan, 2);
    assert_eq!(doomed.fate, Fate::Delete);
    let mut raised = pair(2, now() - hours(9), "crash");
    assert!(drift(doomed, &raised).is_none());
    for member in &mut raised {
        member.tags.set(tags::LEVEL, "application");
        member.tags.0.remove(tags::FROZEN_MS);
    }
    assert!(drift(doomed, &raised).is_some());
}

#[test]
fn p16_every_obstacle_blocks_and_is_named() {
    type Break = fn(&mut Snapshot);
    let cases: [(&str, Break); 9] = [
        ("still being copied", |s| s.state = "pending".into()),
        ("Recycle Bin", |s| s.state = "recoverable".into()),
        ("Recycle Bin", |s| {
            s.tags.set("aws:recycle-bin:resource-in-bin", "true")
        }),
        ("archive tier", |s| s.tier = "archive".into()),
        ("managed by DLM (policy-1)", |s| {
            s.origin = Origin::Dlm {
                policy: "policy-1".into(),
            }
        }),
        ("managed by AWS Backup", |s| s.origin = Origin::AwsBackup),
        ("used by ami-1", |s| {
            s.origin = Origin::Image {
                image: "ami-1".into(),
            }
        }),
        ("pinned", |s| s.tags.set(tags::PIN, "")),
        ("size is not known", |s| {
            s.tags.0.remove(tags::SET_SIZE);
        }),
    ];
    let base = || {
        let mut all = pair(1, now() - hours(1), "application");
        all.push(member(2, 1, 1, now() - hours(50), "application"));
        all
    };
    assert_eq!(
        fate(&planned(&last(1), &inventory(base()), now()), 2).fate,
        Fate::Delete
    );
    for (words, broken) in cases {
        let mut all = base();
        broken(&mut all[2]);
        let plan = planned(&last(1), &inventory(all), now());
        let decision = fate(&plan, 2);
        assert_eq!(decision.fate, Fate::Blocked, "{words}");
        assert!(
            decision.reasons.iter().any(|r| r.contains(words)),
            "{words}: {:?}",
            decision.reasons
        );
    }
    // Held from outside.
    let mut held = inventory(base());
    let id = held.snapshots[2].id.clone();
    let (one, none) = (HashSet::from([id.clone()]), HashSet::new());
    for (n, words) in ["locked", "fast snapshot restore", "shared"]
        .iter()
        .enumerate()
    {
        let pick = |i| if i == n { &one } else { &none };
        let facts = Facts {
            locked: pick(0),
            fast_restore: pick(1),
            shared: pick(2),
            ..facts(&held)
        };
        let plan = plan(&last(1), &facts, now()).unwrap();
        assert_eq!(fate(&plan, 2).fate, Fate::Blocked);
        assert!(
            fate(&plan, 2).reasons[0].contains(words),
            "{:?}",
            fate(&plan, 2).reasons
        );
    }
    held.images.push(Image {
        id: ImageId::from_api("ami-0abc"),
        name: "disabled one".into(),
        state: "disabled".into(),
        snapshots: vec![id],
    });
    assert_eq!(
        fate(&planned(&last(1), &held, now()), 2).reasons,
        ["used by ami-0abc"]
    );
    // A member is missing.
    let mut partial = base();
    partial[2].tags.set(tags::SET_SIZE, "2");
    assert_eq!(
        fate(&planned(&last(1), &inventory(partial), now()), 2).reasons[0],
        "partial set: 1 of 2 members are there"
    );
    // Ours, and not judged yet.
    let mut fresh = base();
    fresh.push(member(3, 1, 1, now() - hours(2), "pending"));
    assert_eq!(
        fate(&planned(&last(1), &inventory(fresh), now()), 3).fate,
        Fate::Blocked
    );
}

#[test]
fn snapshots_that_are_not_ours_are_blocked_and_explained() {
    let mut manual = member(2, 1, 1, now() - hours(500), "crash");
    manual.tags = Tags::default();
    manual.origin = Origin::Manual;
    let mut all = pair(1, now(), "application");
    all.push(manual);
    let plan = planned(&last(1), &inventory(all), now());
    let not_ours = plan.decisions.last().unwrap();
    assert_eq!((not_ours.job.clone(), not_ours.fate), (None, Fate::Blocked));
    assert_eq!(not_ours.reasons, ["not ours (manual)"]);
}

#[test]
fn a_future_date_keeps_and_does_not_count() {
    let mut all = pair(1, now() + hours(24), "application");
    all.extend(pair(2, now() - hours(1), "application"));
    all.extend(pair(3, now() - hours(2), "application"));
    let plan = planned(&last(1), &inventory(all), now());
    assert!(fate(&plan, 1).reasons[0].contains("future"));
    assert_eq!(fate(&plan, 2).fate, Fate::Keep);
    assert_eq!(fate(&plan, 3).fate, Fate::Delete);
}

#[test]
fn a_set_stays_while_one_volume_needs_it() {
    // Volume 2 was detached after set 1; set 1 holds its only copy.
    let mut all = vec![
        member(1, 1, 2, now() - hours(90), "application"),
        member(1, 2, 2, now() - hours(90), "application"),
    ];
    for n in 2..6 {
        all.push(member(
            n,
            1,
            1,
            now() - hours(60 - i64::from(n)),
            "application",
        ));
    }
    let plan = planned(&last(1), &inventory(all), now());
    let kept: Vec<u32> = (1..6)
        .filter(|n| fate(&plan, *n).fate == Fate::Keep)
        .collect();
    assert_eq!(kept, [1, 5]);
}

#[test]
fn the_newest_proven_snapshot_of_a_volume_stays_with_its_set() {
    // In set 2 the failsafe thawed volume 1 early: that member is crash, and so is the set, though not its other member.
    let mut all = Vec::new();
    for (n, age, level) in [
        (1, 50, "application"),
        (2, 1, "crash"),
        (3, 90, "application"),
    ] {
        all.push(member(n, 1, 2, now() - hours(age), level));
        all.push(member(n, 2, 2, now() - hours(age), "application"));
    }
    // No rule keeps set 2 among the unproven.
    for volume in 1..3 {
        all.push(member(4, volume, 2, now(), "crash"));
    }
    let plan = planned(&last(1), &inventory(all), now());
    assert_eq!(fate(&plan, 2).fate, Fate::Keep);
    assert_eq!(
        fate(&plan, 1).reasons,
        [
            "last 1 of 1",
            "newest proven set of vol-00000001",
            "newest proven set of vol-00000002"
        ]
    );
    assert_eq!(
        fate(&plan, 2).reasons,
        ["newest proven snapshot of vol-00000002, in a set that is crash"]
    );
    assert_eq!(fate(&plan, 3).fate, Fate::Delete);
}

/// The level of a set is that of its lowest covered volume, so one that is not proven may hold the only proven
/// snapshot of another of its volumes.
#[test]
fn p15_the_only_proven_snapshot_of_a_volume_stays_in_whatever_set() {
    let mixed = |n, age| {
        let at = now() - hours(age);
        [
            member(n, 1, 2, at, "crash"),
            member(n, 2, 2, at, "application"),
        ]
    };
    // A recipe that covers volume 1 only.
    let narrow = |n, age| {
        let at = now() - hours(age);
        let mut other = member(n, 2, 2, at, "crash");
        other.tags.0.remove(tags::FROZEN_MS);
        [member(n, 1, 2, at, "application"), other]
    };
    let mut all = Vec::new();
    all.extend(narrow(1, 1));
    all.extend(narrow(2, 2));
    all.extend(mixed(3, 50));
    all.extend(mixed(4, 60));
    // No rule keeps these among the unproven, nor among the failed.
    for n in [5, 6] {
        let mut newer = [1, 2].map(|volume| member(n, volume, 2, now(), "crash"));
        newer[0].state = if n == 6 { "error" } else { "completed" }.into();
        all.extend(newer);
    }
    let told = |all: &[Snapshot], n| {
        let plan = planned(&last(1), &inventory(all.to_vec()), now());
        (fate(&plan, n).fate, fate(&plan, n).reasons.clone())
    };
    let words = |words: &str| vec![words.to_owned()];
    assert_eq!(told(&all, 2).0, Fate::Delete);
    let newest = "newest proven snapshot of vol-00000002, in a set that is crash";
    assert_eq!(told(&all, 3), (Fate::Keep, words(newest)));
    assert_eq!(told(&all, 4).0, Fate::Delete);
    // One that only claims it takes no proven one's place, and is kept as if it were true.
    let mut claimed = all.clone();
    claimed[5].tags.0.remove(tags::FROZEN_MS);
    let claims = "newest snapshot that claims a level of vol-00000002, in a set that is crash";
    assert_eq!(told(&claimed, 3), (Fate::Keep, words(claims)));
    assert_eq!(told(&claimed, 4), (Fate::Keep, words(newest)));
    // The copying of its neighbour failed: the set is not whole, and the proven snapshot is there.
    let mut failed = all.clone();
    failed.drain(6..8);
    failed[4].state = "error".into();
    let alone = "no other set has so new a proven snapshot of vol-00000002";
    assert_eq!(told(&failed, 3), (Fate::Keep, words(alone)));
}

#[test]
fn p17_any_drift_is_seen() {
    let mut all = pair(1, now() - hours(1), "application");
    all.extend(pair(2, now() - hours(50), "application"));
    let plan = planned(&last(1), &inventory(all.clone()), now());
    let decision = fate(&plan, 2);
    assert_eq!(decision.fate, Fate::Delete);
    let fresh = &all[2..];
    assert_eq!(drift(decision, fresh), None);
    type Change = fn(&mut Vec<Snapshot>);
    let changes: [Change; 12] = [
        |f| f[1].state = "error".into(),
        |f| f[1].tier = "archive".into(),
        |f| f[1].tags.set(tags::PIN, "1"),
        |f| f[1].tags.set(tags::LEVEL, "crash"),
        // The root volume's, which the level of the set does not go by.
        |f| f[0].tags.set(tags::LEVEL, "filesystem"),
        |f| f[1].tags.set(tags::JOB, job(9)),
        |f| f[1].tags.set(tags::INSTANCE, "i-99999999"),
        |f| f[1].tags.set(tags::DEVICE, "/dev/sdz"),
        |f| f[1].origin = Origin::AwsBackup,
        |f| f[1].tags.set("aws:recycle-bin:resource-in-bin", "true"),
        |f| {
            f.pop();
        },
        |f| f.push(member(2, 5, 2, now(), "application")),
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut fresh = fresh.to_vec();
        change(&mut fresh);
        assert!(drift(decision, &fresh).is_some(), "change {n}");
    }
    assert!(drift(decision, &[]).is_some());
}

/// 8,760 hourly sets (2024 has a leap day), pruned each day. What stays is what the rules would have
/// kept of everything: pruning day by day loses nothing that pruning at the end would keep.
#[test]
fn p18_a_year_of_hours() {
    let policy = Policy {
        keep_hourly: 24,
        keep_daily: 7,
        keep_weekly: 4,
        keep_monthly: 6,
        ..Policy::default()
    };
    let start = Utc.with_ymd_and_hms(2023, 7, 1, 0, 0, 0).unwrap();
    let mut alive = inventory(Vec::new());
    let mut all: Vec<DateTime<Utc>> = Vec::new();
    for hour in 0..8_760_u32 {
        let at = start + hours(i64::from(hour));
        all.push(at);
        alive.snapshots.push(member(hour, 1, 1, at, "application"));
        if hour % 24 == 23 {
            let plan = planned(&policy, &alive, at);
            let doomed: HashSet<SnapshotId> = plan.doomed().into_iter().collect();
            alive.snapshots.retain(|s| !doomed.contains(&s.id));
        }
    }
    let mut kept: Vec<DateTime<Utc>> = alive.snapshots.iter().map(|s| s.started).collect();
    kept.sort();
    let mut expected = HashSet::new();
    for (count, format) in [(24, "%Y%m%d%H"), (7, "%Y%m%d"), (4, "%G%V"), (6, "%Y%m")] {
        let mut newest = BTreeMap::new();
        for at in &all {
            newest.insert(at.format(format).to_string(), *at);
        }
        expected.extend(newest.into_values().rev().take(count));
    }
    let mut expected: Vec<DateTime<Utc>> = expected.into_iter().collect();
    expected.sort();
    assert_eq!(kept, expected);
    assert!(kept.len() < 45, "{}", kept.len());
}

/// Each volume of a set has a level of its own, and is covered or not.
fn sets() -> impl Strategy<Value = Vec<Snapshot>> {
    let volume = (0..4_usize, 0..16_usize, any::<bool>());
    let one = (
        0_i64..2_000,
        prop::collection::vec(volume, 1..4),
        any::<bool>(),
        any::<bool>(),
    );
    prop::collection::vec(one, 1..24).prop_map(|sets| {
        let mut all = Vec::new();
        for (n, (age, volumes, alike, not_ours)) in (1_u32..).zip(sets) {
            let first = volumes[0];
            for (volume, own) in (0_u32..).zip(&volumes) {
                let (level, state, covered) = if alike { first } else { *own };
                let level = ["application", "filesystem", "crash", "pending"][level];
                let mut one = member(n, volume, volumes.len(), now() - hours(age), level);
                one.state = ["error", "pending"]
                    .get(state)
                    .map_or("completed", |state| *state)
                    .into();
                // Without the mark a proven level is a claim.
                if !alike && !covered {
                    one.tags.0.remove(tags::FROZEN_MS);
                }
                if not_ours && age % 7 == 0 {
                    one.tags.0.remove(tags::JOB);
                    one.origin = Origin::Manual;
                }
                all.push(one);
            }
        }
        all
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (0..4_u32, 0..4_u32, 0..4_u32, 0..3_u32, 0..3_u32, 0..2_u32)
        .prop_map(
            |(keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly)| Policy {
                keep_last,
                keep_hourly,
                keep_daily,
                keep_weekly,
                keep_monthly,
                keep_yearly,
                ..Policy::default()
            },
        )
        .prop_filter("empty", |p| p.check().is_ok())
}

proptest! {
    #[test]
    fn p15_never_the_last_of_a_volume(all in sets(), policy in policies()) {
        let before = inventory(all);
        let plan = planned(&policy, &before, now());
        prop_assert_eq!(&plan, &planned(&policy, &before, now()));
        let doomed: HashSet<SnapshotId> = plan.doomed().into_iter().collect();
        let after = inventory(before.snapshots.iter().filter(|s| !doomed.contains(&s.id)).cloned().collect());
        let volumes = |i: &Inventory, proven: bool| -> HashSet<VolumeId> {
            i.sets().iter().filter(|s| s.restorable && (!proven || s.level.is_proven()))
                .flat_map(|s| s.members.iter().filter_map(|m| i.snapshot(m)).map(|m| m.volume.clone()).collect::<Vec<_>>())
                .collect()
        };
        // No volume that could be restored before cannot be restored after; the same for proven sets.
        prop_assert_eq!(volumes(&before, true), volumes(&after, true));
        prop_assert_eq!(volumes(&before, false), volumes(&after, false));
        // Nor is one left without a proven snapshot of its own that had one, in whatever set.
        let own = |i: &Inventory| -> HashSet<VolumeId> {
            i.snapshots.iter()
                .filter(|s| s.is_restorable() && s.verified_level().is_some_and(Level::is_proven))
                .map(|s| s.volume.clone()).collect()
        };
        prop_assert_eq!(own(&before), own(&after));
        // Snapshots that are not ours stay; sets go whole.
        for snapshot in &before.snapshots {
            prop_assert!(snapshot.job().is_some() || !doomed.contains(&snapshot.id));
        }
        for set in before.sets() {
            let gone = set.members.iter().filter(|m| doomed.contains(*m)).count();
            prop_assert!(gone == 0 || gone == set.members.len());
        }
        // Everything appears exactly once, with a reason.
        let shown: usize = plan.decisions.iter().map(|d| d.snapshots.len()).sum();
        prop_assert_eq!(shown, before.snapshots.len());
        prop_assert!(plan.decisions.iter().all(|d| !d.reasons.is_empty()));
        // What is left is stable: planning again deletes nothing more.
        prop_assert!(planned(&policy, &after, now()).doomed().is_empty());
    }

    #[test]
    fn keep_daily_agrees_with_an_oracle(ages in prop::collection::btree_set(0_i64..1_500, 1..60), keep in 1..20_u32) {
        let all = (1_u32..).zip(&ages).map(|(n, age)| member(n, 1, 1, now() - hours(*age), "filesystem")).collect();
        let plan = planned(&Policy { keep_daily: keep, ..Policy::default() }, &inventory(all), now());
        let mut newest = BTreeMap::new();
        for age in ages.iter().rev() {
            let at = now() - hours(*age);
            newest.insert(at.date_naive(), at);
        }
        let expected: HashSet<_> = newest.into_values().rev().take(keep as usize).collect();
        let kept: HashSet<_> = plan.decisions.iter().filter(|d| d.fate == Fate::Keep).map(|d| d.started).collect();
        prop_assert_eq!(kept, expected);
    }
}

#[test]
fn p14_bounds_of_time_are_exact() {
    let second = Duration::seconds(1);
    // A set of this very moment is not of the future: it counts, and the older ones make room for it.
    let mut all = pair(1, now(), "application");
    all.extend(pair(2, now() - hours(1), "application"));
    let plan = planned(&last(1), &inventory(all), now());
    assert_eq!(fate(&plan, 1).fate, Fate::Keep);
    assert!(!fate(&plan, 1).reasons.iter().any(|r| r.contains("future")));
    assert_eq!(fate(&plan, 2).fate, Fate::Delete);

    // A set that was never judged may be judged for 24 hours, and not at their end.
    for (age, expected) in [
        (hours(24) - second, Fate::Blocked),
        (hours(24), Fate::Delete),
    ] {
        let mut all = pair(1, now() - hours(1), "application");
        all.extend(pair(2, now() - hours(2), "crash"));
        all.extend(pair(3, now() - age, "pending"));
        let plan = planned(&last(1), &inventory(all), now());
        assert_eq!(fate(&plan, 3).fate, expected, "{:?}", fate(&plan, 3));
    }

    // "Older than two days" begins after two days.
    let policy = Policy {
        drop_unproven_after: Some(crate::retention::Age::days(2)),
        ..last(5)
    };
    for (age, expected) in [(hours(48), Fate::Keep), (hours(48) + second, Fate::Delete)] {
        let mut all = pair(1, now() - hours(1), "application");
        all.extend(pair(2, now() - age, "crash"));
        // The root volume's newest proven set is the whole set 1.
        let plan = planned(&policy, &inventory(all), now());
        assert_eq!(fate(&plan, 2).fate, expected, "{:?}", fate(&plan, 2));
    }
}

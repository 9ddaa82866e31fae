//! Property 27: a plan never deletes what its own words keep, held against a small oracle that shares nothing with
//! the code that plans.

use super::*;
use crate::retention::Age;

/// What a set of a story is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Proven,
    Claimed,
    Crash,
    NeverJudged,
    Failed,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Claimed | Self::Crash | Self::NeverJudged => "unproven",
            Self::Failed => "failed",
        }
    }
}

/// A set of a story: number, age in hours, kind, volumes.
type Sequel = (u32, i64, Kind, Vec<u32>);

fn story() -> impl Strategy<Value = Vec<Sequel>> {
    let kind = prop_oneof![
        Just(Kind::Proven),
        Just(Kind::Claimed),
        Just(Kind::Crash),
        Just(Kind::NeverJudged),
        Just(Kind::Failed)
    ];
    let volumes = prop::sample::subsequence(vec![1_u32, 2, 3], 1..4);
    // Close together, so that buckets hold several.
    prop::collection::vec((25_i64..1_500, kind, volumes), 1..40).prop_map(|sets| {
        let numbered = (1_u32..).zip(sets);
        numbered
            .map(|(n, (age, kind, volumes))| (n, age, kind, volumes))
            .collect()
    })
}

fn snapshots(story: &[Sequel]) -> Vec<Snapshot> {
    let mut all = Vec::new();
    for (n, age, kind, volumes) in story {
        for volume in volumes {
            let level = match kind {
                Kind::Proven | Kind::Claimed => "application",
                Kind::Crash | Kind::Failed => "crash",
                Kind::NeverJudged => "pending",
            };
            let mut one = member(*n, *volume, volumes.len(), now() - hours(*age), level);
            if *kind == Kind::Claimed {
                one.tags.0.remove(tags::FROZEN_MS);
            }
            if *kind == Kind::Failed {
                one.state = "error".into();
            }
            all.push(one);
        }
    }
    all
}

fn numbers(plan: &PrunePlan) -> HashSet<u32> {
    plan.deletions()
        .filter_map(|d| u32::from_str_radix(&d.job.as_ref()?.as_str()[..8], 16).ok())
        .collect()
}

/// The oracle: what a policy's words keep. For each volume and class, each rule keeps the newest of its newest buckets.
fn kept(story: &[Sequel], policy: &Policy) -> HashSet<u32> {
    let formats = [
        (policy.keep_hourly, "%Y%m%d%H"),
        (policy.keep_daily, "%Y%m%d"),
        (policy.keep_weekly, "%G%V"),
        (policy.keep_monthly, "%Y%m"),
        (policy.keep_yearly, "%Y"),
    ];
    let mut kept = HashSet::new();
    for class in ["proven", "unproven", "failed"] {
        for volume in 1..=3 {
            let mut sets: Vec<&Sequel> = story
                .iter()
                .filter(|(_, _, kind, volumes)| kind.class() == class && volumes.contains(&volume))
                .collect();
            // Those of one moment by their id.
            sets.sort_by_key(|(n, age, ..)| (*age, *n));
            kept.extend(sets.iter().take(policy.keep_last as usize).map(|set| set.0));
            for (count, format) in formats {
                let mut seen = Vec::new();
                for (n, age, ..) in &sets {
                    let bucket = (now() - hours(*age)).format(format).to_string();
                    if !seen.contains(&bucket) && seen.len() < count as usize {
                        kept.insert(*n);
                        seen.push(bucket);
                    }
                }
            }
        }
    }
    kept
}

fn counts() -> impl Strategy<Value = [u32; 6]> {
    prop::array::uniform6(prop_oneof![4 => 0..5_u32, 1 => Just(100_000)])
        .prop_filter("it keeps nothing", |n| n.iter().any(|n| *n > 0))
}

fn policy(n: [u32; 6]) -> Policy {
    Policy {
        keep_last: n[0],
        keep_hourly: n[1],
        keep_daily: n[2],
        keep_weekly: n[3],
        keep_monthly: n[4],
        keep_yearly: n[5],
        ..Policy::default()
    }
}

proptest! {
    #[test]
    fn p27_a_plan_never_deletes_what_its_own_words_keep(story in story(), n in counts(), more in 0..6_usize) {
        let all = inventory(snapshots(&story));
        let doomed = numbers(&planned(&policy(n), &all, now()));
        let kept = kept(&story, &policy(n));
        prop_assert!(doomed.is_disjoint(&kept), "deleted and kept: {:?}", doomed.intersection(&kept));
        // What no rule keeps goes, but for those that only claim a level: they are kept as if it were true.
        for (n, _, kind, _) in &story {
            prop_assert!(kept.contains(n) || doomed.contains(n) || *kind == Kind::Claimed, "{} is {:?}", n, kind);
        }
        // A larger number never deletes more.
        let mut larger = n;
        larger[more] += 1;
        prop_assert!(numbers(&planned(&policy(larger), &all, now())).is_subset(&doomed));
        // No other class decides about a proven set.
        let proven: Vec<Sequel> = story.iter().filter(|t| t.2 == Kind::Proven).cloned().collect();
        let alone = numbers(&planned(&policy(n), &inventory(snapshots(&proven)), now()));
        let of_all: HashSet<u32> = proven.iter().map(|t| t.0).filter(|n| doomed.contains(n)).collect();
        prop_assert_eq!(alone, of_all);
    }

    #[test]
    fn p27_a_plan_of_some_instances_keeps_of_theirs_what_its_words_keep(story in story(), n in counts()) {
        // Volumes that move between two instances: sets of odd numbers are of the one that the plan is of.
        let mut all = snapshots(&story);
        for one in &mut all {
            let odd = one.job().and_then(|job| u32::from_str_radix(&job.as_str()[..8], 16).ok()).is_some_and(|n| n % 2 == 1);
            one.tags.set(tags::INSTANCE, if odd { "i-00000001" } else { "i-00000002" });
        }
        let all = inventory(all);
        let policy = Policy { instance: vec!["i-00000001".into()], ..policy(n) };
        let doomed = numbers(&scope_tests::plan_of(&policy, &all, &["i-00000001"]));
        let of_it: Vec<Sequel> = story.iter().filter(|t| t.0 % 2 == 1).cloned().collect();
        prop_assert!(doomed.iter().all(|n| n % 2 == 1), "out of scope: {:?}", doomed);
        prop_assert!(doomed.is_disjoint(&kept(&of_it, &policy)));
    }

    #[test]
    fn p27_dropping_the_unproven_early_is_asked_for_by_name(story in story(), n in counts(), days in 0..70_u32) {
        let all = inventory(snapshots(&story));
        let without = numbers(&planned(&policy(n), &all, now()));
        let dropping = |days| Policy { drop_unproven_after: Some(Age::days(days)), ..policy(n) };
        let with = numbers(&planned(&dropping(days), &all, now()));
        prop_assert!(without.is_subset(&with));
        prop_assert!(numbers(&planned(&dropping(days + 1), &all, now())).is_subset(&with));
        for (n, age, kind, volumes) in &story {
            let newer = |volume: &u32| story.iter().any(|(m, a, k, v)| {
                *k == Kind::Proven && (*a, *m) < (*age, *n) && v.contains(volume)
            });
            let old = *age > i64::from(days) * 24 && volumes.iter().all(newer);
            // Proven ones are not touched, nor is what is young or the best that there is.
            if without.contains(n) != with.contains(n) {
                prop_assert!(*kind != Kind::Proven && old, "{} {:?}", n, kind);
            }
            if old && matches!(kind, Kind::Crash | Kind::NeverJudged | Kind::Failed) {
                prop_assert!(with.contains(n), "{} {:?}", n, kind);
            }
        }
    }
}

/// The example of the issue: crash-consistent sets under a policy that keeps everything, and alone.
#[test]
fn p27_a_rule_for_counting_is_not_a_rule_for_deleting() {
    let mut story: Vec<Sequel> = (1..=60)
        .map(|n| (n, 25 + i64::from(n), Kind::Crash, vec![1]))
        .collect();
    let everything = policy([100_000, 0, 100_000, 0, 0, 0]);
    let only_crash = inventory(snapshots(&story));
    assert!(numbers(&planned(&everything, &only_crash, now())).is_empty());
    // With nothing proven the rules hold all the same.
    assert_eq!(numbers(&planned(&last(7), &only_crash, now())).len(), 53);
    story.push((61, 24, Kind::Proven, vec![1]));
    let all = inventory(snapshots(&story));
    assert!(numbers(&planned(&everything, &all, now())).is_empty());
    let plan = planned(&last(7), &all, now());
    assert_eq!(numbers(&plan).len(), 53);
    assert_eq!(fate(&plan, 1).reasons, ["unproven: last 1 of 7"]);
    assert_eq!(
        fate(&plan, 60).reasons,
        ["unproven: no rule keeps it among the unproven (last 7)"]
    );
    let early = Policy {
        drop_unproven_after: Some(Age::days(2)),
        ..everything
    };
    let plan = planned(&early, &all, now());
    assert_eq!(numbers(&plan), (24..=60).collect());
    assert_eq!(
        fate(&plan, 60).reasons,
        ["unproven, older than 2d, and each volume has a newer proven set"]
    );
}

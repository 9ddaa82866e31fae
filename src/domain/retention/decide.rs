//! From a policy and a complete reading to one decision per set. Whatever is not known to be safe to
//! delete is blocked, with its reason.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Datelike, Duration, Utc};

use super::{Decision, Fate, PlannedSnapshot, Policy, PrunePlan};
use crate::domain::ids::{ImageId, InstanceId, SnapshotId, VolumeId};
use crate::domain::inventory::Inventory;
use crate::domain::level::{Level, Origin};
use crate::domain::problem::{Kind, Problem};
use crate::domain::proof::CLAIMED;
use crate::domain::set::SnapshotSet;
use crate::domain::snapshot::Snapshot;
use crate::domain::tags;

/// A set that is still unjudged after so many hours has no job any more.
const JUDGING_HOURS: i64 = 24;
/// What AWS writes as the source volume of a copy (aws-facts 4.1).
const NO_VOLUME: &str = "vol-ffffffff";

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Everything in the account and region.
    pub inventory: &'a Inventory,
    /// Snapshots under Snapshot Lock.
    pub locked: &'a HashSet<SnapshotId>,
    /// Snapshots with fast snapshot restore.
    pub fast_restore: &'a HashSet<SnapshotId>,
    /// Snapshots that other accounts may use.
    pub shared: &'a HashSet<SnapshotId>,
    /// Every page was read. A part of the truth is no ground for deleting.
    pub complete: bool,
}

/// Decides about every set and every foreign snapshot. Deterministic: the same facts and moment give
/// the same plan.
///
/// # Errors
/// An empty policy, or a reading that is not complete.
pub fn plan(policy: &Policy, facts: &Facts<'_>, now: DateTime<Utc>) -> Result<PrunePlan, Problem> {
    policy.check()?;
    if !facts.complete {
        return Err(Problem::new(
            Kind::Malformed,
            format!("plan what to delete in {}", facts.inventory.scope),
            "the listing was not read to its end",
            "try again; nothing is deleted on the strength of a part",
        ));
    }
    let view = View::new(facts, now);
    let kept = view.kept_by(policy);
    let mut decisions: Vec<Decision> = (0..view.sets.len())
        .map(|n| view.decide(n, policy, &kept))
        .collect();
    let ours: HashSet<&SnapshotId> = view.sets.iter().flat_map(|set| &set.members).collect();
    decisions.extend(
        facts
            .inventory
            .snapshots
            .iter()
            .filter(|s| !ours.contains(&s.id))
            .map(|s| view.foreign(s)),
    );
    decisions.sort_by_cached_key(order);
    Ok(PrunePlan {
        scope: facts.inventory.scope.clone(),
        policy: policy.clone(),
        made_at: now,
        decisions,
    })
}

/// Ours before foreign, by instance, newest first; the rest only makes the order total.
fn order(d: &Decision) -> impl Ord + use<> {
    (
        d.job.is_none(),
        d.instance_name.clone(),
        d.instance.clone(),
        std::cmp::Reverse(d.started),
        d.job.clone(),
        d.snapshots.first().map(|s| s.id.clone()),
    )
}

/// The facts, looked up once.
struct View<'a> {
    facts: &'a Facts<'a>,
    now: DateTime<Utc>,
    /// Newest first.
    sets: Vec<SnapshotSet>,
    members: Vec<Vec<&'a Snapshot>>,
    images: HashMap<&'a SnapshotId, Vec<&'a ImageId>>,
    names: HashMap<&'a InstanceId, &'a str>,
    attached: HashMap<&'a VolumeId, &'a InstanceId>,
    /// By what the tags bear out.
    borne: Lists,
    /// The same, had every level's tag been believed. It only adds to what is kept: a tag that somebody wrote
    /// pushes no proven set out, and takes no protection from the set that bears it.
    claimed: Lists,
}

/// Sets of each volume (indices, newest first).
type OfVolumes = HashMap<String, Vec<usize>>;

/// What may hold the last proven data of a volume, by one word of its level.
#[derive(Default)]
struct Lists {
    /// The sets that count.
    counted: OfVolumes,
    /// The whole sets in which the volume's own snapshot is proven. Such a set may count nowhere: its level is that
    /// of another volume.
    own: OfVolumes,
}

fn newest(sets: &OfVolumes, volume: &str) -> Option<usize> {
    sets.get(volume).and_then(|list| list.first().copied())
}

impl<'a> View<'a> {
    fn new(facts: &'a Facts<'a>, now: DateTime<Utc>) -> Self {
        let inventory = facts.inventory;
        let by_id: HashMap<&SnapshotId, &Snapshot> =
            inventory.snapshots.iter().map(|s| (&s.id, s)).collect();
        let sets = inventory.sets();
        let members = sets
            .iter()
            .map(|set| {
                set.members
                    .iter()
                    .filter_map(|id| by_id.get(id).copied())
                    .collect()
            })
            .collect();
        let mut images: HashMap<&SnapshotId, Vec<&ImageId>> = HashMap::new();
        for image in &inventory.images {
            for snapshot in &image.snapshots {
                images.entry(snapshot).or_default().push(&image.id);
            }
        }
        let mut view = Self {
            facts,
            now,
            sets,
            members,
            images,
            names: inventory
                .instances
                .iter()
                .map(|i| (&i.id, i.name()))
                .collect(),
            attached: inventory
                .volumes
                .iter()
                .filter_map(|v| Some((&v.id, &v.attachments.first()?.instance)))
                .collect(),
            borne: Lists::default(),
            claimed: Lists::default(),
        };
        view.borne = view.lists(|set| set.level, Snapshot::borne_level);
        view.claimed = view.lists(|set| set.tagged, Snapshot::level);
        view
    }

    fn lists(
        &self,
        of_set: fn(&SnapshotSet) -> Level,
        own: fn(&Snapshot) -> Option<Level>,
    ) -> Lists {
        let mut lists = Lists::default();
        for n in (0..self.sets.len()).filter(|n| self.is_whole(*n)) {
            let counts = self.counts(n, of_set);
            for member in self.members_of(n) {
                let add = |sets: &mut OfVolumes| {
                    let list = sets.entry(lineage(member)).or_default();
                    if list.last() != Some(&n) {
                        list.push(n);
                    }
                };
                if counts {
                    add(&mut lists.counted);
                }
                if own(member).is_some_and(Level::is_proven) {
                    add(&mut lists.own);
                }
            }
        }
        lists
    }

    fn members_of(&self, n: usize) -> &[&'a Snapshot] {
        self.members.get(n).map_or(&[], Vec::as_slice)
    }

    /// Whether a set counts towards keep-N: whole, and proven by that word of its level.
    fn counts(&self, n: usize, level: fn(&SnapshotSet) -> Level) -> bool {
        let set = self.sets.get(n);
        set.is_some_and(|set| level(set).is_proven()) && self.is_whole(n)
    }

    /// All there, restorable, ours, and not from the future.
    fn is_whole(&self, n: usize) -> bool {
        self.sets.get(n).is_some_and(|set| {
            set.restorable
                && set.expected == Some(set.members.len())
                && set.scope == self.facts.inventory.scope
                && set.started <= self.now
        }) && self
            .members_of(n)
            .iter()
            .all(|m| matches!(m.origin, Origin::Freezeframe | Origin::Image { .. }) && !in_bin(m))
    }

    /// For each set the reasons for which it stays.
    fn kept_by(&self, policy: &Policy) -> Vec<Vec<String>> {
        let mut kept: Vec<Vec<String>> = vec![Vec::new(); self.sets.len()];
        self.keep(&self.borne, policy, &mut kept);
        // What is kept anyhow needs no second reason.
        let mut claimed: Vec<Vec<String>> = vec![Vec::new(); self.sets.len()];
        self.keep(&self.claimed, policy, &mut claimed);
        for (reasons, claimed) in kept.iter_mut().zip(claimed) {
            if reasons.is_empty() {
                *reasons = claimed;
            }
        }
        kept
    }

    fn keep(&self, lists: &Lists, policy: &Policy, kept: &mut [Vec<String>]) {
        let mut volumes: Vec<&String> = lists.counted.keys().chain(lists.own.keys()).collect();
        volumes.sort();
        volumes.dedup();
        for volume in volumes {
            let list = lists.counted.get(volume).map_or(&[][..], Vec::as_slice);
            let own = lists.own.get(volume).map_or(&[][..], Vec::as_slice);
            for (rule, (count, word, bucket)) in rules(policy).into_iter().enumerate() {
                let mut seen: Vec<String> = Vec::new();
                for (place, n) in list.iter().enumerate() {
                    if seen.len() >= count as usize {
                        break;
                    }
                    let (Some(set), Some(reasons)) = (self.sets.get(*n), kept.get_mut(*n)) else {
                        continue;
                    };
                    // Without a bucket every set is its own.
                    let name = if rule == 0 {
                        format!("{} of {count}", place + 1)
                    } else {
                        bucket(set.started)
                    };
                    if seen.last() != Some(&name) {
                        note(reasons, format!("{word} {name}"));
                        seen.push(name);
                    }
                }
            }
            // The newest set of a volume stays whatever the policy says; so does the newest in which the
            // volume's own snapshot is proven (a root volume's never is), of those that count and of all.
            let both = list.iter().find(|n| own.binary_search(n).is_ok());
            let newest = [list.first(), both, own.first()];
            for n in newest.into_iter().flatten() {
                let words = self.newest_words(*n, volume, list.binary_search(n).is_ok());
                if let Some(reasons) = kept.get_mut(*n) {
                    note(reasons, words);
                }
            }
        }
    }

    /// Why the newest of a volume stays: as a set that counts, or for the volume's own snapshot.
    fn newest_words(&self, n: usize, volume: &str, counts: bool) -> String {
        let level = self.sets.get(n).map_or(Level::Pending, |set| set.level);
        if counts {
            return if level.is_proven() {
                format!("newest proven set of {volume}")
            } else {
                format!("newest set that claims a level of {volume}")
            };
        }
        let proven = self
            .members_of(n)
            .iter()
            .any(|m| lineage(m) == volume && is_proven(m));
        if proven {
            format!("newest proven snapshot of {volume}, in a set that is {level}")
        } else {
            format!("newest snapshot that claims a level of {volume}, in a set that is {level}")
        }
    }

    fn decide(&self, n: usize, policy: &Policy, kept: &[Vec<String>]) -> Decision {
        let Some(set) = self.sets.get(n) else {
            // Callers count over the sets themselves.
            return self.decision(None, None, self.now, None, Fate::Blocked, Vec::new(), &[]);
        };
        let mut keep = kept.get(n).cloned().unwrap_or_default();
        if set.started > self.now {
            keep.push("dated in the future: a clock is wrong".to_owned());
        }
        if keep.is_empty() && !self.counts(n, |set| set.level) {
            keep.extend(self.irreplaceable(n));
        }
        let blocked = self.blockers(n);
        let (fate, mut reasons) = if !keep.is_empty() {
            (Fate::Keep, keep)
        } else if !blocked.is_empty() {
            (Fate::Blocked, blocked)
        } else {
            (Fate::Delete, vec![self.farewell(n, policy)])
        };
        if let Some(claim) = set.bare_claim() {
            note(&mut reasons, format!("{claim} {CLAIMED}"));
        }
        let members = self.members_of(n);
        self.decision(
            Some(set),
            set.instance.as_ref(),
            set.started,
            Some(set.tagged),
            fate,
            reasons,
            members,
        )
    }

    /// A set that does not count may still be the best there is for one of its volumes.
    fn irreplaceable(&self, n: usize) -> Vec<String> {
        let mut reasons = Vec::new();
        for member in self.members_of(n).iter().filter(|m| m.state != "error") {
            let volume = lineage(member);
            // Indices run from newest to oldest.
            match newest(&self.borne.counted, &volume) {
                Some(newest) if newest < n => {}
                Some(_) => note(
                    &mut reasons,
                    format!("newer than the newest proven set of {volume}"),
                ),
                None => note(&mut reasons, format!("{volume} has no proven set")),
            }
            // A newer set that counts need not have covered this volume.
            if is_proven(member) && newest(&self.borne.own, &volume).is_none_or(|newest| newest > n)
            {
                note(
                    &mut reasons,
                    format!("no other set has so new a proven snapshot of {volume}"),
                );
            }
        }
        reasons
    }

    /// Why a set must not, or cannot, be deleted.
    fn blockers(&self, n: usize) -> Vec<String> {
        let mut reasons = Vec::new();
        let Some(set) = self.sets.get(n) else {
            return reasons;
        };
        let members = self.members_of(n);
        if set.scope != self.facts.inventory.scope {
            note(&mut reasons, format!("belongs to {}", set.scope));
        }
        match set.expected {
            Some(expected) if expected != set.members.len() => note(
                &mut reasons,
                format!(
                    "partial set: {} of {expected} members are there",
                    set.members.len()
                ),
            ),
            None => note(&mut reasons, "the set's size is not known".to_owned()),
            Some(_) => {}
        }
        if set.instance.is_none() {
            note(
                &mut reasons,
                "its members name no instance, or different ones".to_owned(),
            );
        }
        if set.tagged == Level::Pending && self.now - set.started < Duration::hours(JUDGING_HOURS) {
            note(
                &mut reasons,
                "not judged yet: its job may still be at work".to_owned(),
            );
        }
        for member in members {
            self.member_blockers(member, &mut reasons);
        }
        reasons
    }

    fn member_blockers(&self, member: &Snapshot, reasons: &mut Vec<String>) {
        let id = &member.id;
        match member.state.as_str() {
            "completed" | "error" => {}
            "pending" => note(reasons, format!("{id} is still being copied")),
            "recoverable" | "recovering" => note(reasons, format!("{id} is in the Recycle Bin")),
            other => note(reasons, format!("{id} is in state {other}")),
        }
        if in_bin(member) && member.state == "completed" {
            note(reasons, format!("{id} is in the Recycle Bin"));
        }
        if member.tier != "standard" {
            note(reasons, format!("{id} is in the {} tier", member.tier));
        }
        for image in self.images.get(id).into_iter().flatten() {
            note(reasons, format!("used by {image}"));
        }
        match &member.origin {
            Origin::Freezeframe => {}
            Origin::Manual => note(reasons, "not ours (manual)".to_owned()),
            managed => note(reasons, kept_by(managed)),
        }
        if self.facts.locked.contains(id) {
            note(reasons, format!("{id} is locked"));
        }
        if self.facts.fast_restore.contains(id) {
            note(reasons, format!("{id} has fast snapshot restore"));
        }
        if self.facts.shared.contains(id) {
            note(reasons, format!("{id} is shared with other accounts"));
        }
        if member.tags.get(tags::PIN).is_some() {
            note(reasons, "pinned".to_owned());
        }
    }

    fn farewell(&self, n: usize, policy: &Policy) -> String {
        let failed = self.members_of(n).iter().any(|m| m.state == "error");
        let level = self.sets.get(n).map_or(Level::Pending, |s| s.level);
        if failed {
            "failed, and there is a newer proven set".to_owned()
        } else if level.is_proven() {
            let rules: Vec<String> = rules(policy)
                .iter()
                .filter(|(count, ..)| *count > 0)
                .map(|(count, word, _)| format!("{word} {count}"))
                .collect();
            format!("no rule keeps it ({})", rules.join(", "))
        } else if level == Level::Crash {
            "crash-consistent only, and there is a newer proven set".to_owned()
        } else {
            "never proven, and there is a newer proven set".to_owned()
        }
    }

    /// A snapshot that is not ours is never deleted.
    fn foreign(&self, snapshot: &Snapshot) -> Decision {
        let mut reasons = vec![format!("not ours ({})", snapshot.origin.word())];
        if snapshot.origin != Origin::Manual && snapshot.origin != Origin::Freezeframe {
            note(&mut reasons, kept_by(&snapshot.origin));
        }
        for image in self.images.get(&snapshot.id).into_iter().flatten() {
            note(&mut reasons, format!("used by {image}"));
        }
        let instance = snapshot
            .instance()
            .or_else(|| self.attached.get(&snapshot.volume).map(|id| (*id).clone()));
        self.decision(
            None,
            instance.as_ref(),
            snapshot.started,
            None,
            Fate::Blocked,
            reasons,
            &[snapshot],
        )
    }

    fn decision(
        &self,
        set: Option<&SnapshotSet>,
        instance: Option<&InstanceId>,
        started: DateTime<Utc>,
        level: Option<Level>,
        fate: Fate,
        reasons: Vec<String>,
        members: &[&Snapshot],
    ) -> Decision {
        Decision {
            job: set.map(|s| s.job.clone()),
            instance: instance.cloned(),
            instance_name: instance.map_or_else(
                || "-".to_owned(),
                |id| {
                    self.names
                        .get(id)
                        .map_or_else(|| id.to_string(), |name| (*name).to_owned())
                },
            ),
            started,
            level,
            fate,
            reasons,
            snapshots: members
                .iter()
                .map(|m| PlannedSnapshot {
                    id: m.id.clone(),
                    volume: m.volume.clone(),
                    device: m.device().unwrap_or("-").to_owned(),
                    volume_gib: m.volume_gib,
                    state: m.state.clone(),
                })
                .collect(),
        }
    }
}

type Rule = (u32, &'static str, fn(DateTime<Utc>) -> String);

/// Count, word and bucket of each rule; UTC throughout, so daylight saving cannot merge or split a bucket.
fn rules(policy: &Policy) -> [Rule; 6] {
    [
        (policy.keep_last, "last", |t| t.to_rfc3339()),
        (policy.keep_hourly, "hourly", |t| {
            t.format("%Y-%m-%d %H:00Z").to_string()
        }),
        (policy.keep_daily, "daily", |t| {
            t.format("%Y-%m-%d").to_string()
        }),
        (policy.keep_weekly, "weekly", |t| {
            let week = t.iso_week();
            format!("{}-W{:02}", week.year(), week.week())
        }),
        (policy.keep_monthly, "monthly", |t| {
            t.format("%Y-%m").to_string()
        }),
        (policy.keep_yearly, "yearly", |t| t.format("%Y").to_string()),
    ]
}

/// What a snapshot's history is counted under: its volume, or for a copy, which has lost its volume's
/// id, the instance and device that it was tagged with.
fn lineage(snapshot: &Snapshot) -> String {
    if snapshot.volume.as_str() != NO_VOLUME {
        return snapshot.volume.to_string();
    }
    let tag = |key| snapshot.tags.get(key).unwrap_or("?");
    format!("{} {}", tag(tags::INSTANCE), tag(tags::DEVICE))
}

/// Whether a snapshot's own level is proven, as far as its tags bear it out.
fn is_proven(snapshot: &Snapshot) -> bool {
    snapshot.borne_level().is_some_and(Level::is_proven)
}

pub(super) fn in_bin(snapshot: &Snapshot) -> bool {
    matches!(snapshot.state.as_str(), "recoverable" | "recovering")
        || snapshot.tags.get("aws:recycle-bin:resource-in-bin") == Some("true")
}

pub(super) fn kept_by(origin: &Origin) -> String {
    match origin {
        Origin::Dlm { policy } => format!("managed by DLM ({policy})"),
        Origin::AwsBackup => "managed by AWS Backup".to_owned(),
        Origin::Image { image } => format!("used by {image}"),
        Origin::Freezeframe | Origin::Manual => format!("kept by {}", origin.word()),
    }
}

/// Adds a reason once, made safe to show.
fn note(reasons: &mut Vec<String>, reason: String) {
    let reason = crate::domain::text::visible(&reason).into_owned();
    if !reasons.contains(&reason) {
        reasons.push(reason);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

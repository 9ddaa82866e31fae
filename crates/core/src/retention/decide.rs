//! From a policy and a complete reading to one decision per set. Whatever is not known to be safe to
//! delete is blocked, with its reason.

use crate::state::SnapshotState;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Datelike, Duration, Utc};

use super::selection::{Chooser, Taken};
use super::{Chosen, Decision, Fate, Of, PlannedSnapshot, Policy, PrunePlan};
use crate::ids::{ImageId, InstanceId, JobId, SnapshotId, VolumeId};
use crate::inventory::Inventory;
use crate::job::JobView;
use crate::level::{Level, Origin};
use crate::problem::{Kind, Problem};
use crate::proof::{self, CLAIMED};
use crate::set::SnapshotSet;
use crate::snapshot::Snapshot;
use crate::tags;

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
    /// What this machine's journal has of the jobs that made sets: it bears out their levels, or does not.
    pub jobs: &'a HashMap<JobId, JobView>,
    /// Snapshots that an earlier prune was about to delete, by the set that they were of.
    pub condemned: &'a HashMap<JobId, HashSet<SnapshotId>>,
    /// One for each of the policy's selections; none: everything.
    pub chosen: &'a [Chosen],
    /// Every page was read. A part of the truth is no ground for deleting.
    pub complete: bool,
}

/// Decides about every set and every snapshot that is not ours. Deterministic: the same facts and moment give
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
    decisions.extend(
        facts
            .inventory
            .snapshots
            .iter()
            .filter(|s| !view.ours.contains(&s.id))
            .filter_map(|s| view.not_ours(s)),
    );
    decisions.sort_by_cached_key(order);
    Ok(PrunePlan {
        scope: facts.inventory.scope.clone(),
        policy: policy.clone(),
        made_at: now,
        decisions,
    })
}

/// Ours before the others, by instance, newest first; the rest only makes the order total.
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

/// What sets are counted with. Each class is kept by the same rules, and none takes the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Whole, and its level is borne out.
    Proven,
    /// Whole, and no more than crash-consistent: a set that only claims its level too, and one that nobody judged.
    Unproven,
    /// AWS failed to copy a member: nothing is restored from it as a whole.
    Failed,
}

impl Class {
    /// What is said before a rule that keeps one of it.
    fn prefix(self) -> &'static str {
        match self {
            Self::Proven => "",
            Self::Unproven => "unproven: ",
            Self::Failed => "failed: ",
        }
    }
}

/// The facts, looked up once.
struct View<'a> {
    facts: &'a Facts<'a>,
    now: DateTime<Utc>,
    /// Those that the plan is of, newest first, each with the level that may be claimed of it.
    sets: Vec<SnapshotSet>,
    members: Vec<Vec<&'a Snapshot>>,
    /// How each comes to be of the plan.
    taken: Vec<Taken>,
    /// Snapshots of any set, whether the plan is of it or not.
    ours: HashSet<SnapshotId>,
    /// What may be claimed of each member.
    levels: HashMap<&'a SnapshotId, Level>,
    images: HashMap<&'a SnapshotId, Vec<&'a ImageId>>,
    chooser: Chooser<'a>,
    volumes: HashSet<&'a VolumeId>,
    attached: HashMap<&'a VolumeId, &'a InstanceId>,
    unproven: OfVolumes,
    failed: OfVolumes,
    /// By what is borne out.
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
        let chooser = Chooser::new(facts.chosen, &inventory.instances);
        let mut ours = HashSet::new();
        let mut levels = HashMap::new();
        let (mut sets, mut members, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for mut set in inventory.sets() {
            let of_set: Vec<&Snapshot> = set
                .members
                .iter()
                .filter_map(|id| by_id.get(id).copied())
                .collect();
            ours.extend(set.members.iter().cloned());
            let job = facts.jobs.get(&set.job);
            let proofs: Vec<_> = of_set.iter().map(|m| proof::member(m, job)).collect();
            set.level = proof::level(&proofs);
            levels.extend(
                of_set
                    .iter()
                    .map(|m| &m.id)
                    .zip(proofs.iter().map(|p| p.level)),
            );
            match chooser.takes(Of::Set(&set), set.instance.as_ref(), &of_set) {
                Taken::No => {}
                how => {
                    taken.push(how);
                    sets.push(set);
                    members.push(of_set);
                }
            }
        }
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
            taken,
            ours,
            levels,
            images,
            chooser,
            volumes: inventory.volumes.iter().map(|v| &v.id).collect(),
            attached: inventory
                .volumes
                .iter()
                .filter_map(|v| Some((&v.id, &v.attachments.first()?.instance)))
                .collect(),
            unproven: OfVolumes::new(),
            failed: OfVolumes::new(),
            borne: Lists::default(),
            claimed: Lists::default(),
        };
        view.unproven = view.of_class(Class::Unproven);
        view.failed = view.of_class(Class::Failed);
        view.borne = view.lists(|set| set.level, |m| view.is_proven(m));
        view.claimed = view.lists(
            |set| set.tagged,
            |m| m.level().is_some_and(Level::is_proven),
        );
        view
    }

    /// Whether a snapshot's own level is proven.
    fn is_proven(&self, snapshot: &Snapshot) -> bool {
        self.levels
            .get(&snapshot.id)
            .is_some_and(|level| level.is_proven())
    }

    /// For each volume the sets of a class.
    fn of_class(&self, class: Class) -> OfVolumes {
        let mut all = OfVolumes::new();
        for n in (0..self.sets.len()).filter(|n| self.class(*n) == Some(class)) {
            for member in self.members_of(n) {
                let list = all.entry(lineage(member)).or_default();
                if list.last() != Some(&n) {
                    list.push(n);
                }
            }
        }
        all
    }

    fn class(&self, n: usize) -> Option<Class> {
        let set = self.sets.get(n)?;
        if self.is_whole(n) {
            // One that may yet be judged takes nobody's place.
            return match set.level {
                level if level.is_proven() => Some(Class::Proven),
                _ if self.may_be_judged(set) => None,
                _ => Some(Class::Unproven),
            };
        }
        let failed = self
            .members_of(n)
            .iter()
            .any(|m| m.state == SnapshotState::Error);
        let over = |m: &&Snapshot| m.state.has_ended();
        (failed
            && self.is_there(n)
            && self.members_of(n).iter().all(over)
            && !self.may_be_judged(set))
        .then_some(Class::Failed)
    }

    /// Not judged, and so young that its job may still be at work.
    fn may_be_judged(&self, set: &SnapshotSet) -> bool {
        set.tagged == Level::Pending && self.now - set.started < Duration::hours(JUDGING_HOURS)
    }

    fn lists(&self, of_set: fn(&SnapshotSet) -> Level, own: impl Fn(&Snapshot) -> bool) -> Lists {
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
                if own(member) {
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
        self.sets.get(n).is_some_and(|set| set.restorable) && self.is_there(n)
    }

    /// All there, ours, in the standard tier, and not from the future.
    fn is_there(&self, n: usize) -> bool {
        let ours = |m: &&Snapshot| matches!(m.origin, Origin::Freezeframe | Origin::Image { .. });
        self.sets.get(n).is_some_and(|set| {
            set.expected == Some(set.members.len())
                && set.scope == self.facts.inventory.scope
                && set.started <= self.now
        }) && self
            .members_of(n)
            .iter()
            .all(|m| ours(m) && m.tier == "standard" && !in_bin(m))
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
        // Those that are not proven are kept by the same rules, among themselves.
        for (class, lists) in [
            (Class::Unproven, &self.unproven),
            (Class::Failed, &self.failed),
        ] {
            let mut volumes: Vec<&String> = lists.keys().collect();
            volumes.sort();
            for list in volumes.into_iter().filter_map(|volume| lists.get(volume)) {
                self.keep_by_rules(class, list, policy, &mut kept);
            }
        }
        kept
    }

    /// Whether the policy drops a set early: it is not proven, older than the policy says, and each of its volumes has
    /// a newer proven set.
    fn is_dropped(&self, n: usize, policy: &Policy) -> bool {
        let (Some(age), Some(set)) = (policy.drop_unproven_after, self.sets.get(n)) else {
            return false;
        };
        self.now - set.started > age.duration()
            && self.members_of(n).iter().all(|member| {
                newest(&self.borne.counted, &lineage(member)).is_some_and(|newest| newest < n)
            })
    }

    fn keep_by_rules(
        &self,
        class: Class,
        list: &[usize],
        policy: &Policy,
        kept: &mut [Vec<String>],
    ) {
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
                    // One that is dropped early leaves its place to nobody: an older age would delete more.
                    if class == Class::Proven || !self.is_dropped(*n, policy) {
                        note(reasons, format!("{}{word} {name}", class.prefix()));
                    }
                    seen.push(name);
                }
            }
        }
    }

    fn keep(&self, lists: &Lists, policy: &Policy, kept: &mut [Vec<String>]) {
        let mut volumes: Vec<&String> = lists.counted.keys().chain(lists.own.keys()).collect();
        volumes.sort();
        volumes.dedup();
        for volume in volumes {
            let list = lists.counted.get(volume).map_or(&[][..], Vec::as_slice);
            let own = lists.own.get(volume).map_or(&[][..], Vec::as_slice);
            self.keep_by_rules(Class::Proven, list, policy, kept);
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
            .any(|m| lineage(m) == volume && self.is_proven(m));
        if proven {
            format!("newest proven snapshot of {volume}, in a set that is {level}")
        } else {
            format!("newest snapshot that claims a level of {volume}, in a set that is {level}")
        }
    }

    fn decide(&self, n: usize, policy: &Policy, kept: &[Vec<String>]) -> Decision {
        let Some(set) = self.sets.get(n) else {
            // Callers count over the sets themselves.
            return self.decision(None, None, self.now, Fate::Blocked, Vec::new(), &[]);
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
        match (
            set.unverified_claim(),
            self.facts.jobs.contains_key(&set.job),
        ) {
            (Some(claim), true) => note(
                &mut reasons,
                format!("its tag says {claim}, which the journal does not bear out"),
            ),
            (Some(claim), false) => note(&mut reasons, format!("{claim} {CLAIMED}")),
            (None, _) => {}
        }
        let members = self.members_of(n);
        let notes = self.notes(Some(n), set.instance.as_ref(), members);
        Decision {
            notes,
            ..self.decision(
                Some(set),
                set.instance.as_ref(),
                set.started,
                fate,
                reasons,
                members,
            )
        }
    }

    /// What is gone, and whose tags put it in the plan's scope.
    fn notes(
        &self,
        n: Option<usize>,
        instance: Option<&InstanceId>,
        members: &[&Snapshot],
    ) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(id) = instance.filter(|id| self.chooser.instance(id).is_none()) {
            note(&mut notes, format!("instance {id} is gone"));
        }
        let mut gone: Vec<&VolumeId> = members.iter().map(|m| &m.volume).collect();
        gone.retain(|v| v.as_str() != NO_VOLUME && !self.volumes.contains(v));
        gone.sort();
        gone.dedup();
        match gone.as_slice() {
            [] => {}
            [one] if members.len() > 1 => note(&mut notes, format!("volume {one} is gone")),
            [_] => note(&mut notes, "its volume is gone".to_owned()),
            all if all.len() == members.len() => {
                note(&mut notes, "all its volumes are gone".to_owned());
            }
            some => note(
                &mut notes,
                format!("{} of its {} volumes are gone", some.len(), members.len()),
            ),
        }
        if n.and_then(|n| self.taken.get(n)) == Some(&Taken::ByCopies) {
            note(
                &mut notes,
                "in scope by the tags of its snapshots".to_owned(),
            );
        }
        notes
    }

    /// A set that no rule keeps may still be the best there is for one of its volumes.
    fn irreplaceable(&self, n: usize) -> Vec<String> {
        let mut reasons = Vec::new();
        for member in self
            .members_of(n)
            .iter()
            .filter(|m| m.state != SnapshotState::Error)
        {
            let volume = lineage(member);
            // Indices run from newest to oldest.
            let whole = [&self.borne.counted, &self.unproven];
            match whole.iter().filter_map(|sets| newest(sets, &volume)).min() {
                Some(newest) if newest < n => {}
                Some(_) => note(
                    &mut reasons,
                    format!("newer than the newest whole set of {volume}"),
                ),
                None => note(&mut reasons, format!("{volume} has no whole set")),
            }
            // A newer set that counts need not have covered this volume.
            if self.is_proven(member)
                && newest(&self.borne.own, &volume).is_none_or(|newest| newest > n)
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
            Some(_) if self.is_half_deleted(set) => {}
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
        if self.may_be_judged(set) {
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
        match &member.state {
            SnapshotState::Completed | SnapshotState::Error => {}
            SnapshotState::Pending => note(reasons, format!("{id} is still being copied")),
            SnapshotState::Recoverable | SnapshotState::Recovering => {
                note(reasons, format!("{id} is in the Recycle Bin"))
            }
            other => note(reasons, format!("{id} is in state {other}")),
        }
        if in_bin(member) && member.state == SnapshotState::Completed {
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

    /// An earlier prune began to delete it and did not come to its end: what is missing was condemned with the rest.
    fn is_half_deleted(&self, set: &SnapshotSet) -> bool {
        let condemned = self.facts.condemned.get(&set.job);
        let missing = condemned.map_or(0, |ids| {
            ids.iter().filter(|id| !set.members.contains(id)).count()
        });
        missing > 0 && set.expected == Some(set.members.len() + missing)
    }

    fn farewell(&self, n: usize, policy: &Policy) -> String {
        let Some(set) = self.sets.get(n) else {
            return String::new();
        };
        if self.is_half_deleted(set) {
            return format!(
                "an earlier prune has deleted {} of its {} snapshots",
                set.expected.unwrap_or(0).saturating_sub(set.members.len()),
                set.expected.unwrap_or(0)
            );
        }
        let class = self.class(n);
        let word = match class {
            Some(Class::Failed) => "failed",
            _ if set.level == Level::Pending => "never judged",
            _ => "unproven",
        };
        if class != Some(Class::Proven) && self.is_dropped(n, policy) {
            let age = policy.drop_unproven_after.unwrap_or(super::Age::days(0));
            return format!("{word}, older than {age}, and each volume has a newer proven set");
        }
        let rules = Policy {
            drop_unproven_after: None,
            ..policy.clone()
        }
        .rules()
        .join(", ");
        match class {
            Some(Class::Proven) => format!("no rule keeps it ({rules})"),
            Some(Class::Failed) => format!("{word}: no rule keeps it among the failed ({rules})"),
            _ => format!("{word}: no rule keeps it among the unproven ({rules})"),
        }
    }

    /// A snapshot that is not ours is never deleted.
    fn not_ours(&self, snapshot: &'a Snapshot) -> Option<Decision> {
        let instance = snapshot
            .instance()
            .or_else(|| self.attached.get(&snapshot.volume).map(|id| (*id).clone()));
        let taken = self
            .chooser
            .takes(Of::Snapshot(snapshot), instance.as_ref(), &[snapshot]);
        if taken == Taken::No {
            return None;
        }
        let mut reasons = vec![format!("not ours ({})", snapshot.origin.word())];
        if snapshot.origin != Origin::Manual && snapshot.origin != Origin::Freezeframe {
            note(&mut reasons, kept_by(&snapshot.origin));
        }
        for image in self.images.get(&snapshot.id).into_iter().flatten() {
            note(&mut reasons, format!("used by {image}"));
        }
        let notes = self.notes(None, instance.as_ref(), &[snapshot]);
        Some(Decision {
            notes,
            ..self.decision(
                None,
                instance.as_ref(),
                snapshot.started,
                Fate::Blocked,
                reasons,
                &[snapshot],
            )
        })
    }

    fn decision(
        &self,
        set: Option<&SnapshotSet>,
        instance: Option<&InstanceId>,
        started: DateTime<Utc>,
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
                    self.chooser
                        .instance(id)
                        .map_or_else(|| id.to_string(), |i| i.name().to_owned())
                },
            ),
            started,
            level: set.map(|s| s.level),
            tagged: set.map(|s| s.tagged),
            fate,
            reasons,
            notes: Vec::new(),
            expected: set.and_then(|s| s.expected),
            snapshots: members
                .iter()
                .map(|m| PlannedSnapshot {
                    id: m.id.clone(),
                    volume: m.volume.clone(),
                    device: m.device().unwrap_or("-").to_owned(),
                    volume_gib: m.volume_gib,
                    state: m.state.clone(),
                    tagged: m.level(),
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

pub(super) fn in_bin(snapshot: &Snapshot) -> bool {
    snapshot.state.is_in_bin()
        || snapshot.tags.get("aws:recycle-bin:resource-in-bin") == Some("true")
}

pub(super) fn kept_by(origin: &Origin) -> String {
    match origin {
        Origin::Dlm { policy } => format!("managed by DLM ({policy})"),
        Origin::AwsBackup => "managed by AWS Backup".to_owned(),
        Origin::Image { image } => format!("used by {image}"),
        Origin::Copy { of } => format!("it carries the tags of {of}"),
        Origin::Freezeframe | Origin::Manual => format!("kept by {}", origin.word()),
    }
}

/// Adds a reason once, made safe to show.
fn note(reasons: &mut Vec<String>, reason: String) {
    let reason = crate::text::visible(&reason).into_owned();
    if !reasons.contains(&reason) {
        reasons.push(reason);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

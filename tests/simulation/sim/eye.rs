//! God's eye: what the lab alone knows, held against what the consoles claim. Pure over what was seen, so that a bad
//! history can be put before it and must be caught. Here: what was frozen, and what was made while it was; what the
//! journals claim of it is in `claims`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use freezeframe::domain::job::JobView;
use freezeframe::jobs::journal::CallRow;
use freezeframe::lab::CallRecord;
use freezeframe::lab::runtime_simulated::{By, Happening, What};

use super::story::Manners;

/// Nothing may be frozen longer than its budget and this, in milliseconds.
const GRACE_MS: i64 = 1_000;
/// A job whose labels could not be written stays open until they are.
const LABELS_STAY_OWED: bool = true;

/// A snapshot as it is, whatever the weather shows.
#[derive(Debug, Clone)]
pub struct Taken {
    pub id: String,
    pub volume: String,
    /// Tag `freezeframe:job`.
    pub job: String,
    /// Tag `freezeframe:level`.
    pub level: String,
}

/// What was asked for one job.
#[derive(Debug, Clone)]
pub struct Asked {
    pub job: String,
    pub instance: String,
    pub budget_s: u32,
    /// By somebody else's document.
    pub theirs: Option<Manners>,
    pub group: Option<String>,
    /// Which journal has it.
    pub journal: usize,
    /// That journal is gone.
    pub lost: bool,
}

/// A job's thaw was unconfirmed, and then it was not any more; by the lab's clock.
#[derive(Debug, Clone)]
pub struct Cleared {
    pub job: String,
    pub since: DateTime<Utc>,
    pub at: DateTime<Utc>,
    /// The commands that told of the job's own thaw and of its failsafe's end: as its record had it by then, or as AWS
    /// had answered.
    pub told: Vec<String>,
}

/// A snapshot's proven level, as it was first seen: right after the AWS call that wrote it.
#[derive(Debug, Clone)]
pub struct Labelled {
    pub job: String,
    pub level: String,
    /// The job still held something, by the lab's books.
    pub held: bool,
    /// AWS had answered with the end of the command that thawed.
    pub told: bool,
    /// Thaw, set and judgement were on the job's record.
    pub judged: bool,
}

/// Everything at one moment.
#[derive(Debug, Clone)]
pub struct Eye {
    pub now: DateTime<Utc>,
    /// Every job that any journal ever had.
    pub asked: Vec<Asked>,
    /// Volumes that instances boot from.
    pub roots: BTreeSet<String>,
    /// Volumes without the database, of instances that have one on another.
    pub files_only: BTreeSet<String>,
    /// Volumes whose tag keeps them out of every set.
    pub tagged_out: BTreeSet<String>,
    /// By instance.
    pub histories: BTreeMap<String, Vec<Happening>>,
    pub snapshots: Vec<Taken>,
    pub calls: Vec<CallRecord>,
    /// Jobs on record that are over, by their last view.
    pub closed: Vec<JobView>,
    /// Jobs on record that are not.
    pub open: Vec<JobView>,
    /// Intents on record, by job.
    pub intents: BTreeMap<String, Vec<CallRow>>,
    /// Seconds by which a console's clock may have been ahead; empty when all clocks agree.
    pub offsets: Vec<i64>,
    /// When a job was first seen to be over, by the lab's clock.
    pub over: BTreeMap<String, DateTime<Utc>>,
    pub cleared: Vec<Cleared>,
    /// By snapshot.
    pub labelled: BTreeMap<String, Labelled>,
}

/// From when to when something was held, and who ended it; `None` while it is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) what: String,
    pub(super) from: DateTime<Utc>,
    pub(super) to: Option<(DateTime<Utc>, By)>,
}

impl Held {
    /// Held by the job itself over the whole of a call.
    fn covers(&self, call: &CallRecord) -> bool {
        self.from <= call.at
            && self
                .to
                .is_none_or(|(at, by)| at >= call.ended && by == By::Holder)
    }

    fn meets(&self, other: &Self) -> bool {
        let before = |one: &Self, two: &Self| one.to.is_some_and(|(at, _)| at <= two.from);
        !before(self, other) && !before(other, self)
    }
}

impl Eye {
    /// What is not as promised and can be seen at this moment.
    pub fn moment(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for asked in &self.asked {
            self.budget(asked, &mut wrong);
        }
        for snapshot in &self.snapshots {
            self.label(snapshot, &mut wrong);
        }
        self.labelled_last(&mut wrong);
        for view in self.open.iter().chain(&self.closed) {
            self.tells_the_truth(view, &mut wrong);
        }
        wrong
    }

    /// What is not as promised and stays to be seen until the end.
    pub fn end(&self) -> Vec<String> {
        self.ended(LABELS_STAY_OWED)
    }

    fn ended(&self, pending: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for asked in &self.asked {
            self.once(asked, &mut wrong);
        }
        self.groups(&mut wrong);
        self.together(&mut wrong);
        self.records(&mut wrong);
        self.clearings(&mut wrong);
        for view in &self.closed {
            self.verdict(view, pending, &mut wrong);
        }
        for view in self.open.iter().chain(&self.closed) {
            self.left_out(view, &mut wrong);
        }
        for snapshot in self.snapshots.iter().filter(|_| pending) {
            self.pending(snapshot, &mut wrong);
        }
        for asked in self.asked.iter().filter(|asked| asked.lost) {
            if self.holds(&asked.job) {
                wrong.push(format!("{}: lost, and still held", asked.job));
            }
        }
        wrong
    }

    /// Both, and everything that is asked for.
    #[cfg(test)]
    pub fn violations(&self) -> Vec<String> {
        let mut wrong = self.moment();
        wrong.extend(self.ended(true));
        wrong
    }

    pub(super) fn asked(&self, job: &str) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.job == job)
    }

    /// Whether the job holds anything now.
    pub fn holds(&self, job: &str) -> bool {
        self.held(job).iter().any(|held| held.to.is_none())
    }

    pub(super) fn held(&self, job: &str) -> Vec<Held> {
        let mut held: Vec<Held> = Vec::new();
        let all = self.histories.values().flatten();
        for happening in all.filter(|happening| happening.job == job) {
            let (what, by) = match &happening.what {
                What::Armed { .. } => continue,
                What::Locked { .. } => ("lock".to_owned(), None),
                What::Frozen { volume, .. } => (volume.clone(), None),
                What::Unlocked { by } => ("lock".to_owned(), Some(*by)),
                What::Thawed { volume, by, .. } => (volume.clone(), Some(*by)),
            };
            match by {
                None => held.push(Held {
                    what,
                    from: happening.at,
                    to: None,
                }),
                Some(by) => {
                    let open = held
                        .iter_mut()
                        .rev()
                        .find(|h| h.what == what && h.to.is_none());
                    if let Some(open) = open {
                        open.to = Some((happening.at, by));
                    }
                }
            }
        }
        held
    }

    /// Promise 1: nothing stays frozen past the budget that the console was given. Somebody else's document has no
    /// failsafe of ours, and is held against what the journal says of it.
    fn budget(&self, asked: &Asked, wrong: &mut Vec<String>) {
        let Some(history) = self.histories.get(&asked.instance) else {
            return;
        };
        if asked.theirs.is_some() {
            return;
        }
        let limit =
            TimeDelta::seconds(i64::from(asked.budget_s)) + TimeDelta::milliseconds(GRACE_MS);
        for held in self.held(&asked.job) {
            let armed = history.iter().rev().find(|happening| {
                happening.job == asked.job
                    && happening.at <= held.from
                    && matches!(happening.what, What::Armed { .. })
            });
            let Some(armed) = armed else {
                wrong.push(format!(
                    "{}: {} was held with no failsafe armed",
                    asked.job, held.what
                ));
                continue;
            };
            let until = held.to.map_or(self.now, |(at, _)| at);
            if until > armed.at + limit {
                wrong.push(format!(
                    "{}: {} was held too long, armed at {} with a budget of {} s",
                    asked.job, held.what, armed.at, asked.budget_s
                ));
            }
        }
    }

    /// The calls by which AWS made sets for a job.
    fn sets(&self, job: &str) -> Vec<&CallRecord> {
        self.calls
            .iter()
            .filter(|call| {
                call.action == "CreateSnapshots" && call.subject == job && happened(call)
            })
            .collect()
    }

    /// One set, one freezing command, one snapshot of each volume.
    fn once(&self, asked: &Asked, wrong: &mut Vec<String>) {
        let sets = self.sets(&asked.job).len();
        if sets > 1 {
            wrong.push(format!("{}: {sets} sets were made", asked.job));
        }
        let mut volumes: Vec<&str> = Vec::new();
        for taken in self.snapshots.iter().filter(|t| t.job == asked.job) {
            if volumes.contains(&taken.volume.as_str()) {
                wrong.push(format!("{}: {} twice", asked.job, taken.volume));
            }
            volumes.push(&taken.volume);
        }
        for word in ["pre-script", "snapshot"] {
            let comment = format!("freezeframe {word} {}", asked.job);
            let sent = self
                .calls
                .iter()
                .filter(|call| {
                    call.action == "SendCommand" && call.subject == comment && happened(call)
                })
                .count();
            if sent > 1 {
                wrong.push(format!("{}: {word} was sent {sent} times", asked.job));
            }
        }
    }

    /// Promise 2: a label above `crash` only where the lab's own books say that the job itself held the volume, and
    /// the lock, from before the call came until after it was answered.
    fn label(&self, snapshot: &Taken, wrong: &mut Vec<String>) {
        let needs_lock = match snapshot.level.as_str() {
            "application" => true,
            "filesystem" => false,
            _ => return,
        };
        let asked = self.asked(&snapshot.job);
        if asked.is_some_and(|asked| asked.theirs.is_some()) {
            wrong.push(format!(
                "{} is {} by somebody else's word",
                snapshot.id, snapshot.level
            ));
        }
        if needs_lock && self.files_only.contains(&snapshot.volume) {
            wrong.push(format!(
                "{} is application, and nothing of the database lies on it",
                snapshot.id
            ));
        }
        let held = self.held(&snapshot.job);
        let sets = self.sets(&snapshot.job);
        let [call] = sets.as_slice() else {
            wrong.push(format!(
                "{} is {} without one call that made it",
                snapshot.id, snapshot.level
            ));
            return;
        };
        let mut needed = vec![snapshot.volume.as_str()];
        if needs_lock {
            needed.push("lock");
        }
        for what in needed {
            if !held.iter().any(|h| h.what == what && h.covers(call)) {
                wrong.push(format!(
                    "{} is {}, but {what} was not held over the call from {} to {}",
                    snapshot.id, snapshot.level, call.at, call.ended
                ));
            }
        }
    }

    /// Promise 12: no label above `crash` before the thaw, the word of it, and the judgement on record.
    fn labelled_last(&self, wrong: &mut Vec<String>) {
        for (id, label) in &self.labelled {
            for (early, what) in [
                (label.held, "while it was held"),
                (!label.told, "before the end of its thaw was told"),
                (!label.judged, "before its judgement was on record"),
            ] {
                if early {
                    wrong.push(format!("{}: {id} was {} {what}", label.job, label.level));
                }
            }
        }
    }

    /// Promise 23: never two jobs that hold one instance at once. By what the instances themselves remember, whatever
    /// any journal knows of these jobs.
    fn together(&self, wrong: &mut Vec<String>) {
        for (instance, history) in &self.histories {
            let jobs: BTreeSet<&str> = history.iter().map(|h| h.job.as_str()).collect();
            let held: Vec<(&str, Vec<Held>)> =
                jobs.into_iter().map(|job| (job, self.held(job))).collect();
            for (n, (one, ones)) in held.iter().enumerate() {
                for (two, twos) in held.iter().skip(n + 1) {
                    let met = ones
                        .iter()
                        .find(|held| twos.iter().any(|other| held.meets(other)));
                    if let Some(met) = met {
                        wrong.push(format!(
                            "{one} and {two} held {instance} together: {} from {}",
                            met.what, met.from
                        ));
                    }
                }
            }
        }
    }

    /// What was left out of a set is not in it.
    fn left_out(&self, view: &JobView, wrong: &mut Vec<String>) {
        let options = &view.spec.set_options;
        let job = view.spec.job.as_str();
        for taken in self.snapshots.iter().filter(|taken| taken.job == job) {
            let named = options.exclude.iter().any(|v| v.as_str() == taken.volume);
            let root = options.exclude_root && self.roots.contains(&taken.volume);
            if named || root || self.tagged_out.contains(&taken.volume) {
                wrong.push(format!("{job}: {} was left out of its set", taken.volume));
            }
        }
    }

    /// Never two members of a group frozen at once by the jobs of one journal.
    fn groups(&self, wrong: &mut Vec<String>) {
        for (n, one) in self.asked.iter().enumerate() {
            for two in self.asked.iter().skip(n + 1) {
                // An unconfirmed thaw that no failsafe ends does not hold up the group for ever; a lie is not even unconfirmed.
                let unconfirmed = |asked: &Asked| {
                    let mut closed = self.closed.iter();
                    let unconfirmed = closed
                        .any(|view| view.spec.job.as_str() == asked.job && view.thaw_unconfirmed);
                    match asked.theirs {
                        None => false,
                        Some(Manners::Lies) => true,
                        Some(_) => unconfirmed,
                    }
                };
                let same = one.group.is_some()
                    && !unconfirmed(one)
                    && !unconfirmed(two)
                    && one.group == two.group
                    && one.journal == two.journal
                    && one.instance != two.instance;
                if !same {
                    continue;
                }
                let (ones, twos) = (self.held(&one.job), self.held(&two.job));
                if let Some(at) = ones
                    .iter()
                    .find(|held| twos.iter().any(|other| held.meets(other)))
                {
                    wrong.push(format!(
                        "{} and {} of one group were held at once, from {}",
                        one.job, two.job, at.from
                    ));
                }
            }
        }
    }
}

/// The call did what it asks for, whether or not anybody heard of it.
pub(super) fn happened(call: &CallRecord) -> bool {
    !call.dry_run && matches!(call.outcome.as_str(), "OK" | "(lost response)")
}

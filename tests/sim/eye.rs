//! God's eye: what the lab alone knows, held against what the console claims. Pure over what was seen, so that a bad
//! history can be put before it and must be caught.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use freezeframe::domain::job::{JobView, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::jobs::journal::CallRow;
use freezeframe::lab::CallRecord;
use freezeframe::lab::runtime_simulated::{By, Happening, What};

/// Nothing may be frozen longer than its budget and this, in milliseconds.
const GRACE_MS: i64 = 1_000;

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
}

/// Everything at one moment.
#[derive(Debug, Clone)]
pub struct Eye {
    pub now: DateTime<Utc>,
    pub asked: Vec<Asked>,
    /// By instance.
    pub histories: BTreeMap<String, Vec<Happening>>,
    pub snapshots: Vec<Taken>,
    pub calls: Vec<CallRecord>,
    /// Jobs on record that are over, by their last view.
    pub closed: Vec<JobView>,
    /// Intents on record, by job.
    pub intents: BTreeMap<String, Vec<CallRow>>,
}

/// From when to when something was held, and who ended it; `None` while it is held.
struct Held {
    what: String,
    from: DateTime<Utc>,
    to: Option<(DateTime<Utc>, By)>,
}

impl Held {
    /// Held by the job itself over the whole of a call.
    fn covers(&self, call: &CallRecord) -> bool {
        self.from <= call.at
            && self
                .to
                .is_none_or(|(at, by)| at >= call.ended && by == By::Holder)
    }
}

impl Eye {
    /// Everything that is not as promised, in words.
    pub fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for asked in &self.asked {
            self.budget(asked, &mut wrong);
            self.once(asked, &mut wrong);
        }
        for snapshot in &self.snapshots {
            self.label(snapshot, &mut wrong);
        }
        self.journal(&mut wrong);
        for view in &self.closed {
            self.claim(view, &mut wrong);
        }
        wrong
    }

    fn held(&self, job: &str) -> Vec<Held> {
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

    /// Promise 1: nothing stays frozen past the budget that the console was given.
    fn budget(&self, asked: &Asked, wrong: &mut Vec<String>) {
        let Some(history) = self.histories.get(&asked.instance) else {
            return;
        };
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
                    "{}: {} was held until {until}, armed at {} with a budget of {} s",
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

    /// The journal knew of every call that is not idempotent before the call came.
    fn journal(&self, wrong: &mut Vec<String>) {
        for call in self
            .calls
            .iter()
            .filter(|call| call.caller.ends_with("/you"))
        {
            let (job, detail) = match call.action.as_str() {
                "CreateSnapshots" => (call.subject.clone(), String::new()),
                "SendCommand" => {
                    let mut words = call.subject.split(' ').skip(1);
                    let word = words.next().unwrap_or_default().to_owned();
                    (words.next().unwrap_or_default().to_owned(), word)
                }
                "CreateTags" => {
                    let of = self.snapshots.iter().find(|taken| taken.id == call.subject);
                    let Some(of) = of else { continue };
                    (of.job.clone(), call.subject.clone())
                }
                _ => continue,
            };
            let known = self.intents.get(&job).is_some_and(|intents| {
                intents.iter().any(|intent| {
                    intent.action == call.action
                        && intent.detail.contains(&detail)
                        && DateTime::parse_from_rfc3339(&intent.intended)
                            .is_ok_and(|at| at.to_utc() <= call.at)
                })
            });
            if !known {
                wrong.push(format!(
                    "{} {} at {} was not on record",
                    call.action, call.subject, call.at
                ));
            }
        }
    }

    /// A job that is over claims no more than its tags say, and has left nothing frozen.
    fn claim(&self, view: &JobView, wrong: &mut Vec<String>) {
        let job = view.spec.job.as_str();
        let level_of = |id: &str| {
            self.snapshots
                .iter()
                .find(|taken| taken.id == id)
                .and_then(|taken| taken.level.parse::<Level>().ok())
                .unwrap_or(Level::Pending)
        };
        for member in &view.set {
            let tag = level_of(member.snapshot.as_str());
            if member.level > Level::Crash && member.level != tag {
                wrong.push(format!(
                    "{job}: claims {} for {}, its tag says {tag}",
                    member.level, member.snapshot
                ));
            }
        }
        let best = match view.verdict {
            Some(Verdict::Application) => Some(Level::Application),
            Some(Verdict::Filesystem) => Some(Level::Filesystem),
            Some(_) => None,
            None => {
                wrong.push(format!("{job}: closed without a verdict"));
                None
            }
        };
        let proven = view
            .set
            .iter()
            .any(|m| Some(level_of(m.snapshot.as_str())) == best);
        if best.is_some() && !proven {
            wrong.push(format!(
                "{job}: verdict {:?}, which no tag bears out",
                view.verdict
            ));
        }
        let Some(ended) = view.ended().filter(|_| !view.thaw_uncertain) else {
            return;
        };
        for held in self.held(job) {
            if held.to.is_none_or(|(at, _)| at > ended) {
                wrong.push(format!(
                    "{job}: over and thawed at {ended} by its own word, but {} was held from {} to {:?}",
                    held.what, held.from, held.to
                ));
            }
        }
    }
}

/// The call did what it asks for, whether or not anybody heard of it.
fn happened(call: &CallRecord) -> bool {
    matches!(call.outcome.as_str(), "OK" | "(lost response)")
}

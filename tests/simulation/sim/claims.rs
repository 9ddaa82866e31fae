//! What the journals claim, held against the lab's books: that nothing is held any more, what a set is worth, that
//! every call was on record, that an unconfirmed thaw was cleared by a proof.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta};
use freezeframe::domain::job::{JobView, Phase, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::lab::CallRecord;
use freezeframe::lab::runtime_simulated::What;

use super::eye::{Cleared, Eye, Taken, happened};
use super::story::Manners;

impl Eye {
    fn of(&self, job: &str) -> Vec<&Taken> {
        self.snapshots.iter().filter(|t| t.job == job).collect()
    }

    fn lies(&self, job: &str) -> bool {
        let asked = self.asked(job);
        asked.is_some_and(|asked| asked.theirs == Some(Manners::Lies))
    }

    /// What the record says of a job at this moment: nothing held where it says so, no level that its tag lacks.
    pub(super) fn tells_the_truth(&self, view: &JobView, wrong: &mut Vec<String>) {
        let job = view.spec.job.as_str();
        // Promise 28: what holds something is told, from the sending on.
        if !view.held().is_something() && self.holds(job) && !self.lies(job) {
            wrong.push(format!(
                "{job}: {} holds something by the lab's books, and nothing tells it",
                view.phase
            ));
        }
        let thawed = view.phase >= Phase::Verifying && !view.thaw_unconfirmed;
        if thawed && self.holds(job) && !self.lies(job) {
            wrong.push(format!(
                "{job}: {} and thawed by its own word, but still held",
                view.phase
            ));
        }
        for member in view.set.iter().filter(|m| m.level > Level::Crash) {
            let tag = self.level(member.snapshot.as_str());
            if member.level != tag {
                wrong.push(format!(
                    "{job}: claims {} for {}, its tag says {tag}",
                    member.level, member.snapshot
                ));
            }
        }
        let over = match self.offsets.is_empty() {
            true => view.ended(),
            false => self.over.get(job).copied(),
        };
        let Some(over) = over.filter(|_| !view.thaw_unconfirmed && !self.lies(job)) else {
            return;
        };
        // An unconfirmed thaw that was cleared later says nothing about the end.
        if self.cleared.iter().any(|cleared| cleared.job == job) {
            return;
        }
        for held in self.held(job) {
            if held.to.is_none_or(|(at, _)| at > over) {
                wrong.push(format!(
                    "{job}: over and thawed at {over} by its own word, but {} was held from {}",
                    held.what, held.from
                ));
            }
        }
    }

    fn level(&self, snapshot: &str) -> Level {
        self.snapshots
            .iter()
            .find(|taken| taken.id == snapshot)
            .and_then(|taken| taken.level.parse::<Level>().ok())
            .unwrap_or(Level::Pending)
    }

    /// What a job that is over says of its set, member by member, and its verdict: no more and no less than the tags.
    /// Without `pending` a job may end before its labels are written, and say that they are not.
    pub(super) fn verdict(&self, view: &JobView, pending: bool, wrong: &mut Vec<String>) {
        let job = view.spec.job.as_str();
        if self.asked(job).is_some_and(|asked| asked.lost) {
            return;
        }
        let Some(verdict) = view.verdict else {
            wrong.push(format!("{job}: closed without a verdict"));
            return;
        };
        let taken = self.of(job);
        for one in &taken {
            let member = view.set.iter().find(|m| m.snapshot.as_str() == one.id);
            let tag = self.level(&one.id);
            match member {
                None if !pending && view.set.is_empty() => {}
                Some(member) if !pending && member.level == Level::Pending => {}
                None => wrong.push(format!("{job}: knows nothing of its {}", one.id)),
                Some(member) if member.level != tag => wrong.push(format!(
                    "{job}: says that {} is {}, its tag says {tag}",
                    one.id, member.level
                )),
                Some(_) => {}
            }
        }
        for member in &view.set {
            if !taken.iter().any(|one| one.id == member.snapshot.as_str()) {
                wrong.push(format!("{job}: claims {}, which is none", member.snapshot));
            }
        }
        // What the job froze is what it covers.
        let covered: BTreeSet<&str> = self
            .histories
            .values()
            .flatten()
            .filter(|happening| happening.job == job)
            .filter_map(|happening| match &happening.what {
                What::Frozen { volume, .. } => Some(volume.as_str()),
                _ => None,
            })
            .collect();
        let frozen = || {
            let frozen = taken
                .iter()
                .filter(|one| covered.contains(one.volume.as_str()));
            frozen.map(|one| (one, self.level(&one.id)))
        };
        // What has nothing of the database cannot earn more than that, and lowers nothing.
        let full = |(one, level): &(&&Taken, Level)| {
            self.files_only.contains(&one.volume) && *level >= Level::Filesystem
        };
        let worst = frozen().filter(|of| !full(of)).map(|of| of.1).min();
        let worst = worst.or_else(|| frozen().map(|of| of.1).min());
        let best = taken.iter().map(|one| self.level(&one.id)).max();
        let unwritten = !pending && view.set.iter().any(|m| m.level == Level::Pending);
        let fits = match verdict {
            Verdict::Application => worst == Some(Level::Application),
            Verdict::Filesystem => worst == Some(Level::Filesystem),
            Verdict::Crash if unwritten => true,
            Verdict::Crash => !taken.is_empty() && worst.or(best) <= Some(Level::Crash),
            // A set that nobody can use carries no label that says more.
            Verdict::Failed => unwritten || best <= Some(Level::Crash),
            Verdict::Skipped => taken.is_empty(),
            Verdict::Cancelled => true,
        };
        if !fits {
            wrong.push(format!(
                "{job}: verdict {verdict}, but its tags say {worst:?} of {best:?}: {:?}",
                view.error.as_ref().map(|e| &e.cause)
            ));
        }
    }

    /// A snapshot that was never judged belongs to a job that still owes it.
    pub(super) fn pending(&self, taken: &Taken, wrong: &mut Vec<String>) {
        let open = self
            .open
            .iter()
            .any(|view| view.spec.job.as_str() == taken.job);
        if taken.level == "pending" && !open {
            wrong.push(format!(
                "{} of {} stays pending, and nobody owes its label",
                taken.id, taken.job
            ));
        }
    }

    /// An unconfirmed thaw is cleared by a `post-script` that was answered after it arose, or by what the instance told of its own thaw
    /// once that was read after the unconfirmed thaw arose, and only if nothing is held.
    pub(super) fn clearings(&self, wrong: &mut Vec<String>) {
        for Cleared {
            job,
            since,
            at,
            told,
        } in &self.cleared
        {
            let comment = format!("freezeframe post-script {job}");
            let between =
                |call: &&CallRecord| happened(call) && call.ended > *since && call.ended < *at;
            let mut calls = self.calls.iter().filter(between);
            let asked = calls
                .clone()
                .any(|call| call.action == "SendCommand" && call.subject == comment);
            let read = calls
                .any(|call| call.action == "GetCommandInvocation" && told.contains(&call.subject));
            if !asked && !read {
                wrong.push(format!(
                    "{job}: unconfirmed at {since}, cleared at {at}, and nobody asked"
                ));
            }
            let held = self.held(job);
            let stood = held
                .iter()
                .any(|held| held.from < *at && held.to.is_none_or(|(to, _)| to > *at));
            if stood && !self.lies(job) {
                wrong.push(format!("{job}: cleared at {at}, and still held"));
            }
        }
    }

    /// The journal knew of every call that is not idempotent before the call came.
    pub(super) fn records(&self, wrong: &mut Vec<String>) {
        for call in self
            .calls
            .iter()
            .filter(|call| call.caller.ends_with("/you") && !call.dry_run)
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
            // Orphans are labelled by another console, on another journal.
            if call.action == "CreateTags" && self.asked(&job).is_some_and(|asked| asked.lost) {
                continue;
            }
            let before = |intended: &str| {
                let stamp = DateTime::parse_from_rfc3339(intended);
                stamp.is_ok_and(|at| {
                    let plain = at.to_utc() <= call.at;
                    plain
                        || self
                            .offsets
                            .iter()
                            .any(|ahead| at.to_utc() - TimeDelta::seconds(*ahead) <= call.at)
                })
            };
            let known = self.intents.get(&job).is_some_and(|intents| {
                intents.iter().any(|intent| {
                    intent.action == call.action
                        && intent.detail.contains(&detail)
                        && before(&intent.intended)
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
}

//! What `snapshot` says on stderr while it runs: a line when something changes. Each phase of a few jobs;
//! of many only what has ended, and how many are left. What stands still for long is said again now and then.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::resumed_jobs::who;
use crate::domain::held::{DelayedThaw, Held};
use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Phase};

/// Pause between two looks at what stands still.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// Up to so many jobs each phase has its line.
const FEW: usize = 20;
/// After so many seconds without a word a job that may hold a freeze is told of again.
const HELD: i64 = 15;
/// As [`HELD`], for one that holds nothing.
const FREE: i64 = 30;
/// So much further has the copying to come, in percent, and so many seconds to pass, before it is told of anew.
const POINTS: u8 = 10;
const APART: i64 = 5;

/// The lines so far.
pub(super) struct Progress {
    of: usize,
    seen: HashMap<JobId, Seen>,
    /// In the order of their first words.
    order: Vec<JobId>,
    /// Of many: when anything was said last.
    said: Option<DateTime<Utc>>,
}

/// What is known of a job, and when it was told of last.
#[derive(Clone)]
struct Seen {
    who: String,
    phase: Phase,
    /// Since when it is in that phase.
    since: DateTime<Utc>,
    frozen: Option<DateTime<Utc>>,
    held: Held,
    delayed: Option<DelayedThaw>,
    /// Of a document of ours: after so many seconds the failsafe thaws.
    failsafe_s: Option<i64>,
    unconfirmed: bool,
    waiting: Option<String>,
    copied: u8,
    told: DateTime<Utc>,
    told_copied: u8,
}

impl Seen {
    fn of(view: &JobView, now: DateTime<Utc>) -> Self {
        let since = view.phases.last().map_or(now, |phase| phase.started);
        Self {
            who: who(view),
            phase: view.phase,
            since,
            frozen: view.frozen_since,
            held: view.held(),
            delayed: view.delayed_thaw(),
            failsafe_s: (!view.spec.third_party).then_some(i64::from(view.spec.budget_s)),
            unconfirmed: view.thaw_unconfirmed,
            waiting: view.waiting.clone(),
            copied: view.progress(),
            told: now,
            told_copied: view.progress(),
        }
    }

    /// Whether something may be held there.
    fn holds(&self) -> bool {
        self.held.is_something() || (Phase::Quiescing..=Phase::Thawing).contains(&self.phase)
    }

    /// What is said of one that stands where it stood: nothing, before its time has come.
    fn still(&self, now: DateTime<Utc>) -> Option<String> {
        let quiet = (now - self.told).num_seconds();
        // What waits for its turn has said for what.
        if self.waiting.is_some() || matches!(self.phase, Phase::Queued | Phase::Done) {
            return None;
        }
        if self.phase == Phase::Completing {
            let further = self.copied >= self.told_copied.saturating_add(POINTS);
            return (quiet >= FREE || further && quiet >= APART)
                .then(|| format!("{}: copying {} %", self.who, self.copied));
        }
        let patience = if self.holds() { HELD } else { FREE };
        (quiet >= patience).then(|| format!("{}: {}", self.who, self.standing(now)))
    }

    fn standing(&self, now: DateTime<Utc>) -> String {
        let mut known = Vec::new();
        if matches!(self.held, Held::MayBeFrozen { .. }) {
            known.push(self.held.words(now));
        }
        match self.delayed {
            Some(delayed) => known.push(delayed.words(now)),
            None if self.phase == Phase::Thawing => {
                known.push("no answer from the instance".to_owned());
            }
            None => {}
        }
        if let Some(frozen) = self.frozen.filter(|_| self.holds()) {
            let ago = (now - frozen).num_seconds();
            known.push(format!("its freeze began {ago} s ago"));
            if let Some(budget) = self.failsafe_s.filter(|budget| ago > *budget) {
                known.push(format!("its failsafe was due at {budget} s"));
            }
        }
        let since = (now - self.since).num_seconds();
        let colon = if known.is_empty() { "" } else { ": " };
        format!(
            "still {} after {since} s{colon}{}",
            self.phase,
            known.join("; ")
        )
    }
}

impl Progress {
    /// Progress of a run of so many instances.
    pub(super) fn of(instances: usize) -> Self {
        Self {
            of: instances,
            seen: HashMap::new(),
            order: Vec::new(),
            said: None,
        }
    }

    /// The line to say about that view, if it brings anything new.
    pub(super) fn line(&mut self, view: &JobView, now: DateTime<Utc>) -> Option<String> {
        let job = &view.spec.job;
        let mut seen = Seen::of(view, now);
        let old = self.seen.get(job).cloned();
        let changed = old.as_ref().is_none_or(|o| {
            (o.phase, &o.waiting, o.unconfirmed) != (seen.phase, &seen.waiting, seen.unconfirmed)
        });
        match &old {
            // Not told of now: what was told last still counts.
            Some(old) if !changed => {
                seen.told = old.told;
                seen.told_copied = old.told_copied;
            }
            Some(_) => {}
            None => self.order.push(job.clone()),
        }
        self.seen.insert(job.clone(), seen.clone());
        let ended = seen.phase == Phase::Done;
        let unconfirmed = seen.unconfirmed && old.as_ref().is_none_or(|o| !o.unconfirmed);
        let word = match (&view.verdict, &view.waiting) {
            (Some(verdict), _) if ended && seen.unconfirmed => {
                format!("{verdict}, THAW UNCONFIRMED")
            }
            _ if unconfirmed => "THAW UNCONFIRMED".to_owned(),
            (Some(verdict), _) => verdict.to_string(),
            (None, Some(waiting)) => waiting.clone(),
            (None, None) => view.phase.to_string(),
        };
        if !changed {
            return None;
        }
        if self.of <= FEW {
            let done = if ended { "done, " } else { "" };
            return Some(format!("{}: {done}{word}", seen.who));
        }
        let news = ended && old.is_none_or(|o| o.phase != Phase::Done);
        news.then(|| {
            self.said = Some(now);
            format!("{}: {word} ({})", seen.who, self.counts())
        })
    }

    /// The lines to say, if it is time, about what has stood where it stands; of many jobs one for all.
    pub(super) fn still(&mut self, now: DateTime<Utc>) -> Vec<String> {
        if self.of > FEW {
            return self.still_many(now).into_iter().collect();
        }
        let mut lines = Vec::new();
        for job in &self.order {
            let Some(seen) = self.seen.get_mut(job) else {
                continue;
            };
            if let Some(line) = seen.still(now) {
                seen.told = now;
                seen.told_copied = seen.copied;
                lines.push(line);
            }
        }
        lines
    }

    fn still_many(&mut self, now: DateTime<Utc>) -> Option<String> {
        // The first look begins the time.
        let quiet = (now - *self.said.get_or_insert(now)).num_seconds();
        let open = || self.seen.values().filter(|s| s.phase != Phase::Done);
        let held = open()
            .filter(|s| s.holds() && (now - s.since).num_seconds() >= HELD)
            .min_by_key(|s| s.since);
        let patience = if held.is_some() { HELD } else { FREE };
        if quiet < patience || open().next().is_none() {
            return None;
        }
        let longest =
            held.map_or_else(String::new, |s| format!("; {}: {}", s.who, s.standing(now)));
        self.said = Some(now);
        Some(format!("{}{longest}", self.counts()))
    }

    fn counts(&self) -> String {
        let count = |test: fn(&Seen) -> bool| self.seen.values().filter(|s| test(s)).count();
        format!(
            "{} of {} done, {} under way, {} frozen or may be",
            count(|s| s.phase == Phase::Done),
            self.of,
            count(|s| !matches!(s.phase, Phase::Queued | Phase::Done)),
            count(|s| s.phase != Phase::Done && s.held.is_something()),
        )
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;
    use crate::domain::ids::InstanceId;
    use crate::domain::job::{Member, PhaseRecord, Verdict};
    use crate::sample;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn view(n: usize, phase: Phase) -> JobView {
        let mut view = sample::view(&format!("00000000-0000-4000-8000-{n:012}"), phase);
        view.spec.instance = InstanceId::from_api(format!("i-{n}"));
        view.spec.budget_s = 10;
        view.verdict = (phase == Phase::Done).then_some(Verdict::Filesystem);
        view
    }

    /// In that phase since the second of that number.
    fn since(mut view: JobView, seconds: i64) -> JobView {
        view.phases.push(PhaseRecord {
            phase: view.phase,
            started: at(seconds),
            ended: None,
            failed: false,
        });
        view
    }

    #[test]
    fn few_jobs_tell_each_phase_once() {
        let mut progress = Progress::of(2);
        let frozen = view(1, Phase::Frozen);
        assert_eq!(progress.line(&frozen, at(0)).unwrap(), "i-1 db: frozen");
        assert_eq!(progress.line(&frozen, at(1)), None);
        let mut waits = view(2, Phase::Queued);
        waits.waiting = Some("waits for group db-1".into());
        assert_eq!(
            progress.line(&waits, at(1)).unwrap(),
            "i-2 db: waits for group db-1"
        );
        let done = progress.line(&view(1, Phase::Done), at(2)).unwrap();
        assert_eq!(done, "i-1 db: done, filesystem");
        // Neither is told of again: one has said what it waits for, the other is over.
        assert!(progress.still(at(1_000)).is_empty());
    }

    #[test]
    fn a_job_that_stands_still_is_told_of_again_and_its_failsafe_once_it_was_due() {
        let mut progress = Progress::of(1);
        let mut thawing = since(view(1, Phase::Thawing), 2);
        thawing.frozen_since = Some(at(1));
        progress.line(&thawing, at(2)).unwrap();
        assert!(progress.still(at(10)).is_empty(), "not so soon");
        assert_eq!(
            progress.still(at(17)),
            [
                "i-1 db: still thawing after 15 s: no answer from the instance; its freeze began 16 s ago; its failsafe was due at 10 s"
            ]
        );
        assert!(progress.still(at(18)).is_empty());
        // A view without news is no word of it.
        assert_eq!(progress.line(&thawing, at(30)), None);
        assert_eq!(progress.still(at(32)).len(), 1);
        let mut theirs = Progress::of(1);
        thawing.spec.third_party = true;
        theirs.line(&thawing, at(2)).unwrap();
        let said = theirs.still(at(17)).concat();
        assert!(!said.contains("failsafe"), "it has none of ours: {said}");
        let mut early = Progress::of(1);
        let mut long = since(view(1, Phase::Snapshotting), 2);
        long.frozen_since = Some(at(1));
        long.spec.budget_s = 600;
        early.line(&long, at(2)).unwrap();
        assert_eq!(
            early.still(at(17)),
            ["i-1 db: still snapshotting after 15 s: its freeze began 16 s ago"]
        );
    }

    #[test]
    fn copying_is_told_when_it_has_come_further_and_now_and_then() {
        let mut progress = Progress::of(1);
        let mut copies = since(view(1, Phase::Completing), 0);
        let member: Member = serde_json::from_value(json!({
            "snapshot": "snap-1", "volume": "vol-1", "device": "/dev/sdf", "level": "application",
            "reason": "", "progress": 3, "volume_gib": 8,
        }))
        .unwrap();
        copies.set.push(member);
        progress.line(&copies, at(0)).unwrap();
        copies.set[0].progress = 12;
        assert_eq!(progress.line(&copies, at(6)), None);
        assert!(progress.still(at(6)).is_empty(), "9 points");
        copies.set[0].progress = 13;
        progress.line(&copies, at(7));
        assert_eq!(progress.still(at(7)), ["i-1 db: copying 13 %"]);
        assert!(progress.still(at(36)).is_empty());
        assert_eq!(progress.still(at(37)), ["i-1 db: copying 13 %"]);
    }

    #[test]
    fn an_unconfirmed_thaw_is_reported_once_and_with_the_end() {
        let mut progress = Progress::of(1);
        let mut unconfirmed = view(1, Phase::Thawing);
        unconfirmed.thaw_unconfirmed = true;
        assert_eq!(
            progress.line(&unconfirmed, at(0)).unwrap(),
            "i-1 db: THAW UNCONFIRMED"
        );
        unconfirmed.phase = Phase::Verifying;
        assert_eq!(
            progress.line(&unconfirmed, at(0)).unwrap(),
            "i-1 db: verifying"
        );
        unconfirmed.phase = Phase::Done;
        unconfirmed.verdict = Some(Verdict::Failed);
        assert_eq!(
            progress.line(&unconfirmed, at(1)).unwrap(),
            "i-1 db: done, failed, THAW UNCONFIRMED"
        );
    }

    #[test]
    fn many_jobs_tell_their_ends_and_what_is_left() {
        let mut progress = Progress::of(500);
        for n in 0..30 {
            assert_eq!(progress.line(&view(n, Phase::Preflight), at(0)), None);
        }
        let line = progress.line(&view(3, Phase::Done), at(0)).unwrap();
        assert_eq!(
            line,
            "i-3 db: filesystem (1 of 500 done, 29 under way, 0 frozen or may be)"
        );
        assert_eq!(progress.line(&view(3, Phase::Done), at(1)), None);
        assert!(progress.still(at(29)).is_empty());
        assert_eq!(
            progress.still(at(30)),
            ["1 of 500 done, 29 under way, 0 frozen or may be"]
        );
        let mut thawing = since(view(4, Phase::Thawing), 31);
        thawing.frozen_since = Some(at(31));
        assert_eq!(progress.line(&thawing, at(31)), None);
        assert!(progress.still(at(45)).is_empty());
        assert_eq!(
            progress.still(at(46)),
            [
                "1 of 500 done, 29 under way, 1 frozen or may be; i-4 db: still thawing after 15 s: no answer from the instance; its freeze began 15 s ago; its failsafe was due at 10 s"
            ]
        );
        assert!(progress.still(at(60)).is_empty());
    }
}

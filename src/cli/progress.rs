//! What `snapshot` says on stderr while it runs: a line when something changes. Each phase of a few jobs;
//! of many only what has ended, and how many are left.

use std::collections::HashMap;

use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Phase};

/// Up to so many jobs each phase has its line.
const FEW: usize = 20;

/// The lines so far.
pub(super) struct Progress {
    of: usize,
    seen: HashMap<JobId, Seen>,
}

/// What was said of a job last.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    phase: Phase,
    frozen: bool,
    waiting: Option<String>,
}

impl Progress {
    /// Progress of a run of so many instances.
    pub(super) fn of(instances: usize) -> Self {
        Self {
            of: instances,
            seen: HashMap::new(),
        }
    }

    /// The line to say about that view, if it brings anything new.
    pub(super) fn line(&mut self, view: &JobView) -> Option<String> {
        let seen = Seen {
            phase: view.phase,
            frozen: view.frozen_since.is_some(),
            waiting: view.waiting.clone(),
        };
        let old = self.seen.insert(view.spec.job.clone(), seen.clone());
        if old.as_ref() == Some(&seen) {
            return None;
        }
        let who = format!("{} {}", view.spec.instance, view.spec.instance_name);
        let word = match (&view.verdict, &view.waiting) {
            _ if view.thaw_uncertain => "THAW UNCERTAIN".to_owned(),
            (Some(verdict), _) => verdict.to_string(),
            (None, Some(waiting)) => waiting.clone(),
            (None, None) => view.phase.to_string(),
        };
        if self.of <= FEW {
            let phase = if view.phase == Phase::Done {
                format!("done, {word}")
            } else {
                word
            };
            return (old.is_none_or(|o| o.phase != seen.phase || o.waiting != seen.waiting))
                .then(|| format!("{who}: {phase}"));
        }
        let ended = view.phase == Phase::Done && old.is_none_or(|o| o.phase != Phase::Done);
        ended.then(|| {
            let count = |test: fn(&Seen) -> bool| self.seen.values().filter(|s| test(s)).count();
            format!(
                "{who}: {word} ({} of {} done, {} under way, {} frozen)",
                count(|s| s.phase == Phase::Done),
                self.of,
                count(|s| !matches!(s.phase, Phase::Queued | Phase::Done)),
                count(|s| s.frozen),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::job::Verdict;

    fn view(n: usize, phase: Phase) -> JobView {
        let spec = serde_json::from_value(json!({
            "job": format!("00000000-0000-4000-8000-{n:012}"), "run": "00000000-0000-4000-8000-000000000002",
            "account": "123456789012", "region": "eu-central-1", "instance": format!("i-{n}"),
            "instance_name": "db", "recipe": "r", "document": "d", "mode": "coordinated", "budget_s": 30,
            "on_failure": "skip", "mounts": [], "namespace": "N",
        }))
        .unwrap();
        let mut view = crate::domain::machine::Job::new(spec).view();
        view.phase = phase;
        view.verdict = (phase == Phase::Done).then_some(Verdict::Filesystem);
        view
    }

    #[test]
    fn few_jobs_tell_each_phase_once() {
        let mut progress = Progress::of(2);
        let frozen = view(1, Phase::Frozen);
        assert_eq!(progress.line(&frozen).unwrap(), "i-1 db: frozen");
        assert_eq!(progress.line(&frozen), None);
        let mut waits = view(2, Phase::Queued);
        waits.waiting = Some("waits for group db-1".into());
        assert_eq!(
            progress.line(&waits).unwrap(),
            "i-2 db: waits for group db-1"
        );
        let done = progress.line(&view(1, Phase::Done)).unwrap();
        assert_eq!(done, "i-1 db: done, filesystem");
    }

    #[test]
    fn many_jobs_tell_their_ends_and_what_is_left() {
        let mut progress = Progress::of(500);
        for n in 0..30 {
            assert_eq!(progress.line(&view(n, Phase::Preflight)), None);
        }
        let line = progress.line(&view(3, Phase::Done)).unwrap();
        assert_eq!(
            line,
            "i-3 db: filesystem (1 of 500 done, 29 under way, 0 frozen)"
        );
        assert_eq!(progress.line(&view(3, Phase::Done)), None);
    }
}

//! Somebody else's document that keeps Data Lifecycle Manager's contract (aws-facts 1.3, 1.4) and need not
//! speak FF1: exit codes are all that it says, it proves nothing, and no failsafe of ours watches it.

use crate::script_exit::ScriptExit;
use chrono::{DateTime, Utc};

use super::freeze::ThawVerdict;
use super::{CommandEnd, Job};
use crate::evidence::CommandReport;
use crate::trace::Trace;

/// What a `post-script` that only has an exit code says of the freeze. `froze`: the `pre-script` ended as
/// [`CommandEnd::may_have_frozen`] says, and no `post-script` has succeeded since;
/// `conclusive`: that had ended, or was certainly never taken, when this one was sent. Otherwise it may yet freeze,
/// for no stone and no failsafe of ours stops it; 203 (it has been, and is over) may be said before a freeze too,
/// where nothing is held yet. One sample stops at the first filesystem that is open
/// already and leaves the rest (aws-facts 1.9): after a freeze that worked, "not frozen" is no proof; after
/// one that failed, the frozen ones come first and are thawed.
pub fn told_by_exit(ended: &CommandEnd, froze: bool, conclusive: bool) -> ThawVerdict {
    match ended {
        CommandEnd::Success if !conclusive => ThawVerdict::Later,
        CommandEnd::Failed {
            exit: ScriptExit::FailsafeFired,
        } if !conclusive && !froze => ThawVerdict::Later,
        CommandEnd::Success
        | CommandEnd::Failed {
            exit: ScriptExit::FailsafeFired,
        } => ThawVerdict::Yes,
        CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        } if froze => ThawVerdict::No,
        CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        } if conclusive => ThawVerdict::Yes,
        CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        } => ThawVerdict::Later,
        _ => ThawVerdict::No,
    }
}

impl Job {
    /// Whether a command says nothing because its document does not speak FF1.
    pub(super) fn is_silent(&self, trace: &Trace) -> bool {
        self.spec.third_party && trace.lines.is_empty()
    }

    /// Whether nobody has named a mount that it freezes: then no mount can be seen to be thawed.
    pub(super) fn knows_no_mount(&self) -> bool {
        let named = self.facts.as_ref().is_some_and(|f| !f.covered.is_empty());
        let frozen = |told: &CommandReport| !told.trace.frozen_mounts().is_empty();
        self.spec.third_party && !named && !self.pre_told.as_ref().is_some_and(frozen)
    }

    /// As [`told_by_exit`], of this job's own `pre-script`.
    pub(super) fn third_party_thawed(&self, ended: &CommandEnd, conclusive: bool) -> ThawVerdict {
        told_by_exit(ended, self.third_party_may_hold(), conclusive)
    }

    /// Whether a document that is not ours may have frozen everything, and no `post-script` has succeeded since.
    pub(super) fn third_party_may_hold(&self) -> bool {
        self.spec.third_party && self.may_have_frozen && !self.released
    }

    /// Of the budget: all the time since `pre-script` was sent, because nobody says when it began to freeze.
    pub(super) fn third_party_spent_ms(&self, now: DateTime<Utc>) -> u64 {
        let since = self.began.filter(|_| self.spec.third_party);
        since.map_or(0, |began| {
            u64::try_from((now - began.sent).num_milliseconds()).unwrap_or(0)
        })
    }

    /// As [`PreflightFacts::learn`](super::PreflightFacts::learn), where the document is somebody else's.
    pub(super) fn learn_from_third_party(&mut self) {
        if let (true, Some(told), Some(facts)) =
            (self.spec.third_party, &self.pre_told, &mut self.facts)
        {
            facts.learn(&told.trace);
        }
    }
}

//! Somebody else's document that keeps Data Lifecycle Manager's contract (aws-facts 1.3, 1.4) and need not
//! speak FF1: exit codes are all that it says, it proves nothing, and no failsafe of ours watches it.

use chrono::{DateTime, Utc};

use super::Job;
use crate::trace::Trace;

impl Job {
    /// Whether a command says nothing because its document does not speak FF1.
    pub(super) fn is_silent(&self, trace: &Trace) -> bool {
        self.spec.third_party && trace.lines.is_empty()
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

//! The use cases, shared by the console and the command line. Everything here is `async`, answers with
//! domain types, and makes, tags, attaches, deletes and runs nothing at AWS that the journal does not know of
//! first. (Cancelling a command is not in it: repeated or lost, it does no harm.)

pub mod admission;
pub mod clock;
mod command;
mod confirmations;
pub mod inventory;
pub mod job;
mod log;
pub mod metrics;
pub mod prune;
pub mod recover;
pub mod restore;
mod set_calls;
pub mod setup;
mod snapshot_progress;

use std::sync::Arc;

use crate::aws::session::Session;
use crate::domain::ids::Scope;
use crate::domain::problem::Problem;
use crate::domain::set_plan::Tagging;
use crate::jobs::journal::{Intent, Journal};
use crate::jobs::outcome::CallOutcome;
use crate::recipe::chosen::Catalogue;
use clock::Clock;

/// What every use case needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ops {
    /// The open session.
    pub session: Session,
    /// The journal.
    pub journal: Journal,
    /// The clock.
    pub clock: Clock,
    /// Metric namespace, `Organization/Backup` by default.
    pub namespace: Arc<str>,
    /// The recipes that can be chosen.
    pub recipes: Catalogue,
    /// What the configuration says of tags.
    pub tagging: Arc<Tagging>,
    /// What this process has asked of instances whose thaw is unconfirmed.
    pub unconfirmed: recover::UnconfirmedThaws,
}

impl Ops {
    /// The proven account and region.
    pub fn scope(&self) -> &Scope {
        self.session.scope()
    }

    /// Records a call, makes it, records what came of it. The call is not made if the intent cannot be
    /// recorded; an outcome that cannot be recorded is logged, because the call has happened.
    ///
    /// # Errors
    /// The journal's problem, or the call's.
    pub async fn recorded<T>(
        &self,
        subject: &str,
        action: &str,
        detail: &str,
        call: impl Future<Output = Result<T, Problem>>,
        words: impl FnOnce(&T) -> String,
    ) -> Result<T, Problem> {
        self.session
            .may_write(&format!("{action} {detail}"), self.scope())?;
        let intent = self.intend(subject, action, detail)?;
        let result = call.await;
        self.outcome(intent, &result, action, detail, words);
        result
    }

    /// Like [`Self::recorded`], for a thaw: it is sent even when the journal refuses, because a
    /// filesystem that stays frozen is worse than a line that is missing.
    ///
    /// # Errors
    /// The call's.
    pub async fn recorded_best_effort<T>(
        &self,
        subject: &str,
        action: &str,
        detail: &str,
        call: impl Future<Output = Result<T, Problem>>,
        words: impl FnOnce(&T) -> String,
    ) -> Result<T, Problem> {
        self.session
            .may_write(&format!("{action} {detail}"), self.scope())?;
        let intent = self.intend(subject, action, detail);
        let result = call.await;
        match intent {
            Ok(intent) => self.outcome(intent, &result, action, detail, words),
            Err(problem) => {
                self.journal.mark_order_unknown(subject);
                tracing::error!(%problem, action, detail, "a thaw was sent without a record");
            }
        }
        result
    }

    fn intend(&self, subject: &str, action: &str, detail: &str) -> Result<Intent, Problem> {
        self.journal.intend(
            self.scope(),
            &self.session.arn(),
            subject,
            action,
            detail,
            self.clock.now(),
        )
    }

    fn outcome<T>(
        &self,
        intent: Intent,
        result: &Result<T, Problem>,
        action: &str,
        detail: &str,
        words: impl FnOnce(&T) -> String,
    ) {
        let outcome = match result {
            Ok(value) => CallOutcome::Answered(words(value)),
            Err(problem) => CallOutcome::failed(problem),
        };
        if let Err(problem) = self.journal.outcome(intent, &outcome, self.clock.now()) {
            tracing::error!(%problem, action, detail, "the outcome of a call could not be recorded");
        }
    }
}

//! The open jobs, by what can be said of the process that drives them, and which of them are resumed.

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::certain_at;
use crate::domain::ids::JobId;
use crate::domain::job::JobView;
use crate::domain::problem::Problem;
use crate::ops::Ops;
use crate::ops::admission::owner::{OwnerState, owner_state};

/// Jobs of a scope that are not over, or owe something.
#[derive(Debug, Default)]
pub struct Open {
    /// Their process is gone, or they were left to whoever comes.
    pub gone: Vec<JobView>,
    /// Their process lives; it may be this one.
    pub alive: Vec<JobView>,
    /// Their process ran where we cannot look.
    pub elsewhere: Vec<JobView>,
}

/// The open jobs of the scope, as the journal has them. Asks nobody else.
///
/// # Errors
/// [`Kind::Local`](crate::domain::problem::Kind::Local).
pub fn open(ops: &Ops) -> Result<Open, Problem> {
    let mut open = Open::default();
    for (view, owner) in ops.journal.open_jobs(ops.scope())? {
        match owner_state(&owner) {
            OwnerState::Gone => open.gone.push(view),
            OwnerState::Alive => open.alive.push(view),
            OwnerState::Elsewhere => open.elsewhere.push(view),
        }
    }
    Ok(open)
}

/// As [`settle`](super::settle), but only for jobs whose process is known to be gone. Who looks again and again
/// would otherwise come upon one that waits long, driven by a living process that cannot be seen from here.
///
/// # Errors
/// As [`settle`](super::settle).
pub async fn settle_gone(
    ops: &Ops,
    updates: &mpsc::Sender<JobView>,
) -> Result<Vec<JobView>, Problem> {
    super::resume(ops, updates, Whom::Gone).await
}

/// Which of the open jobs are resumed.
#[derive(Clone, Copy)]
pub(super) enum Whom<'a> {
    /// All that nobody drives any more, as far as can be told.
    Abandoned,
    /// All whose process is known to be gone.
    Gone,
    /// These of [`Whom::Abandoned`]. Who names a job wants its unconfirmed thaw asked now.
    Named(&'a [JobId]),
}

impl Whom<'_> {
    pub(super) fn means(&self, view: &JobView, owner: &str, now: DateTime<Utc>) -> bool {
        match self {
            Self::Abandoned => is_abandoned(view, owner, now),
            Self::Gone => owner_state(owner) == OwnerState::Gone,
            Self::Named(jobs) => jobs.contains(&view.spec.job) && is_abandoned(view, owner, now),
        }
    }
}

/// Whether a start may take it that nobody drives that open job any more.
pub fn is_abandoned(view: &JobView, owner: &str, now: DateTime<Utc>) -> bool {
    match owner_state(owner) {
        OwnerState::Alive => false,
        OwnerState::Gone => true,
        OwnerState::Elsewhere => certain_at(view).is_none_or(|at| now >= at),
    }
}

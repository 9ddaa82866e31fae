//! The open jobs, by what can be said of the process that drives them.

use chrono::{DateTime, Utc};

use super::certain_at;
use crate::domain::job::JobView;
use crate::domain::problem::Problem;
use crate::ops::Ops;
use crate::ops::owner::{Driver, driver};

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
        match driver(&owner) {
            Driver::Gone => open.gone.push(view),
            Driver::Alive => open.alive.push(view),
            Driver::Elsewhere => open.elsewhere.push(view),
        }
    }
    Ok(open)
}

/// Whether a start may take it that nobody drives that open job any more.
pub(super) fn left(view: &JobView, owner: &str, now: DateTime<Utc>) -> bool {
    match driver(owner) {
        Driver::Alive => false,
        Driver::Gone => true,
        Driver::Elsewhere => certain_at(view).is_none_or(|at| now >= at),
    }
}

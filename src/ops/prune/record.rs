//! Prunes on record: begun, ended, and those whose process was killed.

use crate::domain::problem::Problem;
use crate::domain::prune::{PruneProgress, PruneRecord};
use crate::domain::retention::PrunePlan;
use crate::jobs::outcome::CallOutcome;
use crate::ops::Ops;
use crate::ops::admission::owner::{OwnerState, owner_of_this_process, owner_state};
use crate::ops::job::run::new_id;

/// A prune under way, on record.
pub(super) struct Record<'a> {
    ops: &'a Ops,
    record: PruneRecord,
    owner: String,
}

impl<'a> Record<'a> {
    /// Puts on record that it begins.
    pub(super) fn begin(ops: &'a Ops, plan: &PrunePlan) -> Result<Self, Problem> {
        let record = PruneRecord {
            id: new_id(),
            scope: plan.scope.clone(),
            who: ops.session.arn().to_owned(),
            of: plan.policy.scope_words(),
            rules: plan.policy.rules(),
            begun: ops.clock.now(),
            ended: None,
            total: plan.doomed().len(),
            deleted: 0,
            skipped: Vec::new(),
            stopped: None,
        };
        let owner = owner_of_this_process();
        ops.journal.save_prune(&record, &owner)?;
        Ok(Self { ops, record, owner })
    }

    pub(super) fn id(&self) -> &str {
        &self.record.id
    }

    /// Puts on record that it ended, and what came of it. The deletions are on record one by one: what cannot be
    /// written here is logged.
    pub(super) fn end(mut self, progress: &PruneProgress) {
        self.record.take(progress);
        self.record.ended = Some(self.ops.clock.now());
        if let Err(problem) = self.ops.journal.save_prune(&self.record, &self.owner) {
            tracing::error!(%problem, "the end of a prune could not be recorded");
        }
    }
}

/// Ends on record the prunes whose process is gone, by the calls that they made, and returns them.
///
/// # Errors
/// The journal's.
pub fn settle(ops: &Ops) -> Result<Vec<PruneRecord>, Problem> {
    let mut ended = Vec::new();
    for (mut record, owner) in ops.journal.open_prunes(ops.scope())? {
        if owner_state(&owner) != OwnerState::Gone {
            continue;
        }
        let calls = ops.journal.calls(&record.id)?;
        let deletions = || calls.iter().filter(|c| c.action == "DeleteSnapshot");
        let came = |wanted: fn(&Option<CallOutcome>) -> bool| {
            deletions().filter(|c| wanted(&c.outcome)).count()
        };
        record.deleted = came(|outcome| matches!(outcome, Some(CallOutcome::Answered(_))));
        let unknown = came(|outcome| matches!(outcome, None | Some(CallOutcome::Unknown(_))));
        let mut why = "its process was killed".to_owned();
        if unknown > 0 {
            why.push_str("; of the last call it is not known whether AWS carried it out");
        }
        record.stopped = Some(why);
        record.ended = Some(ops.clock.now());
        ops.journal.save_prune(&record, &owner)?;
        ended.push(record);
    }
    Ok(ended)
}

/// What a person should read of a prune that was killed.
pub fn describe(record: &PruneRecord) -> String {
    format!(
        "an earlier prune of {}, {}, begun {}, came to no end ({}): {}; plan again to go on",
        record.scope,
        record.of,
        record.begun.format("%Y-%m-%d %H:%M:%SZ"),
        record.stopped.as_deref().unwrap_or("stopped"),
        record.tally()
    )
}

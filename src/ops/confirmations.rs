//! What the journal says of a thaw that nobody could confirm at the end of its job: a proof that came later, or the word of
//! a person.

use crate::domain::job::{JobSpec, JobView};
use crate::domain::problem::Problem;
use crate::jobs::outcome::CallOutcome;
use crate::ops::Ops;

/// The journal's name of the proof. Not a call: a line that whoever drives the job looks for.
pub(in crate::ops) const PROVEN: &str = "ThawProven";
/// The journal's name of a person's word. It proves nothing, and ends an unconfirmed thaw.
pub(in crate::ops) const DECLARED: &str = "ThawDeclared";

/// Puts such a word on record.
pub(in crate::ops) fn record(
    ops: &Ops,
    view: &JobView,
    action: &str,
    words: &str,
) -> Result<(), Problem> {
    let (job, instance) = (view.spec.job.as_str(), view.spec.instance.as_str());
    let who = &ops.session.arn();
    let line = ops
        .journal
        .intend(ops.scope(), who, job, action, instance, ops.clock.now())?;
    let outcome = CallOutcome::Answered(words.to_owned());
    ops.journal.outcome(line, &outcome, ops.clock.now())
}

/// Whether a later `post-script` has proven that nothing of the job is frozen. What cannot be read proves nothing.
pub(in crate::ops) fn is_proven(ops: &Ops, spec: &JobSpec) -> bool {
    is_on_record(ops, spec, &[PROVEN])
}

/// Whether the unconfirmed thaw about the job was ended by a proof, or by the word of somebody who has looked.
pub(in crate::ops) fn is_ended(ops: &Ops, spec: &JobSpec) -> bool {
    is_on_record(ops, spec, &[PROVEN, DECLARED])
}

fn is_on_record(ops: &Ops, spec: &JobSpec, actions: &[&str]) -> bool {
    let calls = ops.journal.calls(spec.job.as_str());
    calls.is_ok_and(|calls| {
        calls
            .iter()
            .any(|call| actions.contains(&call.action.as_str()) && call.outcome.is_some())
    })
}

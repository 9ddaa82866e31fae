//! A job whose thaw nobody could confirm: thaw again, ask every mount, and put on record what was found, or what a
//! person has seen.

use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Phase};
use crate::domain::problem::{Kind, Problem};
use crate::ops::admission::owner;
use crate::ops::confirmations::{DECLARED, PROVEN, record};
use crate::ops::{Ops, recover};

/// Sends `post-script` again and waits for its probes. A job that was unconfirmed is on record as thawed
/// afterwards, and whoever drives it still learns of that; its level and verdict stay what they were, for the
/// proof came too late for them.
///
/// # Errors
/// [`Kind::NotFound`] when the journal does not have the job; otherwise why nobody can say that
/// it is thawed.
pub async fn thaw_again(ops: &Ops, job: &JobId) -> Result<JobView, Problem> {
    let view = job_on_record(ops, job)?;
    recover::thaw_proven(ops, &view).await?;
    record(ops, &view, PROVEN, "nothing is frozen")?;
    // It may have come to its end meanwhile.
    let mut view = ops.journal.job(ops.scope(), job)?.unwrap_or(view);
    if view.thaw_unconfirmed {
        view.thawed();
        // One that goes on is its driver's to write.
        if view.phase == Phase::Done {
            keep(ops, &view)?;
        }
    }
    Ok(view)
}

/// The job, if it is over with an unconfirmed thaw about its thaw that a person's word can end.
///
/// # Errors
/// [`Kind::NotFound`] when the journal does not have the job, [`Kind::State`] when there is no such unconfirmed thaw about it or
/// it is not over yet.
pub fn unconfirmed(ops: &Ops, job: &JobId) -> Result<JobView, Problem> {
    let view = job_on_record(ops, job)?;
    let refused = |cause: &str, hint: &str| {
        let what = format!("put on record that {job} is thawed");
        Err(Problem::new(Kind::State, what, cause, hint))
    };
    if !view.thaw_unconfirmed {
        refused(
            "its thaw is not unconfirmed",
            "`freezeframe list jobs` shows which thaws are unconfirmed",
        )
    } else if view.phase != Phase::Done {
        refused(
            "it is not over: its thaw is still being asked for",
            "wait for its end, or settle it with `freezeframe jobs resume`",
        )
    } else {
        Ok(view)
    }
}

/// Ends the unconfirmed thaw about a [`unconfirmed`] job by the word of somebody who has looked at the instance. Nothing is sent
/// there. The word, and whose it was, is on record, and level and verdict stay what they were.
///
/// # Errors
/// As [`unconfirmed`]; [`Kind::Local`] when the journal cannot be written.
pub fn record_operator_confirmation(ops: &Ops, job: &JobId) -> Result<JobView, Problem> {
    let mut view = unconfirmed(ops, job)?;
    let who = &ops.session.arn();
    record(ops, &view, DECLARED, &format!("by the word of {who}"))?;
    view.thawed();
    if let Some(problem) = &mut view.error {
        problem.cause = format!(
            "{}; {who} has looked, and says that it is thawed",
            problem.cause
        );
        "nothing is left to do: it was looked at".clone_into(&mut problem.hint);
    }
    keep(ops, &view)?;
    Ok(view)
}

fn job_on_record(ops: &Ops, job: &JobId) -> Result<JobView, Problem> {
    ops.journal.job(ops.scope(), job)?.ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            format!("thaw the instance of job {job}"),
            format!("the journal has no such job of {}", ops.scope()),
            "see `freezeframe list jobs`; to thaw on the instance: `fsfreeze -u MOUNT`",
        )
    })
}

/// Puts a job that is over on record; it stays open only for what else it owes.
fn keep(ops: &Ops, view: &JobView) -> Result<(), Problem> {
    let nobody = owner::owner_of_no_process();
    ops.journal
        .save_job(view, &nobody, view.has_pending_labels(), ops.clock.now())
}

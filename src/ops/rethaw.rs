//! A job whose thaw nobody could confirm: thaw again, ask every mount, and put on record what was found.

use super::{Ops, owner, recover};
use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Phase};
use crate::domain::problem::{Kind, Problem};

/// Sends `post-script` again and waits for its probes. A job that is over and was uncertain is on record as
/// thawed afterwards; its level and verdict stay what they were, for the proof came too late for them.
///
/// # Errors
/// [`Kind::NotFound`] when the journal does not have the job; otherwise why nobody can say that
/// it is thawed.
pub async fn thaw_again(ops: &Ops, job: &JobId) -> Result<JobView, Problem> {
    let Some(mut view) = ops.journal.job(ops.scope(), job)? else {
        return Err(Problem::new(
            Kind::NotFound,
            format!("thaw the instance of job {job}"),
            "this journal does not have the job",
            "thaw it on the instance: `fsfreeze -u MOUNT`",
        ));
    };
    recover::thaw_now(ops, &view).await?;
    if view.phase == Phase::Done && view.thaw_uncertain {
        view.thaw_uncertain = false;
        view.frozen_since = None;
        let me = owner::owner_of_this_process();
        ops.journal.save_job(&view, &me, false, ops.clock.now())?;
    }
    Ok(view)
}

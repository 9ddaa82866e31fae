//! A job whose thaw nobody could confirm: thaw again, ask every mount, and put on record what was found.

use super::{Ops, owner, recover};
use crate::domain::ids::JobId;
use crate::domain::job::{JobSpec, JobView, Phase};
use crate::domain::problem::{Kind, Problem};

/// The journal's name of the proof. Not a call: a line that whoever drives the job looks for.
const PROVEN: &str = "ThawProven";

/// Sends `post-script` again and waits for its probes. A job that was uncertain is on record as thawed
/// afterwards, and whoever drives it still learns of that; its level and verdict stay what they were, for the
/// proof came too late for them.
///
/// # Errors
/// [`Kind::NotFound`] when the journal does not have the job; otherwise why nobody can say that
/// it is thawed.
pub async fn thaw_again(ops: &Ops, job: &JobId) -> Result<JobView, Problem> {
    let Some(view) = ops.journal.job(ops.scope(), job)? else {
        return Err(Problem::new(
            Kind::NotFound,
            format!("thaw the instance of job {job}"),
            "this journal does not have the job",
            "thaw it on the instance: `fsfreeze -u MOUNT`",
        ));
    };
    recover::thaw_proven(ops, &view).await?;
    let proof = ops.journal.intend(
        ops.scope(),
        ops.session.arn(),
        job.as_str(),
        PROVEN,
        view.spec.instance.as_str(),
        ops.clock.now(),
    )?;
    ops.journal
        .outcome(proof, "ok: nothing is frozen", ops.clock.now())?;
    // It may have come to its end meanwhile.
    let mut view = ops.journal.job(ops.scope(), job)?.unwrap_or(view);
    if view.thaw_uncertain {
        view.thaw_uncertain = false;
        view.frozen_since = None;
        // One that goes on is its driver's to write.
        if view.phase == Phase::Done {
            let nobody = owner::owner_of_no_process();
            let open = view.owes_labels();
            ops.journal
                .save_job(&view, &nobody, open, ops.clock.now())?;
        }
    }
    Ok(view)
}

/// Whether [`thaw_again`] has proven that nothing of the job is frozen. What cannot be read proves nothing.
pub(in crate::ops) fn is_proven(ops: &Ops, spec: &JobSpec) -> bool {
    ops.journal.calls(spec.job.as_str()).is_ok_and(|calls| {
        calls
            .iter()
            .any(|call| call.action == PROVEN && call.outcome.is_some())
    })
}

//! Stopping a job that this console does not drive, as `freezeframe jobs abort` does.

use tokio::sync::mpsc;

use super::watch::telling;
use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Phase};
use crate::domain::problem::{Kind, Problem};
use crate::ops::{Ops, recover, rethaw};
use crate::tui::message::Message;

/// What nobody drives is settled. What a process drives is thawed under it: it sees that and claims no more. A doubt
/// whether it is thawed is asked again.
///
/// # Errors
/// Why nobody can say that it is thawed, or that there is nothing to stop.
pub(super) async fn elsewhere(
    ops: &Ops,
    job: &JobId,
    messages: &mpsc::Sender<Message>,
) -> Result<JobView, Problem> {
    let on_record = || {
        ops.journal.job(ops.scope(), job)?.ok_or_else(|| {
            Problem::new(
                Kind::NotFound,
                format!("stop job {job}"),
                "the journal does not have it",
                "press ctrl-r",
            )
        })
    };
    ops.session.may_write("thaw instances", ops.scope())?;
    let open = recover::open(ops)?;
    let named = |view: &JobView| view.spec.job == *job;
    if !open.alive.iter().any(named) {
        let only = [job.clone()];
        let settle = async |updates| recover::settle_only(ops, &updates, &only).await;
        // None where it is over, where another was faster, or where its process may live.
        if let Some(view) = telling(messages, settle).await?.pop() {
            return Ok(view);
        }
    }
    let mut driven = open.alive.iter().chain(&open.elsewhere);
    let Some(view) = driven.find(|view| named(view)) else {
        return on_record();
    };
    let refused = |cause: &str, mend: &str| {
        let what = format!("stop the job of {}", view.spec.named());
        Err(Problem::new(Kind::State, what, cause, mend))
    };
    if ops.journal.is_of_own_world() {
        return refused(
            "it runs in the lab of another process",
            "stop it there; a lab ends with its process",
        );
    }
    if (Phase::Preflight..=Phase::Thawing).contains(&view.phase) {
        recover::thaw_now(ops, view).await?;
        // Whoever drives it writes down the rest.
        let mut view = on_record()?;
        let uncertain = view.thaw_uncertain;
        view.thawed();
        view.thaw_uncertain = uncertain;
        return Ok(view);
    }
    if view.thaw_uncertain {
        return rethaw::thaw_again(ops, job).await;
    }
    refused(
        "another process drives it, and it holds nothing now",
        "stop it where it was started; AWS's copying needs nobody and ends by itself",
    )
}

//! Stopping a job that this console does not drive, as `freezeframe jobs abort` does.

use tokio::sync::mpsc;

use super::watch::telling;
use crate::domain::ids::JobId;
use crate::domain::job::JobView;
use crate::domain::problem::{Kind, Problem};
use crate::ops::job::confirm_thaw;
use crate::ops::job::stop::{Way, way};
use crate::ops::{Ops, recover};
use crate::tui::message::Message;

/// What nobody drives is settled. What a process drives is thawed under it: it sees that and claims no more. An unconfirmed thaw
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
    let open = ops.journal.open_jobs(ops.scope())?;
    let found = open.iter().find(|(view, _)| view.spec.job == *job);
    let (view, owner) = match found {
        Some((view, owner)) => (view.clone(), Some(owner.as_str())),
        None => (on_record()?, None),
    };
    let refused = |cause: &str, hint: &str| {
        let what = format!("stop the job of {}", view.spec.named());
        Err(Problem::new(Kind::State, what, cause, hint))
    };
    match way(&view, owner, ops.journal.is_of_own_world(), ops.clock.now()) {
        Way::Settle => {
            let only = [job.clone()];
            let settle = async |updates| recover::settle_only(ops, &updates, &only).await;
            // None where another was faster.
            match telling(messages, settle).await?.pop() {
                Some(view) => Ok(view),
                None => on_record(),
            }
        }
        Way::Thaw => {
            recover::thaw_now(ops, &view).await?;
            // Whoever drives it writes down the rest.
            let mut view = on_record()?;
            let unconfirmed = view.thaw_unconfirmed;
            view.thawed();
            view.thaw_unconfirmed = unconfirmed;
            Ok(view)
        }
        Way::AskAgain => confirm_thaw::thaw_again(ops, job).await,
        Way::Over => Ok(view),
        Way::OtherLab => refused(
            "it runs in the lab of another process",
            "stop it there; a lab ends with its process",
        ),
        Way::HoldsNothing => refused(
            "another process drives it, and it holds nothing now",
            "stop it where it was started; AWS finishes the copy by itself",
        ),
    }
}

//! Follows a command to its end. The session decides how often and for how many commands at a time it asks, because all
//! jobs share its questions.

use chrono::TimeDelta;
use tokio::sync::{mpsc, watch};

use crate::domain::command::CommandOutcome;
use crate::domain::held::Delivery;
use crate::domain::ids::CommandId;
use crate::domain::job::JobSpec;
use crate::domain::machine::JobEvent;
use crate::ops::Ops;

/// A command was sent at most this long ago when somebody begins to wait for it; clocks that differ are
/// allowed for.
const SENT_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// Follows a command to its end. Asking that fails for long makes the command *lost*, which proves nothing.
pub(in crate::ops) async fn follow(
    ops: &Ops,
    spec: &JobSpec,
    command: &CommandId,
) -> CommandOutcome {
    let invoked_after = ops.clock.now() - SENT_WITHIN;
    ops.session
        .outcome(command, &spec.instance, invoked_after)
        .await
}

/// As [`follow`]; how far it is meanwhile is told.
pub(in crate::ops) async fn follow_telling(
    ops: &Ops,
    spec: &JobSpec,
    command: &CommandId,
    told: watch::Sender<Delivery>,
) -> CommandOutcome {
    let invoked_after = ops.clock.now() - SENT_WITHIN;
    ops.session
        .outcome_telling(command, &spec.instance, invoked_after, Some(told))
        .await
}

/// As [`follow`], of a command that freezes or thaws: how far it is meanwhile is told as an event of the job.
pub(in crate::ops) async fn follow_as_events(
    ops: &Ops,
    spec: &JobSpec,
    command: &CommandId,
    events: &mpsc::Sender<JobEvent>,
    event: fn(Delivery) -> JobEvent,
) -> CommandOutcome {
    let (seen, mut news) = watch::channel(Delivery::Taken);
    let mut outcome = std::pin::pin!(follow_telling(ops, spec, command, seen));
    loop {
        tokio::select! {
            biased;
            outcome = &mut outcome => return outcome,
            Ok(()) = news.changed() => {
                let delivery = *news.borrow_and_update();
                let _ = events.send(event(delivery)).await;
            }
        }
    }
}

//! Sending `post-script`: as often as it takes, every request on record, and what came of one whose answer was lost.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;

use crate::aws::pace::Token;
use crate::aws::ssm::{Command, Polled};
use crate::domain::command::CommandOutcome;
use crate::domain::ids::CommandId;
use crate::domain::job::JobSpec;
use crate::domain::problem::{Kind, Problem};
use crate::domain::trace::{Trace, TraceEvent};
use crate::jobs::outcome::CallOutcome;
use crate::ops::Ops;
use crate::ops::command::send::{Step, comment};
use crate::recipe::events;

/// Requests in close succession.
const ATTEMPTS: u32 = 4;
/// Pause after the first; doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a command is looked for whose answer was lost. Something may be frozen: sending again is as good.
const LOOK: Duration = Duration::from_secs(1);
/// How often a command that took hold unseen is looked for when another found its work done, and the pause between:
/// Systems Manager may show it late (aws-facts 3.5).
const LATE_LOOKS: u32 = 3;
const LATE_PAUSE: Duration = Duration::from_secs(2);
/// Commands of this long ago are read: no job is older while it thaws for the first time.
const LOOK_BACK: TimeDelta = TimeDelta::hours(1);

/// Sends it until Systems Manager has taken it, a few times.
///
/// # Errors
/// Whatever the last attempt answered.
pub(in crate::ops) async fn send(
    ops: &Ops,
    spec: &JobSpec,
    command: &Command<'_>,
    detail: &str,
    mut token: Option<Token>,
) -> Result<CommandId, Problem> {
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS {
        match attempt(ops, spec, command, detail, token.take()).await {
            Err(problem) if is_passing(&problem) => {}
            sent => return sent,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    attempt(ops, spec, command, detail, token).await
}

async fn attempt(
    ops: &Ops,
    spec: &JobSpec,
    command: &Command<'_>,
    detail: &str,
    token: Option<Token>,
) -> Result<CommandId, Problem> {
    let before = answered(ops, spec);
    let call = async {
        let problem = match ops.session.send_rescue(token, command).await {
            Err(problem) if problem.may_have_happened => problem,
            other => return other,
        };
        // Of somebody else's document only what is sent now counts, and an earlier one cannot be told from it.
        if spec.third_party {
            return Err(problem);
        }
        let look = tokio::time::timeout(LOOK, unanswered(ops, spec, before.as_ref()));
        match look.await {
            Ok(Ok(found)) => found.into_iter().next().ok_or(problem),
            _ => Err(problem),
        }
    };
    ops.recorded_best_effort(
        spec.job.as_str(),
        "SendCommand",
        detail,
        call,
        ToString::to_string,
    )
    .await
}

/// Whether the next attempt may fare better.
fn is_passing(problem: &Problem) -> bool {
    let kinds = [Kind::Throttled, Kind::Network, Kind::Timeout];
    problem.may_have_happened || kinds.contains(&problem.kind)
}

/// The job's `post-script`s whose sending was answered; `None` when the journal cannot tell.
fn answered(ops: &Ops, spec: &JobSpec) -> Option<BTreeSet<String>> {
    let calls = ops.journal.calls(spec.job.as_str()).ok()?;
    let posts = calls.iter().filter(|call| Step::Post.is(call, spec.mode));
    let ids = posts.filter_map(|call| call.outcome.as_ref()?.answer());
    Some(ids.map(str::to_owned).collect())
}

/// The job's `post-script`s that Systems Manager shows and the journal has no answer of, the newest first.
async fn unanswered(
    ops: &Ops,
    spec: &JobSpec,
    answered: Option<&BTreeSet<String>>,
) -> Result<Vec<CommandId>, Problem> {
    let Some(answered) = answered else {
        return Ok(Vec::new());
    };
    let comment = comment(spec, Step::Post);
    let since = ops.clock.now() - LOOK_BACK;
    let mut listed = ops.session.commands_since(&spec.instance, since).await?;
    listed.retain(|c| c.comment == comment && !answered.contains(c.id.as_str()));
    listed.sort_by_key(|c| std::cmp::Reverse(c.requested));
    Ok(listed.into_iter().map(|c| c.id).collect())
}

/// What the thaw has said: this outcome, unless one whose answer was lost did the work and this one found it done.
pub(in crate::ops) async fn effective_outcome(
    ops: &Ops,
    spec: &JobSpec,
    outcome: CommandOutcome,
) -> CommandOutcome {
    let trace = events::parse(&outcome.stdout);
    if spec.third_party || !trace.has_error("not-frozen") || !is_any_unknown(ops, spec) {
        return outcome;
    }
    for look in 1..=LATE_LOOKS {
        match released(ops, spec).await {
            Ok(Some(earlier)) => return earlier,
            Ok(None) => {}
            Err(problem) => {
                tracing::warn!(%problem, "a post-script whose answer was lost cannot be looked for");
            }
        }
        if look < LATE_LOOKS {
            tokio::time::sleep(LATE_PAUSE).await;
        }
    }
    outcome
}

/// Whether the answer to a `post-script` of the job was lost.
fn is_any_unknown(ops: &Ops, spec: &JobSpec) -> bool {
    ops.journal.calls(spec.job.as_str()).is_ok_and(|calls| {
        calls.iter().any(|call| {
            matches!(call.outcome, Some(CallOutcome::Unknown(_))) && Step::Post.is(call, spec.mode)
        })
    })
}

/// The end of a `post-script` whose answer was lost and that released the freeze.
async fn released(ops: &Ops, spec: &JobSpec) -> Result<Option<CommandOutcome>, Problem> {
    let answered = answered(ops, spec);
    for command in unanswered(ops, spec, answered.as_ref()).await? {
        let polled = ops.session.poll_command(&command, &spec.instance).await?;
        if let Polled::Ended(outcome) = polled
            && has_released(&events::parse(&outcome.stdout))
        {
            return Ok(Some(outcome));
        }
    }
    Ok(None)
}

/// Whether a `post-script` found the freeze and ended it.
pub(in crate::ops) fn has_released(trace: &Trace) -> bool {
    trace.events().any(|said| *said == TraceEvent::Release) || !trace.thawed_mounts().is_empty()
}

//! Resumes jobs that an earlier process left open: thaw first, then settle. Exactly one process resumes a job: the
//! journal hands it over in one write.

mod close;
mod labels;
mod open;
pub mod orphans;
mod proof;
mod unconfirmed;
mod values;

use crate::domain::script_exit::ScriptExit;
use crate::domain::state::CommandStatus;
use crate::domain::thaw::{self, Freeze, ThawVerdict};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::aws::ssm::{Listed, Polled};
use crate::domain::command::CommandEnd;
use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Mode, Phase};
use crate::domain::problem::{Kind, Problem};
use crate::domain::trace::Trace;
use crate::jobs::journal::CallRow;
use crate::jobs::outcome::CallOutcome;
use crate::ops::admission::owner::owner_of_no_process;
use crate::ops::admission::preflight::end_in_words;
use crate::ops::admission::remote_jobs::{self, Other, Standing};
use crate::ops::command::poll::follow;
use crate::ops::command::send::{self, Step};
use crate::ops::{Ops, log};
use crate::recipe::events;

pub use crate::ops::admission::owner::owner_of_this_process;
use open::Whom;
pub use open::{Open, is_abandoned, open, settle_gone};
pub use unconfirmed::UnconfirmedThaws;

/// Seconds, beyond the budget, after which a `pre-script` that was sent can neither begin nor hold a
/// freeze any more: delivery, a lost attempt's time limit, and grace for both ends.
const SETTLED_AFTER_S: i64 = 30 + 60 + 60;
/// Seconds after which a request of a process that is gone is no longer under way, and what it did is
/// visible: its time limit, and the time until AWS shows everywhere what it has taken in.
const UNDER_WAY_S: i64 = 60 + 30;
/// How often a `post-script` that met a `pre-script` at work is sent again.
const BUSY_TRIES: u32 = 30;
const BUSY_PAUSE: Duration = Duration::from_secs(2);
/// How long the thaw of a third-party document waits for Systems Manager to say how its `pre-script` ended.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// From when on the failsafe has certainly acted, however late `pre-script` began.
fn certain_at(view: &JobView) -> Option<DateTime<Utc>> {
    let quiescing = view
        .phases
        .iter()
        // A command that Systems Manager did not take was followed by another.
        .rfind(|p| p.phase == Phase::Quiescing)
        .map(|p| p.started);
    let seconds = SETTLED_AFTER_S + i64::from(view.spec.budget_s);
    quiescing
        .or_else(|| view.started())
        .map(|at| at + TimeDelta::seconds(seconds))
}

/// What came of a thaw, and why it is none.
type Thaw = ThawVerdict<Problem>;

/// Settles every job of this scope that an earlier process left open. Each is thawed before anything
/// else is done for any of them; then its set is found by tag and labelled by what can still be proven
/// (`crash` where it cannot), and the job is closed with what is known. A job that cannot be settled yet,
/// or whose set AWS still copies, stays open, and the next look goes on; so does one whose labels could not be
/// written, though it is over and in nobody's way. Views are sent on `updates`, with `waiting` for what is being
/// done before it is done.
///
/// # Errors
/// [`Kind::Local`] when the journal cannot be read or written: the first such problem, after everything was done
/// for the jobs that it does not concern.
pub async fn settle(ops: &Ops, updates: &mpsc::Sender<JobView>) -> Result<Vec<JobView>, Problem> {
    resume(ops, updates, Whom::Abandoned).await
}

/// As [`settle`], for these jobs only.
///
/// # Errors
/// As [`settle`].
pub async fn settle_only(
    ops: &Ops,
    updates: &mpsc::Sender<JobView>,
    jobs: &[JobId],
) -> Result<Vec<JobView>, Problem> {
    resume(ops, updates, Whom::Named(jobs)).await
}

async fn resume(
    ops: &Ops,
    updates: &mpsc::Sender<JobView>,
    whom: Whom<'_>,
) -> Result<Vec<JobView>, Problem> {
    if ops.session.read_only() {
        return Ok(Vec::new());
    }
    let (me, nobody) = (owner_of_this_process(), owner_of_no_process());
    let mut taken = Vec::new();
    let mut refused = None;
    for (mut view, owner) in ops.journal.open_jobs(ops.scope())? {
        if !whom.means(&view, &owner, ops.clock.now()) {
            continue;
        }
        match ops.journal.claim_job(&view.spec.job, &owner, &me) {
            Ok(true) => {
                view.bound_times(ops.clock.now());
                taken.push(view);
            }
            Ok(false) => {}
            // The other jobs are claimed already: no other process would thaw them while this one lives.
            Err(problem) => {
                tracing::error!(%problem, job = %view.spec.job, "an open job could not be resumed");
                refused.get_or_insert(problem);
            }
        }
    }
    let named = matches!(whom, Whom::Named(_));
    let due = |view: &JobView| named || ops.unconfirmed.is_due(&view.spec.job, ops.clock.now());
    let thaws = taken.iter_mut().map(|view| {
        let (due, span) = (due(view), log::of_job(&view.spec));
        thaw_and_tell(ops, view, updates, due).instrument(span)
    });
    let thaws = futures::future::join_all(thaws).await;
    let mut settled = Vec::new();
    for (mut view, thawed) in taken.into_iter().zip(thaws) {
        if let Some(doing) = closing_words(&view) {
            tell(updates, &view, doing);
        }
        let span = log::of_job(&view.spec);
        let over = close::close(ops, &mut view, thawed)
            .instrument(span.clone())
            .await;
        span.in_scope(|| log::Logged::default().note(&view));
        let job = &view.spec.job;
        if let Err(problem) = ops.journal.save_job(&view, &nobody, !over, ops.clock.now()) {
            tracing::error!(%problem, %job, "what became of a job that was resumed could not be recorded");
            refused.get_or_insert(problem);
            // The job goes back on record without an owner, if that can be written.
            if let Err(problem) = ops.journal.claim_job(job, &me, &nobody) {
                tracing::error!(%problem, %job, "it stays this process's until its end");
            }
        }
        let _ = updates.send(view.clone()).await;
        settled.push(view);
    }
    refused.map_or(Ok(settled), Err)
}

/// Reports what is about to be done for a job: an answer may take a minute. A receiver that does not listen holds up no
/// thaw.
fn tell(updates: &mpsc::Sender<JobView>, view: &JobView, doing: &str) {
    let waiting = Some(doing.to_owned());
    let _ = updates.try_send(JobView {
        waiting,
        ..view.clone()
    });
}

/// As [`thaw`]; a proven thaw is recorded and reported at once, because looking for the set may take minutes.
async fn thaw_and_tell(
    ops: &Ops,
    view: &mut JobView,
    updates: &mpsc::Sender<JobView>,
    due: bool,
) -> Thaw {
    let thawed = thaw(ops, view, updates, due).await;
    // What is over is cleared of an unconfirmed thaw by `close`, by rules of its own.
    let proven = matches!(thawed, Thaw::Confirmed) && view.phase != Phase::Done;
    if proven && view.held().is_something() {
        view.thawed();
        let me = owner_of_this_process();
        if let Err(problem) = ops.journal.save_job(view, &me, true, ops.clock.now()) {
            tracing::error!(%problem, job = %view.spec.job, "that it is thawed could not be recorded yet");
        }
        tell(updates, view, "it is thawed; its set comes next");
    }
    thawed
}

/// What [`close::close`] is about to do, where it is more than a look at how far AWS has copied.
fn closing_words(view: &JobView) -> Option<&'static str> {
    if view.only_copies() {
        None
    } else if view.phase == Phase::Done && !view.set_unseen {
        Some("writing the labels that it owes")
    } else {
        Some(
            "looking at EC2 for a set of it, by the tag freezeframe:job; one asked for a moment ago may take \
             half a minute to appear",
        )
    }
}

/// Thaws the instance of one job, whoever drives it: sends `post-script` and waits for what it says. Whether
/// another process is at work on the job makes no difference: it will see the freeze end, and claim nothing.
///
/// # Errors
/// Why nobody can say that it is thawed.
pub async fn thaw_now(ops: &Ops, view: &JobView) -> Result<(), Problem> {
    ops.session
        .may_write("thaw an instance", &view.spec.scope)?;
    match send_thaw(ops, view, By::Person).await {
        Thaw::Confirmed => Ok(()),
        // A late pre-script of ours finds the tombstone marker that post-script has laid.
        Thaw::Later if !view.spec.third_party => Ok(()),
        Thaw::Later => Err(may_begin(view)),
        Thaw::Unconfirmed(problem) | Thaw::StillFrozen(problem) => Err(problem),
    }
}

/// As [`thaw_now`], but only what proves that nothing is frozen, now or by a late start, is a success.
///
/// # Errors
/// Why nobody can say that.
pub(super) async fn thaw_proven(ops: &Ops, view: &JobView) -> Result<(), Problem> {
    ops.session
        .may_write("thaw an instance", &view.spec.scope)?;
    match send_thaw(ops, view, By::Person).await {
        Thaw::Confirmed => Ok(()),
        Thaw::Unconfirmed(problem) | Thaw::StillFrozen(problem) => Err(problem),
        Thaw::Later => Err(may_begin(view)),
    }
}

fn may_begin(view: &JobView) -> Problem {
    Problem::new(
        Kind::Agent,
        format!("thaw {}", view.spec.instance),
        "nothing is frozen now, but a command that freezes may still be on its way",
        "ask again when the job's budget is spent",
    )
}

/// Sends `post-script` if `pre-script` may have been sent, and returns the verdict. An instance whose thaw is unconfirmed is
/// asked again only where that is `due`.
async fn thaw(ops: &Ops, view: &JobView, updates: &mpsc::Sender<JobView>, due: bool) -> Thaw {
    // The job has ended, and only its labels are pending. With a failsafe of ours only a person asks again.
    if view.phase == Phase::Done && !view.needs_thaw() {
        return Thaw::Confirmed;
    }
    match freeze_was_sent(ops, view) {
        Ok(false) => return Thaw::Confirmed,
        Ok(true) => {}
        Err(problem) => tracing::warn!(%problem, "whether pre-script was sent is unknown; thawing"),
    }
    let unconfirmed = view.spec.third_party && view.thaw_unconfirmed;
    if unconfirmed && !due {
        return Thaw::Unconfirmed(view.error.clone().unwrap_or_else(|| unproven(view)));
    }
    tell(
        updates,
        view,
        "thawing it first: post-script is sent to the instance",
    );
    send_thaw(ops, view, By::TakeUp).await
}

/// Who wants a thaw.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// A person, now.
    Person,
    /// The settling of what was left.
    TakeUp,
}

async fn send_thaw(ops: &Ops, view: &JobView, by: By) -> Thaw {
    let certain = certain_at(view).is_none_or(|at| ops.clock.now() >= at);
    let third_party = view.spec.third_party;
    let mut before = None;
    if third_party && !was_frozen(view) {
        let look = tokio::time::timeout(FIRST_LOOK, pre_script_end(ops, view));
        before = look.await.ok().flatten();
    }
    for tried in 0..BUSY_TRIES {
        if third_party {
            match at_work(ops, view).await {
                Ok(None) => {}
                Ok(Some(other)) => return Thaw::Unconfirmed(in_the_way(view, &other)),
                // An old unconfirmed thaw can wait until it is known which job its `post-script` would thaw.
                Err(problem) if by == By::TakeUp => return Thaw::Unconfirmed(problem),
                Err(problem) => {
                    tracing::warn!(%problem, "who else is at work there cannot be read")
                }
            }
        }
        if third_party && by == By::TakeUp && tried == 0 {
            ops.unconfirmed.asked(&view.spec.job, ops.clock.now());
        }
        let command = match send::send(ops, &view.spec, Step::Post).await {
            Ok(command) => command,
            Err(problem) => return Thaw::Unconfirmed(problem),
        };
        let outcome = follow(ops, &view.spec, &command).await;
        let trace = events::parse(&outcome.stdout);
        if trace.has_error("busy") {
            tokio::time::sleep(BUSY_PAUSE).await;
            continue;
        }
        if third_party && trace.lines.is_empty() {
            let thaw = judged(
                view,
                outcome.ended.clone(),
                &trace,
                before.as_ref(),
                certain,
            );
            let none = outcome.ended
                == CommandEnd::Failed {
                    exit: ScriptExit::NotFrozen,
                };
            match thaw {
                Thaw::Later if before.is_none() => {
                    before = pre_script_end(ops, view).await;
                    // `pre-script` has ended by now: the next `post-script` is conclusive.
                    if before.is_some() {
                        continue;
                    }
                    return not_yet(view, certain);
                }
                // It found nothing frozen, because an earlier `post-script` had thawed.
                Thaw::Unconfirmed(_) if none && was_released(ops, view).await => {
                    return Thaw::Confirmed;
                }
                other => return other,
            }
        }
        let thaw = judged(view, outcome.ended, &trace, before.as_ref(), certain);
        return match thaw {
            Thaw::Later => match pre_script_end(ops, view).await {
                // "Not frozen" does not prove the thaw of a third-party document that froze.
                Some(end) if third_party && end.may_have_frozen() => {
                    Thaw::Unconfirmed(unproven(view))
                }
                Some(_) => Thaw::Confirmed,
                None => not_yet(view, certain && third_party),
            },
            other => other,
        };
    }
    Thaw::Unconfirmed(Problem::new(
        Kind::Script,
        format!("thaw {}", view.spec.instance),
        "its pre-script is still at work",
        "wait until its budget is spent; the next start of freezeframe looks again",
    ))
}

fn unproven(view: &JobView) -> Problem {
    Problem::new(
        Kind::Script,
        format!("thaw {}", view.spec.instance),
        format!(
            "{} gives no proof that what it froze is thawed",
            view.spec.document
        ),
        "look at the instance; `fsfreeze -u MOUNT` releases by hand",
    )
}

/// The verdict where nothing is frozen and the end of `pre-script` is unknown. A third-party `pre-script` that could not
/// begin any more (`certain`) may still be at work, without a failsafe of ours that would end it.
fn not_yet(view: &JobView, certain: bool) -> Thaw {
    if certain {
        Thaw::Unconfirmed(unproven(view))
    } else {
        Thaw::Later
    }
}

/// The job that has the instance now, by this journal's leases and, where it is an unconfirmed thaw of some time ago, by what
/// Systems Manager shows of other consoles. A `post-script` of somebody else's document is of no job: it would thaw
/// that one's freeze.
///
/// # Errors
/// Nobody can say whether another console has it. What the journal cannot tell is in nobody's way.
async fn at_work(ops: &Ops, view: &JobView) -> Result<Option<JobId>, Problem> {
    let spec = &view.spec;
    let holder = ops
        .journal
        .lease_holder(&spec.scope, &spec.instance, ops.clock.now());
    match holder.unwrap_or_default() {
        Some(holder) if holder != spec.job => Ok(Some(holder)),
        // What may be frozen this moment waits for no look.
        _ if view.thaw_unconfirmed => {
            let look = tokio::time::timeout(FIRST_LOOK, remote_jobs::jobs_on(ops, &spec.instance));
            let found = look.await.unwrap_or_else(|_| Err(unseen(view)))?;
            let holds = |other: Other| (other.standing == Standing::Holds).then_some(other.job);
            Ok(found.into_iter().find_map(holds))
        }
        _ => Ok(None),
    }
}

fn unseen(view: &JobView) -> Problem {
    Problem::new(
        Kind::Timeout,
        format!("look who else is at work on {}", view.spec.instance),
        format!(
            "Systems Manager gave no answer within {} s, and post-script of {} would thaw whatever another job has frozen",
            FIRST_LOOK.as_secs(),
            view.spec.document
        ),
        "it is asked again later",
    )
}

fn in_the_way(view: &JobView, other: &JobId) -> Problem {
    Problem::new(
        Kind::State,
        format!("thaw {}", view.spec.instance),
        format!(
            "job {other} is under way there, and post-script of {} would thaw its freeze",
            view.spec.document
        ),
        "it is asked again when that job has let the instance go",
    )
}

/// Whether Systems Manager shows a `post-script` of the job that began after `pre-script` had ended, and ended well.
/// What cannot be read shows none.
async fn was_released(ops: &Ops, view: &JobView) -> bool {
    released(ops, view).await.unwrap_or_else(|problem| {
        tracing::warn!(%problem, "whether an earlier thaw worked cannot be read");
        false
    })
}

async fn released(ops: &Ops, view: &JobView) -> Result<bool, Problem> {
    let (session, instance) = (&ops.session, &view.spec.instance);
    let comment = send::comment(&view.spec, Step::Pre);
    let Some(pre) = session.find_command(&comment, instance).await? else {
        return Ok(false);
    };
    let frozen = session.ran(&pre, instance).await?;
    let comment = send::comment(&view.spec, Step::Post);
    let since = view.started().unwrap_or_else(|| ops.clock.now()) - TimeDelta::hours(1);
    let listed = session.commands_since(instance, since).await?;
    let well = |c: &&Listed| c.comment == comment && c.status == CommandStatus::Success;
    for post in listed.iter().filter(well) {
        if session.ran(&post.id, instance).await?.began_after(&frozen) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn was_frozen(view: &JobView) -> bool {
    view.phases.iter().any(|p| p.phase == Phase::Frozen)
}

/// What a `post-script` shows, as far as a process can tell that did not drive the job. `before`: how `pre-script` had
/// ended when it was sent, as far as that is known; `certain`: by then it could not begin any more.
fn judged(
    view: &JobView,
    ended: CommandEnd,
    trace: &Trace,
    before: Option<&CommandEnd>,
    certain: bool,
) -> Thaw {
    let third_party = view.spec.third_party;
    let may_hold = was_frozen(view) || before.is_some_and(CommandEnd::may_have_frozen);
    // No failsafe of ours watches over a document that is not ours: how long ago it was sent proves nothing.
    let known = if third_party && trace.lines.is_empty() {
        may_hold || before.is_some()
    } else {
        (certain && !third_party) || view.phase > Phase::Quiescing
    };
    let freeze = Freeze {
        third_party,
        conclusive: known,
        may_hold,
        followed: None,
    };
    let what = format!("thaw {}", view.spec.instance);
    match thaw::judge(&ended, trace, &freeze) {
        ThawVerdict::Confirmed => Thaw::Confirmed,
        ThawVerdict::Later => Thaw::Later,
        ThawVerdict::StillFrozen(()) => Thaw::StillFrozen(Problem::new(
            Kind::Script,
            what,
            format!("still frozen: {}", trace.probed_frozen().join(", ")),
            "run `fsfreeze -u MOUNT` on the instance now",
        )),
        ThawVerdict::Unconfirmed(()) => Thaw::Unconfirmed(match ended {
            CommandEnd::Lost(problem) => problem,
            _ if third_party && trace.lines.is_empty() => unproven(view),
            ended => Problem::new(
                Kind::Agent,
                what,
                format!("the thaw did not report its end: {}", end_in_words(&ended)),
                "check the instance; its failsafe thaws when the budget is spent",
            ),
        }),
    }
}

/// How `pre-script` ended, if it can certainly not begin any more: Systems Manager says that it has ended, or
/// does not know of it although whoever sent it is gone for longer than a request can be under way.
async fn pre_script_end(ops: &Ops, view: &JobView) -> Option<CommandEnd> {
    let comment = send::comment(&view.spec, Step::Pre);
    let found = ops
        .session
        .find_command(&comment, &view.spec.instance)
        .await;
    let command = match found {
        Ok(Some(command)) => command,
        Ok(None) => return never_arrived(ops, view).then_some(CommandEnd::NeverDelivered),
        Err(_) => return None,
    };
    match ops
        .session
        .poll_command(&command, &view.spec.instance)
        .await
    {
        Ok(Polled::Ended(outcome)) => {
            Some(outcome.ended.heard_after(since_sent(ops, view))).filter(CommandEnd::is_conclusive)
        }
        _ => None,
    }
}

/// How long ago the command that freezes was sent, by the journal; where it does not say, for longer than any delivery.
fn since_sent(ops: &Ops, view: &JobView) -> TimeDelta {
    let calls = ops
        .journal
        .calls(view.spec.job.as_str())
        .unwrap_or_default();
    let sent = calls
        .iter()
        .filter(|call| freezes(call))
        .filter_map(|call| DateTime::parse_from_rfc3339(&call.intended).ok());
    let first = sent.min().map(|at| at.with_timezone(&chrono::Utc));
    first.map_or(TimeDelta::MAX, |at| ops.clock.now() - at)
}

fn never_arrived(ops: &Ops, view: &JobView) -> bool {
    let Ok(calls) = ops.journal.calls(view.spec.job.as_str()) else {
        return false;
    };
    let now = ops.clock.now();
    let limit = now - TimeDelta::seconds(UNDER_WAY_S);
    let quiescing = view.phases.iter().rfind(|p| p.phase == Phase::Quiescing);
    calls.iter().filter(|call| freezes(call)).all(|call| {
        let intended = DateTime::parse_from_rfc3339(&call.intended);
        intended.is_ok_and(|at| match at > now {
            // A clock that was ahead wrote it; the phase's time was bound when the job was resumed.
            true => quiescing.is_some_and(|phase| phase.started <= limit),
            false => at <= limit,
        })
    })
}

/// A call that could make the instance freeze something.
fn freezes(call: &CallRow) -> bool {
    [Mode::Coordinated, Mode::Autonomous]
        .into_iter()
        .any(|mode| Step::Pre.is(call, mode))
}

/// Whether the journal has a command that freezes and was not refused, so that the instance may be frozen: its intent is
/// on disk before it is sent.
fn freeze_was_sent(ops: &Ops, view: &JobView) -> Result<bool, Problem> {
    // What was unconfirmed stays so until an instance says otherwise, however far the copying has come.
    if view.phase >= Phase::Verifying && !view.thaw_unconfirmed {
        return Ok(false);
    }
    let calls = ops.journal.calls(view.spec.job.as_str())?;
    Ok(calls.iter().any(was_sent))
}

/// A call that could make the instance freeze something, and was not refused.
fn was_sent(call: &CallRow) -> bool {
    freezes(call) && !matches!(call.outcome, Some(CallOutcome::Refused(_)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::ops) fn view(phase: Phase) -> JobView {
        let spec = serde_json::from_value(serde_json::json!({
            "job": "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10", "run": "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f11",
            "account": "111122223333", "region": "eu-central-1", "instance": "i-0123456789abcdef0",
            "instance_name": "db", "recipe": "r", "document": "d", "mode": "coordinated", "budget_s": 30,
            "on_failure": "skip", "mounts": [], "namespace": "N",
        }))
        .unwrap();
        let mut view = crate::domain::machine::Job::new(spec).view();
        view.phase = phase;
        view
    }

    #[test]
    fn an_exit_code_counts_only_where_nothing_could_begin_any_more() {
        let word = |before: &Option<CommandEnd>, phase, exit| {
            let mut view = view(phase);
            view.spec.third_party = true;
            view.phases.push(crate::domain::job::PhaseRecord {
                phase,
                started: DateTime::UNIX_EPOCH,
                ended: None,
                failed: false,
            });
            let ended = match exit {
                0 => CommandEnd::Success,
                exit => CommandEnd::Failed {
                    exit: ScriptExit::from(exit),
                },
            };
            match judged(&view, ended, &Trace::default(), before.as_ref(), true) {
                Thaw::Confirmed => "done",
                Thaw::Later => "later",
                Thaw::Unconfirmed(_) => "unconfirmed",
                Thaw::StillFrozen(_) => "held",
            }
        };
        // However long ago it was sent.
        let nothing = None;
        let after = Some;
        let failed = after(CommandEnd::Failed {
            exit: ScriptExit::PreScriptFailed,
        });
        let never = after(CommandEnd::NeverDelivered);
        let froze = after(CommandEnd::Success);
        let cut = after(CommandEnd::Cancelled { may_have_run: true });
        let killed = after(CommandEnd::Failed {
            exit: ScriptExit::Killed,
        });
        let signalled = after(CommandEnd::Failed {
            exit: ScriptExit::Unstated,
        });
        let withdrawn = after(CommandEnd::Cancelled {
            may_have_run: false,
        });
        for (before, phase, exit, wanted) in [
            (&nothing, Phase::Quiescing, 0, "later"),
            (&nothing, Phase::Quiescing, 205, "later"),
            (&nothing, Phase::Quiescing, 203, "later"),
            (&froze, Phase::Quiescing, 203, "done"),
            (&failed, Phase::Quiescing, 203, "done"),
            (&nothing, Phase::Frozen, 203, "done"),
            (&nothing, Phase::Quiescing, 202, "unconfirmed"),
            (&failed, Phase::Quiescing, 0, "done"),
            (&failed, Phase::Quiescing, 205, "done"),
            (&never, Phase::Quiescing, 205, "done"),
            (&froze, Phase::Quiescing, 0, "done"),
            (&froze, Phase::Quiescing, 205, "unconfirmed"),
            (&cut, Phase::Quiescing, 0, "done"),
            (&cut, Phase::Quiescing, 205, "unconfirmed"),
            (&killed, Phase::Quiescing, 205, "unconfirmed"),
            (&signalled, Phase::Quiescing, 205, "unconfirmed"),
            (&signalled, Phase::Quiescing, 0, "done"),
            (&withdrawn, Phase::Quiescing, 205, "done"),
            (&nothing, Phase::Frozen, 0, "done"),
            (&nothing, Phase::Frozen, 205, "unconfirmed"),
        ] {
            assert_eq!(word(before, phase, exit), wanted, "{phase} {exit}");
        }
    }

    #[test]
    fn a_post_script_that_failed_thawed_only_where_it_said_all_that_it_had_to_say() {
        let hello = r#""t":"hello","recipe":"r","version":3,"job":"j","command":"post-script""#;
        let lost = r#""t":"error","code":"lock-lost","text":"gone""#;
        let none = r#""t":"error","code":"not-frozen","text":"no such job""#;
        let open = r#""t":"probe","mount":"/data","frozen":false"#;
        let frozen = r#""t":"probe","mount":"/data","frozen":true"#;
        let end = r#""t":"end","outcome":"failed","exit":202"#;
        let word = |lines: &[&str], exit, certain| {
            let line =
                |(n, line): (usize, &&str)| format!("FF1 {{\"seq\":{n},\"ms\":{n},{line}}}\n");
            let said: String = (1..).zip(lines).map(line).collect();
            let ended = match exit {
                0 => CommandEnd::Success,
                exit => CommandEnd::Failed {
                    exit: ScriptExit::from(exit),
                },
            };
            let phase = if certain {
                Phase::Thawing
            } else {
                Phase::Quiescing
            };
            match judged(&view(phase), ended, &events::parse(&said), None, certain) {
                Thaw::Confirmed => "done",
                Thaw::Later => "later",
                Thaw::Unconfirmed(_) => "unconfirmed",
                Thaw::StillFrozen(_) => "held",
            }
        };
        assert_eq!(word(&[hello, lost, open, end], 202, true), "done");
        assert_eq!(word(&[hello, lost, frozen, end], 202, true), "held");
        for exit in [202, 203, 205] {
            // Cut off, or never said: the probes may be what is missing.
            assert_eq!(word(&[hello, lost], exit, true), "unconfirmed", "{exit}");
            assert_eq!(word(&[], exit, true), "unconfirmed", "{exit}");
        }
        assert_eq!(word(&[hello, none, open, end], 205, true), "done");
        // Nothing gets past its tombstone marker, which documents before version 2 do not leave.
        assert_eq!(word(&[hello, none, open, end], 205, false), "done");
        let old = &hello.replace("3", "1");
        assert_eq!(word(&[old, none, open, end], 205, false), "later");
        assert_eq!(word(&[hello, open], 0, true), "done");
        assert_eq!(word(&[hello, open, end], 201, true), "unconfirmed");
    }
}

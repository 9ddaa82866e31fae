//! Taking up what an earlier console left open: thaw first, then settle.

use std::fs;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;

use super::Ops;
use super::backup::{self, Step};
use crate::aws::ssm::Polled;
use crate::domain::job::JobView;
use crate::domain::job::{Member, Phase, PhaseRecord, Verdict};
use crate::domain::level::Level;
use crate::domain::machine::CommandEnd;
use crate::domain::problem::{Kind, Problem};
use crate::domain::snapshot::Snapshot;
use crate::domain::tags::{self, Tags};
use crate::domain::trace::{Said, Trace};
use crate::recipe::events;

/// Seconds, beyond the budget, after which a `pre-script` that was sent can neither begin nor hold a
/// freeze any more: delivery, a lost attempt's time limit, and grace for both ends.
const SETTLED_AFTER_S: i64 = 30 + 60 + 60;
/// How often a `post-script` that met a `pre-script` at work is sent again.
const BUSY_TRIES: u32 = 30;
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// Names this process so that a later one can tell whether it still lives: host, boot and process
/// namespace, pid, and the start time of the process, because pids are used again.
pub fn owner_of_this_process() -> String {
    let pid = std::process::id();
    format!("{}:{pid}:{}", place(), started(pid).unwrap_or_default())
}

/// Where pids mean what they mean here.
fn place() -> String {
    let read = |file: &str| fs::read_to_string(file).map(|text| text.trim().to_owned());
    let host = read("/proc/sys/kernel/hostname").unwrap_or_else(|_| "unknown".to_owned());
    let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let pids = fs::read_link("/proc/self/ns/pid")
        .map(|link| link.to_string_lossy().replace(':', ""))
        .unwrap_or_default();
    format!("{host}/{boot}/{pids}")
}

/// Field 22 of `/proc/PID/stat`, in clock ticks since boot; fields are counted after the last `)`.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

/// What can be said of the process that drove a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    /// It lives.
    Alive,
    /// It is gone.
    Gone,
    /// It ran where we cannot look; it counts as gone once its budget is certainly spent.
    Elsewhere,
}

fn driver(owner: &str) -> Driver {
    let mut parts = owner.rsplitn(3, ':');
    let (Some(start), Some(pid), Some(on)) = (parts.next(), parts.next(), parts.next()) else {
        return Driver::Elsewhere;
    };
    if on != place() || start.is_empty() {
        return Driver::Elsewhere;
    }
    match pid.parse::<u32>().ok().and_then(started) {
        Some(now) if now == start => Driver::Alive,
        _ => Driver::Gone,
    }
}

/// From when on the failsafe has certainly acted, however late `pre-script` began.
fn certain_at(view: &JobView) -> Option<DateTime<Utc>> {
    let quiescing = view
        .phases
        .iter()
        .find(|p| p.phase == Phase::Quiescing)
        .map(|p| p.started);
    let seconds = SETTLED_AFTER_S + i64::from(view.spec.budget_s);
    quiescing
        .or_else(|| view.started())
        .map(|at| at + TimeDelta::seconds(seconds))
}

/// What came of a thaw.
enum Thaw {
    /// Everything is thawed and nothing more can freeze.
    Done,
    /// Nothing is frozen now, but `pre-script` may yet begin: look again later.
    Later,
    /// Nobody could confirm it.
    Uncertain(Problem),
}

/// Settles every job of this scope that an earlier process left open. Each is thawed before anything
/// else is done for any of them; then its set is found by tag, labelled `crash` where it was still
/// pending, and the job is closed with what is known. A job that cannot be settled yet stays open, and
/// the next start tries again. Views are sent on `updates`.
///
/// # Errors
/// [`Kind::Local`] when the journal cannot be read or written.
pub async fn settle(ops: &Ops, updates: &mpsc::Sender<JobView>) -> Result<Vec<JobView>, Problem> {
    if ops.session.read_only() {
        return Ok(Vec::new());
    }
    let open: Vec<JobView> = ops
        .journal
        .open_jobs(ops.scope())?
        .into_iter()
        .filter(|(view, owner)| match driver(owner) {
            Driver::Alive => false,
            Driver::Gone => true,
            Driver::Elsewhere => certain_at(view).is_none_or(|at| ops.clock.now() >= at),
        })
        .map(|(view, _)| view)
        .collect();
    let thaws = futures::future::join_all(open.iter().map(|view| thaw(ops, view))).await;
    let mut settled = Vec::new();
    for (mut view, thawed) in open.into_iter().zip(thaws) {
        let over = close(ops, &mut view, thawed).await;
        ops.journal
            .save_job(&view, &owner_of_no_process(), !over, ops.clock.now())?;
        let _ = updates.send(view.clone()).await;
        settled.push(view);
    }
    Ok(settled)
}

/// An open job that nobody drives: the next start, of whatever process, takes it up at once.
fn owner_of_no_process() -> String {
    format!("{}:0:0", place())
}

/// Sends `post-script` if `pre-script` may have been sent, and says whether everything is thawed.
async fn thaw(ops: &Ops, view: &JobView) -> Thaw {
    match may_have_frozen(ops, view) {
        Ok(false) => return Thaw::Done,
        Ok(true) => {}
        Err(problem) => tracing::warn!(%problem, "whether pre-script was sent is unknown; thawing"),
    }
    for _ in 0..BUSY_TRIES {
        let command = match backup::send(ops, &view.spec, Step::Post).await {
            Ok(command) => command,
            Err(problem) => return Thaw::Uncertain(problem),
        };
        let outcome = backup::follow(ops, &view.spec, &command).await;
        let trace = events::parse(&outcome.stdout);
        if trace.has_error("busy") {
            tokio::time::sleep(BUSY_PAUSE).await;
            continue;
        }
        let thaw = judged(ops, view, &trace, outcome.ended);
        return match thaw {
            Thaw::Later if pre_script_ended(ops, view).await => Thaw::Done,
            other => other,
        };
    }
    Thaw::Uncertain(Problem::new(
        Kind::Script,
        format!("thaw {}", view.spec.instance),
        "its pre-script is still at work",
        "wait until its budget is spent; the next start of freezeframe looks again",
    ))
}

fn judged(ops: &Ops, view: &JobView, trace: &Trace, ended: CommandEnd) -> Thaw {
    let what = format!("thaw {}", view.spec.instance);
    let still: Vec<&str> = trace
        .events()
        .filter_map(|said| match said {
            Said::Probe {
                mount,
                frozen: true,
            } if trace.probed(mount) == Some(true) => Some(mount.as_str()),
            _ => None,
        })
        .collect();
    if !still.is_empty() || trace.has_error("thaw-failed") {
        return Thaw::Uncertain(Problem::new(
            Kind::Script,
            what,
            format!("still frozen: {}", still.join(", ")),
            "run `fsfreeze -u MOUNT` on the instance now",
        ));
    }
    let certain = certain_at(view).is_none_or(|at| ops.clock.now() >= at);
    match ended {
        // "No such job": true, unless pre-script has yet to begin. One that is known to have ended cannot.
        CommandEnd::Failed { exit: 205 }
            if trace.has_error("not-frozen") && !certain && view.phase <= Phase::Quiescing =>
        {
            Thaw::Later
        }
        // These end thawed: the script probes every mount before it says so.
        CommandEnd::Success
        | CommandEnd::Failed {
            exit: 202 | 203 | 205,
        } => Thaw::Done,
        CommandEnd::Lost(problem) => Thaw::Uncertain(problem),
        other => Thaw::Uncertain(Problem::new(
            Kind::Agent,
            what,
            format!("the thaw did not report its end ({other:?})"),
            "check the instance; its failsafe thaws when the budget is spent",
        )),
    }
}

/// Whether Systems Manager says that this job's `pre-script` has ended: then it cannot begin any more.
async fn pre_script_ended(ops: &Ops, view: &JobView) -> bool {
    let comment = backup::comment(&view.spec, Step::Pre);
    let found = ops
        .session
        .find_command(&comment, &view.spec.instance)
        .await;
    let Ok(Some(command)) = found else {
        return false;
    };
    match ops
        .session
        .poll_command(&command, &view.spec.instance)
        .await
    {
        Ok(Polled::Ended(outcome)) => !matches!(
            outcome.ended,
            CommandEnd::TimedOut { .. } | CommandEnd::Lost(_)
        ),
        _ => false,
    }
}

/// By the phase, and by the calls on record: the phase may be older than the call.
fn may_have_frozen(ops: &Ops, view: &JobView) -> Result<bool, Problem> {
    if view.phase >= Phase::Verifying {
        return Ok(false);
    }
    let calls = ops.journal.calls(view.spec.job.as_str())?;
    Ok(view.phase >= Phase::Quiescing
        || calls.iter().any(|c| {
            c.action == "SendCommand" && c.detail.contains(Step::Pre.word(view.spec.mode))
        }))
}

/// Brings a job's record to its end as far as it goes. Returns whether the job is over.
async fn close(ops: &Ops, view: &mut JobView, thawed: Thaw) -> bool {
    let interrupted = Problem::new(
        Kind::Cancelled,
        format!("finish job {}", view.spec.job),
        "the console that drove it ended before the job did",
        "its set, if any, is labelled by what was proven; start a new job for a proven one",
    );
    match thawed {
        Thaw::Done => view.thaw_uncertain = false,
        Thaw::Later => {
            view.frozen_since = None;
            view.error = Some(interrupted);
            return false;
        }
        Thaw::Uncertain(problem) => {
            view.thaw_uncertain = true;
            view.error = Some(problem);
            // After that the failsafe has acted or is gone with the instance: no later try knows more.
            if certain_at(view).is_some_and(|at| ops.clock.now() < at) {
                return false;
            }
        }
    }
    let found = match ops.session.snapshots_of_job(&view.spec.job).await {
        Ok(found) => found,
        Err(problem) => {
            view.error = Some(problem);
            return false;
        }
    };
    let size = found.len();
    let (mut unjudged, mut failed) = (false, false);
    for snapshot in found {
        let level = snapshot.level().unwrap_or(Level::Pending);
        unjudged |= level == Level::Pending;
        failed |= snapshot.state == "error";
        // Nothing stands behind a label that was never judged, or of a snapshot that failed.
        if level == Level::Pending || (snapshot.state == "error" && level != Level::Crash) {
            let mut tags = Tags::default();
            tags.set(tags::LEVEL, Level::Crash.to_string());
            tags.set(tags::SET_SIZE, size.to_string());
            let detail = format!("{} {}", snapshot.id, Level::Crash);
            let written = ops
                .recorded(
                    view.spec.job.as_str(),
                    "CreateTags",
                    &detail,
                    ops.session.set_tags(snapshot.id.as_str(), &tags),
                    |()| "tagged".to_owned(),
                )
                .await;
            if let Err(problem) = written {
                view.error = Some(problem);
                return false;
            }
            keep(
                view,
                &snapshot,
                Level::Crash,
                "the console ended before the evidence was complete",
            );
        } else {
            keep(view, &snapshot, level, "");
        }
    }
    let now = ops.clock.now();
    for phase in &mut view.phases {
        if phase.ended.is_none() {
            phase.ended = Some(now);
            phase.failed = unjudged || failed;
        }
    }
    view.phases.push(PhaseRecord {
        phase: Phase::Done,
        started: now,
        ended: Some(now),
        failed: false,
    });
    view.phase = Phase::Done;
    view.frozen_since = None;
    view.verdict = Some(match view.set.iter().map(|m| m.level).max() {
        _ if failed => Verdict::Failed,
        // A set of which a part was never judged is no proven set.
        Some(_) if unjudged => Verdict::Crash,
        Some(Level::Application) => Verdict::Application,
        Some(Level::Filesystem) => Verdict::Filesystem,
        Some(Level::Crash) => Verdict::Crash,
        Some(Level::Pending) | None => Verdict::Failed,
    });
    if !view.thaw_uncertain && (unjudged || failed || view.set.is_empty()) {
        view.error = Some(interrupted);
    }
    true
}

fn keep(view: &mut JobView, snapshot: &Snapshot, level: Level, reason: &str) {
    let n = match view.set.iter().position(|m| m.snapshot == snapshot.id) {
        Some(n) => n,
        None => {
            view.set.push(Member {
                snapshot: snapshot.id.clone(),
                volume: snapshot.volume.clone(),
                device: snapshot.device().unwrap_or_default().to_owned(),
                level: Level::Pending,
                reason: String::new(),
                progress: snapshot.progress.unwrap_or(0),
                volume_gib: snapshot.volume_gib,
            });
            view.set.len() - 1
        }
    };
    if let Some(member) = view.set.get_mut(n) {
        member.level = level;
        if !reason.is_empty() {
            reason.clone_into(&mut member.reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_process_counts_as_alive() {
        let me = owner_of_this_process();
        assert_eq!(driver(&me), Driver::Alive);
        let (rest, _) = me.rsplit_once(':').unwrap();
        assert_eq!(
            driver(&format!("{rest}:1")),
            Driver::Gone,
            "same pid, another start"
        );
        assert_eq!(driver(&owner_of_no_process()), Driver::Gone);
        assert_eq!(driver("elsewhere:1:1"), Driver::Elsewhere);
        assert_eq!(driver("nonsense"), Driver::Elsewhere);
    }
}

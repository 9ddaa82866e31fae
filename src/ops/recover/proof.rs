//! What can still be proven of a job whose console is gone. Everything is read from records that were
//! made at the time: the journal's order of intents and outcomes, and what the instance's commands said,
//! which Systems Manager keeps. The judgement itself is `domain::evidence`'s, link by link, as for a
//! job that was never interrupted.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::certain_at;
use crate::aws::ssm::{Listed, Polled};
use crate::domain::command::CommandReport;
use crate::domain::command::{CommandEnd, CommandOutcome};
use crate::domain::evidence::{CallOrder, Facts, Judged, judge};
use crate::domain::ids::CommandId;
use crate::domain::job::{EvidenceReport, JobSpec, JobView, Mode, Phase};
use crate::domain::level::Level;
use crate::domain::mode::AskedMode;
use crate::domain::preflight::{PreflightFacts, lacks_only_the_role};
use crate::domain::problem::{Kind, Problem};
use crate::domain::snapshot::CreatedSnapshot;
use crate::domain::snapshot::Snapshot;
use crate::domain::trace::Trace;
use crate::jobs::journal::CallRow;
use crate::jobs::outcome::CallOutcome;
use crate::ops::Ops;
use crate::ops::command::send::{self, Step};
use crate::ops::command::thaw;
use crate::recipe::events;

/// How much earlier than the console's clock says a command may have been sent by AWS's, in seconds.
const SKEW_S: i64 = 3_600;

/// The judgement, and what it rests on.
pub(super) struct Proof {
    /// Link by link.
    pub(super) report: EvidenceReport,
    /// For each snapshot of the set.
    pub(super) judged: Vec<Judged>,
    /// What preflight had seen, when that can still be read.
    pub(super) facts: Option<PreflightFacts>,
    /// Freeze window in milliseconds, if the instance told.
    pub(super) window_ms: Option<u64>,
    /// A command of the job found something frozen after its thaw.
    pub(super) found_frozen: bool,
}

impl Proof {
    /// Whether the instance itself told that all was frozen, that our own thaw ended every freeze, that the failsafe stood
    /// down after it, and nothing else: what proves that to a label leaves no unconfirmed thaw either.
    pub(super) fn tells_of_the_thaw(&self) -> bool {
        !self.found_frozen && self.report.tells_of_the_thaw()
    }
}

/// Judges the set of a job by the records. What cannot be found proves nothing.
///
/// # Errors
/// The journal, EC2 or Systems Manager could not be asked now: try again later.
pub(super) async fn gather(ops: &Ops, view: &JobView, set: &[Snapshot]) -> Result<Proof, Problem> {
    let calls = ops.journal.calls(view.spec.job.as_str())?;
    let told = match commands(ops, view, &calls).await {
        Ok(told) => told,
        // Not allowed to look, or nothing there to look at: no later try will see more.
        Err(problem) if matches!(problem.kind, Kind::Denied | Kind::NotFound) => {
            tracing::warn!(%problem, "what the instance said cannot be read; it proves nothing");
            Commands::default()
        }
        Err(problem) => return Err(problem),
    };
    let facts = facts(ops, view, &told).await?;
    let made: Vec<CreatedSnapshot> = set
        .iter()
        .map(|snapshot| CreatedSnapshot {
            snapshot: snapshot.id.clone(),
            volume: snapshot.volume.clone(),
            volume_gib: snapshot.volume_gib,
        })
        .collect();
    let (report, mut judged) = judge(&Facts {
        job: &view.spec.job,
        mode: view.spec.mode,
        third_party: view.spec.third_party,
        preflight: facts.as_ref(),
        pre: told.pre.as_ref(),
        post: told.post.as_ref(),
        call: order(view, &calls, &made),
        snapshots: &made,
    });
    if facts.is_none() {
        for one in &mut judged {
            one.level = Level::Crash;
            "what preflight saw cannot be read any more".clone_into(&mut one.reason);
        }
    }
    let told = [&told.pre, &told.post].into_iter().flatten();
    let found_frozen = told.map(|told| &told.trace).any(Trace::any_probed_frozen);
    Ok(Proof {
        window_ms: report.window_ms,
        found_frozen,
        report,
        judged,
        facts,
    })
}

/// What the job's commands said.
#[derive(Default)]
struct Commands {
    look: Option<CommandOutcome>,
    pre: Option<CommandReport>,
    post: Option<CommandReport>,
}

async fn commands(ops: &Ops, view: &JobView, calls: &[CallRow]) -> Result<Commands, Problem> {
    let since = view.started().unwrap_or_else(|| ops.clock.now()) - TimeDelta::seconds(SKEW_S);
    let listed = ops
        .session
        .commands_since(&view.spec.instance, since)
        .await?;
    let of = |step: Step| {
        let comment = send::comment(&view.spec, step);
        listed
            .iter()
            .filter(move |c| c.comment == comment)
            .collect::<Vec<_>>()
    };
    // There is one of each of these; two would be somebody's copy, and proves nothing.
    let look = match of(Step::Look).as_slice() {
        [one] => ended(ops, view, &one.id).await?,
        _ => None,
    };
    let pre = match of(Step::Pre).as_slice() {
        [one] => match ended(ops, view, &one.id).await? {
            Some(outcome) => Some(report_of(outcome)),
            // In autonomous mode it may still be telling: what it says last is the proof.
            None if certain_at(view).is_some_and(|at| ops.clock.now() < at) => {
                return Err(Problem::new(
                    Kind::State,
                    format!("judge job {}", view.spec.job),
                    "its command on the instance has not reported its end yet",
                    "it is looked at again at the next start, or with `freezeframe jobs resume`",
                ));
            }
            None => None,
        },
        _ => None,
    };
    let posts = of(Step::Post);
    // More of them than anybody here meant to send: somebody repeated one by hand, and when that took hold
    // is not known.
    let intended = calls
        .iter()
        .filter(|call| Step::Post.is(call, view.spec.mode))
        .count();
    let post = if posts.len() > intended {
        None
    } else {
        thaw(ops, view, &posts).await?
    };
    Ok(Commands { look, pre, post })
}

/// The `post-script` that thawed, of all that were sent; else any that ended.
async fn thaw(
    ops: &Ops,
    view: &JobView,
    posts: &[&Listed],
) -> Result<Option<CommandReport>, Problem> {
    let mut best = None;
    for post in posts {
        let Some(outcome) = ended(ops, view, &post.id).await? else {
            continue;
        };
        let told = report_of(outcome);
        if thaw::has_released(&told.trace) {
            return Ok(Some(told));
        }
        best = best.or(Some(told));
    }
    Ok(best)
}

async fn ended(
    ops: &Ops,
    view: &JobView,
    command: &CommandId,
) -> Result<Option<CommandOutcome>, Problem> {
    match ops
        .session
        .poll_command(command, &view.spec.instance)
        .await?
    {
        Polled::Ended(outcome) => Ok(Some(outcome)),
        Polled::Running(_) => Ok(None),
    }
}

fn report_of(outcome: CommandOutcome) -> CommandReport {
    CommandReport {
        succeeded: outcome.ended == CommandEnd::Success,
        trace: events::parse(&outcome.stdout),
        command: outcome.command,
    }
}

/// What preflight learned: from its own dry run, by the rules of the preflight itself. Of somebody else's document
/// that has none of ours preflight knows the volumes alone, and its `pre-script` may name the mounts.
async fn facts(
    ops: &Ops,
    view: &JobView,
    told: &Commands,
) -> Result<Option<PreflightFacts>, Problem> {
    let third_party = view.spec.third_party;
    let look = told.look.as_ref();
    let dry_run = look.and_then(|look| let_begin(&view.spec, look));
    if dry_run.is_none() && !third_party {
        return Ok(None);
    }
    let Some(attached) = attached(ops, view).await? else {
        return Ok(None);
    };
    let looked = match dry_run.map(|trace| attached.clone().with_dry_run(&trace)) {
        Some(Ok(facts)) => facts,
        _ if third_party => attached,
        Some(Err(why)) => {
            tracing::warn!(why, "the dry run's output is not what it was");
            return Ok(None);
        }
        None => return Ok(None),
    };
    let mut facts = with_plan(looked, view);
    if let (true, Some(facts), Some(pre)) = (third_party, &mut facts, &told.pre) {
        facts.learn(&pre.trace);
    }
    Ok(facts)
}

/// What a dry run said that let its job begin: it ended well, or lacked only the role that the console then did without.
fn let_begin(spec: &JobSpec, look: &CommandOutcome) -> Option<Trace> {
    let trace = events::parse(&look.stdout);
    let fell_back = spec.asked_mode == Some(AskedMode::Auto) && spec.mode == Mode::Coordinated;
    let began = match trace.first_error() {
        None => look.ended == CommandEnd::Success,
        Some(_) => fell_back && lacks_only_the_role(&trace),
    };
    began.then_some(trace)
}

/// The volumes that were attached at preflight. Its plan of the set names them; what EC2 shows is as it is now, and
/// counts for a job of an earlier version, which has no plan on record.
async fn attached(ops: &Ops, view: &JobView) -> Result<Option<PreflightFacts>, Problem> {
    let there = match ops.session.instance(&view.spec.instance).await {
        Ok(there) => Some(there),
        Err(problem) if matches!(problem.kind, Kind::Denied | Kind::NotFound) => None,
        Err(problem) => return Err(problem),
    };
    Ok(match (&view.set_plan, there) {
        (Some(plan), there) => {
            let root = there.as_ref().map(|there| there.root_device.as_str());
            Some(PreflightFacts::of_plan(plan, root))
        }
        (None, there) => there.as_ref().map(PreflightFacts::of_attachments),
    })
}

/// With the plan of the set that is on record. A dry run that says anew what must not be left out proves nothing.
fn with_plan(facts: PreflightFacts, view: &JobView) -> Option<PreflightFacts> {
    let Some(plan) = &view.set_plan else {
        return Some(facts);
    };
    match facts.with_set(plan.clone(), &view.spec.mounts) {
        Ok(facts) => Some(facts),
        Err((why, _)) => {
            tracing::warn!(why, "the dry run does not fit the plan of the set");
            None
        }
    }
}

/// The order of the dead console's own events, as far as the journal has it.
///
/// * The view that shows the phase `frozen` was on disk before the request was made, and only the end of a
///   `pre-script` that said `ready` leads to that phase.
/// * The answer is that request's own if it was recorded as such and names exactly this set.
/// * It was in hand before any release if every `post-script` was intended after it was recorded.
fn order(view: &JobView, calls: &[CallRow], made: &[CreatedSnapshot]) -> CallOrder {
    let mut phases = view.phases.iter().map(|record| record.phase);
    let frozen_before_request =
        phases.any(|phase| phase == Phase::Frozen) && phases.any(|p| p == Phase::Snapshotting);
    let requests: Vec<&CallRow> = calls
        .iter()
        .filter(|call| call.action == "CreateSnapshots")
        .collect();
    let [request] = requests.as_slice() else {
        return CallOrder::default();
    };
    let answered = request
        .outcome
        .as_ref()
        .and_then(CallOutcome::answer)
        .is_some_and(|ids| {
            let answer: BTreeSet<&str> = ids.split_whitespace().collect();
            !answer.is_empty() && answer == made.iter().map(|m| m.snapshot.as_str()).collect()
        });
    let pre_first = calls
        .iter()
        .filter(|call| Step::Pre.is(call, view.spec.mode))
        .all(|call| call.known.is_some_and(|known| known < request.seq));
    let posts_later = request.known.is_some_and(|known| {
        calls
            .iter()
            .filter(|call| Step::Post.is(call, view.spec.mode))
            .all(|call| call.seq > known)
    });
    CallOrder {
        frozen_before_request: frozen_before_request && pre_first,
        answered,
        answered_before_release: answered && posts_later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::Link;

    #[test]
    fn an_unconfirmed_thaw_ends_only_with_all_of_the_instances_own_proof() {
        let proof = |broken: Option<&str>, found_frozen| {
            let link = |name: &str| Link {
                name: name.into(),
                holds: broken != Some(name),
                seen: String::new(),
            };
            Proof {
                report: EvidenceReport {
                    links: ["frozen", "own-thaw", "failsafe-quiet"].map(link).to_vec(),
                    ..EvidenceReport::default()
                },
                judged: Vec::new(),
                facts: None,
                window_ms: None,
                found_frozen,
            }
        };
        assert!(proof(None, false).tells_of_the_thaw());
        // Somebody else's freeze, perhaps: but it is there.
        assert!(!proof(None, true).tells_of_the_thaw());
        for name in ["frozen", "own-thaw", "failsafe-quiet"] {
            assert!(!proof(Some(name), false).tells_of_the_thaw(), "{name}");
        }
        let mut none = proof(None, false);
        none.report.links.clear();
        assert!(!none.tells_of_the_thaw());
    }
}

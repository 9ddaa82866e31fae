//! Preflight: everything that can be checked before anything is touched. It refuses with a reason and a hint.

mod requirements;

use crate::domain::script_exit::ScriptExit;
use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::command::{CommandEnd, CommandOutcome};
use crate::domain::connection::{Forecast, may_not_connect, not_connected};
use crate::domain::held::Delivery;
use crate::domain::ids::{CommandId, VolumeId};
use crate::domain::instance::Instance;
use crate::domain::job::{JobSpec, Mode};
use crate::domain::mode::{ChosenMode, is_of_the_role};
use crate::domain::no_start;
use crate::domain::pace::Bucket;
use crate::domain::preflight::PreflightFacts;
use crate::domain::problem::{Kind, Problem};
use crate::domain::refusal::Refusal;
use crate::domain::set_plan::{self, SetOptions, SetPlan};
use crate::domain::trace::Trace;
use crate::domain::volume::Volume;
use crate::ops::Ops;
use crate::ops::admission::lease;
use crate::ops::admission::ready_check;
use crate::ops::command::poll::follow_telling;
use crate::ops::command::send::{self, Step};
use crate::ops::command::wait_reasons::Waits;
use crate::recipe::eligibility::fit;
use crate::recipe::events;

pub(in crate::ops) use requirements::credentials_last;

/// Checks an instance for a job: state, platform, agent, document, other jobs, and what the instance
/// itself says of its mounts and its database. Changes nothing. `waits` is told where it waits for its turn.
///
/// # Errors
/// The first reason not to go on.
pub(in crate::ops) async fn check(
    ops: &Ops,
    spec: &JobSpec,
    waits: &Waits,
) -> Result<PreflightFacts, Problem> {
    let (instance, agent, there, connected) = tokio::join!(
        ops.session.instance(&spec.instance),
        ops.session.agent(&spec.instance),
        ops.session.document(&spec.document),
        ops.session.is_connected(&spec.instance)
    );
    let mut instance = instance?;
    instance.agent = agent?;
    fit(&instance)?;
    let set = set_plan(ops, &instance, &spec.set_options).await?;
    requirements::credentials_last(ops, spec).await?;
    let dry_run = requirements::document(ops, spec, there?).await?;
    // A dry run finds out for certain.
    if Forecast::of(connected, dry_run) == Forecast::Refused {
        return Err(not_connected(&instance));
    }
    lease::claim(ops, spec).await?;
    let mut facts = PreflightFacts::of_attachments(&instance);
    if dry_run {
        facts = look(ops, &with_planned_set(spec, &set), &instance, waits).await?;
    }
    let mode = facts.mode.as_ref().map_or(spec.mode, |chosen| chosen.mode);
    if mode == Mode::Coordinated {
        requirements::may_snapshot(ops, spec, &instance, &set, waits).await?;
    }
    facts
        .with_set(set, &spec.mounts)
        .map_err(|(cause, hint)| not_so(&instance, cause, hint))
}

/// The plan of an instance's set, from its volumes as they are now. Where reading volumes is not allowed nothing is
/// known of their tags, and all are in it but those that were named.
///
/// # Errors
/// [`Kind::State`] for a plan that leaves nothing, or whatever EC2 answered.
pub async fn set_plan(
    ops: &Ops,
    instance: &Instance,
    options: &SetOptions,
) -> Result<SetPlan, Problem> {
    let ids: Vec<VolumeId> = instance.devices.iter().map(|d| d.volume.clone()).collect();
    let volumes = if ids.is_empty() {
        HashMap::new()
    } else {
        match ops.session.volumes_by_id(&ids).await {
            Ok(volumes) => volumes,
            Err(problem) if problem.kind == Kind::Denied => {
                tracing::warn!(%problem, "the volumes' tags are unknown");
                HashMap::new()
            }
            Err(problem) => return Err(problem),
        }
    };
    set_plan_of(instance, &volumes, options)
}

/// The same from volumes that were read.
///
/// # Errors
/// [`Kind::State`] for a plan that leaves nothing.
pub fn set_plan_of(
    instance: &Instance,
    volumes: &HashMap<VolumeId, Volume>,
    options: &SetOptions,
) -> Result<SetPlan, Problem> {
    set_plan::plan(instance, volumes, options)
        .map_err(|(cause, hint)| not_so(instance, cause, hint))
}

fn not_so(instance: &Instance, cause: String, hint: String) -> Problem {
    let what = format!("check {} ({})", instance.name(), instance.id);
    Problem::new(Kind::State, what, cause, hint)
}

/// The job as its document is told of it in autonomous mode, where the instance makes the call.
pub(in crate::ops) fn with_planned_set(spec: &JobSpec, set: &SetPlan) -> JobSpec {
    let mut told = spec.clone();
    let alone = spec.mode == Mode::Autonomous || spec.mode_is_open();
    if alone && !spec.third_party {
        told.parameters.extend(set.parameters());
    }
    told
}

/// What is known of a job before anything is sent to its instance.
#[derive(Debug, Clone, Default)]
pub struct Foreseen {
    /// Whether its SSM agent is connected, where that could be asked.
    pub connected: Option<bool>,
    /// Why it would be refused.
    pub refused: Option<Problem>,
    /// Why it may be refused once the instance is asked; nothing where it would be for certain.
    pub warning: Option<Problem>,
}

/// What a job's preflight would say before it sends the instance anything, its document excepted ([`document`], which
/// tells whether it has a dry run). Where the mode is open, that the console may not make the snapshots is a reason to
/// refuse it too: only the instance's dry run could tell whether its role may.
pub async fn foresee(
    ops: &Ops,
    spec: &JobSpec,
    instance: &Instance,
    set: &SetPlan,
    dry_run: bool,
) -> Foreseen {
    let (connected, refused) = tokio::join!(
        ops.session.is_connected(&spec.instance),
        would_refuse(ops, spec, instance, set)
    );
    let refused = refused.err();
    let forecast = Forecast::of(connected, dry_run);
    Foreseen {
        connected,
        warning: (refused.is_none() && forecast == Forecast::Uncertain)
            .then(|| may_not_connect(instance)),
        refused: match forecast {
            Forecast::Refused => Some(refused.unwrap_or_else(|| not_connected(instance))),
            Forecast::Clear | Forecast::Uncertain => refused,
        },
    }
}

async fn would_refuse(
    ops: &Ops,
    spec: &JobSpec,
    instance: &Instance,
    set: &SetPlan,
) -> Result<(), Problem> {
    fit(instance)?;
    requirements::credentials_last(ops, spec).await?;
    let volumes: Vec<VolumeId> = set.members.iter().map(|m| m.volume.clone()).collect();
    if !volumes.is_empty() {
        ready_check::room(ops, &volumes, ops.clock.now()).await?;
    }
    if spec.mode == Mode::Autonomous {
        return Ok(());
    }
    let waits = Waits::default();
    let asked = requirements::may_snapshot(ops, spec, instance, set, &waits).await;
    asked.map_err(|problem| match spec.mode_is_open() {
        false => problem,
        true => Problem {
            hint: format!(
                "{}; where the instance's own role may make them, --mode autonomous takes it without this right",
                problem.hint
            ),
            ..problem
        },
    })
}

/// The part of `check` that looks at the job's document alone: it is there, and what it should be. Asks
/// Systems Manager, and nothing of the instance. Answers whether it has a dry run.
///
/// # Errors
/// [`Kind::Document`], or whatever Systems Manager answered.
pub async fn document(ops: &Ops, spec: &JobSpec) -> Result<bool, Problem> {
    let there = ops.session.document(&spec.document).await?;
    requirements::document(ops, spec, there).await
}

/// What the instance itself says, in its document's dry run.
async fn look(
    ops: &Ops,
    spec: &JobSpec,
    instance: &Instance,
    waits: &Waits,
) -> Result<PreflightFacts, Problem> {
    // Where the mode is open the instance is asked for its own: if it lacks only the role, it has looked at all the rest.
    let mut asked = spec.clone();
    if spec.mode_is_open() {
        asked.mode = Mode::Autonomous;
    }
    let spec = &asked;
    if spec.mode == Mode::Autonomous {
        // The instance proves its right to make the call by a `DryRun`, which EC2 counts like any other.
        let pace = ops.session.pace();
        waits.token(pace, Bucket::CreateSnapshots).await.spend();
    }
    let command = send::send_when_taken(ops, spec, Step::Look, waits, None).await?;
    let outcome = taken(ops, spec, instance, &command, waits).await?;
    let trace = events::parse(&outcome.stdout);
    let what = format!("dry run of {} on {}", spec.document, spec.instance);
    if let Some(refusal) = trace.first_error() {
        let problem = script_problem(&what, refusal.code(), &refusal.text());
        return without_role(spec, instance, &trace, problem);
    }
    match outcome.ended {
        CommandEnd::Success => {}
        CommandEnd::Failed { exit } => {
            let never = no_start::is(
                exit,
                spec.third_party || !trace.lines.is_empty(),
                &outcome.stderr,
            );
            return Err(Problem::new(
                Kind::Script,
                what,
                format!(
                    "it ended with exit code {exit}: {}",
                    last_line(&outcome.stderr)
                ),
                if never {
                    no_start::HINT
                } else {
                    "look at the command's output in Run Command's history"
                },
            ));
        }
        CommandEnd::Lost(problem) => return Err(problem),
        other => {
            return Err(Problem::new(
                Kind::Agent,
                what,
                format!(
                    "the command did not run to its end: {}",
                    end_in_words(&other)
                ),
                "check the SSM agent on the instance",
            ));
        }
    }
    if let Err(problem) = requirements::role_lasts(ops, spec, &trace) {
        return without_role(spec, instance, &trace, problem);
    }
    let chosen = spec.mode_is_open().then(ChosenMode::role_proven);
    let chosen = chosen.map(Box::new);
    match PreflightFacts::from_dry_run(&trace, instance) {
        Ok(facts) => Ok(PreflightFacts {
            mode: chosen,
            ..facts
        }),
        // It need not speak FF1; what it froze, its pre-script may still say.
        Err(_) if spec.third_party => Ok(PreflightFacts::of_attachments(instance)),
        Err(cause) => Err(Problem::new(
            Kind::Malformed,
            what,
            cause,
            "check that the document is freezeframe's own",
        )),
    }
}

/// A dry run that the agent has not taken for so long is not waited for, whatever is said of the agent.
const DELAYED_FOR: Duration = Duration::from_secs(15);

/// Follows the dry run. One that is delayed, because the agent is not connected, is cancelled: an agent that comes back
/// later finds nothing to do.
async fn taken(
    ops: &Ops,
    spec: &JobSpec,
    instance: &Instance,
    command: &CommandId,
    waits: &Waits,
) -> Result<CommandOutcome, Problem> {
    let (told, mut news) = watch::channel(Delivery::Taken);
    let mut outcome = std::pin::pin!(follow_telling(ops, spec, command, told));
    let delayed = async {
        let all = news.wait_for(|delivery| *delivery == Delivery::Delayed);
        // Over: the outcome is there.
        if all.await.is_err() {
            return std::future::pending().await;
        }
        if ops.session.is_connected(&spec.instance).await != Some(false) {
            let words =
                "waits: its SSM agent does not take the dry run, Systems Manager says Delayed";
            waits.during(words, tokio::time::sleep(DELAYED_FOR)).await;
        }
    };
    tokio::select! {
        biased;
        outcome = &mut outcome => return Ok(outcome),
        () = delayed => {}
    }
    if let Err(problem) = ops.session.cancel_command(command, &spec.instance).await {
        tracing::warn!(%problem, "the dry run could not be cancelled; it changes nothing");
    }
    Err(not_connected(instance))
}

/// The instance cannot make the snapshots by itself, or something else is wrong with it. Where only that is, and
/// nobody asked for that mode, the console makes them. Nothing was sent that could freeze.
fn without_role(
    spec: &JobSpec,
    instance: &Instance,
    trace: &Trace,
    problem: Problem,
) -> Result<PreflightFacts, Problem> {
    let of_role = problem.code.as_deref().is_some_and(is_of_the_role);
    if !spec.mode_is_open() || !of_role {
        return Err(problem);
    }
    if spec.freeze_root {
        let cause = format!("--freeze-root needs autonomous mode, and {}", problem.cause);
        return Err(Problem { cause, ..problem });
    }
    match PreflightFacts::from_dry_run(trace, instance) {
        Ok(facts) => Ok(PreflightFacts {
            mode: Some(Box::new(ChosenMode::role_unproven(&problem.cause))),
            ..facts
        }),
        Err(_) => Err(problem),
    }
}

fn last_line(text: &str) -> String {
    text.lines()
        .rfind(|l| !l.trim().is_empty())
        .unwrap_or("no message")
        .to_owned()
}

/// How a command ended, for people.
pub(in crate::ops) fn end_in_words(ended: &CommandEnd) -> String {
    match ended {
        CommandEnd::Success => "it ended well".to_owned(),
        CommandEnd::Failed {
            exit: ScriptExit::Unstated,
        } => "it was killed by a signal that the SSM agent did not send, or could not be started"
            .to_owned(),
        CommandEnd::Failed { exit } => format!("it ended with exit code {exit}"),
        CommandEnd::TimedOut { may_have_run: true } => {
            "a time limit of Systems Manager passed; it may have run, or run still".to_owned()
        }
        CommandEnd::TimedOut {
            may_have_run: false,
        } => "a time limit of Systems Manager passed before it began".to_owned(),
        CommandEnd::NeverDelivered => "it never reached the instance".to_owned(),
        CommandEnd::Cancelled { may_have_run: true } => {
            "it was cancelled or killed, and may have run until then".to_owned()
        }
        CommandEnd::Cancelled {
            may_have_run: false,
        } => "it was cancelled before it began".to_owned(),
        CommandEnd::WorkerLost => {
            "the SSM agent lost its worker for it, and it may run still".to_owned()
        }
        CommandEnd::Lost(problem) => format!("nobody can say how it ended ({problem})"),
    }
}

/// A problem from what a script on the instance said.
pub(in crate::ops) fn script_problem(what: &str, code: &str, text: &str) -> Problem {
    if let Some(refusal) = Refusal::of(code, text) {
        return Problem::new(Kind::Script, what, text, refusal.hint()).with_code(code);
    }
    let hint = match code {
        "no-mounts" => {
            "nothing on this instance qualifies for a freeze: name the mounts (--mount), take / along (--freeze-root), or \
             choose a recipe that fits"
        }
        "not-a-mount" | "device-changed" => "mount the filesystem, or correct the list of mounts",
        "agent-mount" | "root-mount" => {
            "leave this mount out: freezing it would stop the agent that must thaw it"
        }
        "unsupported-fs" => "leave this mount out; its filesystem cannot freeze",
        "no-volume" => {
            "leave this mount out, or take a device that is an EBS volume with its NVMe id visible in /dev/disk/by-id"
        }
        "not-covered" => {
            "let that mount freeze too (--mount, or --freeze-root for what lies on the root volume), or move the directory"
        }
        "already-frozen" => {
            "someone else holds a freeze there; wait for its end or thaw it by hand with fsfreeze -u"
        }
        "db-unreachable" => {
            "start the server, or name where it listens (docs/recipes.md lists the parameters)"
        }
        "other-server" => {
            "name where the server listens whose files are on this instance; of a server in a container, behind a proxy or \
             elsewhere only the filesystems can be frozen: use linux-filesystem"
        }
        "db-denied" => {
            "give the account the rights that the message names (docs/recipes.md lists all)"
        }
        "unsupported-server" => "change what the message names, or use linux-filesystem",
        "lock-timeout" => {
            "a long statement is running; try again at a quieter time or raise lockWaitSeconds"
        }
        "no-tool" => "install the tool that the message names",
        "not-root" => "the SSM agent must run as root",
        "no-metadata" => {
            "autonomous mode asks the instance metadata (IMDSv2); enable it, or take this instance with --mode coordinated"
        }
        "no-credentials" => {
            "attach an instance role that may call CreateSnapshots (assets/iam), or use --mode coordinated"
        }
        "no-client" => {
            "install curl 7.75 or later, or the AWS CLI, on the instance, or use --mode coordinated"
        }
        "before-boot" => {
            "the instance was restarted while the command waited there, and nothing of it froze; start the job again"
        }
        "in-container" => {
            "run the SSM agent on the host itself, which sees the filesystems, and let it take the job"
        }
        "busy" => "another freezeframe job is under way on the instance; wait for its end",
        _ => "read the message; the command's whole output is in Run Command's history",
    };
    Problem::new(Kind::Script, what, text, hint).with_code(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_command_is_told_in_words() {
        let lost = Problem::new(Kind::Network, "ask", "no answer", "try again");
        for (ended, words) in [
            (
                CommandEnd::Cancelled { may_have_run: true },
                "cancelled or killed, and may have run",
            ),
            (
                CommandEnd::TimedOut {
                    may_have_run: false,
                },
                "before it began",
            ),
            (CommandEnd::NeverDelivered, "never reached the instance"),
            (
                CommandEnd::Failed {
                    exit: ScriptExit::Other(3),
                },
                "exit code 3",
            ),
            (CommandEnd::Lost(lost), "ask: no answer"),
        ] {
            let said = end_in_words(&ended);
            assert!(said.contains(words) && !said.contains('{'), "{said}");
        }
    }
}

//! Jobs of consoles that keep another journal, by what Systems Manager shows of their commands. It is a look and
//! no lock: what was sent a moment ago may not be shown yet. `docs/runs.md` says what that leaves open.

use crate::domain::script_exit::ScriptExit;
use crate::domain::state::CommandStatus;
use crate::domain::thaw::{self, Freeze, ThawVerdict};
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::ssm::{Listed, Polled};
use crate::domain::command::{CommandEnd, CommandOutcome};
use crate::domain::ids::{CommandId, InstanceId, JobId};
use crate::domain::job::Mode;
use crate::domain::problem::{Kind, Problem};
use crate::domain::ran::Ran;
use crate::domain::trace;
use crate::ops::Ops;
use crate::ops::command::send::Step;
use crate::recipe::document;

/// How far back commands are read: longer than any that we send can hold a freeze.
const LOOK_BACK: TimeDelta = TimeDelta::minutes(30);
/// Beyond its budget, a command can hold a freeze for its delivery and this grace.
const DELIVERY_AND_GRACE: TimeDelta = TimeDelta::seconds(30 + 60);
/// The longest budget there is, in seconds, where a command does not tell its own.
const LONGEST_BUDGET_S: u32 = 999;
/// How long a dry run says that a freeze is about to follow: preflight's waits beyond that are overlooked.
const ANNOUNCED: TimeDelta = TimeDelta::seconds(90);

/// Another console's job on an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ops) struct Other {
    pub(in crate::ops) job: JobId,
    pub(in crate::ops) instance: InstanceId,
    pub(in crate::ops) standing: Standing,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Standing {
    /// It may hold a freeze.
    Holds,
    /// Its dry run was taken in then, by Systems Manager's clock, and no freeze was asked for yet.
    Announced(DateTime<Utc>),
}

impl Other {
    /// Whether it goes before a job that was announced at `mine` under that id. Of two that see each other,
    /// exactly one goes first. A job that has not announced itself yields.
    pub(in crate::ops) fn goes_before(&self, mine: Option<DateTime<Utc>>, job: &JobId) -> bool {
        match (self.standing, mine) {
            (Standing::Holds, _) | (_, None) => true,
            (Standing::Announced(theirs), Some(mine)) => (theirs, &self.job) < (mine, job),
        }
    }
}

/// Jobs on this instance that this journal does not know of.
///
/// # Errors
/// Whatever Systems Manager answered; [`crate::domain::problem::Kind::Local`] when the journal cannot be read.
pub(in crate::ops) async fn jobs_on(
    ops: &Ops,
    instance: &InstanceId,
) -> Result<Vec<Other>, Problem> {
    let now = ops.clock.now();
    let listed = ops
        .session
        .commands_since(instance, now - LOOK_BACK)
        .await?;
    let mut others = Vec::new();
    for (job, commands) in by_job(&listed) {
        let mut standing = standing(&commands, &Findings::default(), now);
        if standing.is_none() || ops.journal.job(ops.scope(), &job)?.is_some() {
            continue;
        }
        // What failed has more to say than its status does, and so has what is not known to be ours.
        if standing == Some(Standing::Holds) {
            let told = read_outputs(ops, instance, &commands, now).await?;
            standing = self::standing(&commands, &told, now);
        }
        others.extend(standing.map(|standing| Other {
            job,
            instance: instance.clone(),
            standing,
        }));
    }
    Ok(others)
}

/// What the outputs of commands add to their status.
#[derive(Default)]
struct Findings {
    /// The outcomes that were read, by command.
    said: BTreeMap<CommandId, CommandOutcome>,
    /// Pairs of a `post-script` and a freezing command that had ended when the `post-script` began.
    after: BTreeSet<(CommandId, CommandId)>,
}

/// Reads the outputs of the job's commands that failed or whose document may be a third party's, where they can decide
/// whether the job holds a freeze.
async fn read_outputs(
    ops: &Ops,
    instance: &InstanceId,
    commands: &[(Step, &Listed)],
    now: DateTime<Utc>,
) -> Result<Findings, Problem> {
    let mut told = Findings::default();
    let decides = |step: Step, command: &Listed| match step {
        Step::Look => false,
        Step::Pre => command.status == CommandStatus::Failed && may_hold(command, now),
        Step::Post => match command.status {
            CommandStatus::Failed => true,
            CommandStatus::Success => !is_ours(command),
            _ => false,
        },
    };
    for (step, command) in commands {
        if !decides(*step, command) {
            continue;
        }
        match ops.session.poll_command(&command.id, instance).await {
            Ok(Polled::Ended(outcome)) => {
                told.said.insert(command.id.clone(), outcome);
            }
            // What cannot be read says nothing.
            Ok(Polled::Running(_)) => {}
            Err(problem) if matches!(problem.kind, Kind::Denied | Kind::NotFound) => {
                tracing::warn!(%problem, "what another console's command said cannot be read");
            }
            Err(problem) => return Err(problem),
        }
    }
    let of = |wanted: Step| commands.iter().filter(move |(step, _)| *step == wanted);
    for (_, post) in of(Step::Post) {
        if !told.said.get(&post.id).is_some_and(needs_order) {
            continue;
        }
        let thaw = ran(ops, instance, post).await?;
        for (_, pre) in of(Step::Pre) {
            if thaw.began_after(&ran(ops, instance, pre).await?) {
                told.after.insert((post.id.clone(), pre.id.clone()));
            }
        }
    }
    Ok(told)
}

/// When a command ran. What cannot be read tells no order.
async fn ran(ops: &Ops, instance: &InstanceId, command: &Listed) -> Result<Ran, Problem> {
    match ops.session.ran(&command.id, instance).await {
        Err(problem) if matches!(problem.kind, Kind::Denied | Kind::NotFound) => Ok(Ran::default()),
        other => other,
    }
}

/// Whether what a `post-script` said counts only where it came after the freeze: it leaves nothing behind that
/// would stop a late one.
fn needs_order(outcome: &CommandOutcome) -> bool {
    let trace = trace::parse(&outcome.stdout);
    match outcome.ended {
        CommandEnd::Success => trace.lines.is_empty(),
        CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        } => !trace.lays_tombstone(),
        _ => false,
    }
}

/// By its document's name. One of ours under another name is known by what it says.
fn is_ours(command: &Listed) -> bool {
    command.document.starts_with(document::PREFIX)
}

/// When Systems Manager took in the dry run of this job; `None` also when that is too long ago for others to heed.
///
/// # Errors
/// Whatever it answered.
pub(in crate::ops) async fn announced(
    ops: &Ops,
    instance: &InstanceId,
    job: &JobId,
) -> Result<Option<DateTime<Utc>>, Problem> {
    let now = ops.clock.now();
    let listed = ops
        .session
        .commands_since(instance, now - LOOK_BACK)
        .await?;
    let of_mine =
        |c: &&Listed| step_of(c).is_some_and(|(step, of)| step == Step::Look && of == *job);
    let first = listed.iter().filter(of_mine).map(|c| c.requested).min();
    Ok(first.filter(|at| now - *at < ANNOUNCED))
}

/// Which step of which job a command is, by its comment.
fn step_of(command: &Listed) -> Option<(Step, JobId)> {
    let words = command.comment.strip_prefix("freezeframe ")?;
    let (word, job) = words.split_once(' ')?;
    let step = [Step::Look, Step::Pre, Step::Post]
        .into_iter()
        .find(|step| {
            [Mode::Coordinated, Mode::Autonomous]
                .iter()
                .any(|mode| step.word(*mode) == word)
        })?;
    Some((step, JobId::from_api(job)))
}

/// Our commands in a listing, by the job that they are of.
fn by_job(listed: &[Listed]) -> BTreeMap<JobId, Vec<(Step, &Listed)>> {
    let mut jobs: BTreeMap<JobId, Vec<(Step, &Listed)>> = BTreeMap::new();
    for command in listed {
        if let Some((step, job)) = step_of(command) {
            jobs.entry(job).or_default().push((step, command));
        }
    }
    jobs
}

/// Where a job stands by its commands, and by what those said that failed.
fn standing(commands: &[(Step, &Listed)], told: &Findings, now: DateTime<Utc>) -> Option<Standing> {
    let of = |wanted: Step| {
        commands
            .iter()
            .filter(move |(step, _)| *step == wanted)
            .map(|(_, command)| *command)
    };
    let holds = |pre: &Listed| {
        let thawed = of(Step::Post)
            .filter(|post| post.requested >= pre.requested)
            .any(|post| thaws(post, pre, told));
        // A thaw that came before the freeze of a running command proves nothing.
        may_hold(pre, now) && (pre.status.is_open() || !(left_nothing(pre, told) || thawed))
    };
    if of(Step::Pre).next().is_some() {
        return of(Step::Pre).any(holds).then_some(Standing::Holds);
    }
    of(Step::Look)
        .filter(|look| look.status.is_open() || look.status == CommandStatus::Success)
        .map(|look| look.requested)
        .filter(|at| now - *at < ANNOUNCED)
        .min()
        .filter(|_| of(Step::Post).next().is_none())
        .map(Standing::Announced)
}

/// Whether a `post-script` proves that what the freezing command froze is thawed. A failed `post-script` proves nothing
/// by its status: it may have met the freezing command at work, or never been delivered. Its output may prove it.
fn thaws(post: &Listed, pre: &Listed, told: &Findings) -> bool {
    // Ours ends well only where it released a freeze.
    if post.status == CommandStatus::Success && is_ours(post) {
        return true;
    }
    let Some(outcome) = told.said.get(&post.id) else {
        return false;
    };
    let trace = trace::parse(&outcome.stdout);
    let freezing = told.said.get(&pre.id).map(|outcome| &outcome.ended);
    let freeze = Freeze {
        third_party: !is_ours(post),
        conclusive: told.after.contains(&(post.id.clone(), pre.id.clone())),
        may_hold: freezing.is_none_or(CommandEnd::may_have_frozen),
        followed: None,
    };
    thaw::judge(&outcome.ended, &trace, &freeze) == ThawVerdict::Confirmed
}

/// Whether a command that freezes and failed says itself that it left nothing held.
fn left_nothing(pre: &Listed, told: &Findings) -> bool {
    told.said.get(&pre.id).is_some_and(|outcome| {
        thaw::left_nothing_held(&outcome.ended, &trace::parse(&outcome.stdout))
    })
}

/// Whether a command that freezes may have left a freeze behind, or may hold one now, by its status alone.
/// `snapshot` thaws before it ends well; what was cut off is thawed by its failsafe.
fn may_hold(command: &Listed, now: DateTime<Utc>) -> bool {
    let alone = step_word(command) == Some(Step::Pre.word(Mode::Autonomous));
    let over = alone && command.status == CommandStatus::Success;
    let budget = command.budget_s.unwrap_or(LONGEST_BUDGET_S);
    let until = command.requested + DELIVERY_AND_GRACE + TimeDelta::seconds(i64::from(budget));
    !over && now < until
}

fn step_word(command: &Listed) -> Option<&str> {
    command.comment.split(' ').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::CommandId;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn command(word: &str, job: &str, requested: i64, status: &str) -> Listed {
        Listed {
            id: CommandId::from_api(word),
            comment: format!("freezeframe {word} {job}"),
            requested: at(requested),
            status: status.into(),
            budget_s: Some(30),
            document: "freezeframe-linux-mysql".to_owned(),
        }
    }

    fn third_party(command: &Listed) -> Listed {
        Listed {
            document: "ops-dlm".to_owned(),
            ..command.clone()
        }
    }

    fn read_outputs(command: &Listed, ended: CommandEnd, lines: &[&str]) -> Findings {
        let line = |(n, line): (usize, &&str)| format!("FF1 {{\"seq\":{n},\"ms\":{n},{line}}}\n");
        let outcome = CommandOutcome {
            command: command.id.clone(),
            ended,
            stdout: (1..).zip(lines).map(line).collect(),
            stderr: String::new(),
        };
        Findings {
            said: BTreeMap::from([(command.id.clone(), outcome)]),
            after: BTreeSet::new(),
        }
    }

    fn one(listed: &[Listed], now: i64) -> Option<Standing> {
        one_told(listed, &Findings::default(), now)
    }

    fn one_told(listed: &[Listed], told: &Findings, now: i64) -> Option<Standing> {
        let found = by_job(listed);
        assert!(found.len() <= 1);
        found
            .values()
            .find_map(|commands| standing(commands, told, at(now)))
    }

    const HELLO: &str = r#""t":"hello","recipe":"r","version":3,"job":"a","command":"post-script""#;
    const OLD: &str = r#""t":"hello","recipe":"r","version":1,"job":"a","command":"post-script""#;
    const OPEN: &str = r#""t":"probe","mount":"/data","frozen":false"#;
    const END: &str = r#""t":"end","outcome":"failed","exit":1"#;

    fn error(code: &str) -> String {
        format!(r#""t":"error","code":"{code}","text":"x""#)
    }

    #[test]
    fn a_freeze_stands_from_its_pre_script_until_a_post_script_has_thawed() {
        let look = command("dry-run", "a", 0, "Success");
        assert_eq!(
            one(std::slice::from_ref(&look), 5),
            Some(Standing::Announced(at(0)))
        );
        assert_eq!(one(std::slice::from_ref(&look), 90), None, "too long ago");
        let pre = command("pre-script", "a", 10, "Success");
        let held = [look.clone(), pre.clone()];
        assert_eq!(one(&held, 20), Some(Standing::Holds));
        // Delivery, budget and grace.
        assert_eq!(one(&held, 129), Some(Standing::Holds));
        assert_eq!(one(&held, 130), None, "the failsafe has acted");
        for (status, standing) in [
            ("InProgress", Some(Standing::Holds)),
            ("TimedOut", Some(Standing::Holds)),
            ("Cancelled", Some(Standing::Holds)),
            ("Success", None),
        ] {
            let post = command("post-script", "a", 12, status);
            assert_eq!(one(&[pre.clone(), post], 20), standing, "{status}");
        }
        // A thaw of an earlier attempt says nothing of a later freeze.
        let early = command("post-script", "a", 5, "Success");
        assert_eq!(one(&[early, pre], 20), Some(Standing::Holds));
    }

    #[test]
    fn a_post_script_that_failed_is_a_thaw_only_by_what_it_said() {
        let pre = command("pre-script", "a", 10, "Success");
        let post = command("post-script", "a", 12, "Failed");
        let pair = [pre.clone(), post.clone()];
        assert_eq!(one(&pair, 20), Some(Standing::Holds), "nobody asked it");
        assert_eq!(one(&pair, 130), None, "the failsafe has acted");
        let failed = |exit: i32| CommandEnd::Failed { exit: exit.into() };
        let (busy, gone, lost, stuck, fired) = (
            error("busy"),
            error("not-frozen"),
            error("lock-lost"),
            error("thaw-failed"),
            error("failsafe-fired"),
        );
        let frozen = OPEN.replace("false", "true");
        for (ended, lines, thawed) in [
            // It met pre-script at work, and thawed nothing.
            (failed(202), &[HELLO, &busy, END][..], false),
            (failed(202), &[HELLO, &stuck, OPEN, END], false),
            (failed(202), &[HELLO, &lost, &frozen, END], false),
            (failed(202), &[HELLO, &lost, OPEN], false),
            (failed(202), &[HELLO, &lost, OPEN, END], true),
            (failed(203), &[HELLO, &fired, OPEN, END], true),
            (failed(203), &[HELLO, &fired, &frozen, END], false),
            (failed(205), &[HELLO, &gone, OPEN, END], true),
            (failed(201), &[HELLO, OPEN, END], false),
            (CommandEnd::NeverDelivered, &[], false),
            (CommandEnd::Cancelled { may_have_run: true }, &[], false),
            // An exit code alone is no word of ours.
            (failed(202), &[], false),
            (failed(203), &[], false),
            (failed(205), &[], false),
        ] {
            let told = read_outputs(&post, ended.clone(), lines);
            let standing = (!thawed).then_some(Standing::Holds);
            assert_eq!(one_told(&pair, &told, 20), standing, "{ended:?} {lines:?}");
        }
        // Somebody else's thaw counts where it began when what freezes had ended.
        let holds = Some(Standing::Holds);
        for (pre_status, pre_exit, ended, later) in [
            ("Success", None, CommandEnd::Success, None),
            ("Failed", Some(201), failed(205), None),
            // It was cut off, and may have frozen everything before.
            ("Failed", Some(137), failed(205), holds),
            ("Failed", Some(137), CommandEnd::Success, None),
            // By somebody who is not the agent.
            ("Failed", Some(-1), failed(205), holds),
            ("Failed", Some(1), failed(205), holds),
            ("Failed", Some(204), failed(205), None),
            ("Failed", Some(206), failed(205), None),
            ("Failed", Some(-1), CommandEnd::Success, None),
            ("TimedOut", None, failed(205), holds),
            ("Cancelled", None, failed(205), holds),
            ("Cancelled", None, CommandEnd::Success, None),
            ("Success", None, failed(205), holds),
        ] {
            let pre = &command("pre-script", "a", 10, pre_status);
            let status = if ended == CommandEnd::Success {
                "Success"
            } else {
                "Failed"
            };
            let post = third_party(&command("post-script", "a", 12, status));
            let pair = [third_party(pre), post.clone()];
            assert_eq!(one(&pair, 20), Some(Standing::Holds), "nobody asked it");
            let mut told = read_outputs(&post, ended.clone(), &[]);
            if let Some(exit) = pre_exit {
                told.said
                    .extend(self::read_outputs(pre, failed(exit), &[]).said);
            }
            assert_eq!(one_told(&pair, &told, 20), holds, "{ended:?}");
            assert_eq!(one_told(&pair, &told, 130), None, "too long ago");
            told.after.insert((post.id.clone(), pre.id.clone()));
            assert_eq!(one_told(&pair, &told, 20), later, "{ended:?}");
        }
        // One of ours under a name of its own.
        let own = third_party(&command("post-script", "a", 12, "Success"));
        let told_of_own = read_outputs(&own, CommandEnd::Success, &[HELLO, OPEN, END]);
        assert_eq!(one_told(&[pre.clone(), own], &told_of_own, 20), None);
        // "No such job" does not keep a late one from beginning, unless it left its tombstone marker.
        for status in ["TimedOut", "Success"] {
            let late = [command("pre-script", "a", 10, status), post.clone()];
            for (hello, standing) in [(HELLO, None), (OLD, Some(Standing::Holds))] {
                let told = read_outputs(&post, failed(205), &[hello, &gone, OPEN, END]);
                assert_eq!(one_told(&late, &told, 20), standing, "{hello} {status}");
            }
        }
    }

    #[test]
    fn what_ended_by_itself_holds_nothing() {
        let alone = |status| command("snapshot", "a", 0, status);
        assert_eq!(one(&[alone("InProgress")], 1), Some(Standing::Holds));
        assert_eq!(one(&[alone("Success")], 1), None);
        assert_eq!(one(&[alone("Cancelled")], 1), Some(Standing::Holds));
        let refused = command("dry-run", "a", 0, "Failed");
        assert_eq!(one(&[refused], 1), None);
        let mut not_ours = command("pre-script", "a", 0, "InProgress");
        not_ours.comment = "patching".to_owned();
        assert_eq!(one(&[not_ours], 1), None);
    }

    #[test]
    fn a_command_that_failed_holds_nothing_only_where_it_says_so() {
        let (busy, again, late, timeout) = (
            error("busy"),
            error("already-frozen"),
            error("over"),
            error("lock-timeout"),
        );
        let armed = r#""t":"armed","budget_ms":30000,"guard_pid":1,"holder_pid":2"#;
        let quiet = r#""t":"disarmed","fired":false"#;
        let frozen = r#""t":"frozen","mount":"/data","took_ms":3"#;
        let failed = |exit: i32| CommandEnd::Failed { exit: exit.into() };
        for word in ["pre-script", "snapshot"] {
            let pre = command(word, "a", 0, "Failed");
            let only = [pre.clone()];
            assert_eq!(one(&only, 1), Some(Standing::Holds), "nobody asked it");
            for (ended, lines, holds) in [
                (
                    failed(201),
                    &[HELLO, armed, &timeout, quiet, END][..],
                    false,
                ),
                (failed(204), &[HELLO, &busy, END], false),
                (failed(204), &[HELLO, &late, END], false),
                // The first delivery is at work.
                (failed(204), &[HELLO, &again, END], true),
                (failed(201), &[HELLO, armed, frozen], true),
                (
                    failed(201),
                    &[HELLO, armed, frozen, &timeout, quiet, END],
                    true,
                ),
                (failed(201), &[], true),
                (CommandEnd::NeverDelivered, &[], false),
            ] {
                let told = read_outputs(&pre, ended.clone(), lines);
                let standing = holds.then_some(Standing::Holds);
                assert_eq!(one_told(&only, &told, 1), standing, "{ended:?} {lines:?}");
            }
        }
    }

    #[test]
    fn of_two_that_see_each_other_exactly_one_goes_first() {
        let other = |job: &str, standing| Other {
            job: JobId::from_api(job),
            instance: InstanceId::from_api("i-1"),
            standing,
        };
        for (a, b) in [(1, 2), (2, 1), (3, 3)] {
            let (first, second) = (JobId::from_api("a"), JobId::from_api("b"));
            let b_sees = other("a", Standing::Announced(at(a))).goes_before(Some(at(b)), &second);
            let a_sees = other("b", Standing::Announced(at(b))).goes_before(Some(at(a)), &first);
            assert!(b_sees != a_sees, "{a} {b}");
        }
        let holds = other("z", Standing::Holds);
        assert!(holds.goes_before(Some(at(0)), &JobId::from_api("a")));
        let late = other("z", Standing::Announced(at(9)));
        assert!(late.goes_before(None, &JobId::from_api("a")));
    }
}

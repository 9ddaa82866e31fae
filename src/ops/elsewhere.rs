//! Jobs of consoles that keep another journal, by what Systems Manager shows of their commands. It is a look and
//! no lock: what was sent a moment ago may not be shown yet. `docs/runs.md` says what that leaves open.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::Ops;
use super::send::Step;
use crate::aws::ssm::Listed;
use crate::domain::ids::{InstanceId, JobId};
use crate::domain::job::Mode;
use crate::domain::problem::Problem;

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
pub(super) struct Other {
    pub(super) job: JobId,
    pub(super) instance: InstanceId,
    pub(super) standing: Standing,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may hold a freeze.
    Holds,
    /// Its dry run was taken in then, by Systems Manager's clock, and no freeze was asked for yet.
    Announced(DateTime<Utc>),
}

impl Other {
    /// Whether it goes before a job that was announced at `mine` under that id. Of two that see each other,
    /// exactly one goes first. Who is not announced yields.
    pub(super) fn goes_before(&self, mine: Option<DateTime<Utc>>, job: &JobId) -> bool {
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
pub(super) async fn jobs_on(ops: &Ops, instance: &InstanceId) -> Result<Vec<Other>, Problem> {
    let now = ops.clock.now();
    let listed = ops
        .session
        .commands_since(instance, now - LOOK_BACK)
        .await?;
    let mut others = Vec::new();
    for (job, standing) in standings(&listed, now) {
        if ops.journal.job(ops.scope(), &job)?.is_none() {
            others.push(Other {
                job,
                instance: instance.clone(),
                standing,
            });
        }
    }
    Ok(others)
}

/// When Systems Manager took in the dry run of this job.
///
/// # Errors
/// Whatever it answered.
pub(super) async fn announced(
    ops: &Ops,
    instance: &InstanceId,
    job: &JobId,
) -> Result<Option<DateTime<Utc>>, Problem> {
    let since = ops.clock.now() - LOOK_BACK;
    let listed = ops.session.commands_since(instance, since).await?;
    let of_mine =
        |c: &&Listed| step_of(c).is_some_and(|(step, of)| step == Step::Look && of == *job);
    Ok(listed.iter().filter(of_mine).map(|c| c.requested).min())
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

fn standings(listed: &[Listed], now: DateTime<Utc>) -> Vec<(JobId, Standing)> {
    let mut jobs: BTreeMap<JobId, Vec<(Step, &Listed)>> = BTreeMap::new();
    for command in listed {
        if let Some((step, job)) = step_of(command) {
            jobs.entry(job).or_default().push((step, command));
        }
    }
    let standing = |commands: Vec<(Step, &Listed)>| {
        let of = |wanted: Step| {
            commands
                .iter()
                .filter(move |(step, _)| *step == wanted)
                .map(|(_, command)| *command)
        };
        let thawed = of(Step::Post)
            .filter(|post| matches!(post.status.as_str(), "Success" | "Failed"))
            .map(|post| post.requested)
            .max();
        // While one is at work, a thaw that came too early for it proves nothing.
        let holds = |pre: &Listed| {
            may_hold(pre, now) && (is_open(pre) || thawed.is_none_or(|at| at < pre.requested))
        };
        if of(Step::Pre).next().is_some() {
            return of(Step::Pre).any(holds).then_some(Standing::Holds);
        }
        of(Step::Look)
            .filter(|look| is_open(look) || look.status == "Success")
            .map(|look| look.requested)
            .filter(|at| now - *at < ANNOUNCED)
            .min()
            .filter(|_| of(Step::Post).next().is_none())
            .map(Standing::Announced)
    };
    jobs.into_iter()
        .filter_map(|(job, commands)| Some((job, standing(commands)?)))
        .collect()
}

fn is_open(command: &Listed) -> bool {
    matches!(
        command.status.as_str(),
        "Pending" | "InProgress" | "Cancelling" | ""
    )
}

/// Whether a command that freezes may have left a freeze behind, or may hold one now. Ours thaw what they froze
/// before they fail, and `snapshot` before it ends; what was cut off is thawed by its failsafe.
fn may_hold(command: &Listed, now: DateTime<Utc>) -> bool {
    let alone = step_word(command) == Some(Step::Pre.word(Mode::Autonomous));
    let over = match command.status.as_str() {
        "Failed" => true,
        "Success" => alone,
        _ => false,
    };
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
            id: CommandId::from_api("c"),
            comment: format!("freezeframe {word} {job}"),
            requested: at(requested),
            status: status.to_owned(),
            budget_s: Some(30),
        }
    }

    fn one(listed: &[Listed], now: i64) -> Option<Standing> {
        let found = standings(listed, at(now));
        assert!(found.len() <= 1);
        found.first().map(|(_, standing)| *standing)
    }

    #[test]
    fn a_freeze_stands_from_its_pre_script_until_a_post_script_has_ended() {
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
            ("Success", None),
            ("Failed", None),
        ] {
            let post = command("post-script", "a", 12, status);
            assert_eq!(one(&[pre.clone(), post], 20), standing, "{status}");
        }
        // A thaw of an earlier attempt says nothing of a later freeze.
        let early = command("post-script", "a", 5, "Failed");
        assert_eq!(one(&[early, pre], 20), Some(Standing::Holds));
    }

    #[test]
    fn what_ended_by_itself_holds_nothing() {
        let failed = command("pre-script", "a", 0, "Failed");
        assert_eq!(one(&[failed], 1), None);
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

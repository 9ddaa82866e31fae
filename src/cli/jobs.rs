//! `jobs`: inspect, resume or abort jobs that an earlier process did not finish.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::args::{Global, JobsCommand};
use super::output::{self, Out, Table, json_row};
use super::resumed_jobs::{ResumedJobs, copying};
use super::session::{self, Opened};
use super::{exit, printed, typed, unmatched};
use crate::config;
use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Phase, Verdict};
use crate::domain::problem::{Kind, Problem};
use crate::jobs::journal;
use crate::ops::job::confirm_thaw;
use crate::ops::job::stop::{Way, way};
use crate::ops::recover::orphans;
use crate::ops::{Ops, recover};

/// Jobs of the journal that are looked through for one that was named.
const HISTORY: u32 = 10_000;
/// Updates that may wait to be told.
const UPDATES: usize = 64;
/// Pause before jobs that could not be settled yet are looked at again.
const AGAIN: Duration = Duration::from_secs(5);

pub(super) async fn run(
    opened: &Opened,
    global: &Global,
    command: &JobsCommand,
) -> Result<u8, Problem> {
    match command {
        JobsCommand::Resume { wait } => resume(opened, global, *wait).await,
        JobsCommand::Abort { job, all: _ } => abort(&opened.ops, global, job).await,
        JobsCommand::Thawed { job, yes } => declare(&opened.ops, global, job, *yes).await,
        JobsCommand::Orphans { label, yes } => {
            find_orphans(&opened.ops, global, *label, *yes).await
        }
        JobsCommand::SetAside { yes } => set_aside(global, *yes).await,
    }
}

/// Thaws and settles what an earlier process left open, and says on standard error what it does for each job
/// as it does it.
pub(super) async fn resume_abandoned(ops: &Ops) -> Result<Vec<JobView>, Problem> {
    resume_and_tell(ops, &mut ResumedJobs::default()).await
}

/// As [`resume_abandoned`]; what was said already is not said again.
async fn resume_and_tell(ops: &Ops, said: &mut ResumedJobs) -> Result<Vec<JobView>, Problem> {
    let open = ops.journal.open_jobs(ops.scope())?;
    said.before(open.iter().map(|(view, _)| view));
    let settle = async |updates| recover::settle(ops, &updates).await;
    telling(open.len(), said, settle).await
}

/// Settles `jobs` jobs, and says on standard error what is being done for each: it may take minutes.
async fn telling<T>(
    jobs: usize,
    said: &mut ResumedJobs,
    settle: impl AsyncFnOnce(mpsc::Sender<JobView>) -> T,
) -> T {
    let (updates, mut inbox) = mpsc::channel(UPDATES.max(jobs * 4));
    let tell = async {
        while let Some(view) = inbox.recv().await {
            if let Some(line) = said.line(&view) {
                output::note(&line);
            }
        }
    };
    tokio::join!(settle(updates), tell).0
}

async fn resume(opened: &Opened, global: &Global, wait: bool) -> Result<u8, Problem> {
    let ops = &opened.ops;
    ops.session.may_write("settle open jobs", ops.scope())?;
    let mut last: Vec<JobView> = Vec::new();
    let mut said = ResumedJobs::default();
    loop {
        let settled = resume_and_tell(ops, &mut said).await?;
        let open = settled
            .iter()
            .any(|view| view.phase != Phase::Done || view.has_pending_labels());
        for view in settled {
            last.retain(|old| old.spec.job != view.spec.job);
            last.push(view);
        }
        if !wait || !open {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    if last.is_empty() {
        output::note("nothing is open: no job of an earlier process waits to be settled");
    }
    if last.iter().any(JobView::only_copies) {
        output::note(
            "nothing to do for what is still copying: it is thawed and labelled, and AWS finishes the copy. Any later start \
             of freezeframe records its end and publishes its metrics; `freezeframe jobs resume --wait` stays until then",
        );
    }
    rows(ops, global, &last)?;
    Ok(code(&last))
}

/// The worst of what became of them; 3 when there was none.
fn code(views: &[JobView]) -> u8 {
    if views.is_empty() {
        exit::NOTHING
    } else if views.iter().any(|v| v.thaw_unconfirmed) {
        exit::THAW_UNCONFIRMED
    } else if views.iter().any(|v| match v.verdict {
        _ if v.has_pending_labels() => true,
        Some(Verdict::Failed) => true,
        // Thawed and labelled; only AWS still copies.
        None => v.phase != Phase::Completing,
        Some(_) => false,
    }) {
        exit::FAILED
    } else if views
        .iter()
        .any(|v| v.verdict.or(v.earns) == Some(Verdict::Crash))
    {
        exit::CRASH
    } else {
        exit::OK
    }
}

/// What came of a thaw, by a word for programs and one for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// Settled here as a whole: [`ResumedJobs`] tells of it.
    Settled,
    /// Nothing is frozen, and another process goes on with the job.
    Driven,
    /// Its thaw, unconfirmed at its end, is confirmed.
    Ended,
}

/// The words for it on standard error; none where they were said already.
fn came_of(view: &JobView, came: Came) -> Option<String> {
    let who = format!("job {} on {}", view.spec.job, view.spec.instance);
    if view.thaw_unconfirmed {
        let why = view
            .error
            .as_ref()
            .map(|e| format!(": {e}\n  next: {}", e.hint));
        return Some(format!(
            "{who}: THAW UNCONFIRMED{}\n  or: where you have looked and nothing is frozen, `freezeframe jobs thawed --job {}`",
            why.unwrap_or_default(),
            view.spec.job
        ));
    }
    match came {
        Came::Settled => None,
        Came::Driven => Some(format!(
            "{who}: thawed; whoever drives it sees that and claims no more than was proven by then"
        )),
        Came::Ended => Some(format!(
            "{who}: thawed, every mount was asked; its thaw is confirmed, and what its set is worth stays as it was"
        )),
    }
}

/// As [`rows`], of jobs that were thawed: what matters is whether they are.
fn thaw_rows(ops: &Ops, global: &Global, views: &[(JobView, Came)]) -> Result<(), Problem> {
    let values: Vec<Value> = views
        .iter()
        .map(|(view, came)| {
            let mut value = json_row(view, &view.listed_state(view.only_copies()));
            value["id"] = json!(view.spec.job);
            value["thaw"] = json!(thaw_word(view, *came));
            value
        })
        .collect();
    printed(
        Out::new(global.output)
            .acting(ops.session.who())
            .rows(&values, |_| {
                Table {
                    head: vec![
                        "JOB",
                        "INSTANCE",
                        "THAW",
                        "PHASE",
                        "VERDICT",
                        "SNAPSHOTS",
                        "WHY",
                    ],
                    rows: views
                        .iter()
                        .map(|(view, came)| {
                            // Where the thaw is proven an older failure is none of this command's.
                            let own = view.thaw_unconfirmed || *came == Came::Settled;
                            let why = view.error.as_ref().filter(|_| own);
                            vec![
                                view.spec.job.to_string(),
                                view.spec.instance.to_string(),
                                thaw_word(view, *came).to_owned(),
                                phase(view),
                                verdict(view),
                                view.set.len().to_string(),
                                why.map_or_else(|| "-".to_owned(), |e| e.cause.clone()),
                            ]
                        })
                        .collect(),
                }
            }),
    )
}

/// Whether its instance is thawed: `open` is one on which nothing is frozen and something could still begin.
fn thaw_word(view: &JobView, came: Came) -> &'static str {
    if view.thaw_unconfirmed {
        "unconfirmed"
    } else if came == Came::Settled && may_begin(view) {
        "open"
    } else {
        "thawed"
    }
}

/// Of a job that was settled here: whether it stays open because its command could still begin.
fn may_begin(view: &JobView) -> bool {
    view.phase != Phase::Done && !view.only_copies() && !view.thaw_unconfirmed
}

fn phase(view: &JobView) -> String {
    match view.only_copies() {
        true => copying(view),
        false => view.phase.to_string(),
    }
}

fn verdict(view: &JobView) -> String {
    match (view.verdict, view.earns) {
        _ if view.thaw_unconfirmed => "THAW UNCONFIRMED".to_owned(),
        _ if view.has_pending_labels() => "labels pending".to_owned(),
        (Some(verdict), _) => verdict.to_string(),
        (None, Some(earns)) if view.only_copies() => format!("{earns} once copied"),
        (None, _) => "-".to_owned(),
    }
}

fn rows(ops: &Ops, global: &Global, views: &[JobView]) -> Result<(), Problem> {
    let values: Vec<Value> = views
        .iter()
        .map(|view| {
            let mut value = json_row(view, &view.listed_state(view.only_copies()));
            value["id"] = json!(view.spec.job);
            value
        })
        .collect();
    printed(
        Out::new(global.output)
            .acting(ops.session.who())
            .rows(&values, |_| Table {
                head: vec!["JOB", "INSTANCE", "PHASE", "VERDICT", "SNAPSHOTS", "WHY"],
                rows: views
                    .iter()
                    .map(|view| {
                        vec![
                            view.spec.job.to_string(),
                            view.spec.instance.to_string(),
                            phase(view),
                            verdict(view),
                            view.set.len().to_string(),
                            view.error
                                .as_ref()
                                .map_or_else(|| "-".to_owned(), |e| e.cause.clone()),
                        ]
                    })
                    .collect(),
            }),
    )
}

/// Thaws now. Jobs that another living process drives are thawed under it: it sees that, and claims no more than was proven by then.
async fn abort(ops: &Ops, global: &Global, named: &[JobId]) -> Result<u8, Problem> {
    ops.session.may_write("thaw instances", ops.scope())?;
    let open = ops.journal.open_jobs(ops.scope())?;
    let past = ops.journal.jobs(Some(ops.scope()), HISTORY)?;
    for job in named {
        if !past.iter().any(|view| view.spec.job == *job) {
            let problem = Problem::new(
                Kind::NotFound,
                format!("abort job {job}"),
                format!("the journal has no such job of {}", ops.scope()),
                "see `freezeframe list jobs`; another state directory has another journal (FREEZEFRAME_STATE_DIR)",
            );
            return unmatched(problem, global);
        }
    }
    let wanted = |view: &JobView| named.is_empty() || named.contains(&view.spec.job);
    let (own_world, now) = (ops.journal.is_of_own_world(), ops.clock.now());
    let ways = open.iter().filter(|(view, _)| wanted(view));
    let ways = ways.map(|(view, owner)| (view, way(view, Some(owner), own_world, now)));
    let ways: Vec<(&JobView, Way)> = ways.collect();
    let mut ended: Vec<(JobView, Came)> = Vec::new();
    // What nobody drives is settled as a whole.
    let left = ways.iter().filter(|(_, way)| *way == Way::Settle);
    let left: Vec<JobId> = left.map(|(view, _)| view.spec.job.clone()).collect();
    if !left.is_empty() {
        let settle = async |updates| recover::settle_only(ops, &updates, &left).await;
        let settled = telling(left.len(), &mut ResumedJobs::default(), settle).await?;
        ended.extend(settled.into_iter().map(|view| (view, Came::Settled)));
    }
    for (view, way) in ways {
        match way {
            // An answer from here would be about nothing.
            Way::OtherLab => output::note(&format!(
                "job {} on {} runs in the lab of another process: stop it there",
                view.spec.job, view.spec.instance
            )),
            Way::Thaw => ended.push((thawed(ops, view.clone()).await, Came::Driven)),
            Way::AskAgain => ended.push((again(ops, view.clone()).await, Came::Ended)),
            Way::Settle | Way::HoldsNothing | Way::Over => {}
        }
    }
    for view in past {
        let is_open = open
            .iter()
            .any(|(other, _)| other.spec.job == view.spec.job);
        if wanted(&view) && !is_open && way(&view, None, own_world, now) == Way::AskAgain {
            ended.push((again(ops, view).await, Came::Ended));
        }
    }
    for (view, came) in &ended {
        if let Some(line) = came_of(view, *came) {
            output::note(&line);
        }
        if *came == Came::Settled && may_begin(view) {
            output::note(&format!(
                "job {} on {}: nothing is frozen there now; it stays open while its command could still begin: \
                 `freezeframe jobs resume --wait` settles it",
                view.spec.job, view.spec.instance
            ));
        }
    }
    if ended.is_empty() {
        output::note("nothing to thaw: none of these jobs is open, or has an unconfirmed thaw");
    }
    thaw_rows(ops, global, &ended)?;
    Ok(if ended.is_empty() {
        exit::NOTHING
    } else if ended.iter().any(|(view, _)| view.thaw_unconfirmed) {
        exit::THAW_UNCONFIRMED
    } else {
        exit::OK
    })
}

/// Confirms thaws by the word of whoever has looked. Nothing is put on record when one of the jobs cannot be.
async fn declare(ops: &Ops, global: &Global, named: &[JobId], yes: bool) -> Result<u8, Problem> {
    ops.session
        .may_write("put on record that jobs are thawed", ops.scope())?;
    let jobs: BTreeSet<&JobId> = named.iter().collect();
    let mut unconfirmed = Vec::new();
    for job in &jobs {
        match confirm_thaw::unconfirmed(ops, job) {
            Ok(view) => unconfirmed.push(view),
            Err(problem) => return unmatched(problem, global),
        }
    }
    let question = format!(
        "You have looked, and nothing of these jobs of {} is frozen:\n{}",
        ops.session.who(),
        unconfirmed
            .iter()
            .map(|view| format!("  {} on {}", view.spec.job, view.spec.instance))
            .collect::<Vec<_>>()
            .join("\n")
    );
    if !yes && !typed(&question, "thawed").await? {
        return Err(Problem::new(
            Kind::Cancelled,
            "put on record that jobs are thawed",
            "it was not confirmed",
            "nothing was changed",
        ));
    }
    let declared = jobs
        .into_iter()
        .map(|job| confirm_thaw::record_operator_confirmation(ops, job))
        .collect::<Result<Vec<_>, _>>()?;
    rows(ops, global, &declared)?;
    Ok(exit::OK)
}

/// Said before the instance is asked: its answer may take a minute, and where its agent is lost there is none.
fn asks(view: &JobView) {
    output::note(&format!(
        "job {} on {}: post-script is sent to the instance; its answer is waited for",
        view.spec.job, view.spec.instance
    ));
}

async fn again(ops: &Ops, mut view: JobView) -> JobView {
    asks(&view);
    match confirm_thaw::thaw_again(ops, &view.spec.job).await {
        Ok(now) => now,
        Err(problem) => {
            view.error = Some(problem);
            view
        }
    }
}

async fn thawed(ops: &Ops, mut view: JobView) -> JobView {
    asks(&view);
    match recover::thaw_now(ops, &view).await {
        Ok(()) => {
            view.thawed();
        }
        Err(problem) => {
            view.thaw_unconfirmed = true;
            view.error = Some(problem);
        }
    }
    view
}

async fn find_orphans(ops: &Ops, global: &Global, label: bool, yes: bool) -> Result<u8, Problem> {
    let found = orphans::list_orphans(ops).await?;
    let mut labelled = Vec::new();
    if label && !found.sets.is_empty() {
        ops.session.may_write("label orphans", ops.scope())?;
        let n: usize = found.sets.iter().map(|set| set.snapshots.len()).sum();
        let question = format!(
            "{n} snapshots of {} jobs in {} will be labelled crash; a job of another machine that is still \
             under way would lose nothing but has to be over.",
            found.sets.len(),
            ops.session.who()
        );
        if !yes && !typed(&question, "crash").await? {
            return Err(Problem::new(
                Kind::Cancelled,
                "label orphans",
                "it was not confirmed",
                "nothing was changed",
            ));
        }
        labelled = orphans::label(ops, &found.sets).await?;
    }
    let mut values: Vec<Value> = found
        .sets
        .iter()
        .map(|set| {
            let all = set.snapshots.iter().all(|id| labelled.contains(id));
            let mut value = json_row(set, if all { "labelled" } else { "never-judged" });
            value["id"] = json!(set.job);
            value["kind"] = json!("set");
            value
        })
        .collect();
    values.extend(found.volumes.iter().map(|volume| {
        let mut value = json_row(volume, "unattached");
        value["id"] = json!(volume.volume);
        value["kind"] = json!("restore-volume");
        value
    }));
    printed(
        Out::new(global.output)
            .acting(ops.session.who())
            .rows(&values, |rows| {
                let text = |row: &Value, key: &str| row[key].as_str().unwrap_or("-").to_owned();
                Table {
                    head: vec!["KIND", "ID", "STATE", "INSTANCE", "SNAPSHOTS"],
                    rows: rows
                        .iter()
                        .map(|row| {
                            vec![
                                text(row, "kind"),
                                text(row, "id"),
                                text(row, "state"),
                                text(row, "instance"),
                                row["snapshots"]
                                    .as_array()
                                    .map_or_else(|| "-".to_owned(), |list| list.len().to_string()),
                            ]
                        })
                        .collect(),
                }
            }),
    )?;
    if !found.sets.is_empty() && !label {
        output::note(
            "`freezeframe jobs orphans --label` labels these sets crash; nothing is deleted",
        );
    }
    for volume in &found.volumes {
        output::note(&format!(
            "{} is left over from restore {}; when it is not needed: aws ec2 delete-volume --volume-id {} --region {}{}",
            volume.volume,
            volume.restore,
            volume.volume,
            volume.scope.region,
            ops.session.cli_flags()
        ));
    }
    Ok(if found.is_empty() {
        exit::NOTHING
    } else {
        exit::OK
    })
}

/// A journal that can be read is not moved while jobs in it want something: nobody would thaw or settle them any more.
/// Says how many jobs are in one that is sound; `None` of one that is not, or is not there.
///
/// # Errors
/// [`Kind::State`], with how many there are.
fn keep_what_is_unsettled(path: &Path) -> Result<Option<usize>, Problem> {
    if !path.exists() {
        return Ok(None);
    }
    // One that cannot be read is why this command exists.
    let Ok(jobs) = journal::Journal::open(path).and_then(|journal| journal.jobs(None, HISTORY))
    else {
        return Ok(None);
    };
    let wants = |view: &&JobView| {
        view.phase != Phase::Done || view.thaw_unconfirmed || view.has_pending_labels()
    };
    match jobs.iter().filter(wants).count() {
        0 => Ok(Some(jobs.len())),
        n => Err(Problem::new(
            Kind::State,
            format!("move {} aside", path.display()),
            format!(
                "it can be read, and {} open, or its thaw unconfirmed",
                match n {
                    1 => "1 job in it is".to_owned(),
                    _ => format!("{n} jobs in it are"),
                }
            ),
            "settle them first: `freezeframe jobs resume`, or `freezeframe jobs thawed --job ID` where you have looked",
        )),
    }
}

/// Moves the journal out of the way. The one command that works with a damaged one.
pub(super) async fn set_aside(global: &Global, yes: bool) -> Result<u8, Problem> {
    let paths = config::paths()?;
    let path = if global.lab.is_some() {
        paths.lab_journal
    } else {
        paths.journal
    };
    session::configuration(global)?;
    let sound = keep_what_is_unsettled(&path)?;
    let question = match sound {
        Some(jobs) => format!(
            "{} is sound, nothing in it is open, and it need not be moved. It will be moved aside and kept; what the \
             sets of its {} stand on is then not shown on this machine until it is back.",
            path.display(),
            counted(jobs)
        ),
        None => format!(
            "{} will be moved aside and kept; jobs that are open in it are then not resumed by any start.",
            path.display()
        ),
    };
    if !yes && !typed(&question, "aside").await? {
        return Err(Problem::new(
            Kind::Cancelled,
            "move the journal aside",
            "it was not confirmed",
            "nothing was changed",
        ));
    }
    let mark = crate::ops::clock::Clock::system()
        .now()
        .format("%Y%m%dT%H%M%SZ")
        .to_string();
    let Some(to) = journal::set_aside(&path, &mark)? else {
        output::note(&format!("there is no journal at {}", path.display()));
        return Ok(exit::NOTHING);
    };
    printed(Out::new(global.output).line(&format!("moved to {}", to.display())))?;
    if let Some(jobs) = sound {
        output::note(&format!(
            "it was sound: what the sets of its {} stand on is not shown on this machine until it is back. To put \
             it back, before any other start of freezeframe begins a new one: {}",
            counted(jobs),
            back(&to, &path)
        ));
    }
    Ok(exit::OK)
}

/// The command that undoes a moving aside, with what SQLite may keep beside a journal.
fn back(aside: &Path, path: &Path) -> String {
    let mut moves = vec![format!("mv -i {} {}", quoted(aside), quoted(path))];
    for end in ["-wal", "-shm"] {
        let with = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            std::path::PathBuf::from(name)
        };
        if with(aside).exists() {
            moves.push(format!(
                "mv -i {} {}",
                quoted(&with(aside)),
                quoted(&with(path))
            ));
        }
    }
    moves.join(" && ")
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@".contains(&b);
    if text.bytes().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn counted(jobs: usize) -> String {
    format!("{jobs} job{}", if jobs == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn view(phase: Phase) -> JobView {
        sample::view("j-1", phase)
    }

    #[test]
    fn an_abort_says_of_each_job_what_came_of_it() {
        let driven = view(Phase::Snapshotting);
        assert_eq!(
            came_of(&driven, Came::Driven).unwrap(),
            "job j-1 on i-1: thawed; whoever drives it sees that and claims no more than was proven by then"
        );
        assert_eq!(thaw_word(&driven, Came::Driven), "thawed");
        let mut over = view(Phase::Done);
        over.error = Some(Problem::new(
            Kind::Timeout,
            "thaw of i-1",
            "it took too long",
            "look",
        ));
        let said = came_of(&over, Came::Ended).unwrap();
        assert!(
            said.contains("its thaw is confirmed") && !said.contains("too long"),
            "{said}"
        );
        over.thaw_unconfirmed = true;
        let said = came_of(&over, Came::Ended).unwrap();
        assert!(
            said.contains("THAW UNCONFIRMED: thaw of i-1: it took too long\n  next: look")
                && said.contains("`freezeframe jobs thawed --job j-1`"),
            "{said}"
        );
        assert_eq!(thaw_word(&over, Came::Ended), "unconfirmed");
        // One that was settled here was told of as that was done.
        assert_eq!(came_of(&view(Phase::Quiescing), Came::Settled), None);
        assert_eq!(thaw_word(&view(Phase::Quiescing), Came::Settled), "open");
    }

    #[test]
    fn the_command_that_puts_a_journal_back_is_one_that_a_shell_takes() {
        let plain = back(Path::new("/a/j.aside-1"), Path::new("/a/j"));
        assert_eq!(plain, "mv -i /a/j.aside-1 /a/j");
        let odd = back(Path::new("/a b/it's.aside-1"), Path::new("/a b/it's"));
        assert_eq!(odd, r"mv -i '/a b/it'\''s.aside-1' '/a b/it'\''s'");
    }
}

//! `prune`: the plan, and carrying out exactly that plan.

mod show;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::args::{Format, Global, PruneArgs};
use super::output::{self, Out};
use super::session::Opened;
use super::{exit, note_refusal, signals, typed};
use crate::domain::problem::{Kind, Problem};
use crate::domain::prune::{PruneProgress, count};
use crate::domain::retention::{Policy, Selection};
use crate::ops::prune;

pub(super) async fn run(opened: &Opened, global: &Global, args: &PruneArgs) -> Result<u8, Problem> {
    let ops = &opened.ops;
    for record in prune::settle(ops)? {
        output::note(&prune::describe(&record));
    }
    let policy = policy(opened, args)?;
    let plan = match prune::plan(ops, &policy).await {
        // A name that nobody has matches nothing.
        Err(problem) if problem.kind == Kind::NotFound && !policy.selections().is_empty() => {
            output::problem(&problem, global.output);
            return Ok(exit::NOTHING);
        }
        plan => plan?,
    };
    let mut out = Out::new(global.output).acting(ops.session.who());
    if plan.is_of_nothing() {
        output::problem(&plan.of_nothing(), global.output);
        return Ok(exit::NOTHING);
    }
    if args.dry_run || global.output == Format::Table {
        show::plan(&mut out, &plan)?;
    }
    if args.dry_run {
        note_refusal(ops, "prune");
        if let Err(problem) = prune::allowed(ops, &plan).await {
            output::problem(&problem, global.output);
            return Ok(exit::FAILED);
        }
        return Ok(exit::OK);
    }
    let doomed = plan.doomed().len();
    if doomed == 0 {
        if global.output != Format::Table {
            show::result(&mut out, &plan, &PruneProgress::of(0))?;
        }
        return Ok(exit::OK);
    }
    if !args.yes {
        let question = format!(
            "{} of {}, as shown above, will be deleted: {}, in {}.",
            count(doomed, "snapshot"),
            count(plan.deletions().count(), "set"),
            plan.policy.scope_words(),
            ops.session.who()
        );
        if !typed(&question, &format!("delete {doomed}")).await? {
            return Err(Problem::new(
                Kind::Cancelled,
                "prune",
                "it was not confirmed",
                "nothing was deleted",
            ));
        }
    }
    let (updates, inbox) = mpsc::channel(16);
    let follower = tokio::spawn(show::follow(inbox, global.output, ops.clock));
    let stop = CancellationToken::new();
    let words = signals::AtOnce {
        stopping: "stopping after the calls under way",
    };
    let watcher = signals::stop_on_signals(stop.clone(), words)?;
    let result = prune::run(ops, &plan, &updates, &stop).await;
    drop(updates);
    let _ = follower.await;
    watcher.abort();
    let result = result?;
    // Where it was stopped, a reader of standard output may be gone with it.
    if global.output != Format::Table || result.stopped.is_none() {
        show::result(&mut out, &plan, &result)?;
    }
    for (id, problem) in &result.failed {
        output::note(&format!("{id}: {problem} - {}", problem.hint));
    }
    if let Some(stopped) = &result.stopped {
        output::note(&result.tally());
        output::problem(stopped, global.output);
    }
    Ok(match &result.stopped {
        Some(problem) if problem.kind == Kind::Cancelled => exit::INTERRUPTED,
        None if result.failed.is_empty() => exit::OK,
        _ => exit::FAILED,
    })
}

/// The policy by name or by its numbers, narrowed by what the command line says of instances.
fn policy(opened: &Opened, args: &PruneArgs) -> Result<Policy, Problem> {
    let selection = Selection {
        instance: args.instance.clone(),
        tag: args.tag.clone(),
        filter: args.filter.clone().unwrap_or_default(),
    };
    let mut policy = match &args.policy {
        Some(name) => named(opened, name)?,
        None => Policy {
            keep_last: args.keep_last.unwrap_or(0),
            keep_hourly: args.keep_hourly.unwrap_or(0),
            keep_daily: args.keep_daily.unwrap_or(0),
            keep_weekly: args.keep_weekly.unwrap_or(0),
            keep_monthly: args.keep_monthly.unwrap_or(0),
            keep_yearly: args.keep_yearly.unwrap_or(0),
            drop_unproven_after: args.drop_unproven_after,
            ..Policy::default()
        },
    };
    if !selection.is_all() {
        policy.narrowed.push(selection);
    }
    Ok(policy)
}

fn named(opened: &Opened, name: &str) -> Result<Policy, Problem> {
    opened.config.retention.get(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = opened.config.retention.keys().map(String::as_str).collect();
        let (cause, hint) = if known.is_empty() {
            (
                "the configuration has no policies".to_owned(),
                format!(
                    "write [retention.{name}] into it (assets/config.toml shows how), or use --keep-last, --keep-daily, …"
                ),
            )
        } else {
            (
                "the configuration has no policy of that name".to_owned(),
                format!(
                    "name one of {}, or use --keep-last, --keep-daily, …",
                    known.join(", ")
                ),
            )
        };
        Problem::new(
            Kind::Usage,
            format!("find the policy `{name}`"),
            cause,
            hint,
        )
    })
}

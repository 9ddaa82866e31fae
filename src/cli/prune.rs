//! `prune`: the plan, and carrying out exactly that plan.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::args::{Format, Global, PruneArgs};
use super::output::{self, Out, Table};
use super::session::Opened;
use super::{exit, note_refusal, printed, signals, typed};
use crate::domain::problem::{Kind, Problem};
use crate::domain::retention::{Policy, PrunePlan};
use crate::ops::prune;

pub(super) async fn run(opened: &Opened, global: &Global, args: &PruneArgs) -> Result<u8, Problem> {
    let ops = &opened.ops;
    let policy = policy(opened, args)?;
    let plan = prune::plan(ops, &policy).await?;
    let doomed = plan.doomed().len();
    let mut out = Out::new(global.output).acting(ops.session.who());
    if args.dry_run || global.output == Format::Table {
        show(&mut out, &plan)?;
    }
    if args.dry_run {
        note_refusal(ops, "prune");
        return Ok(exit::OK);
    }
    if doomed == 0 {
        if global.output != Format::Table {
            printed(out.json(&serde_json::json!({ "plan": plan, "deleted": [], "failed": [] })))?;
        }
        return Ok(exit::NOTHING);
    }
    if !args.yes {
        let word = format!("delete {doomed}");
        let question = format!(
            "{doomed} snapshots will be deleted, as shown above, in {}.",
            ops.session.who()
        );
        if !typed(&question, &word).await? {
            return Err(Problem::new(
                Kind::Cancelled,
                "prune",
                "it was not confirmed",
                "nothing was deleted",
            ));
        }
    }
    let (updates, mut inbox) = mpsc::channel(16);
    let drain = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let stop = CancellationToken::new();
    let words = signals::AtSafePoint {
        stopping: "stopping before the next set; the one that was begun is deleted whole",
        asking: "sets are being deleted; ctrl-c again within 2 s stops before the next one",
    };
    let watcher = signals::stop_on_signals(stop.clone(), words)?;
    let result = prune::run(ops, &plan, &updates, &stop).await;
    drop(updates);
    let _ = drain.await;
    watcher.abort();
    let result = result?;
    if global.output == Format::Table {
        printed(out.line(&format!(
            "deleted {} of {}",
            result.deleted.len(),
            result.total
        )))?;
    } else {
        let failed: Vec<_> = result
            .failed
            .iter()
            .map(|(id, problem)| serde_json::json!({ "snapshot": id, "error": problem }))
            .collect();
        printed(out.json(&serde_json::json!({
            "plan": plan, "deleted": result.deleted, "failed": failed, "stopped": result.stopped,
        })))?;
    }
    for (id, problem) in &result.failed {
        output::note(&format!("{id}: {problem} - {}", problem.mend));
    }
    if result.stopped.is_some() {
        output::note(&format!(
            "{} of {} snapshots are deleted, {} are left",
            result.deleted.len(),
            result.total,
            result.total.saturating_sub(result.deleted.len())
        ));
    }
    if let Some(stopped) = &result.stopped {
        output::problem(stopped, global.output);
    }
    Ok(match &result.stopped {
        Some(problem) if problem.kind == Kind::Cancelled => exit::INTERRUPTED,
        None if result.failed.is_empty() => exit::OK,
        _ => exit::FAILED,
    })
}

fn policy(opened: &Opened, args: &PruneArgs) -> Result<Policy, Problem> {
    let Some(name) = &args.policy else {
        return Ok(Policy {
            keep_last: args.keep_last.unwrap_or(0),
            keep_hourly: args.keep_hourly.unwrap_or(0),
            keep_daily: args.keep_daily.unwrap_or(0),
            keep_weekly: args.keep_weekly.unwrap_or(0),
            keep_monthly: args.keep_monthly.unwrap_or(0),
            keep_yearly: args.keep_yearly.unwrap_or(0),
        });
    };
    opened.config.retention.get(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = opened.config.retention.keys().map(String::as_str).collect();
        let (cause, mend) = if known.is_empty() {
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
            mend,
        )
    })
}

fn show(out: &mut Out, plan: &PrunePlan) -> Result<(), Problem> {
    if out.format() != Format::Table {
        return printed(out.json(plan));
    }
    let rows = plan
        .decisions
        .iter()
        .map(|d| {
            vec![
                d.fate.to_string(),
                d.started.format("%Y-%m-%d %H:%MZ").to_string(),
                d.instance
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), ToString::to_string),
                match &d.instance {
                    Some(id) if d.instance_name == id.as_str() => "-".to_owned(),
                    _ => d.instance_name.clone(),
                },
                d.level.map_or_else(|| "-".to_owned(), |l| l.to_string()),
                d.snapshots.len().to_string(),
                d.reasons.join("; "),
            ]
        })
        .collect();
    printed(out.table(&Table {
        head: vec![
            "FATE",
            "STARTED",
            "INSTANCE",
            "NAME",
            "LEVEL",
            "SNAPSHOTS",
            "BECAUSE",
        ],
        rows,
    }))?;
    let (keep, delete, blocked) = plan.counts();
    printed(out.line(&format!(
        "keep {keep}, delete {delete} ({} snapshots), blocked {blocked}",
        plan.doomed().len()
    )))
}

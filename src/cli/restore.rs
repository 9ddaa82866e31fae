//! `restore`: the plan with its equivalent AWS CLI lines, and carrying it out.

use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::args::{Format, Global, RestoreArgs, RestoreCommand};
use super::output::{self, Out};
use super::{exit, note_refusal, printed, signals, typed, unmatched};
use crate::domain::naming;
use crate::domain::problem::{Kind, Problem};
use crate::domain::restore::{RestorePlan, RestoreRequest, StepState};
use crate::domain::text::counted;
use crate::ops::job::targets;
use crate::ops::{Ops, restore};

pub(super) async fn run(
    ops: &Ops,
    global: &Global,
    command: RestoreCommand,
) -> Result<u8, Problem> {
    let (args, go, yes) = match command {
        RestoreCommand::Plan(args) => (args, false, false),
        RestoreCommand::Run { restore, yes } => (restore, true, yes),
    };
    // Before a plan there is, only what was named can be missing.
    let planned = async { restore::plan(ops, &request(ops, args).await?).await };
    let plan = match planned.await {
        Ok(plan) => plan,
        Err(problem) => return unmatched(problem, global),
    };
    let mut out = Out::new(global.output).acting(ops.session.who());
    if global.output == Format::Table {
        show(&mut out, &plan)?;
    } else if !go {
        printed(document(&mut out, global.output, &plan, &plan, &plan.items))?;
    }
    if !go {
        note_refusal(ops, "restore");
        return Ok(exit::OK);
    }
    if !yes {
        let question = format!(
            "{} will be attached to {} in {}.",
            counted(plan.items.len(), "new volume"),
            naming::full(Some(&plan.target_name), plan.target.as_str()),
            ops.session.who()
        );
        if !typed(&question, plan.target.as_str()).await? {
            return Err(Problem::new(
                Kind::Cancelled,
                "restore",
                "it was not confirmed",
                "nothing was done",
            ));
        }
    }
    let (updates, mut inbox) = mpsc::channel(16);
    let drain = tokio::spawn(async move {
        let mut last = Vec::new();
        while let Some(view) = inbox.recv().await {
            let view: crate::domain::restore::RestoreView = view;
            for (item, before) in view
                .items
                .iter()
                .zip(last.iter().map(Some).chain(std::iter::repeat(None)))
            {
                if before != Some(item) && !item.note.is_empty() {
                    output::note(&format!("{} {}: {}", item.snapshot, item.state, item.note));
                }
            }
            last = view.items;
        }
    });
    let stop = CancellationToken::new();
    let words = signals::AtSafePoint {
        stopping: "stopping before the next volume; the one that was begun is brought to its end",
        asking: "volumes are being restored; ctrl-c again within 2 s stops before the next one",
    };
    let watcher = signals::stop_on_signals(stop.clone(), words)?;
    let result = restore::run_until(ops, plan, &updates, &stop).await;
    drop(updates);
    let _ = drain.await;
    watcher.abort();
    let view = result?;
    if global.output != Format::Table {
        printed(document(
            &mut out,
            global.output,
            &view,
            &view.plan,
            &view.items,
        ))?;
    }
    let left = view.items.iter().filter(|i| i.state == StepState::Waiting);
    let left = left.count();
    if left > 0 && stop.is_cancelled() {
        output::note(&format!(
            "stopped: {} of {} restored, {left} not begun; nothing existing was touched. \
             Plan again with --snapshot for what is left.",
            view.items
                .iter()
                .filter(|i| i.state == StepState::Done)
                .count(),
            counted(view.items.len(), "volume")
        ));
        return Ok(exit::INTERRUPTED);
    }
    let failed = view.items.iter().any(|i| i.state != StepState::Done);
    Ok(if failed { exit::FAILED } else { exit::OK })
}

/// The whole as JSON; as JSON lines one for each volume, with what tells of which restore it is.
fn document<T: Serialize, I: Serialize>(
    out: &mut Out,
    format: Format,
    whole: &T,
    plan: &RestorePlan,
    items: &[I],
) -> std::io::Result<()> {
    if format != Format::Jsonl {
        return out.json(whole);
    }
    let head = json!({
        "restore": plan.id, "account": plan.scope.account, "region": plan.scope.region, "set": plan.set,
        "point_in_time": plan.point_in_time, "target": plan.target, "target_name": plan.target_name,
        "warnings": plan.warnings,
    });
    let rows: Result<Vec<_>, _> = items.iter().map(serde_json::to_value).collect();
    out.document(&head, "items", rows.map_err(std::io::Error::other)?)
}

async fn request(ops: &Ops, args: RestoreArgs) -> Result<RestoreRequest, Problem> {
    Ok(RestoreRequest {
        target: targets::id(ops, &args.instance).await?,
        set: args.set,
        only: args.snapshot,
        device: args.device,
        volume_type: args.volume_type,
        iops: args.iops,
        throughput: args.throughput,
        encrypted: args.encrypted,
        kms_key: args.kms_key,
        copy_tags: args.copy_tag,
        copy_all_tags: args.copy_all_tags,
        in_sets: args.in_sets,
        mount_under: args.mount_under,
    })
}

fn show(out: &mut Out, plan: &RestorePlan) -> Result<(), Problem> {
    printed(out.line(&format!(
        "Restore of {} to {}, beside the data; originals stay as they are.",
        plan.point_in_time.format("%Y-%m-%d %H:%M:%SZ"),
        naming::full(Some(&plan.target_name), plan.target.as_str())
    )))?;
    for warning in &plan.warnings {
        printed(out.line(&format!("Mind: {warning}")))?;
    }
    for note in &plan.notes {
        printed(out.line(&format!("Note: {note}")))?;
    }
    for (n, call) in plan.calls.iter().enumerate() {
        printed(out.line(&format!("{}. {}: {}", n + 1, call.operation, call.words)))?;
        printed(out.line(&format!("   {}", call.cli)))?;
    }
    Ok(())
}

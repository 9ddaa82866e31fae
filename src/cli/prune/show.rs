//! What `prune` prints: the plan, how it goes on, and what came of it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::args::Format;
use super::super::output::{self, Out, Table};
use super::super::printed;
use crate::domain::problem::Problem;
use crate::domain::prune::{PruneProgress, count};
use crate::domain::retention::{Decision, Fate, PrunePlan};
use crate::ops::clock::Clock;

/// Pause before the first line of progress, and between two later ones.
const FIRST: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(5);

/// The plan: a table with what it is of; one document, or a line for each decision.
pub(super) fn plan(out: &mut Out, plan: &PrunePlan) -> Result<(), Problem> {
    if out.format() != Format::Table {
        let rows = plan.decisions.iter().map(|d| json!(d)).collect();
        return printed(out.document(&head(plan), "decisions", rows));
    }
    printed(out.line(&format!(
        "prune plan of {}; {}",
        plan.title(),
        plan.policy.rules().join(", ")
    )))?;
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
        rows: plan.decisions.iter().map(row).collect(),
    }))?;
    let (keep, delete, blocked) = plan.counts();
    printed(out.line(&format!(
        "keep {keep}, delete {delete} ({}), blocked {blocked}",
        count(plan.doomed().len(), "snapshot")
    )))
}

/// The plan without its decisions.
fn head(plan: &PrunePlan) -> Value {
    let mut head = json!(plan);
    if let Value::Object(head) = &mut head {
        head.remove("decisions");
        head.insert("of".to_owned(), plan.policy.scope_words().into());
    }
    head
}

fn row(d: &Decision) -> Vec<String> {
    let because: Vec<&str> = d
        .reasons
        .iter()
        .chain(&d.notes)
        .map(String::as_str)
        .collect();
    let id = d.instance.as_ref().map_or("-", |id| id.as_str());
    vec![
        d.fate.to_string(),
        d.started.format("%Y-%m-%d %H:%MZ").to_string(),
        id.to_owned(),
        if d.instance_name == id {
            "-".to_owned()
        } else {
            d.instance_name.clone()
        },
        d.level.map_or_else(|| "-".to_owned(), |l| l.to_string()),
        d.snapshots.len().to_string(),
        because.join("; "),
    ]
}

/// What came of it: one line for people; one document; or a line for each set that was to be deleted, with what became
/// of each snapshot.
pub(super) fn result(
    out: &mut Out,
    plan: &PrunePlan,
    result: &PruneProgress,
) -> Result<(), Problem> {
    match out.format() {
        Format::Table => printed(out.line(&result.tally())),
        Format::Json => {
            let failed: Vec<_> = result
                .failed
                .iter()
                .map(|(id, problem)| json!({ "snapshot": id, "error": problem }))
                .collect();
            printed(out.json(&json!({
                "plan": plan, "deleted": result.deleted, "failed": failed, "stopped": result.stopped,
                "total": result.total, "left": result.left(),
            })))
        }
        Format::Jsonl => {
            let deleted: HashSet<_> = result.deleted.iter().collect();
            let failed: HashMap<_, _> = result.failed.iter().map(|(id, p)| (id, p)).collect();
            let rows = plan.decisions.iter().filter(|d| d.fate == Fate::Delete);
            let rows = rows.map(|d| {
                let mut row = json!(d);
                let outcomes = d.snapshots.iter().map(|s| {
                    let mut one = json!(s);
                    let (word, error) = match failed.get(&s.id) {
                        _ if deleted.contains(&s.id) => ("deleted", Value::Null),
                        Some(problem) => ("failed", json!(problem)),
                        None => ("left", Value::Null),
                    };
                    if let Value::Object(one) = &mut one {
                        one.insert("outcome".to_owned(), word.into());
                        one.insert("error".to_owned(), error);
                    }
                    one
                });
                if let Value::Object(row) = &mut row {
                    let outcomes: Vec<Value> = outcomes.collect();
                    row.insert("snapshots".to_owned(), outcomes.into());
                }
                row
            });
            printed(out.document(&head(plan), "decisions", rows.collect()))
        }
    }
}

/// Says on standard error how it goes on, at most every few seconds; in the table format only.
pub(super) async fn follow(mut inbox: mpsc::Receiver<PruneProgress>, format: Format, clock: Clock) {
    let mut said: Option<(Instant, Duration)> = None;
    while let Some(progress) = inbox.recv().await {
        if format != Format::Table || progress.finished {
            continue;
        }
        match &progress.speed {
            None if said.is_none() => output::note(&format!(
                "reading again before {} deleted; ctrl-c stops after the calls under way",
                if progress.total == 1 {
                    "1 snapshot is".to_owned()
                } else {
                    format!("{} snapshots are", progress.total)
                }
            )),
            Some(speed) if said.is_none_or(|(at, pause)| at.elapsed() >= pause) => {
                output::note(&format!(
                    "{}; {}",
                    progress.tally(),
                    speed.words(clock.now())
                ));
            }
            _ => continue,
        }
        let pause = said.map_or(FIRST, |_| EVERY);
        said = Some((Instant::now(), pause));
    }
}

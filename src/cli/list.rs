//! `list`: what is there, for people and for programs.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::args::{Global, Listing};
use super::output::{Out, Table, json_row, note};
use super::{exit, printed};
use crate::domain::filter::{Filter, Key, OfInstance};
use crate::domain::held::Held;
use crate::domain::ids::{InstanceId, JobId, Scope};
use crate::domain::instance::Instance;
use crate::domain::job::JobView;
use crate::domain::level::Level;
use crate::domain::problem::{Kind, Problem};
use crate::domain::set;
use crate::domain::snapshot::{self, Snapshot};
use crate::ops::admission::owner::{OwnerState, owner_state};
use crate::ops::{Ops, inventory};

/// Jobs of the journal that are listed, or looked through.
const HISTORY: u32 = 10_000;

pub(super) async fn run(
    ops: &Ops,
    global: &Global,
    what: Listing,
    filter: &str,
    mine: bool,
) -> Result<u8, Problem> {
    let filter = Filter::parse(filter, what.rows())?;
    if mine && !matches!(what, Listing::Sets | Listing::Snapshots) {
        return Err(Problem::new(
            Kind::Usage,
            "list what is mine",
            "--mine is for sets and snapshots: those that this machine's journal has",
            "leave it out; `list jobs` is always this machine's own",
        ));
    }
    let (rows, head, cells): (Vec<Value>, Vec<&'static str>, Vec<&'static str>) = match what {
        Listing::Instances => {
            let rows = inventory::instances(ops).await?;
            let jobs = ops.journal.jobs(Some(ops.scope()), HISTORY)?;
            let now = ops.clock.now();
            let proven = if filter.asks_for(Key::Level) {
                proven(ops).await?
            } else {
                HashMap::new()
            };
            let rows = rows
                .iter()
                .filter(|i| filter.matches_instance(i, proven.get(&i.id).copied()));
            (
                rows.map(|i| {
                    let there = jobs.iter().filter(|job| job.spec.instance == i.id);
                    let held = there.map(JobView::held).fold(Held::Nothing, Held::worse);
                    with_held(json_row(i, i.state.as_str()), held, now)
                })
                .collect(),
                vec![
                    "INSTANCE", "NAME", "STATE", "PLATFORM", "ZONE", "AGENT", "RECIPE", "FROZEN",
                ],
                vec![
                    "id",
                    "tags.Name",
                    "state",
                    "platform",
                    "zone",
                    "agent.status",
                    "tags.ConsistentSnapshot",
                    "held.short",
                ],
            )
        }
        Listing::Volumes => {
            let rows = ops.session.volumes().await?;
            let newest = if filter.asks_for(Key::Level) {
                snapshot::by_volume(&ops.session.snapshots().await?.0)
            } else {
                HashMap::new()
            };
            let there = instances(ops, filter.asks_for(Key::Instance)).await?;
            let rows = rows.iter().filter(|v| {
                let of = v.attachments.iter().map(|a| there.get(&a.instance));
                let names: Vec<&str> = of.filter_map(|i| OfInstance::of(i).name).collect();
                filter.matches_volume(v, &names, newest.get(&v.id))
            });
            (
                rows.map(|v| {
                    let mut value = json_row(v, v.state.as_str());
                    if let (Value::Object(map), true) = (&mut value, v.is_excluded()) {
                        map.insert("sets".to_owned(), "left out by tag".into());
                    }
                    value
                })
                .collect(),
                vec![
                    "VOLUME", "NAME", "STATE", "GIB", "TYPE", "ZONE", "INSTANCE", "DEVICE", "SETS",
                ],
                vec![
                    "id",
                    "tags.Name",
                    "state",
                    "size_gib",
                    "volume_type",
                    "zone",
                    "attachments.0.instance",
                    "attachments.0.device",
                    "sets",
                ],
            )
        }
        Listing::Snapshots => {
            let (rows, _) = ops.session.snapshots().await?;
            let taken = taken_here(ops, &rows, mine)?;
            let there = instances(ops, filter.asks_for(Key::Instance)).await?;
            let rows = rows.iter().filter(|s| {
                let ours = |job| taken.contains(&(s.scope.clone(), job));
                let of = s.instance().and_then(|id| there.get(&id));
                filter.matches_snapshot(s, OfInstance::of(of).name)
                    && (!mine || s.job().is_some_and(ours))
            });
            (
                rows.map(|s| {
                    let mut value = json_row(s, s.state.as_str());
                    if let Value::Object(map) = &mut value {
                        map.insert("level".to_owned(), serde_json::json!(s.verified_level()));
                    }
                    value
                })
                .collect(),
                vec![
                    "SNAPSHOT",
                    "STARTED",
                    "STATE",
                    "LEVEL",
                    "BY",
                    "VOLUME",
                    "GIB",
                    "DESCRIPTION",
                ],
                vec![
                    "id",
                    "started",
                    "state",
                    "level",
                    "origin.by",
                    "volume",
                    "volume_gib",
                    "description",
                ],
            )
        }
        Listing::Sets => {
            let (rows, _) = ops.session.snapshots().await?;
            let sets = super::sets::accounts(ops, &rows)?;
            let there = match instances(ops, true).await {
                // Names alone are not worth a refusal.
                Err(problem) if problem.kind == Kind::Denied && !filter.asks_for_instances() => {
                    HashMap::new()
                }
                there => there?,
            };
            let of = |account: &super::sets::Account| {
                let id = account.set.instance.as_ref();
                id.and_then(|id| there.get(id))
            };
            let sets = sets.iter().filter(|s| {
                let of = OfInstance::of(of(s));
                let of = OfInstance {
                    name: of.name.or(s.instance_name()),
                    ..of
                };
                filter.matches_set(&s.set, of) && (!mine || s.is_mine())
            });
            (
                sets.map(|account| {
                    let name = of(account).and_then(|i| i.tags.name());
                    let name = name.or(account.instance_name());
                    let mut value = account.json();
                    if let Value::Object(map) = &mut value {
                        map.insert("instance_name".to_owned(), name.into());
                    }
                    value
                })
                .collect(),
                vec![
                    "SET",
                    "STARTED",
                    "STATE",
                    "LEVEL",
                    "EVIDENCE",
                    "INSTANCE",
                    "NAME",
                    "RECIPE",
                    "FROZEN MS",
                    "SNAPSHOTS",
                ],
                vec![
                    "id",
                    "started",
                    "state",
                    "level",
                    "evidence.summary",
                    "instance",
                    "instance_name",
                    "recipe",
                    "frozen_ms",
                    "members",
                ],
            )
        }
        Listing::Jobs => {
            let rows = ops.journal.jobs(Some(ops.scope()), HISTORY)?;
            let now = ops.clock.now();
            // What nobody drives any more is said so: it is not under way, whatever its phase.
            let left: Vec<_> = ops
                .journal
                .open_jobs(ops.scope())?
                .into_iter()
                .filter(|(_, owner)| owner_state(owner) == OwnerState::Gone)
                .map(|(view, _)| view.spec.job)
                .collect();
            let there = instances(ops, filter.asks_for_tags()).await?;
            let rows = rows
                .iter()
                .map(|j| (j, j.listed_state(left.contains(&j.spec.job))))
                .filter(|(j, state)| {
                    filter.matches_job(j, state, OfInstance::of(there.get(&j.spec.instance)))
                });
            (
                rows.map(|(j, state)| {
                    let mut value = json_row(j, &state);
                    if let Value::Object(map) = &mut value {
                        map.insert("id".to_owned(), serde_json::json!(j.spec.job));
                        map.insert("started".to_owned(), serde_json::json!(j.started()));
                    }
                    with_held(value, j.held(), now)
                })
                .collect(),
                vec![
                    "JOB",
                    "STARTED",
                    "INSTANCE",
                    "NAME",
                    "RECIPE",
                    "MODE",
                    "STATE",
                    "FROZEN",
                    "VERDICT",
                    "WINDOW MS",
                ],
                vec![
                    "id",
                    "started",
                    "instance",
                    "instance_name",
                    "recipe",
                    "mode",
                    "state",
                    "held.short",
                    "verdict",
                    "freeze_window_ms",
                ],
            )
        }
        Listing::Prunes => {
            for record in crate::ops::prune::settle(ops)? {
                super::output::note(&crate::ops::prune::describe(&record));
            }
            let rows = ops.journal.prunes(ops.scope(), 10_000)?;
            let rows = rows
                .iter()
                .filter(|p| filter.matches_record(&p.id, p.state(), &[&p.of, &p.who]));
            (
                rows.map(|p| {
                    let mut value = json_row(p, p.state());
                    if let Value::Object(map) = &mut value {
                        map.insert("left".to_owned(), serde_json::json!(p.left()));
                    }
                    value
                })
                .collect(),
                vec![
                    "PRUNE", "BEGUN", "STATE", "TOTAL", "DELETED", "SKIPPED", "LEFT", "OF", "WHY",
                ],
                vec![
                    "id", "begun", "state", "total", "deleted", "skipped", "left", "of", "stopped",
                ],
            )
        }
        Listing::Restores => {
            let rows = ops.journal.restores(ops.scope(), 10_000)?;
            let rows = rows.iter().filter(|(_, r)| {
                let target = [
                    r.plan.target.as_str(),
                    &r.plan.target_name,
                    r.plan.set.as_str(),
                ];
                filter.matches_record(&r.plan.id, r.state(), &target)
            });
            (
                rows.map(|(started, r)| {
                    let mut value = json_row(&r.plan, r.state());
                    if let Value::Object(map) = &mut value {
                        map.insert("started".to_owned(), serde_json::json!(started));
                        map.insert("volumes".to_owned(), serde_json::json!(r.items));
                    }
                    value
                })
                .collect(),
                vec![
                    "RESTORE", "STARTED", "STATE", "SET", "INSTANCE", "NAME", "VOLUMES",
                ],
                vec![
                    "id",
                    "started",
                    "state",
                    "set",
                    "target",
                    "target_name",
                    "volumes",
                ],
            )
        }
    };
    let empty = rows.is_empty();
    printed(Out::new(global.output).rows(&rows, |rows| {
        Table {
            head,
            rows: rows
                .iter()
                .map(|row| cells.iter().map(|path| cell(row, path)).collect())
                .collect(),
        }
    }))?;
    if empty && what != Listing::Jobs {
        ops.session.elsewhere().iter().for_each(|why| note(why));
    }
    Ok(if empty { exit::NOTHING } else { exit::OK })
}

/// The same with what is held there: `is`, `since`, and for people `short` and `words`.
fn with_held(mut row: Value, held: Held, now: DateTime<Utc>) -> Value {
    let mut told = serde_json::json!(held);
    if let Value::Object(map) = &mut told {
        map.insert("short".to_owned(), held.short(now).into());
        map.insert("words".to_owned(), held.words(now).into());
    }
    if let Value::Object(map) = &mut row {
        map.insert("held".to_owned(), told);
    }
    row
}

/// The instances by their ids; looked up only when they are asked for.
async fn instances(ops: &Ops, asked: bool) -> Result<HashMap<InstanceId, Instance>, Problem> {
    if !asked {
        return Ok(HashMap::new());
    }
    let rows = ops.session.instances().await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// The level of each instance's newest proven set.
async fn proven(ops: &Ops) -> Result<HashMap<InstanceId, Level>, Problem> {
    let (rows, _) = ops.session.snapshots().await?;
    let accounts = super::sets::accounts(ops, &rows)?;
    let newest = set::last_proven(accounts.iter().map(|account| &account.set));
    let level = |(id, place): (InstanceId, usize)| Some((id, accounts.get(place)?.set.level));
    Ok(newest.into_iter().filter_map(level).collect())
}

/// The jobs of these snapshots that this machine's journal has; looked up only when they are asked for.
fn taken_here(
    ops: &Ops,
    snapshots: &[Snapshot],
    asked: bool,
) -> Result<HashSet<(Scope, JobId)>, Problem> {
    let mut seen = HashSet::new();
    let mut ours = HashSet::new();
    for snapshot in snapshots.iter().filter(|_| asked) {
        let own = snapshot.copied_from().is_none();
        let Some(job) = snapshot.job().filter(|_| own) else {
            continue;
        };
        let key = (snapshot.scope.clone(), job);
        if seen.insert(key.clone()) && ops.journal.job(&key.0, &key.1)?.is_some() {
            ours.insert(key);
        }
    }
    Ok(ours)
}

/// A value by its dotted path, as a person reads it; `-` where there is none.
fn cell(row: &Value, path: &str) -> String {
    let mut at = row;
    for key in path.split('.') {
        let next = match key.parse::<usize>() {
            Ok(n) => at.get(n),
            Err(_) => at.get(key),
        };
        match next {
            Some(value) => at = value,
            None => return "-".to_owned(),
        }
    }
    match at {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => moment(text).unwrap_or_else(|| text.clone()),
        Value::Array(list) => list.len().to_string(),
        other => other.to_string(),
    }
}

/// A time as a person reads it, if the text is one.
fn moment(text: &str) -> Option<String> {
    // Cheap first: ids and names are not worth a parse.
    if !text.ends_with('Z') || !text.contains('T') {
        return None;
    }
    let at = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(at.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

//! `snapshot`: a run without a screen, for cron and for people in a hurry.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::args::{Format, Global, SnapshotArgs};
use super::output::{self, Out, Table};
use super::progress::{Progress, TICK};
use super::resumed_jobs::unconfirmed_thaw;
use super::session::Opened;
use super::{exit, jobs, note_refusal, printed, signals};
use crate::domain::credentials::Who;
use crate::domain::ids::{InstanceId, RunId, VolumeId};
use crate::domain::instance::Instance;
use crate::domain::job::{JobSpec, JobView, Phase};
use crate::domain::mode::{self, AskedMode};
use crate::domain::problem::{Kind, Problem};
use crate::domain::proof::{self, Lowered};
use crate::domain::run::Limits;
use crate::domain::set_plan::{self, SetOptions, SetPlan};
use crate::domain::text::visible;
use crate::domain::volume::Volume;
use crate::ops::admission::preflight;
use crate::ops::admission::preflight::Foreseen;
use crate::ops::job::run::{RunOptions, admit, new_id, run_all};
use crate::ops::job::targets::{self, Named};
use crate::ops::{Ops, inventory};

/// An instance that gets no job, and why.
struct Refused {
    /// `None` where nobody has the name that was given.
    instance: Option<InstanceId>,
    name: String,
    problem: Problem,
}

impl Refused {
    fn unknown((named, problem): (Named, Problem)) -> Self {
        let (instance, name) = match named {
            Named::Id(id) => (Some(id), String::new()),
            Named::Name(name) => (None, visible(&name).into_owned()),
        };
        Self {
            instance,
            name,
            problem,
        }
    }
}

pub(super) async fn run(
    opened: &Opened,
    global: &Global,
    args: &SnapshotArgs,
) -> Result<u8, Problem> {
    let ops = &opened.ops;
    let mode = args.mode.unwrap_or(opened.config.snapshot.mode);
    if args.freeze_root && mode == AskedMode::Coordinated {
        return Err(Problem::new(
            Kind::Usage,
            "freeze / too",
            "in coordinated mode / carries the agent that must thaw it",
            "add --mode autonomous, or leave --freeze-root out",
        ));
    }
    said_once("--set-tag", &args.set_tag)?;
    said_once("--parameter", &args.parameter)?;
    let mut parameters: BTreeMap<String, String> = args.parameter.iter().cloned().collect();
    if args.stop {
        parameters.insert("stop".to_owned(), "yes".to_owned());
    }
    let options = RunOptions {
        run: RunId::from_api(new_id()),
        recipe: args.recipe.clone(),
        document: args.document.clone(),
        mode,
        budget_s: args.max_freeze,
        on_failure: args.on_failure.unwrap_or(opened.config.snapshot.on_failure),
        mounts: args.mount.clone(),
        freeze_root: args.freeze_root,
        parameters,
        set: SetOptions {
            exclude_root: args.exclude_root,
            exclude: args.exclude_volume.clone(),
            tags: args.set_tag.iter().cloned().collect(),
            keep_tags: Vec::new(),
        },
        limits: Limits {
            at_once: args.at_once.unwrap_or(opened.config.run.at_once),
            retries: args.retries.unwrap_or(opened.config.run.retries),
            ..opened.config.run.clone()
        },
    };
    flags_fit(ops, &options).map_err(|problem| of_stop(problem, args))?;
    let mut unconfirmed = false;
    if !args.dry_run {
        ops.session.may_write("take snapshots", ops.scope())?;
        // What an earlier process left open comes first; it may still be frozen.
        unconfirmed = jobs::resume_abandoned(ops)
            .await?
            .iter()
            .any(|v| v.thaw_unconfirmed);
    }
    let all = inventory::instances(ops).await?;
    let chosen = targets::choose(&all, &args.instance, &args.tag, ops.scope())?;
    attached_somewhere(&chosen.instances, &args.exclude_volume)?;
    let mut refused: Vec<Refused> = chosen.unknown.into_iter().map(Refused::unknown).collect();
    let unknown = refused.len();
    let mut specs = Vec::new();
    for instance in &chosen.instances {
        match admit(ops, instance, &options) {
            Ok(spec) => specs.push(spec),
            Err(problem) => refused.push(Refused {
                instance: Some(instance.id.clone()),
                name: instance.name().to_owned(),
                problem: of_stop(problem, args),
            }),
        }
    }
    // Ids that name nothing are no failure of what matched; alone they matched nothing.
    let nothing = specs.is_empty() && refused.len() == unknown;
    if let Some(told) = &chosen.told {
        output::note(told);
    }
    let recipe = args
        .recipe
        .as_deref()
        .and_then(|name| ops.recipes.find(name));
    for instance in &chosen.instances {
        let tag = instance.recipe_tag();
        let told = recipe.and_then(|recipe| ops.recipes.given_up(tag?, recipe));
        if let Some(told) = told {
            let name = visible(instance.name());
            output::note(&format!("{} {name}: {}", instance.id, visible(&told)));
        }
    }
    if args.dry_run {
        let plans = set_plans(ops, &chosen.instances, &specs).await?;
        let specs = (specs, &chosen.instances[..]);
        let code = dry_run(opened, global, &options, specs, plans, refused).await?;
        return Ok(if nothing { exit::NOTHING } else { code });
    }
    let views = drive(opened, global, specs, &options.limits).await?;
    let mut code = exit::of_run(&views);
    if !nothing && !refused.is_empty() && matches!(code, exit::OK | exit::NOTHING | exit::CRASH) {
        code = exit::FAILED;
    }
    if unconfirmed {
        code = exit::THAW_UNCONFIRMED;
    }
    report(global, &options, &ops.session.who(), &views, &refused)?;
    Ok(code)
}

/// Of two values of one key nobody knows which is meant.
fn said_once(flag: &str, pairs: &[(String, String)]) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    match pairs.iter().find(|(key, _)| !seen.insert(key)) {
        None => Ok(()),
        Some((key, _)) => Err(Problem::new(
            Kind::Usage,
            format!("read {flag}"),
            format!("`{}` is given twice", visible(key)),
            "give it once",
        )),
    }
}

/// What the flags say of every instance is wrong before any instance is looked at: that is usage, not a job
/// that failed.
fn flags_fit(ops: &Ops, options: &RunOptions) -> Result<(), Problem> {
    let chosen = match (&options.document, &options.recipe) {
        (Some(document), _) => ops.recipes.document(document)?,
        (None, Some(recipe)) => {
            // The words for a tag, said of the flag.
            match ops
                .recipes
                .lookup(recipe, &InstanceId::from_api("--recipe"))
            {
                Ok(chosen) => chosen.clone(),
                Err(problem) => {
                    return Err(Problem {
                        kind: Kind::Usage,
                        what: format!("choose the recipe {}", visible(recipe)),
                        cause: problem.cause.replace("ConsistentSnapshot=", "--recipe "),
                        hint: problem.hint.replace("correct the tag, or choose", "choose"),
                        ..problem
                    });
                }
            }
        }
        (None, None) => return Ok(()),
    };
    let able = mode::Able {
        document: &visible(&chosen.document),
        third_party: chosen.third_party,
    };
    mode::before(options.mode, options.freeze_root, able)
        .map_err(|no| Problem::new(Kind::Usage, "choose a mode", no.cause, no.hint))?;
    chosen.with(&options.parameters).map(drop)
}

/// What was asked for by `--stop` is refused by that name.
fn of_stop(problem: Problem, args: &SnapshotArgs) -> Problem {
    let Some(document) = problem.cause.strip_suffix(" declares no parameter `stop`") else {
        return problem;
    };
    if !args.stop {
        return problem;
    }
    Problem {
        cause: format!("--stop was given, and {document} cannot stop what it quiesces"),
        hint: "leave --stop out; docs/recipes.md says which recipes take it (the parameter `stop`)"
            .to_owned(),
        ..problem
    }
}

async fn drive(
    opened: &Opened,
    global: &Global,
    specs: Vec<JobSpec>,
    limits: &Limits,
) -> Result<Vec<Result<JobView, Problem>>, Problem> {
    let cancel = CancellationToken::new();
    let frozen = Arc::new(AtomicBool::new(false));
    let watcher = signals::stop_on_signals(cancel.clone(), signals::OfJobs(Arc::clone(&frozen)))?;
    let (updates, mut inbox) = mpsc::channel::<JobView>(64);
    let live = global.output == Format::Table;
    printed(
        Out::new(global.output)
            .acting(opened.ops.session.who())
            .heading(),
    )?;
    let mut progress = Progress::of(specs.len());
    let clock = opened.ops.clock;
    let drain = tokio::spawn(async move {
        let mut holding = HashSet::new();
        let mut planned = HashSet::new();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            let view = tokio::select! {
                view = inbox.recv() => view,
                _ = ticks.tick() => {
                    for line in progress.still(clock.now()).iter().filter(|_| live) {
                        output::note(line);
                    }
                    continue;
                }
            };
            let Some(view) = view else {
                break;
            };
            // Some views are left out: what is on its way to a freeze counts as frozen.
            let may = (Phase::Preflight..=Phase::Thawing).contains(&view.phase);
            if may || view.thaw_unconfirmed {
                holding.insert(view.spec.job.clone());
            } else {
                holding.remove(&view.spec.job);
            }
            frozen.store(!holding.is_empty(), Ordering::Relaxed);
            if let Some(plan) = view.set_plan.as_ref().filter(|_| live)
                && planned.insert(view.spec.instance.clone())
            {
                for note in plan.notes().iter().chain(&view.preflight_notes) {
                    let JobSpec {
                        instance,
                        instance_name,
                        ..
                    } = &view.spec;
                    output::note(&format!("{instance} {instance_name}: {note}"));
                }
            }
            if let Some(line) = progress.line(&view, clock.now()).filter(|_| live) {
                output::note(&line);
            }
        }
    });
    let views = run_all(&opened.ops, specs, limits, updates, |_| {
        cancel.child_token()
    })
    .await;
    let _ = drain.await;
    watcher.abort();
    Ok(views)
}

async fn dry_run(
    opened: &Opened,
    global: &Global,
    options: &RunOptions,
    (specs, instances): (Vec<JobSpec>, &[Instance]),
    plans: Vec<Result<SetPlan, Problem>>,
    refused: Vec<Refused>,
) -> Result<u8, Problem> {
    let looks = foreseen(&opened.ops, &specs, instances, &plans).await;
    let wrong = |look: &Foreseen| look.refused.is_some() || look.warning.is_some();
    let wrong = looks.iter().any(wrong) || plans.iter().any(Result::is_err);
    let mut notes = Vec::new();
    let mut rows: Vec<Value> = specs
        .iter()
        .zip(looks)
        .zip(plans)
        .map(|((s, look), plan)| {
            let (plan, unfit) = match plan {
                Ok(plan) => (Some(plan), None),
                Err(problem) => (None, Some(problem)),
            };
            let Foreseen { connected, refused, warning } = look;
            let refused = refused.or(unfit);
            let would = match (&refused, &warning) {
                (Some(_), _) => "refuse",
                (None, Some(_)) => "uncertain",
                (None, None) => "snapshot",
            };
            let error = refused.or(warning);
            let words = plan.iter().flat_map(SetPlan::notes);
            notes.extend(words.map(|note| format!("{} {}: {note}", s.instance, s.instance_name)));
            json!({
                "instance": s.instance, "name": s.instance_name, "recipe": s.recipe, "document": s.document,
                "mode": s.mode_word(), "asked_mode": s.asked_mode, "mode_reason": s.mode_reason, "freeze_root": s.freeze_root, "parameters": s.parameters, "budget_s": s.budget_s, "agent_connected": connected, "would": would, "error": error,
                "set": plan,
            })
        })
        .collect();
    rows.extend(refused.iter().map(|r| {
        json!({ "instance": r.instance, "name": r.name, "recipe": null, "would": "refuse", "error": r.problem })
    }));
    let mut out = Out::new(global.output).acting(opened.ops.session.who());
    let as_a_whole = note_refusal(&opened.ops, "take snapshots");
    if global.output == Format::Table {
        printed(
            out.table(&Table {
                head: vec!["INSTANCE", "NAME", "WOULD", "RECIPE", "MODE", "WHY NOT"],
                rows: rows
                    .iter()
                    .map(|r| {
                        let text = |key: &str| r[key].as_str().unwrap_or("-").to_owned();
                        let why = match &r["error"] {
                            Value::Null => "-".to_owned(),
                            e => format!(
                                "{}; {}",
                                e["cause"].as_str().unwrap_or_default(),
                                e["hint"].as_str().unwrap_or_default()
                            ),
                        };
                        vec![
                            text("instance"),
                            output::or_dash(&text("name")),
                            text("would"),
                            text("recipe"),
                            text("mode"),
                            why,
                        ]
                    })
                    .collect(),
            }),
        )?;
        for note in &notes {
            printed(out.line(note))?;
        }
        printed(out.line("The instance's own checks (mounts, database, its role) are made by the job's preflight; nothing was sent."))?;
    } else {
        let scope = opened.ops.scope();
        let who = opened.ops.session.who();
        let head = json!({
            "run": options.run, "account": scope.account, "region": scope.region,
            "arn": who.arn, "credentials": who.source.to_string(), "dry_run": true, "refused": as_a_whole,
        });
        printed(out.document(&head, "jobs", rows.clone()))?;
    }
    Ok(if rows.is_empty() {
        exit::NOTHING
    } else if refused.is_empty() && !wrong {
        exit::OK
    } else {
        exit::FAILED
    })
}

/// What the jobs' preflight would say before it sends the instances anything: of each one's document, and of EC2.
async fn foreseen(
    ops: &Ops,
    specs: &[JobSpec],
    instances: &[Instance],
    plans: &[Result<SetPlan, Problem>],
) -> Vec<Foreseen> {
    let documents = look_at_documents(ops, specs).await;
    let looks = specs.iter().zip(documents).zip(plans);
    let looks = looks.map(|((spec, document), plan)| async move {
        let instance = instances.iter().find(|i| i.id == spec.instance);
        match (document, instance, plan) {
            (Ok(dry_run), Some(instance), Ok(plan)) => {
                preflight::foresee(ops, spec, instance, plan, dry_run).await
            }
            (document, ..) => Foreseen {
                refused: document.err(),
                ..Foreseen::default()
            },
        }
    });
    futures::future::join_all(looks).await
}

/// The plan of each job's set, by the volumes as they are now, read once for all.
async fn set_plans(
    ops: &Ops,
    chosen: &[Instance],
    specs: &[JobSpec],
) -> Result<Vec<Result<SetPlan, Problem>>, Problem> {
    let volumes = match ops.session.volumes().await {
        Ok(volumes) => volumes,
        Err(problem) if problem.kind == Kind::Denied => Vec::new(),
        Err(problem) => return Err(problem),
    };
    let volumes: HashMap<VolumeId, Volume> =
        volumes.into_iter().map(|v| (v.id.clone(), v)).collect();
    Ok(specs
        .iter()
        .filter_map(|spec| Some((spec, chosen.iter().find(|i| i.id == spec.instance)?)))
        .map(|(spec, instance)| preflight::set_plan_of(instance, &volumes, &spec.set_options))
        .collect())
}

/// A volume that is to be left out is one of some instance that was chosen, or it is a slip of the pen.
fn attached_somewhere(chosen: &[Instance], left_out: &[VolumeId]) -> Result<(), Problem> {
    let all: Vec<&Instance> = chosen.iter().collect();
    match set_plan::stray(&all, left_out) {
        Some(stray) if !chosen.is_empty() => Err(Problem::new(
            Kind::Usage,
            format!("leave {stray} out"),
            "it is attached to none of the chosen instances",
            "correct --exclude-volume; `freezeframe list volumes` shows what is attached where",
        )),
        _ => Ok(()),
    }
}

/// What the jobs' preflight would say of each one's document, and whether it has a dry run; every document is asked for
/// once.
async fn look_at_documents(ops: &Ops, specs: &[JobSpec]) -> Vec<Result<bool, Problem>> {
    let mut seen: Vec<(&JobSpec, Result<bool, Problem>)> = Vec::new();
    let mut found = Vec::new();
    for spec in specs {
        let alike = |other: &JobSpec| {
            (&other.document, other.third_party, &other.parameters)
                == (&spec.document, spec.third_party, &spec.parameters)
        };
        let known = seen.iter().find(|(other, _)| alike(other));
        let said = match known {
            Some((_, said)) => said.clone(),
            None => {
                let said = preflight::document(ops, spec).await;
                seen.push((spec, said.clone()));
                said
            }
        };
        found.push(said);
    }
    found
}

/// Why a set is worth less than was asked for, and what to do.
fn lowered_words(view: &JobView, lowered: &Lowered) -> String {
    let Lowered {
        asked,
        got,
        why,
        hint,
    } = lowered;
    let JobSpec {
        instance,
        instance_name,
        ..
    } = &view.spec;
    let mut words = format!(
        "{instance} {instance_name}: {got}, not {asked}: {}",
        visible(why)
    );
    if let Some(hint) = hint {
        words.push_str(&format!("\n  next: {hint}"));
    }
    words
}

fn report(
    global: &Global,
    options: &RunOptions,
    who: &Who,
    views: &[Result<JobView, Problem>],
    refused: &[Refused],
) -> Result<(), Problem> {
    let mut out = Out::new(global.output);
    if global.output == Format::Table {
        printed(out.table(&table(views, refused)))?;
    } else {
        let mut jobs: Vec<Value> = views
            .iter()
            .map(|view| match view {
                Ok(view) => json!(view),
                Err(problem) => json!({ "job": null, "verdict": "failed", "error": problem }),
            })
            .collect();
        jobs.extend(refused.iter().map(|r| {
            json!({
                "job": null, "instance": r.instance, "instance_name": r.name, "verdict": "skipped", "set": [], "error": r.problem,
            })
        }));
        let head = json!({
            "run": options.run, "account": who.scope.account, "region": who.scope.region,
            "arn": who.arn, "credentials": who.source.to_string(),
        });
        printed(out.document(&head, "jobs", jobs))?;
    }
    // In words whatever the format: standard output has all of it as JSON, and this is for whoever reads cron's mail.
    for view in views {
        if let Ok(view) = view
            && let Some(lowered) = proof::lowered(view)
        {
            output::note(&lowered_words(view, &lowered));
        }
        let problem = match view {
            Ok(view) => view.error.as_ref(),
            Err(problem) => Some(problem),
        };
        if let Some(problem) = problem {
            output::problem(problem, Format::Table);
        }
        if let Ok(view) = view
            && view.thaw_unconfirmed
        {
            output::note(&unconfirmed_thaw(view));
        }
    }
    for Refused { problem, .. } in refused {
        output::problem(problem, Format::Table);
    }
    Ok(())
}

fn table(views: &[Result<JobView, Problem>], refused: &[Refused]) -> Table {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for view in views.iter().flatten() {
        rows.push(vec![
            view.spec.instance.to_string(),
            output::or_dash(&view.spec.instance_name),
            view.spec.recipe.clone(),
            match view.verdict {
                _ if view.thaw_unconfirmed => "THAW UNCONFIRMED".to_owned(),
                Some(verdict) => verdict.to_string(),
                None => "-".to_owned(),
            },
            view.freeze_window_ms
                .map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
            view.set.len().to_string(),
            view.spec.job.to_string(),
        ]);
    }
    for Refused { instance, name, .. } in refused {
        rows.push(vec![
            instance
                .as_ref()
                .map_or_else(|| "-".to_owned(), ToString::to_string),
            output::or_dash(name),
            "-".into(),
            "skipped".into(),
            "-".into(),
            "0".into(),
            "-".into(),
        ]);
    }
    Table {
        head: vec![
            "INSTANCE",
            "NAME",
            "RECIPE",
            "VERDICT",
            "FROZEN",
            "SNAPSHOTS",
            "JOB",
        ],
        rows,
    }
}

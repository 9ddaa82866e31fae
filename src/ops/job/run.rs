//! A run: the jobs started together.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::domain::ids::{JobId, RunId};
use crate::domain::instance::Instance;
use crate::domain::job::{JobSpec, JobView, Mode, OnFailure};
use crate::domain::machine::Job;
use crate::domain::mode::{self, AskedMode, NoMode};
use crate::domain::problem::{Kind, Problem};
use crate::domain::run::{Limits, Next};
use crate::domain::set_plan::SetOptions;
use crate::ops::Ops;
use crate::ops::admission::groups::{Pass, Turnstile};
use crate::ops::job::driver;
use crate::recipe::chosen::Chosen;
use crate::recipe::eligibility;

/// How long a job waits for somebody to hear why it waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a run was asked for, beside its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// The run's id.
    pub run: RunId,
    /// Recipe for every instance; `None` takes each instance's tag.
    pub recipe: Option<String>,
    /// Document for every instance instead of a recipe: Data Lifecycle Manager's contract, whoever wrote it.
    pub document: Option<String>,
    /// Who is to call `CreateSnapshots`.
    pub mode: AskedMode,
    /// Failsafe budget in seconds, 1 to 999; `None` takes the recipe's.
    pub budget_s: Option<u32>,
    /// What to do when quiescing fails.
    pub on_failure: OnFailure,
    /// Mounts to freeze; empty means every one that qualifies.
    pub mounts: Vec<String>,
    /// Freeze `/` too; autonomous mode only.
    pub freeze_root: bool,
    /// Parameters of the document that win over the recipe's.
    pub parameters: BTreeMap<String, String>,
    /// Which volumes to leave out, and tags to add beside the configuration's.
    pub set: SetOptions,
    /// How much at once, how often again, and which tag names groups.
    pub limits: Limits,
}

/// A new id of the kind that jobs, runs and restores have.
pub fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The id of the attempt after this one. It follows from this one's, so that what a seed began can be
/// replayed, and is as unlike any other as this one's is; an id that is no UUID is followed by a new one.
fn following(job: &JobId) -> JobId {
    /// Odd, so that multiplying by it loses nothing; the digits of the golden ratio.
    const STRIDE: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    match uuid::Uuid::try_parse(job.as_str()) {
        Ok(id) => {
            let bytes = id.as_u128().wrapping_mul(STRIDE).to_be_bytes();
            JobId::from_api(
                uuid::Builder::from_random_bytes(bytes)
                    .into_uuid()
                    .to_string(),
            )
        }
        Err(_) => JobId::from_api(new_id()),
    }
}

/// The job of one instance, or why it cannot be snapshotted: the same for the console and the command line.
///
/// # Errors
/// As [`eligibility::fit`] and [`spec_for`].
pub fn admit(ops: &Ops, instance: &Instance, options: &RunOptions) -> Result<JobSpec, Problem> {
    eligibility::fit(instance)?;
    spec_for(ops, instance, options)
}

/// What is asked of one instance, whatever its state and its agent are.
///
/// # Errors
/// As [`eligibility::recipe_of`]; options that do not fit together.
pub fn spec_for(ops: &Ops, instance: &Instance, options: &RunOptions) -> Result<JobSpec, Problem> {
    let recipe = recipe_of(ops, instance, options)?.with(&options.parameters)?;
    let able = mode::Able {
        document: &recipe.document,
        third_party: recipe.third_party,
    };
    let chosen = mode::before(options.mode, options.freeze_root, able);
    let chosen = chosen.map_err(|NoMode { cause, hint }| {
        let what = format!("choose a mode for {} ({})", instance.name(), instance.id);
        Problem::new(Kind::Usage, what, cause, hint)
    })?;
    let set_options = ops.tagging.options(&options.set);
    if options.freeze_root && set_options.exclude_root {
        return Err(Problem::new(
            Kind::Usage,
            format!("plan the set of {} ({})", instance.name(), instance.id),
            "/ is to be frozen, and its volume is to be left out of the set",
            "leave --exclude-root or --freeze-root out",
        ));
    }
    let tags = set_options.tags.0.len();
    if tags > SetOptions::MOST_TAGS {
        return Err(Problem::new(
            Kind::Usage,
            format!("plan the set of {} ({})", instance.name(), instance.id),
            format!(
                "{tags} tags are to be added, and a snapshot has room for {} beside freezeframe's own",
                SetOptions::MOST_TAGS
            ),
            "add fewer with --set-tag and [snapshot.tags] of the configuration",
        ));
    }
    Ok(JobSpec {
        job: JobId::from_api(new_id()),
        run: options.run.clone(),
        scope: ops.scope().clone(),
        instance: instance.id.clone(),
        instance_name: crate::domain::text::visible(instance.name()).into_owned(),
        recipe: recipe.name,
        document: recipe.document,
        mode: chosen.as_ref().map_or(Mode::Coordinated, |c| c.mode),
        asked_mode: Some(options.mode),
        mode_reason: chosen.map(|c| c.reason),
        budget_s: options.budget_s.unwrap_or(recipe.budget_s).clamp(1, 999),
        on_failure: options.on_failure,
        mounts: options.mounts.clone(),
        namespace: ops.namespace.to_string(),
        freeze_root: options.freeze_root,
        parameters: recipe.parameters,
        group: instance
            .tags
            .get(&options.limits.group_tag)
            .filter(|group| !group.trim().is_empty())
            .map(str::to_owned),
        third_party: recipe.third_party,
        set_options,
    })
}

/// The recipe for an instance: the document or recipe that was named, else its tag's.
fn recipe_of(ops: &Ops, instance: &Instance, options: &RunOptions) -> Result<Chosen, Problem> {
    if let Some(document) = &options.document {
        return ops.recipes.document(document);
    }
    eligibility::recipe_of(instance, options.recipe.as_deref(), &ops.recipes).cloned()
}

/// Runs jobs to their end within the limits, each in a task of its own, and returns the last view of each
/// in the order given; where a job was tried again, that of its last attempt. `one` gives the token of a
/// single job, so that it can be stopped alone: a stopped job is thawed, and not tried again.
pub async fn run_all(
    ops: &Ops,
    specs: Vec<JobSpec>,
    limits: &Limits,
    updates: mpsc::Sender<JobView>,
    one: impl Fn(&JobId) -> CancellationToken,
) -> Vec<Result<JobView, Problem>> {
    let turnstile = Turnstile::new(limits.clone());
    let mut results: Vec<Option<Result<JobView, Problem>>> = specs.iter().map(|_| None).collect();
    let mut tasks = JoinSet::new();
    let mut chains: HashMap<Id, (Chain, CancellationToken)> = HashMap::new();
    let mut due: Vec<Chain> = specs
        .into_iter()
        .enumerate()
        .map(|(index, spec)| Chain {
            index,
            attempt: 1,
            wanted: spec.on_failure,
            pause: Duration::ZERO,
            spec,
        })
        .collect();
    loop {
        for chain in due.drain(..) {
            let cancel = one(&chain.spec.job);
            let attempt = Attempt {
                ops: ops.clone(),
                turnstile: turnstile.clone(),
                updates: updates.clone(),
                cancel: cancel.clone(),
                of: limits.retries + 1,
            };
            let task = tasks.spawn(attempt.run(chain.clone(), limits.clone()));
            chains.insert(task.id(), (chain, cancel));
        }
        let Some(ended) = tasks.join_next_with_id().await else {
            break;
        };
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(defect(&error))),
        };
        let Some((chain, cancel)) = chains.remove(&id) else {
            continue;
        };
        let next = match &result {
            Ok(view) if !cancel.is_cancelled() => limits.next(view, chain.attempt, chain.wanted),
            _ => Next::Over,
        };
        match chain.again(next, limits) {
            Some(again) => due.push(again),
            None => {
                if let Some(place) = results.get_mut(chain.index) {
                    *place = Some(result);
                }
            }
        }
    }
    results.into_iter().flatten().collect()
}

/// The attempts at one instance.
#[derive(Debug, Clone)]
struct Chain {
    /// Place in the answer.
    index: usize,
    /// From 1.
    attempt: u32,
    /// What the run was asked to do on failure; the last attempt does it.
    wanted: OnFailure,
    /// Before the attempt.
    pause: Duration,
    spec: JobSpec,
}

impl Chain {
    /// The next attempt: a job of its own in the same run.
    fn again(&self, next: Next, limits: &Limits) -> Option<Self> {
        let (attempt, pause) = match next {
            Next::Over => return None,
            Next::Again { after } => (self.attempt + 1, after),
            Next::Last => (limits.retries + 1, Duration::ZERO),
        };
        let mut spec = self.spec.clone();
        spec.job = following(&spec.job);
        Some(Self {
            attempt,
            pause,
            spec,
            ..self.clone()
        })
    }
}

/// One attempt and what it needs.
struct Attempt {
    ops: Ops,
    turnstile: Turnstile,
    updates: mpsc::Sender<JobView>,
    cancel: CancellationToken,
    /// How many attempts there may be.
    of: u32,
}

impl Attempt {
    async fn run(self, chain: Chain, limits: Limits) -> Result<JobView, Problem> {
        let mut spec = chain.spec;
        spec.on_failure = limits.on_failure(chain.attempt, chain.wanted);
        let waited = async {
            if !chain.pause.is_zero() {
                let seconds = chain.pause.as_secs();
                let words = format!("attempt {} of {} in {seconds} s", chain.attempt, self.of);
                self.tell(&spec, words).await;
                tokio::time::sleep(chain.pause).await;
            }
            let mut place = self.turnstile.queue(&spec);
            loop {
                tokio::select! {
                    biased;
                    pass = &mut place.pass => return pass.unwrap_or_default(),
                    Ok(()) = place.why.changed() => {
                        let words = place.why.borrow_and_update().clone();
                        self.tell(&spec, words).await;
                    }
                }
            }
        };
        let pass = tokio::select! {
            biased;
            // A job that is stopped while it waits is one that begins with being stopped.
            () = self.cancel.cancelled() => Pass::default(),
            pass = waited => pass,
        };
        driver::run_with(self.ops, spec, self.updates, self.cancel, pass).await
    }

    /// Says why the job waits. A screen that stands still holds up no job for long.
    async fn tell(&self, spec: &JobSpec, words: String) {
        let mut view = Job::new(spec.clone()).view();
        view.waiting = Some(words);
        let _ = tokio::time::timeout(PATIENCE, self.updates.send(view)).await;
    }
}

fn defect(error: &tokio::task::JoinError) -> Problem {
    tracing::error!(%error, "a job ended by a defect");
    Problem::new(
        Kind::Local,
        "run a job to its end",
        error.to_string(),
        "its failsafe thaws; start freezeframe again, it settles what is open; please report this",
    )
}

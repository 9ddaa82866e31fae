//! Effects become use cases; their results become messages. The only file of the console that does
//! anything at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::effect::{Effect, Generation, RunRequest};
use super::message::{Identity, Message, Part};
use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Phase};
use crate::domain::problem::{Kind, Problem};
use crate::domain::run::Limits;
use crate::ops::run::{RunOptions, run_all, spec_for};
use crate::ops::{Ops, inventory, metrics, preflight, prune, recover, restore, rethaw};

/// Jobs of the journal that the Jobs screen shows.
const HISTORY: u32 = 500;

/// Pause before a job that an earlier console left open is looked at again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(20);

/// Carries out effects until the console closes its end, then lets what changes something finish.
pub struct Executor {
    ops: Ops,
    limits: Limits,
    messages: mpsc::Sender<Message>,
    tokens: Arc<Mutex<HashMap<JobId, CancellationToken>>>,
    /// Stops everything.
    brake: CancellationToken,
    /// Stops a prune before its next set.
    stop: CancellationToken,
    /// Reads; dropped when the console closes.
    reads: JoinSet<()>,
    /// Jobs, prunes, restores; waited for.
    work: JoinSet<()>,
}

impl Executor {
    /// Thaws and stops every job, now or later begun, and stops prunes before their next set, when
    /// it is cancelled. It keeps its hold after the console has gone.
    pub fn brake(&self) -> CancellationToken {
        self.brake.clone()
    }

    /// An executor that answers on `messages`.
    pub fn new(ops: Ops, messages: mpsc::Sender<Message>) -> Self {
        let brake = CancellationToken::new();
        Self {
            ops,
            limits: Limits::default(),
            messages,
            tokens: Arc::default(),
            stop: brake.child_token(),
            brake,
            reads: JoinSet::new(),
            work: JoinSet::new(),
        }
    }

    /// The same, with the limits of the configuration for its runs.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Thaws and settles what an earlier console left open, then serves effects until the console
    /// closes its end. Returns when every job, prune and restore has ended.
    pub async fn run(mut self, mut effects: mpsc::Receiver<Effect>) {
        self.take_up();
        while let Some(effect) = effects.recv().await {
            self.carry_out(effect);
            // Finished tasks are collected as we go.
            while self.reads.try_join_next().is_some() {}
            while let Some(ended) = self.work.try_join_next() {
                self.told(ended).await;
            }
        }
        self.reads.abort_all();
        while let Some(ended) = self.work.join_next().await {
            self.told(ended).await;
        }
    }

    /// Work that panicked is said, not lost: what it held is thawed by its failsafe.
    async fn told(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            tracing::error!(%error, "work under way ended by a defect");
            let problem = Problem::new(
                Kind::Local,
                "carry out what was asked",
                error.to_string(),
                "leave and start again: what is open is thawed and settled first; please report this",
            );
            let _ = self.messages.send(Message::Notice(problem)).await;
        }
    }

    /// Before anything else: what was left frozen is thawed.
    fn take_up(&mut self) {
        let (ops, messages) = (self.ops.clone(), self.messages.clone());
        self.work.spawn(async move {
            loop {
                let (updates, inbox) = mpsc::channel(16);
                let (settled, ()) = tokio::join!(
                    async {
                        let settled = recover::settle(&ops, &updates).await;
                        drop(updates);
                        settled
                    },
                    forward(inbox, messages.clone())
                );
                match settled {
                    // What could not be settled yet is looked at again while somebody looks on.
                    Ok(views) if views.iter().any(|view| view.phase != Phase::Done) => {
                        tokio::select! {
                            () = messages.closed() => return,
                            () = tokio::time::sleep(AGAIN) => {}
                        }
                    }
                    Ok(_) => return,
                    Err(problem) => {
                        let _ = messages.send(Message::Notice(problem)).await;
                        return;
                    }
                }
            }
        });
    }

    fn read(&mut self, work: impl Future<Output = Message> + Send + 'static) {
        let messages = self.messages.clone();
        self.reads.spawn(async move {
            let _ = messages.send(work.await).await;
        });
    }

    fn carry_out(&mut self, effect: Effect) {
        let ops = self.ops.clone();
        match effect {
            Effect::LoadFleet(generation) => self.load_fleet(generation),
            Effect::LoadJobs(generation) => self.read(async move {
                Message::Jobs {
                    generation,
                    result: ops.journal.jobs(Some(ops.scope()), HISTORY),
                }
            }),
            Effect::LoadJob(job) => self.read(async move {
                let result = ops.journal.job(ops.scope(), &job);
                Message::JobRead {
                    job,
                    result: result.map(|found| found.map(Box::new)),
                }
            }),
            Effect::LoadMetrics {
                generation,
                instance,
                days,
            } => self.read(async move {
                Message::Metrics {
                    generation,
                    result: metrics::read(&ops, &instance, days).await,
                }
            }),
            Effect::StartRun(request) => self.start(request),
            Effect::CancelJob(job) => {
                let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(token) = tokens.get(&job) {
                    token.cancel();
                } else {
                    let messages = self.messages.clone();
                    self.work.spawn(async move {
                        let told = match stop_elsewhere(&ops, &job).await {
                            Ok(view) => Message::Job(Box::new(view)),
                            Err(problem) => Message::Notice(problem),
                        };
                        let _ = messages.send(told).await;
                    });
                }
            }
            Effect::CancelAll => {
                // A prune that is started later has a token of its own.
                std::mem::replace(&mut self.stop, self.brake.child_token()).cancel();
                for token in self
                    .tokens
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .values()
                {
                    token.cancel();
                }
            }
            Effect::ThawAgain(job) => {
                let messages = self.messages.clone();
                self.work.spawn(async move {
                    let told = match rethaw::thaw_again(&ops, &job).await {
                        Ok(view) => Message::Job(Box::new(view)),
                        Err(problem) => Message::Notice(problem),
                    };
                    let _ = messages.send(told).await;
                });
            }
            Effect::PlanPrune { generation, policy } => self.read(async move {
                let result = prune::plan(&ops, &policy).await.map(Box::new);
                Message::PrunePlanned { generation, result }
            }),
            Effect::RunPrune(plan) => {
                let messages = self.messages.clone();
                let stop = self.stop.clone();
                self.work.spawn(async move {
                    let (updates, mut inbox) = mpsc::channel(16);
                    let forward = async {
                        while let Some(progress) = inbox.recv().await {
                            let _ = messages.send(Message::Prune(progress)).await;
                        }
                    };
                    let (result, ()) = tokio::join!(
                        async {
                            let result = prune::run(&ops, &plan, &updates, &stop).await;
                            drop(updates);
                            result
                        },
                        forward
                    );
                    if let Err(problem) = result {
                        let _ = messages.send(Message::Notice(problem)).await;
                    }
                });
            }
            Effect::PlanRestore {
                generation,
                request,
            } => self.read(async move {
                let result = restore::plan(&ops, &request).await.map(Box::new);
                Message::RestorePlanned { generation, result }
            }),
            Effect::RunRestore(plan) => {
                let messages = self.messages.clone();
                self.work.spawn(async move {
                    let (updates, mut inbox) = mpsc::channel(16);
                    let forward = async {
                        while let Some(view) = inbox.recv().await {
                            let _ = messages.send(Message::Restore(Box::new(view))).await;
                        }
                    };
                    let (result, ()) = tokio::join!(
                        async {
                            let result = restore::run(&ops, *plan, &updates).await;
                            drop(updates);
                            result
                        },
                        forward
                    );
                    if let Err(problem) = result {
                        let _ = messages.send(Message::Notice(problem)).await;
                    }
                });
            }
            // The event loop takes these itself.
            Effect::Copy(_) | Effect::Detach | Effect::Quit => {}
        }
    }

    fn load_fleet(&mut self, generation: Generation) {
        let (ops, messages) = (self.ops.clone(), self.messages.clone());
        self.reads.spawn(async move {
            let tell = |part| messages.send(Message::Fleet { generation, part });
            // Whose the rows are comes before the rows: those of nobody are refused.
            let first = identity(&ops);
            let lab = first.lab.clone();
            if tell(Part::Identity(Ok(first))).await.is_err() {
                return;
            }
            let _ = tokio::join!(
                async { tell(Part::Instances(inventory::instances(&ops).await)).await },
                async { tell(Part::Volumes(ops.session.volumes().await)).await },
                async { tell(Part::Snapshots(ops.session.snapshots().await)).await },
            );
            // One of these services may have answered, and be no lab's.
            let now = identity(&ops);
            if now.lab != lab {
                let _ = tell(Part::Identity(Ok(now))).await;
            }
        });
    }

    fn start(&mut self, request: RunRequest) {
        let (ops, messages, tokens) = (
            self.ops.clone(),
            self.messages.clone(),
            Arc::clone(&self.tokens),
        );
        let (brake, limits) = (self.brake.clone(), self.limits.clone());
        // What an earlier run owes its sets is written when the next begins.
        self.take_up();
        self.work.spawn(async move {
            if let Err(problem) = start_run(&ops, request, limits, &messages, &tokens, &brake).await
            {
                let _ = messages.send(Message::Notice(problem)).await;
            }
        });
    }
}

/// Stops a job that this console does not drive, as `jobs abort` does: its instance is thawed under whoever drives
/// it, who sees that and claims nothing.
async fn stop_elsewhere(ops: &Ops, job: &JobId) -> Result<JobView, Problem> {
    let refused = |view: &JobView, cause: &str, mend: &str| {
        let what = format!("stop the job of {}", view.spec.instance_name);
        Err(Problem::new(Kind::State, what, cause, mend))
    };
    let read = || {
        ops.journal.job(ops.scope(), job)?.ok_or_else(|| {
            Problem::new(
                Kind::NotFound,
                format!("stop job {job}"),
                "the journal does not have it",
                "press ctrl-r",
            )
        })
    };
    let view = read()?;
    if view.phase == Phase::Done {
        return Ok(view);
    }
    if ops.journal.is_of_own_world() {
        return refused(
            &view,
            "it is, or was, in the lab of another process",
            "stop it there; a lab ends with its process",
        );
    }
    if !(Phase::Preflight..=Phase::Thawing).contains(&view.phase) {
        return refused(
            &view,
            "this console does not drive it, and it holds nothing now",
            "stop it where it was started; AWS's copying needs nobody and ends by itself",
        );
    }
    recover::thaw_now(ops, &view).await?;
    // Whoever drives it writes down the rest.
    let frozen_since = None;
    Ok(JobView {
        frozen_since,
        ..read()?
    })
}

fn identity(ops: &Ops) -> Identity {
    let session = &ops.session;
    Identity {
        scope: session.scope().clone(),
        arn: session.arn().to_owned(),
        profile: session.profile().map(str::to_owned),
        read_only: session.read_only(),
        lab: session.lab().map(str::to_owned),
    }
}

async fn start_run(
    ops: &Ops,
    request: RunRequest,
    limits: Limits,
    messages: &mpsc::Sender<Message>,
    tokens: &Mutex<HashMap<JobId, CancellationToken>>,
    brake: &CancellationToken,
) -> Result<(), Problem> {
    let options = RunOptions {
        run: request.run,
        recipe: request.recipe,
        document: None,
        mode: request.mode,
        budget_s: request.budget_s,
        on_failure: request.on_failure,
        mounts: Vec::new(),
        freeze_root: request.freeze_root,
        parameters: std::collections::BTreeMap::new(),
        limits,
    };
    let all = inventory::instances(ops).await?;
    let mut specs = Vec::new();
    let mut refused = Vec::new();
    for id in &request.instances {
        let spec = all
            .iter()
            .find(|i| i.id == *id)
            .ok_or_else(|| {
                Problem::new(
                    Kind::NotFound,
                    format!("find {id}"),
                    format!("there is no such instance in {} any more", ops.scope()),
                    "refresh the fleet with ctrl-r",
                )
            })
            .and_then(|instance| {
                preflight::fit(instance).and_then(|()| spec_for(ops, instance, &options))
            });
        match spec {
            Ok(spec) => {
                let token = brake.child_token();
                tokens
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(spec.job.clone(), token);
                specs.push(spec);
            }
            Err(problem) => refused.push(problem),
        }
    }
    // One notice has room; the review has told of each before.
    let (count, all) = (refused.len(), request.instances.len());
    if let Some(mut first) = refused.into_iter().next() {
        if count > 1 {
            first.what = format!("{count} of {all} were refused; the first: {}", first.what);
        }
        let _ = messages.send(Message::Notice(first)).await;
    }
    let run = options.run.clone();
    let (updates, inbox) = mpsc::channel(64);
    // A job that is tried again has a new id, and can be stopped by it.
    let mine: Mutex<Vec<JobId>> = Mutex::default();
    let token_of = |job: &JobId| {
        mine.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(job.clone());
        tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(job.clone())
            .or_insert_with(|| brake.child_token())
            .clone()
    };
    let (results, ()) = tokio::join!(
        run_all(ops, specs, &options.limits, updates, token_of),
        forward(inbox, messages.clone())
    );
    tracing::info!(%run, jobs = results.len(), "a run is over");
    forget(
        tokens,
        &mine.into_inner().unwrap_or_else(PoisonError::into_inner),
    );
    for problem in results.into_iter().filter_map(Result::err) {
        let _ = messages.send(Message::Notice(problem)).await;
    }
    Ok(())
}

fn forget(tokens: &Mutex<HashMap<JobId, CancellationToken>>, jobs: &[JobId]) {
    let mut tokens = tokens.lock().unwrap_or_else(PoisonError::into_inner);
    for job in jobs {
        tokens.remove(job);
    }
}

async fn forward(mut inbox: mpsc::Receiver<JobView>, messages: mpsc::Sender<Message>) {
    while let Some(view) = inbox.recv().await {
        // The console may be gone; jobs go on without it.
        let _ = messages.send(Message::Job(Box::new(view))).await;
    }
}

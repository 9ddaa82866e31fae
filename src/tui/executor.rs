//! Carries out the console's effects through the use cases of `ops`, and sends their results as messages. The only file of
//! the console that calls anything.

mod stop;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use futures::StreamExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::effect::{Effect, Generation, RunRequest};
use super::message::{Identity, Message, Part, Past, PruneProgress};
use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Phase};
use crate::domain::problem::{Kind, Problem};
use crate::domain::run::Limits;
use crate::jobs::journal::Seen;
use crate::ops::job::confirm_thaw;
use crate::ops::job::run::{RunOptions, admit, run_all};
use crate::ops::{Ops, inventory, metrics, prune, restore};

/// Pause between two looks at the jobs that still run after the operator has left the console.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Agents that are asked for at once whether they are connected.
const ASKED_AT_ONCE: usize = 8;
/// Jobs of the journal that the Jobs screen shows.
const HISTORY: u32 = 500;

/// The jobs that this console drives.
#[derive(Clone, Default)]
struct Tokens {
    jobs: Arc<Mutex<HashMap<JobId, Driven>>>,
    /// Runs that have not named their jobs yet.
    starting: Arc<AtomicUsize>,
}

/// One such run, until its jobs are known or it has come to nothing.
struct Starting(Arc<AtomicUsize>);

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One of them.
struct Driven {
    stops: CancellationToken,
    /// It is over, or AWS only copies its set: nothing to do.
    needs_nobody: bool,
}

impl Driven {
    /// `stop`: told to every job that was asked for by then; one that comes later for an older run stops at once.
    fn new(stop_all: &CancellationToken, stop: &CancellationToken) -> Self {
        let stops = stop_all.child_token();
        if stop.is_cancelled() {
            stops.cancel();
        }
        Self {
            stops,
            needs_nobody: false,
        }
    }
}

impl Tokens {
    fn all(&self) -> MutexGuard<'_, HashMap<JobId, Driven>> {
        self.jobs.lock()
    }

    fn starting(&self) -> Starting {
        self.starting.fetch_add(1, Ordering::SeqCst);
        Starting(Arc::clone(&self.starting))
    }

    /// Takes in the view of a job.
    fn saw(&self, view: &JobView) {
        if let Some(driven) = self.all().get_mut(&view.spec.job) {
            driven.needs_nobody = view.phase == Phase::Done || view.only_copies();
        }
    }

    fn need_nobody(&self) -> bool {
        self.starting.load(Ordering::SeqCst) == 0
            && self.all().values().all(|driven| driven.needs_nobody)
    }

    /// Whether this console drives that job.
    fn has(&self, job: &JobId) -> bool {
        self.all().contains_key(job)
    }
}

/// Carries out effects until the console closes its end, then lets what changes something finish.
pub struct Executor {
    ops: Ops,
    limits: Limits,
    messages: mpsc::Sender<Message>,
    tokens: Tokens,
    /// Stops everything.
    stop_all: CancellationToken,
    /// Stops a prune before its next set, and what a run has yet to begin.
    stop: CancellationToken,
    /// Stops the prune under way after the calls under way.
    prune: CancellationToken,
    /// Tasks that only read; dropped when the console closes.
    reads: JoinSet<()>,
    /// Prunes, restores, thaws; the executor waits for their end.
    work: JoinSet<()>,
    /// Runs; the executor waits for their end, but not for the copy once the operator has left.
    runs: JoinSet<()>,
    leaves: bool,
    /// The console closes: nothing more is looked for.
    closing: CancellationToken,
}

impl Executor {
    /// Thaws and stops every job, now or later begun, and stops prunes before their next set, when
    /// it is cancelled. It keeps its hold after the console has gone.
    pub fn stop_all_token(&self) -> CancellationToken {
        self.stop_all.clone()
    }

    /// An executor that answers on `messages`.
    pub fn new(ops: Ops, messages: mpsc::Sender<Message>) -> Self {
        let stop_all = CancellationToken::new();
        Self {
            ops,
            limits: Limits::default(),
            messages,
            tokens: Tokens::default(),
            stop: stop_all.child_token(),
            prune: CancellationToken::new(),
            stop_all,
            reads: JoinSet::new(),
            work: JoinSet::new(),
            runs: JoinSet::new(),
            leaves: false,
            closing: CancellationToken::new(),
        }
    }

    /// The same, with the limits of the configuration for its runs.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Thaws and settles what others leave open, from before the first effect on, and serves effects until the console
    /// closes its end. Returns when every job, prune and restore has ended; after [`Effect::Quit`] jobs that only copy are
    /// left to AWS, open on record, as they are when a console is killed.
    pub async fn run(mut self, mut effects: mpsc::Receiver<Effect>) {
        self.watch();
        while let Some(effect) = effects.recv().await {
            self.carry_out(effect);
            // Finished tasks are collected as we go.
            while self.reads.try_join_next().is_some() {}
            while let Some(ended) = self.work.try_join_next() {
                self.report_end(ended).await;
            }
            while let Some(ended) = self.runs.try_join_next() {
                self.report_end(ended).await;
            }
        }
        self.reads.abort_all();
        self.closing.cancel();
        while let Some(ended) = self.work.join_next().await {
            self.report_end(ended).await;
        }
        while !(self.leaves && self.tokens.need_nobody()) {
            tokio::select! {
                ended = self.runs.join_next() => match ended {
                    Some(ended) => self.report_end(ended).await,
                    None => break,
                },
                () = sleep(LOOK_AGAIN), if self.leaves => {}
            }
        }
    }

    /// Reports a task that panicked: what it held is thawed by its failsafe.
    async fn report_end(&self, ended: Result<(), tokio::task::JoinError>) {
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

    /// Starts the watch that resumes abandoned jobs, thaw first, for as long as the console is open.
    fn watch(&mut self) {
        let wake = Arc::new(Notify::new());
        let mut seen = Seen::default();
        match prune::settle(&self.ops) {
            Ok(ended) => {
                if let Some(record) = ended.last() {
                    let problem = Problem::new(
                        Kind::State,
                        "prune",
                        prune::describe(record),
                        "plan again in Retention (7), where past prunes are listed too",
                    );
                    let messages = self.messages.clone();
                    self.reads.spawn(async move {
                        let _ = messages.send(Message::Notice(problem)).await;
                    });
                }
            }
            Err(problem) => tracing::warn!(%problem, "the prunes on record cannot be read"),
        }
        // Before the screen asks for its jobs, so that nothing falls between.
        if let Err(problem) = self.ops.journal.news(self.ops.scope(), HISTORY, &mut seen) {
            tracing::warn!(%problem, "the jobs on record cannot be read");
        }
        let (ops, messages, own) = (&self.ops, &self.messages, &self.tokens);
        self.work.spawn(watch::resume(
            ops.clone(),
            messages.clone(),
            own.clone(),
            wake.clone(),
            self.closing.clone(),
        ));
        self.reads.spawn(watch::news(
            ops.clone(),
            messages.clone(),
            own.clone(),
            wake,
            seen,
        ));
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
            Effect::RenewCredentials => self.ops.session.renew_credentials(),
            Effect::LoadFleet(generation) => self.load_fleet(generation),
            Effect::AskConnections(instances) => {
                let messages = self.messages.clone();
                self.reads.spawn(async move {
                    let asked = futures::stream::iter(instances).map(|instance| async {
                        let connected = ops.session.is_connected(&instance).await;
                        Message::Connection {
                            instance,
                            connected,
                        }
                    });
                    let mut answers = std::pin::pin!(asked.buffer_unordered(ASKED_AT_ONCE));
                    while let Some(answer) = answers.next().await {
                        if messages.send(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
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
                if let Some(driven) = self.tokens.all().get(&job) {
                    driven.stops.cancel();
                } else {
                    let messages = self.messages.clone();
                    self.work.spawn(async move {
                        let told = match stop::elsewhere(&ops, &job, &messages).await {
                            Ok(view) => Message::Others(vec![view]),
                            Err(problem) => Message::Notice(problem),
                        };
                        let _ = messages.send(told).await;
                    });
                }
            }
            Effect::StopAll { spare } => self.stop_all(&spare),
            Effect::ThawAgain(job) => {
                let (messages, own) = (self.messages.clone(), self.tokens.clone());
                self.work.spawn(async move {
                    let told = match confirm_thaw::thaw_again(&ops, &job).await {
                        Ok(view) if own.has(&job) => Message::Job(Box::new(view)),
                        Ok(view) => Message::Others(vec![view]),
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
                self.prune = self.stop.child_token();
                let stop = self.prune.clone();
                let total = plan.doomed().len();
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
                        // Nothing was deleted, and nothing runs any more.
                        let refused = PruneProgress {
                            stopped: Some(problem),
                            finished: true,
                            ..PruneProgress::of(total)
                        };
                        let _ = messages.send(Message::Prune(refused)).await;
                    }
                });
            }
            Effect::StopPrune => self.prune.cancel(),
            Effect::LoadPast => self.read(async move {
                let read = || {
                    Ok(Past {
                        prunes: ops.journal.prunes(ops.scope(), HISTORY)?,
                        restores: ops.journal.restores(ops.scope(), HISTORY)?,
                    })
                };
                Message::Past(read().map(Box::new))
            }),
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
            Effect::Copy(_) | Effect::Detach => {}
            Effect::Quit => self.leaves = true,
        }
    }

    fn load_fleet(&mut self, generation: Generation) {
        let (ops, messages) = (self.ops.clone(), self.messages.clone());
        self.reads.spawn(async move {
            let tell = |part| messages.send(Message::Fleet { generation, part });
            // Whose the rows are comes before the rows: those of nobody are refused.
            let first = identity(&ops);
            if tell(Part::Identity(Ok(first.clone()))).await.is_err() {
                return;
            }
            let _ = tokio::join!(
                async { tell(Part::Instances(inventory::instances(&ops).await)).await },
                async { tell(Part::Volumes(ops.session.volumes().await)).await },
                async { tell(Part::Snapshots(ops.session.snapshots().await)).await },
            );
            // One of these services may have answered, and be no lab's; credentials may have been renewed.
            let now = identity(&ops);
            if now != first {
                let _ = tell(Part::Identity(Ok(now))).await;
            }
        });
    }

    fn start(&mut self, request: RunRequest) {
        let (ops, messages, tokens) =
            (self.ops.clone(), self.messages.clone(), self.tokens.clone());
        let (stop_all, limits) = (self.stop_all.clone(), self.limits.clone());
        // Pending labels of an earlier run are written when the next run begins.
        let (settling, told) = (self.ops.clone(), self.messages.clone());
        self.work.spawn(async move {
            if let Err(problem) = watch::settle(&settling, &told).await {
                let _ = told.send(Message::Notice(problem)).await;
            }
        });
        let (starting, stop) = (self.tokens.starting(), self.stop.clone());
        self.runs.spawn(async move {
            if let Err(problem) = start_run(
                &ops,
                request,
                limits,
                &messages,
                (&tokens, starting),
                (&stop_all, &stop),
            )
            .await
            {
                let _ = messages.send(Message::Notice(problem)).await;
            }
        });
    }

    /// Stops every job that this console drives but these, and a prune or restore under way; what is started later has a
    /// token of its own.
    fn stop_all(&mut self, spare: &[JobId]) {
        std::mem::replace(&mut self.stop, self.stop_all.child_token()).cancel();
        for (job, driven) in self.tokens.all().iter() {
            if !spare.contains(job) {
                driven.stops.cancel();
            }
        }
    }
}

fn identity(ops: &Ops) -> Identity {
    let session = &ops.session;
    Identity {
        scope: session.scope().clone(),
        arn: session.arn(),
        source: session.who().source,
        read_only: session.read_only(),
        lab: session.lab().map(str::to_owned),
        own_world: ops.journal.is_of_own_world(),
        elsewhere: session.elsewhere(),
    }
}

async fn start_run(
    ops: &Ops,
    request: RunRequest,
    limits: Limits,
    messages: &mpsc::Sender<Message>,
    (tokens, starting): (&Tokens, Starting),
    (stop_all, stop): (&CancellationToken, &CancellationToken),
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
        set: request.set,
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
            .and_then(|instance| admit(ops, instance, &options));
        match spec {
            Ok(spec) => {
                tokens
                    .all()
                    .insert(spec.job.clone(), Driven::new(stop_all, stop));
                specs.push(spec);
            }
            Err(problem) => refused.push(problem),
        }
    }
    drop(starting);
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
        mine.lock().push(job.clone());
        tokens
            .all()
            .entry(job.clone())
            .or_insert_with(|| Driven::new(stop_all, stop))
            .stops
            .clone()
    };
    let (results, ()) = tokio::join!(
        run_all(ops, specs, &options.limits, updates, token_of),
        forward(inbox, messages.clone(), tokens)
    );
    tracing::info!(%run, jobs = results.len(), "a run is over");
    forget(tokens, &mine.into_inner());
    for problem in results.into_iter().filter_map(Result::err) {
        let _ = messages.send(Message::Notice(problem)).await;
    }
    Ok(())
}

fn forget(tokens: &Tokens, jobs: &[JobId]) {
    let mut tokens = tokens.all();
    for job in jobs {
        tokens.remove(job);
    }
}

async fn forward(
    mut inbox: mpsc::Receiver<JobView>,
    messages: mpsc::Sender<Message>,
    tokens: &Tokens,
) {
    while let Some(view) = inbox.recv().await {
        tokens.saw(&view);
        // The console may be gone; jobs go on without it.
        let _ = messages.send(Message::Job(Box::new(view))).await;
    }
}

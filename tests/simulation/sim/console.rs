//! The life of a console: it starts, settles what was left, runs what it is asked, is stopped, dies. And of the
//! starts after it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freezeframe::domain::ids::{InstanceId, JobId};
use freezeframe::domain::job::{JobSpec, JobView, Phase};
use freezeframe::jobs::journal::Journal;
use freezeframe::ops::job::{confirm_thaw, driver, run};
use freezeframe::ops::{Ops, recover};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::line::Life;
use super::stage::{Stage, hand};
use super::story::{Abort, Console, Moment};

/// Longest life of one console, beyond the storm, before it counts as hanging.
const HANGS: Duration = Duration::from_secs(4 * 3_600);

/// A process with this console in it.
#[derive(Clone)]
pub struct Process {
    stage: Stage,
    life: Life,
    died: Arc<Notify>,
    writes: Arc<AtomicU32>,
    /// Told of each write.
    step: Arc<watch::Sender<u32>>,
    /// The jobs that it drives.
    crew: Arc<Mutex<Vec<JobId>>>,
}

impl Process {
    pub fn new(stage: &Stage) -> Self {
        Self {
            stage: stage.clone(),
            life: Life::new(),
            died: Arc::default(),
            writes: Arc::default(),
            step: Arc::new(watch::Sender::new(0)),
            crew: Arc::default(),
        }
    }

    /// From now on it drives these.
    fn enlist(&self, jobs: &[JobId]) {
        let mut crew = self.crew.lock().unwrap_or_else(PoisonError::into_inner);
        crew.extend_from_slice(jobs);
        self.stage.alive().extend(jobs.iter().cloned());
    }

    /// It drives these no more.
    fn discharge(&self, jobs: &[JobId]) {
        let mut crew = self.crew.lock().unwrap_or_else(PoisonError::into_inner);
        crew.retain(|job| !jobs.contains(job));
        self.stage.alive().retain(|job| !jobs.contains(job));
    }

    /// A process that ends takes everything with it.
    fn end(&self) {
        self.life.end();
        let crew = self
            .crew
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.discharge(&crew);
    }

    /// Its handle on a journal, at whose `death`th write it dies. Every write is a moment to look.
    fn mortal(&self, journal: &Journal, death: Option<u32>) -> Journal {
        let (me, look) = (self.clone(), self.stage.look.clone());
        journal.clone().observed(Arc::new(move |write| {
            // It is not written yet.
            look.step(write);
            let n = me.writes.fetch_add(1, Ordering::SeqCst) + 1;
            let dies = Some(n) == death;
            if dies {
                me.life.end();
                me.died.notify_one();
            }
            me.step.send_replace(n);
            !dies
        }))
    }

    /// Settles what nobody drives, as every start does.
    async fn settle(&self, ops: &Ops, journal: usize) {
        let left = self.stage.disown(journal);
        if left.is_empty() {
            return;
        }
        let left = jobs(&left);
        self.enlist(&left);
        let (updates, mut inbox) = mpsc::channel(16);
        let settling = async {
            let settled = recover::settle(ops, &updates).await;
            drop(updates);
            settled
        };
        let drain = async { while inbox.recv().await.is_some() {} };
        let (settled, ()) = tokio::join!(settling, drain);
        drop(settled);
        self.discharge(&left);
    }

    /// A start that only settles, as `jobs resume` does.
    pub async fn resume(self, journal: usize, death: Option<u32>, patience: Duration) {
        let Ok(file) = self.stage.journal(journal) else {
            return;
        };
        let mortal = self.mortal(file, death);
        let Some(ops) = self.stage.patiently(&self.life, mortal, None).await else {
            return;
        };
        let me = self.clone();
        let settling = tokio::spawn(async move { me.settle(&ops, journal).await });
        let stop = settling.abort_handle();
        let ended = tokio::select! {
            biased;
            () = self.died.notified() => true,
            _ = settling => true,
            () = tokio::time::sleep(patience + HANGS) => false,
        };
        if !ended {
            self.stage.look.wrong(vec!["a start hangs".to_owned()]);
        }
        stop.abort();
        self.end();
    }

    /// Runs what the console is asked, to their end or its own.
    pub async fn run(self, console: Console, specs: Vec<JobSpec>, patience: Duration) {
        tokio::time::sleep(console.from).await;
        let Ok(file) = self.stage.journal(console.journal) else {
            return;
        };
        let mortal = self.mortal(file, console.death);
        let ahead = (console.ahead_s != 0 || console.jump.is_some()).then(|| hand(console.ahead_s));
        if let (Some((after, by)), Some(hand)) = (console.jump, ahead) {
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                hand.fetch_add(by, Ordering::Relaxed);
            });
        }
        let Some(ops) = self.stage.patiently(&self.life, mortal, ahead).await else {
            return;
        };
        let stops = Arc::new(Stops::default());
        let mut all: JoinSet<()> = JoinSet::new();
        let (me, asked) = (self.clone(), console.clone());
        let pulled = stops.clone();
        let work = all.spawn(async move {
            me.settle(&ops, asked.journal).await;
            for abort in asked.aborts.clone() {
                let (me, asked, specs) = (me.clone(), asked.clone(), specs.clone());
                let stops = pulled.clone();
                tokio::spawn(async move { me.abort(abort, &asked, &specs, stops).await });
            }
            let watched = Watched {
                process: me.clone(),
                stops: pulled,
            };
            let results = match &asked.run {
                Some(limits) => watched.whole(&ops, &specs, limits).await,
                None => watched.single(&ops, &specs).await,
            };
            if me.life.is_on() {
                me.lanes(asked.journal, &specs, &results);
            }
        });
        let ended = tokio::select! {
            biased;
            () = self.died.notified() => true,
            _ = all.join_next() => true,
            () = tokio::time::sleep(patience + HANGS) => false,
        };
        if !ended {
            self.stage.look.wrong(vec!["a console hangs".to_owned()]);
        }
        work.abort();
        self.end();
    }

    /// Every job that was asked for has ended, and the journal says what the caller is told.
    fn lanes(&self, journal: usize, specs: &[JobSpec], results: &[Told]) {
        let mut wrong = Vec::new();
        if results.len() != specs.len() {
            let (told, asked) = (results.len(), specs.len());
            wrong.push(format!("{told} of {asked} lanes came to an end"));
        }
        for view in results.iter().flatten() {
            let job = &view.spec.job;
            let written = self.stage.journal(journal).ok();
            let written = written.and_then(|j| j.job(&view.spec.scope, job).ok().flatten());
            if view.phase != Phase::Done {
                wrong.push(format!("{job}: given back in phase {}", view.phase));
            } else if written.as_ref().is_none_or(|w| w.phase != Phase::Done) {
                wrong.push(format!("{job}: over, and the journal does not say so"));
            }
        }
        self.stage.look.wrong(wrong);
    }

    /// Waits for the moment, then stops whom it is to stop.
    async fn abort(self, abort: Abort, console: &Console, specs: &[JobSpec], stops: Arc<Stops>) {
        let whom = abort
            .whom
            .and_then(|n| console.wishes.iter().position(|wish| *wish == n))
            .and_then(|n| specs.get(n))
            .map(|spec| spec.instance.clone());
        if abort.whom.is_some() && whom.is_none() {
            return;
        }
        match abort.at {
            Moment::After(time) => tokio::time::sleep(time).await,
            Moment::Write(n) => {
                let mut step = self.step.subscribe();
                if step.wait_for(|now| *now >= n).await.is_err() {
                    return;
                }
            }
        }
        if abort.by_another {
            self.abort_by_another(console.journal, whom.as_ref()).await;
        } else {
            stops.pull(whom.as_ref());
        }
    }

    /// As `freezeframe jobs abort` does it, in a process of its own on the same journal.
    async fn abort_by_another(&self, journal: usize, whom: Option<&InstanceId>) {
        let stage = &self.stage;
        let other = Self::new(stage);
        let Ok(file) = stage.journal(journal) else {
            return;
        };
        let mortal = other.mortal(file, None);
        let Some(ops) = stage.patiently(&other.life, mortal, None).await else {
            return;
        };
        let wanted = |view: &JobView| whom.is_none_or(|id| *id == view.spec.instance);
        let left = jobs(&stage.disown(journal));
        let open = ops.journal.open_jobs(ops.scope()).unwrap_or_default();
        let past = ops.journal.jobs(None, 1_000).unwrap_or_default();
        let mine: Vec<JobId> = open
            .iter()
            .filter(|(view, _)| wanted(view) && left.contains(&view.spec.job))
            .map(|(view, _)| view.spec.job.clone())
            .collect();
        if !mine.is_empty() {
            other.enlist(&mine);
            let (updates, mut inbox) = mpsc::channel(16);
            let drain = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
            let settled = recover::settle_only(&ops, &updates, &mine).await;
            drop(settled);
            drain.abort();
            other.discharge(&mine);
        }
        for (view, _) in &open {
            let freezing = (Phase::Preflight..=Phase::Thawing).contains(&view.phase);
            if wanted(view) && freezing && !left.contains(&view.spec.job) {
                stage.look.abort(view, recover::thaw_now(&ops, view).await);
            }
        }
        for view in past.iter().filter(|view| wanted(view)) {
            if view.phase == Phase::Done && view.thaw_unconfirmed {
                // What it finds is on record, and looked at there.
                let found = confirm_thaw::thaw_again(&ops, &view.spec.job).await;
                drop(found);
            }
        }
        other.end();
    }
}

fn jobs(specs: &[JobSpec]) -> Vec<JobId> {
    specs.iter().map(|spec| spec.job.clone()).collect()
}

type Told = Result<JobView, freezeframe::domain::problem::Problem>;

/// The tokens of a console's jobs, by which it stops one or all.
#[derive(Default)]
struct Stops {
    all: CancellationToken,
    each: Mutex<BTreeMap<JobId, (Option<InstanceId>, CancellationToken)>>,
}

impl Stops {
    fn token(&self, job: &JobId, instance: Option<&InstanceId>) -> CancellationToken {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        each.entry(job.clone())
            .or_insert_with(|| (instance.cloned(), self.all.child_token()))
            .1
            .clone()
    }

    /// What a screen learns from a job's first view.
    fn learn(&self, view: &JobView) {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((instance, _)) = each.get_mut(&view.spec.job) {
            *instance = Some(view.spec.instance.clone());
        }
    }

    fn pull(&self, whom: Option<&InstanceId>) {
        let Some(whom) = whom else {
            return self.all.cancel();
        };
        let each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, token) in each.values().filter(|(of, _)| of.as_ref() == Some(whom)) {
            token.cancel();
        }
    }
}

/// How a console drives its jobs.
struct Watched {
    process: Process,
    stops: Arc<Stops>,
}

impl Watched {
    async fn whole(
        &self,
        ops: &Ops,
        specs: &[JobSpec],
        limits: &freezeframe::domain::run::Limits,
    ) -> Vec<Told> {
        let (updates, mut inbox) = mpsc::channel(64);
        let learn = async {
            while let Some(view) = inbox.recv().await {
                self.stops.learn(&view);
            }
        };
        let token = |job: &JobId| {
            self.process.enlist(std::slice::from_ref(job));
            let spec = specs.iter().find(|spec| spec.job == *job);
            self.stops.token(job, spec.map(|spec| &spec.instance))
        };
        let all = run::run_all(ops, specs.to_vec(), limits, updates, token);
        tokio::join!(all, learn).0
    }

    async fn single(&self, ops: &Ops, specs: &[JobSpec]) -> Vec<Told> {
        let mut jobs = JoinSet::new();
        for spec in specs {
            self.process.enlist(std::slice::from_ref(&spec.job));
            let token = self.stops.token(&spec.job, Some(&spec.instance));
            let (updates, _) = mpsc::channel(1);
            jobs.spawn(driver::run_job(ops.clone(), spec.clone(), updates, token));
        }
        let mut results = Vec::new();
        while let Some(ended) = jobs.join_next().await {
            results.extend(ended.ok());
        }
        results
    }
}

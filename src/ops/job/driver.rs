//! Drives one job: carries out the effects of its state machine, and feeds the answers back as events.
//!
//! The machine decides; this file only carries out. A thaw goes through the rescue client. A call that is not idempotent
//! is in the journal before it is sent, and is never repeated blind.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use tracing::Instrument as _;

use crate::aws::pace::Token;
use crate::domain::ids::CommandId;
use crate::domain::job::{JobSpec, JobView};
use crate::domain::label::Written;
use crate::domain::machine::{Job, JobEffect, JobEvent, Timer};
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};
use crate::domain::run::Limits;
use crate::domain::set_plan::SetPlan;
use crate::ops::admission::owner::{owner_of_no_process, owner_of_this_process};
use crate::ops::admission::{groups::Pass, preflight, ready_check};
use crate::ops::command::poll::{follow, follow_as_events};
use crate::ops::command::send::{Step, send_when_taken};
use crate::ops::command::thaw;
use crate::ops::command::wait_reasons::{Reserve, Waits};
use crate::ops::confirmations;
use crate::ops::job::timers::Timers;
use crate::ops::set_calls::{create, find_set_by_tag, label_when_taken, publish, set_of};
use crate::ops::snapshot_progress::watch_progress;
use crate::ops::{Ops, log};

/// Pause between two looks for an autonomous job's set, growing.
const SET_FIRST: Duration = Duration::from_secs(2);
const SET_LONGEST: Duration = Duration::from_secs(10);
/// How long a job that has ended waits for the console to take its last view.
const LAST_VIEW: Duration = Duration::from_secs(30);

/// Runs one job to its end. Every change of its view is sent on `updates`; cancelling thaws first.
///
/// # Errors
/// [`Kind::Local`] when the journal refuses the job's first line: then nothing was done.
pub async fn run_job(
    ops: Ops,
    spec: JobSpec,
    updates: mpsc::Sender<JobView>,
    cancel: CancellationToken,
) -> Result<JobView, Problem> {
    run_with(ops, spec, updates, cancel, Pass::default()).await
}

/// Like [`run_job`]; what `pass` holds is given back as the job needs it no more.
pub(in crate::ops) async fn run_with(
    ops: Ops,
    spec: JobSpec,
    updates: mpsc::Sender<JobView>,
    cancel: CancellationToken,
    pass: Pass,
) -> Result<JobView, Problem> {
    let span = log::of_job(&spec);
    drive(ops, spec, updates, cancel, pass)
        .instrument(span)
        .await
}

async fn drive(
    ops: Ops,
    spec: JobSpec,
    updates: mpsc::Sender<JobView>,
    cancel: CancellationToken,
    mut pass: Pass,
) -> Result<JobView, Problem> {
    let mut job = Job::new(spec);
    ops.session
        .may_write("start a job", &job.view().spec.scope)?;
    let owner = owner_of_this_process();
    ops.journal
        .save_job(&job.view(), &owner, true, ops.clock.now())?;
    let (events, mut inbox) = mpsc::channel(64);
    let (timers, mut rung) = Timers::new();
    let mut driver = Driver {
        ops,
        events,
        timers,
        spec: job.view().spec,
        limits: pass.limits(),
        waits: Waits::default(),
        reserve: Reserve::default(),
    };
    let mut waiting = driver.waits.subscribe();
    let mut saved = None;
    let mut logged = log::Logged::default();
    driver.send(JobEvent::Start);
    let mut cancelled = false;
    loop {
        let event = tokio::select! {
            biased;
            () = cancel.cancelled(), if !cancelled => {
                cancelled = true;
                JobEvent::Cancel
            }
            event = inbox.recv() => match event {
                Some(event) => event,
                None => break,
            },
            Some(ring) = rung.recv() => {
                if !driver.timers.is_due(ring) {
                    continue;
                }
                JobEvent::TimedOut(ring.timer)
            }
            Ok(()) = waiting.changed() => {
                let view = JobView { waiting: driver.waits.now(), ..job.view() };
                let _ = updates.try_send(view);
                continue;
            }
        };
        let mut effects = job.step(event, driver.ops.clock.now());
        effects.extend(driver.confirm_thaw_if_proven(&mut job));
        let mut view = job.view();
        // The mode may have been chosen by now.
        if driver.spec != view.spec {
            driver.spec = view.spec.clone();
        }
        let done = job.is_done();
        logged.note(&view);
        // Progress is sampled, state changes are on record before the effect that follows from them.
        let state = (
            view.phase,
            view.verdict,
            (view.thaw_unconfirmed, view.held().is_something()),
            view.set.len(),
            view.error.as_ref().map(Problem::of_any_request),
            (view.pending_labels.clone(), view.earns, view.set_unseen),
        );
        let mut unsaved = None;
        if saved.as_ref() != Some(&state) || done {
            match driver.save(&view, done, &owner) {
                Ok(()) => saved = Some(state),
                Err(problem) => {
                    // What is on record is older than this: the next state is written whatever it looks like.
                    saved = None;
                    unsaved = Some(problem);
                }
            }
        }
        // A proof that another process recorded after the look above and before this job's end was on record is applied
        // here: that process reads the record after its proof, and leaves a running job alone.
        if done && job.thaw_is_unconfirmed() {
            driver.confirm_thaw_if_proven(&mut job);
            if !job.thaw_is_unconfirmed() {
                view = job.view();
                unsaved = driver.save(&view, done, &owner).err();
            }
        }
        for effect in effects {
            match (&unsaved, effect) {
                // Whatever is frozen is on record, so that the next start finds it.
                (Some(problem), JobEffect::SendPre | JobEffect::SendSnapshot) => {
                    driver.send(JobEvent::PreSent(Err(problem.clone())))
                }
                // Told to stop by somebody else (`jobs abort`) before it froze anything: it does not begin.
                (None, JobEffect::SendPre | JobEffect::SendSnapshot | JobEffect::TakeTurn(_))
                    if thaw_is_on_record(&driver.ops, &driver.spec) =>
                {
                    driver.stopped_before_its_freeze();
                }
                // A label is written only after its judgement is on record.
                (Some(problem), JobEffect::WriteLabels { attempt, .. }) => {
                    let written = Written::none(problem.clone());
                    driver.send(JobEvent::LabelsWritten { attempt, written })
                }
                (_, effect) => driver.carry_out(effect, &job),
            }
        }
        pass.advance(&view);
        // Views are whole: one that finds the queue full is made up for by the next. A screen that
        // stands still (a stalled SSH session) must not hold up a thaw.
        if done {
            // The journal does not have this state.
            if let Some(problem) = unsaved {
                view.error.get_or_insert(problem);
            }
            let _ = tokio::time::timeout(LAST_VIEW, updates.send(view.clone())).await;
            return Ok(view);
        }
        let waiting = driver.waits.now();
        let _ = updates.try_send(JobView { waiting, ..view });
    }
    Ok(job.view())
}

struct Driver {
    ops: Ops,
    events: mpsc::Sender<JobEvent>,
    timers: Timers,
    spec: JobSpec,
    limits: Limits,
    waits: Waits,
    /// Tokens that were set aside for the calls around the freeze.
    reserve: Reserve,
}

impl Driver {
    /// The job is stopped, and what it was about to send was not sent.
    fn stopped_before_its_freeze(&self) {
        let stopped = Problem::new(
            Kind::Cancelled,
            format!("freeze {}", self.spec.instance),
            "the job was told to stop before anything was frozen",
            "start a new one",
        );
        let events = self.events.clone();
        log::spawn(async move {
            for event in [JobEvent::Cancel, JobEvent::PreSent(Err(stopped))] {
                let _ = events.send(event).await;
            }
        });
    }

    fn send(&self, event: JobEvent) {
        let events = self.events.clone();
        log::spawn(async move {
            let _ = events.send(event).await;
        });
    }

    fn spawn(&self, work: impl Future<Output = JobEvent> + Send + 'static) {
        let events = self.events.clone();
        log::spawn(async move {
            let _ = events.send(work.await).await;
        });
    }

    /// Ends the unconfirmed thaw where the journal has a later proof that everything is thawed.
    fn confirm_thaw_if_proven(&self, job: &mut Job) -> Vec<JobEffect> {
        if job.thaw_is_unconfirmed() && confirmations::is_proven(&self.ops, &self.spec) {
            job.step(JobEvent::ThawProven, self.ops.clock.now())
        } else {
            Vec::new()
        }
    }

    /// Puts the job on record. A job that has ended with pending labels, or with an unconfirmed thaw, is recorded without an
    /// owner, so that any process may finish it.
    fn save(&self, view: &JobView, done: bool, owner: &str) -> Result<(), Problem> {
        let (open, by) = if done {
            let stays_open = view.has_pending_labels() || view.needs_thaw();
            (stays_open, owner_of_no_process())
        } else {
            (true, owner.to_owned())
        };
        let now = self.ops.clock.now();
        let saved = self.ops.journal.save_job(view, &by, open, now);
        if let Err(problem) = &saved {
            tracing::error!(%problem, "the job's state could not be recorded");
        }
        saved
    }

    /// The token that was set aside for the next command, if there is one.
    fn token(&self) -> Option<Token> {
        self.reserve.take(Bucket::SendCommand)
    }

    fn carry_out(&mut self, effect: JobEffect, job: &Job) {
        let ops = self.ops.clone();
        let spec = self.spec.clone();
        match effect {
            JobEffect::Preflight => {
                let (limits, waits) = (self.limits.clone(), self.waits.clone());
                let reserve = self.reserve.clone();
                self.spawn(async move {
                    let ready = ready_check::check(&ops, &spec, &limits, &waits, &reserve).await;
                    JobEvent::Preflight(ready)
                });
            }
            JobEffect::TakeTurn(facts) => {
                let (limits, waits) = (self.limits.clone(), self.waits.clone());
                let reserve = self.reserve.clone();
                self.spawn(async move {
                    let turn = ready_check::turn(&ops, &spec, &facts, &limits, &waits, &reserve);
                    JobEvent::Preflight(turn.await.map(|()| facts))
                });
            }
            JobEffect::SendPre => {
                let (events, token) = (self.events.clone(), self.token());
                log::spawn(send_and_follow(ops, spec, Step::Pre, token, events));
            }
            JobEffect::SendSnapshot => {
                let (events, token) = (self.events.clone(), self.token());
                let spec = match job.set_plan() {
                    Some(plan) => preflight::with_planned_set(&spec, plan),
                    None => spec,
                };
                // The instance makes the call that the token was set aside for.
                if let Some(create) = self.reserve.take(Bucket::CreateSnapshots) {
                    create.spend();
                }
                log::spawn(async move {
                    // Looking for the set ends with the command.
                    tokio::select! {
                        biased;
                        () = send_and_follow(ops.clone(), spec.clone(), Step::Pre, token, events.clone()) => {}
                        () = watch_for_set(ops, spec, events) => {}
                    }
                });
            }
            JobEffect::SendPost => {
                let (events, token) = (self.events.clone(), self.token());
                log::spawn(send_and_follow(ops, spec, Step::Post, token, events));
            }
            JobEffect::CancelCommand(command) => {
                log::spawn(async move {
                    if let Err(problem) = ops.session.cancel_command(&command, &spec.instance).await
                    {
                        tracing::warn!(%problem, "cancelling a command failed; the failsafe still holds");
                    }
                });
            }
            JobEffect::CreateSnapshots => {
                // During a freeze the call waits for nothing; without a freeze it waits for a token.
                let reserved = self.reserve.take(Bucket::CreateSnapshots);
                let wait = reserved.is_none() && job.view().frozen_since.is_none();
                let (events, waits) = (self.events.clone(), self.waits.clone());
                let planned = job.set_plan().cloned();
                log::spawn(async move {
                    let plan = match planned {
                        Some(plan) => plan,
                        // Only where nothing is frozen: preflight plans before a freeze.
                        None => match planned_late(&ops, &spec).await {
                            Ok(plan) => {
                                let _ = events.send(JobEvent::Planned(plan.clone())).await;
                                plan
                            }
                            Err(problem) => {
                                let _ =
                                    events.send(JobEvent::SnapshotsAnswered(Err(problem))).await;
                                return;
                            }
                        },
                    };
                    let token = match reserved {
                        None if wait => {
                            let pace = ops.session.pace();
                            Some(waits.token(pace, Bucket::CreateSnapshots).await)
                        }
                        reserved => reserved,
                    };
                    if let Some(token) = token {
                        token.spend();
                    }
                    let answer = create(&ops, &spec, &plan).await;
                    if thaw_is_on_record(&ops, &spec) {
                        let _ = events.send(JobEvent::ReleaseSeen).await;
                    }
                    let _ = events.send(JobEvent::SnapshotsAnswered(answer)).await;
                });
            }
            JobEffect::FindSnapshots => {
                let (expected, volumes) = (job.expected(), job.attached());
                self.spawn(async move {
                    JobEvent::SnapshotsFound(find_set_by_tag(&ops, &spec, &expected, volumes).await)
                });
            }
            JobEffect::WriteLabels { attempt, labels } => {
                let waits = self.waits.clone();
                self.spawn(async move {
                    let written = label_when_taken(&ops, &spec.job, labels, &waits).await;
                    JobEvent::LabelsWritten { attempt, written }
                });
            }
            JobEffect::WatchProgress => {
                let events = self.events.clone();
                let ids: Vec<_> = job.view().set.iter().map(|m| m.snapshot.clone()).collect();
                log::spawn(async move { watch_progress(ops, ids, events).await });
            }
            JobEffect::Publish(data) => {
                self.spawn(async move {
                    let now = ops.clock.now();
                    JobEvent::Published(publish(&ops, &spec, now, data).await)
                });
            }
            JobEffect::Arm { timer, after } => {
                let waits = self.waits.clone();
                // A time limit does not count the wait for a token, unless it watches over a freeze.
                let stands = match timer {
                    Timer::Preflight | Timer::Labels => true,
                    Timer::Call => job.view().frozen_since.is_none(),
                    _ => false,
                };
                self.timers.arm(timer, async move {
                    if stands {
                        waits.sleep_besides(after).await;
                    } else {
                        tokio::time::sleep(after).await;
                    }
                });
            }
            JobEffect::Disarm(timer) => self.timers.disarm(timer),
        }
    }
}

async fn send_and_follow(
    ops: Ops,
    spec: JobSpec,
    step: Step,
    token: Option<Token>,
    events: mpsc::Sender<JobEvent>,
) {
    // No waits are reported from here on: something may be frozen.
    let waits = Waits::default();
    let sent = send_when_taken(&ops, &spec, step, &waits, token).await;
    let command = sent.as_ref().ok().cloned();
    let told = match step {
        Step::Post => JobEvent::PostSent(sent),
        Step::Look | Step::Pre => JobEvent::PreSent(sent),
    };
    if events.send(told).await.is_err() {
        return;
    }
    if let Some(command) = command {
        let span = log::of_command(&command);
        let followed = follow_to_its_end(&ops, &spec, step, &command, &events);
        followed.instrument(span).await;
    }
}

async fn follow_to_its_end(
    ops: &Ops,
    spec: &JobSpec,
    step: Step,
    command: &CommandId,
    events: &mpsc::Sender<JobEvent>,
) {
    let outcome = match step {
        Step::Look => follow(ops, spec, command).await,
        Step::Pre => follow_as_events(ops, spec, command, events, JobEvent::PreDelivery).await,
        Step::Post => follow_as_events(ops, spec, command, events, JobEvent::PostDelivery).await,
    };
    // A third-party document lays no tombstone marker: where a thaw is on record before its freeze, the job stops here.
    if step == Step::Pre && spec.third_party && thaw_is_on_record(ops, spec) {
        let _ = events.send(JobEvent::Cancel).await;
    }
    let ended = match step {
        Step::Post => JobEvent::PostEnded(thaw::effective_outcome(ops, spec, outcome).await),
        Step::Look | Step::Pre => JobEvent::PreEnded(outcome),
    };
    let _ = events.send(ended).await;
}

/// Whether anybody with this journal has asked for the job's thaw (`jobs abort` from another process). Asked
/// when the answer is in hand: an intent that comes later was sent later. What cannot be read may be there.
fn thaw_is_on_record(ops: &Ops, spec: &JobSpec) -> bool {
    ops.journal.calls(spec.job.as_str()).map_or(true, |calls| {
        calls.iter().any(|call| Step::Post.is(call, spec.mode))
    })
}

/// The plan of a set that is taken although preflight did not come so far.
async fn planned_late(ops: &Ops, spec: &JobSpec) -> Result<SetPlan, Problem> {
    let instance = ops.session.instance(&spec.instance).await?;
    preflight::set_plan(ops, &instance, &spec.set_options).await
}

/// Autonomous mode: tells when the set appears, once, and then waits to be dropped. A look that fails is
/// only a look that fails.
async fn watch_for_set(ops: Ops, spec: JobSpec, events: mpsc::Sender<JobEvent>) {
    let mut pause = SET_FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = pause.mul_f32(1.5).min(SET_LONGEST);
        match set_of(&ops, &spec).await {
            Ok(set) if !set.is_empty() => {
                let _ = events.send(JobEvent::SetAppeared(set)).await;
                return std::future::pending().await;
            }
            Ok(_) => {}
            Err(problem) => tracing::debug!(%problem, "the set could not be looked for"),
        }
    }
}

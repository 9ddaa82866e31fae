//! How a job moves: `(state, event, now) → (state, effects)`. Pure and deterministic; timeouts are
//! events; every event is legal in every state, and what does not fit is ignored.
//!
//! Three rules stand above all others:
//! * what may have frozen something is followed by a thaw, unless the script itself proved that it left
//!   nothing frozen;
//! * `CreateSnapshots` is asked for at most once, whatever becomes of the answer, and by one side only;
//! * a level is claimed only after it was judged *and* written.
//!
//! Verdicts: a refusal by preflight is `skipped` (nothing was touched), or `crash` when the operator
//! prefers such a set; not being able to find out, and a quiesce that failed, are `failed` (again
//! `crash` if preferred); `cancelled` whenever the operator stopped it before its end.

mod autonomous;
mod failsafe;
mod finish;
mod freeze;
mod third_party;
mod types;
pub mod values;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use super::label::{Label, Written};
pub use failsafe::Began;
pub use finish::{GONE_SINCE, incomplete};
pub use types::{JobEffect, JobEvent, MetricValue, SnapshotProgress, Timer};

use super::command::{CommandEnd, CommandOutcome, CommandReport, DELIVERY_S};
use super::evidence::{CallOrder, Judged};
use super::held::{DelayedThaw, Delivery, Freeze, Freezing};
use super::ids::CommandId;
use super::job::{
    EvidenceReport, JobSpec, JobView, Member, Mode, OnFailure, Phase, PhaseRecord, Verdict,
};
use super::preflight::PreflightFacts;
use super::problem::{Kind, Problem};
use super::set_plan::SetPlan;
use super::snapshot::CreatedSnapshot;
use failsafe::GRACE_S;

/// Preflight: delivery and a dry run.
const PREFLIGHT: Duration = Duration::from_secs(180);
/// How often a command that freezes is offered to a Systems Manager that is too busy to take it. Before each the
/// job waits for its turn, at a rate that halves each time somebody is sent away.
const OFFERS: u32 = 20;
/// `CreateSnapshots` without a freeze.
const CALL_UNFROZEN: Duration = Duration::from_secs(60);
/// The late answer of `CreateSnapshots`.
const ANSWER: Duration = Duration::from_secs(60);

/// How the command that freezes stands: `pre-script`, or `snapshot` in autonomous mode.
#[derive(Debug, Clone, PartialEq)]
enum FreezeCommand {
    /// Never asked for, or proven never to have run, or proven to have left nothing frozen.
    Clean,
    /// Asked for; no end known.
    Open,
    /// Ended; what it said. `conclusive` when it can certainly not start or go on any more.
    Ended { conclusive: bool },
}

/// How `CreateSnapshots` stands.
#[derive(Debug, Clone, PartialEq)]
enum SnapshotCall {
    NotMade,
    UnderWay,
    Answered,
    Refused,
    /// It may have happened: look for the set by its tag.
    Unknown,
}

/// How `post-script` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThawCommand {
    /// Not asked for.
    Idle,
    /// Under way, and whether "no such job" would be a proof.
    UnderWay { conclusive: bool },
    /// Waiting before the next.
    Pausing,
    /// Everything is thawed, or nobody could find out: no more of them.
    Over,
}

/// Where the end of the job stands, from the judgement on.
#[derive(Debug, Clone, PartialEq)]
enum Completion {
    No,
    /// Looking by tag.
    Finding,
    /// Labels are under way or waiting for another attempt.
    Labelling,
    /// AWS copies. Labels that are pending are tried again now and then.
    Copying,
    /// Copied; labels that are pending are tried once more.
    LastLabels,
    /// A failed snapshot's label is being lowered.
    Lowering(Verdict),
    /// Metrics are under way; then this verdict.
    Publishing(Verdict),
}

/// One job. [`Job::step`] is the only thing that changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    spec: JobSpec,
    phase: Phase,
    phases: Vec<PhaseRecord>,
    verdict: Option<Verdict>,
    thaw_unconfirmed: bool,
    frozen_since: Option<DateTime<Utc>>,
    error: Option<Problem>,
    facts: Option<PreflightFacts>,
    /// The plan of a set that is taken without what preflight would have told.
    planned: Option<SetPlan>,
    cancelled: bool,
    pre: FreezeCommand,
    /// How often the command that freezes was offered and not taken.
    throttled: u32,
    began: Option<Began>,
    /// What Systems Manager says of the command that freezes.
    delivery: Delivery,
    pre_command: Option<CommandId>,
    pre_told: Option<CommandReport>,
    /// By its end alone it may have left frozen what it was to freeze.
    may_have_frozen: bool,
    call: SnapshotCall,
    order: CallOrder,
    post: ThawCommand,
    posts: u32,
    /// Systems Manager says that the `post-script` that is under way is delayed.
    post_delayed: bool,
    post_command: Option<CommandId>,
    /// The `post-script` that is under way, once it was answered for, and those before it.
    post_now: Option<CommandId>,
    posts_before: Vec<CommandId>,
    /// Those that were sent when nothing could freeze any more.
    posts_after: Vec<CommandId>,
    /// A `post-script` of somebody else's document that was sent after its `pre-script` had ended has ended well.
    released: bool,
    post_told: Option<CommandReport>,
    /// A `post-script` found something frozen.
    found_frozen: bool,
    made: Vec<CreatedSnapshot>,
    /// Autonomous mode: the set as it appeared while the command was under way.
    seen: Vec<CreatedSnapshot>,
    released_by_another: bool,
    completion: Completion,
    evidence: EvidenceReport,
    judged: Vec<Judged>,
    label_tries: u32,
    pending: Vec<Label>,
    /// A set may exist, and it could not be looked for.
    set_unseen: bool,
    earns: Option<Verdict>,
    label_problem: Option<Problem>,
    set: Vec<Member>,
    ended_at: HashMap<String, DateTime<Utc>>,
    /// Full sizes of the completed snapshots, as far as EC2 told them.
    full_bytes: HashMap<String, u64>,
    errored: Vec<String>,
    gone: Vec<String>,
}

/// The machine as a function: the state after an event, and what is to be done.
pub fn step(mut job: Job, event: JobEvent, now: DateTime<Utc>) -> (Job, Vec<JobEffect>) {
    let effects = job.step(event, now);
    (job, effects)
}

impl Job {
    /// A job that waits for its turn.
    pub fn new(spec: JobSpec) -> Self {
        Self {
            spec,
            phase: Phase::Queued,
            phases: Vec::new(),
            verdict: None,
            thaw_unconfirmed: false,
            frozen_since: None,
            error: None,
            facts: None,
            planned: None,
            cancelled: false,
            pre: FreezeCommand::Clean,
            throttled: 0,
            began: None,
            delivery: Delivery::Unanswered,
            pre_command: None,
            pre_told: None,
            may_have_frozen: false,
            call: SnapshotCall::NotMade,
            order: CallOrder::default(),
            post: ThawCommand::Idle,
            posts: 0,
            post_delayed: false,
            post_command: None,
            post_now: None,
            posts_before: Vec::new(),
            posts_after: Vec::new(),
            released: false,
            post_told: None,
            found_frozen: false,
            made: Vec::new(),
            seen: Vec::new(),
            released_by_another: false,
            completion: Completion::No,
            evidence: EvidenceReport::default(),
            judged: Vec::new(),
            label_tries: 0,
            pending: Vec::new(),
            set_unseen: false,
            earns: None,
            label_problem: None,
            set: Vec::new(),
            ended_at: HashMap::new(),
            full_bytes: HashMap::new(),
            errored: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// Whether it is over. Then no event changes it any more, but the proof of a thaw that was unconfirmed.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether it gave up thawing, and nobody has proven since that nothing is frozen.
    pub fn thaw_is_unconfirmed(&self) -> bool {
        self.thaw_unconfirmed
    }

    /// What everyone may see.
    pub fn view(&self) -> JobView {
        let mut evidence = self.evidence.clone();
        // The commands are known before anything is judged.
        evidence.pre_command = evidence.pre_command.or_else(|| self.pre_command.clone());
        evidence.post_command = evidence.post_command.or_else(|| self.post_command.clone());
        let mut phases = self.phases.clone();
        for record in &mut phases {
            record.failed |= record.phase == Phase::Verifying && self.label_problem.is_some();
        }
        JobView {
            spec: self.spec.clone(),
            phase: self.phase,
            verdict: self.verdict,
            thaw_unconfirmed: self.thaw_unconfirmed,
            phases,
            frozen_since: self.frozen_since,
            freezing: self.freezing(),
            freeze_window_ms: [&self.post_told, &self.pre_told]
                .into_iter()
                .flatten()
                .find_map(|told| told.trace.window_ms()),
            set: self.set.clone(),
            set_plan: self.set_plan().cloned(),
            preflight_notes: self
                .facts
                .as_ref()
                .map_or_else(Vec::new, |f| f.notes.clone()),
            evidence,
            pending_labels: self.pending.clone(),
            set_unseen: self.set_unseen,
            earns: self.earns.map(|earned| {
                if self.cancelled {
                    Verdict::Cancelled
                } else {
                    earned
                }
            }),
            error: self.error.clone().or_else(|| self.label_problem.clone()),
            waiting: None,
        }
    }

    /// Takes one event in and says what is to be done.
    pub fn step(&mut self, event: JobEvent, now: DateTime<Utc>) -> Vec<JobEffect> {
        let mut todo = Vec::new();
        if self.is_done() {
            if event == JobEvent::ThawProven {
                self.thaw_proven(now);
            }
            return todo;
        }
        match event {
            JobEvent::Start => self.start(now, &mut todo),
            JobEvent::Preflight(result) => self.preflight(result, now, &mut todo),
            JobEvent::PreSent(result) => self.pre_sent(result, now, &mut todo),
            JobEvent::PreDelivery(delivery) if self.pre == FreezeCommand::Open => {
                self.delivery = delivery
            }
            JobEvent::PreDelivery(_) => {}
            JobEvent::PostDelivery(delivery) => {
                let under_way = matches!(self.post, ThawCommand::UnderWay { .. });
                self.post_delayed = under_way && delivery == Delivery::Delayed;
            }
            JobEvent::PreEnded(outcome) => self.pre_ended(outcome, now, &mut todo),
            JobEvent::SetAppeared(set) => self.set_appeared(set, now),
            JobEvent::ReleaseSeen => self.released_by_another = true,
            JobEvent::ThawProven => self.thaw_proven(now),
            JobEvent::Planned(plan) => self.planned = Some(plan),
            JobEvent::SnapshotsAnswered(result) => self.answered(result, now, &mut todo),
            JobEvent::PostSent(result) => self.post_sent(result, now, &mut todo),
            JobEvent::PostEnded(outcome) => self.post_ended(outcome, now, &mut todo),
            JobEvent::SnapshotsFound(result) => self.found(result, now, &mut todo),
            JobEvent::LabelsWritten { attempt, written } => {
                self.labels_written(attempt, &written, now, &mut todo)
            }
            JobEvent::Progress(list) => self.progress(&list, now, &mut todo),
            JobEvent::Published(result) => self.published(result, now, &mut todo),
            JobEvent::TimedOut(timer) => self.timed_out(timer, now, &mut todo),
            JobEvent::Cancel => self.cancel(now, &mut todo),
        }
        todo
    }

    /// Whether what freezes was certainly never taken by Systems Manager.
    fn never_taken(&self) -> bool {
        match self.pre {
            FreezeCommand::Clean => true,
            FreezeCommand::Ended { conclusive } => conclusive && self.pre_told.is_none(),
            FreezeCommand::Open => false,
        }
    }

    /// Whether something may be frozen: from the sending of the command that freezes until it is proven that it
    /// left nothing so, or that all is thawed.
    fn freezing(&self) -> Freezing {
        let over = match (&self.pre, self.post) {
            _ if self.thaw_unconfirmed => false,
            (_, ThawCommand::Over) => true,
            _ => self.never_taken(),
        };
        match self.began {
            Some(began) if !over => Freezing::Open(Freeze {
                sent: began.sent,
                delivery: match self.pre {
                    FreezeCommand::Ended { .. } => Delivery::Ended,
                    FreezeCommand::Clean | FreezeCommand::Open => self.delivery,
                },
                nothing_at: None,
                thaw: self.post_delayed.then(|| DelayedThaw {
                    failsafe_by: (!self.spec.third_party)
                        .then(|| began.failsafe_by(self.spec.budget_s, self.frozen_since)),
                }),
            }),
            _ => Freezing::Over,
        }
    }

    fn start(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        if self.phase == Phase::Queued {
            self.enter(Phase::Preflight, now);
            todo.push(JobEffect::Preflight);
            arm(todo, Timer::Preflight, PREFLIGHT);
        }
    }

    fn preflight(
        &mut self,
        result: Result<PreflightFacts, Problem>,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        if self.phase != Phase::Preflight {
            return;
        }
        todo.push(JobEffect::Disarm(Timer::Preflight));
        if let Ok(PreflightFacts {
            mode: Some(chosen), ..
        }) = &result
        {
            self.spec.choose(chosen);
        }
        match result {
            Ok(facts) if self.freezes_root_unasked(&facts) => {
                let problem = Problem::new(
                    Kind::Script,
                    format!("check {}", self.spec.instance),
                    "the script would freeze /, and nobody asked for that",
                    "only autonomous mode may freeze it, with --freeze-root",
                )
                .with_code("root-mount");
                self.facts = Some(facts);
                self.refused(problem, true, now, todo);
            }
            // Somebody else's document need not say what it freezes.
            Ok(facts) if facts.covered.is_empty() && !self.spec.third_party => {
                let problem = Problem::new(
                    Kind::State,
                    format!("check {}", self.spec.instance),
                    "nothing on it qualifies for a freeze",
                    "name the mounts, or choose a recipe that fits",
                );
                self.facts = Some(facts);
                self.refused(problem, true, now, todo);
            }
            Ok(facts) => {
                self.facts = Some(facts);
                self.enter(Phase::Quiescing, now);
                self.pre = FreezeCommand::Open;
                self.began = Some(Began::sent(now));
                self.delivery = Delivery::Unanswered;
                todo.push(match self.spec.mode {
                    Mode::Coordinated => JobEffect::SendPre,
                    Mode::Autonomous => JobEffect::SendSnapshot,
                });
                // Where no failsafe of ours watches, the console keeps the budget itself.
                let grace = if self.spec.third_party {
                    0
                } else {
                    2 * GRACE_S
                };
                let limit = DELIVERY_S + u64::from(self.spec.budget_s) + grace;
                arm(todo, Timer::Quiesce, Duration::from_secs(limit));
            }
            Err(problem) => {
                // A refusal is an answer; not having been able to ask is none.
                let refusal = matches!(
                    problem.kind,
                    Kind::Agent | Kind::Document | Kind::Script | Kind::State | Kind::Usage
                );
                self.refused(problem, refusal, now, todo);
            }
        }
    }

    /// Preflight says no. Nothing was touched.
    fn refused(
        &mut self,
        problem: Problem,
        refusal: bool,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        // Another job there, or an instance that is not in a state for it, is no reason for a lesser set;
        // that the agent, the document or the script cannot quiesce it is.
        let cannot_quiesce = matches!(problem.kind, Kind::Agent | Kind::Document | Kind::Script)
            || self.facts.is_some();
        self.fail_record(problem);
        if cannot_quiesce && self.spec.on_failure == OnFailure::CrashConsistent {
            self.call_unfrozen(now, todo);
        } else if refusal {
            self.done(Verdict::Skipped, now);
        } else {
            self.publish(Verdict::Failed, now, todo);
        }
    }

    fn timed_out(&mut self, timer: Timer, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        match timer {
            Timer::Preflight if self.phase == Phase::Preflight => {
                let problem = self.too_long("preflight", "look at the SSM agent on the instance");
                self.refused(problem, false, now, todo);
            }
            Timer::Quiesce if self.waits_for_pre() => {
                let problem = self.too_long(
                    "quiescing",
                    "the failsafe thaws; look at the command's output",
                );
                self.fail_record(problem);
                self.abandon_pre(now, todo);
            }
            Timer::Call
                if self.phase == Phase::Snapshotting && self.call == SnapshotCall::UnderWay =>
            {
                let problem = self.too_long(
                    "CreateSnapshots",
                    "thawed first; a late answer is still accepted",
                );
                self.fail_record(problem);
                if self.pre == FreezeCommand::Clean {
                    self.call = SnapshotCall::Unknown;
                }
                self.thaw_or_go_on(now, todo);
            }
            Timer::Answer
                if self.call == SnapshotCall::UnderWay && self.post == ThawCommand::Over =>
            {
                self.call = SnapshotCall::Unknown;
                self.after_thaw(now, todo);
            }
            Timer::Thaw => self.thaw_timed_out(now, todo),
            Timer::ThawRetry if self.post == ThawCommand::Pausing => self.send_post(now, todo),
            Timer::Find => self.find_timed_out(now, todo),
            Timer::Labels => {
                let problem = self.too_long("writing the labels", "they are tried again");
                self.labels_written(self.label_tries, &Written::none(problem), now, todo);
            }
            Timer::LabelRetry
                if matches!(self.completion, Completion::Labelling | Completion::Copying) =>
            {
                self.write_labels(todo);
            }
            Timer::Complete if self.completion == Completion::Copying => {
                let problem = self.too_long(
                    "copying at AWS",
                    "look at the snapshots in the Snapshots screen",
                );
                self.fail_record(problem);
                self.publish(Verdict::Failed, now, todo);
            }
            Timer::Publish => {
                let problem =
                    self.too_long("publishing metrics", "alarms may miss this job's values");
                self.published(Err(problem), now, todo);
            }
            _ => {}
        }
    }

    fn cancel(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        if self.cancelled
            || matches!(
                self.completion,
                Completion::Publishing(_) | Completion::Lowering(_)
            )
        {
            return;
        }
        self.cancelled = true;
        match self.phase {
            Phase::Queued | Phase::Preflight => {
                todo.push(JobEffect::Disarm(Timer::Preflight));
                self.done(Verdict::Cancelled, now);
            }
            _ if self.waits_for_pre() => self.abandon_pre(now, todo),
            // A call without a freeze cannot be taken back; its answer still deserves its label.
            Phase::Snapshotting if self.pre == FreezeCommand::Clean => {}
            Phase::Quiescing | Phase::Frozen | Phase::Snapshotting => self.thaw_or_go_on(now, todo),
            Phase::Completing => {
                todo.push(JobEffect::Disarm(Timer::Complete));
                self.publish(Verdict::Cancelled, now, todo);
            }
            // Thawing and labelling are never cut short.
            Phase::Thawing | Phase::Verifying | Phase::Done => {}
        }
    }

    /// Moves on to a phase; the one before ends now.
    fn enter(&mut self, phase: Phase, now: DateTime<Utc>) {
        if self.phase == phase && !self.phases.is_empty() {
            return;
        }
        if let Some(last) = self.phases.last_mut()
            && last.ended.is_none()
        {
            last.ended = Some(now);
        }
        self.phase = phase;
        self.phases.push(PhaseRecord {
            phase,
            started: now,
            ended: (phase == Phase::Done).then_some(now),
            failed: false,
        });
    }

    /// Keeps the first problem (the later ones follow from it) and marks the phase.
    fn fail_record(&mut self, problem: Problem) {
        if let Some(last) = self.phases.last_mut() {
            last.failed = true;
        }
        self.error.get_or_insert(problem);
    }

    fn done(&mut self, verdict: Verdict, now: DateTime<Utc>) {
        self.freeze_over(now);
        self.verdict = Some(verdict);
        self.enter(Phase::Done, now);
    }

    fn too_long(&self, doing: &str, hint: &str) -> Problem {
        Problem::new(
            Kind::Timeout,
            format!("{doing} of {}", self.spec.instance),
            "it took too long",
            hint,
        )
    }

    /// The moment from which the failsafe has certainly acted, however late the command began.
    fn failsafe_certain_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.began
            .map_or(now, |began| began.failsafe_certain_at(self.spec.budget_s))
    }

    /// Whether the end of the command that freezes is what the job waits for. In autonomous mode the set
    /// may have appeared meanwhile.
    fn waits_for_pre(&self) -> bool {
        self.pre == FreezeCommand::Open
            && matches!(self.phase, Phase::Quiescing | Phase::Snapshotting)
    }

    fn freezes_root_unasked(&self, facts: &PreflightFacts) -> bool {
        let asked = self.spec.freeze_root && self.spec.mode == Mode::Autonomous;
        !asked && facts.covered.iter().any(|m| m.mount == "/")
    }
}

fn arm(todo: &mut Vec<JobEffect>, timer: Timer, after: Duration) {
    todo.push(JobEffect::Arm { timer, after });
}

#[cfg(test)]
mod tests;

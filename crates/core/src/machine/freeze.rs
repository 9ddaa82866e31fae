//! From `pre-script` to the thaw: the part in which something may be frozen.

use crate::script_exit::ScriptExit;
use crate::thaw::{self, Followed, Freeze, ThawVerdict};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    ANSWER, CALL_UNFROZEN, Completion, DELIVERY_S, FreezeCommand, GRACE_S, Job, OFFERS, PREFLIGHT,
    SnapshotCall, ThawCommand, arm,
};
use super::{CommandEnd, CommandOutcome, CreatedSnapshot, JobEffect, Timer};
use crate::command::CommandReport;
use crate::held::Delivery;
use crate::ids::CommandId;
use crate::job::{Mode, OnFailure, Phase, Verdict};
use crate::no_start;
use crate::problem::{Kind, Problem};
use crate::refusal::Refusal;
use crate::trace::{self, Trace};

/// `post-script`s in close succession; one more follows when the failsafe has certainly acted.
const POSTS: u32 = 3;
/// Pause before the second `post-script`; doubles.
const THAW_PAUSE: Duration = Duration::from_secs(2);

impl Job {
    pub(super) fn pre_sent(
        &mut self,
        result: Result<CommandId, Problem>,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        match result {
            Ok(command) => {
                if self.pre_command.is_none() {
                    self.pre_command = Some(command.clone());
                    if self.delivery == Delivery::Unanswered {
                        self.delivery = Delivery::Taken;
                    }
                    if let Some(began) = &mut self.began {
                        began.accepted.get_or_insert(now);
                    }
                    // Given up in the meantime: keep it from starting if it has not.
                    if self.pre == FreezeCommand::Open && !self.waits_for_pre() {
                        todo.push(JobEffect::CancelCommand(command));
                    }
                }
            }
            Err(problem) if self.pre == FreezeCommand::Open && self.pre_command.is_none() => {
                // What has made a set has run, whatever the sender heard.
                let may_run = problem.may_have_happened || !self.seen.is_empty();
                if problem.kind == Kind::Throttled
                    && !may_run
                    && self.waits_for_pre()
                    && self.take_turn_again(now, todo)
                {
                    return;
                }
                self.fail_record(problem);
                if may_run {
                    if self.waits_for_pre() {
                        self.abandon_pre(now, todo);
                    }
                } else if self.waits_for_pre() {
                    self.pre = FreezeCommand::Clean;
                    todo.push(JobEffect::Disarm(Timer::Quiesce));
                    self.not_quiesced(now, todo);
                } else {
                    self.pre = FreezeCommand::Ended { conclusive: true };
                    if self.call == SnapshotCall::Unknown && self.completion == Completion::No {
                        self.call = SnapshotCall::NotMade;
                    }
                }
            }
            Err(_) => {}
        }
    }

    /// Systems Manager was too busy to take the command that freezes, so nothing was touched: the job goes back to
    /// before its freeze and waits for its turn. Waiting here instead would count against every time limit that
    /// begins with the sending. False when it was offered often enough.
    fn take_turn_again(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) -> bool {
        self.throttled += 1;
        if self.throttled >= OFFERS {
            return false;
        }
        let Some(facts) = self.facts.take() else {
            return false;
        };
        self.pre = FreezeCommand::Clean;
        self.began = None;
        todo.push(JobEffect::Disarm(Timer::Quiesce));
        self.enter(Phase::Preflight, now);
        todo.push(JobEffect::TakeTurn(facts));
        arm(todo, Timer::Preflight, PREFLIGHT);
        true
    }

    pub(super) fn pre_ended(
        &mut self,
        mut outcome: CommandOutcome,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        if self.pre != FreezeCommand::Open {
            return;
        }
        if let Some(began) = self.began {
            outcome.ended = outcome.ended.heard_after(now - began.sent);
        }
        let told = CommandReport {
            command: outcome.command.clone(),
            succeeded: outcome.ended == CommandEnd::Success,
            trace: trace::parse(&outcome.stdout),
        };
        let conclusive = outcome.ended.is_conclusive();
        self.pre = FreezeCommand::Ended { conclusive };
        if let Some(began) = &mut self.began
            && conclusive
        {
            began.ended = Some(now);
        }
        self.pre_command
            .get_or_insert_with(|| outcome.command.clone());
        let ready = told.succeeded && (told.trace.is_ready() || self.is_silent(&told.trace));
        // 204 is either another job at work, which is none of ours, or a second delivery of our own
        // pre-script: then the first one's freeze may stand.
        let clean = match &outcome.ended {
            CommandEnd::Failed { exit } => {
                told.trace.failed_cleanly()
                    && (*exit != ScriptExit::AlreadyFrozen || told.trace.has_error("busy"))
                    && !told.trace.may_begin_again()
            }
            // What has said something has run, whatever Systems Manager believes.
            CommandEnd::NeverDelivered => told.trace.lines.is_empty(),
            _ => false,
        };
        let problem = (!ready).then(|| self.pre_problem(&outcome, &told.trace));
        self.pre_told = Some(told);
        self.may_have_frozen = outcome.ended.may_have_frozen();
        if self.spec.mode == Mode::Autonomous {
            self.autonomous_ended(&outcome.ended, problem, now, todo);
            return;
        }
        if self.phase != Phase::Quiescing {
            return;
        }
        todo.push(JobEffect::Disarm(Timer::Quiesce));
        let Some(problem) = problem else {
            self.learn_from_third_party();
            self.frozen(now, todo);
            return;
        };
        self.fail_record(problem);
        if clean {
            self.pre = FreezeCommand::Clean;
            self.not_quiesced(now, todo);
        } else {
            self.thaw(now, todo);
        }
    }

    fn frozen(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        self.enter(Phase::Frozen, now);
        self.frozen_since = Some(now);
        self.enter(Phase::Snapshotting, now);
        // The freeze goes on under what follows; its phase ends with it.
        if let Some(frozen) = self.phases.iter_mut().rfind(|p| p.phase == Phase::Frozen) {
            frozen.ended = None;
        }
        self.call = SnapshotCall::UnderWay;
        self.order.frozen_before_request = true;
        todo.push(JobEffect::CreateSnapshots);
        // Half of what is left of the budget; the other half is for the thaw's delivery.
        let spent = self
            .pre_told
            .as_ref()
            .and_then(|told| told.trace.spent_ms())
            .unwrap_or_else(|| self.third_party_spent_ms(now));
        let left = (u64::from(self.spec.budget_s) * 1_000).saturating_sub(spent);
        arm(
            todo,
            Timer::Call,
            Duration::from_millis((left / 2).max(500)),
        );
    }

    /// No end of `pre-script` will be waited for: keep it from starting, and thaw.
    pub(super) fn abandon_pre(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        todo.push(JobEffect::Disarm(Timer::Quiesce));
        if let Some(command) = &self.pre_command {
            todo.push(JobEffect::CancelCommand(command.clone()));
        }
        if self.spec.mode == Mode::Autonomous {
            // Whether it has made its call only its trace or EC2 can say.
            self.call = SnapshotCall::Unknown;
        }
        self.thaw(now, todo);
    }

    /// Nothing is frozen and nothing was snapshotted.
    fn not_quiesced(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        if self.cancelled {
            self.done(Verdict::Cancelled, now);
        } else if self.spec.on_failure == OnFailure::CrashConsistent {
            self.call_unfrozen(now, todo);
        } else {
            self.publish(Verdict::Failed, now, todo);
        }
    }

    pub(super) fn call_unfrozen(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        if self.call == SnapshotCall::NotMade {
            self.pre = FreezeCommand::Clean;
            self.enter(Phase::Snapshotting, now);
            self.call = SnapshotCall::UnderWay;
            todo.push(JobEffect::CreateSnapshots);
            arm(todo, Timer::Call, CALL_UNFROZEN);
        }
    }

    pub(super) fn answered(
        &mut self,
        result: Result<Vec<CreatedSnapshot>, Problem>,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        // After a search by tag has begun, what was found decides; a later answer adds nothing.
        let open = match self.call {
            SnapshotCall::UnderWay => true,
            SnapshotCall::Unknown => {
                self.completion == Completion::No || self.completion == Completion::Finding
            }
            _ => false,
        };
        if !open {
            return;
        }
        match result {
            Ok(made) => {
                self.call = SnapshotCall::Answered;
                self.order.answered = true;
                self.order.answered_before_release = self.post == ThawCommand::Idle
                    && self.order.frozen_before_request
                    && !self.released_by_another;
                self.made = made;
            }
            Err(problem) => {
                self.call = if problem.may_have_happened {
                    SnapshotCall::Unknown
                } else {
                    SnapshotCall::Refused
                };
                self.fail_record(problem);
            }
        }
        if self.phase == Phase::Snapshotting {
            self.thaw_or_go_on(now, todo);
        } else if self.post == ThawCommand::Over {
            todo.push(JobEffect::Disarm(Timer::Answer));
            todo.push(JobEffect::Disarm(Timer::Find));
            self.completion = Completion::No;
            self.after_thaw(now, todo);
        }
    }

    /// The call's time is over, whatever came of it.
    pub(super) fn thaw_or_go_on(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        todo.push(JobEffect::Disarm(Timer::Call));
        if self.pre == FreezeCommand::Clean {
            self.post = ThawCommand::Over;
            self.after_thaw(now, todo);
        } else {
            self.thaw(now, todo);
        }
    }

    pub(super) fn thaw(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        self.enter(Phase::Thawing, now);
        if self.post == ThawCommand::Idle {
            self.send_post(now, todo);
        }
    }

    pub(super) fn send_post(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        self.posts += 1;
        self.post_delayed = false;
        self.posts_before.extend(self.post_now.take());
        // Somebody else's that began in time may freeze however late: no failsafe of ours stops it.
        let acted = !self.spec.third_party && now >= self.failsafe_certain_at(now);
        let conclusive = acted || self.pre == (FreezeCommand::Ended { conclusive: true });
        self.post = ThawCommand::UnderWay { conclusive };
        todo.push(JobEffect::SendPost);
        arm(
            todo,
            Timer::Thaw,
            Duration::from_secs(DELIVERY_S + 2 * GRACE_S),
        );
    }

    pub(super) fn post_sent(
        &mut self,
        result: Result<CommandId, Problem>,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        match result {
            Ok(command) => {
                if self.post == (ThawCommand::UnderWay { conclusive: true }) {
                    self.posts_after.push(command.clone());
                }
                self.post_now = Some(command.clone());
                self.post_command = Some(command);
            }
            Err(problem) if matches!(self.post, ThawCommand::UnderWay { .. }) => {
                self.fail_record(problem);
                self.thaw_again(now, todo);
            }
            Err(_) => {}
        }
    }

    /// A `post-script` ended. One that was given up may still bring the proof.
    pub(super) fn post_ended(
        &mut self,
        outcome: CommandOutcome,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        let conclusive = match self.post {
            ThawCommand::UnderWay { conclusive } => conclusive,
            ThawCommand::Pausing => false,
            ThawCommand::Idle | ThawCommand::Over => return,
        };
        // What an earlier one says it may have found before the command that freezes had ended.
        let late = self.posts_before.contains(&outcome.command);
        let conclusive = conclusive && !late;
        let told = CommandReport {
            command: outcome.command.clone(),
            succeeded: outcome.ended == CommandEnd::Success,
            trace: trace::parse(&outcome.stdout),
        };
        self.found_frozen |= told.trace.any_probed_frozen();
        // One that ran before its pre-script had ended released nothing of what that froze afterwards.
        let after = conclusive || self.posts_after.contains(&outcome.command);
        self.released |= self.spec.third_party && told.succeeded && after;
        let thawed = self.judge_thaw(&outcome.ended, &told.trace, conclusive);
        // Where the operator stopped it before anything was frozen, "no such job" is what was wanted.
        let wanted = self.cancelled
            && told.trace.has_error("not-frozen")
            && self.pre_told.as_ref().is_none_or(|pre| {
                let frozen = pre.trace.frozen_mounts();
                frozen.iter().all(|mount| pre.trace.leaves_open(mount))
            });
        let over = thawed == ThawVerdict::Confirmed;
        let instance = self.spec.instance.to_string();
        let problem = match over && self.released_by_another && told.trace.has_error("not-frozen") {
            true => Some(thawed_by_another(&instance)),
            false => post_problem(&instance, &outcome, &told.trace, over),
        };
        let problem = problem.filter(|_| !wanted);
        // A later one that only says "not frozen" must not hide the one that thawed.
        let tells = !told.trace.thawed_mounts().is_empty();
        if tells || self.post_told.is_none() {
            self.post_command = Some(told.command.clone());
            self.post_told = Some(told);
        }
        match thawed {
            ThawVerdict::Confirmed => {
                if let Some(problem) = problem {
                    self.fail_record(problem);
                }
                self.frozen_since = None;
                self.freeze_over(now);
                self.thaw_over(now, todo);
            }
            // An older one that ended late tells nothing about the pause that is on, or about the one under way.
            _ if late || self.post == ThawCommand::Pausing => {}
            // Meanwhile it has ended: the next one is conclusive.
            ThawVerdict::Later if self.pre == (FreezeCommand::Ended { conclusive: true }) => {
                self.thaw_again(now, todo);
            }
            ThawVerdict::Later => self.thaw_at_last(now, todo),
            ThawVerdict::Unconfirmed(()) | ThawVerdict::StillFrozen(()) => {
                if let Some(problem) = problem {
                    self.fail_record(problem);
                }
                self.thaw_again(now, todo);
            }
        }
    }

    pub(super) fn thaw_timed_out(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        if matches!(self.post, ThawCommand::UnderWay { .. }) {
            let problem = self.too_long("thawing", "the failsafe thaws at the end of its budget");
            self.fail_record(problem);
            self.thaw_again(now, todo);
        }
    }

    fn thaw_again(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        if self.posts < POSTS {
            todo.push(JobEffect::Disarm(Timer::Thaw));
            self.post = ThawCommand::Pausing;
            let pause = THAW_PAUSE * 2_u32.pow(self.posts.saturating_sub(1).min(4));
            arm(todo, Timer::ThawRetry, pause);
        } else {
            self.thaw_at_last(now, todo);
        }
    }

    /// One last look when the failsafe has certainly acted; after it there is none.
    fn thaw_at_last(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        todo.push(JobEffect::Disarm(Timer::Thaw));
        let wait = self.failsafe_certain_at(now) - now;
        // It froze and thawed, and told so: no later `post-script` can tell more.
        let told = self.told_that_nothing_is_held();
        let ran = |told: &CommandReport| told.trace.is_armed();
        // What freezes was certainly never sent: there is nothing to thaw, whether the thaw was answered or not.
        let never = self.never_taken() && !self.found_frozen;
        if never || (told && self.pre_told.as_ref().is_some_and(ran)) {
            self.frozen_since = None;
            self.thaw_over(now, todo);
        } else if self.posts <= POSTS && wait > chrono::TimeDelta::zero() {
            self.posts = POSTS;
            self.post = ThawCommand::Pausing;
            // A second more, so that the timer cannot run out just before the moment.
            let wait = wait.to_std().unwrap_or_default() + Duration::from_secs(1);
            arm(todo, Timer::ThawRetry, wait);
            // From then on `posts` is above the limit: this is the last.
            self.posts += 1;
        } else if told {
            self.thaw_over(now, todo);
        } else {
            self.thaw_unconfirmed = true;
            self.fail_record(Problem::new(
                Kind::Agent,
                format!("thaw {}", self.spec.instance),
                "nobody could confirm that everything is thawed",
                "look at the instance now: `fsfreeze -u MOUNT` releases a filesystem; the failsafe should have done so",
            ));
            self.thaw_over(now, todo);
        }
    }

    /// Whether the command that freezes has said to its last line that it left nothing held, and can neither go on nor
    /// be the second delivery of one that did not.
    fn told_that_nothing_is_held(&self) -> bool {
        let nothing = |told: &CommandReport| {
            told.trace.left_nothing_held() && !told.trace.is_of_a_second_delivery()
        };
        !self.spec.third_party
            && !self.found_frozen
            && self.pre == (FreezeCommand::Ended { conclusive: true })
            && self.pre_told.as_ref().is_some_and(nothing)
    }

    /// What a `post-script` that has ended shows of this job's freeze.
    fn judge_thaw(&self, ended: &CommandEnd, post: &Trace, conclusive: bool) -> ThawVerdict {
        let covered = self.facts.iter().flat_map(|facts| &facts.covered);
        let covered: Vec<&str> = covered.map(|m| m.mount.as_str()).collect();
        let freeze = Freeze {
            third_party: self.spec.third_party,
            conclusive,
            may_hold: self.third_party_may_hold(),
            followed: Some(Followed {
                trace: self.pre_told.as_ref().map(|told| &told.trace),
                covered: &covered,
                over: self.pre == FreezeCommand::Ended { conclusive: true },
            }),
        };
        thaw::judge(ended, post, &freeze)
    }

    /// The freeze is over, or nobody here can say more of it.
    pub(super) fn freeze_over(&mut self, now: DateTime<Utc>) {
        for record in &mut self.phases {
            if record.phase == Phase::Frozen {
                record.ended.get_or_insert(now);
            }
        }
    }

    /// The proof came too late for the level, which stays what it is.
    pub(super) fn thaw_proven(&mut self, now: DateTime<Utc>) {
        if self.thaw_unconfirmed && self.post == ThawCommand::Over {
            self.thaw_unconfirmed = false;
            self.frozen_since = None;
            self.freeze_over(now);
        }
    }

    fn thaw_over(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        todo.push(JobEffect::Disarm(Timer::Thaw));
        todo.push(JobEffect::Disarm(Timer::ThawRetry));
        self.post = ThawCommand::Over;
        self.after_thaw(now, todo);
    }

    /// Nothing is frozen any more, as far as anyone can find out. What came of the call?
    pub(super) fn after_thaw(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        match self.call {
            SnapshotCall::Answered => self.verify(now, todo),
            SnapshotCall::UnderWay => arm(todo, Timer::Answer, ANSWER),
            SnapshotCall::Unknown => self.search_by_tag(now, todo),
            SnapshotCall::Refused if self.cancelled => self.done(Verdict::Cancelled, now),
            SnapshotCall::Refused => self.publish(Verdict::Failed, now, todo),
            SnapshotCall::NotMade => self.not_quiesced(now, todo),
        }
    }

    fn pre_problem(&self, outcome: &CommandOutcome, trace: &Trace) -> Problem {
        let what = format!("quiesce {}", self.spec.instance);
        if let Some(error) = trace.first_error() {
            let hint = match (Refusal::of(error.code(), &error.text()), error.code()) {
                (Some(refusal), _) => refusal.hint(),
                (None, "snapshot-unknown") => {
                    "it is looked for by its tag, and what was made is in the job's set; look at the instance's way \
                     to EC2, and take it again"
                }
                _ => "nothing was changed for good; correct what the message names and try again",
            };
            return Problem::new(Kind::Script, what, error.text(), hint).with_code(error.code());
        }
        let hint = "read the command's whole output in Run Command's history";
        let word = match self.spec.mode {
            Mode::Coordinated => "pre-script",
            Mode::Autonomous => "snapshot",
        };
        let (kind, cause) = match &outcome.ended {
            CommandEnd::Success => (
                Kind::Malformed,
                format!("{word} ended well but never said ready"),
            ),
            CommandEnd::Failed {
                exit: ScriptExit::Unstated,
            } => (
                Kind::Script,
                format!(
                    "{word} was killed by a signal that the SSM agent did not send, or could not be started"
                ),
            ),
            CommandEnd::Failed { exit } => {
                let cause = format!("{word} ended with exit code {exit}");
                let spoke = self.spec.third_party || !trace.lines.is_empty();
                if no_start::is(*exit, spoke, &outcome.stderr) {
                    return Problem::new(Kind::Script, what, cause, no_start::HINT);
                }
                (Kind::Script, cause)
            }
            CommandEnd::TimedOut { .. } => (Kind::Timeout, format!("{word} took too long")),
            CommandEnd::NeverDelivered => {
                let hint = "look at the SSM agent on the instance";
                let cause = format!("{word} was never delivered");
                return Problem::new(Kind::Agent, what, cause, hint);
            }
            CommandEnd::Cancelled { .. } => (Kind::Cancelled, format!("{word} was cancelled")),
            CommandEnd::WorkerLost => (
                Kind::Agent,
                format!("the SSM agent lost its worker for {word}, which may run still"),
            ),
            CommandEnd::Lost(problem) => return problem.clone(),
        };
        Problem::new(kind, what, cause, hint)
    }
}

/// `freezeframe jobs abort`, or another console, was faster.
fn thawed_by_another(instance: &str) -> Problem {
    Problem::new(
        Kind::Cancelled,
        format!("hold the freeze of {instance}"),
        "another process asked for its thaw (`freezeframe jobs abort`, or x in another console) before its snapshots were \
         answered",
        "nothing is frozen there; run the job again where its level is too low",
    )
}

/// What a `post-script` complained of, if it did; `over` says that it proves all the same that nothing is frozen.
fn post_problem(
    instance: &str,
    outcome: &CommandOutcome,
    trace: &Trace,
    over: bool,
) -> Option<Problem> {
    let what = format!("thaw {instance}");
    let hint = match over {
        true if trace.has_error("not-frozen") => {
            "nothing is frozen there and nothing is to be released: an earlier command thawed it already, or the one \
             that freezes never began; run the job again where its level is too low"
        }
        true if trace.fired() == Some(true) => {
            "it is thawed: the failsafe did it when the budget was spent; raise --max-freeze, or find what was slow"
        }
        true => "it is thawed, as its probes say; look at the command's output for what went wrong",
        false => "look at the probes in the command's output; `fsfreeze -u MOUNT` releases by hand",
    };
    if let Some(error) = trace.first_error() {
        return Some(Problem::new(Kind::Script, what, error.text(), hint).with_code(error.code()));
    }
    match &outcome.ended {
        CommandEnd::Success => None,
        CommandEnd::Lost(problem) => Some(problem.clone()),
        CommandEnd::Failed { exit } => {
            let cause = format!("post-script ended with exit code {exit}");
            Some(Problem::new(Kind::Script, what, cause, hint))
        }
        CommandEnd::TimedOut { .. }
        | CommandEnd::NeverDelivered
        | CommandEnd::Cancelled { .. }
        | CommandEnd::WorkerLost => Some(Problem::new(
            Kind::Agent,
            what,
            "post-script did not run to its end",
            hint,
        )),
    }
}

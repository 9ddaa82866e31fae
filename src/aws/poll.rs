//! One poller for all commands that a session waits for.
//!
//! Few commands are asked for one by one; many are looked up in one listing, and only those that it shows
//! as ended are asked for. A `pre-script` is asked for first and waits for no token: every moment that passes
//! before its end is known may be a moment of freeze. Where many are under way, or the tokens for questions run
//! low, one listing follows the other closely instead, so that their questions do not use up what Systems Manager
//! answers in a second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::session::Session;
use super::ssm::Polled;
use crate::domain::command::{CommandEnd, CommandOutcome};
use crate::domain::held::Delivery;
use crate::domain::ids::{CommandId, InstanceId};
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};

/// First and longest pause between two questions for one command. The first is short because every
/// millisecond of it may be a millisecond of freeze.
const FIRST: Duration = Duration::from_millis(150);
const LONGEST: Duration = Duration::from_millis(1_000);
const LONGEST_URGENT: Duration = Duration::from_millis(500);
/// How long asking goes on although it fails, before the command counts as lost.
const PATIENCE: Duration = Duration::from_secs(120);
/// As long when it fails because the credentials have expired: they do not come back by waiting, and whoever
/// looks on has to be told before time limits speak of something else.
const PATIENCE_EXPIRED: Duration = Duration::from_secs(20);
/// Up to so many commands are asked for one by one, and up to so many that may hold a freeze.
const FEW: usize = 8;
const FEW_URGENT: usize = 4;
/// Pause between two listings, and the longest after listings that failed.
const LISTING: Duration = Duration::from_millis(700);
/// The same while many commands may hold a freeze.
const LISTING_URGENT: Duration = Duration::from_millis(300);
const LISTING_LONGEST: Duration = Duration::from_secs(10);
/// A listing may be late: each command is asked for by itself at least so often.
const SURELY: Duration = Duration::from_secs(5);
const SURELY_URGENT: Duration = Duration::from_secs(2);
/// Pause when our own bucket has no token.
const NO_TOKEN: Duration = Duration::from_millis(100);
/// Pages of one listing.
const PAGES: usize = 20;

/// The commands that somebody waits for. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Poller(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    serving: bool,
    watches: BTreeMap<u64, Watch>,
    /// Commands that were sent and hold, or will hold, a freeze; watched from the next moment on.
    urgent: BTreeSet<CommandId>,
    listing: Listing,
}

#[derive(Debug, Default)]
struct Listing {
    under_way: bool,
    refused: bool,
    failures: u32,
    next: Option<Instant>,
}

#[derive(Debug)]
struct Watch {
    command: CommandId,
    instance: InstanceId,
    urgent: bool,
    /// A moment of AWS's clock that certainly lies before the command was sent.
    invoked_after: DateTime<Utc>,
    pause: Duration,
    due: Instant,
    asked: Instant,
    busy: bool,
    /// A listing shows it as ended.
    seen_ended: bool,
    answered: Instant,
    reply: oneshot::Sender<CommandOutcome>,
    /// Told how far it is, where somebody wants to know.
    seen: Option<watch::Sender<Delivery>>,
}

/// What is to be done now.
#[derive(Debug, Default)]
struct Plan {
    ask: Vec<(u64, CommandId, InstanceId)>,
    list: Option<(DateTime<Utc>, BTreeSet<CommandId>)>,
    wake: Option<Instant>,
}

impl Poller {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    /// This command is asked for before all others.
    pub(super) fn hasten(&self, command: &CommandId) {
        self.state().urgent.insert(command.clone());
    }
}

impl State {
    /// What is due at `now`; `None` when nobody waits any more. `plenty`: there are tokens for asking one by one.
    /// `token` takes one, for an urgent question (then it must be had) or another.
    fn plan(&mut self, now: Instant, plenty: bool, token: impl Fn(bool) -> bool) -> Option<Plan> {
        self.watches.retain(|_, watch| !watch.reply.is_closed());
        if self.watches.is_empty() {
            self.serving = false;
            self.urgent.clear();
            return None;
        }
        let urgent = self.watches.values().filter(|w| w.urgent).count();
        let patient = self.watches.len() - urgent;
        let listed = |count: usize, few: usize| count > if plenty { few } else { 0 };
        let crowd = listed(urgent, FEW_URGENT) && !self.listing.refused;
        let many = listed(patient, FEW) && !self.listing.refused;
        // Where listings are refused, many are asked for more seldom.
        let spread = if patient > FEW {
            Duration::from_millis(60) * u32::try_from(patient).unwrap_or(u32::MAX)
        } else {
            Duration::ZERO
        };
        let mut plan = Plan::default();
        let mut wake = |at: Instant| plan.wake = Some(plan.wake.map_or(at, |old| old.min(at)));
        let mut order: Vec<u64> = self.watches.keys().copied().collect();
        order.sort_by_key(|key| !self.watches.get(key).is_some_and(|w| w.urgent));
        for key in order {
            let Some(watch) = self.watches.get_mut(&key) else {
                continue;
            };
            if watch.busy {
                continue;
            }
            let due = match watch.urgent {
                _ if watch.seen_ended => watch.due,
                true if crowd => watch.asked + SURELY_URGENT,
                true => watch.due,
                false if many => watch.asked + SURELY,
                false => watch.due.max(watch.asked + spread),
            };
            if due > now {
                wake(due);
            } else if token(watch.urgent) {
                watch.busy = true;
                watch.asked = now;
                plan.ask
                    .push((key, watch.command.clone(), watch.instance.clone()));
            } else {
                watch.due = now + NO_TOKEN;
                wake(watch.due);
            }
        }
        if (crowd || many) && !self.listing.under_way {
            let pause = if crowd { LISTING_URGENT } else { LISTING };
            let mut next = self.listing.next.unwrap_or(now + pause);
            if self.listing.failures == 0 {
                next = next.min(now + pause);
            }
            self.listing.next = Some(next);
            if next <= now {
                let wanted = self
                    .watches
                    .values()
                    .filter(|w| if w.urgent { crowd } else { many });
                let after = wanted.clone().map(|w| w.invoked_after).min();
                self.listing.under_way = true;
                plan.list = after.map(|after| (after, wanted.map(|w| w.command.clone()).collect()));
            } else {
                wake(next);
            }
        }
        Some(plan)
    }

    /// Takes an answer in; what has ended is told to whoever waits.
    fn answered(&mut self, key: u64, answer: Result<Polled, Problem>, now: Instant) {
        let Some(watch) = self.watches.get_mut(&key) else {
            return;
        };
        watch.busy = false;
        watch.seen_ended = false;
        watch.due = now + watch.pause;
        let longest = if watch.urgent {
            LONGEST_URGENT
        } else {
            LONGEST
        };
        watch.pause = watch.pause.mul_f32(1.3).min(longest);
        let ended = match answer {
            Ok(Polled::Ended(outcome)) => outcome,
            Ok(Polled::Running(delivery)) => {
                watch.answered = now;
                if let Some(seen) = &watch.seen {
                    seen.send_if_modified(|old| std::mem::replace(old, delivery) != delivery);
                }
                return;
            }
            Err(problem) if now.duration_since(watch.answered) > patience(&problem) => {
                CommandOutcome {
                    command: watch.command.clone(),
                    ended: CommandEnd::Lost(problem),
                    stdout: String::new(),
                    stderr: String::new(),
                }
            }
            Err(problem) => {
                tracing::warn!(%problem, "asking for a command failed, asking again");
                return;
            }
        };
        if let Some(watch) = self.watches.remove(&key) {
            self.urgent.remove(&watch.command);
            // Whoever waited may have given up.
            let _ = watch.reply.send(ended);
        }
    }

    fn listed(&mut self, answer: Result<BTreeSet<CommandId>, Problem>, now: Instant) {
        self.listing.under_way = false;
        match answer {
            Ok(ended) => {
                self.listing.failures = 0;
                self.listing.next = Some(now + LISTING);
                for watch in self.watches.values_mut() {
                    if ended.contains(&watch.command) && !watch.busy {
                        watch.seen_ended = true;
                        watch.due = now;
                    }
                }
            }
            Err(problem) => {
                tracing::warn!(%problem, "listing commands failed; each is asked for by itself");
                self.listing.refused |= problem.kind == Kind::Denied;
                self.listing.failures = (self.listing.failures + 1).min(10);
                let pause = LISTING * 2_u32.pow(self.listing.failures);
                self.listing.next = Some(now + pause.min(LISTING_LONGEST));
            }
        }
    }
}

impl Session {
    /// Waits for the end of a command. Asking that fails for 120 s makes the command
    /// [`CommandEnd::Lost`], which proves nothing. `invoked_after` is a time before it was sent.
    pub async fn outcome(
        &self,
        command: &CommandId,
        instance: &InstanceId,
        invoked_after: DateTime<Utc>,
    ) -> CommandOutcome {
        self.outcome_telling(command, instance, invoked_after, None)
            .await
    }

    /// As [`Self::outcome`]; `seen` is told how far it is meanwhile.
    pub async fn outcome_telling(
        &self,
        command: &CommandId,
        instance: &InstanceId,
        invoked_after: DateTime<Utc>,
        seen: Option<watch::Sender<Delivery>>,
    ) -> CommandOutcome {
        let (reply, told) = oneshot::channel();
        let serve = {
            let mut state = self.poller.state();
            let now = Instant::now();
            let key = state.next;
            state.next += 1;
            let urgent = state.urgent.contains(command);
            state.watches.insert(
                key,
                Watch {
                    command: command.clone(),
                    instance: instance.clone(),
                    urgent,
                    invoked_after,
                    pause: FIRST.mul_f32(1.3),
                    due: now + FIRST,
                    asked: now,
                    busy: false,
                    seen_ended: false,
                    answered: now,
                    reply,
                    seen,
                },
            );
            !std::mem::replace(&mut state.serving, true)
        };
        if serve {
            tokio::spawn(self.clone().serve());
        }
        self.poller.0.changed.notify_one();
        told.await.unwrap_or_else(|_| CommandOutcome {
            command: command.clone(),
            ended: CommandEnd::Lost(Problem::new(
                Kind::Local,
                format!("wait for command {command}"),
                "the poller ended by a defect",
                "look at the command in Run Command's history; please report this",
            )),
            stdout: String::new(),
            stderr: String::new(),
        })
    }

    /// Asks as long as somebody waits. One question that hangs holds up no other.
    async fn serve(self) {
        loop {
            let token = |urgent| {
                let bucket = Bucket::GetCommandInvocation;
                if urgent {
                    self.pace.take_now(bucket);
                }
                urgent || self.pace.take_if_there(bucket)
            };
            let plenty = self.pace.is_half_full(Bucket::GetCommandInvocation);
            let plan = self.poller.state().plan(Instant::now(), plenty, token);
            let Some(plan) = plan else { return };
            for (key, command, instance) in plan.ask {
                let session = self.clone();
                tokio::spawn(async move {
                    let answer = session.poll_once(&command, &instance).await;
                    let answer = session.pace.learn(Bucket::GetCommandInvocation, answer);
                    session.poller.state().answered(key, answer, Instant::now());
                    session.poller.0.changed.notify_one();
                });
            }
            if let Some((after, wanted)) = plan.list {
                let session = self.clone();
                tokio::spawn(async move {
                    let answer = session.ended_commands(after, &wanted, PAGES).await;
                    session.poller.state().listed(answer, Instant::now());
                    session.poller.0.changed.notify_one();
                });
            }
            let changed = self.poller.0.changed.notified();
            match plan.wake {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }
}

fn patience(problem: &Problem) -> Duration {
    if problem.kind == Kind::Credentials {
        PATIENCE_EXPIRED
    } else {
        PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits_for(state: &mut State, name: &str, urgent: bool) -> oneshot::Receiver<CommandOutcome> {
        let (reply, told) = oneshot::channel();
        let now = Instant::now();
        state.next += 1;
        state.watches.insert(
            state.next,
            Watch {
                command: CommandId::from_api(name),
                instance: InstanceId::from_api("i-1"),
                urgent,
                invoked_after: DateTime::UNIX_EPOCH,
                pause: FIRST,
                due: now,
                asked: now,
                busy: false,
                seen_ended: false,
                answered: now,
                reply,
                seen: None,
            },
        );
        told
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.ask.iter().map(|(_, c, _)| c.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_asked_one_by_one_and_the_urgent_first_even_without_a_token() {
        let mut state = State::default();
        let _a = waits_for(&mut state, "look-1", false);
        let _b = waits_for(&mut state, "pre-1", true);
        let plan = state.plan(Instant::now(), true, |urgent| urgent).unwrap();
        assert_eq!(names(&plan), ["pre-1"]);
        assert!(plan.list.is_none());
        let later = Instant::now() + NO_TOKEN;
        let plan = state.plan(later, true, |_| true).unwrap();
        assert_eq!(names(&plan), ["look-1"], "the other is under way");
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_listed_and_only_the_ended_are_asked_for() {
        let mut state = State::default();
        let waiting: Vec<_> = (0..20)
            .map(|n| waits_for(&mut state, &format!("look-{n}"), false))
            .collect();
        let _pre = waits_for(&mut state, "pre", true);
        let now = Instant::now();
        assert_eq!(names(&state.plan(now, true, |_| true).unwrap()), ["pre"]);
        let plan = state.plan(now + LISTING, true, |_| true).unwrap();
        assert!(plan.ask.is_empty());
        let (_, wanted) = plan.list.unwrap();
        assert_eq!(wanted.len(), 20);
        let ended = BTreeSet::from([CommandId::from_api("look-7")]);
        state.listed(Ok(ended), now + LISTING);
        let plan = state.plan(now + LISTING, true, |_| true).unwrap();
        assert_eq!(names(&plan), ["look-7"]);
        // A listing may be late: in the end each is asked for all the same.
        let plan = state.plan(now + SURELY, true, |_| true).unwrap();
        assert_eq!(plan.ask.len(), 19);
        drop(waiting);
        drop(_pre);
        assert!(state.plan(now, true, |_| true).is_none());
    }

    /// Many that may be frozen share listings too, which then follow each other closely.
    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_urgent_ones_is_listed_more_often() {
        let mut state = State::default();
        let waiting: Vec<_> = (0..6)
            .map(|n| waits_for(&mut state, &format!("pre-{n}"), true))
            .collect();
        let now = Instant::now();
        assert!(state.plan(now, true, |_| true).unwrap().ask.is_empty());
        let plan = state.plan(now + LISTING_URGENT, true, |_| true).unwrap();
        assert_eq!(plan.list.unwrap().1.len(), 6);
        state.listed(
            Ok(BTreeSet::from([CommandId::from_api("pre-3")])),
            now + LISTING_URGENT,
        );
        let plan = state
            .plan(now + LISTING_URGENT, true, |urgent| urgent)
            .unwrap();
        assert_eq!(names(&plan), ["pre-3"]);
        let plan = state
            .plan(now + SURELY_URGENT, true, |urgent| urgent)
            .unwrap();
        assert_eq!(plan.ask.len(), 5, "and each by itself, in the end");
        drop(waiting);
    }

    #[tokio::test(start_paused = true)]
    async fn where_tokens_run_low_even_few_are_listed() {
        let mut state = State::default();
        let _a = waits_for(&mut state, "look-1", false);
        let _b = waits_for(&mut state, "pre-1", true);
        let now = Instant::now();
        let plan = state.plan(now, false, |_| true).unwrap();
        assert!(plan.ask.is_empty());
        let plan = state.plan(now + LISTING_URGENT, false, |_| true).unwrap();
        assert_eq!(plan.list.unwrap().1.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_cannot_be_asked_for_is_lost_after_a_while_and_not_before() {
        let mut state = State::default();
        let mut told = waits_for(&mut state, "c", false);
        let problem = || Problem::new(Kind::Network, "ask", "no route", "wait");
        let now = Instant::now();
        state.answered(1, Err(problem()), now + PATIENCE);
        assert!(told.try_recv().is_err());
        state.answered(1, Ok(Polled::Running(Delivery::Pending)), now + PATIENCE);
        state.answered(1, Err(problem()), now + PATIENCE * 2);
        assert!(told.try_recv().is_err());
        state.answered(1, Err(problem()), now + PATIENCE * 3);
        assert!(matches!(
            told.try_recv().unwrap().ended,
            CommandEnd::Lost(_)
        ));
    }
}

//! Who may go on: a bounded number of jobs at once, a bounded number of freezes per group, one job per
//! instance. Nobody waits here while something is frozen, and nobody holds a slot while it waits for
//! its group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use tokio::sync::{oneshot, watch};

use crate::domain::ids::InstanceId;
use crate::domain::job::{JobSpec, JobView, Phase};
use crate::domain::run::Limits;

/// The turnstile of a run. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Turnstile(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    limits: Limits,
    next: u64,
    inside: u32,
    groups: BTreeMap<String, u32>,
    instances: BTreeSet<InstanceId>,
    /// In the order of arrival.
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    instance: InstanceId,
    group: Option<String>,
    open: oneshot::Sender<Pass>,
    why: watch::Sender<String>,
}

/// A place in the queue.
#[derive(Debug)]
pub(in crate::ops) struct Place {
    /// The pass, once it is this one's turn.
    pub(in crate::ops) pass: oneshot::Receiver<Pass>,
    /// What it waits for, in words.
    pub(in crate::ops) why: watch::Receiver<String>,
}

/// What a job holds while it runs; it is given back piece by piece, and the rest when dropped.
#[derive(Debug, Default)]
pub(in crate::ops) struct Pass {
    turnstile: Option<Turnstile>,
    slot: bool,
    group: Option<String>,
    instance: Option<InstanceId>,
}

impl Turnstile {
    pub(in crate::ops) fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(State {
            limits,
            next: 0,
            inside: 0,
            groups: BTreeMap::new(),
            instances: BTreeSet::new(),
            waiting: BTreeMap::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Queues up. Dropping the place leaves the queue.
    pub(in crate::ops) fn queue(&self, spec: &JobSpec) -> Place {
        let (open, pass) = oneshot::channel();
        let (why, told) = watch::channel(String::new());
        {
            let mut state = self.state();
            let key = state.next;
            state.next += 1;
            state.waiting.insert(
                key,
                Waiting {
                    instance: spec.instance.clone(),
                    group: spec.group.clone(),
                    open,
                    why,
                },
            );
        }
        self.open();
        Place { pass, why: told }
    }

    /// Lets in who may go in, in the order of arrival; tells the others what they wait for.
    fn open(&self) {
        let ready = self.state().ready();
        for (waiting, mut pass) in ready {
            pass.turnstile = Some(self.clone());
            // Who left the queue meanwhile gives the pass back by dropping it, which opens again.
            let _ = waiting.open.send(pass);
        }
    }
}

impl State {
    fn obstacle(&self, waiting: &Waiting) -> Option<String> {
        if self.instances.contains(&waiting.instance) {
            return Some(format!("waits for the other job on {}", waiting.instance));
        }
        let full = waiting
            .group
            .as_ref()
            .filter(|group| self.groups.get(*group) >= Some(&self.limits.freezes_per_group));
        if let Some(group) = full {
            return Some(waits_for_group(group));
        }
        (self.inside >= self.limits.at_once)
            .then(|| format!("waits for its turn, {} at once", self.limits.at_once))
    }

    fn ready(&mut self) -> Vec<(Waiting, Pass)> {
        let mut ready = Vec::new();
        let keys: Vec<u64> = self.waiting.keys().copied().collect();
        for key in keys {
            let Some(waiting) = self.waiting.get(&key) else {
                continue;
            };
            if waiting.open.is_closed() {
                self.waiting.remove(&key);
                continue;
            }
            if let Some(obstacle) = self.obstacle(waiting) {
                waiting.why.send_if_modified(|old| {
                    let other = *old != obstacle;
                    *old = obstacle;
                    other
                });
                continue;
            }
            let Some(waiting) = self.waiting.remove(&key) else {
                continue;
            };
            self.inside += 1;
            self.instances.insert(waiting.instance.clone());
            if let Some(group) = &waiting.group {
                *self.groups.entry(group.clone()).or_default() += 1;
            }
            let pass = Pass {
                turnstile: None,
                slot: true,
                group: waiting.group.clone(),
                instance: Some(waiting.instance.clone()),
            };
            ready.push((waiting, pass));
        }
        ready
    }
}

impl Pass {
    /// Gives back what a job in that state needs no more: its group once nothing is frozen, its slot
    /// once only AWS's copying is left.
    pub(in crate::ops) fn advance(&mut self, view: &JobView) {
        let group = if view.phase >= Phase::Verifying && !view.thaw_unconfirmed {
            self.group.take()
        } else {
            None
        };
        let slot = view.phase >= Phase::Completing && std::mem::take(&mut self.slot);
        self.give_back(slot, group, None);
    }

    /// The run's limits; the default ones outside a run.
    pub(in crate::ops) fn limits(&self) -> Limits {
        self.turnstile
            .as_ref()
            .map_or_else(Limits::default, |turnstile| {
                turnstile.state().limits.clone()
            })
    }

    fn give_back(&self, slot: bool, group: Option<String>, instance: Option<InstanceId>) {
        let Some(turnstile) = &self.turnstile else {
            return;
        };
        if !slot && group.is_none() && instance.is_none() {
            return;
        }
        {
            let mut state = turnstile.state();
            if slot {
                state.inside = state.inside.saturating_sub(1);
            }
            if let Some(group) = group
                && let Some(count) = state.groups.get_mut(&group)
            {
                *count = count.saturating_sub(1);
            }
            if let Some(instance) = instance {
                state.instances.remove(&instance);
            }
        }
        turnstile.open();
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let (slot, group, instance) = (
            std::mem::take(&mut self.slot),
            self.group.take(),
            self.instance.take(),
        );
        self.give_back(slot, group, instance);
    }
}

/// The words with which a job waits for its group.
pub(in crate::ops) fn waits_for_group(group: &str) -> String {
    format!("waits for group {}", crate::domain::text::visible(group))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(instance: &str, group: Option<&str>) -> JobSpec {
        serde_json::from_value(json!({
            "job": "00000000-0000-4000-8000-000000000001", "run": "00000000-0000-4000-8000-000000000002",
            "account": "123456789012", "region": "eu-central-1", "instance": instance, "instance_name": "db",
            "recipe": "r", "document": "d", "mode": "coordinated", "budget_s": 30, "on_failure": "skip",
            "mounts": [], "namespace": "N", "group": group,
        }))
        .unwrap()
    }

    fn at(phase: Phase, unconfirmed: bool) -> JobView {
        let mut view = crate::domain::machine::Job::new(spec("i-1", None)).view();
        view.phase = phase;
        view.thaw_unconfirmed = unconfirmed;
        view
    }

    fn turnstile(at_once: u32) -> Turnstile {
        Turnstile::new(Limits {
            at_once,
            ..Limits::default()
        })
    }

    #[test]
    fn a_primary_and_its_replica_are_never_inside_together_and_hold_up_nobody_else() {
        let turnstile = turnstile(2);
        let mut primary = turnstile.queue(&spec("i-1", Some("db-1")));
        let mut pass = primary.pass.try_recv().unwrap();
        let mut replica = turnstile.queue(&spec("i-2", Some("db-1")));
        let mut other = turnstile.queue(&spec("i-3", Some("db-2")));
        assert!(replica.pass.try_recv().is_err());
        assert_eq!(*replica.why.borrow(), "waits for group db-1");
        let _other = other.pass.try_recv().unwrap();
        // Frozen or thawing, the group is taken; thawed for certain, it is free, but no slot is.
        pass.advance(&at(Phase::Thawing, false));
        pass.advance(&at(Phase::Verifying, true));
        assert_eq!(*replica.why.borrow(), "waits for group db-1");
        pass.advance(&at(Phase::Verifying, false));
        assert!(replica.pass.try_recv().is_err());
        assert_eq!(*replica.why.borrow(), "waits for its turn, 2 at once");
        pass.advance(&at(Phase::Completing, false));
        assert!(replica.pass.try_recv().is_ok());
    }

    #[test]
    fn an_instance_has_one_job_to_its_very_end() {
        let turnstile = turnstile(5);
        let mut first = turnstile.queue(&spec("i-1", None));
        let mut pass = first.pass.try_recv().unwrap();
        let mut second = turnstile.queue(&spec("i-1", None));
        pass.advance(&at(Phase::Completing, false));
        assert!(second.pass.try_recv().is_err());
        assert_eq!(*second.why.borrow(), "waits for the other job on i-1");
        drop(pass);
        assert!(second.pass.try_recv().is_ok());
    }

    #[test]
    fn a_job_that_leaves_the_queue_or_drops_its_pass_releases_everything() {
        let turnstile = turnstile(1);
        let first = turnstile.queue(&spec("i-1", Some("g")));
        let second = turnstile.queue(&spec("i-2", Some("g")));
        let mut third = turnstile.queue(&spec("i-3", Some("g")));
        drop(second);
        // The first had its pass already; nobody took it.
        drop(first);
        assert!(third.pass.try_recv().is_ok());
        assert!(turnstile.state().waiting.is_empty());
        assert_eq!(turnstile.state().inside, 0, "given back on drop");
    }
}

//! Faults that the lab can be told to commit: on calls, on the way of a command to an agent and back, and in how soon
//! the world shows what was done to it. One by one ([`Faults::inject`]), or as a plan with a name ([`plan`]).

pub mod plan;

use std::time::Duration;

use parking_lot::Mutex;

pub use plan::{Plan, Weather};

/// Ending of the name of an operation's dry run.
pub const DRY_RUN: &str = ":DryRun";
/// Codes by which EC2 refuses what the caller has no right to; its dry run tells them.
const RIGHTS: [&str; 4] = [
    "UnauthorizedOperation",
    "AuthFailure",
    "OptInRequired",
    "Blocked",
];

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The service answers with this error and does nothing.
    Error {
        /// AWS's code.
        code: String,
        /// What is wrong.
        message: String,
        /// HTTP status.
        status: u16,
    },
    /// The call takes this much longer (before it is handled).
    Delay(Duration),
    /// The call is handled at once, its answer comes this much later.
    Slow(Duration),
    /// The connection breaks before the request is handled.
    Reset,
    /// The request is handled, its answer never arrives.
    LoseResponse,
    /// The caller's credentials have expired, in the words of each service.
    Expired,
    /// The caller's clock is too far off, in the words of each service.
    Skewed,
    /// What befalls a command on its way; `action` then names the document's command, such as `pre-script`.
    Command(Mishap),
}

/// What befalls a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// The agent takes it up this long after it was sent, whatever the service says of it by then.
    Late(Duration),
    /// It is delivered again this long after its start, and runs twice; the second end is never heard of.
    Twice(Duration),
    /// Somebody else cancels it this long after its start.
    Cancelled(Duration),
    /// It is killed this long after its start, by somebody who is not the agent.
    Killed(Duration),
    /// The agent's time limit for it is over this long after its start.
    TimedOut(Duration),
    /// The agent's worker that follows it is gone this long after its start; the script runs on, and nobody hears of it.
    WorkerLost(Duration),
    /// The agent loses its connection when it starts, for this long.
    AgentLost(Duration),
    /// Only so many characters of its output arrive.
    Truncated(usize),
}

/// One order to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Operation name such as `CreateSnapshots`, or `*` for every one, dry runs included. A dry run of an operation has
    /// the name `CreateSnapshots:DryRun`; an order that refuses the operation itself for a lack of rights refuses its dry
    /// runs too, and is not used up by them. For [`FaultKind::Command`] the `command`
    /// parameter of the document.
    pub action: String,
    /// How many matching calls pass before the first failure.
    pub skip: u32,
    /// How many calls fail after that.
    pub times: u32,
    /// What goes wrong.
    pub kind: FaultKind,
}

#[derive(Debug)]
struct Order {
    fault: Fault,
    /// How many of a hundred matching calls it hits.
    percent: u8,
}

/// The orders that are still open.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Book>);

#[derive(Debug)]
struct Book {
    orders: Vec<Order>,
    rng: fastrand::Rng,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            orders: Vec::new(),
            rng: fastrand::Rng::with_seed(0),
        }
    }
}

impl Faults {
    /// Adds an order; orders for the same action are obeyed in the order of their coming.
    pub fn inject(&self, fault: Fault) {
        self.add(fault, 100);
    }

    /// Adds an order that hits only so many percent of the matching calls.
    pub fn add(&self, fault: Fault, percent: u8) {
        self.book().orders.push(Order { fault, percent });
    }

    /// From here the dice of orders in percent are thrown.
    pub fn seed(&self, seed: u64) {
        self.book().rng = fastrand::Rng::with_seed(seed);
    }

    /// Forgets all faults that were ordered.
    pub fn clear(&self) {
        self.book().orders.clear();
    }

    /// What shall happen to this call.
    pub fn next(&self, action: &str, dry_run: bool) -> Option<FaultKind> {
        let name = match dry_run {
            true => format!("{action}{DRY_RUN}"),
            false => action.to_owned(),
        };
        if dry_run && let Some(refused) = self.denies(action) {
            return Some(refused);
        }
        self.take(|fault| {
            !matches!(fault.kind, FaultKind::Command(_))
                && (fault.action == "*" || fault.action == name)
        })
    }

    /// The refusal for a lack of rights that this action would meet now. It stays an order.
    fn denies(&self, action: &str) -> Option<FaultKind> {
        let mut book = self.book();
        let Book { orders, rng } = &mut *book;
        let order = orders.iter().find(|order| {
            let kind = &order.fault.kind;
            order.fault.action == action
                && matches!(kind, FaultKind::Error { code, .. } if RIGHTS.contains(&code.as_str()))
        })?;
        let hits = order.percent >= 100 || rng.u8(0..100) < order.percent;
        (order.fault.skip == 0 && hits).then(|| order.fault.kind.clone())
    }

    /// What shall befall this command of a document.
    pub fn befalls(&self, command: &str) -> Option<Mishap> {
        let kind = self.take(|fault| {
            matches!(fault.kind, FaultKind::Command(_))
                && (fault.action == "*" || fault.action == command)
        })?;
        match kind {
            FaultKind::Command(mishap) => Some(mishap),
            _ => None,
        }
    }

    /// The first order that fits decides, unless its dice spare this call.
    fn take(&self, fits: impl Fn(&Fault) -> bool) -> Option<FaultKind> {
        let mut book = self.book();
        let Book { orders, rng } = &mut *book;
        for at in 0..orders.len() {
            let Some(order) = orders.get_mut(at).filter(|order| fits(&order.fault)) else {
                continue;
            };
            if order.fault.skip > 0 {
                order.fault.skip -= 1;
                return None;
            }
            if order.percent < 100 && rng.u8(0..100) >= order.percent {
                continue;
            }
            order.fault.times -= 1;
            let kind = order.fault.kind.clone();
            if order.fault.times == 0 {
                orders.remove(at);
            }
            return Some(kind);
        }
        None
    }

    fn book(&self) -> parking_lot::MutexGuard<'_, Book> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_then_fails_so_many_times() {
        let faults = Faults::default();
        faults.inject(Fault {
            action: "A".into(),
            skip: 1,
            times: 2,
            kind: FaultKind::Reset,
        });
        let seen: Vec<bool> = (0..5).map(|_| faults.next("A", false).is_some()).collect();
        assert_eq!(seen, [false, true, true, false, false]);
        faults.inject(Fault {
            action: "*".into(),
            skip: 0,
            times: 1,
            kind: FaultKind::LoseResponse,
        });
        assert_eq!(faults.next("anything", true), Some(FaultKind::LoseResponse));
    }

    #[test]
    fn a_dry_run_is_told_of_missing_rights_and_of_nothing_else_that_befalls_the_call() {
        let faults = Faults::default();
        let order = |action: &str, kind| Fault {
            action: action.into(),
            skip: 0,
            times: 1,
            kind,
        };
        let error = |code: &str| FaultKind::Error {
            code: code.into(),
            message: "no".into(),
            status: 403,
        };
        faults.inject(order("A", FaultKind::Reset));
        assert_eq!(faults.next("A", true), None);
        assert_eq!(faults.next("A", false), Some(FaultKind::Reset));
        faults.inject(order("A", error("UnauthorizedOperation")));
        for dry_run in [true, true, false] {
            assert_eq!(
                faults.next("A", dry_run),
                Some(error("UnauthorizedOperation"))
            );
        }
        assert_eq!(faults.next("A", true), None, "the call has used it up");
        faults.inject(order("A:DryRun", FaultKind::Reset));
        assert_eq!(faults.next("A", false), None);
        assert_eq!(faults.next("A", true), Some(FaultKind::Reset));
    }

    #[test]
    fn mishaps_are_for_commands_and_percents_hit_some() {
        let faults = Faults::default();
        let twice = Mishap::Twice(Duration::from_secs(1));
        faults.inject(Fault {
            action: "*".into(),
            skip: 0,
            times: 1,
            kind: FaultKind::Command(twice),
        });
        assert_eq!(faults.next("SendCommand", false), None);
        assert_eq!(faults.befalls("pre-script"), Some(twice));
        let some = Fault {
            action: "A".into(),
            skip: 0,
            times: 1000,
            kind: FaultKind::Reset,
        };
        faults.seed(4);
        faults.add(some, 30);
        let hit = (0..1000)
            .filter(|_| faults.next("A", false).is_some())
            .count();
        assert!((200..400).contains(&hit), "{hit}");
    }
}

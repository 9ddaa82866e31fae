//! Faults that the lab can be told to commit, by action, after some calls, a number of times.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The service answers with this error and does nothing.
    Error {
        code: String,
        message: String,
        status: u16,
    },
    /// The call takes this much longer (before it is handled).
    Delay(Duration),
    /// The connection breaks before the request is handled.
    Reset,
    /// The request is handled, its answer never arrives.
    LoseResponse,
}

/// One order to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Operation name such as `CreateSnapshots`, or `*` for every one.
    pub action: String,
    /// How many matching calls pass before the first failure.
    pub skip: u32,
    /// How many calls fail after that.
    pub times: u32,
    pub kind: FaultKind,
}

/// The orders that are still open.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// Adds an order; orders for the same action are obeyed in the order of their coming.
    pub fn inject(&self, fault: Fault) {
        self.open().push(fault);
    }

    /// Forgets all orders.
    pub fn clear(&self) {
        self.open().clear();
    }

    /// What shall happen to this call.
    pub fn next(&self, action: &str) -> Option<FaultKind> {
        let mut open = self.open();
        let at = open
            .iter()
            .position(|fault| fault.times > 0 && (fault.action == "*" || fault.action == action))?;
        let fault = open.get_mut(at)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        let kind = fault.kind.clone();
        if fault.times == 0 {
            open.remove(at);
        }
        Some(kind)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let seen: Vec<bool> = (0..5).map(|_| faults.next("A").is_some()).collect();
        assert_eq!(seen, [false, true, true, false, false]);
        faults.inject(Fault {
            action: "*".into(),
            skip: 0,
            times: 1,
            kind: FaultKind::LoseResponse,
        });
        assert_eq!(faults.next("anything"), Some(FaultKind::LoseResponse));
    }
}

//! The timers of a job. One that ran out while it was replaced or disarmed is told from the one that is armed now.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::domain::machine::Timer;

/// A timer ran out; whether it still counts [`Timers::is_due`] says.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Ring {
    /// Which.
    pub(in crate::ops) timer: Timer,
    number: u64,
}

/// Those that are armed. Dropped, none rings any more.
#[derive(Debug)]
pub(in crate::ops) struct Timers {
    armed: HashMap<Timer, (u64, JoinHandle<()>)>,
    rings: mpsc::Sender<Ring>,
    /// How many were armed so far.
    number: u64,
}

impl Timers {
    /// And where they ring.
    pub(in crate::ops) fn new() -> (Self, mpsc::Receiver<Ring>) {
        let (rings, rung) = mpsc::channel(16);
        let timers = Self {
            armed: HashMap::new(),
            rings,
            number: 0,
        };
        (timers, rung)
    }

    /// Rings when `time` is over; replaces an older one of the same name.
    pub(in crate::ops) fn arm(
        &mut self,
        timer: Timer,
        time: impl Future<Output = ()> + Send + 'static,
    ) {
        self.number += 1;
        let (number, rings) = (self.number, self.rings.clone());
        let handle = crate::ops::log::spawn(async move {
            time.await;
            let _ = rings.send(Ring { timer, number }).await;
        });
        if let Some((_, old)) = self.armed.insert(timer, (number, handle)) {
            old.abort();
        }
    }

    pub(in crate::ops) fn disarm(&mut self, timer: Timer) {
        if let Some((_, handle)) = self.armed.remove(&timer) {
            handle.abort();
        }
    }

    /// Whether the one that rang is the one that is armed; it is not armed any more then.
    pub(in crate::ops) fn is_due(&mut self, ring: Ring) -> bool {
        let now = self.armed.get(&ring.timer).map(|(number, _)| *number);
        now == Some(ring.number) && self.armed.remove(&ring.timer).is_some()
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        for (_, (_, handle)) in self.armed.drain() {
            handle.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_fired_before_it_was_replaced_or_disarmed_is_not_due() {
        let (mut timers, mut rung) = Timers::new();
        let second = || tokio::time::sleep(Duration::from_secs(1));
        timers.arm(Timer::Labels, second());
        let first = rung.recv().await.unwrap();
        timers.arm(Timer::Labels, second());
        assert!(!timers.is_due(first), "it is the one before");
        let next = rung.recv().await.unwrap();
        assert!(timers.is_due(next));
        assert!(!timers.is_due(next), "once");
        timers.arm(Timer::Thaw, second());
        let late = rung.recv().await.unwrap();
        timers.disarm(Timer::Thaw);
        assert!(!timers.is_due(late));
        timers.arm(Timer::Call, second());
        timers.arm(Timer::Thaw, second());
        timers.disarm(Timer::Call);
        assert_eq!(rung.recv().await.unwrap().timer, Timer::Thaw);
    }
}

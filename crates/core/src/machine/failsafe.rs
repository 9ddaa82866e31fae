//! From when on the failsafe on an instance has certainly acted.

use chrono::{DateTime, TimeDelta, Utc};

use crate::command::DELIVERY_S;

/// What a script may take beyond its delivery and its budget, in seconds: to its arming, and to its end.
pub(super) const GRACE_S: u64 = 15;
/// How long Systems Manager may take to accept a command whose reply was lost, in seconds: one attempt's
/// time limit (`aws::session`).
const ACCEPTANCE_S: u64 = 60;

/// What the console knows of when the command that freezes ran, by its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Began {
    /// When it was about to be sent.
    pub sent: DateTime<Utc>,
    /// When Systems Manager's answer was in hand.
    pub accepted: Option<DateTime<Utc>>,
    /// When it was known to have ended, and to be unable to begin again.
    pub ended: Option<DateTime<Utc>>,
}

impl Began {
    /// The record of a freezing command that is about to be sent.
    pub fn sent(now: DateTime<Utc>) -> Self {
        Self {
            sent: now,
            accepted: None,
            ended: None,
        }
    }

    /// The moment from which its failsafe has certainly acted, or was never armed. `budget_s` is the
    /// failsafe's budget in seconds. A command that ended had armed it before its end; one that was
    /// accepted begins within its delivery; one of which only the sending is known may have been
    /// accepted as late as one attempt lasts.
    pub fn failsafe_certain_at(&self, budget_s: u32) -> DateTime<Utc> {
        let after = |from: DateTime<Utc>, seconds: u64| {
            let seconds = seconds + GRACE_S + u64::from(budget_s);
            i64::try_from(seconds)
                .ok()
                .and_then(TimeDelta::try_seconds)
                .and_then(|delta| from.checked_add_signed(delta))
                .unwrap_or(from)
        };
        let latest = match self.accepted {
            Some(at) => after(at, DELIVERY_S + GRACE_S),
            None => after(self.sent, ACCEPTANCE_S + DELIVERY_S + GRACE_S),
        };
        self.ended.map_or(latest, |at| after(at, 0).min(latest))
    }

    /// When the failsafe has thawed at the latest: the moment of [`Self::failsafe_certain_at`], or the freeze plus the budget
    /// where that is earlier, because the failsafe was armed before the freeze.
    pub fn failsafe_by(&self, budget_s: u32, frozen_since: Option<DateTime<Utc>>) -> DateTime<Utc> {
        let certain = self.failsafe_certain_at(budget_s);
        let budget = TimeDelta::seconds(i64::from(budget_s));
        frozen_since.map_or(certain, |since| certain.min(since + budget))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_known_the_sooner_it_is_certain() {
        let sent = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let at = |began: Began| (began.failsafe_certain_at(30) - sent).num_seconds();
        let mut began = Began::sent(sent);
        assert_eq!(at(began), 60 + 30 + 15 + 15 + 30, "only sent");
        began.accepted = Some(sent + TimeDelta::seconds(2));
        assert_eq!(at(began), 2 + 30 + 15 + 15 + 30);
        began.ended = Some(sent + TimeDelta::seconds(5));
        assert_eq!(at(began), 5 + 15 + 30);
        // An end that was seen late makes nothing later than what delivery allows.
        began.ended = Some(sent + TimeDelta::seconds(500));
        assert_eq!(at(began), 2 + 30 + 15 + 15 + 30);
    }
}

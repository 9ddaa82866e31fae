//! How a job is stopped that this process does not drive: one decision for the console and for `jobs abort`.

use chrono::{DateTime, Utc};

use crate::domain::job::{JobView, Phase};
use crate::ops::recover::is_abandoned;

/// What stops a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It runs in the lab of another process, and only that process reaches it.
    OtherLab,
    /// Nobody drives it: it is settled as a whole, beginning with a thaw.
    Settle,
    /// Another process drives it, and something may be frozen or may yet freeze: it is thawed under that process, which sees
    /// it and claims no more than was proven by then. In preflight nothing is frozen; a thaw on record keeps it from beginning.
    Thaw,
    /// Nobody can say that it is thawed: its instance is asked again.
    AskAgain,
    /// Another process drives it, and it holds nothing.
    HoldsNothing,
    /// It is over.
    Over,
}

/// What stops the job. `owner` is who drives it by the journal, `None` where it is not open there; `own_world` says that
/// the journal is of a lab within each process.
pub fn way(view: &JobView, owner: Option<&str>, own_world: bool, now: DateTime<Utc>) -> Way {
    let Some(owner) = owner else {
        return if view.thaw_unconfirmed {
            Way::AskAgain
        } else {
            Way::Over
        };
    };
    if is_abandoned(view, owner, now) {
        Way::Settle
    } else if own_world {
        Way::OtherLab
    } else if (Phase::Preflight..=Phase::Thawing).contains(&view.phase) {
        Way::Thaw
    } else if view.thaw_unconfirmed {
        Way::AskAgain
    } else {
        Way::HoldsNothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::admission::owner::owner_of_this_process;
    use crate::ops::recover::tests::view;

    #[test]
    fn the_driver_and_the_possible_freeze_decide_how_a_job_is_stopped() {
        let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000);
        let here = owner_of_this_process();
        // Process 1 of a machine that cannot be looked at, and one of this machine that is gone.
        let (away, gone) = (
            "elsewhere:1:1",
            here.rsplit_once(':').unwrap().0.to_owned() + ":0",
        );
        let of = |phase, unconfirmed, owner: Option<&str>, own_world| {
            let mut view = view(phase);
            view.thaw_unconfirmed = unconfirmed;
            view.phases.push(crate::domain::job::PhaseRecord {
                phase,
                started: now,
                ended: None,
                failed: false,
            });
            way(&view, owner, own_world, now)
        };
        for (phase, unconfirmed, owner, own_world, expected) in [
            (
                Phase::Frozen,
                false,
                Some(gone.as_str()),
                false,
                Way::Settle,
            ),
            (Phase::Done, true, Some(gone.as_str()), false, Way::Settle),
            (
                Phase::Preflight,
                false,
                Some(here.as_str()),
                false,
                Way::Thaw,
            ),
            (Phase::Frozen, false, Some(here.as_str()), false, Way::Thaw),
            (
                Phase::Frozen,
                false,
                Some(here.as_str()),
                true,
                Way::OtherLab,
            ),
            // Nobody can see whether its process lives, and its failsafe has not acted yet.
            (Phase::Frozen, false, Some(away), false, Way::Thaw),
            (
                Phase::Completing,
                true,
                Some(here.as_str()),
                false,
                Way::AskAgain,
            ),
            (
                Phase::Completing,
                false,
                Some(here.as_str()),
                false,
                Way::HoldsNothing,
            ),
            (Phase::Done, true, None, false, Way::AskAgain),
            (Phase::Done, false, None, false, Way::Over),
        ] {
            let seen = of(phase, unconfirmed, owner, own_world);
            assert_eq!(
                seen, expected,
                "{phase} {unconfirmed} {owner:?} {own_world}"
            );
        }
    }
}

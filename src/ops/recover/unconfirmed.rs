//! How often a process asks about an unconfirmed thaw: the thaw of somebody else's document is of no job, so each is a risk to
//! whatever else is frozen there.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::ids::JobId;

/// Pause before the second time; doubles.
const PAUSE: TimeDelta = TimeDelta::minutes(10);

/// What this process has asked about. Cheap to clone; every start begins with an empty one.
#[derive(Debug, Clone, Default)]
pub struct UnconfirmedThaws(Arc<Mutex<HashMap<JobId, Asked>>>);

/// So often, and when last.
type Asked = (u32, DateTime<Utc>);

impl UnconfirmedThaws {
    /// Whether it is time to ask this job's thaw.
    pub(super) fn is_due(&self, job: &JobId, now: DateTime<Utc>) -> bool {
        let asked = self.0.lock();
        asked.get(job).is_none_or(|(times, last)| {
            let doubled = 2_i32.pow(times.saturating_sub(1).min(10));
            now - *last >= PAUSE * doubled
        })
    }

    /// Notes that the instance of an unconfirmed thaw is asked now.
    pub(super) fn asked(&self, job: &JobId, now: DateTime<Utc>) {
        let mut asked = self.0.lock();
        let (times, last) = asked.entry(job.clone()).or_insert((0, now));
        *times += 1;
        *last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_the_one_before() {
        let (unconfirmed, job) = (UnconfirmedThaws::default(), JobId::from_api("j"));
        let at = |minutes| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let due: Vec<i64> = (0..24 * 60)
            .filter(|minute| {
                let due = unconfirmed.is_due(&job, at(*minute));
                if due {
                    unconfirmed.asked(&job, at(*minute));
                }
                due
            })
            .collect();
        assert_eq!(due, [0, 10, 30, 70, 150, 310, 630, 1270]);
        assert!(unconfirmed.is_due(&JobId::from_api("other"), at(1_271)));
        assert!(
            UnconfirmedThaws::default().is_due(&job, at(1_271)),
            "another start"
        );
    }
}

//! Leases: which job of this machine may hold a freeze on an instance. Taken and looked at in one write,
//! so of two jobs that ask in the same moment one is told of the other. A lease ends with its job's thaw
//! ([`Journal::save_job`]), or when the failsafe has certainly acted, whatever became of the job.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, params};

use super::{Journal, stamp};
use crate::domain::ids::{InstanceId, JobId, Scope};
use crate::domain::problem::Problem;

impl Journal {
    /// Takes the lease on an instance for a job until `until`, or renews it. Answers with the job that
    /// holds it instead, if one does. A job that is over takes none: its preflight may still be under way when
    /// it is stopped, and nobody would let the lease go.
    ///
    /// # Errors
    /// [`crate::domain::problem::Kind::Local`]; then nothing was taken.
    pub fn lease(
        &self,
        scope: &Scope,
        instance: &InstanceId,
        job: &JobId,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Option<JobId>, Problem> {
        let place = self.place(instance);
        let holder: Option<String> = self.write("lease", |db| {
            db.query_row(
                "INSERT INTO lease (account, region, instance, job, until) SELECT ?1,?2,?3,?4,?5
                 WHERE NOT EXISTS (SELECT 1 FROM job WHERE id = ?4 AND open = 0)
                 ON CONFLICT (account, region, instance) DO UPDATE SET
                     job = CASE WHEN job = ?4 OR until <= ?6 THEN ?4 ELSE job END,
                     until = CASE WHEN job = ?4 OR until <= ?6 THEN ?5 ELSE until END
                 RETURNING job",
                params![
                    scope.account.as_str(),
                    scope.region.as_str(),
                    place,
                    job.as_str(),
                    stamp(until),
                    stamp(now)
                ],
                |r| r.get(0),
            )
            .optional()
        })?;
        Ok(holder
            .filter(|holder| holder != job.as_str())
            .map(JobId::from_api))
    }

    /// The job that holds the lease on an instance now.
    ///
    /// # Errors
    /// [`crate::domain::problem::Kind::Local`].
    pub fn lease_holder(
        &self,
        scope: &Scope,
        instance: &InstanceId,
        now: DateTime<Utc>,
    ) -> Result<Option<JobId>, Problem> {
        let holder: Option<String> = self.with(|db| {
            db.query_row(
                "SELECT job FROM lease WHERE account = ? AND region = ? AND instance = ? AND until > ?",
                params![
                    scope.account.as_str(),
                    scope.region.as_str(),
                    self.place(instance),
                    stamp(now)
                ],
                |r| r.get(0),
            )
            .optional()
        })?;
        Ok(holder.map(JobId::from_api))
    }

    /// The same name in another world is another instance.
    fn place(&self, instance: &InstanceId) -> String {
        match &self.world {
            Some(world) => format!("{instance} of {world}"),
            None => instance.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone as _};

    use super::*;

    #[test]
    fn one_holder_until_the_time_is_over() {
        let journal = Journal::in_memory().unwrap();
        let scope = Scope {
            account: crate::domain::ids::AccountId::from_api("123456789012"),
            region: crate::domain::ids::Region::from_api("eu-central-1"),
        };
        let there = InstanceId::from_api("i-0123456789abcdef0");
        let (one, two) = (JobId::from_api("one"), JobId::from_api("two"));
        let now = Utc.with_ymd_and_hms(2026, 11, 21, 12, 0, 0).unwrap();
        let at = |seconds| now + TimeDelta::seconds(seconds);
        let ask = |job: &JobId, until, when| {
            journal
                .lease(&scope, &there, job, at(until), at(when))
                .unwrap()
        };
        let holder = |when| journal.lease_holder(&scope, &there, at(when)).unwrap();
        assert_eq!(holder(0), None);
        assert_eq!(ask(&one, 100, 0), None);
        assert_eq!((holder(99), holder(100)), (Some(one.clone()), None));
        assert_eq!(ask(&two, 200, 1), Some(one.clone()));
        assert_eq!(ask(&one, 150, 2), None, "the holder renews");
        assert_eq!(ask(&two, 200, 149), Some(one.clone()));
        assert_eq!(ask(&two, 300, 150), None, "a stale lease is nobody's");
        assert_eq!(ask(&one, 300, 151), Some(two));
    }

    #[test]
    fn an_instance_of_another_world_is_another_instance() {
        let journal = Journal::in_memory().unwrap();
        let scope = Scope {
            account: crate::domain::ids::AccountId::from_api("123456789012"),
            region: crate::domain::ids::Region::from_api("eu-central-1"),
        };
        let there = InstanceId::from_api("i-0123456789abcdef0");
        let now = Utc.with_ymd_and_hms(2026, 11, 21, 12, 0, 0).unwrap();
        let until = now + TimeDelta::seconds(100);
        let ask = |journal: &Journal, job: &str| {
            let job = JobId::from_api(job);
            journal.lease(&scope, &there, &job, until, now).unwrap()
        };
        let (here, elsewhere) = (
            journal.clone().of_own_world("host:1:1"),
            journal.clone().of_own_world("host:2:2"),
        );
        assert_eq!(ask(&here, "one"), None);
        assert_eq!(ask(&elsewhere, "two"), None);
        assert_eq!(ask(&here, "three"), Some(JobId::from_api("one")));
        assert_eq!(ask(&journal, "four"), None, "nor one of AWS's");
        assert_eq!(ask(&journal, "five"), Some(JobId::from_api("four")));
    }
}

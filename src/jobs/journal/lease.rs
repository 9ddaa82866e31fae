//! Leases: which job of this machine may hold a freeze on an instance. Taken and looked at in one write,
//! so of two jobs that ask in the same moment one is told of the other. A lease ends with its job's thaw
//! ([`Journal::save_job`]), or when the failsafe has certainly acted, whatever became of the job.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, params};

use super::{Journal, stamp};
use crate::domain::ids::{InstanceId, JobId, Scope};
use crate::domain::problem::Problem;

/// What came of asking for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lease {
    /// The job has it.
    Taken,
    /// Another job has it.
    Held(JobId),
    /// The job is over on record, stopped or resumed by another process, and takes none: nobody would let it go.
    Over,
}

impl Journal {
    /// Takes the lease on an instance for a job until `until`, or renews it.
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
    ) -> Result<Lease, Problem> {
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
        Ok(match holder {
            None => Lease::Over,
            Some(holder) if holder == job.as_str() => Lease::Taken,
            Some(holder) => Lease::Held(JobId::from_api(holder)),
        })
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
        let held = |by: &JobId| Lease::Held(by.clone());
        assert_eq!(ask(&one, 100, 0), Lease::Taken);
        assert_eq!((holder(99), holder(100)), (Some(one.clone()), None));
        assert_eq!(ask(&two, 200, 1), held(&one));
        assert_eq!(ask(&one, 150, 2), Lease::Taken, "the holder renews");
        assert_eq!(ask(&two, 200, 149), held(&one));
        assert_eq!(
            ask(&two, 300, 150),
            Lease::Taken,
            "a stale lease is nobody's"
        );
        assert_eq!(ask(&one, 300, 151), held(&two));
    }

    #[test]
    fn a_job_that_is_over_takes_none() {
        let journal = Journal::in_memory().unwrap();
        journal
            .write("test", |db| {
                db.execute(
                    "INSERT INTO job (id, run, account, region, instance, started, open, owner, view)
                     VALUES ('one', 'r', 'a', 'b', 'i', 's', 0, 'o', '{}')",
                    [],
                )
            })
            .unwrap();
        let scope = Scope {
            account: crate::domain::ids::AccountId::from_api("123456789012"),
            region: crate::domain::ids::Region::from_api("eu-central-1"),
        };
        let there = InstanceId::from_api("i-0123456789abcdef0");
        let now = Utc.with_ymd_and_hms(2026, 11, 21, 12, 0, 0).unwrap();
        let ask = |job: &str| {
            let job = JobId::from_api(job);
            let until = now + TimeDelta::seconds(100);
            journal.lease(&scope, &there, &job, until, now).unwrap()
        };
        assert_eq!(ask("one"), Lease::Over);
        assert_eq!(ask("two"), Lease::Taken);
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
        let held = |by: &str| Lease::Held(JobId::from_api(by));
        assert_eq!(ask(&here, "one"), Lease::Taken);
        assert_eq!(ask(&elsewhere, "two"), Lease::Taken);
        assert_eq!(ask(&here, "three"), held("one"));
        assert_eq!(ask(&journal, "four"), Lease::Taken, "nor one of AWS's");
        assert_eq!(ask(&journal, "five"), held("four"));
    }
}

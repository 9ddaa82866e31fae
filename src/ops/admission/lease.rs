//! One freeze per instance: before anything is sent that could freeze it, no other job of this machine may
//! hold its lease, and Systems Manager may know of no other job's freeze there, held or under way. What slips
//! through both (two machines in the same second) meets the lock on the instance itself (`busy`).

use chrono::TimeDelta;

use crate::domain::ids::JobId;
use crate::domain::job::JobSpec;
use crate::domain::problem::{Kind, Problem};
use crate::jobs::journal::Lease;
use crate::ops::Ops;
use crate::ops::admission::remote_jobs::{self, Standing};

/// Seconds, beyond the budget, after which a job that took its lease can hold no freeze any more:
/// preflight's and delivery's limits, a lost attempt's, and grace. The failsafe is never later.
const LONGEST_S: i64 = 180 + 30 + 60 + 60;

/// What to do about a job of this journal, and about one of another.
const HERE: &str =
    "wait for its end, or stop it in the Jobs screen or with `freezeframe jobs abort`";
const THERE: &str = "wait for its end, or stop it where it was started (another host, or another state directory): \
                     the journal here does not have it, so `freezeframe jobs abort` cannot stop it from here";

/// How long a lease lasts that is taken or renewed now, for a freeze of at most `budget_s` seconds.
pub fn lasts(budget_s: u32) -> TimeDelta {
    TimeDelta::seconds(LONGEST_S + i64::from(budget_s))
}

/// Takes the lease on the job's instance, or says who has it.
///
/// # Errors
/// [`Kind::State`] naming the other job; [`Kind::Local`] when the journal refuses; whatever Systems
/// Manager answered.
pub(in crate::ops) async fn claim(ops: &Ops, spec: &JobSpec) -> Result<(), Problem> {
    renew(ops, spec)?;
    match at_work(ops, spec).await? {
        Some(other) => {
            // Only where it is on record here can it be stopped from here.
            let here = ops.journal.job(&spec.scope, &other)?.is_some();
            let hint = if here { HERE } else { THERE };
            Err(taken(spec, &other, "started by another console", hint))
        }
        None => Ok(()),
    }
}

/// Takes the lease anew after waiting, so that it outlives the freeze that is about to begin.
///
/// # Errors
/// [`Kind::State`] naming the job that took it meanwhile, or saying that this one is over on record;
/// [`Kind::Local`] when the journal refuses.
pub(in crate::ops) fn renew(ops: &Ops, spec: &JobSpec) -> Result<(), Problem> {
    let now = ops.clock.now();
    let until = now + lasts(spec.budget_s);
    let lease = ops
        .journal
        .lease(&spec.scope, &spec.instance, &spec.job, until, now)?;
    match lease {
        Lease::Taken => Ok(()),
        Lease::Held(other) => Err(taken(spec, &other, "on this machine", HERE)),
        Lease::Over => Err(Problem::new(
            Kind::State,
            format!("freeze {}", spec.instance),
            "this job is over on record: it was stopped, or another process resumed it while it waited",
            "see `freezeframe list jobs`; start a new job",
        )),
    }
}

fn taken(spec: &JobSpec, other: &JobId, whose: &str, hint: &str) -> Problem {
    Problem::new(
        Kind::State,
        format!("check {}", spec.instance),
        format!("job {other}, {whose}, is under way there"),
        hint,
    )
}

/// Another job, of another journal, that may hold a freeze there.
async fn at_work(ops: &Ops, spec: &JobSpec) -> Result<Option<JobId>, Problem> {
    let others = remote_jobs::jobs_on(ops, &spec.instance).await?;
    Ok(others
        .into_iter()
        .filter(|other| other.job != spec.job)
        .find(|other| other.standing == Standing::Holds)
        .map(|other| other.job))
}

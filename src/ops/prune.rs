//! Pruning: a plan from a complete reading, and carrying out exactly that plan.

mod record;
mod run;

use std::collections::HashMap;

use crate::domain::ids::{IdError, InstanceId, Scope};
use crate::domain::instance::Instance;
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};
use crate::domain::retention::{self, Chosen, Facts, Policy, PrunePlan};
use crate::ops::command::wait_reasons::Waits;
use crate::ops::job::targets::{self, Named};
use crate::ops::{Ops, inventory};

pub use record::{describe, settle};
pub use run::run;

/// Reads the account anew and plans. Locks and fast restores that cannot be read refuse the plan, and so does a journal
/// that cannot say what it knows of a set: what is not known to be free is not deleted.
///
/// # Errors
/// An empty policy; an instance that nobody has or that several have; or whatever a listing answered.
pub async fn plan(ops: &Ops, policy: &Policy) -> Result<PrunePlan, Problem> {
    policy.check()?;
    let (inventory, held, public) = tokio::join!(
        inventory::read(ops),
        ops.session.held_snapshots(),
        ops.session.public_snapshots()
    );
    let inventory = inventory?;
    let (locked, fast_restore) = held?;
    let shared = public?;
    let chosen = policy
        .selections()
        .iter()
        .map(|selection| {
            let ids: Vec<InstanceId> = selection
                .instance
                .iter()
                .map(|name| meant(&inventory.instances, name, ops.scope()))
                .collect::<Result<_, _>>()?;
            Chosen::new(selection, &ids)
        })
        .collect::<Result<Vec<_>, Problem>>()?;
    let jobs: HashMap<_, _> = ops
        .journal
        .jobs(Some(ops.scope()), u32::MAX)?
        .into_iter()
        .map(|view| (view.spec.job.clone(), view))
        .collect();
    let condemned = ops.journal.condemned(ops.scope())?;
    let facts = Facts {
        inventory: &inventory,
        locked: &locked,
        fast_restore: &fast_restore,
        shared: &shared,
        jobs: &jobs,
        condemned: &condemned,
        chosen: &chosen,
        complete: true,
    };
    retention::plan(policy, &facts, ops.clock.now())
}

/// Whether EC2 would delete what the plan deletes, asked by its own dry run. Policies may go by the tags of a snapshot:
/// only where the first and the last of them are both refused, all are taken to be.
///
/// # Errors
/// What EC2 refuses them for.
pub async fn allowed(ops: &Ops, plan: &PrunePlan) -> Result<(), Problem> {
    let doomed = plan.doomed();
    let (Some(first), Some(last)) = (doomed.first(), doomed.last()) else {
        return Ok(());
    };
    let waits = Waits::default();
    for id in [first, last] {
        let token = waits
            .token(ops.session.pace(), Bucket::DeleteSnapshot)
            .await;
        match ops.session.may_delete_snapshot(token, id).await {
            Err(problem) if problem.kind == Kind::Denied && id == first && first != last => {}
            Err(problem) if problem.kind == Kind::Denied => {
                return Err(Problem {
                    hint: "allow ec2:DeleteSnapshot to whoever runs this; nothing was deleted"
                        .to_owned(),
                    ..problem
                });
            }
            // What else there is to say the deletion itself says.
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// The instance that a person means. An id is taken as it is: sets outlive their instance.
///
/// # Errors
/// Neither an id nor a name; an instance that nobody has or that several have.
pub fn meant(all: &[Instance], name: &str, scope: &Scope) -> Result<InstanceId, Problem> {
    let named: Named = name.parse().map_err(|error: IdError| {
        Problem::new(
            Kind::Usage,
            "find the instances of the plan",
            error.to_string(),
            "give an id or a Name",
        )
    })?;
    match &named {
        Named::Id(id) => Ok(id.clone()),
        Named::Name(_) => targets::resolve_one(all, &named, scope).map(|i| i.id.clone()),
    }
}

//! Reading the fleet.

use crate::domain::instance::{Agent, Instance};
use crate::domain::inventory::Inventory;
use crate::domain::problem::Problem;

use crate::ops::Ops;

/// Instances joined with what Systems Manager knows of their agents. Without permission to ask for
/// agents the instances are shown all the same, with agents unknown.
///
/// # Errors
/// Whatever EC2 answered.
pub async fn instances(ops: &Ops) -> Result<Vec<Instance>, Problem> {
    let (instances, agents) = tokio::join!(ops.session.instances(), ops.session.agents());
    let mut instances = instances?;
    match agents {
        Ok(mut agents) => {
            for instance in &mut instances {
                instance.agent = agents.remove(&instance.id).unwrap_or(Agent::Absent);
            }
        }
        Err(problem) => tracing::warn!(%problem, "agents are unknown"),
    }
    Ok(instances)
}

/// Everything of the account and region, joined.
///
/// # Errors
/// The first part that failed: a part is never taken for all.
pub async fn read(ops: &Ops) -> Result<Inventory, Problem> {
    let taken_at = ops.clock.now();
    let (instances, volumes, snapshots) = tokio::join!(
        instances(ops),
        ops.session.volumes(),
        ops.session.snapshots()
    );
    let (snapshots, images) = snapshots?;
    Ok(Inventory {
        scope: ops.scope().clone(),
        taken_at,
        instances: instances?,
        volumes: volumes?,
        snapshots,
        images,
    })
}

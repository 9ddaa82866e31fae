//! DeleteSnapshot and everything that stands in its way.

use super::ids::Kind;
use super::{Answer, dry_run, snapshots, yes};
use crate::Lab;
use crate::caller::Caller;
use crate::wire::AppError;
use crate::wire::query::Params;
use crate::world::{Snapshot, SnapshotState, World};

/// Why EC2 keeps a snapshot.
fn obstacle(world: &World, snapshot: &Snapshot) -> Option<AppError> {
    let id = &snapshot.id;
    if snapshot
        .tags
        .keys()
        .any(|key| key.starts_with("aws:backup:source-resource"))
    {
        let message = format!(
            "This snapshot is managed by the AWS Backup service and cannot be deleted via EC2 APIs. If you wish to delete this snapshot, please do so via the Backup console. ({id})"
        );
        return Some(AppError::value(message));
    }
    if let Some(lock) = snapshot
        .lock
        .as_ref()
        .filter(|lock| lock.state(world.now) != "expired")
    {
        // AWS does not document this code; ours is one of the lab's listed differences.
        return Some(AppError::new(
            "OperationNotPermitted",
            format!(
                "The snapshot {id} is locked in {} mode and cannot be deleted.",
                lock.mode
            ),
        ));
    }
    let image = world.images.values().find(|image| {
        image.state != "deregistered" && image.mappings.iter().any(|(_, used)| used == id)
    });
    if let Some(image) = image {
        return Some(AppError::new(
            "InvalidSnapshot.InUse",
            format!("The snapshot {id} is currently in use by {}", image.id),
        ));
    }
    if !snapshot.fast_restore.is_empty() {
        let zones = snapshot.fast_restore.join(", ");
        return Some(AppError::new(
            "InvalidSnapshot.InUse",
            format!("The snapshot {id} is currently enabled for fast restores in AZ {zones}"),
        ));
    }
    None
}

/// DeleteSnapshot: a pending one goes when it completes.
pub async fn delete(lab: &Lab, ctx: &Caller, params: &Params) -> Answer {
    let id = params.required("SnapshotId")?;
    {
        let world = lab.world_of(&ctx.region);
        let snapshot = Kind::Snapshot.find(id, &world.snapshots)?;
        if !snapshots::visible(snapshot, &ctx.account) {
            return Err(Kind::Snapshot.not_found(id));
        }
        if snapshot.owner != ctx.account {
            return Err(AppError::with_status(
                403,
                "AuthFailure",
                format!("Not authorized for snapshot: {id}"),
            ));
        }
        dry_run(params)?;
        if let Some(refusal) = obstacle(&world, snapshot) {
            return Err(refusal);
        }
    }
    let gone = lab.runtime().delete_snapshot(id).await;
    gone.map_err(|message| {
        AppError::with_status(
            500,
            "InternalError",
            format!("The lab could not delete the snapshot: {message}"),
        )
    })?;
    let mut world = lab.world_of(&ctx.region);
    match world.snapshots.get_mut(id) {
        Some(snapshot) if snapshot.state == SnapshotState::Pending => {
            snapshot.deleted_while_pending = true
        }
        _ => {
            world.snapshots.remove(id);
        }
    }
    Ok(yes(ctx, "DeleteSnapshot"))
}

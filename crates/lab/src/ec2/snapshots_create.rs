//! CreateSnapshots and CreateSnapshot: contents are captured before the answer, completion comes on the clock.

use std::time::Duration;

use super::ids::Kind;
use super::{Answer, answer, dry_run, snapshots, tags};
use crate::caller::Caller;
use crate::wire::AppError;
use crate::wire::query::Params;
use crate::world::{
    AttachmentState, Snapshot, SnapshotState, Tags, Transition, Volume, VolumeState, VolumeType,
    World,
};
use crate::{Lab, bounds};

/// Least time between two snapshot requests for a volume.
const INTERVAL_SECONDS: i64 = 15;
/// Most data volumes that an exclude list may name.
const EXCLUDES_LIMIT: usize = 40;

/// CreateSnapshots: all volumes of an instance at one moment.
pub async fn create_set(lab: &Lab, ctx: &Caller, params: &Params) -> Answer {
    let planned = {
        let mut world = lab.world_of(&ctx.region);
        let instance = Kind::Instance.find(
            params.required("InstanceSpecification.InstanceId")?,
            &world.instances,
        )?;
        let without_root = params
            .flag("InstanceSpecification.ExcludeBootVolume")?
            .unwrap_or(false);
        let excluded = params.list("InstanceSpecification.ExcludeDataVolumeId");
        let copy = match params.get("CopyTagsFromSource") {
            None | Some("") => false,
            Some("volume") => true,
            Some(other) => {
                return Err(AppError::value(format!(
                    "Value ({other}) for parameter CopyTagsFromSource is invalid."
                )));
            }
        };
        check(&world, params)?;
        let own = tags::from_specifications(params, "snapshot")?;
        check_excluded(&world, instance, &excluded)?;
        let root = instance.root_volume();
        let members: Vec<&Volume> = instance
            .block_devices
            .iter()
            .filter(|device| {
                matches!(
                    device.state,
                    AttachmentState::Attached | AttachmentState::Busy
                )
            })
            .filter(|device| !without_root || Some(device.volume.as_str()) != root)
            .filter(|device| !excluded.contains(&device.volume.as_str()))
            .filter_map(|device| world.volumes.get(&device.volume))
            .collect();
        if members.is_empty() {
            return Err(AppError::value(format!(
                "Instance '{}' has no volumes left to snapshot.",
                instance.id
            )));
        }
        dry_run(params)?;
        let mut planned = Vec::new();
        for volume in members {
            check_volume(&world, ctx, volume)?;
            let mut tags: Tags = if copy {
                volume.tags.clone()
            } else {
                Tags::new()
            };
            tags.retain(|key, _| !key.starts_with("aws:"));
            tags.extend(own.clone());
            tags::check_count(&tags)?;
            planned.push(plan(ctx, volume, params, tags));
        }
        admit(&mut world, ctx, &mut planned);
        planned
    };
    let taken = take(lab, ctx, planned).await?;
    Ok(answer(ctx, "CreateSnapshots", |xml| {
        xml.items("snapshotSet", &taken, |xml, snapshot| {
            snapshots::write(xml, snapshot, ctx.now, "state")
        });
    }))
}

/// Answers CreateSnapshot: one volume.
pub async fn create_one(lab: &Lab, ctx: &Caller, params: &Params) -> Answer {
    let planned = {
        let mut world = lab.world_of(&ctx.region);
        let volume = Kind::Volume.find(params.required("VolumeId")?, &world.volumes)?;
        check(&world, params)?;
        let tags = tags::from_specifications(params, "snapshot")?;
        dry_run(params)?;
        check_volume(&world, ctx, volume)?;
        let mut planned = vec![plan(ctx, volume, params, tags)];
        admit(&mut world, ctx, &mut planned);
        planned
    };
    let taken = take(lab, ctx, planned).await?;
    Ok(answer(ctx, "CreateSnapshot", |xml| {
        for snapshot in &taken {
            snapshots::write(xml, snapshot, ctx.now, "status");
        }
    }))
}

/// What must be right whatever the volumes are.
fn check(world: &World, params: &Params) -> Result<(), AppError> {
    if params
        .get("Description")
        .is_some_and(|text| text.chars().count() > 255)
    {
        return Err(AppError::value(
            "Value for parameter description is longer than 255 characters.",
        ));
    }
    if world.snapshots.len() >= bounds::SNAPSHOTS {
        return Err(AppError::new(
            "SnapshotLimitExceeded",
            format!(
                "You have reached the limit of {} snapshots.",
                bounds::SNAPSHOTS
            ),
        ));
    }
    Ok(())
}

fn check_excluded(
    world: &World,
    instance: &crate::world::Instance,
    excluded: &[&str],
) -> Result<(), AppError> {
    if excluded.len() > EXCLUDES_LIMIT {
        return Err(AppError::value(format!(
            "At most {EXCLUDES_LIMIT} data volumes can be excluded."
        )));
    }
    for id in excluded {
        Kind::Volume.find(id, &world.volumes)?;
        if instance.root_volume() == Some(*id) {
            return Err(AppError::value(format!(
                "The volume '{id}' is the root volume of '{}'; use ExcludeBootVolume to exclude it.",
                instance.id
            )));
        }
        if !instance
            .block_devices
            .iter()
            .any(|device| device.volume == *id)
        {
            return Err(AppError::value(format!(
                "The volume '{id}' is not attached to instance '{}'.",
                instance.id
            )));
        }
    }
    Ok(())
}

fn check_volume(world: &World, ctx: &Caller, volume: &Volume) -> Result<(), AppError> {
    if !matches!(volume.state, VolumeState::Available | VolumeState::InUse) {
        return Err(AppError::new(
            "IncorrectState",
            format!(
                "The volume '{}' is in the '{}' state.",
                volume.id, volume.state
            ),
        ));
    }
    if volume
        .last_snapshot
        .is_some_and(|last| (ctx.now - last).num_seconds() < INTERVAL_SECONDS)
    {
        let message = "The maximum per volume CreateSnapshot request rate has been exceeded. Use an increasing or variable sleep interval between requests.";
        return Err(AppError::new(
            "SnapshotCreationPerVolumeRateExceeded",
            message,
        ));
    }
    let limit = if matches!(volume.volume_type, VolumeType::St1 | VolumeType::Sc1) {
        1
    } else {
        5
    };
    let open = world
        .snapshots
        .values()
        .filter(|snapshot| {
            snapshot.volume == volume.id && snapshot.state != SnapshotState::Completed
        })
        .count();
    if open >= limit {
        return Err(AppError::new(
            "ConcurrentSnapshotLimitExceeded",
            "Maximum allowed in-progress snapshots for a single volume exceeded.",
        ));
    }
    Ok(())
}

fn plan(ctx: &Caller, volume: &Volume, params: &Params, tags: Tags) -> Snapshot {
    Snapshot {
        id: String::new(),
        volume: volume.id.clone(),
        volume_size_gib: volume.size_gib,
        state: SnapshotState::Pending,
        state_message: None,
        start: ctx.now,
        completes: ctx.now,
        owner: ctx.account.clone(),
        owner_alias: None,
        description: params.get("Description").unwrap_or_default().to_owned(),
        encrypted: volume.encrypted,
        kms_key: volume.kms_key.clone(),
        full_size_bytes: 0,
        tags,
        public: false,
        shared_with: Vec::new(),
        lock: None,
        fast_restore: Vec::new(),
        deleted_while_pending: false,
    }
}

/// Gives ids and durations, and marks the volumes, so that a second request meanwhile meets the interval.
fn admit(world: &mut World, ctx: &Caller, planned: &mut [Snapshot]) {
    for snapshot in planned {
        snapshot.id = world.new_id("snap");
        let percent = world.rng.u64(25..80);
        snapshot.full_size_bytes = (u64::from(snapshot.volume_size_gib) << 30) / 100 * percent;
        let millis =
            (5_000 + u64::from(snapshot.volume_size_gib) * 60 + world.rng.u64(..8_000)).min(40_000);
        snapshot.completes = ctx.now + Duration::from_millis(millis);
        if let Some(volume) = world.volumes.get_mut(&snapshot.volume) {
            volume.last_snapshot = Some(ctx.now);
        }
    }
}

/// Captures the contents, then puts the snapshots into the books.
async fn take(lab: &Lab, ctx: &Caller, planned: Vec<Snapshot>) -> Result<Vec<Snapshot>, AppError> {
    let pairs: Vec<(String, String)> = planned
        .iter()
        .map(|snapshot| (snapshot.volume.clone(), snapshot.id.clone()))
        .collect();
    let taken = lab.runtime().snapshot(&pairs).await;
    taken.map_err(|message| {
        AppError::with_status(
            500,
            "InternalError",
            format!("The lab could not take the snapshots: {message}"),
        )
    })?;
    let mut world = lab.world_of(&ctx.region);
    for snapshot in &planned {
        world
            .snapshots
            .insert(snapshot.id.clone(), snapshot.clone());
        world.at(
            snapshot.completes,
            Transition::SnapshotDone(snapshot.id.clone()),
        );
    }
    Ok(planned)
}

//! CreateVolume with its rules of type, size and speed; DeleteVolume.

use std::time::Duration;

use super::describe_misc::zone_names;
use super::ids::Kind;
use super::instances::zone_id;
use super::{Answer, answer, dry_run, paging, snapshots, tags, volumes, yes};
use crate::caller::Caller;
use crate::runtime::VolumeSpec;
use crate::wire::AppError;
use crate::wire::query::Params;
use crate::world::{Snapshot, SnapshotState, Transition, Volume, VolumeState, VolumeType, World};
use crate::{Lab, bounds};

/// Limits of a volume type: GiB, IOPS, IOPS per GiB.
struct Limits {
    size: (u32, u32),
    iops: Option<(u32, u32)>,
    ratio: u32,
}

fn limits(volume_type: VolumeType) -> Limits {
    let (size, iops, ratio) = match volume_type {
        VolumeType::Gp3 => ((1, 65_536), Some((3_000, 80_000)), 500),
        VolumeType::Gp2 => ((1, 16_384), None, 0),
        VolumeType::Io1 => ((4, 16_384), Some((100, 64_000)), 50),
        VolumeType::Io2 => ((4, 65_536), Some((100, 256_000)), 1_000),
        VolumeType::St1 | VolumeType::Sc1 => ((125, 16_384), None, 0),
        VolumeType::Standard => ((1, 1_024), None, 0),
    };
    Limits { size, iops, ratio }
}

/// What EC2 gives a volume whose caller did not say.
pub fn default_iops(volume_type: VolumeType, size_gib: u32) -> Option<u32> {
    match volume_type {
        VolumeType::Gp3 => Some(3_000),
        VolumeType::Gp2 => Some((size_gib * 3).clamp(100, 16_000)),
        _ => None,
    }
}

/// Size and speed as they will be, or why not.
fn shape(
    params: &Params,
    snapshot: Option<&Snapshot>,
) -> Result<(VolumeType, u32, Option<u32>, Option<u32>), AppError> {
    let name = params
        .get("VolumeType")
        .filter(|name| !name.is_empty())
        .unwrap_or("gp2");
    let volume_type: VolumeType = name.parse().map_err(|_| {
        AppError::new(
            "UnknownVolumeType",
            format!("Unknown volume type '{name}'."),
        )
    })?;
    let natural = |name: &str| -> Result<Option<u32>, AppError> {
        params
            .number(name)?
            .map(|n| {
                u32::try_from(n).map_err(|_| {
                    AppError::value(format!("Value ({n}) for parameter {name} is invalid."))
                })
            })
            .transpose()
    };
    let (size, iops, throughput) = (natural("Size")?, natural("Iops")?, natural("Throughput")?);
    let size = match (size, snapshot) {
        (None, None) => return Err(AppError::missing("size/snapshot")),
        (Some(size), Some(snapshot)) if size < snapshot.volume_size_gib => {
            return Err(AppError::value(format!(
                "The size of the volume ({size} GiB) is smaller than the size of the snapshot ({} GiB).",
                snapshot.volume_size_gib
            )));
        }
        (Some(size), _) => size,
        (None, Some(snapshot)) => snapshot.volume_size_gib,
    };
    let (iops, throughput) =
        speed(volume_type, size, iops, throughput).map_err(|unfit| unfit.error)?;
    Ok((volume_type, size, iops, throughput))
}

/// Why a volume cannot be as it was asked for.
#[derive(Debug)]
pub struct Unfit {
    /// `size`, `iops` or `throughput`
    pub member: &'static str,
    pub error: AppError,
}

/// IOPS and MiB/s of a volume of a type and a size, where EC2 has such volumes.
pub fn speed(
    volume_type: VolumeType,
    size: u32,
    iops: Option<u32>,
    throughput: Option<u32>,
) -> Result<(Option<u32>, Option<u32>), Unfit> {
    let unfit = |member, error| Err(Unfit { member, error });
    let limits = limits(volume_type);
    if size < limits.size.0 || size > limits.size.1 {
        let error = AppError::value(format!(
            "Volume of {size} GiB is not allowed: {volume_type} volumes have {} to {} GiB.",
            limits.size.0, limits.size.1
        ));
        return unfit("size", error);
    }
    match (iops, limits.iops) {
        (Some(_), None) => {
            let error = AppError::new(
                "InvalidParameterCombination",
                format!("The parameter iops is not supported for {volume_type} volumes."),
            );
            return unfit("iops", error);
        }
        (None, Some(_)) if matches!(volume_type, VolumeType::Io1 | VolumeType::Io2) => {
            let error = AppError::new(
                "MissingParameter",
                format!("The parameter iops must be specified for {volume_type} volumes."),
            );
            return unfit("iops", error);
        }
        (Some(iops), Some((_, most))) if iops > most => {
            let error = AppError::new(
                "VolumeIOPSLimit",
                format!("Volume iops of {iops} is too high; maximum is {most}."),
            );
            return unfit("iops", error);
        }
        (Some(iops), Some((least, _))) if iops < least => {
            let error = AppError::value(format!(
                "Volume iops of {iops} is too low; minimum is {least}."
            ));
            return unfit("iops", error);
        }
        // What gp3 has at least, it has at every size.
        (Some(iops), Some(_))
            if iops > size.saturating_mul(limits.ratio)
                && !(volume_type == VolumeType::Gp3 && iops == 3_000) =>
        {
            let message = format!(
                "Iops to volume size ratio of {:.6} is too high; maximum is {}.",
                f64::from(iops) / f64::from(size),
                limits.ratio
            );
            let error = AppError::new("InvalidParameterCombination", message);
            return unfit("iops", error);
        }
        _ => {}
    }
    let iops = iops.or_else(|| default_iops(volume_type, size));
    let throughput = match (throughput, volume_type) {
        (Some(throughput), VolumeType::Gp3) => {
            if !(125..=2_000).contains(&throughput) {
                let error = AppError::value(format!(
                    "Throughput of {throughput} MiB/s is not allowed: gp3 volumes have 125 to 2000."
                ));
                return unfit("throughput", error);
            }
            if throughput > iops.unwrap_or(3_000) / 4 {
                let error = AppError::new(
                    "InvalidParameterCombination",
                    "Throughput (MiB/s) to iops ratio is too high; maximum is 0.250000 MiB/s per iops.",
                );
                return unfit("throughput", error);
            }
            Some(throughput)
        }
        (Some(_), _) => {
            let error = AppError::new(
                "InvalidParameterCombination",
                format!("The parameter throughput is not supported for {volume_type} volumes."),
            );
            return unfit("throughput", error);
        }
        (None, VolumeType::Gp3) => Some(125),
        (None, _) => None,
    };
    Ok((iops, throughput))
}

fn zone(ctx: &Caller, params: &Params) -> Result<String, AppError> {
    let given = |name| params.get(name).filter(|value| !value.is_empty());
    let zones = zone_names(&ctx.region);
    match (given("AvailabilityZone"), given("AvailabilityZoneId")) {
        (None, None) => Err(AppError::missing("AvailabilityZone")),
        (Some(_), Some(_)) => Err(AppError::new(
            "InvalidParameterCombination",
            "AvailabilityZone and AvailabilityZoneId cannot both be specified",
        )),
        (Some(name), None) => zones.into_iter().find(|zone| zone == name).ok_or_else(|| {
            AppError::new(
                "InvalidZone.NotFound",
                format!("The zone '{name}' does not exist."),
            )
        }),
        (None, Some(id)) => zones
            .into_iter()
            .find(|zone| zone_id(zone) == id)
            .ok_or_else(|| {
                AppError::new(
                    "InvalidZone.NotFound",
                    format!("The zone '{id}' does not exist."),
                )
            }),
    }
}

fn encryption(
    ctx: &Caller,
    params: &Params,
    snapshot: Option<&Snapshot>,
) -> Result<(bool, Option<String>), AppError> {
    let asked = params.flag("Encrypted")?;
    let key = params.get("KmsKeyId").filter(|key| !key.is_empty());
    if key.is_some_and(|key| key.len() > 2048) {
        return Err(AppError::value(
            "Value for parameter KmsKeyId is longer than 2048 characters.",
        ));
    }
    let inherited = snapshot.is_some_and(|snapshot| snapshot.encrypted);
    if inherited && asked == Some(false) {
        return Err(AppError::new(
            "InvalidParameterCombination",
            "A volume made from an encrypted snapshot is encrypted; Encrypted cannot be false.",
        ));
    }
    let encrypted = inherited || asked == Some(true);
    if key.is_some() && !encrypted {
        return Err(AppError::new(
            "InvalidParameterDependency",
            "The parameter KmsKeyId requires the parameter Encrypted to be set.",
        ));
    }
    let default = || {
        snapshot
            .and_then(|snapshot| snapshot.kms_key.clone())
            .unwrap_or_else(|| {
                format!("arn:aws:kms:{}:{}:key/lab-default", ctx.region, ctx.account)
            })
    };
    Ok((
        encrypted,
        encrypted.then(|| key.map_or_else(default, str::to_owned)),
    ))
}

/// What a request asks for, checked, not yet in the books.
fn plan(world: &mut World, ctx: &Caller, params: &Params) -> Result<Volume, AppError> {
    let az = zone(ctx, params)?;
    let snapshot = match params.get("SnapshotId").filter(|id| !id.is_empty()) {
        None => None,
        Some(id) => {
            let snapshot = Kind::Snapshot.find(id, &world.snapshots)?;
            if !snapshots::visible(snapshot, &ctx.account) {
                return Err(Kind::Snapshot.not_found(id));
            }
            Some(snapshot.clone())
        }
    };
    let snapshot = snapshot.as_ref();
    let (volume_type, size_gib, iops, throughput) = shape(params, snapshot)?;
    let (encrypted, kms_key) = encryption(ctx, params, snapshot)?;
    if params.flag("MultiAttachEnabled")? == Some(true) {
        return Err(AppError::new(
            "UnsupportedOperation",
            "The lab has no Multi-Attach volumes.",
        ));
    }
    let tags = tags::from_specifications(params, "volume")?;
    dry_run(params)?;
    if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.state != SnapshotState::Completed) {
        return Err(AppError::new(
            "IncorrectState",
            format!("Snapshot is in invalid state - {}", snapshot.state),
        ));
    }
    if world.volumes.len() >= bounds::VOLUMES {
        return Err(AppError::new(
            "VolumeLimitExceeded",
            format!("You have reached the limit of {} volumes.", bounds::VOLUMES),
        ));
    }
    let token = client_token(params)?;
    Ok(Volume {
        id: world.new_id("vol"),
        state: VolumeState::Creating,
        size_gib,
        volume_type,
        iops,
        throughput,
        encrypted,
        kms_key,
        az,
        created: ctx.now,
        snapshot: snapshot.map(|snapshot| snapshot.id.clone()),
        tags,
        attached_to: None,
        last_snapshot: None,
        filesystem: None,
        client_token: token.map(|token| (token.to_owned(), paging::question(params))),
    })
}

/// The caller's token, which EC2 takes up to 64 characters long.
fn client_token(params: &Params) -> Result<Option<&str>, AppError> {
    let token = params.get("ClientToken").filter(|token| !token.is_empty());
    if token.is_some_and(|token| token.chars().count() > 64) {
        return Err(AppError::value(
            "Value for parameter ClientToken is longer than 64 characters.",
        ));
    }
    Ok(token)
}

/// A volume that this very request made before.
fn repeated<'a>(world: &'a World, params: &Params) -> Result<Option<&'a Volume>, AppError> {
    let Some(token) = params.get("ClientToken").filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    let made = world.volumes.values().find_map(|volume| {
        volume
            .client_token
            .as_ref()
            .filter(|(used, _)| used == token)
            .map(|(_, asked)| (volume, asked))
    });
    match made {
        Some((volume, asked)) if *asked == paging::question(params) => Ok(Some(volume)),
        Some(_) => Err(AppError::new(
            "IdempotentParameterMismatch",
            format!(
                "The request uses the same client token ({token}) as a previous, but non-identical request."
            ),
        )),
        None => Ok(None),
    }
}

/// CreateVolume: the contents are there before the answer, the state becomes `available` on the clock.
pub async fn create(lab: &Lab, ctx: &Caller, params: &Params) -> Answer {
    let volume = {
        let mut world = lab.world_of(&ctx.region);
        if params.flag("DryRun")? != Some(true)
            && let Some(volume) = repeated(&world, params)?
        {
            return Ok(answer(ctx, "CreateVolume", |xml| {
                volumes::write(xml, volume, world.attachment(volume))
            }));
        }
        let volume = plan(&mut world, ctx, params)?;
        // In the books at once, so that a repeated client token meets it.
        world.volumes.insert(volume.id.clone(), volume.clone());
        volume
    };
    let spec = VolumeSpec {
        id: volume.id.clone(),
        size_gib: volume.size_gib,
        from_snapshot: volume.snapshot.clone(),
        filesystem: None,
        mount: None,
    };
    let made = lab.runtime().create_volume(&spec).await;
    let mut world = lab.world_of(&ctx.region);
    if let Err(message) = made {
        world.volumes.remove(&volume.id);
        return Err(AppError::with_status(
            500,
            "InternalError",
            format!("The lab could not make the volume: {message}"),
        ));
    }
    let time = Duration::from_millis(world.rng.u64(1_500..4_000));
    world.after(time, Transition::VolumeReady(volume.id.clone()));
    Ok(answer(ctx, "CreateVolume", |xml| {
        volumes::write(xml, &volume, None)
    }))
}

/// DeleteVolume: only one that nothing uses.
pub async fn delete(lab: &Lab, ctx: &Caller, params: &Params) -> Answer {
    let id = params.required("VolumeId")?.to_owned();
    {
        let mut world = lab.world_of(&ctx.region);
        let volume = Kind::Volume.find(&id, &world.volumes)?;
        let (state, holder) = (volume.state, volume.attached_to.clone());
        dry_run(params)?;
        if let Some(instance) = holder {
            return Err(AppError::new(
                "VolumeInUse",
                format!("Volume {id} is currently attached to {instance}"),
            ));
        }
        if state != VolumeState::Available {
            return Err(AppError::new(
                "IncorrectState",
                format!("The volume '{id}' is in the '{state}' state."),
            ));
        }
        if let Some(volume) = world.volumes.get_mut(&id) {
            volume.state = VolumeState::Deleting;
        }
    }
    let gone = lab.runtime().delete_volume(&id).await;
    let mut world = lab.world_of(&ctx.region);
    if let Err(message) = gone {
        if let Some(volume) = world.volumes.get_mut(&id) {
            volume.state = VolumeState::Available;
        }
        return Err(AppError::with_status(
            500,
            "InternalError",
            format!("The lab could not delete the volume: {message}"),
        ));
    }
    world.after(Duration::from_secs(2), Transition::VolumeGone(id));
    Ok(yes(ctx, "DeleteVolume"))
}

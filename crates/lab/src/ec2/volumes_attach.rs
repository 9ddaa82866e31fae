//! AttachVolume and DetachVolume.

use std::time::Duration;

use super::ids::Kind;
use super::{Answer, answer, dry_run, volumes};
use crate::Lab;
use crate::caller::Caller;
use crate::wire::AppError;
use crate::wire::query::Params;
use crate::world::{
    AttachmentState, BlockDevice, Instance, InstanceState, Platform, Transition, VolumeState, World,
};

/// Attachments of a Nitro instance, without its network interface.
pub const ATTACHMENTS_LIMIT: usize = 27;

/// Whether EC2 takes this name for a data or root volume.
pub fn valid_device(platform: Platform, device: &str) -> bool {
    let letters = |rest: &str, first: std::ops::RangeInclusive<u8>| {
        let bytes = rest.as_bytes();
        match bytes {
            [one] => first.contains(one),
            [b'a'..=b'c', two] => two.is_ascii_lowercase(),
            [b'd', two] => (b'a'..=b'x').contains(two),
            _ => false,
        }
    };
    if device == "/dev/sda1" {
        return true;
    }
    match platform {
        Platform::Windows => device
            .strip_prefix("xvd")
            .is_some_and(|rest| letters(rest, b'a'..=b'z')),
        Platform::Linux => {
            let sd = device
                .strip_prefix("/dev/sd")
                .is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_lowercase());
            sd || device == "/dev/xvda"
                || device
                    .strip_prefix("/dev/xvd")
                    .is_some_and(|rest| letters(rest, b'b'..=b'z'))
        }
    }
}

fn check_place(world: &World, instance: &Instance, device: &str) -> Result<(), AppError> {
    if !valid_device(instance.platform, device) {
        return Err(AppError::value(format!(
            "Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name."
        )));
    }
    if instance
        .block_devices
        .iter()
        .any(|used| used.device == device)
    {
        return Err(AppError::value(format!(
            "Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        )));
    }
    if instance.block_devices.len() >= ATTACHMENTS_LIMIT {
        return Err(AppError::new(
            "AttachmentLimitExceeded",
            format!(
                "Instance '{}' already has {ATTACHMENTS_LIMIT} volumes attached.",
                instance.id
            ),
        ));
    }
    if !matches!(
        instance.state,
        InstanceState::Running | InstanceState::Stopped
    ) {
        return Err(AppError::new(
            "IncorrectState",
            format!(
                "Instance '{}' is not 'running' in {}.",
                instance.id, world.region
            ),
        ));
    }
    Ok(())
}

/// AttachVolume: the device is there before the answer; the state becomes `attached` on the clock.
pub async fn attach(lab: &Lab, ctx: &Caller, params: &Params) -> Answer {
    let (device, volume, instance) = (
        params.required("Device")?,
        params.required("VolumeId")?,
        params.required("InstanceId")?,
    );
    let place = BlockDevice {
        device: device.to_owned(),
        volume: volume.to_owned(),
        delete_on_termination: false,
        state: AttachmentState::Attaching,
        attach_time: ctx.now,
    };
    {
        let mut world = lab.world_of(&ctx.region);
        let found = Kind::Volume.find(volume, &world.volumes)?;
        let target = Kind::Instance.find(instance, &world.instances)?;
        dry_run(params)?;
        if found.az != target.az {
            let message = format!(
                "The volume '{volume}' is not in the same availability zone as instance '{instance}'"
            );
            return Err(AppError::new("InvalidVolume.ZoneMismatch", message));
        }
        match found.state {
            VolumeState::Available => {}
            VolumeState::InUse => {
                return Err(AppError::new(
                    "VolumeInUse",
                    format!("{volume} is already attached to an instance"),
                ));
            }
            _ => {
                return Err(AppError::new(
                    "IncorrectState",
                    format!("{volume} is not 'available'."),
                ));
            }
        }
        check_place(&world, target, device)?;
        if let Some(volume) = world.volumes.get_mut(volume) {
            volume.state = VolumeState::InUse;
            volume.attached_to = Some(instance.to_owned());
        }
        if let Some(instance) = world.instances.get_mut(instance) {
            instance.block_devices.push(place.clone());
        }
    }
    let done = lab.runtime().attach(instance, volume, device).await;
    let mut world = lab.world_of(&ctx.region);
    if let Err(message) = done {
        world.drop_attachment(instance, volume);
        return Err(AppError::with_status(
            500,
            "InternalError",
            format!("The lab could not attach the volume: {message}"),
        ));
    }
    let time = Duration::from_millis(world.rng.u64(800..2_500));
    world.after(
        time,
        Transition::Attached {
            instance: instance.to_owned(),
            volume: volume.to_owned(),
        },
    );
    Ok(answer(ctx, "AttachVolume", |xml| {
        volumes::write_attachment(xml, instance, &place)
    }))
}

/// Which instance has the volume, if it may be taken away there.
fn check_detach(
    world: &World,
    params: &Params,
    volume: &str,
) -> Result<(String, BlockDevice), AppError> {
    let found = Kind::Volume.find(volume, &world.volumes)?;
    let named = params.get("InstanceId").filter(|id| !id.is_empty());
    if let Some(named) = named {
        Kind::Instance.find(named, &world.instances)?;
    }
    let device = params.get("Device").filter(|device| !device.is_empty());
    dry_run(params)?;
    let Some((instance, place)) = world.attachment(found) else {
        return Err(AppError::new(
            "IncorrectState",
            format!("Volume '{volume}' is in the '{}' state.", found.state),
        ));
    };
    if named.is_some_and(|named| named != instance.id)
        || device.is_some_and(|device| device != place.device)
    {
        let message = format!(
            "The volume '{volume}' is not attached to instance '{}' as device '{}'",
            named.unwrap_or(&instance.id),
            device.unwrap_or(&place.device)
        );
        return Err(AppError::new("InvalidAttachment.NotFound", message));
    }
    if matches!(
        place.state,
        AttachmentState::Attaching | AttachmentState::Detaching
    ) {
        return Err(AppError::new(
            "IncorrectState",
            format!(
                "The attachment of volume '{volume}' is in the '{}' state.",
                place.state
            ),
        ));
    }
    if instance.root_volume() == Some(volume) && instance.state != InstanceState::Stopped {
        return Err(AppError::new(
            "IncorrectState",
            format!(
                "Unable to detach root volume '{volume}' from instance '{}'",
                instance.id
            ),
        ));
    }
    Ok((instance.id.clone(), place.clone()))
}

/// DetachVolume: a volume that the instance still has mounted stays `busy` until it is asked for again, or until the
/// instance stops.
pub async fn detach(lab: &Lab, ctx: &Caller, params: &Params) -> Answer {
    let volume = params.required("VolumeId")?;
    params.flag("Force")?;
    let (instance, mut place, off) = {
        let mut world = lab.world_of(&ctx.region);
        let (instance, mut place) = check_detach(&world, params, volume)?;
        place.state = AttachmentState::Detaching;
        if let Some(device) = world.device_mut(&instance, volume) {
            device.state = AttachmentState::Detaching;
        }
        let off = world
            .instances
            .get(&instance)
            .is_some_and(|instance| instance.state == InstanceState::Stopped);
        (instance, place, off)
    };
    let done = lab.runtime().detach(&instance, volume, off).await;
    let mut world = lab.world_of(&ctx.region);
    if done.is_ok() {
        let time = Duration::from_millis(world.rng.u64(800..2_500));
        world.after(
            time,
            Transition::Detached {
                instance: instance.clone(),
                volume: volume.to_owned(),
            },
        );
    } else if let Some(device) = world.device_mut(&instance, volume) {
        device.state = AttachmentState::Busy;
        place.state = AttachmentState::Busy;
    }
    Ok(answer(ctx, "DetachVolume", |xml| {
        volumes::write_attachment(xml, &instance, &place)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_as_ec2_takes_them() {
        for good in [
            "/dev/sdf",
            "/dev/sda1",
            "/dev/xvda",
            "/dev/xvdf",
            "/dev/xvdba",
            "/dev/xvddx",
        ] {
            assert!(valid_device(Platform::Linux, good), "{good}");
        }
        for bad in [
            "/dev/sdk1",
            "sdf",
            "/dev/nvme1n1",
            "/dev/sd",
            "/dev/sdF",
            "/dev/xvddy",
            "xvdf",
            "",
        ] {
            assert!(!valid_device(Platform::Linux, bad), "{bad}");
        }
        assert!(valid_device(Platform::Windows, "xvdf"));
        assert!(!valid_device(Platform::Windows, "/dev/sdf"));
    }
}

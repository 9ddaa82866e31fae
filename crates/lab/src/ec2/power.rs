//! StartInstances and StopInstances.

use std::time::Duration;

use super::ids::Kind;
use super::instances::write_state;
use super::{Answer, answer, dry_run};
use crate::Lab;
use crate::caller::Caller;
use crate::wire::AppError;
use crate::wire::query::Params;
use crate::world::{AttachmentState, InstanceState, Transition};

/// Changes the state of all named instances or of none. A start without the root volume is refused. A stop ends what
/// keeps a volume `busy`: nothing has it mounted any more.
pub async fn change(lab: &Lab, ctx: &Caller, action: &str, params: &Params) -> Answer {
    let ids = params.list("InstanceId");
    if ids.is_empty() {
        return Err(AppError::missing("InstanceId"));
    }
    let start = action == "StartInstances";
    let (mut changes, mut busy) = (Vec::new(), Vec::new());
    {
        let mut world = lab.world_of(&ctx.region);
        for instance in Kind::Instance.wanted(&ids, &world.instances)? {
            let (refused, moving, settled) = if start {
                (
                    InstanceState::Stopping,
                    InstanceState::Pending,
                    InstanceState::Running,
                )
            } else {
                (
                    InstanceState::Pending,
                    InstanceState::Stopping,
                    InstanceState::Stopped,
                )
            };
            if instance.state == refused {
                let message = format!(
                    "The instance '{}' is not in a state from which it can be {}.",
                    instance.id,
                    if start { "started" } else { "stopped" }
                );
                return Err(AppError::new("IncorrectInstanceState", message));
            }
            if start && instance.root_volume().is_none() {
                let message = format!(
                    "Invalid value '{}' for instanceId. Instance does not have a volume attached at root ({})",
                    instance.id, instance.root_device_name
                );
                return Err(AppError::new("IncorrectInstanceState", message));
            }
            let becomes = if instance.state == settled {
                settled
            } else {
                moving
            };
            changes.push((instance.id.clone(), instance.state, becomes));
        }
        dry_run(params)?;
        for (id, before, after) in &changes {
            if before == after {
                continue;
            }
            if let Some(instance) = world.instances.get_mut(id) {
                instance.state = *after;
                if start {
                    instance.launch_time = ctx.now;
                } else {
                    instance.stopped = Some(ctx.now);
                }
            }
            let time = Duration::from_millis(world.rng.u64(6_000..14_000));
            world.after(time, Transition::InstanceSettled(id.clone()));
            if start {
                continue;
            }
            let held = world.instances.get(id).into_iter();
            let held = held.flat_map(|instance| &instance.block_devices);
            let held = held.filter(|device| device.state == AttachmentState::Busy);
            busy.extend(held.map(|device| (id.clone(), device.volume.clone(), time)));
        }
    }
    for (instance, volume, time) in busy {
        if lab.runtime().detach(&instance, &volume, true).await.is_ok() {
            let mut world = lab.world_of(&ctx.region);
            world.after(time, Transition::Detached { instance, volume });
        }
    }
    Ok(answer(ctx, action, |xml| {
        xml.items("instancesSet", &changes, |xml, (id, before, after)| {
            xml.text("instanceId", id);
            write_state(xml, "currentState", *after);
            write_state(xml, "previousState", *before);
        });
    }))
}

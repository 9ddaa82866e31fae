//! From a request and a reading to a plan, or to the reason why there is none.

use super::device::Free;
use super::{Purpose, RestoreItem, RestorePlan, RestoreRequest, calls};
use crate::domain::ids::SnapshotId;
use crate::domain::instance::{Agent, Instance, Platform};
use crate::domain::inventory::Inventory;
use crate::domain::level::Level;
use crate::domain::problem::{Kind, Problem};
use crate::domain::proof;
use crate::domain::set::SnapshotSet;
use crate::domain::snapshot::Snapshot;
use crate::domain::tags::{MAX_TAGS, RESTORE, RESTORED_FROM, Tags};

const WHAT: &str = "plan the restore";

/// Plans a restore beside the data. `id` is the UUID of this restore.
///
/// # Errors
/// What stands in the way, and what to do about it: nothing is planned by halves.
pub fn plan(
    request: &RestoreRequest,
    inventory: &Inventory,
    id: &str,
) -> Result<RestorePlan, Problem> {
    let set = inventory
        .sets()
        .into_iter()
        .find(|s| s.job == request.set)
        .ok_or_else(|| {
            refuse(
                Kind::NotFound,
                format!("there is no set {} in {}", request.set, inventory.scope),
                "freezeframe list sets shows what there is; check account and region",
            )
        })?;
    let target = inventory.instance(&request.target).ok_or_else(|| {
        refuse(
            Kind::NotFound,
            format!(
                "there is no instance {} in {}",
                request.target, inventory.scope
            ),
            "choose an instance of this account and region",
        )
    })?;
    if !matches!(target.state.as_str(), "running" | "stopped") {
        return Err(refuse(
            Kind::State,
            format!("{} is {}", target.id, target.state),
            "wait until it is running or stopped, or choose another target",
        ));
    }
    let mount_under = mount_under(request, target)?;
    let members = members(request, inventory, &set)?;
    let mut free = Free::of(target);
    let mut items = Vec::new();
    for member in &members {
        let device = match (&request.device, items.is_empty()) {
            (Some(name), true) => free.take(name).map_err(|cause| {
                refuse(
                    Kind::Usage,
                    cause,
                    "name another, such as /dev/sdf (Windows: xvdf), or leave it out",
                )
            })?,
            _ => free.next().ok_or_else(|| {
                refuse(
                    Kind::State,
                    format!("{} has no free device name left", target.id),
                    "detach something, or choose another target",
                )
            })?,
        };
        items.push(item(
            request,
            inventory,
            target,
            member,
            device,
            mount_under,
            id,
        )?);
    }
    let mut plan = RestorePlan {
        id: id.to_owned(),
        scope: inventory.scope.clone(),
        purpose: Purpose::BesideTheData,
        set: set.job.clone(),
        point_in_time: set.started,
        target: target.id.clone(),
        target_name: target.name().to_owned(),
        warnings: warnings(&set, target, &members, inventory),
        items,
        calls: Vec::new(),
    };
    plan.calls = calls::of(&plan);
    Ok(plan)
}

fn refuse(kind: Kind, cause: impl AsRef<str>, mend: impl AsRef<str>) -> Problem {
    Problem::new(kind, WHAT, cause, mend)
}

/// The directory to mount under, when mounting is asked for and possible.
fn mount_under<'a>(
    request: &'a RestoreRequest,
    target: &Instance,
) -> Result<Option<&'a str>, Problem> {
    let Some(directory) = request.mount_under.as_deref() else {
        return Ok(None);
    };
    let attach_only = "attach only (no mount directory), and mount by hand";
    if target.platform != Platform::Linux {
        return Err(refuse(
            Kind::Usage,
            format!("mounting is for Linux, {} is Windows", target.id),
            attach_only,
        ));
    }
    if target.state != "running" || !matches!(target.agent, Agent::Online { .. }) {
        return Err(refuse(
            Kind::Agent,
            format!(
                "mounting needs the agent; {} is {}, its agent {}",
                target.id,
                target.state,
                target.agent.word()
            ),
            format!("start the instance and its agent, or {attach_only}"),
        ));
    }
    let directory = directory.trim_end_matches('/');
    // The mount document's own rule: an absolute path of plain names.
    let name = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(&b))
    };
    match directory.strip_prefix('/') {
        Some(rest) if rest.split('/').all(name) => Ok(Some(directory)),
        _ => Err(refuse(
            Kind::Usage,
            format!("`{directory}` is not a directory that the mount document accepts"),
            "name an absolute path of letters, digits and ._@+-, such as /restore",
        )),
    }
}

/// The snapshots to bring back: those asked for, else every one but the root volume's.
fn members<'a>(
    request: &RestoreRequest,
    inventory: &'a Inventory,
    set: &SnapshotSet,
) -> Result<Vec<&'a Snapshot>, Problem> {
    let of_set: Vec<&Snapshot> = set
        .members
        .iter()
        .filter_map(|id| inventory.snapshot(id))
        .collect();
    let chosen: Vec<&Snapshot> = if request.only.is_empty() {
        if let Some(expected) = set.expected.filter(|_| set.is_partial()) {
            return Err(refuse(
                Kind::State,
                format!(
                    "the set is partial: {} of {expected} snapshots are there",
                    set.members.len()
                ),
                "name the snapshots that you want, or choose another set",
            ));
        }
        of_set
            .iter()
            .copied()
            .filter(|m| !is_root(inventory, set, m))
            .collect()
    } else {
        let mut wanted: Vec<&SnapshotId> = Vec::new();
        for id in &request.only {
            if !set.members.contains(id) {
                return Err(refuse(
                    Kind::NotFound,
                    format!("{id} is not a member of set {}", set.job),
                    format!("its members are {}", list(set)),
                ));
            }
            if !wanted.contains(&id) {
                wanted.push(id);
            }
        }
        of_set
            .iter()
            .copied()
            .filter(|m| wanted.contains(&&m.id))
            .collect()
    };
    if chosen.is_empty() {
        return Err(refuse(
            Kind::Usage,
            "the set holds the root volume only",
            format!(
                "name the snapshot to restore it beside the data: {}",
                list(set)
            ),
        ));
    }
    for member in &chosen {
        let mend = match member.tier.as_str() {
            "standard" => "wait until it is completed, or choose another set",
            _ => "bring it back to the standard tier first (up to 72 hours), or choose another set",
        };
        if !member.is_restorable() {
            return Err(refuse(
                Kind::State,
                format!(
                    "{} is {} in the {} tier",
                    member.id, member.state, member.tier
                ),
                mend,
            ));
        }
    }
    Ok(chosen)
}

fn list(set: &SnapshotSet) -> String {
    set.members
        .iter()
        .map(|m| m.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether a member was its instance's root volume.
fn is_root(inventory: &Inventory, set: &SnapshotSet, member: &Snapshot) -> bool {
    let device = member.device().unwrap_or_default();
    is_root_device(
        device,
        set.instance.as_ref().and_then(|id| inventory.instance(id)),
    )
}

/// Whether a device is that of the root volume: the instance's, or by the usual names if it is gone.
pub fn is_root_device(device: &str, instance: Option<&Instance>) -> bool {
    match instance {
        Some(instance) => device == instance.root_device,
        None => matches!(device, "/dev/xvda" | "/dev/sda1" | "xvda"),
    }
}

fn item(
    request: &RestoreRequest,
    inventory: &Inventory,
    target: &Instance,
    member: &Snapshot,
    device: String,
    mount_under: Option<&str>,
    id: &str,
) -> Result<RestoreItem, Problem> {
    let source = inventory.volume(&member.volume);
    let volume_type = request
        .volume_type
        .clone()
        .or_else(|| source.map(|v| v.volume_type.clone()))
        .unwrap_or_else(|| "gp3".to_owned());
    // What was provisioned for another type means nothing for this one.
    let same = source.filter(|v| v.volume_type == volume_type);
    let (iops, throughput) = performance(
        &volume_type,
        member.volume_gib,
        same.and_then(|v| v.iops),
        same.and_then(|v| v.throughput),
    )
    .map_err(|(cause, mend)| refuse(Kind::Usage, format!("{}: {cause}", member.id), mend))?;
    let name = device.trim_start_matches("/dev/");
    Ok(RestoreItem {
        snapshot: member.id.clone(),
        source: member.volume.clone(),
        level: member.borne_level().unwrap_or(Level::Pending),
        size_gib: member.volume_gib,
        zone: target.zone.clone(),
        volume_type,
        iops,
        throughput,
        mount: mount_under.map(|under| format!("{under}/{name}")),
        tags: tags(member, id),
        client_token: token(id, member.id.as_str()),
        device,
    })
}

/// IOPS and throughput (MiB/s) to ask for.
type Performance = (Option<u32>, Option<u32>);

/// IOPS and throughput to ask for, by the rules of the type (aws-facts 5.1); else cause and mend.
fn performance(
    volume_type: &str,
    gib: u32,
    iops: Option<u32>,
    throughput: Option<u32>,
) -> Result<Performance, (String, &'static str)> {
    let use_gp3 = "use gp3";
    let (least, most) = match volume_type {
        "gp3" => (1, 65_536),
        "gp2" => (1, 16_384),
        "io1" => (4, 16_384),
        "io2" => (4, 65_536),
        "st1" | "sc1" => (125, 16_384),
        "standard" => (1, 1_024),
        other => {
            return Err((
                format!("`{other}` is no volume type"),
                "choose gp3, gp2, io1, io2, st1, sc1 or standard",
            ));
        }
    };
    if !(least..=most).contains(&gib) {
        return Err((
            format!("{volume_type} holds {least} to {most} GiB, the snapshot has {gib}"),
            use_gp3,
        ));
    }
    match volume_type {
        "gp3" => Ok((iops, throughput)),
        "io1" | "io2" if iops.is_some() => Ok((iops, None)),
        "io1" | "io2" => Err((
            format!(
                "{volume_type} needs provisioned IOPS, and the source volume has none to take over"
            ),
            "use gp3, and modify the volume afterwards",
        )),
        _ => Ok((None, None)),
    }
}

/// The parent's own tags, without those that speak of the snapshot, and ours.
fn tags(member: &Snapshot, id: &str) -> Tags {
    let mut tags: Tags = member
        .tags
        .copyable()
        .filter(|(key, _)| !key.starts_with("freezeframe:"))
        .take(MAX_TAGS - 2)
        .collect();
    tags.set(RESTORED_FROM, member.id.as_str());
    tags.set(RESTORE, id);
    tags
}

/// At most 64 ASCII characters, the same for the same restore and snapshot.
fn token(id: &str, snapshot: &str) -> String {
    let snapshot = snapshot.strip_prefix("snap-").unwrap_or(snapshot);
    format!("ff-{id}-{snapshot}").chars().take(64).collect()
}

fn warnings(
    set: &SnapshotSet,
    target: &Instance,
    members: &[&Snapshot],
    inventory: &Inventory,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for member in members {
        let level = member.borne_level().unwrap_or(Level::Pending);
        if !level.is_proven() {
            let worth = match member.bare_claim() {
                Some(claim) => format!("{level}; {claim} is {}", proof::CLAIMED),
                None => level.to_string(),
            };
            warnings.push(format!("{} is not proven consistent ({worth})", member.id));
        }
        if member
            .tags
            .copyable()
            .filter(|(k, _)| !k.starts_with("freezeframe:"))
            .count()
            > MAX_TAGS - 2
        {
            warnings.push(format!(
                "{} has more tags than a volume may have; the last are left out",
                member.id
            ));
        }
        if is_root(inventory, set, member) {
            warnings.push(format!(
                "{} is a root volume; its copy has the same UUID and label, so a reboot of an instance that also has the original may boot from either: detach the copy before",
                member.id
            ));
        }
    }
    if set.instance.as_ref() != Some(&target.id) {
        warnings.push(format!(
            "the data comes from another instance than {}",
            target.id
        ));
    }
    warnings
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

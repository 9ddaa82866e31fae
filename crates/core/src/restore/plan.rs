//! From a request and a reading to a plan, or to the reason why there is none.

use crate::state::InstanceState;
use chrono::{DateTime, Utc};

use super::device::Free;
use super::{
    Purpose, RestoreItem, RestorePlan, RestoreRequest, calls, copy_tags, performance, twins,
};
use crate::ids::SnapshotId;
use crate::instance::{Agent, Instance, Platform};
use crate::inventory::Inventory;
use crate::level::Level;
use crate::problem::{Kind, Problem};
use crate::proof;
use crate::set::SnapshotSet;
use crate::snapshot::Snapshot;
use crate::text::visible;

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
    if !matches!(
        target.state,
        InstanceState::Running | InstanceState::Stopped
    ) {
        return Err(refuse(
            Kind::State,
            format!("{} is {}", target.id, target.state),
            "wait until it is running or stopped, or choose another target",
        ));
    }
    let mount_under = mount_under(request, target)?;
    if let Some(key) = &request.kms_key {
        kms_key(key, inventory.scope.region.as_str())
            .map_err(|(cause, hint)| refuse(Kind::Usage, cause, hint))?;
    }
    let members = members(request, inventory, &set)?;
    let mut free = Free::of(target);
    let mut items: Vec<RestoreItem> = Vec::new();
    let mut warnings = warnings(&set, target, &members);
    for member in &members {
        let device = match (&request.device, items.is_empty()) {
            (Some(name), true) => match free.take(name) {
                Ok(device) => device,
                Err(cause) => {
                    let hint = match free.next() {
                        Some(other) => format!("name another, such as {other}, or leave it out"),
                        None => "leave it out, and detach something first".to_owned(),
                    };
                    return Err(refuse(Kind::Usage, cause, hint));
                }
            },
            _ => free.next().ok_or_else(|| {
                refuse(
                    Kind::State,
                    format!("{} has no free device name left", target.id),
                    "detach something, or choose another target",
                )
            })?,
        };
        let place = Place {
            target,
            device,
            mount_under,
            taken: set.started,
            id,
        };
        let item = item(request, inventory, member, place, &mut warnings)?;
        items.push(item);
    }
    let copies = items
        .iter()
        .map(|i: &RestoreItem| (&i.snapshot, &i.same_filesystems[..]));
    warnings.extend(twins::warning(copies, target));
    let mut left_off: Vec<String> = items.iter().flat_map(|i| i.tags_left_off.clone()).collect();
    left_off.sort();
    left_off.dedup();
    let mut plan = RestorePlan {
        id: id.to_owned(),
        scope: inventory.scope.clone(),
        purpose: Purpose::BesideTheData,
        set: set.job.clone(),
        point_in_time: set.started,
        target: target.id.clone(),
        target_name: target.name().to_owned(),
        warnings,
        notes: copy_tags::notes(request, &left_off),
        items,
        calls: Vec::new(),
    };
    plan.calls = calls::plan_calls(&plan);
    Ok(plan)
}

fn refuse(kind: Kind, cause: impl AsRef<str>, hint: impl AsRef<str>) -> Problem {
    Problem::new(kind, WHAT, cause, hint)
}

/// Whether a key's name may be one; EC2 itself looks only after its answer, and then the volume just vanishes.
///
/// # Errors
/// Cause and hint.
pub fn kms_key(key: &str, region: &str) -> Result<(), (String, String)> {
    let hint = "name a key id, alias/NAME, or the ARN of a key or alias of this region";
    let fits = |text: &str| {
        !text.is_empty()
            && text.len() <= 256
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_/:".contains(&b))
    };
    let refused = |why: &str| Err((format!("`{key}` is no KMS key: {why}"), hint.to_owned()));
    if !fits(key) {
        return refused("it has characters that no key has");
    }
    let (of_region, name) = match key.strip_prefix("arn:") {
        None => (None, key),
        Some(rest) => match rest.split(':').collect::<Vec<_>>().as_slice() {
            [_, "kms", of, _, name] => (Some(*of), *name),
            _ => return refused("the ARN is not one of KMS"),
        },
    };
    if of_region.is_some_and(|of| of != region) {
        return refused(&format!("it is not of {region}"));
    }
    let id = name.strip_prefix("key/").unwrap_or(name);
    let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    let is_id = id.len() == 36 && id.chars().all(hex)
        || id
            .strip_prefix("mrk-")
            .is_some_and(|d| d.len() == 32 && d.chars().all(hex));
    let is_alias = name
        .strip_prefix("alias/")
        .is_some_and(|alias| !alias.is_empty());
    if is_alias || is_id || (of_region.is_some() && name.starts_with("key/")) {
        Ok(())
    } else {
        refused("neither an id, an alias nor an ARN")
    }
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
    if target.state != InstanceState::Running || !matches!(target.agent, Agent::Online { .. }) {
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
            match directory {
                "" => "`/` itself is no place to mount restored volumes under".to_owned(),
                _ => format!(
                    "`{}` is not a directory that the mount document accepts",
                    visible(directory)
                ),
            },
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
        let hint = match member.tier.as_str() {
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
                hint,
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

/// Where one copy goes, and as part of what.
struct Place<'a> {
    target: &'a Instance,
    device: String,
    mount_under: Option<&'a str>,
    taken: DateTime<Utc>,
    id: &'a str,
}

fn item(
    request: &RestoreRequest,
    inventory: &Inventory,
    member: &Snapshot,
    place: Place<'_>,
    warnings: &mut Vec<String>,
) -> Result<RestoreItem, Problem> {
    let source = inventory.volume(&member.volume);
    let made = performance::choose_performance(request, member, source)
        .map_err(|(cause, hint)| refuse(Kind::Usage, format!("{}: {cause}", member.id), hint))?;
    let same_filesystems = twins::find_twins(inventory, place.target, member);
    warnings.extend(made.notes);
    let sources = twins::sources(inventory, member);
    let (tags, tags_left_off) =
        copy_tags::tags_of_copy(request, member, sources, place.taken, place.id);
    let name = place.device.trim_start_matches("/dev/");
    Ok(RestoreItem {
        snapshot: member.id.clone(),
        source: member.volume.clone(),
        level: member.verified_level().unwrap_or(Level::Pending),
        size_gib: member.volume_gib,
        zone: place.target.zone.clone(),
        volume_type: made.volume_type,
        iops: made.iops,
        throughput: made.throughput,
        type_from: made.type_from,
        iops_from: made.iops_from,
        throughput_from: made.throughput_from,
        encrypted: member.encrypted || request.encrypted || request.kms_key.is_some(),
        encrypt: request.kms_key.is_some() || (request.encrypted && !member.encrypted),
        kms_key: request.kms_key.clone(),
        same_filesystems,
        tags_left_off,
        mount: place.mount_under.map(|under| format!("{under}/{name}")),
        tags,
        client_token: token(place.id, member.id.as_str()),
        device: place.device,
    })
}

/// At most 64 ASCII characters, the same for the same restore and snapshot.
fn token(id: &str, snapshot: &str) -> String {
    let snapshot = snapshot.strip_prefix("snap-").unwrap_or(snapshot);
    format!("ff-{id}-{snapshot}").chars().take(64).collect()
}

fn warnings(set: &SnapshotSet, target: &Instance, members: &[&Snapshot]) -> Vec<String> {
    let mut warnings = Vec::new();
    for member in members {
        let level = member.verified_level().unwrap_or(Level::Pending);
        if !level.is_proven() {
            let worth = match member.unverified_claim() {
                Some(claim) => format!("{level}; {claim} is {}", proof::CLAIMED),
                None => level.to_string(),
            };
            warnings.push(format!("{} is not proven consistent ({worth})", member.id));
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

//! Volumes at the target that carry the same filesystems as a copy will: the same UUIDs, labels and LVM names
//! (aws-facts 5.8).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{SnapshotId, VolumeId};
use crate::instance::Instance;
use crate::inventory::Inventory;
use crate::snapshot::Snapshot;
use crate::tags::{MAX_VALUE, RESTORED_FROM, SOURCES};
use crate::text::visible;

/// Most steps back through snapshots and volumes.
const FAR: usize = 32;

/// A volume with the same filesystems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    /// The volume.
    pub volume: VolumeId,
    /// Its device name at the target.
    pub device: String,
    /// Whether it is the source itself; else another copy.
    pub is_source: bool,
    /// Whether the target boots from it.
    pub is_root: bool,
}

/// What the data has been on its way, back to where nobody knows more: volumes, nearest first, and snapshots.
#[derive(Debug, Default)]
struct Way {
    volumes: Vec<VolumeId>,
    snapshots: BTreeSet<SnapshotId>,
}

impl Way {
    fn of(inventory: &Inventory, volume: &VolumeId, from: Option<SnapshotId>) -> Self {
        let mut way = Self::default();
        way.snapshots.extend(from);
        let mut next = vec![volume.clone()];
        while let Some(id) = next.pop().filter(|_| way.volumes.len() < FAR) {
            // The volume of a copied snapshot is a number that means nothing (aws-facts 4.1).
            if !has_meaning(&id) || way.volumes.contains(&id) {
                continue;
            }
            way.volumes.push(id.clone());
            let Some(volume) = inventory.volume(&id) else {
                continue;
            };
            let tagged = || volume.tags.get(RESTORED_FROM).map(SnapshotId::from_api);
            let made_from = volume.from_snapshot.clone().or_else(tagged);
            let before = made_from.as_ref().and_then(|from| inventory.snapshot(from));
            // The farthest first: the nearest is taken next.
            let noted = volume.tags.get(SOURCES).unwrap_or_default();
            next.extend(noted.split_ascii_whitespace().rev().map(VolumeId::from_api));
            next.extend(before.map(|snapshot| snapshot.volume.clone()));
            way.snapshots.extend(made_from);
        }
        way
    }

    fn meets(&self, other: &Self) -> bool {
        !self.snapshots.is_disjoint(&other.snapshots)
            || self.volumes.iter().any(|id| other.volumes.contains(id))
    }
}

/// The value of the tag [`SOURCES`] of a copy: as many volumes as it has room for.
pub(super) fn sources(inventory: &Inventory, member: &Snapshot) -> Option<String> {
    let mut text = String::new();
    for id in Way::of(inventory, &member.volume, None).volumes {
        if text.len() + 1 + id.as_str().len() > MAX_VALUE {
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(id.as_str());
    }
    (!text.is_empty()).then_some(text)
}

fn has_meaning(volume: &VolumeId) -> bool {
    let digits = volume.as_str().trim_start_matches("vol-");
    !digits.is_empty() && !digits.bytes().all(|b| b == b'f')
}

/// The volumes at `target` whose data came the same way as that of `member`.
pub(super) fn find_twins(inventory: &Inventory, target: &Instance, member: &Snapshot) -> Vec<Twin> {
    let ours = Way::of(inventory, &member.volume, Some(member.id.clone()));
    target
        .devices
        .iter()
        .filter(|d| Way::of(inventory, &d.volume, None).meets(&ours))
        .map(|d| Twin {
            volume: d.volume.clone(),
            device: d.device.clone(),
            is_source: d.volume == member.volume,
            is_root: d.device == target.root_device,
        })
        .collect()
}

/// One warning for all copies that meet their own filesystems at the target, in words.
pub(super) fn warning<'a>(
    copies: impl Iterator<Item = (&'a SnapshotId, &'a [Twin])>,
    target: &Instance,
) -> Option<String> {
    let mut named = Vec::new();
    let mut boots = "";
    for (snapshot, twins) in copies.filter(|(_, twins)| !twins.is_empty()) {
        let which: Vec<String> = twins.iter().map(named_twin).collect();
        named.push(format!("the copy of {snapshot} as {}", which.join(" and ")));
        if twins.iter().any(|twin| twin.is_root) {
            boots = " A reboot may boot from either: detach the copy before.";
        }
    }
    if named.is_empty() {
        return None;
    }
    Some(format!(
        "the same filesystem UUIDs and labels are at {} ({}) already: {}. Mounting by UUID or LABEL, as /etc/fstab \
         does, may take the wrong one; XFS refuses the second without nouuid; LVM finds its volume group twice; btrfs \
         must not see both. Mount a copy by its device, and detach it when you are done.{boots}",
        visible(target.name()),
        target.id,
        named.join("; "),
    ))
}

fn named_twin(twin: &Twin) -> String {
    let what = if twin.is_source {
        "its source"
    } else {
        "made from the same data"
    };
    format!("{} ({}, {what})", twin.volume, visible(&twin.device))
}

//! Volumes at the target that carry the same filesystems as a copy will: the same UUIDs, labels and LVM names
//! (aws-facts 5.8).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{SnapshotId, VolumeId};
use crate::domain::instance::Instance;
use crate::domain::inventory::Inventory;
use crate::domain::snapshot::Snapshot;
use crate::domain::tags::RESTORED_FROM;
use crate::domain::text::visible;

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

/// Everything that the data has been on its way: volumes and snapshots, back to where nobody knows more.
fn way(
    inventory: &Inventory,
    mut volume: Option<VolumeId>,
    from: Option<SnapshotId>,
) -> BTreeSet<String> {
    let mut seen: BTreeSet<String> = from.iter().map(ToString::to_string).collect();
    for _ in 0..FAR {
        // The volume of a copied snapshot is a number that means nothing (aws-facts 4.1).
        let Some(id) = volume.take().filter(has_meaning) else {
            break;
        };
        if !seen.insert(id.to_string()) {
            break;
        }
        let made_from = inventory.volume(&id).and_then(|v| {
            let tagged = || v.tags.get(RESTORED_FROM).map(SnapshotId::from_api);
            v.from_snapshot.clone().or_else(tagged)
        });
        let Some(made_from) = made_from else {
            break;
        };
        seen.insert(made_from.to_string());
        volume = inventory.snapshot(&made_from).map(|s| s.volume.clone());
    }
    seen
}

fn has_meaning(volume: &VolumeId) -> bool {
    let digits = volume.as_str().trim_start_matches("vol-");
    !digits.is_empty() && !digits.bytes().all(|b| b == b'f')
}

/// The volumes at `target` whose data came the same way as that of `member`.
pub(super) fn of(inventory: &Inventory, target: &Instance, member: &Snapshot) -> Vec<Twin> {
    let ours = way(
        inventory,
        Some(member.volume.clone()),
        Some(member.id.clone()),
    );
    target
        .devices
        .iter()
        .filter(|d| !way(inventory, Some(d.volume.clone()), None).is_disjoint(&ours))
        .map(|d| Twin {
            volume: d.volume.clone(),
            device: d.device.clone(),
            is_source: d.volume == member.volume,
            is_root: d.device == target.root_device,
        })
        .collect()
}

/// One warning for a member and its twins, in words.
pub(super) fn warning(member: &Snapshot, twins: &[Twin], target: &Instance) -> Option<String> {
    if twins.is_empty() {
        return None;
    }
    let which: Vec<String> = twins
        .iter()
        .map(|twin| {
            let what = if twin.is_source {
                "its source"
            } else {
                "made from the same data"
            };
            format!("{} ({}, {what})", twin.volume, visible(&twin.device))
        })
        .collect();
    let boots = if twins.iter().any(|twin| twin.is_root) {
        " A reboot may boot from either: detach the copy before."
    } else {
        ""
    };
    Some(format!(
        "the copy of {} has the same filesystem UUIDs and labels as {} at {} ({}): mounting by UUID or LABEL, as \
         /etc/fstab does, may take the wrong one; XFS refuses the second without nouuid; LVM finds its volume group \
         twice; btrfs must not see both. Mount the copy by its device, and detach it when you are done.{boots}",
        member.id,
        which.join(" and "),
        visible(target.name()),
        target.id,
    ))
}

//! Everything that was read from one account and region at one time, joined.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{ImageId, InstanceId, Scope, SnapshotId, VolumeId};
use super::instance::Instance;
use super::set::{self, SnapshotSet};
use super::snapshot::Snapshot;
use super::volume::Volume;

/// A machine image that holds snapshots (disabled and deprecated ones too).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its name.
    pub name: String,
    /// `available`, `disabled`, …
    pub state: String,
    /// Snapshots in its block device mapping.
    pub snapshots: Vec<SnapshotId>,
}

/// One reading of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Whose it is; every row below carries the same.
    pub scope: Scope,
    /// When reading began.
    pub taken_at: DateTime<Utc>,
    /// Instances, by name then id.
    pub instances: Vec<Instance>,
    /// Volumes, by id.
    pub volumes: Vec<Volume>,
    /// Our own snapshots and everyone else's in the account, newest first.
    pub snapshots: Vec<Snapshot>,
    /// Images that hold snapshots.
    pub images: Vec<Image>,
}

impl Inventory {
    /// The instance of that id.
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.iter().find(|i| i.id == *id)
    }

    /// The volume of that id.
    pub fn volume(&self, id: &VolumeId) -> Option<&Volume> {
        self.volumes.iter().find(|v| v.id == *id)
    }

    /// The snapshot of that id.
    pub fn snapshot(&self, id: &SnapshotId) -> Option<&Snapshot> {
        self.snapshots.iter().find(|s| s.id == *id)
    }

    /// Our sets, newest first.
    pub fn sets(&self) -> Vec<SnapshotSet> {
        set::group(&self.snapshots)
    }

    /// For each volume its snapshots, newest first.
    pub fn snapshots_by_volume(&self) -> HashMap<&VolumeId, Vec<&Snapshot>> {
        let mut map: HashMap<&VolumeId, Vec<&Snapshot>> = HashMap::new();
        for snapshot in &self.snapshots {
            map.entry(&snapshot.volume).or_default().push(snapshot);
        }
        for list in map.values_mut() {
            list.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| a.id.cmp(&b.id)));
        }
        map
    }

    /// For each instance the newest set whose tags bear out a proven level.
    pub fn last_proven(&self) -> HashMap<InstanceId, SnapshotSet> {
        let mut map = HashMap::new();
        for set in self.sets() {
            if set.level.is_proven()
                && let Some(instance) = set.instance.clone()
            {
                map.entry(instance).or_insert(set);
            }
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags;

    fn snapshot(n: u8, hour: u8, marks: &[(&str, &str)]) -> Snapshot {
        let mut row: Snapshot = serde_json::from_value(serde_json::json!({
            "account": "111122223333", "region": "eu-central-1", "id": format!("snap-0000000000000000{n}"),
            "volume": "vol-00000000000000001", "state": "completed", "progress": 100,
            "started": format!("2026-11-21T{hour:02}:00:00Z"), "completed": null, "volume_gib": 1,
            "full_bytes": null, "encrypted": false, "tier": "standard", "description": "",
            "origin": {"by": "freezeframe"},
            "tags": {
                "freezeframe:job": format!("0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f1{n}"),
                "freezeframe:level": "application", "freezeframe:instance": "i-00000000000000001",
            },
        }))
        .unwrap();
        for (key, value) in marks {
            row.tags.set(*key, *value);
        }
        row.tags.set(tags::SNAPSHOT, row.id.as_str());
        row
    }

    #[test]
    fn p11_the_last_proven_set_is_none_that_only_a_tag_claims() {
        let marks = [(tags::FROZEN_MS, "12"), (tags::SET_SIZE, "1")];
        let inventory = |snapshots| Inventory {
            scope: serde_json::from_str(r#"{"account": "111122223333", "region": "eu-central-1"}"#)
                .unwrap(),
            taken_at: DateTime::UNIX_EPOCH,
            instances: Vec::new(),
            volumes: Vec::new(),
            snapshots,
            images: Vec::new(),
        };
        let both = inventory(vec![snapshot(1, 4, &marks), snapshot(2, 9, &[])]);
        let last = both.last_proven();
        assert_eq!(last.len(), 1);
        for set in last.values() {
            assert_eq!(
                set.members,
                [SnapshotId::from_api("snap-00000000000000001")]
            );
        }
        let bare = inventory(vec![snapshot(2, 9, &[])]);
        assert!(bare.last_proven().is_empty());
    }
}

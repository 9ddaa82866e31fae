//! Tags, and the keys that mean something to us.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Recipe of an instance (the seeds' name, kept).
pub const CONSISTENT_SNAPSHOT: &str = "ConsistentSnapshot";
/// Job that made a snapshot; also the id of its set.
pub const JOB: &str = "freezeframe:job";
/// Level of a snapshot: `pending`, `crash`, `filesystem`, `application`.
pub const LEVEL: &str = "freezeframe:level";
/// Recipe that a snapshot was taken with.
pub const RECIPE: &str = "freezeframe:recipe";
/// Instance that the volume was attached to.
pub const INSTANCE: &str = "freezeframe:instance";
/// Device name at the instance, such as `/dev/sdf`.
pub const DEVICE: &str = "freezeframe:device";
/// Freeze window in milliseconds.
pub const FROZEN_MS: &str = "freezeframe:frozen-ms";
/// A value that nobody told, such as the length of a freeze that was proven all the same.
pub const UNKNOWN: &str = "unknown";
/// The value of [`FROZEN_MS`] and [`SET_SIZE`] until the set is judged: it overrules what a volume's own tags would lend.
pub const UNJUDGED: &str = "pending";
/// How many snapshots the set has.
pub const SET_SIZE: &str = "freezeframe:set-size";
/// On a snapshot: its own id, written with its label. Where it names another, the tags were copied from that one: by
/// `CopySnapshot`, or by a tool that copies tags from a volume or a snapshot.
pub const SNAPSHOT: &str = "freezeframe:snapshot";
/// On a snapshot of a set whose database was locked: the database of which nothing lies on its volume. It was frozen with
/// the others, so `filesystem` is all that it can earn, and lowers nothing.
pub const WITHOUT: &str = "freezeframe:without";
/// Group of an instance whose members are never frozen together, such as a primary and its replica.
pub const GROUP: &str = "freezeframe:group";
/// Pinned by the operator: never pruned while present.
pub const PIN: &str = "freezeframe:pin";
/// On a restored volume: the snapshot it was made from.
pub const RESTORED_FROM: &str = "freezeframe:restored-from";
/// On a restored volume: the volumes whose data it has, nearest first, so that it is known when the snapshots on the
/// way are deleted.
pub const SOURCES: &str = "freezeframe:source-volumes";
/// On a restored volume: the restore that made it.
pub const RESTORE: &str = "freezeframe:restore";
/// On a volume: it stays out of every set (freezeframe puts it on restored copies, any value counts).
pub const EXCLUDE: &str = "freezeframe:exclude";
/// What the volume was: type, IOPS, throughput, size, zone and key ([`super::record::VolumeRecord`]).
pub const VOLUME: &str = "freezeframe:volume";
/// Who called `CreateSnapshots`, and why: `coordinated: it was asked for`.
pub const MODE: &str = "freezeframe:mode";
/// Where a log of the engine stood, and the log's name after it: `freezeframe:position-gtid`.
pub const POSITION: &str = "freezeframe:position-";
/// How many tags a job writes on a snapshot besides positions: job, level, recipe, instance, device,
/// frozen-ms, set-size, snapshot, volume, mode, without.
pub const OF_A_JOB: usize = 11;
/// Longest key of a tag, in characters (aws-facts, section 0).
pub const MAX_KEY: usize = 128;
/// Longest value of a tag, in characters (aws-facts, section 0).
pub const MAX_VALUE: usize = 256;
/// Most user tags that one resource may have (aws-facts, section 0).
pub const MAX_TAGS: usize = 50;

/// Positions of an engine's logs as tags: those that a tag can carry, at most `room` of them.
pub fn of_positions(positions: &BTreeMap<String, String>, room: usize) -> Vec<(String, String)> {
    positions
        .iter()
        .filter(|(_, value)| value.chars().count() <= MAX_VALUE)
        .map(|(name, value)| (format!("{POSITION}{name}"), value.clone()))
        .take(room)
        .collect()
}

/// The tags of one resource, ordered by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    /// The value of a key, if the tag is there.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The `Name` tag, if it says anything.
    pub fn name(&self) -> Option<&str> {
        self.get("Name").filter(|name| !name.trim().is_empty())
    }

    /// Sets a tag, replacing an older value.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All pairs in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The tags that a person may copy to another resource: those that AWS does not reserve.
    pub fn copyable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(|(key, _)| !key.starts_with("aws:"))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        )
    }
}

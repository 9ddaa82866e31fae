//! What a simulated instance remembers: its mounts, its holder and its failsafe.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::lab::runtime::RuntimeError;

/// A mounted filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    pub mount: String,
    pub fs: String,
    pub volume: String,
    /// `/dev/nvme1n1`
    pub device: String,
}

impl Mounted {
    /// Why this mount is not frozen, if it is not.
    pub(super) fn objection(&self) -> Option<&'static str> {
        let below = |path: &str| self.mount == path || self.mount.starts_with(&format!("{path}/"));
        match () {
            () if self.mount == "/" || below("/boot") || below("/usr") || below("/etc") => {
                Some("it carries the running system")
            }
            () if ["/var", "/var/lib", "/var/lib/amazon", "/var/lib/amazon/ssm"]
                .contains(&self.mount.as_str()) =>
            {
                Some("it carries the agent's or this script's own files")
            }
            () if !["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"].contains(&self.fs.as_str()) => {
                Some("this filesystem is not frozen by this document")
            }
            () => None,
        }
    }
}

/// A job's hold on an instance.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub job: String,
    /// When the failsafe acts.
    pub deadline: DateTime<Utc>,
    /// The lock session, when a database is held.
    pub session: Option<u32>,
    /// First moment that a write could block.
    pub since: Option<DateTime<Utc>>,
    /// In the order of freezing.
    pub frozen: Vec<String>,
    /// The failsafe has acted.
    pub fired: bool,
}

/// A simulated instance.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub mounts: Vec<Mounted>,
    /// Volume → device node.
    devices: BTreeMap<String, String>,
    pub hold: Option<Hold>,
    /// Last event number of each job.
    sequences: BTreeMap<String, u64>,
}

impl Machine {
    /// Gives the volume the next free device node.
    pub(super) fn attach(&mut self, volume: &str) -> String {
        if let Some(device) = self.devices.get(volume) {
            return device.clone();
        }
        let free = (0..)
            .map(|n| format!("/dev/nvme{n}n1"))
            .find(|node| !self.devices.values().any(|used| used == node));
        let device = free.unwrap_or_default();
        self.devices.insert(volume.to_owned(), device.clone());
        device
    }

    /// Takes the volume away.
    pub(super) fn detach(&mut self, volume: &str) -> Result<(), RuntimeError> {
        if let Some(mounted) = self.mounts.iter().find(|mounted| mounted.volume == volume) {
            return Err(format!("{volume} is mounted at {}", mounted.mount));
        }
        self.devices.remove(volume);
        Ok(())
    }

    pub(super) fn device(&self, volume: &str) -> Option<&str> {
        self.devices.get(volume).map(String::as_str)
    }

    /// Lets the failsafe act if its time has come.
    pub(super) fn settle(&mut self, now: DateTime<Utc>) {
        if let Some(hold) = self
            .hold
            .as_mut()
            .filter(|hold| now >= hold.deadline && !hold.fired)
        {
            hold.fired = true;
        }
    }

    /// Frozen mount points now.
    pub(super) fn frozen(&mut self, now: DateTime<Utc>) -> Vec<String> {
        self.settle(now);
        self.hold
            .as_ref()
            .filter(|hold| !hold.fired)
            .map(|hold| hold.frozen.clone())
            .unwrap_or_default()
    }

    /// Volumes below frozen mounts now.
    pub(super) fn frozen_volumes(&mut self, now: DateTime<Utc>) -> Vec<String> {
        let frozen = self.frozen(now);
        self.mounts
            .iter()
            .filter(|mounted| frozen.contains(&mounted.mount))
            .map(|mounted| mounted.volume.clone())
            .collect()
    }

    /// The next event number of a job.
    pub(super) fn next_sequence(&mut self, job: &str) -> u64 {
        let last = self.sequences.entry(job.to_owned()).or_default();
        *last += 1;
        *last
    }
}

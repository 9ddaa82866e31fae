//! The world: everything that the lab's AWS knows of one region, and the queue of what is about to happen there.

mod check;
pub mod model;
pub mod spec;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use model::{
    AgentSpec, AgentStatus, AttachmentState, BlockDevice, Engine, Image, Instance, InstanceState,
    Lock, MountSpec, Platform, Role, Snapshot, SnapshotState, Tags, Volume, VolumeState,
    VolumeType,
};
pub use spec::WorldSpec;

use super::cloudwatch::CloudWatchState;
use super::ssm::SsmState;

/// What becomes of things by itself, at its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// A pending snapshot has all its blocks.
    SnapshotDone(String),
    /// A new volume may be attached.
    VolumeReady(String),
    /// A deleted volume leaves the books.
    VolumeGone(String),
    /// An attachment has settled.
    Attached {
        /// The instance.
        instance: String,
        /// The volume.
        volume: String,
    },
    /// A detachment has settled.
    Detached {
        /// The instance.
        instance: String,
        /// The volume.
        volume: String,
    },
    /// An instance reached running or stopped.
    InstanceSettled(String),
}

/// One region of one account.
#[derive(Debug)]
pub struct World {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The world's own time: the last `advance`.
    pub now: DateTime<Utc>,
    /// Its instances, by id.
    pub instances: BTreeMap<String, Instance>,
    /// Its volumes, by id.
    pub volumes: BTreeMap<String, Volume>,
    /// Its snapshots, by id.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Its images, by id.
    pub images: BTreeMap<String, Image>,
    /// Systems Manager's books.
    pub ssm: SsmState,
    /// CloudWatch's books.
    pub cloudwatch: CloudWatchState,
    /// What is late or lost.
    pub weather: super::faults::Weather,
    /// Tags as they were, of what has new ones that are not shown yet; and until when.
    stale: BTreeMap<String, (DateTime<Utc>, Tags)>,
    /// Every id and every duration of this world comes from here, so that a seed replays it.
    pub rng: fastrand::Rng,
    events: BTreeMap<(DateTime<Utc>, u64), Transition>,
    scheduled: u64,
}

impl World {
    /// A region without anything in it.
    pub fn empty(account: &str, region: &str, now: DateTime<Utc>, seed: u64) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            now,
            instances: BTreeMap::new(),
            volumes: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            images: BTreeMap::new(),
            ssm: SsmState::default(),
            cloudwatch: CloudWatchState::default(),
            weather: super::faults::Weather::default(),
            stale: BTreeMap::new(),
            rng: fastrand::Rng::with_seed(seed),
            events: BTreeMap::new(),
            scheduled: 0,
        }
    }

    /// A new id: prefix and 17 hexadecimal digits.
    pub fn new_id(&mut self, prefix: &str) -> String {
        hex_id(&mut self.rng, prefix)
    }

    /// Lets an event happen after a time of the lab's clock.
    pub fn after(&mut self, delay: Duration, event: Transition) {
        let at = self.now + chrono::Duration::from_std(delay).unwrap_or(chrono::Duration::MAX);
        self.at(at, event);
    }

    /// Lets an event happen at a moment.
    pub fn at(&mut self, at: DateTime<Utc>, event: Transition) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }

    /// Brings the world to `now`: everything that was due happens, in order. Time does not go back.
    pub fn advance(&mut self, now: DateTime<Utc>) {
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = self.now.max(now);
    }

    fn happen(&mut self, event: Transition) {
        match event {
            Transition::SnapshotDone(id) => {
                if self
                    .snapshots
                    .get(&id)
                    .is_some_and(|snapshot| snapshot.deleted_while_pending)
                {
                    self.snapshots.remove(&id);
                } else if let Some(snapshot) = self.snapshots.get_mut(&id)
                    && snapshot.state == SnapshotState::Pending
                {
                    snapshot.state = SnapshotState::Completed;
                }
            }
            Transition::VolumeReady(id) => {
                if let Some(volume) = self.volumes.get_mut(&id)
                    && volume.state == VolumeState::Creating
                {
                    volume.state = VolumeState::Available;
                }
            }
            Transition::VolumeGone(id) => {
                self.volumes.remove(&id);
            }
            Transition::Attached { instance, volume } => {
                if let Some(device) = self.device_mut(&instance, &volume)
                    && device.state == AttachmentState::Attaching
                {
                    device.state = AttachmentState::Attached;
                }
            }
            Transition::Detached { instance, volume } => self.drop_attachment(&instance, &volume),
            Transition::InstanceSettled(id) => {
                if let Some(instance) = self.instances.get_mut(&id) {
                    instance.state = match instance.state {
                        InstanceState::Pending => InstanceState::Running,
                        InstanceState::Stopping => InstanceState::Stopped,
                        settled => settled,
                    };
                }
            }
        }
    }

    /// The place of a volume on an instance.
    pub fn device_mut(&mut self, instance: &str, volume: &str) -> Option<&mut BlockDevice> {
        self.instances
            .get_mut(instance)?
            .block_devices
            .iter_mut()
            .find(|device| device.volume == volume)
    }

    /// The instance and the place where a volume is attached.
    pub fn attachment(&self, volume: &Volume) -> Option<(&Instance, &BlockDevice)> {
        let instance = self.instances.get(volume.attached_to.as_deref()?)?;
        let device = instance
            .block_devices
            .iter()
            .find(|device| device.volume == volume.id)?;
        Some((instance, device))
    }

    /// Takes a volume off an instance's books; it becomes available.
    pub fn drop_attachment(&mut self, instance: &str, volume: &str) {
        if let Some(instance) = self.instances.get_mut(instance) {
            instance
                .block_devices
                .retain(|device| device.volume != volume);
            instance.mounts.retain(|mount| mount.volume != volume);
        }
        if let Some(volume) = self.volumes.get_mut(volume) {
            volume.attached_to = None;
            volume.state = VolumeState::Available;
        }
    }

    /// Remembers a resource's tags before they change, where the weather hides the new ones for a while.
    pub fn remember_tags(&mut self, id: &str) {
        let lag = i64::from(self.weather.tag_lag_ms);
        if lag == 0 {
            return;
        }
        let now = self.now;
        self.stale.retain(|_, (until, _)| *until > now);
        let Some(tags) = self.tags_mut(id).map(|tags| tags.clone()) else {
            return;
        };
        let until = now + chrono::Duration::milliseconds(lag);
        self.stale
            .entry(id.to_owned())
            .and_modify(|old| old.0 = until)
            .or_insert((until, tags));
    }

    /// Looks at the snapshots as the weather shows them: new ones are hidden, new tags are not there yet.
    pub fn as_shown<T>(&mut self, look: impl FnOnce(&Self) -> T) -> T {
        let weather = self.weather;
        if weather.snapshot_lag_ms == 0 && self.stale.is_empty() {
            return look(self);
        }
        let flicker = |rng: &mut fastrand::Rng| rng.u8(0..100) < weather.flicker_percent;
        let shown_from = self.now - chrono::Duration::milliseconds(weather.snapshot_lag_ms.into());
        let young: Vec<String> = self
            .snapshots
            .values()
            .filter(|snapshot| snapshot.start > shown_from)
            .map(|snapshot| snapshot.id.clone())
            .collect();
        let mut hidden = Vec::new();
        for id in young {
            if !flicker(&mut self.rng) {
                hidden.extend(self.snapshots.remove(&id));
            }
        }
        let now = self.now;
        let stale: Vec<(String, Tags)> = self
            .stale
            .iter()
            .filter(|(_, (until, _))| *until > now)
            .map(|(id, (_, tags))| (id.clone(), tags.clone()))
            .collect();
        let mut present = Vec::new();
        for (id, old) in stale {
            if !flicker(&mut self.rng)
                && let Some(tags) = self.tags_mut(&id)
            {
                present.push((id, std::mem::replace(tags, old)));
            }
        }
        let seen = look(self);
        for (id, tags) in present {
            if let Some(shown) = self.tags_mut(&id) {
                *shown = tags;
            }
        }
        self.snapshots
            .extend(hidden.into_iter().map(|gone| (gone.id.clone(), gone)));
        seen
    }

    /// Tags of a resource of any kind, to change.
    pub fn tags_mut(&mut self, id: &str) -> Option<&mut Tags> {
        if let Some(instance) = self.instances.get_mut(id) {
            return Some(&mut instance.tags);
        }
        if let Some(volume) = self.volumes.get_mut(id) {
            return Some(&mut volume.tags);
        }
        if let Some(snapshot) = self.snapshots.get_mut(id) {
            return Some(&mut snapshot.tags);
        }
        self.images.get_mut(id).map(|image| &mut image.tags)
    }
}

/// An id of EC2's long form.
pub(super) fn hex_id(rng: &mut fastrand::Rng, prefix: &str) -> String {
    let digits = (u128::from(rng.u64(..)) << 64 | u128::from(rng.u64(..))) >> 60;
    format!("{prefix}-{digits:017x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_seventeen_digits_and_replay() {
        let mut one = fastrand::Rng::with_seed(3);
        let mut two = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            let id = hex_id(&mut one, "snap");
            assert_eq!(id.len(), "snap-".len() + 17, "{id}");
            assert_eq!(id, hex_id(&mut two, "snap"));
        }
    }

    #[test]
    fn events_happen_in_order_and_not_before_their_time() {
        let start = DateTime::UNIX_EPOCH;
        let mut world = World::empty("1", "eu-central-1", start, 1);
        world.after(Duration::from_secs(2), Transition::VolumeGone("b".into()));
        world.after(Duration::from_secs(1), Transition::VolumeGone("a".into()));
        world.advance(start + chrono::Duration::milliseconds(1500));
        assert_eq!(
            world.events.values().cloned().collect::<Vec<_>>(),
            [Transition::VolumeGone("b".into())]
        );
        world.advance(start);
        assert_eq!(world.now, start + chrono::Duration::milliseconds(1500));
    }
}

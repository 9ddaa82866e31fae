//! What each kind of row has under each key.

use super::OfInstance;
use super::keys::{Key, RowKind};
use crate::instance::Instance;
use crate::job::JobView;
use crate::level::Level;
use crate::set::SnapshotSet;
use crate::snapshot::{Snapshot, VolumeBackups};
use crate::tags::{self, Tags};
use crate::volume::Volume;

/// What the rows have in common, so that one matcher serves all.
pub(super) trait Row {
    fn kind(&self) -> RowKind;
    /// The values under a key; none where the row has no such key.
    fn values(&self, key: Key) -> Vec<&str>;
    fn tags(&self) -> Option<&Tags>;
    /// What the list says of the row under no key: plain words find it too.
    fn remark(&self) -> Option<&str> {
        None
    }
}

/// The level of what was never backed up.
const NEVER: &str = "never";

pub(super) struct InstanceRow<'a> {
    row: &'a Instance,
    platform: String,
    level: String,
}

impl<'a> InstanceRow<'a> {
    pub(super) fn new(row: &'a Instance, level: Option<Level>) -> Self {
        Self {
            row,
            platform: row.platform.to_string(),
            level: level.map_or_else(|| NEVER.to_owned(), |level| level.to_string()),
        }
    }
}

impl Row for InstanceRow<'_> {
    fn kind(&self) -> RowKind {
        RowKind::Instances
    }

    fn values(&self, key: Key) -> Vec<&str> {
        let i = self.row;
        match key {
            Key::State => vec![i.state.as_str()],
            Key::Id => vec![i.id.as_str()],
            Key::Name => i.tags.name().into_iter().collect(),
            Key::Az => vec![&i.zone],
            Key::Type => vec![&i.instance_type],
            Key::Platform => vec![&self.platform],
            Key::Agent => vec![i.agent.word()],
            Key::Volume => i.devices.iter().map(|d| d.volume.as_str()).collect(),
            Key::Recipe => i.recipe_tag().into_iter().collect(),
            Key::Level => vec![&self.level],
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.row.tags)
    }
}

pub(super) struct VolumeRow<'a> {
    row: &'a Volume,
    names: &'a [&'a str],
    level: Option<String>,
}

impl<'a> VolumeRow<'a> {
    pub(super) fn new(
        row: &'a Volume,
        names: &'a [&'a str],
        backups: Option<&VolumeBackups>,
    ) -> Self {
        let level = match backups {
            // The newest snapshot is somebody else's: nobody here knows what it is worth.
            Some(backups) => backups.level.map(|level| level.to_string()),
            None => Some(NEVER.to_owned()),
        };
        Self { row, names, level }
    }
}

impl Row for VolumeRow<'_> {
    fn kind(&self) -> RowKind {
        RowKind::Volumes
    }

    fn values(&self, key: Key) -> Vec<&str> {
        let v = self.row;
        match key {
            Key::State => vec![v.state.as_str()],
            Key::Id => vec![v.id.as_str()],
            Key::Name => v.tags.name().into_iter().collect(),
            Key::Az => vec![&v.zone],
            Key::Type => vec![&v.volume_type],
            Key::Instance => {
                let ids = v.attachments.iter().map(|a| a.instance.as_str());
                ids.chain(self.names.iter().copied()).collect()
            }
            Key::Level => self.level.as_deref().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.row.tags)
    }
}

pub(super) struct SnapshotRow<'a> {
    row: &'a Snapshot,
    instance: Option<&'a str>,
    level: Option<String>,
}

impl<'a> SnapshotRow<'a> {
    pub(super) fn new(row: &'a Snapshot, instance: Option<&'a str>) -> Self {
        Self {
            row,
            instance,
            level: row.verified_level().map(|l| l.to_string()),
        }
    }
}

impl Row for SnapshotRow<'_> {
    fn kind(&self) -> RowKind {
        RowKind::Snapshots
    }

    fn values(&self, key: Key) -> Vec<&str> {
        let s = self.row;
        match key {
            Key::State => vec![s.state.as_str()],
            Key::Level => self.level.as_deref().into_iter().collect(),
            Key::Origin => vec![s.origin.word()],
            Key::Id => vec![s.id.as_str()],
            Key::Name => s.tags.name().into_iter().collect(),
            Key::Tier => vec![&s.tier],
            Key::Volume => vec![s.volume.as_str()],
            Key::Instance => by_id_and_name(s.tags.get(tags::INSTANCE), self.instance),
            Key::Recipe => s.tags.get(tags::RECIPE).into_iter().collect(),
            Key::Set => s.tags.get(tags::JOB).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.row.tags)
    }
}

/// An instance by its id and by its name.
fn by_id_and_name<'a>(id: Option<&'a str>, name: Option<&'a str>) -> Vec<&'a str> {
    id.into_iter().chain(name).collect()
}

/// What a set does not have itself: the instance's.
fn of_instance<'a>(instance: &OfInstance<'a>, key: Key) -> Vec<&'a str> {
    let there = instance.there;
    match key {
        Key::Name => instance.name.into_iter().collect(),
        Key::Az => there.map(|i| i.zone.as_str()).into_iter().collect(),
        Key::Type => there
            .map(|i| i.instance_type.as_str())
            .into_iter()
            .collect(),
        Key::Agent => there.map(|i| i.agent.word()).into_iter().collect(),
        _ => Vec::new(),
    }
}

pub(super) struct SetRow<'a> {
    row: &'a SnapshotSet,
    level: String,
    instance: OfInstance<'a>,
}

impl<'a> SetRow<'a> {
    pub(super) fn new(row: &'a SnapshotSet, instance: OfInstance<'a>) -> Self {
        Self {
            row,
            level: row.level.to_string(),
            instance,
        }
    }
}

impl Row for SetRow<'_> {
    fn kind(&self) -> RowKind {
        RowKind::Sets
    }

    fn values(&self, key: Key) -> Vec<&str> {
        let s = self.row;
        match key {
            Key::State => vec![s.state()],
            Key::Level => vec![&self.level],
            Key::Id => vec![s.job.as_str()],
            Key::Snapshot => s.members.iter().map(|m| m.as_str()).collect(),
            Key::Instance => {
                let id = s.instance.as_ref().map(|i| i.as_str());
                by_id_and_name(id, self.instance.name)
            }
            Key::Recipe => s.recipe.as_deref().into_iter().collect(),
            _ => of_instance(&self.instance, key),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        self.instance.tags
    }
}

/// A snapshot of no set, among sets.
pub(super) struct LooseRow<'a> {
    row: &'a Snapshot,
    level: Option<String>,
    instance: OfInstance<'a>,
}

impl<'a> LooseRow<'a> {
    pub(super) fn new(row: &'a Snapshot, instance: OfInstance<'a>) -> Self {
        Self {
            row,
            level: row.verified_level().map(|l| l.to_string()),
            instance,
        }
    }
}

impl Row for LooseRow<'_> {
    fn kind(&self) -> RowKind {
        RowKind::Sets
    }

    fn values(&self, key: Key) -> Vec<&str> {
        let s = self.row;
        match key {
            Key::State => vec![s.state.as_str()],
            Key::Level => self.level.as_deref().into_iter().collect(),
            Key::Id | Key::Snapshot => vec![s.id.as_str()],
            Key::Instance => {
                let tagged = s.tags.get(tags::INSTANCE);
                let there = self.instance.there.map(|i| i.id.as_str());
                by_id_and_name(tagged.or(there), self.instance.name)
            }
            Key::Recipe => s.tags.get(tags::RECIPE).into_iter().collect(),
            _ => of_instance(&self.instance, key),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        self.instance.tags
    }
}

/// A prune or a restore on record.
pub(super) struct RecordRow<'a> {
    pub(super) id: &'a str,
    pub(super) state: &'a str,
    pub(super) words: &'a [&'a str],
}

impl Row for RecordRow<'_> {
    fn kind(&self) -> RowKind {
        RowKind::Records
    }

    fn values(&self, key: Key) -> Vec<&str> {
        match key {
            Key::State => vec![self.state],
            Key::Id => vec![self.id],
            Key::Instance => self.words.to_vec(),
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }
}

pub(super) struct JobRow<'a> {
    row: &'a JobView,
    state: &'a str,
    phase: String,
    mode: String,
    verdict: Option<String>,
    instance: OfInstance<'a>,
}

impl<'a> JobRow<'a> {
    pub(super) fn new(row: &'a JobView, state: &'a str, instance: OfInstance<'a>) -> Self {
        Self {
            row,
            state,
            phase: row.phase.to_string(),
            mode: row.spec.mode.to_string(),
            verdict: row.verdict.map(|v| v.to_string()),
            instance,
        }
    }
}

impl Row for JobRow<'_> {
    fn kind(&self) -> RowKind {
        RowKind::Jobs
    }

    fn values(&self, key: Key) -> Vec<&str> {
        let j = self.row;
        match key {
            Key::State => vec![self.state, &self.phase],
            Key::Verdict | Key::Level => self.verdict.as_deref().into_iter().collect(),
            Key::Id => vec![j.spec.job.as_str()],
            // The job remembers what its instance was called, also when that is gone or called otherwise.
            Key::Name => vec![&j.spec.instance_name],
            Key::Volume => j.set.iter().map(|m| m.volume.as_str()).collect(),
            Key::Snapshot => j.set.iter().map(|m| m.snapshot.as_str()).collect(),
            Key::Instance => {
                by_id_and_name(Some(j.spec.instance.as_str()), Some(&j.spec.instance_name))
            }
            Key::Recipe => vec![&j.spec.recipe],
            Key::Mode => vec![&self.mode],
            Key::Run => vec![j.spec.run.as_str()],
            Key::Group => j.spec.group.as_deref().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn remark(&self) -> Option<&str> {
        self.row.waiting.as_deref()
    }

    fn tags(&self) -> Option<&Tags> {
        self.instance.tags
    }
}

//! Which volumes of an instance a set holds and which tags each snapshot gets, decided before anything is frozen.
//! `CreateSnapshots` copies all tags of every volume or none, and a snapshot has no room for more than fifty. So where
//! a tag is to be left off, the call copies none, and what is kept is written with the label.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::ids::{SnapshotId, VolumeId};
use super::instance::Instance;
use super::job::Mode;
use super::record::VolumeRecord;
use super::tags::{self, Tags};
use super::text::{counted, visible};
use super::volume::Volume;

/// Most data volumes that a call can leave out (aws-facts 4.2).
const MOST_LEFT_OUT: usize = 40;

/// What a run asks of its sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetOptions {
    /// Leave root volumes out.
    #[serde(default)]
    pub exclude_root: bool,
    /// Leave these volumes out.
    #[serde(default)]
    pub exclude: Vec<VolumeId>,
    /// Tags that every snapshot gets.
    #[serde(default)]
    pub tags: Tags,
    /// Keys of the volumes' tags that are kept first where there is no room for all, in this order.
    #[serde(default)]
    pub keep_tags: Vec<String>,
}

impl SetOptions {
    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes one tag of the operator's own.
    ///
    /// # Errors
    /// Why it cannot be one, in words.
    pub fn check_tag(key: &str, value: &str) -> Result<(), String> {
        // What all services of AWS take (aws-facts, section 0).
        let taken = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
        if key.trim().is_empty() {
            return Err("a tag needs a key".to_owned());
        }
        for (reserved, whose) in [
            ("aws:", "AWS"),
            ("freezeframe:", "freezeframe"),
            ("dlm:", "Data Lifecycle Manager"),
        ] {
            if key.to_ascii_lowercase().starts_with(reserved) {
                return Err(format!("keys that begin with {reserved} are {whose}'s own"));
            }
        }
        for (what, text, most) in [
            ("key", key, tags::MAX_KEY),
            ("value", value, tags::MAX_VALUE),
        ] {
            let long = text.chars().count();
            if long > most {
                return Err(format!(
                    "its {what} has {long} characters, {most} is the most"
                ));
            }
            if let Some(c) = text.chars().find(|c| !taken(*c)) {
                return Err(format!(
                    "its {what} has `{}`; AWS takes letters, digits, spaces and _ . : / = + - @",
                    visible(&c.to_string())
                ));
            }
        }
        Ok(())
    }

    /// Whether a tag with this key can be copied from a resource: keys there are whatever somebody once gave.
    ///
    /// # Errors
    /// Why it cannot, in words.
    pub fn check_copied(key: &str) -> Result<(), String> {
        if key.trim().is_empty() {
            return Err("a tag needs a key".to_owned());
        }
        for (reserved, whose) in [("aws:", "AWS"), ("freezeframe:", "freezeframe")] {
            if key.to_ascii_lowercase().starts_with(reserved) {
                return Err(format!("keys that begin with {reserved} are {whose}'s own"));
            }
        }
        let long = key.chars().count();
        if long > tags::MAX_KEY {
            return Err(format!(
                "it has {long} characters, {} is the most",
                tags::MAX_KEY
            ));
        }
        Ok(())
    }

    /// Most tags of the operator's own: a snapshot has room for no more beside freezeframe's.
    pub const MOST_TAGS: usize = tags::MAX_TAGS - tags::OF_A_JOB;
}

/// What the configuration says of tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tagging {
    /// Tags that every snapshot gets.
    pub tags: Tags,
    /// Keys of the volumes' tags that are kept first.
    pub keep_tags: Vec<String>,
    /// Keys of the source's tags that restored copies get.
    pub copy_tags: Vec<String>,
}

impl Tagging {
    /// With what a run asks for; its own tags win.
    pub fn options(&self, asked: &SetOptions) -> SetOptions {
        let mut options = asked.clone();
        let mut tags = self.tags.clone();
        tags.0.extend(std::mem::take(&mut options.tags).0);
        options.tags = tags;
        options.keep_tags.extend(self.keep_tags.iter().cloned());
        options
    }
}

/// On whose word a volume is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOutBy {
    /// Its tag.
    #[strum(serialize = "by its tag freezeframe:exclude")]
    Tag,
    /// `--exclude-volume`.
    #[strum(serialize = "by --exclude-volume")]
    Volume,
    /// `--exclude-root`.
    #[strum(serialize = "by --exclude-root")]
    Root,
}

/// A volume that the set does not hold, on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The volume.
    pub volume: VolumeId,
    /// Its device name.
    pub device: String,
    /// Whether the instance boots from it.
    pub is_root: bool,
    /// On whose word.
    pub by: LeftOutBy,
}

impl LeftOut {
    /// What to do to have it in the set after all.
    pub fn undo(&self) -> String {
        match self.by {
            LeftOutBy::Tag => format!("remove the tag {} from {}", tags::EXCLUDE, self.volume),
            LeftOutBy::Volume => format!("leave --exclude-volume {} out", self.volume),
            LeftOutBy::Root => "leave --exclude-root out".to_owned(),
        }
    }
}

/// Why a tag of a volume is left off its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOffFor {
    /// A snapshot has no room for more tags.
    #[strum(serialize = "a snapshot has no room for more than 50 tags")]
    Room,
    /// It would say of the snapshot what is true of the volume only, or of another snapshot.
    #[strum(serialize = "it speaks of the volume, not of its snapshot")]
    Meaning,
}

/// A tag that is left off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOff {
    /// Its key.
    pub key: String,
    /// Why.
    pub why: LeftOffFor,
}

/// One volume of the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetMember {
    /// The volume.
    pub volume: VolumeId,
    /// Its device name.
    pub device: String,
    /// The snapshot that an earlier restore made it from, as its tag says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<SnapshotId>,
    /// What is recorded with its snapshot; `None` where the volume could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<VolumeRecord>,
    /// The volume's tags that its snapshot gets with its label, where the call does not copy them.
    #[serde(default)]
    pub tags: Tags,
    /// Those that it does not get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_off: Vec<LeftOff>,
    /// How many more tags there is room for.
    #[serde(default)]
    pub room: usize,
}

/// The plan of one instance's set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPlan {
    /// The volumes that the set holds.
    pub members: Vec<SetMember>,
    /// Those that it does not, on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Tags that every snapshot gets beside freezeframe's.
    #[serde(default)]
    pub tags: Tags,
    /// Whether the call itself copies the volumes' tags.
    #[serde(default)]
    pub copies_tags: bool,
}

/// What `CreateSnapshots` is asked for, beside the instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateCall {
    /// Leave the root volume out.
    pub exclude_root: bool,
    /// Leave these data volumes out.
    pub exclude_data: Vec<VolumeId>,
    /// Copy each volume's tags to its snapshot.
    pub copy_tags: bool,
    /// Tags of every snapshot.
    pub tags: Tags,
}

/// Plans the set of an instance. `volumes` are those that could be read: of others nothing is known, and they are in.
/// Everything that the recipe must have in the set is looked at later, when the instance has said what it freezes.
///
/// # Errors
/// Cause and hint: nothing would be left, or more left out than a call can name.
pub fn plan(
    instance: &Instance,
    volumes: &HashMap<VolumeId, Volume>,
    options: &SetOptions,
) -> Result<SetPlan, (String, String)> {
    let mut plan = SetPlan {
        tags: options.tags.clone(),
        ..SetPlan::default()
    };
    for device in &instance.devices {
        let is_root = device.device == instance.root_device;
        let volume = volumes.get(&device.volume);
        let by = if options.exclude.contains(&device.volume) {
            Some(LeftOutBy::Volume)
        } else if is_root && options.exclude_root {
            Some(LeftOutBy::Root)
        } else {
            volume.filter(|v| v.is_excluded()).map(|_| LeftOutBy::Tag)
        };
        match by {
            Some(by) => plan.left_out.push(LeftOut {
                volume: device.volume.clone(),
                device: device.device.clone(),
                is_root,
                by,
            }),
            None => {
                let (tags, left_off, room) = snapshot_tags(volume, options);
                plan.members.push(SetMember {
                    volume: device.volume.clone(),
                    device: device.device.clone(),
                    restored_from: volume
                        .and_then(|v| v.tags.get(tags::RESTORED_FROM))
                        .and_then(|id| id.parse().ok()),
                    record: volume.map(VolumeRecord::of),
                    tags,
                    left_off,
                    room,
                });
            }
        }
    }
    if plan.members.is_empty() && !plan.left_out.is_empty() {
        return Err((
            format!("every volume is left out of the set: {}", plan.left_out_words()),
            "leave fewer out, or remove the tag freezeframe:exclude from those that are to be in it".to_owned(),
        ));
    }
    let data = plan.left_out.iter().filter(|out| !out.is_root).count();
    if data > MOST_LEFT_OUT {
        return Err((
            format!(
                "{data} data volumes are left out, and one CreateSnapshots leaves out {MOST_LEFT_OUT} at most"
            ),
            "leave fewer out, or detach those that are not needed".to_owned(),
        ));
    }
    // The tags of a volume that could not be read may be those of a set: a call would copy them unseen.
    plan.copies_tags = (plan.members.iter()).all(|m| m.record.is_some() && m.left_off.is_empty());
    if plan.copies_tags {
        // The call brings them: nobody needs them here.
        for member in &mut plan.members {
            member.tags = Tags::default();
        }
    }
    Ok(plan)
}

/// The first volume that is to be left out and that none of the instances has: a slip of the pen.
pub fn stray<'a>(chosen: &[&Instance], left_out: &'a [VolumeId]) -> Option<&'a VolumeId> {
    let devices = chosen.iter().flat_map(|instance| &instance.devices);
    left_out
        .iter()
        .find(|id| !devices.clone().any(|device| device.volume == **id))
}

/// The tags of a volume that its snapshot gets, those that it does not, and how many more there is room for. Where not
/// all fit, the operator's list comes first, in its order, then `Name`, then the others by their keys.
pub fn snapshot_tags(volume: Option<&Volume>, options: &SetOptions) -> (Tags, Vec<LeftOff>, usize) {
    let Some(volume) = volume else {
        return (Tags::default(), Vec::new(), 0);
    };
    let mut left_off = Vec::new();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (key, value) in volume.tags.copyable() {
        // A pin protects, wherever it stands. What an own tag says anew is not lost.
        let ours = key.starts_with("freezeframe:") && key != tags::PIN;
        if ours || key.starts_with("dlm:") {
            left_off.push(LeftOff {
                key: key.to_owned(),
                why: LeftOffFor::Meaning,
            });
        } else if options.tags.get(key).is_none() {
            wanted.push((key, value));
        }
    }
    let place = |key: &str| {
        let listed = options.keep_tags.iter().position(|k| k == key);
        // A pin is never what is left off.
        match key {
            tags::PIN => (0, 0),
            _ => listed.map_or((if key == "Name" { 2 } else { 3 }, 0), |at| (1, at)),
        }
    };
    wanted.sort_by_key(|(key, _)| (place(key), *key));
    let room = SetOptions::MOST_TAGS.saturating_sub(options.tags.0.len());
    let (kept, rest) = wanted.split_at(wanted.len().min(room));
    left_off.extend(rest.iter().map(|(key, _)| LeftOff {
        key: (*key).to_owned(),
        why: LeftOffFor::Room,
    }));
    (kept.iter().copied().collect(), left_off, room - kept.len())
}

impl SetPlan {
    /// What `CreateSnapshots` is asked for. `job` are the tags by which the set is found. In autonomous mode the
    /// instance knows only those; the operator's own come with the label.
    pub fn call(&self, job: &Tags, mode: Mode) -> CreateCall {
        let mut tags = job.clone();
        if mode == Mode::Coordinated {
            tags.0.extend(self.tags.0.clone());
        }
        CreateCall {
            exclude_root: self.left_out.iter().any(|out| out.is_root),
            exclude_data: self.data_left_out().cloned().collect(),
            copy_tags: self.copies_tags,
            tags,
        }
    }

    fn data_left_out(&self) -> impl Iterator<Item = &VolumeId> {
        self.left_out
            .iter()
            .filter(|out| !out.is_root)
            .map(|out| &out.volume)
    }

    /// What the document is told of it in autonomous mode (`leaveOut`); nothing where it is as always.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let call = self.call(&Tags::default(), Mode::Autonomous);
        let mut words: Vec<&str> = Vec::new();
        if call.exclude_root {
            words.push("root");
        }
        if !call.copy_tags {
            words.push("tags");
        }
        words.extend(call.exclude_data.iter().map(VolumeId::as_str));
        if words.is_empty() {
            return BTreeMap::new();
        }
        BTreeMap::from([("leaveOut".to_owned(), words.join(","))])
    }

    /// The tags that come with the label of a volume's snapshot, beside the label's own: of a job of this mode, for
    /// which `words` are told.
    pub fn beside(&self, volume: &VolumeId, mode: Mode, words: &str) -> Tags {
        let mut tags = Tags::default();
        let Some(member) = self.members.iter().find(|m| m.volume == *volume) else {
            return tags;
        };
        if !self.copies_tags {
            tags.0.extend(member.tags.0.clone());
        }
        if mode == Mode::Autonomous {
            tags.0.extend(self.tags.0.clone());
        }
        if let Some(record) = &member.record {
            tags.set(tags::VOLUME, record.to_string());
        }
        let words: String = visible(words).chars().take(tags::MAX_VALUE).collect();
        tags.set(tags::MODE, words);
        tags
    }

    /// How many tags more a snapshot of that volume may carry.
    pub fn room(&self, volume: &VolumeId) -> usize {
        let member = self.members.iter().find(|m| m.volume == *volume);
        member.map_or(0, |m| m.room)
    }

    /// Whether a volume is left out.
    pub fn leaves_out(&self, volume: &VolumeId) -> Option<&LeftOut> {
        self.left_out.iter().find(|out| out.volume == *volume)
    }

    /// `vol-1 (/dev/sdg, by its tag freezeframe:exclude), …`.
    pub fn left_out_words(&self) -> String {
        let each = self
            .left_out
            .iter()
            .map(|out| format!("{} ({}, {})", out.volume, visible(&out.device), out.by));
        each.collect::<Vec<_>>().join(", ")
    }

    /// What a person should know of it, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.left_out.is_empty() {
            notes.push(format!("not in the set: {}", self.left_out_words()));
        }
        for member in &self.members {
            if member.record.is_none() {
                notes.push(format!(
                    "{} ({}) could not be read: its tags are not copied to its snapshot",
                    member.volume,
                    visible(&member.device)
                ));
            }
            if let Some(from) = &member.restored_from {
                notes.push(format!(
                    "{} ({}) is a restored copy, made from {from}, and is in the set: it is still attached; the tag {} \
                     leaves it out",
                    member.volume,
                    visible(&member.device),
                    tags::EXCLUDE
                ));
            }
            for why in [LeftOffFor::Room, LeftOffFor::Meaning] {
                let keys: Vec<String> = member
                    .left_off
                    .iter()
                    .filter(|off| off.why == why)
                    .map(|off| visible(&off.key).into_owned())
                    .collect();
                if !keys.is_empty() {
                    notes.push(format!(
                        "{} of {} left off its snapshot ({}): {why}",
                        counted(keys.len(), "tag"),
                        member.volume,
                        keys.join(", ")
                    ));
                }
            }
        }
        notes
    }
}

#[cfg(test)]
#[path = "set_plan/tests.rs"]
mod tests;

//! Of which instances a plan speaks. Instances given, tags given and a filter narrow each other; nothing given is the
//! whole account and region.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::filter::{Filter, OfInstance, RowKind};
use crate::ids::InstanceId;
use crate::instance::Instance;
use crate::problem::Problem;
use crate::set::SnapshotSet;
use crate::snapshot::Snapshot;
use crate::tags::Tags;
use crate::text::visible;

/// `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagPair {
    /// The tag's key.
    pub key: String,
    /// The value that it must have, to the letter.
    pub value: String,
}

impl FromStr for TagPair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("expected KEY=VALUE, such as Env=prod".to_owned()),
        }
    }
}

impl TryFrom<String> for TagPair {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TagPair> for String {
    fn from(pair: TagPair) -> Self {
        pair.to_string()
    }
}

impl fmt::Display for TagPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", visible(&self.key), visible(&self.value))
    }
}

/// What a person or a policy gave. All of it must hold of a set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Ids, or names where they are unique; a set of any of them.
    pub instance: Vec<String>,
    /// Tags, all of them. Those of the instance; where that is gone, those that its snapshots carry.
    pub tag: Vec<TagPair>,
    /// A filter expression; empty: none.
    pub filter: String,
}

impl Selection {
    /// Nothing is given: everything is meant.
    pub fn is_all(&self) -> bool {
        self.instance.is_empty() && self.tag.is_empty() && self.filter.trim().is_empty()
    }

    /// In words, such as `instance web-1 and tag Env=dev`; empty where everything is meant.
    pub fn words(&self) -> String {
        let mut parts = Vec::new();
        match self.instance.as_slice() {
            [] => {}
            [one] => parts.push(format!("instance {}", visible(one))),
            many => {
                let names: Vec<_> = many.iter().map(|name| visible(name)).collect();
                parts.push(format!("instances {}", names.join(", ")));
            }
        }
        parts.extend(self.tag.iter().map(|pair| format!("tag {pair}")));
        if !self.filter.trim().is_empty() {
            parts.push(format!("filter `{}`", visible(self.filter.trim())));
        }
        parts.join(" and ")
    }
}

/// A list that is there and empty would read as "everything": it is refused.
pub(super) fn not_empty<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Vec::<T>::deserialize(from)?;
    if list.is_empty() {
        return Err(serde::de::Error::custom(
            "the list is empty; name at least one, or leave the key out for every instance",
        ));
    }
    Ok(list)
}

/// A selection whose names are known to be instances.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chosen {
    /// `None`: every instance.
    instances: Option<BTreeSet<InstanceId>>,
    tags: Vec<TagPair>,
    filter: Option<Filter>,
}

impl Chosen {
    /// `ids` are those that the selection's instances stand for.
    ///
    /// # Errors
    /// A filter that cannot be read.
    pub fn new(selection: &Selection, ids: &[InstanceId]) -> Result<Self, Problem> {
        let filter = selection.filter.trim();
        Ok(Self {
            instances: (!selection.instance.is_empty()).then(|| ids.iter().cloned().collect()),
            tags: selection.tag.clone(),
            filter: if filter.is_empty() {
                None
            } else {
                Some(Filter::parse(filter, RowKind::Sets)?)
            },
        })
    }

    fn asks_for_tags(&self) -> bool {
        !self.tags.is_empty() || self.filter.as_ref().is_some_and(Filter::asks_for_tags)
    }

    fn takes(&self, row: &Row<'_>) -> bool {
        let named = |ids: &BTreeSet<InstanceId>| row.id.is_some_and(|id| ids.contains(id));
        self.instances.as_ref().is_none_or(named)
            && self
                .tags
                .iter()
                .all(|pair| row.tags.get(&pair.key) == Some(pair.value.as_str()))
            && self.filter.as_ref().is_none_or(|filter| {
                let of = OfInstance::of(row.instance).with_tags(&row.tags);
                match row.of {
                    Of::Set(set) => filter.matches_set(set, of),
                    Of::Snapshot(one) => filter.matches_loose_snapshot(one, of),
                }
            })
    }
}

/// What a filter is asked about.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// A set of ours.
    Set(&'a SnapshotSet),
    /// A snapshot that is of no set of ours.
    Snapshot(&'a Snapshot),
}

struct Row<'a> {
    of: Of<'a>,
    id: Option<&'a InstanceId>,
    instance: Option<&'a Instance>,
    tags: Tags,
}

/// Whether a set or a snapshot is of what was chosen, and by whose tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is not.
    No,
    /// It is.
    Yes,
    /// It is by the tags that its snapshots carry: its instance is gone.
    ByCopies,
}

/// All selections of a plan, with the instances that are there.
pub(super) struct Chooser<'a> {
    chosen: &'a [Chosen],
    instances: HashMap<&'a InstanceId, &'a Instance>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(chosen: &'a [Chosen], instances: &'a [Instance]) -> Self {
        Self {
            chosen,
            instances: instances.iter().map(|i| (&i.id, i)).collect(),
        }
    }

    pub(super) fn instance(&self, id: &InstanceId) -> Option<&'a Instance> {
        self.instances.get(id).copied()
    }

    /// Whether all selections take it.
    pub(super) fn takes(
        &self,
        of: Of<'_>,
        id: Option<&InstanceId>,
        members: &[&Snapshot],
    ) -> Taken {
        if self.chosen.is_empty() {
            return Taken::Yes;
        }
        let instance = id.and_then(|id| self.instance(id));
        let row = Row {
            of,
            id,
            instance,
            tags: instance.map_or_else(|| copies(members), |i| i.tags.clone()),
        };
        if !self.chosen.iter().all(|chosen| chosen.takes(&row)) {
            Taken::No
        } else if instance.is_none() && self.chosen.iter().any(Chosen::asks_for_tags) {
            Taken::ByCopies
        } else {
            Taken::Yes
        }
    }
}

/// The tags that the snapshots of one set agree on; one that has two values has none.
fn copies(members: &[&Snapshot]) -> Tags {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, value) in members.iter().flat_map(|m| m.tags.iter()) {
        seen.entry(key).or_default().insert(value);
    }
    seen.into_iter()
        .filter(|(_, values)| values.len() == 1)
        .flat_map(|(key, values)| values.into_iter().map(move |value| (key, value)))
        .collect()
}

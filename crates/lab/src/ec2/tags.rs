//! CreateTags, DeleteTags, DescribeTags, and the rules of tags.

use std::collections::{BTreeMap, BTreeSet};

use super::filter::Filters;
use super::ids::{Kind, few};
use super::paging::page;
use super::{Answer, answer, dry_run, yes};
use crate::caller::Caller;
use crate::wire::AppError;
use crate::wire::query::Params;
use crate::wire::xml::{Xml, legal};
use crate::world::{Tags, World};

/// User tags that a resource can have; `aws:` tags do not count.
const TAGS_LIMIT: usize = 50;

/// Writes `tagSet`, which a resource without tags does not have.
pub fn write(xml: &mut Xml, tags: &Tags) {
    if tags.is_empty() {
        return;
    }
    xml.items("tagSet", tags, |xml, (key, value)| {
        xml.text("key", key);
        xml.text("value", value);
    });
}

/// Reads `Tag.N.Key` and `Tag.N.Value`, refusing what EC2 refuses.
fn read(params: &Params) -> Result<Vec<(String, Option<String>)>, AppError> {
    let mut tags: Vec<(String, Option<String>)> = Vec::new();
    let mut keys = BTreeSet::new();
    for tag in params.structures("Tag") {
        let key = tag.get("Key").unwrap_or_default();
        if key.is_empty() {
            return Err(AppError::value("Tag key cannot be empty"));
        }
        if !keys.insert(key.to_owned()) {
            return Err(AppError::value(format!(
                "Duplicate tag key '{key}' specified."
            )));
        }
        tags.push((key.to_owned(), tag.get("Value").map(str::to_owned)));
    }
    Ok(tags)
}

fn check(key: &str, value: &str) -> Result<(), AppError> {
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(AppError::value(
            "Tag keys starting with 'aws:' are reserved for internal use",
        ));
    }
    if key.chars().count() > 127 {
        return Err(AppError::value(
            "Tag key exceeds the maximum length of 127 characters",
        ));
    }
    if value.chars().count() > 256 {
        return Err(AppError::value(format!(
            "Tag value of '{}' exceeds the maximum length of 256 characters",
            key.escape_debug()
        )));
    }
    // Invalid UTF-8 arrives here as the replacement character's neighbours of XML 1.0: nothing that XML cannot carry gets in.
    if let Some(bad) = key.chars().chain(value.chars()).find(|c| !legal(*c)) {
        return Err(AppError::value(format!(
            "Tag '{}' contains a character that is not allowed: U+{:04X}",
            key.escape_debug(),
            u32::from(bad)
        )));
    }
    Ok(())
}

/// Refuses tags that no resource has: those of AWS itself (`aws:…`) are checked in their form too.
pub fn fit_for_aws(tags: &Tags) -> Result<(), AppError> {
    for (key, value) in tags {
        if key.is_empty() {
            return Err(AppError::value("Tag key cannot be empty"));
        }
        check(key.strip_prefix("aws:").unwrap_or(key), value)?;
    }
    check_count(tags)
}

/// Refuses a tag set with more user tags than EC2 keeps.
pub fn check_count(tags: &Tags) -> Result<(), AppError> {
    if tags.keys().filter(|key| !key.starts_with("aws:")).count() > TAGS_LIMIT {
        return Err(too_many());
    }
    Ok(())
}

fn too_many() -> AppError {
    AppError::new(
        "TagLimitExceeded",
        format!("The maximum number of tags for a resource is {TAGS_LIMIT}."),
    )
}

/// The tags that a create call gives to its new resources of one type.
pub fn from_specifications(params: &Params, resource_type: &str) -> Result<Tags, AppError> {
    let mut tags = Tags::new();
    for specification in params.structures("TagSpecification") {
        let wanted = specification.required("ResourceType")?;
        if wanted != resource_type {
            return Err(AppError::value(format!(
                "'{wanted}' is not a valid taggable resource type for this operation."
            )));
        }
        for (key, value) in read(&specification)? {
            let value = value.unwrap_or_default();
            check(&key, &value)?;
            tags.insert(key, value);
        }
    }
    check_count(&tags)?;
    Ok(tags)
}

/// Every resource must be there and ours.
fn resources<'a>(
    world: &World,
    ctx: &Caller,
    params: &'a Params,
) -> Result<Vec<&'a str>, AppError> {
    let ids = params.list("ResourceId");
    if ids.is_empty() {
        return Err(AppError::missing("ResourceIdSet"));
    }
    few(&ids)?;
    for id in &ids {
        let kind = match id.split_once('-').map(|(prefix, _)| prefix) {
            Some("i") => Kind::Instance,
            Some("vol") => Kind::Volume,
            Some("snap") => Kind::Snapshot,
            Some("ami") => Kind::Image,
            _ => {
                return Err(AppError::new(
                    "InvalidID",
                    format!("The ID '{id}' is not valid"),
                ));
            }
        };
        kind.check(id)?;
        let ours = match kind {
            Kind::Instance => world.instances.contains_key(*id),
            Kind::Volume => world.volumes.contains_key(*id),
            Kind::Snapshot => world
                .snapshots
                .get(*id)
                .is_some_and(|snapshot| snapshot.owner == ctx.account),
            Kind::Image => world
                .images
                .get(*id)
                .is_some_and(|image| image.owner == ctx.account),
        };
        if !ours {
            return Err(kind.not_found(id));
        }
    }
    Ok(ids)
}

/// CreateTags: all resources or none.
pub fn create(world: &mut World, ctx: &Caller, params: &Params) -> Answer {
    let new = read(params)?;
    if new.is_empty() {
        return Err(AppError::missing("TagSet"));
    }
    for (key, value) in &new {
        check(key, value.as_deref().unwrap_or_default())?;
    }
    let ids = resources(world, ctx, params)?;
    dry_run(params)?;
    if new.len() > TAGS_LIMIT {
        return Err(too_many());
    }
    let mut changed = Vec::new();
    for id in ids {
        let Some(tags) = world.tags_mut(id) else {
            continue;
        };
        let mut tags = tags.clone();
        tags.extend(
            new.iter()
                .map(|(key, value)| (key.clone(), value.clone().unwrap_or_default())),
        );
        check_count(&tags)?;
        changed.push((id, tags));
    }
    for (id, tags) in changed {
        world.remember_tags(id);
        if let Some(place) = world.tags_mut(id) {
            *place = tags;
        }
    }
    Ok(yes(ctx, "CreateTags"))
}

/// DeleteTags: by key, or by key and value; none named means all user tags.
pub fn delete(world: &mut World, ctx: &Caller, params: &Params) -> Answer {
    let gone: BTreeMap<String, Option<String>> = read(params)?.into_iter().collect();
    for key in gone.keys() {
        check(key, "")?;
    }
    let ids = resources(world, ctx, params)?;
    dry_run(params)?;
    for id in ids {
        let Some(tags) = world.tags_mut(id) else {
            continue;
        };
        tags.retain(|key, value| {
            let named = gone.get(key).is_some_and(|gone_value| {
                gone_value
                    .as_ref()
                    .is_none_or(|gone_value| gone_value == value)
            });
            key.starts_with("aws:") || !(named || gone.is_empty())
        });
    }
    Ok(yes(ctx, "DeleteTags"))
}

/// Answers DescribeTags.
pub fn describe(world: &World, ctx: &Caller, params: &Params) -> Answer {
    let filters = Filters::parse(params, "key resource-id resource-type tag: value")?;
    dry_run(params)?;
    let instances = world
        .instances
        .values()
        .map(|i| (&i.id, "instance", &i.tags));
    let volumes = world.volumes.values().map(|v| (&v.id, "volume", &v.tags));
    let snapshots = world
        .snapshots
        .values()
        .filter(|s| s.owner == ctx.account)
        .map(|s| (&s.id, "snapshot", &s.tags));
    let images = world
        .images
        .values()
        .filter(|i| i.owner == ctx.account)
        .map(|i| (&i.id, "image", &i.tags));
    let mut all: Vec<(String, &String, &str, &String, &String)> = instances
        .chain(volumes)
        .chain(snapshots)
        .chain(images)
        .flat_map(|(id, kind, tags)| {
            tags.iter()
                .map(move |(key, value)| (format!("{id} {key}"), id, kind, key, value))
        })
        .filter(|(_, id, kind, key, value)| {
            let only = Tags::from([((*key).clone(), (*value).clone())]);
            filters.pass(&only, |name| match name {
                "key" => vec![(*key).clone()],
                "value" => vec![(*value).clone()],
                "resource-id" => vec![(*id).clone()],
                "resource-type" => vec![(*kind).to_owned()],
                _ => Vec::new(),
            })
        })
        .collect();
    all.sort();
    let page = page(params, 5..=1000, all, |(sort, ..)| sort.clone())?;
    Ok(answer(ctx, "DescribeTags", |xml| {
        xml.items("tagSet", page.items, |xml, (_, id, kind, key, value)| {
            xml.text("resourceId", id);
            xml.text("resourceType", kind);
            xml.text("key", key);
            xml.text("value", value);
        });
        xml.maybe("nextToken", page.next);
    }))
}

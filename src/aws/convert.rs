//! From the SDK's shapes to ours. Nothing is unwrapped: a row without an id is left out, everything else
//! that is missing becomes an honest "unknown".

use aws_sdk_ec2::types as ec2;
use aws_smithy_types_convert::date_time::DateTimeExt;
use chrono::{DateTime, Utc};

use crate::domain::ids::{ImageId, InstanceId, Scope, SnapshotId, VolumeId};
use crate::domain::instance::{Agent, BlockDevice, Instance, Platform};
use crate::domain::inventory::Image;
use crate::domain::level::Origin;
use crate::domain::snapshot::{Snapshot, origin};
use crate::domain::tags::Tags;
use crate::domain::volume::{Attachment, Volume};

pub(super) fn time(value: Option<&aws_smithy_types::DateTime>) -> Option<DateTime<Utc>> {
    value.and_then(|t| t.to_chrono_utc().ok())
}

pub(super) fn tags(list: &[ec2::Tag]) -> Tags {
    list.iter()
        .filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default())))
        .collect()
}

/// Percent as AWS writes it: `"87%"`, empty or absent.
pub(super) fn percent(text: Option<&str>) -> Option<u8> {
    text?
        .trim()
        .trim_end_matches('%')
        .parse::<u8>()
        .ok()
        .map(|p| p.min(100))
}

fn count(value: Option<i32>) -> u32 {
    value.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

pub(super) fn instance(scope: &Scope, raw: &ec2::Instance) -> Option<Instance> {
    let id = InstanceId::from_api(raw.instance_id()?);
    let mut devices: Vec<BlockDevice> = raw
        .block_device_mappings()
        .iter()
        .filter_map(|m| {
            let ebs = m.ebs()?;
            Some(BlockDevice {
                device: m.device_name().unwrap_or("?").to_owned(),
                volume: VolumeId::from_api(ebs.volume_id()?),
                delete_on_termination: ebs.delete_on_termination().unwrap_or(false),
            })
        })
        .collect();
    devices.sort_by(|a, b| a.device.cmp(&b.device));
    let windows = raw
        .platform()
        .is_some_and(|p| p.as_str().eq_ignore_ascii_case("windows"));
    Some(Instance {
        scope: scope.clone(),
        id,
        state: raw
            .state()
            .and_then(|s| s.name())
            .map_or("unknown", |n| n.as_str())
            .into(),
        platform: if windows {
            Platform::Windows
        } else {
            Platform::Linux
        },
        platform_details: raw.platform_details().unwrap_or_default().to_owned(),
        instance_type: raw
            .instance_type()
            .map_or_else(String::new, |t| t.as_str().to_owned()),
        zone: raw
            .placement()
            .and_then(|p| p.availability_zone())
            .unwrap_or_default()
            .to_owned(),
        root_device: raw.root_device_name().unwrap_or_default().to_owned(),
        devices,
        launched: time(raw.launch_time()),
        tags: tags(raw.tags()),
        agent: Agent::Unknown,
    })
}

pub(super) fn volume(scope: &Scope, raw: &ec2::Volume) -> Option<Volume> {
    Some(Volume {
        scope: scope.clone(),
        id: VolumeId::from_api(raw.volume_id()?),
        state: raw.state().map_or("unknown", |s| s.as_str()).into(),
        size_gib: count(raw.size()),
        volume_type: raw
            .volume_type()
            .map_or_else(String::new, |t| t.as_str().to_owned()),
        iops: raw.iops().and_then(|n| u32::try_from(n).ok()),
        throughput: raw.throughput().and_then(|n| u32::try_from(n).ok()),
        encrypted: raw.encrypted().unwrap_or(false),
        kms_key: raw.kms_key_id().map(str::to_owned),
        zone: raw.availability_zone().unwrap_or_default().to_owned(),
        from_snapshot: raw
            .snapshot_id()
            .filter(|s| !s.is_empty())
            .map(SnapshotId::from_api),
        created: time(raw.create_time()),
        attachments: raw
            .attachments()
            .iter()
            .filter_map(|a| {
                Some(Attachment {
                    instance: InstanceId::from_api(a.instance_id()?),
                    device: a.device().unwrap_or_default().to_owned(),
                    state: a.state().map_or("unknown", |s| s.as_str()).into(),
                })
            })
            .collect(),
        tags: tags(raw.tags()),
    })
}

/// The origin is judged by tags alone; [`hold_by_images`] adds what images know.
pub(super) fn snapshot(scope: &Scope, raw: &ec2::Snapshot) -> Option<Snapshot> {
    let tags = tags(raw.tags());
    let mut snapshot = Snapshot {
        scope: scope.clone(),
        id: SnapshotId::from_api(raw.snapshot_id()?),
        volume: VolumeId::from_api(raw.volume_id().unwrap_or_default()),
        state: raw.state().map_or("unknown", |s| s.as_str()).into(),
        progress: percent(raw.progress()),
        started: time(raw.start_time())?,
        completed: time(raw.completion_time()),
        volume_gib: count(raw.volume_size()),
        full_bytes: raw
            .full_snapshot_size_in_bytes()
            .and_then(|n| u64::try_from(n).ok()),
        encrypted: raw.encrypted().unwrap_or(false),
        tier: raw
            .storage_tier()
            .map_or("standard", |t| t.as_str())
            .to_owned(),
        description: raw.description().unwrap_or_default().to_owned(),
        origin: Origin::Manual,
        tags,
    };
    snapshot.origin = origin(&snapshot);
    Some(snapshot)
}

pub(super) fn image(raw: &ec2::Image) -> Option<Image> {
    Some(Image {
        id: ImageId::from_api(raw.image_id()?),
        name: raw.name().unwrap_or_default().to_owned(),
        state: raw.state().map_or("unknown", |s| s.as_str()).into(),
        snapshots: raw
            .block_device_mappings()
            .iter()
            .filter_map(|m| m.ebs()?.snapshot_id().map(SnapshotId::from_api))
            .collect(),
    })
}

/// Marks the snapshots that an image holds as that image's.
pub(super) fn hold_by_images(snapshots: &mut [Snapshot], images: &[Image]) {
    let mut holders = std::collections::HashMap::new();
    for image in images {
        for id in &image.snapshots {
            holders.entry(id).or_insert(&image.id);
        }
    }
    for snapshot in snapshots {
        if let Some(image) = holders.get(&snapshot.id) {
            snapshot.origin = Origin::Image {
                image: image.as_str().to_owned(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_total() {
        assert_eq!(percent(Some("87%")), Some(87));
        assert_eq!(percent(Some("")), None);
        assert_eq!(percent(None), None);
        assert_eq!(percent(Some("250%")), Some(100));
    }
}

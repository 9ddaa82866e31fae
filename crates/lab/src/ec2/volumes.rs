//! DescribeVolumes, and how a volume is written.

use super::filter::Filters;
use super::ids::Kind;
use super::instances::zone_id;
use super::paging::page;
use super::{Answer, answer, dry_run, tags};
use crate::caller::Caller;
use crate::wire::query::Params;
use crate::wire::timestamp;
use crate::wire::xml::Xml;
use crate::world::{BlockDevice, Instance, Volume, World};

const FILTERS: &str = "
    attachment.attach-time attachment.delete-on-termination attachment.device attachment.instance-id
    attachment.status availability-zone availability-zone-id create-time encrypted fast-restored
    multi-attach-enabled operator.managed operator.principal size snapshot-id status tag-key tag:
    volume-id volume-type
";

fn field(world: &World, volume: &Volume, name: &str) -> Vec<String> {
    let attachment = world.attachment(volume);
    let attached = |of: fn(&Instance, &BlockDevice) -> String| {
        attachment
            .map(|(instance, device)| of(instance, device))
            .into_iter()
            .collect()
    };
    match name {
        "attachment.attach-time" => attached(|_, device| timestamp(device.attach_time)),
        "attachment.delete-on-termination" => {
            attached(|_, device| device.delete_on_termination.to_string())
        }
        "attachment.device" => attached(|_, device| device.device.clone()),
        "attachment.instance-id" => attached(|instance, _| instance.id.clone()),
        "attachment.status" => attached(|_, device| device.state.to_string()),
        "availability-zone" => vec![volume.az.clone()],
        "availability-zone-id" => vec![zone_id(&volume.az)],
        "create-time" => vec![timestamp(volume.created)],
        "encrypted" => vec![volume.encrypted.to_string()],
        "fast-restored" | "multi-attach-enabled" | "operator.managed" => vec!["false".into()],
        "size" => vec![volume.size_gib.to_string()],
        "snapshot-id" => vec![volume.snapshot.clone().unwrap_or_default()],
        "status" => vec![volume.state.to_string()],
        "volume-id" => vec![volume.id.clone()],
        "volume-type" => vec![volume.volume_type.to_string()],
        _ => Vec::new(),
    }
}

/// Answers DescribeVolumes.
pub fn describe(world: &World, ctx: &Caller, params: &Params) -> Answer {
    let filters = Filters::parse(params, FILTERS)?;
    let wanted = Kind::Volume.wanted(&params.list("VolumeId"), &world.volumes)?;
    dry_run(params)?;
    let found = wanted
        .into_iter()
        .filter(|volume| filters.pass(&volume.tags, |name| field(world, volume, name)));
    let page = page(params, 5..=1000, found, |volume| volume.id.clone())?;
    Ok(answer(ctx, "DescribeVolumes", |xml| {
        xml.items("volumeSet", page.items, |xml, volume| {
            write(xml, volume, world.attachment(volume))
        });
        xml.maybe("nextToken", page.next);
    }))
}

/// The fields of one volume.
pub fn write(xml: &mut Xml, volume: &Volume, attachment: Option<(&Instance, &BlockDevice)>) {
    xml.text("volumeId", &volume.id);
    xml.text("size", volume.size_gib);
    xml.text("snapshotId", volume.snapshot.as_deref().unwrap_or_default());
    xml.text("availabilityZone", &volume.az);
    xml.text("availabilityZoneId", zone_id(&volume.az));
    xml.text("status", volume.state);
    xml.text("createTime", timestamp(volume.created));
    xml.items("attachmentSet", attachment, |xml, (instance, device)| {
        write_attachment(xml, &instance.id, device)
    });
    tags::write(xml, &volume.tags);
    xml.text("volumeType", volume.volume_type);
    xml.maybe("iops", volume.iops);
    xml.maybe("throughput", volume.throughput);
    xml.text("encrypted", volume.encrypted);
    xml.maybe("kmsKeyId", volume.kms_key.as_ref());
    xml.text("multiAttachEnabled", false);
    xml.inside("operator", |xml| xml.text("managed", false));
}

/// The fields of one attachment.
pub fn write_attachment(xml: &mut Xml, instance: &str, device: &BlockDevice) {
    xml.text("volumeId", &device.volume);
    xml.text("instanceId", instance);
    xml.text("device", &device.device);
    xml.text("status", device.state);
    xml.text("attachTime", timestamp(device.attach_time));
    xml.text("deleteOnTermination", device.delete_on_termination);
}

//! DescribeImages, DescribeRegions, DescribeAvailabilityZones.

use super::filter::Filters;
use super::ids::{Kind, few};
use super::instances::zone_id;
use super::paging::page;
use super::{Answer, answer, dry_run, tags};
use crate::lab::REGIONS;
use crate::lab::dispatch::CallContext;
use crate::lab::wire::query::Params;
use crate::lab::wire::{AppError, timestamp};
use crate::lab::world::{Image, Tags, World};

const IMAGE_FILTERS: [&str; 9] = [
    "architecture",
    "block-device-mapping.device-name",
    "block-device-mapping.snapshot-id",
    "image-id",
    "is-public",
    "name",
    "owner-id",
    "root-device-name",
    "state",
];

fn image_field(image: &Image, name: &str) -> Vec<String> {
    match name {
        "architecture" => vec!["x86_64".into()],
        "block-device-mapping.device-name" => image
            .mappings
            .iter()
            .map(|(device, _)| device.clone())
            .collect(),
        "block-device-mapping.snapshot-id" => image
            .mappings
            .iter()
            .map(|(_, snapshot)| snapshot.clone())
            .collect(),
        "image-id" => vec![image.id.clone()],
        "is-public" => vec!["false".into()],
        "name" => vec![image.name.clone()],
        "owner-id" => vec![image.owner.clone()],
        "root-device-name" => vec![image.root_device_name.clone()],
        "state" => vec![image.state.clone()],
        _ => Vec::new(),
    }
}

/// DescribeImages: disabled and deprecated ones only when asked for (deprecated ones also to their owner by id).
pub fn images(world: &World, ctx: &CallContext, params: &Params) -> Answer {
    let ids = params.list("ImageId");
    let filters = Filters::parse(params, &IMAGE_FILTERS)?;
    let wanted = Kind::Image.wanted(&ids, &world.images)?;
    dry_run(params)?;
    let owners = params.list("Owner");
    few(&owners)?;
    let disabled = params.flag("IncludeDisabled")?.unwrap_or(false);
    let deprecated = params.flag("IncludeDeprecated")?.unwrap_or(false)
        || !ids.is_empty()
        || owners.contains(&"self");
    let found = wanted.into_iter().filter(|image| {
        let owned = owners.is_empty()
            || owners.iter().any(|owner| {
                *owner == image.owner || (*owner == "self" && image.owner == ctx.account)
            });
        owned
            && (disabled || image.state != "disabled")
            && (deprecated || !image.deprecated)
            && filters.pass(&image.tags, |name| image_field(image, name))
    });
    let page = page(params, 1..=1000, found, |image| image.id.clone())?;
    Ok(answer(ctx, "DescribeImages", |xml| {
        xml.items("imagesSet", page.items, |xml, image| {
            xml.text("imageId", &image.id);
            xml.text("imageLocation", format!("{}/{}", image.owner, image.name));
            xml.text("imageState", &image.state);
            xml.text("imageOwnerId", &image.owner);
            xml.text("creationDate", timestamp(image.created));
            xml.text("isPublic", false);
            xml.text("architecture", "x86_64");
            xml.text("imageType", "machine");
            xml.text("name", &image.name);
            xml.text("rootDeviceType", "ebs");
            xml.text("rootDeviceName", &image.root_device_name);
            xml.items(
                "blockDeviceMapping",
                &image.mappings,
                |xml, (device, snapshot)| {
                    xml.text("deviceName", device);
                    xml.inside("ebs", |xml| {
                        xml.text("snapshotId", snapshot);
                        xml.maybe(
                            "volumeSize",
                            world
                                .snapshots
                                .get(snapshot)
                                .map(|snapshot| snapshot.volume_size_gib),
                        );
                        xml.text("deleteOnTermination", true);
                        xml.text("volumeType", "gp3");
                    });
                },
            );
            xml.text("virtualizationType", "hvm");
            tags::write(xml, &image.tags);
            xml.text("hypervisor", "xen");
            xml.maybe("sourceInstanceId", image.source_instance.as_ref());
        });
        xml.maybe("nextToken", page.next);
    }))
}

/// DescribeRegions.
pub fn regions(ctx: &CallContext, params: &Params) -> Answer {
    let filters = Filters::parse(params, &["endpoint", "opt-in-status", "region-name"])?;
    let names = params.list("RegionName");
    if let Some(unknown) = names.iter().find(|name| !REGIONS.contains(name)) {
        return Err(AppError::value(format!("Invalid region name: {unknown}")));
    }
    dry_run(params)?;
    let found = REGIONS
        .iter()
        .filter(|region| names.is_empty() || names.contains(region))
        .filter(|region| {
            filters.pass(&Tags::new(), |name| match name {
                "endpoint" => vec![format!("ec2.{region}.amazonaws.com")],
                "opt-in-status" => vec!["opt-in-not-required".into()],
                "region-name" => vec![(**region).to_owned()],
                _ => Vec::new(),
            })
        });
    Ok(answer(ctx, "DescribeRegions", |xml| {
        xml.items("regionInfo", found, |xml, region| {
            xml.text("regionName", region);
            xml.text("regionEndpoint", format!("ec2.{region}.amazonaws.com"));
            xml.text("optInStatus", "opt-in-not-required");
        });
    }))
}

/// The zones of a region.
pub fn zone_names(region: &str) -> [String; 3] {
    ["a", "b", "c"].map(|letter| format!("{region}{letter}"))
}

/// DescribeAvailabilityZones.
pub fn zones(ctx: &CallContext, params: &Params) -> Answer {
    let filters = Filters::parse(
        params,
        &["region-name", "state", "zone-id", "zone-name", "zone-type"],
    )?;
    let names = params.list("ZoneName");
    let known = zone_names(&ctx.region);
    if let Some(unknown) = names
        .iter()
        .find(|name| !known.iter().any(|zone| zone == *name))
    {
        return Err(AppError::value(format!(
            "Invalid availability zone: [{unknown}]"
        )));
    }
    dry_run(params)?;
    let found = known
        .iter()
        .filter(|zone| names.is_empty() || names.contains(&zone.as_str()))
        .filter(|zone| {
            filters.pass(&Tags::new(), |name| {
                vec![match name {
                    "region-name" => ctx.region.clone(),
                    "state" => "available".into(),
                    "zone-id" => zone_id(zone),
                    "zone-type" => "availability-zone".into(),
                    _ => (*zone).clone(),
                }]
            })
        });
    Ok(answer(ctx, "DescribeAvailabilityZones", |xml| {
        xml.items("availabilityZoneInfo", found, |xml, zone| {
            xml.text("zoneName", zone);
            xml.text("zoneId", zone_id(zone));
            xml.text("zoneState", "available");
            xml.text("regionName", &ctx.region);
            xml.text("groupName", &ctx.region);
            xml.text("optInStatus", "opt-in-not-required");
            xml.text("zoneType", "availability-zone");
        });
    }))
}

//! DescribeImages, DescribeRegions, DescribeAvailabilityZones.

use super::filter::Filters;
use super::ids::{Kind, check_users};
use super::instances::{platform_details, usage_operation, zone_id};
use super::paging::page;
use super::{Answer, answer, dry_run, tags};
use crate::REGIONS;
use crate::caller::Caller;
use crate::wire::query::Params;
use crate::wire::{AppError, timestamp};
use crate::world::{Image, Platform, Tags, World};

const IMAGE_FILTERS: &str = "
    architecture block-device-mapping.delete-on-termination block-device-mapping.device-name
    block-device-mapping.encrypted block-device-mapping.snapshot-id block-device-mapping.volume-size
    block-device-mapping.volume-type creation-date description ena-support free-tier-eligible hypervisor
    image-allowed image-id image-type is-public kernel-id manifest-location name owner-alias owner-id
    platform product-code product-code.type ramdisk-id root-device-name root-device-type source-image-id
    source-image-region source-instance-id sriov-net-support state state-reason-code state-reason-message
    tag-key tag: virtualization-type
";

fn image_field(world: &World, image: &Image, name: &str) -> Vec<String> {
    let one = |value: &str| vec![value.to_owned()];
    let snapshots = image.mappings.iter().map(|(_, snapshot)| snapshot);
    match name {
        "architecture" => one("x86_64"),
        "block-device-mapping.delete-on-termination" | "ena-support" => one("true"),
        "block-device-mapping.device-name" => image
            .mappings
            .iter()
            .map(|(device, _)| device.clone())
            .collect(),
        "block-device-mapping.encrypted" => one("false"),
        "block-device-mapping.snapshot-id" => snapshots.cloned().collect(),
        "block-device-mapping.volume-size" => snapshots
            .map(|snapshot| size(world, image, snapshot).to_string())
            .collect(),
        "block-device-mapping.volume-type" => one("gp3"),
        "creation-date" => vec![timestamp(image.created)],
        "description" => one(&image.description),
        "hypervisor" => one("xen"),
        "image-id" => one(&image.id),
        "image-type" => one("machine"),
        "is-public" => vec![image.public.to_string()],
        "manifest-location" => vec![location(image)],
        "name" => one(&image.name),
        "owner-alias" => image.owner_alias.iter().cloned().collect(),
        "owner-id" => one(&image.owner),
        "platform" if image.platform == Platform::Windows => one("windows"),
        "root-device-name" => one(&image.root_device_name),
        "root-device-type" => one("ebs"),
        "source-instance-id" => image.source_instance.iter().cloned().collect(),
        "sriov-net-support" => one("simple"),
        "state" => one(&image.state),
        "virtualization-type" => one("hvm"),
        _ => Vec::new(),
    }
}

fn location(image: &Image) -> String {
    let owner = image.owner_alias.as_ref().unwrap_or(&image.owner);
    format!("{owner}/{}", image.name)
}

/// GiB of a volume made of one of its snapshots.
fn size(world: &World, image: &Image, snapshot: &str) -> u32 {
    let known = world.snapshots.get(snapshot);
    known.map_or(image.size_gib, |snapshot| snapshot.volume_size_gib)
}

/// DescribeImages: disabled and deprecated ones only when asked for (deprecated ones also to their owner by id).
pub fn images(world: &World, ctx: &Caller, params: &Params) -> Answer {
    let ids = params.list("ImageId");
    let filters = Filters::parse(params, IMAGE_FILTERS)?;
    let wanted = Kind::Image.wanted(&ids, &world.images)?;
    dry_run(params)?;
    let owners = params.list("Owner");
    check_users(&owners, &["self", "amazon", "aws-marketplace"])?;
    let disabled = params.flag("IncludeDisabled")?.unwrap_or(false);
    let deprecated = params.flag("IncludeDeprecated")?.unwrap_or(false)
        || !ids.is_empty()
        || owners.contains(&"self");
    let found = wanted.into_iter().filter(|image| {
        let owned = owners.is_empty()
            || owners.iter().any(|owner| {
                *owner == image.owner
                    || (*owner == "self" && image.owner == ctx.account)
                    || image.owner_alias.as_deref() == Some(*owner)
            });
        owned
            && (disabled || image.state != "disabled")
            && (deprecated || !image.deprecated)
            && filters.pass(&image.tags, |name| image_field(world, image, name))
    });
    let page = page(params, 1..=1000, found, |image| image.id.clone())?;
    Ok(answer(ctx, "DescribeImages", |xml| {
        xml.items("imagesSet", page.items, |xml, image| {
            xml.text("imageId", &image.id);
            xml.text("imageLocation", location(image));
            xml.text("imageState", &image.state);
            xml.text("imageOwnerId", &image.owner);
            xml.text("creationDate", timestamp(image.created));
            xml.text("isPublic", image.public);
            xml.text("architecture", "x86_64");
            xml.text("imageType", "machine");
            if image.platform == Platform::Windows {
                xml.text("platform", "windows");
            }
            xml.text("platformDetails", platform_details(image.platform));
            xml.text("usageOperation", usage_operation(image.platform));
            xml.text("name", &image.name);
            let described = Some(&image.description).filter(|text| !text.is_empty());
            xml.maybe("description", described);
            xml.maybe("imageOwnerAlias", image.owner_alias.as_ref());
            xml.text("enaSupport", true);
            xml.text("sriovNetSupport", "simple");
            xml.text("rootDeviceType", "ebs");
            xml.text("rootDeviceName", &image.root_device_name);
            xml.items(
                "blockDeviceMapping",
                &image.mappings,
                |xml, (device, snapshot)| {
                    xml.text("deviceName", device);
                    xml.inside("ebs", |xml| {
                        xml.text("snapshotId", snapshot);
                        xml.text("volumeSize", size(world, image, snapshot));
                        xml.text("encrypted", false);
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

/// Answers DescribeRegions.
pub fn regions(ctx: &Caller, params: &Params) -> Answer {
    let filters = Filters::parse(params, "endpoint opt-in-status region-name")?;
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

/// The group of a region's own zones.
fn zone_group(region: &str) -> String {
    format!("{region}-zg-1")
}

/// Answers DescribeAvailabilityZones.
pub fn zones(ctx: &Caller, params: &Params) -> Answer {
    let filters = Filters::parse(
        params,
        "group-long-name group-name message opt-in-status parent-zone-id parent-zone-name region-name state zone-id \
         zone-name zone-type",
    )?;
    let names = params.list("ZoneName");
    let ids = params.list("ZoneId");
    let known = zone_names(&ctx.region);
    if let Some(unknown) = names
        .iter()
        .find(|name| !known.iter().any(|zone| zone == *name))
    {
        return Err(AppError::value(format!(
            "Invalid availability zone: [{unknown}]"
        )));
    }
    if let Some(unknown) = ids
        .iter()
        .find(|id| !known.iter().any(|zone| zone_id(zone) == **id))
    {
        return Err(AppError::value(format!(
            "Invalid availability zone-id: [{unknown}]"
        )));
    }
    dry_run(params)?;
    let found = known
        .iter()
        .filter(|zone| names.is_empty() || names.contains(&zone.as_str()))
        .filter(|zone| ids.is_empty() || ids.contains(&zone_id(zone).as_str()))
        .filter(|zone| {
            filters.pass(&Tags::new(), |name| {
                vec![match name {
                    "group-name" => zone_group(&ctx.region),
                    "opt-in-status" => "opt-in-not-required".into(),
                    "region-name" => ctx.region.clone(),
                    "state" => "available".into(),
                    "zone-id" => zone_id(zone),
                    "zone-name" => (*zone).clone(),
                    "zone-type" => "availability-zone".into(),
                    _ => return Vec::new(),
                }]
            })
        });
    Ok(answer(ctx, "DescribeAvailabilityZones", |xml| {
        xml.items("availabilityZoneInfo", found, |xml, zone| {
            xml.text("zoneName", zone);
            xml.text("zoneId", zone_id(zone));
            xml.text("zoneState", "available");
            xml.text("regionName", &ctx.region);
            xml.inside("messageSet", |_| {});
            xml.text("groupName", zone_group(&ctx.region));
            xml.text("networkBorderGroup", &ctx.region);
            xml.text("optInStatus", "opt-in-not-required");
            xml.text("zoneType", "availability-zone");
        });
    }))
}

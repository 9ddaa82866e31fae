//! DescribeInstances, DescribeInstanceStatus, DescribeInstanceAttribute.

use super::filter::Filters;
use super::ids::Kind;
use super::paging::page;
use super::{Answer, answer, dry_run, tags};
use crate::lab::dispatch::CallContext;
use crate::lab::wire::query::Params;
use crate::lab::wire::xml::Xml;
use crate::lab::wire::{AppError, timestamp};
use crate::lab::world::{Instance, InstanceState, Platform, World};

const FILTERS: [&str; 25] = [
    "architecture",
    "availability-zone",
    "availability-zone-id",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "hypervisor",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "launch-time",
    "owner-id",
    "platform",
    "platform-details",
    "private-dns-name",
    "private-ip-address",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "virtualization-type",
];

fn field(instance: &Instance, account: &str, name: &str) -> Vec<String> {
    let devices = instance.block_devices.iter();
    match name {
        "architecture" => vec!["x86_64".into()],
        "availability-zone" => vec![instance.az.clone()],
        "availability-zone-id" => vec![zone_id(&instance.az)],
        "block-device-mapping.attach-time" => devices.map(|d| timestamp(d.attach_time)).collect(),
        "block-device-mapping.delete-on-termination" => devices
            .map(|d| d.delete_on_termination.to_string())
            .collect(),
        "block-device-mapping.device-name" => devices.map(|d| d.device.clone()).collect(),
        "block-device-mapping.status" => devices.map(|d| d.state.to_string()).collect(),
        "block-device-mapping.volume-id" => devices.map(|d| d.volume.clone()).collect(),
        "hypervisor" => vec!["xen".into()],
        "image-id" => vec![instance.image.clone()],
        "instance-id" => vec![instance.id.clone()],
        "instance-state-code" => vec![instance.state.code().to_string()],
        "instance-state-name" => vec![instance.state.to_string()],
        "instance-type" => vec![instance.instance_type.clone()],
        "launch-time" => vec![timestamp(instance.launch_time)],
        "owner-id" => vec![account.to_owned()],
        "platform" if instance.platform == Platform::Windows => vec!["windows".into()],
        "platform-details" => vec![platform_details(instance).into()],
        "private-dns-name" => vec![private_dns(instance)],
        "private-ip-address" => vec![instance.private_ip.clone()],
        "reservation-id" => vec![instance.reservation.clone()],
        "root-device-name" => vec![instance.root_device_name.clone()],
        "root-device-type" => vec!["ebs".into()],
        "virtualization-type" => vec!["hvm".into()],
        _ => Vec::new(),
    }
}

/// DescribeInstances.
pub fn describe(world: &World, ctx: &CallContext, params: &Params) -> Answer {
    let ids = params.list("InstanceId");
    refuse_ids_with_pages(params, &ids)?;
    let filters = Filters::parse(params, &FILTERS)?;
    let wanted = Kind::Instance.wanted(&ids, &world.instances)?;
    dry_run(params)?;
    let found = wanted.into_iter().filter(|instance| {
        filters.pass(&instance.tags, |name| field(instance, &ctx.account, name))
    });
    let page = page(params, 5..=1000, found, |instance| instance.id.clone())?;
    Ok(answer(ctx, "DescribeInstances", |xml| {
        xml.items("reservationSet", page.items, |xml, instance| {
            xml.text("reservationId", &instance.reservation);
            xml.text("ownerId", &ctx.account);
            xml.inside("groupSet", |_| {});
            xml.items("instancesSet", [instance], write);
        });
        xml.maybe("nextToken", page.next);
    }))
}

fn refuse_ids_with_pages(params: &Params, ids: &[&str]) -> Result<(), AppError> {
    if !ids.is_empty() && params.get("MaxResults").is_some() {
        return Err(AppError::new(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    Ok(())
}

fn write(xml: &mut Xml, instance: &Instance) {
    xml.text("instanceId", &instance.id);
    xml.text("imageId", &instance.image);
    write_state(xml, "instanceState", instance.state);
    xml.text("privateDnsName", private_dns(instance));
    xml.text("dnsName", "");
    xml.text(
        "reason",
        if instance.state == InstanceState::Stopped {
            "User initiated"
        } else {
            ""
        },
    );
    xml.text("amiLaunchIndex", 0);
    xml.inside("productCodes", |_| {});
    xml.text("instanceType", &instance.instance_type);
    xml.text("launchTime", timestamp(instance.launch_time));
    xml.inside("placement", |xml| {
        xml.text("availabilityZone", &instance.az);
        xml.text("availabilityZoneId", zone_id(&instance.az));
        xml.text("groupName", "");
        xml.text("tenancy", "default");
    });
    if instance.platform == Platform::Windows {
        xml.text("platform", "windows");
    }
    xml.inside("monitoring", |xml| xml.text("state", "disabled"));
    xml.text("privateIpAddress", &instance.private_ip);
    xml.text("architecture", "x86_64");
    xml.text("rootDeviceType", "ebs");
    xml.text("rootDeviceName", &instance.root_device_name);
    write_devices(xml, instance);
    xml.text("virtualizationType", "hvm");
    tags::write(xml, &instance.tags);
    xml.text("hypervisor", "xen");
    xml.text("ebsOptimized", true);
    xml.text("enaSupport", true);
    xml.text("platformDetails", platform_details(instance));
    xml.inside("metadataOptions", |xml| {
        xml.text("state", "applied");
        xml.text("httpTokens", "required");
        xml.text("httpPutResponseHopLimit", 2);
        xml.text("httpEndpoint", "enabled");
    });
}

fn write_devices(xml: &mut Xml, instance: &Instance) {
    xml.items(
        "blockDeviceMapping",
        &instance.block_devices,
        |xml, device| {
            xml.text("deviceName", &device.device);
            xml.inside("ebs", |xml| {
                xml.text("volumeId", &device.volume);
                xml.text("status", device.state);
                xml.text("attachTime", timestamp(device.attach_time));
                xml.text("deleteOnTermination", device.delete_on_termination);
            });
        },
    );
}

/// `<name><code>16</code><name>running</name></name>`
pub fn write_state(xml: &mut Xml, element: &str, state: InstanceState) {
    xml.inside(element, |xml| {
        xml.text("code", state.code());
        xml.text("name", state);
    });
}

/// DescribeInstanceStatus: only running instances unless IncludeAllInstances.
pub fn describe_status(world: &World, ctx: &CallContext, params: &Params) -> Answer {
    let ids = params.list("InstanceId");
    refuse_ids_with_pages(params, &ids)?;
    let filters = Filters::parse(
        params,
        &[
            "availability-zone",
            "availability-zone-id",
            "instance-state-code",
            "instance-state-name",
            "instance-status.status",
            "system-status.status",
        ],
    )?;
    let wanted = Kind::Instance.wanted(&ids, &world.instances)?;
    dry_run(params)?;
    let all = params.flag("IncludeAllInstances")?.unwrap_or(false);
    let found = wanted
        .into_iter()
        .filter(|instance| all || instance.state == InstanceState::Running)
        .filter(|instance| {
            filters.pass(&instance.tags, |name| match name {
                "instance-status.status" | "system-status.status" => {
                    vec![health(instance).to_owned()]
                }
                name => field(instance, &ctx.account, name),
            })
        });
    let page = page(params, 5..=1000, found, |instance| instance.id.clone())?;
    Ok(answer(ctx, "DescribeInstanceStatus", |xml| {
        xml.items("instanceStatusSet", page.items, |xml, instance| {
            xml.text("instanceId", &instance.id);
            xml.text("availabilityZone", &instance.az);
            xml.text("availabilityZoneId", zone_id(&instance.az));
            write_state(xml, "instanceState", instance.state);
            for part in ["systemStatus", "instanceStatus"] {
                xml.inside(part, |xml| xml.text("status", health(instance)));
            }
        });
        xml.maybe("nextToken", page.next);
    }))
}

fn health(instance: &Instance) -> &'static str {
    match instance.state {
        InstanceState::Running => "ok",
        InstanceState::Pending => "initializing",
        InstanceState::Stopping | InstanceState::Stopped => "not-applicable",
    }
}

/// DescribeInstanceAttribute, of which the lab knows block devices, root device and type.
pub fn describe_attribute(world: &World, ctx: &CallContext, params: &Params) -> Answer {
    let instance = Kind::Instance.find(params.required("InstanceId")?, &world.instances)?;
    let attribute = params.required("Attribute")?;
    if !matches!(
        attribute,
        "blockDeviceMapping" | "rootDeviceName" | "instanceType"
    ) {
        return Err(AppError::value(format!(
            "Value ({attribute}) for parameter attribute is not known to the lab: blockDeviceMapping, rootDeviceName, instanceType are"
        )));
    }
    dry_run(params)?;
    Ok(answer(ctx, "DescribeInstanceAttribute", |xml| {
        xml.text("instanceId", &instance.id);
        match attribute {
            "rootDeviceName" => xml.inside("rootDeviceName", |xml| {
                xml.text("value", &instance.root_device_name)
            }),
            "instanceType" => xml.inside("instanceType", |xml| {
                xml.text("value", &instance.instance_type)
            }),
            _ => write_devices(xml, instance),
        }
    }))
}

fn platform_details(instance: &Instance) -> &'static str {
    match instance.platform {
        Platform::Windows => "Windows",
        Platform::Linux => "Linux/UNIX",
    }
}

fn private_dns(instance: &Instance) -> String {
    format!(
        "ip-{}.{}.compute.internal",
        instance.private_ip.replace('.', "-"),
        instance.region
    )
}

/// The zone's id: in the lab zones a, b and c of every region are az1 to az3.
pub fn zone_id(zone: &str) -> String {
    let (region, letter) = zone.split_at(zone.len().saturating_sub(1));
    let short: String = region
        .split('-')
        .filter_map(|part| part.chars().next())
        .collect();
    let area = region.split('-').next().unwrap_or_default();
    let n = match letter {
        "a" => 1,
        "b" => 2,
        _ => 3,
    };
    format!("{area}{}-az{n}", short.get(1..).unwrap_or_default())
}

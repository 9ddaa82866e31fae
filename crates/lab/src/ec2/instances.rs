//! DescribeInstances, DescribeInstanceStatus, DescribeInstanceAttribute.

use super::filter::Filters;
use super::ids::Kind;
use super::paging::page;
use super::{Answer, answer, dry_run, network, tags};
use crate::caller::Caller;
use crate::wire::query::Params;
use crate::wire::xml::Xml;
use crate::wire::{AppError, timestamp};
use crate::world::{Instance, InstanceState, Platform, World};

/// Every filter that EC2 documents. What nothing here has matches nothing, as at EC2.
const FILTERS: &str = "
    affinity architecture availability-zone availability-zone-id block-device-mapping.attach-time
    block-device-mapping.delete-on-termination block-device-mapping.device-name
    block-device-mapping.status block-device-mapping.volume-id boot-mode capacity-reservation-id
    capacity-reservation-specification.capacity-reservation-preference
    capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id
    capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn
    client-token current-instance-boot-mode dns-name ebs-optimized ena-support enclave-options.enabled
    hibernation-options.configured host-id hypervisor iam-instance-profile.arn iam-instance-profile.id
    image-id instance-id instance-lifecycle instance-state-code instance-state-name instance-type
    instance.group-id instance.group-name ip-address ipv6-address kernel-id key-name launch-index
    launch-time maintenance-options.auto-recovery metadata-options.http-endpoint
    metadata-options.http-protocol-ipv4 metadata-options.http-protocol-ipv6
    metadata-options.http-put-response-hop-limit metadata-options.http-tokens
    metadata-options.instance-metadata-tags metadata-options.state monitoring-state
    network-interface.addresses.association.allocation-id
    network-interface.addresses.association.association-id
    network-interface.addresses.association.carrier-ip
    network-interface.addresses.association.customer-owned-ip
    network-interface.addresses.association.ip-owner-id
    network-interface.addresses.association.public-dns-name
    network-interface.addresses.association.public-ip network-interface.addresses.primary
    network-interface.addresses.private-dns-name network-interface.addresses.private-ip-address
    network-interface.association.allocation-id network-interface.association.association-id
    network-interface.association.carrier-ip network-interface.association.customer-owned-ip
    network-interface.association.ip-owner-id network-interface.association.public-dns-name
    network-interface.association.public-ip network-interface.attachment.attach-time
    network-interface.attachment.attachment-id network-interface.attachment.delete-on-termination
    network-interface.attachment.device-index network-interface.attachment.instance-id
    network-interface.attachment.instance-owner-id network-interface.attachment.network-card-index
    network-interface.attachment.status network-interface.availability-zone
    network-interface.deny-all-igw-traffic network-interface.description network-interface.group-id
    network-interface.group-name network-interface.ipv4-prefixes.ipv4-prefix
    network-interface.ipv6-address network-interface.ipv6-addresses.ipv6-address
    network-interface.ipv6-addresses.is-primary-ipv6 network-interface.ipv6-native
    network-interface.ipv6-prefixes.ipv6-prefix network-interface.mac-address
    network-interface.network-interface-id network-interface.operator.managed
    network-interface.operator.principal network-interface.outpost-arn network-interface.owner-id
    network-interface.private-dns-name network-interface.private-ip-address
    network-interface.public-dns-name network-interface.requester-id network-interface.requester-managed
    network-interface.source-dest-check network-interface.status network-interface.subnet-id
    network-interface.tag-key network-interface.tag-value network-interface.vpc-id
    network-performance-options.bandwidth-weighting operator.managed operator.principal outpost-arn
    owner-id placement-group-name placement-partition-number platform platform-details private-dns-name
    private-dns-name-options.enable-resource-name-dns-a-record
    private-dns-name-options.enable-resource-name-dns-aaaa-record private-dns-name-options.hostname-type
    private-ip-address product-code product-code.type ramdisk-id reason requester-id reservation-id
    root-device-name root-device-type source-dest-check spot-instance-request-id state-reason-code
    state-reason-message subnet-id tag-key tag: tenancy tpm-support usage-operation
    usage-operation-update-time virtualization-type vpc-id
";

/// As [`FILTERS`], of DescribeInstanceStatus.
const STATUS_FILTERS: &str = "
    attached-ebs-status.status availability-zone availability-zone-id event.code event.description
    event.instance-event-id event.not-after event.not-before event.not-before-deadline instance-state-code
    instance-state-name instance-status.reachability instance-status.status operator.managed
    operator.principal system-status.reachability system-status.status
";

/// Every instance of the lab booted so.
const BOOT_MODE: &str = "uefi";

fn field(instance: &Instance, account: &str, name: &str) -> Vec<String> {
    let devices = instance.block_devices.iter();
    let one = |value: &str| vec![value.to_owned()];
    match name {
        "affinity" | "tenancy" => one("default"),
        "architecture" => one("x86_64"),
        "availability-zone" | "network-interface.availability-zone" => one(&instance.az),
        "availability-zone-id" => vec![zone_id(&instance.az)],
        "block-device-mapping.attach-time" => devices.map(|d| timestamp(d.attach_time)).collect(),
        "block-device-mapping.delete-on-termination" => devices
            .map(|d| d.delete_on_termination.to_string())
            .collect(),
        "block-device-mapping.device-name" => devices.map(|d| d.device.clone()).collect(),
        "block-device-mapping.status" => devices.map(|d| d.state.to_string()).collect(),
        "block-device-mapping.volume-id" => devices.map(|d| d.volume.clone()).collect(),
        "capacity-reservation-specification.capacity-reservation-preference" => one("open"),
        "current-instance-boot-mode" => one(BOOT_MODE),
        "ebs-optimized" | "ena-support" => one("true"),
        "enclave-options.enabled" | "hibernation-options.configured" => one("false"),
        "hypervisor" => one("xen"),
        "image-id" => one(&instance.image),
        "instance-id" | "network-interface.attachment.instance-id" => one(&instance.id),
        "instance-state-code" => vec![instance.state.code().to_string()],
        "instance-state-name" => vec![instance.state.to_string()],
        "instance-type" => one(&instance.instance_type),
        "launch-index" => one("0"),
        "launch-time" => vec![timestamp(instance.launch_time)],
        "maintenance-options.auto-recovery" => one("default"),
        "metadata-options.http-endpoint" => one("enabled"),
        "metadata-options.http-protocol-ipv6" | "metadata-options.instance-metadata-tags" => {
            one("disabled")
        }
        "metadata-options.http-protocol-ipv4" => one("enabled"),
        "metadata-options.http-put-response-hop-limit" => one("2"),
        "metadata-options.http-tokens" => one("required"),
        "metadata-options.state" => one("applied"),
        "monitoring-state" => one("disabled"),
        "operator.managed" | "network-interface.operator.managed" => one("false"),
        "owner-id" => one(account),
        "platform" if instance.platform == Platform::Windows => one("windows"),
        "platform-details" => one(platform_details(instance.platform)),
        "private-dns-name-options.enable-resource-name-dns-a-record"
        | "private-dns-name-options.enable-resource-name-dns-aaaa-record" => one("false"),
        "private-dns-name-options.hostname-type" => one("ip-name"),
        "reason" => vec![network::transition_reason(instance)],
        "reservation-id" => one(&instance.reservation),
        "root-device-name" => one(&instance.root_device_name),
        "root-device-type" => one("ebs"),
        "state-reason-code" => network::state_reason(instance)
            .map(|(code, _)| code.to_owned())
            .into_iter()
            .collect(),
        "state-reason-message" => network::state_reason(instance)
            .map(|(_, message)| message.to_owned())
            .into_iter()
            .collect(),
        "usage-operation" => one(usage_operation(instance.platform)),
        "usage-operation-update-time" => vec![timestamp(instance.created)],
        "virtualization-type" => one("hvm"),
        name => network::field(instance, account, name),
    }
}

/// Answers DescribeInstances.
pub fn describe(world: &World, ctx: &Caller, params: &Params) -> Answer {
    let ids = params.list("InstanceId");
    refuse_ids_with_pages(params, &ids)?;
    let filters = Filters::parse(params, FILTERS)?;
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
            xml.items("instancesSet", [instance], |xml, instance| {
                write(xml, instance, &ctx.account)
            });
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

fn write(xml: &mut Xml, instance: &Instance, account: &str) {
    xml.text("instanceId", &instance.id);
    xml.text("imageId", &instance.image);
    write_state(xml, "instanceState", instance.state);
    xml.text("privateDnsName", network::private_dns(instance));
    xml.text("dnsName", "");
    xml.text("reason", network::transition_reason(instance));
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
    network::write(xml, instance, account);
    xml.text("architecture", "x86_64");
    xml.text("rootDeviceType", "ebs");
    xml.text("rootDeviceName", &instance.root_device_name);
    write_devices(xml, instance);
    xml.text("virtualizationType", "hvm");
    xml.text("clientToken", "");
    tags::write(xml, &instance.tags);
    xml.text("hypervisor", "xen");
    xml.text("ebsOptimized", true);
    xml.text("enaSupport", true);
    if let Some((code, message)) = network::state_reason(instance) {
        xml.inside("stateReason", |xml| {
            xml.text("code", code);
            xml.text("message", message);
        });
    }
    xml.inside("cpuOptions", |xml| {
        xml.text("coreCount", cores(&instance.instance_type));
        xml.text("threadsPerCore", 2);
    });
    xml.inside("capacityReservationSpecification", |xml| {
        xml.text("capacityReservationPreference", "open");
    });
    xml.inside("hibernationOptions", |xml| xml.text("configured", false));
    xml.inside("enclaveOptions", |xml| xml.text("enabled", false));
    xml.inside("maintenanceOptions", |xml| {
        xml.text("autoRecovery", "default")
    });
    xml.text("currentInstanceBootMode", BOOT_MODE);
    xml.text("platformDetails", platform_details(instance.platform));
    xml.text("usageOperation", usage_operation(instance.platform));
    xml.text("usageOperationUpdateTime", timestamp(instance.created));
    xml.inside("privateDnsNameOptions", |xml| {
        xml.text("hostnameType", "ip-name");
        xml.text("enableResourceNameDnsARecord", false);
        xml.text("enableResourceNameDnsAAAARecord", false);
    });
    xml.inside("metadataOptions", |xml| {
        xml.text("state", "applied");
        xml.text("httpTokens", "required");
        xml.text("httpPutResponseHopLimit", 2);
        xml.text("httpEndpoint", "enabled");
        xml.text("httpProtocolIpv6", "disabled");
        xml.text("instanceMetadataTags", "disabled");
    });
    xml.inside("operator", |xml| xml.text("managed", false));
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

/// Writes an instance state: `<name><code>16</code><name>running</name></name>`
pub fn write_state(xml: &mut Xml, element: &str, state: InstanceState) {
    xml.inside(element, |xml| {
        xml.text("code", state.code());
        xml.text("name", state);
    });
}

/// DescribeInstanceStatus: only running instances unless IncludeAllInstances.
pub fn describe_status(world: &World, ctx: &Caller, params: &Params) -> Answer {
    let ids = params.list("InstanceId");
    refuse_ids_with_pages(params, &ids)?;
    let filters = Filters::parse(params, STATUS_FILTERS)?;
    let wanted = Kind::Instance.wanted(&ids, &world.instances)?;
    dry_run(params)?;
    let all = params.flag("IncludeAllInstances")?.unwrap_or(false);
    let found = wanted
        .into_iter()
        .filter(|instance| all || instance.state == InstanceState::Running)
        .filter(|instance| {
            filters.pass(&instance.tags, |name| match name {
                "instance-status.status"
                | "system-status.status"
                | "attached-ebs-status.status" => {
                    vec![health(instance).to_owned()]
                }
                "instance-status.reachability" | "system-status.reachability" => {
                    reachability(instance)
                        .map(str::to_owned)
                        .into_iter()
                        .collect()
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
            for part in ["systemStatus", "instanceStatus", "attachedEbsStatus"] {
                xml.inside(part, |xml| {
                    xml.text("status", health(instance));
                    if let Some(reachable) = reachability(instance) {
                        xml.items("details", [reachable], |xml, reachable| {
                            xml.text("name", "reachability");
                            xml.text("status", reachable);
                        });
                    }
                });
            }
            xml.inside("operator", |xml| xml.text("managed", false));
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

/// What the reachability check says, of an instance that is checked.
fn reachability(instance: &Instance) -> Option<&'static str> {
    match instance.state {
        InstanceState::Running => Some("passed"),
        InstanceState::Pending => Some("initializing"),
        InstanceState::Stopping | InstanceState::Stopped => None,
    }
}

/// DescribeInstanceAttribute, of which the lab knows block devices, root device and type.
pub fn describe_attribute(world: &World, ctx: &Caller, params: &Params) -> Answer {
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

/// Cores of an instance type, by its size: two threads each.
fn cores(instance_type: &str) -> u32 {
    let size = instance_type.rsplit('.').next().unwrap_or_default();
    match size.strip_suffix("xlarge") {
        Some("") => 2,
        Some(times) => times
            .parse::<u32>()
            .map_or(2, |times| times.saturating_mul(2)),
        None if size == "metal" => 48,
        None => 1,
    }
}

/// What `PlatformDetails` says.
pub fn platform_details(platform: Platform) -> &'static str {
    match platform {
        Platform::Windows => "Windows",
        Platform::Linux => "Linux/UNIX",
    }
}

/// EC2's `usageOperation` of this platform.
pub fn usage_operation(platform: Platform) -> &'static str {
    match platform {
        Platform::Windows => "RunInstances:0002",
        Platform::Linux => "RunInstances",
    }
}

/// The zone's id. Which letter is which zone differs from account to account; where AWS has lent a region's numbers
/// anew, as in Tokyo, there is none of the old.
pub fn zone_id(zone: &str) -> String {
    let (region, letter) = zone.split_at(zone.len().saturating_sub(1));
    let (short, numbers) = match region {
        "ap-northeast-1" => ("apne1", [4, 1, 2]),
        "ap-southeast-2" => ("apse2", [1, 3, 2]),
        "eu-central-1" => ("euc1", [2, 3, 1]),
        "eu-north-1" => ("eun1", [1, 2, 3]),
        "eu-west-1" => ("euw1", [1, 2, 3]),
        "us-east-1" => ("use1", [1, 2, 4]),
        "us-east-2" => ("use2", [1, 2, 3]),
        _ => ("usw2", [1, 2, 3]),
    };
    let number = match letter {
        "a" => numbers[0],
        "b" => numbers[1],
        _ => numbers[2],
    };
    format!("{short}-az{number}")
}

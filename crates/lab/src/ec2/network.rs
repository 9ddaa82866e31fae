//! The network around an instance, as far as an answer names it: VPC, subnet, security group, interface, profile. None
//! of it can be changed, so nothing of it is kept: it follows from the instance's own facts, the same every time.

use sha2::{Digest as _, Sha256};

use crate::wire::timestamp;
use crate::wire::xml::Xml;
use crate::world::{Engine, Instance, InstanceState, Role};

/// An id that follows from what it belongs to.
pub fn derived(prefix: &str, of: &str) -> String {
    let digest = Sha256::digest(format!("{prefix} {of}").as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}-0{}", &digits[..16])
}

pub fn vpc(instance: &Instance, account: &str) -> String {
    derived("vpc", &format!("{account} {}", instance.region))
}

pub fn subnet(instance: &Instance, account: &str) -> String {
    derived("subnet", &format!("{account} {}", instance.az))
}

/// Id and name of the instance's security group.
pub fn group(instance: &Instance, account: &str) -> (String, String) {
    let name = match instance.engine {
        Some(Engine::Mysql | Engine::Mariadb) => "mysql",
        Some(Engine::Postgresql) => "postgresql",
        Some(Engine::Redis) => "redis",
        Some(Engine::Mongodb) => "mongodb",
        None => "servers",
    };
    let id = derived("sg", &format!("{account} {} {name}", instance.region));
    (id, name.to_owned())
}

pub fn interface(instance: &Instance) -> String {
    derived("eni", &instance.id)
}

pub fn interface_attachment(instance: &Instance) -> String {
    derived("eni-attach", &instance.id)
}

/// A locally administered address.
pub fn mac(instance: &Instance) -> String {
    let digest = Sha256::digest(instance.id.as_bytes());
    let bytes: Vec<String> = digest[..5].iter().map(|b| format!("{b:02x}")).collect();
    format!("02:{}", bytes.join(":"))
}

/// ARN and id of the instance profile, of an instance that has a role.
pub fn profile(instance: &Instance, account: &str) -> Option<(String, String)> {
    let name = match instance.role {
        Role::None => return None,
        role => role.name(),
    };
    let digits = derived("", &format!("{account} {name}")).to_uppercase();
    let id: String = digits.chars().filter(char::is_ascii_alphanumeric).collect();
    Some((
        format!("arn:aws:iam::{account}:instance-profile/{name}"),
        format!("AIPA{}", &id[..16]),
    ))
}

/// `ip-10-0-0-11.eu-central-1.compute.internal`; one region is older than that form.
pub fn private_dns(instance: &Instance) -> String {
    let host = instance.private_ip.replace('.', "-");
    match instance.region.as_str() {
        "us-east-1" => format!("ip-{host}.ec2.internal"),
        region => format!("ip-{host}.{region}.compute.internal"),
    }
}

/// What an instance has for a filter about its network; nothing for what it does not have.
pub fn field(instance: &Instance, account: &str, name: &str) -> Vec<String> {
    let one = |value: &str| vec![value.to_owned()];
    match name {
        "iam-instance-profile.arn" => profile(instance, account)
            .map(|(arn, _)| arn)
            .into_iter()
            .collect(),
        "iam-instance-profile.id" => profile(instance, account)
            .map(|(_, id)| id)
            .into_iter()
            .collect(),
        "instance.group-id" | "network-interface.group-id" => vec![group(instance, account).0],
        "instance.group-name" | "network-interface.group-name" => vec![group(instance, account).1],
        "network-interface.addresses.primary"
        | "network-interface.attachment.delete-on-termination"
        | "network-interface.source-dest-check"
        | "source-dest-check" => one("true"),
        "network-interface.requester-managed" => one("false"),
        "network-interface.attachment.attach-time" => vec![timestamp(instance.created)],
        "network-interface.attachment.attachment-id" => vec![interface_attachment(instance)],
        "network-interface.attachment.device-index"
        | "network-interface.attachment.network-card-index" => one("0"),
        "network-interface.attachment.instance-owner-id" | "network-interface.owner-id" => {
            one(account)
        }
        "network-interface.attachment.status" => one("attached"),
        "network-interface.mac-address" => vec![mac(instance)],
        "network-interface.network-interface-id" => vec![interface(instance)],
        "network-interface.status" => one("in-use"),
        "private-dns-name"
        | "network-interface.private-dns-name"
        | "network-interface.addresses.private-dns-name" => vec![private_dns(instance)],
        "private-ip-address"
        | "network-interface.private-ip-address"
        | "network-interface.addresses.private-ip-address" => one(&instance.private_ip),
        "subnet-id" | "network-interface.subnet-id" => vec![subnet(instance, account)],
        "vpc-id" | "network-interface.vpc-id" => vec![vpc(instance, account)],
        _ => Vec::new(),
    }
}

fn write_group(xml: &mut Xml, instance: &Instance, account: &str) {
    xml.items("groupSet", [group(instance, account)], |xml, (id, name)| {
        xml.text("groupId", id);
        xml.text("groupName", name);
    });
}

/// What DescribeInstances says of an instance's place in the network.
pub fn write(xml: &mut Xml, instance: &Instance, account: &str) {
    xml.text("privateIpAddress", &instance.private_ip);
    xml.text("vpcId", vpc(instance, account));
    xml.text("subnetId", subnet(instance, account));
    xml.text("sourceDestCheck", true);
    write_group(xml, instance, account);
    xml.items("networkInterfaceSet", [instance], |xml, instance| {
        xml.text("networkInterfaceId", interface(instance));
        xml.text("subnetId", subnet(instance, account));
        xml.text("vpcId", vpc(instance, account));
        xml.text("description", "");
        xml.text("ownerId", account);
        xml.text("status", "in-use");
        xml.text("macAddress", mac(instance));
        xml.text("privateIpAddress", &instance.private_ip);
        xml.text("privateDnsName", private_dns(instance));
        xml.text("sourceDestCheck", true);
        xml.inside("ipv6AddressesSet", |_| {});
        write_group(xml, instance, account);
        xml.inside("attachment", |xml| {
            xml.text("attachmentId", interface_attachment(instance));
            xml.text("deviceIndex", 0);
            xml.text("networkCardIndex", 0);
            xml.text("status", "attached");
            xml.text("attachTime", timestamp(instance.created));
            xml.text("deleteOnTermination", true);
        });
        xml.items("privateIpAddressesSet", [instance], |xml, instance| {
            xml.text("privateIpAddress", &instance.private_ip);
            xml.text("privateDnsName", private_dns(instance));
            xml.text("primary", true);
        });
        xml.text("interfaceType", "interface");
    });
    if let Some((arn, id)) = profile(instance, account) {
        xml.inside("iamInstanceProfile", |xml| {
            xml.text("arn", arn);
            xml.text("id", id);
        });
    }
}

/// Why and since when an instance stands still: `User initiated (2026-11-21 12:00:00 GMT)`, or nothing.
pub fn transition_reason(instance: &Instance) -> String {
    match (instance.state, instance.stopped) {
        (InstanceState::Stopping | InstanceState::Stopped, Some(at)) => {
            format!("User initiated ({} GMT)", at.format("%F %T"))
        }
        _ => String::new(),
    }
}

/// Code and message of `stateReason`, of an instance that was stopped.
pub fn state_reason(instance: &Instance) -> Option<(&'static str, &'static str)> {
    matches!(
        instance.state,
        InstanceState::Stopping | InstanceState::Stopped
    )
    .then_some((
        "Client.UserInitiatedShutdown",
        "Client.UserInitiatedShutdown: User initiated shutdown",
    ))
}

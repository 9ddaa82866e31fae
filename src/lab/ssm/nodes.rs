//! Managed nodes: which instances have an agent, and whether it answers.

use serde_json::{Value, json};

use super::library::{page_size, without_nulls};
use crate::lab::json::{ServiceError, epoch, list, page, required, strings, text};
use crate::lab::world::{AgentStatus, Instance, InstanceState, Platform, World};

const FILTER_KEYS: [&str; 9] = [
    "InstanceIds",
    "AgentVersion",
    "PingStatus",
    "PlatformTypes",
    "ActivationIds",
    "IamRole",
    "ResourceType",
    "AssociationStatus",
    "tag-key",
];

/// `Online` or `ConnectionLost`; `None` for an instance that Systems Manager does not list.
fn ping(instance: &Instance) -> Option<&'static str> {
    if instance.state != InstanceState::Running {
        return None;
    }
    match instance.agent.status {
        AgentStatus::Online => Some("Online"),
        AgentStatus::ConnectionLost => Some("ConnectionLost"),
        AgentStatus::None => None,
    }
}

fn platform(instance: &Instance) -> (&'static str, &'static str, &'static str) {
    match instance.platform {
        Platform::Linux => ("Linux", "Amazon Linux", "2023"),
        Platform::Windows => (
            "Windows",
            "Microsoft Windows Server 2022 Datacenter",
            "10.0.20348",
        ),
    }
}

fn fits(
    instance: &Instance,
    ping: &str,
    key: &str,
    values: &[String],
) -> Result<bool, ServiceError> {
    let is = |actual: &str| values.iter().any(|value| value == actual);
    if let Some(tag) = key.strip_prefix("tag:") {
        return Ok(instance.tags.get(tag).is_some_and(|value| is(value)));
    }
    if !FILTER_KEYS.contains(&key) {
        return Err(ServiceError::new(
            "InvalidInstanceInformationFilterValue",
            format!("The filter key {key} is not valid."),
        ));
    }
    Ok(match key {
        "InstanceIds" => is(&instance.id),
        "AgentVersion" => is(&instance.agent.version),
        "PingStatus" => is(ping),
        "PlatformTypes" => is(platform(instance).0),
        "ResourceType" => is("EC2Instance"),
        "tag-key" => instance.tags.keys().any(|key| is(key)),
        _ => false,
    })
}

pub(super) fn describe(world: &World, body: &Value) -> Result<Value, ServiceError> {
    let mut filters: Vec<(String, Vec<String>)> = Vec::new();
    for filter in list(body, "Filters") {
        filters.push((
            required(filter, "Key")?.to_owned(),
            strings(filter, "Values"),
        ));
    }
    for filter in list(body, "InstanceInformationFilterList") {
        filters.push((
            required(filter, "key")?.to_owned(),
            strings(filter, "valueSet"),
        ));
    }
    let size = page_size(body, 10, 5, 50)?;
    let mut found = Vec::new();
    for instance in world.instances.values() {
        let Some(ping) = ping(instance) else { continue };
        let mut all = true;
        for (key, values) in &filters {
            all &= fits(instance, ping, key, values)?;
        }
        if all {
            let (kind, name, version) = platform(instance);
            let age = chrono::Duration::from_std(instance.agent.last_ping_age).unwrap_or_default();
            found.push(json!({
                "InstanceId": instance.id, "PingStatus": ping, "LastPingDateTime": epoch(world.now - age),
                "AgentVersion": instance.agent.version, "IsLatestVersion": true, "PlatformType": kind, "PlatformName": name,
                "PlatformVersion": version, "ResourceType": "EC2Instance", "IPAddress": instance.private_ip,
                "ComputerName": format!("ip-{}.{}.compute.internal", instance.private_ip.replace('.', "-"), world.region),
                "SourceId": instance.id, "SourceType": "AWS::EC2::Instance",
            }));
        }
    }
    let (found, next) = page(&found, text(body, "NextToken"), size, "InvalidNextToken")?;
    Ok(without_nulls(
        json!({"InstanceInformationList": found, "NextToken": next}),
    ))
}

pub(super) fn connection(world: &World, body: &Value) -> Result<Value, ServiceError> {
    let target = required(body, "Target")?;
    let online = world.instances.get(target).and_then(ping) == Some("Online");
    Ok(json!({"Target": target, "Status": if online { "connected" } else { "notconnected" }}))
}

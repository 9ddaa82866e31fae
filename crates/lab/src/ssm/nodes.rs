//! Managed nodes: which instances have an agent, and whether it answers.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::library::{page_size, without_nulls};
use crate::ec2::private_dns;
use crate::json::{ServiceError, epoch, list, page, required, strings, text};
use crate::world::{AgentStatus, Instance, InstanceState, Platform, World};

/// Keys of `Filters`; those of the older `InstanceInformationFilterList` are the first eight.
const FILTER_KEYS: [&str; 12] = [
    "InstanceIds",
    "AgentVersion",
    "PingStatus",
    "PlatformTypes",
    "ActivationIds",
    "IamRole",
    "ResourceType",
    "AssociationStatus",
    "PlatformType",
    "SourceIds",
    "SourceTypes",
    "tag-key",
];
const OLDER_KEYS: usize = 8;

/// Values that a key can have, where it cannot have any.
fn words(key: &str) -> Option<&'static [&'static str]> {
    Some(match key {
        "PingStatus" => &["Online", "ConnectionLost", "Inactive"],
        "PlatformTypes" | "PlatformType" => &["Windows", "Linux", "MacOS"],
        "ResourceType" => &["EC2Instance", "ManagedInstance"],
        "SourceTypes" => &[
            "AWS::EC2::Instance",
            "AWS::SSM::ManagedInstance",
            "AWS::IoT::Thing",
        ],
        _ => return None,
    })
}

/// The filters of a request, in either of their two forms, never in both.
fn filters(body: &Value) -> Result<Vec<(String, Vec<String>)>, ServiceError> {
    let (new, old) = (
        list(body, "Filters"),
        list(body, "InstanceInformationFilterList"),
    );
    if !new.is_empty() && !old.is_empty() {
        return Err(ServiceError::validation(
            "Filters and InstanceInformationFilterList cannot be specified together",
        ));
    }
    let new = new.iter().map(|filter| (filter, "Key", "Values"));
    let old = old.iter().map(|filter| (filter, "key", "valueSet"));
    new.chain(old)
        .map(|(filter, key, values)| {
            let tags = key == "Key";
            let (key, values) = (required(filter, key)?, strings(filter, values));
            let keys = if tags {
                &FILTER_KEYS[..]
            } else {
                &FILTER_KEYS[..OLDER_KEYS]
            };
            let tag = tags && key.strip_prefix("tag:").is_some_and(|tag| !tag.is_empty());
            if !tag && !keys.contains(&key) {
                return Err(ServiceError::validation(format!(
                    "The filter key {key} is not valid."
                )));
            }
            if values.is_empty() {
                return Err(ServiceError::validation(format!(
                    "The filter {key} has no values."
                )));
            }
            let odd = values
                .iter()
                .find(|value| words(key).is_some_and(|words| !words.contains(&value.as_str())));
            match odd {
                Some(value) => Err(ServiceError::new(
                    "InvalidInstanceInformationFilterValue",
                    format!("The value {value} of the filter {key} is not valid."),
                )),
                None => Ok((key.to_owned(), values)),
            }
        })
        .collect()
}

/// For so long an agent that has lost its connection is called `Online`: it pings every few minutes.
const STILL_ONLINE: TimeDelta = TimeDelta::minutes(5);

/// `Online` or `ConnectionLost`; `None` for an instance that Systems Manager does not list.
fn ping(instance: &Instance, now: DateTime<Utc>) -> Option<&'static str> {
    if instance.state != InstanceState::Running {
        return None;
    }
    match instance.agent.status {
        AgentStatus::Online => Some("Online"),
        AgentStatus::ConnectionLost
            if (instance.agent.lost).is_some_and(|lost| now - lost < STILL_ONLINE) =>
        {
            Some("Online")
        }
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

fn fits(instance: &Instance, ping: &str, key: &str, values: &[String]) -> bool {
    let is = |actual: &str| values.iter().any(|value| value == actual);
    match key {
        "InstanceIds" | "SourceIds" => is(&instance.id),
        "AgentVersion" => is(&instance.agent.version),
        "PingStatus" => is(ping),
        "PlatformTypes" | "PlatformType" => is(platform(instance).0),
        "ResourceType" => is("EC2Instance"),
        "SourceTypes" => is("AWS::EC2::Instance"),
        "tag-key" => instance.tags.keys().any(|key| is(key)),
        key => key
            .strip_prefix("tag:")
            .and_then(|tag| instance.tags.get(tag))
            .is_some_and(|value| is(value)),
    }
}

pub(super) fn describe(world: &World, body: &Value) -> Result<Value, ServiceError> {
    let filters = filters(body)?;
    let size = page_size(body, 10, 5, 50)?;
    let mut found = Vec::new();
    for instance in world.instances.values() {
        let Some(ping) = ping(instance, world.now) else {
            continue;
        };
        if filters
            .iter()
            .all(|(key, values)| fits(instance, ping, key, values))
        {
            let (kind, name, version) = platform(instance);
            let age = chrono::Duration::from_std(instance.agent.last_ping_age).unwrap_or_default();
            found.push(json!({
                "InstanceId": instance.id, "PingStatus": ping, "LastPingDateTime": epoch(instance.agent.lost.unwrap_or(world.now) - age),
                "AgentVersion": instance.agent.version, "IsLatestVersion": true, "PlatformType": kind, "PlatformName": name,
                "PlatformVersion": version, "ResourceType": "EC2Instance", "IPAddress": instance.private_ip,
                "ComputerName": private_dns(instance),
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
    let connected = world.instances.get(target).is_some_and(|instance| {
        instance.state == InstanceState::Running && instance.agent.status == AgentStatus::Online
    });
    Ok(json!({"Target": target, "Status": if connected { "connected" } else { "notconnected" }}))
}

//! SendCommand: everything that AWS checks before it says yes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::document::Parameters;
use super::library::find;
use super::pattern::Pattern;
use super::record::{CommandRecord, Detail, InvocationRecord, Plugin};
use super::{delivery, report};
use crate::Lab;
use crate::caller::Caller;
use crate::json::{ServiceError, list, required, strings, text};
use crate::world::{AgentStatus, Instance, InstanceState, World};

/// Until then the invocations cannot be read after SendCommand, in milliseconds.
const INVISIBLE_MS: i64 = 100;
/// Targets by id in one command.
const INSTANCE_LIMIT: usize = 50;
const CONCURRENCY: &str = "^([1-9][0-9]*|[1-9][0-9]%|[1-9]%|100%)$";
const ERRORS: &str = "^([1-9][0-9]*|[0]|[1-9][0-9]%|[0-9]%|100%)$";

pub(super) fn send(lab: &Lab, ctx: &Caller, body: &Value) -> Result<Value, ServiceError> {
    let mut world = lab.world_of(&ctx.region);
    let mut command = prepare(&world, ctx, body)?;
    // From the world's dice, so that a seed replays.
    command.id = uuid::Builder::from_random_bytes(world.rng.u128(..).to_be_bytes())
        .into_uuid()
        .to_string();
    let answer = json!({"Command": report::command(&command)});
    let id = command.id.clone();
    let instances: Vec<String> = command
        .invocations
        .iter()
        .filter(|invocation| !invocation.detail.terminal())
        .map(|invocation| invocation.instance.clone())
        .collect();
    let gate = delivery::Gate::of(&command);
    world.ssm.remember(command)?;
    drop(world);
    for instance in instances {
        delivery::start(lab, &ctx.region, &id, &instance, gate.clone());
    }
    Ok(answer)
}

fn prepare(world: &World, ctx: &Caller, body: &Value) -> Result<CommandRecord, ServiceError> {
    let delivery = checked_numbers(body)?;
    let comment = text(body, "Comment").unwrap_or_default();
    if comment.chars().count() > 100 {
        return Err(ServiceError::validation(
            "Value at 'comment' failed to satisfy constraint: Member must have length less than or equal to 100",
        ));
    }
    let name = required(body, "DocumentName")?;
    let document = find(world, name)?;
    let version = document.version(text(body, "DocumentVersion"))?;
    check_hash(body, version.hash())?;
    let sent = sent_parameters(body)?;
    let parameters = version.content.bind(&sent)?;
    let ids = strings(body, "InstanceIds");
    let targets = list(body, "Targets");
    let chosen = chosen(world, &ids, targets)?;
    let by_id = !ids.is_empty();
    let mut invocations = Vec::new();
    for instance in chosen {
        let fits = version.content.runs_on(instance.platform);
        if !fits && by_id {
            return Err(ServiceError::new(
                "UnsupportedPlatformType",
                format!(
                    "The document {name} does not support the platform of instance {}.",
                    instance.id
                ),
            ));
        }
        let steps = version
            .content
            .steps
            .iter()
            .filter(|step| step.runs_on(instance.platform));
        let plugin = |step: &super::document::Step| Plugin {
            step: step.clone(),
            detail: Detail::Pending,
            code: -1,
            started: None,
            ended: None,
            stdout: String::new(),
            stderr: String::new(),
        };
        invocations.push(InvocationRecord {
            instance: instance.id.clone(),
            instance_name: instance.tags.get("Name").cloned().unwrap_or_default(),
            detail: if fits {
                Detail::Pending
            } else {
                Detail::InvalidPlatform
            },
            plugins: steps.map(plugin).collect(),
            cancel: CancellationToken::new(),
        });
    }
    // A parameter's default does not count here, as it does for the agent.
    let execution: u64 = version
        .content
        .steps
        .iter()
        .map(|step| step.timeout_seconds(&sent))
        .sum();
    Ok(CommandRecord {
        id: String::new(),
        document: document.name.clone(),
        version: text(body, "DocumentVersion")
            .unwrap_or("$DEFAULT")
            .to_owned(),
        comment: comment.to_owned(),
        parameters,
        instance_ids: ids,
        targets: Value::Array(targets.to_vec()),
        requested: ctx.now,
        visible: ctx.now
            + chrono::Duration::milliseconds(
                INVISIBLE_MS + i64::from(world.weather.command_lag_ms),
            ),
        delivery: Duration::from_secs(delivery),
        execution: Duration::from_secs(execution),
        max_concurrency: text(body, "MaxConcurrency").unwrap_or("50").to_owned(),
        max_errors: text(body, "MaxErrors").unwrap_or("0").to_owned(),
        invocations,
    })
}

/// Checks the numbers and returns the delivery timeout in seconds.
fn checked_numbers(body: &Value) -> Result<u64, ServiceError> {
    for (key, pattern) in [("MaxConcurrency", CONCURRENCY), ("MaxErrors", ERRORS)] {
        let fits = |value: &str| {
            value.len() <= 7 && Pattern::parse(pattern).is_ok_and(|pattern| pattern.matches(value))
        };
        if let Some(value) = text(body, key).filter(|value| !fits(value)) {
            return Err(ServiceError::validation(format!(
                "Value '{value}' at '{key}' failed to satisfy constraint: {pattern}"
            )));
        }
    }
    match body.get("TimeoutSeconds").filter(|value| !value.is_null()) {
        None => Ok(3600),
        Some(value) => value.as_u64().filter(|seconds| (30..=2_592_000).contains(seconds)).ok_or_else(|| {
            ServiceError::validation(format!("Value '{value}' at 'timeoutSeconds' failed to satisfy constraint: 30 to 2592000"))
        }),
    }
}

fn check_hash(body: &Value, actual: &str) -> Result<(), ServiceError> {
    let Some(wanted) = text(body, "DocumentHash") else {
        return Ok(());
    };
    match text(body, "DocumentHashType").unwrap_or("Sha256") {
        "Sha256" if wanted.eq_ignore_ascii_case(actual) => Ok(()),
        "Sha256" => Err(ServiceError::new(
            "InvalidDocument",
            "The document hash does not match the document's content.",
        )),
        other => Err(ServiceError::new(
            "InvalidDocument",
            format!("The lab compares Sha256 hashes, not {other}."),
        )),
    }
}

fn sent_parameters(body: &Value) -> Result<Parameters, ServiceError> {
    let Some(map) = body.get("Parameters").and_then(Value::as_object) else {
        return Ok(Parameters::new());
    };
    map.iter()
        .map(|(name, values)| {
            let values = values.as_array().and_then(|values| {
                values
                    .iter()
                    .map(|value| value.as_str().map(str::to_owned))
                    .collect::<Option<Vec<_>>>()
            });
            let values = values.ok_or_else(|| {
                ServiceError::new(
                    "InvalidParameters",
                    format!("Parameter \"{name}\" must be a list of strings"),
                )
            })?;
            Ok((name.clone(), values))
        })
        .collect()
}

fn chosen<'a>(
    world: &'a World,
    ids: &[String],
    targets: &[Value],
) -> Result<Vec<&'a Instance>, ServiceError> {
    if ids.is_empty() == targets.is_empty() {
        return Err(ServiceError::new(
            "InvalidInstanceId",
            "Specify either InstanceIds or Targets.",
        ));
    }
    if ids.len() > INSTANCE_LIMIT {
        return Err(ServiceError::validation(format!(
            "Value at 'instanceIds' failed to satisfy constraint: Member must have length less than or equal to {INSTANCE_LIMIT}"
        )));
    }
    if !ids.is_empty() {
        if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
            return Err(ServiceError::new(
                "DuplicateInstanceId",
                "An instance id was given twice.",
            ));
        }
        return ids.iter().map(|id| managed(world, id)).collect();
    }
    if targets.len() > 5 {
        return Err(ServiceError::validation(
            "Value at 'targets' failed to satisfy constraint: Member must have length less than or equal to 5",
        ));
    }
    let mut chosen: Vec<&Instance> = world
        .instances
        .values()
        .filter(|instance| instance.agent.status != AgentStatus::None)
        .collect();
    for target in targets {
        let key = required(target, "Key")?;
        let values = strings(target, "Values");
        let named: Box<dyn Fn(&Instance) -> bool> = if key == "InstanceIds" {
            for id in &values {
                managed(world, id)?;
            }
            Box::new(|instance| values.contains(&instance.id))
        } else if let Some(tag) = key.strip_prefix("tag:") {
            Box::new(move |instance| {
                instance
                    .tags
                    .get(tag)
                    .is_some_and(|value| values.contains(value))
            })
        } else {
            return Err(ServiceError::new(
                "InvalidTarget",
                format!("The target key {key} is not one that the lab has."),
            ));
        };
        chosen.retain(|instance| named(instance));
    }
    Ok(chosen)
}

/// An instance to which a command may be sent: known here and not stopped, with an agent that has registered at some
/// time.
fn managed<'a>(world: &'a World, id: &str) -> Result<&'a Instance, ServiceError> {
    world
        .instances
        .get(id)
        .filter(|instance| instance.agent.status != AgentStatus::None)
        .filter(|instance| {
            matches!(
                instance.state,
                InstanceState::Pending | InstanceState::Running
            )
        })
        .ok_or_else(|| {
            ServiceError::new(
                "InvalidInstanceId",
                format!(
                    "Instances [[{id}]] not in a valid state for account {}",
                    world.account
                ),
            )
        })
}

//! Reading commands back: GetCommandInvocation, ListCommandInvocations, ListCommands.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::library::{page_size, without_nulls};
use super::record::{CommandRecord, Detail, InvocationRecord, Plugin};
use crate::lab::dispatch::CallContext;
use crate::lab::json::{ServiceError, epoch, list, moment, page, required, text};
use crate::lab::world::World;

/// Characters of output in ListCommandInvocations.
const DETAIL_OUTPUT: usize = 2_500;

/// The `Command` structure.
pub(super) fn command(command: &CommandRecord) -> Value {
    let (status, details) = command.summary();
    json!({
        "CommandId": command.id, "DocumentName": command.document, "DocumentVersion": command.version, "Comment": command.comment,
        "ExpiresAfter": epoch(command.expires()), "Parameters": command.parameters, "InstanceIds": command.instance_ids,
        "Targets": command.targets, "RequestedDateTime": epoch(command.requested), "Status": status, "StatusDetails": details,
        "OutputS3BucketName": "", "OutputS3KeyPrefix": "", "MaxConcurrency": command.max_concurrency, "MaxErrors": command.max_errors,
        "TargetCount": command.invocations.len(), "CompletedCount": command.count(Detail::terminal),
        "ErrorCount": command.count(Detail::is_error), "DeliveryTimedOutCount": command.count(|detail| detail == Detail::DeliveryTimedOut),
        "ServiceRole": "", "TimeoutSeconds": command.delivery.as_secs(),
        "NotificationConfig": {"NotificationArn": "", "NotificationEvents": [], "NotificationType": ""},
        "CloudWatchOutputConfig": {"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false},
    })
}

fn check_id(id: &str) -> Result<(), ServiceError> {
    match uuid::Uuid::parse_str(id) {
        Ok(_) if id.len() == 36 => Ok(()),
        _ => Err(ServiceError::new(
            "InvalidCommandId",
            format!("{id} is not a command id"),
        )),
    }
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
        .unwrap_or_default()
}

pub(super) fn get_invocation(
    world: &World,
    ctx: &CallContext,
    body: &Value,
) -> Result<Value, ServiceError> {
    let (id, instance) = (required(body, "CommandId")?, required(body, "InstanceId")?);
    check_id(id)?;
    let record = world
        .ssm
        .commands
        .get(id)
        .filter(|command| ctx.now >= command.visible);
    let found = record.and_then(|command| Some((command, command.invocation(instance)?)));
    let (command, invocation) =
        found.ok_or_else(|| ServiceError::new("InvocationDoesNotExist", ""))?;
    let plugin = chosen_plugin(invocation, text(body, "PluginName"))?;
    let over = plugin.is_some_and(|plugin| plugin.ended.is_some()) && invocation.detail.terminal();
    let shown = plugin.filter(|_| over);
    let elapsed = shown
        .and_then(|plugin| Some((plugin.ended? - plugin.started?).num_milliseconds()))
        .unwrap_or(0);
    Ok(json!({
        "CommandId": id, "InstanceId": instance, "Comment": command.comment, "DocumentName": command.document,
        "DocumentVersion": command.version, "PluginName": plugin.map(|plugin| plugin.step.name.as_str()).unwrap_or_default(),
        "ResponseCode": shown.map_or(-1, |plugin| plugin.code),
        "ExecutionStartDateTime": time(plugin.and_then(|plugin| plugin.started)),
        "ExecutionElapsedTime": if over { format!("PT{}.{:03}S", elapsed / 1000, elapsed % 1000) } else { String::new() },
        "ExecutionEndDateTime": time(shown.and_then(|plugin| plugin.ended)),
        "Status": invocation.detail.status(), "StatusDetails": invocation.detail.to_string(),
        "StandardOutputContent": shown.map(|plugin| plugin.stdout.as_str()).unwrap_or_default(), "StandardOutputUrl": "",
        "StandardErrorContent": shown.map(|plugin| plugin.stderr.as_str()).unwrap_or_default(), "StandardErrorUrl": "",
        "CloudWatchOutputConfig": {"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false},
    }))
}

fn chosen_plugin<'a>(
    invocation: &'a InvocationRecord,
    name: Option<&str>,
) -> Result<Option<&'a Plugin>, ServiceError> {
    match name {
        Some(name) => {
            let plugin = invocation
                .plugins
                .iter()
                .find(|plugin| plugin.step.name == name || plugin.step.action == name);
            plugin.map(Some).ok_or_else(|| {
                ServiceError::new(
                    "InvalidPluginName",
                    format!("The plugin name {name} is not valid."),
                )
            })
        }
        None if invocation.plugins.len() > 1 => Err(ServiceError::new(
            "InvalidPluginName",
            "The document has more than one step: PluginName is required.",
        )),
        None => Ok(invocation.plugins.first()),
    }
}

/// Filters of the List calls.
fn fits(
    command: &CommandRecord,
    filters: &[Value],
    status: &str,
    detail: &str,
) -> Result<bool, ServiceError> {
    for filter in filters {
        let (key, value) = (
            text(filter, "key").unwrap_or_default(),
            text(filter, "value").unwrap_or_default(),
        );
        let moment = || {
            moment(&json!(value)).ok_or_else(|| {
                ServiceError::new("InvalidFilterKey", format!("{value} is not a time"))
            })
        };
        let fits = match key {
            "InvokedAfter" => command.requested > moment()?,
            "InvokedBefore" => command.requested < moment()?,
            "Status" => value == status || value == detail.replace(' ', ""),
            "DocumentName" => value == command.document,
            "ExecutionStage" => {
                (value == "Complete") != matches!(status, "Pending" | "InProgress" | "Cancelling")
            }
            other => {
                return Err(ServiceError::new(
                    "InvalidFilterKey",
                    format!("The filter key {other} is not valid."),
                ));
            }
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn list_invocations(
    world: &World,
    ctx: &CallContext,
    body: &Value,
) -> Result<Value, ServiceError> {
    let id = text(body, "CommandId");
    if let Some(id) = id {
        check_id(id)?;
    }
    let details = body
        .get("Details")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let instance = text(body, "InstanceId");
    let mut found = Vec::new();
    let named = |command: &CommandRecord| {
        ctx.now >= command.visible && id.is_none_or(|id| id == command.id)
    };
    for command in newest_first(world, named) {
        for invocation in command
            .invocations
            .iter()
            .filter(|invocation| instance.is_none_or(|id| id == invocation.instance))
        {
            if fits(
                command,
                list(body, "Filters"),
                invocation.detail.status(),
                &invocation.detail.to_string(),
            )? {
                let plugins = if details {
                    invocation
                        .plugins
                        .iter()
                        .map(|plugin| plugin_value(invocation, plugin))
                        .collect()
                } else {
                    Vec::new()
                };
                found.push(json!({
                    "CommandId": command.id, "InstanceId": invocation.instance, "InstanceName": invocation.instance_name,
                    "Comment": command.comment, "DocumentName": command.document, "DocumentVersion": command.version,
                    "RequestedDateTime": epoch(command.requested), "Status": invocation.detail.status(),
                    "StatusDetails": invocation.detail.to_string(), "TraceOutput": "", "StandardOutputUrl": "", "StandardErrorUrl": "",
                    "CommandPlugins": plugins, "ServiceRole": "",
                }));
            }
        }
    }
    let (found, next) = page(
        &found,
        text(body, "NextToken"),
        page_size(body, 50, 1, 50)?,
        "InvalidNextToken",
    )?;
    Ok(without_nulls(
        json!({"CommandInvocations": found, "NextToken": next}),
    ))
}

fn plugin_value(invocation: &InvocationRecord, plugin: &Plugin) -> Value {
    let output = match (plugin.stdout.as_str(), plugin.stderr.as_str()) {
        (out, "") => out.to_owned(),
        (out, err) => format!("{out}\n----------ERROR-------\n{err}"),
    };
    let over = invocation.detail.terminal() && plugin.ended.is_some();
    let output: String = if over {
        output.chars().take(DETAIL_OUTPUT).collect()
    } else {
        String::new()
    };
    without_nulls(json!({
        "Name": plugin.step.name, "Status": plugin.detail.status(), "StatusDetails": plugin.detail.to_string(),
        "ResponseCode": if over { plugin.code } else { -1 }, "ResponseStartDateTime": plugin.started.map(epoch),
        "ResponseFinishDateTime": plugin.ended.filter(|_| over).map(epoch), "Output": output,
        "StandardOutputUrl": "", "StandardErrorUrl": "", "OutputS3BucketName": "", "OutputS3KeyPrefix": "",
    }))
}

fn newest_first(
    world: &World,
    wanted: impl Fn(&CommandRecord) -> bool,
) -> impl Iterator<Item = &CommandRecord> {
    let all = world.ssm.commands.values();
    let mut commands: Vec<&CommandRecord> = all.filter(|record| wanted(record)).collect();
    commands.sort_by(|one, two| {
        two.requested
            .cmp(&one.requested)
            .then_with(|| one.id.cmp(&two.id))
    });
    commands.into_iter()
}

pub(super) fn list_commands(world: &World, body: &Value) -> Result<Value, ServiceError> {
    let id = text(body, "CommandId");
    if let Some(id) = id {
        check_id(id)?;
    }
    let instance = text(body, "InstanceId");
    let mut found = Vec::new();
    // Those asked for first: a long run has thousands of others.
    let named = |record: &CommandRecord| {
        id.is_none_or(|id| id == record.id)
            && instance.is_none_or(|instance| record.invocation(instance).is_some())
    };
    for record in newest_first(world, named) {
        let (status, detail) = record.summary();
        if fits(record, list(body, "Filters"), status, detail)? {
            found.push(command(record));
        }
    }
    let (found, next) = page(
        &found,
        text(body, "NextToken"),
        page_size(body, 50, 1, 50)?,
        "InvalidNextToken",
    )?;
    Ok(without_nulls(json!({"Commands": found, "NextToken": next})))
}

//! Reading commands back: GetCommandInvocation, ListCommandInvocations, ListCommands.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::library::{page_size, without_nulls};
use super::record::{CommandRecord, Detail, InvocationRecord, Plugin};
use crate::caller::Caller;
use crate::json::{ServiceError, epoch, list, moment, page, required, text};
use crate::world::World;

/// Characters of output in ListCommandInvocations.
const DETAIL_OUTPUT: usize = 2_500;

/// Systems Manager's `Command` structure.
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

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `PT2.44S`, `PT1H0.271S`: hours and minutes only where there are some, no trailing zeros.
fn duration(elapsed: TimeDelta) -> String {
    let millis = elapsed.num_milliseconds().max(0);
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let mut text = "PT".to_owned();
    if hours > 0 {
        text.push_str(&format!("{hours}H"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}M"));
    }
    let seconds = format!("{}.{:03}", millis / 1000 % 60, millis % 1000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    if seconds != "0" || text == "PT" {
        text.push_str(&format!("{seconds}S"));
    }
    text
}

/// When a step ran, as GetCommandInvocation tells it: nothing until the agent has reported, and then an end that is
/// the start and the whole seconds of the time that it took.
fn times(plugin: Option<&Plugin>) -> (Option<String>, Option<String>, String) {
    let ran = plugin.and_then(|plugin| Some((plugin.started?, plugin.ended?)));
    match ran {
        Some((started, ended)) => {
            let elapsed = ended - started;
            let end = started + TimeDelta::seconds(elapsed.num_seconds());
            (Some(time(started)), Some(duration(elapsed)), time(end))
        }
        None => (None, None, String::new()),
    }
}

pub(super) fn get_invocation(
    world: &World,
    ctx: &Caller,
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
    let (start, elapsed, end) = times(shown);
    Ok(without_nulls(json!({
        "CommandId": id, "InstanceId": instance, "Comment": command.comment, "DocumentName": command.document,
        "DocumentVersion": command.version, "PluginName": plugin.map(|plugin| plugin.step.name.as_str()).unwrap_or_default(),
        "ResponseCode": shown.map_or(-1, |plugin| plugin.code),
        "ExecutionStartDateTime": start, "ExecutionElapsedTime": elapsed, "ExecutionEndDateTime": end,
        "Status": invocation.detail.status(), "StatusDetails": invocation.detail.to_string(),
        "StandardOutputContent": shown.map(|plugin| plugin.stdout.as_str()).unwrap_or_default(), "StandardOutputUrl": "",
        "StandardErrorContent": shown.map(|plugin| plugin.stderr.as_str()).unwrap_or_default(), "StandardErrorUrl": "",
        "CloudWatchOutputConfig": {"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false},
    })))
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

/// A filter of the List calls.
enum Filter {
    After(DateTime<Utc>),
    Before(DateTime<Utc>),
    Status(String),
    Document(String),
    /// True for those that are over.
    Complete(bool),
}

/// The filters of a request, wrong ones refused whatever there is to be listed.
fn filters(body: &Value) -> Result<Vec<Filter>, ServiceError> {
    list(body, "Filters")
        .iter()
        .map(|filter| {
            let (key, value) = (required(filter, "key")?, required(filter, "value")?);
            let moment = || {
                moment(&json!(value)).ok_or_else(|| {
                    ServiceError::validation(format!("The value {value} of {key} is not a time"))
                })
            };
            Ok(match key {
                "InvokedAfter" => Filter::After(moment()?),
                "InvokedBefore" => Filter::Before(moment()?),
                "Status" => Filter::Status(value.to_owned()),
                "DocumentName" => Filter::Document(value.to_owned()),
                "ExecutionStage" if matches!(value, "Executing" | "Complete") => {
                    Filter::Complete(value == "Complete")
                }
                "ExecutionStage" => {
                    return Err(ServiceError::validation(format!(
                        "The value {value} of ExecutionStage is neither Executing nor Complete"
                    )));
                }
                other => {
                    return Err(ServiceError::new(
                        "InvalidFilterKey",
                        format!("The filter key {other} is not valid."),
                    ));
                }
            })
        })
        .collect()
}

fn fits(command: &CommandRecord, filters: &[Filter], status: &str, detail: &str) -> bool {
    filters.iter().all(|filter| match filter {
        Filter::After(at) => command.requested > *at,
        Filter::Before(at) => command.requested < *at,
        Filter::Status(wanted) => wanted == status || wanted == detail,
        Filter::Document(name) => *name == command.document,
        Filter::Complete(over) => {
            *over != matches!(status, "Pending" | "InProgress" | "Cancelling")
        }
    })
}

pub(super) fn list_invocations(
    world: &World,
    ctx: &Caller,
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
    let filters = filters(body)?;
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
                &filters,
                invocation.detail.status(),
                &invocation.detail.to_string(),
            ) {
                let plugins = if details {
                    invocation
                        .plugins
                        .iter()
                        .map(|plugin| plugin_value(invocation, plugin, &world.region))
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
                    "NotificationConfig": {"NotificationArn": "", "NotificationEvents": [], "NotificationType": ""},
                    "CloudWatchOutputConfig": {"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false},
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

fn plugin_value(invocation: &InvocationRecord, plugin: &Plugin, region: &str) -> Value {
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
        "StandardOutputUrl": "", "StandardErrorUrl": "", "OutputS3Region": region, "OutputS3BucketName": "",
        "OutputS3KeyPrefix": "",
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
    let filters = filters(body)?;
    let mut found = Vec::new();
    // Those asked for first: a long run has thousands of others.
    let named = |record: &CommandRecord| {
        id.is_none_or(|id| id == record.id)
            && instance.is_none_or(|instance| record.invocation(instance).is_some())
    };
    for record in newest_first(world, named) {
        let (status, detail) = record.summary();
        if fits(record, &filters, status, detail) {
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

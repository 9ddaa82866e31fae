//! CloudWatch: custom metrics in and out. The dispatcher speaks its three protocols; here all is JSON values.

mod read;
mod series;
mod write;

use serde_json::{Value, json};

use super::json::{ServiceError, page, text};
use super::{Lab, caller::Caller};
pub use series::{BackupPoint, CloudWatchState};

/// Answers one CloudWatch operation, whatever the protocol.
///
/// # Errors
/// CloudWatch's codes in awsQuery's spelling (`InvalidParameterValue`, `MissingParameter`, …).
pub fn handle(
    lab: &Lab,
    ctx: &Caller,
    operation: &str,
    input: Value,
) -> Result<Value, ServiceError> {
    match operation {
        "PutMetricData" => write::put(&mut lab.world_of(&ctx.region).cloudwatch, ctx.now, &input),
        "GetMetricData" => read::get_data(&lab.world_of(&ctx.region).cloudwatch, ctx.now, &input),
        "GetMetricStatistics" => {
            read::get_statistics(&lab.world_of(&ctx.region).cloudwatch, ctx.now, &input)
        }
        "ListMetrics" => read::list_metrics(&lab.world_of(&ctx.region).cloudwatch, ctx.now, &input),
        // No operation of the lab makes an alarm, so there is none.
        "DescribeAlarms" => {
            let token = text(&input, "NextToken");
            page::<Value>(&[], token, 100, "InvalidNextToken")?;
            Ok(json!({"CompositeAlarms": [], "MetricAlarms": []}))
        }
        other => Err(ServiceError::new(
            "InvalidAction",
            format!("The lab's CloudWatch has no operation {other}"),
        )),
    }
}

#[cfg(test)]
mod tests;

//! Reading backup metrics.

use chrono::Duration;

use crate::domain::ids::InstanceId;
use crate::domain::metrics::Series;
use crate::domain::problem::Problem;

use crate::ops::Ops;

/// The backup metrics of one instance over the last `days` days (at most 455: CloudWatch keeps no more).
///
/// # Errors
/// Whatever CloudWatch answered.
pub async fn read(ops: &Ops, instance: &InstanceId, days: u32) -> Result<Vec<Series>, Problem> {
    let to = ops.clock.now();
    let from = to - Duration::days(i64::from(days.clamp(1, 455)));
    ops.session
        .backup_metrics(&ops.namespace, instance, from, to)
        .await
}

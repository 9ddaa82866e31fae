//! The values of a job that is over, for its metrics: the same whether its own console publishes them or
//! whoever resumed the job.

use super::MetricValue;
use crate::metrics::Metric;

/// A snapshot of a set that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Copied<'a> {
    /// Device name; where it is empty there is nothing to publish under.
    pub drive: &'a str,
    /// It failed, or its end was never seen.
    pub errored: bool,
    /// Seconds from the job's start to its completion, where that is known.
    pub seconds: Option<f64>,
    /// Full size of its written blocks in bytes, where EC2 tells it.
    pub full_bytes: Option<u64>,
    /// Freeze window in milliseconds, for what was covered by a freeze.
    pub window_ms: Option<u64>,
}

/// What there is to publish of a set.
pub fn of_set<'a>(set: impl Iterator<Item = Copied<'a>>) -> Vec<MetricValue> {
    let mut data = Vec::new();
    for one in set.filter(|one| !one.drive.is_empty()) {
        let mut say = |metric, value| data.push(datum(metric, one.drive, value));
        say(Metric::Errors, if one.errored { 1.0 } else { 0.0 });
        if !one.errored {
            if let Some(seconds) = one.seconds {
                say(Metric::ElapsedTime, seconds.max(0.0));
            }
            // The size of the volume would be another measure under the same name: no value then.
            if let Some(bytes) = one.full_bytes {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "sizes of volumes fit into 52 bits"
                )]
                say(Metric::Size, bytes as f64);
            }
        }
        if let Some(ms) = one.window_ms.and_then(|ms| u32::try_from(ms).ok()) {
            say(Metric::FreezeDuration, f64::from(ms));
        }
    }
    data
}

/// What there is to publish of a job that failed without a set: an error of each covered drive.
pub fn of_none<'a>(drives: impl Iterator<Item = &'a str>) -> Vec<MetricValue> {
    drives
        .map(|drive| datum(Metric::Errors, drive, 1.0))
        .collect()
}

fn datum(metric: Metric, drive: &str, value: f64) -> MetricValue {
    MetricValue {
        metric,
        drive: drive.to_owned(),
        value,
    }
}

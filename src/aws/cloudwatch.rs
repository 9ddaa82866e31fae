//! CloudWatch: the metrics that jobs publish, and reading them back.

use aws_sdk_cloudwatch::types as sdk;
use aws_smithy_types_convert::date_time::DateTimeExt;
use chrono::{DateTime, Duration, Utc};

use super::convert;
use super::error::problem;
use super::pages::all_pages;
use super::session::Session;
use crate::domain::ids::InstanceId;
use crate::domain::metrics::{Metric, Series};
use crate::domain::problem::{Kind, Problem};

/// One value to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricDatum {
    /// Which metric.
    pub metric: Metric,
    /// Dimension `Drive`: the device name.
    pub drive: String,
    /// The value, in the metric's unit.
    pub value: f64,
}

/// Queries per GetMetricData call (aws-facts 6.2: 500).
const QUERIES: usize = 500;

/// The period that CloudWatch still keeps for data of that age, in seconds (aws-facts 6.2), no finer
/// than an hour: backups run daily or hourly.
fn period(age: Duration) -> i32 {
    if age <= Duration::days(15) {
        3_600
    } else if age <= Duration::days(120) {
        6 * 3_600
    } else {
        24 * 3_600
    }
}

fn dimension(name: &str, value: &str) -> sdk::Dimension {
    sdk::Dimension::builder().name(name).value(value).build()
}

impl Session {
    /// Publishes a job's values. Repeating it only repeats a data point, so the SDK's retries apply.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn publish(
        &self,
        namespace: &str,
        server: &InstanceId,
        at: DateTime<Utc>,
        data: &[MetricDatum],
    ) -> Result<(), Problem> {
        let list = data
            .iter()
            .map(|d| {
                sdk::MetricDatum::builder()
                    .metric_name(d.metric.to_string())
                    .dimensions(dimension("Server", server.as_str()))
                    .dimensions(dimension("Drive", &d.drive))
                    .timestamp(aws_smithy_types::DateTime::from_chrono_utc(at))
                    .unit(sdk::StandardUnit::from(d.metric.unit()))
                    .value(d.value)
                    .build()
            })
            .collect();
        self.cloudwatch_once
            .put_metric_data()
            .namespace(namespace)
            .set_metric_data(Some(list))
            .send()
            .await
            .map(drop)
            .map_err(|e| problem(&format!("publish metrics of {server}"), &e))
    }

    /// The backup metrics of one instance from `from` to `to`, a series per metric and drive. A period
    /// without data has no point.
    ///
    /// # Errors
    /// Whatever AWS answered; a query that CloudWatch could not complete fails the whole.
    pub async fn backup_metrics(
        &self,
        namespace: &str,
        server: &InstanceId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Series>, Problem> {
        let period = period(to - from);
        let found = self.drives(namespace, server).await?;
        let mut all = Vec::new();
        for part in found.chunks(QUERIES) {
            all.extend(
                self.read_series(namespace, server, part, period, from, to)
                    .await?,
            );
        }
        Ok(all)
    }

    /// Metric and drive pairs that exist for a server. ListMetrics forgets what has had no data for
    /// two weeks (aws-facts 6.2): the devices of its own snapshots are added by the caller if needed.
    async fn drives(
        &self,
        namespace: &str,
        server: &InstanceId,
    ) -> Result<Vec<(Metric, String)>, Problem> {
        let what = &format!("list metrics of {server}");
        let mut found = all_pages(what, move |token| async move {
            let out = self
                .cloudwatch
                .list_metrics()
                .namespace(namespace)
                .dimensions(
                    sdk::DimensionFilter::builder()
                        .name("Server")
                        .value(server.as_str())
                        .build(),
                )
                .set_next_token(token)
                .send()
                .await
                .map_err(|e| problem(what, &e))?;
            let rows = out.metrics().iter().filter_map(named).collect();
            Ok((rows, out.next_token().map(str::to_owned)))
        })
        .await?;
        found.sort();
        found.dedup();
        Ok(found)
    }

    async fn read_series(
        &self,
        namespace: &str,
        server: &InstanceId,
        wanted: &[(Metric, String)],
        period: i32,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Series>, Problem> {
        let what = format!("read metrics of {server}");
        let mut series: Vec<Series> = wanted
            .iter()
            .map(|(metric, drive)| Series {
                metric: *metric,
                server: server.clone(),
                drive: drive.clone(),
                period_s: u32::try_from(period).unwrap_or_default(),
                points: Vec::new(),
            })
            .collect();
        let queries: Vec<sdk::MetricDataQuery> = series
            .iter()
            .enumerate()
            .map(|(n, s)| query(namespace, n, s, period))
            .collect();
        let mut token: Option<String> = None;
        loop {
            let out = self
                .cloudwatch
                .get_metric_data()
                .set_metric_data_queries(Some(queries.clone()))
                .start_time(aws_smithy_types::DateTime::from_chrono_utc(align(
                    from, period,
                )))
                .end_time(aws_smithy_types::DateTime::from_chrono_utc(
                    align(to, period) + Duration::seconds(period.into()),
                ))
                .scan_by(sdk::ScanBy::TimestampAscending)
                .set_next_token(token.take())
                .send()
                .await
                .map_err(|e| problem(&what, &e))?;
            for result in out.metric_data_results() {
                if let Some(status) = result.status_code()
                    && !matches!(status.as_str(), "Complete" | "PartialData")
                {
                    return Err(Problem::new(
                        Kind::Aws,
                        &what,
                        format!("CloudWatch answered {}", status.as_str()),
                        "check the permission cloudwatch:GetMetricData and try again",
                    ));
                }
                let Some(target) = result
                    .id()
                    .and_then(|id| id.strip_prefix('q'))
                    .and_then(|n| n.parse::<usize>().ok())
                    .and_then(|n| series.get_mut(n))
                else {
                    continue;
                };
                for (at, value) in result.timestamps().iter().zip(result.values()) {
                    if let Some(at) = convert::time(Some(at)) {
                        target.points.push((at, *value));
                    }
                }
            }
            match out.next_token() {
                Some(next) if !next.is_empty() => token = Some(next.to_owned()),
                _ => break,
            }
        }
        for s in &mut series {
            s.points.sort_by_key(|(at, _)| *at);
        }
        Ok(series)
    }
}

/// A metric that we publish, and the drive that it is of.
fn named(metric: &sdk::Metric) -> Option<(Metric, String)> {
    let drive = metric
        .dimensions()
        .iter()
        .find(|d| d.name() == Some("Drive"))
        .and_then(|d| d.value())?;
    Some((metric.metric_name()?.parse().ok()?, drive.to_owned()))
}

fn query(namespace: &str, n: usize, s: &Series, period: i32) -> sdk::MetricDataQuery {
    let metric = sdk::Metric::builder()
        .namespace(namespace)
        .metric_name(s.metric.to_string())
        .dimensions(dimension("Server", s.server.as_str()))
        .dimensions(dimension("Drive", &s.drive))
        .build();
    // Errors add up; of the others the worst of a period is what an operator asks for.
    let stat = if s.metric == Metric::Errors {
        "Sum"
    } else {
        "Maximum"
    };
    sdk::MetricDataQuery::builder()
        .id(format!("q{n}"))
        .metric_stat(
            sdk::MetricStat::builder()
                .metric(metric)
                .period(period)
                .stat(stat)
                .build(),
        )
        .return_data(true)
        .build()
}

/// Down to a whole period: aligned reads are cached and cheaper (aws-facts 6.2).
fn align(at: DateTime<Utc>, period: i32) -> DateTime<Utc> {
    let period = i64::from(period);
    DateTime::from_timestamp(at.timestamp().div_euclid(period) * period, 0).unwrap_or(at)
}

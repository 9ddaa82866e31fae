//! GetMetricData, GetMetricStatistics and ListMetrics.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::series::{CloudWatchState, MetricKey, Stats, percentile};
use super::write::{dimensions, missing, unit, wrong};
use crate::bounds;
use crate::json::{ServiceError, list, moment, number, page, strings, text};

const QUERY_LIMIT: usize = 500;
const POINT_LIMIT: usize = 100_800;
const STATISTICS_LIMIT: usize = 1_440;
const METRICS_PAGE: usize = 500;
/// Without data for this long a metric is not listed, in seconds.
const FORGOTTEN: i64 = 14 * 86_400;
const PLAIN: [&str; 5] = ["Sum", "Average", "Minimum", "Maximum", "SampleCount"];

fn validation(message: impl Into<String>) -> ServiceError {
    ServiceError::new("ValidationError", message)
}

fn range(input: &Value) -> Result<(i64, i64), ServiceError> {
    let at = |key: &str| -> Result<DateTime<Utc>, ServiceError> {
        let value = input
            .get(key)
            .filter(|value| !value.is_null())
            .ok_or_else(|| missing(key))?;
        moment(value).ok_or_else(|| {
            wrong(format!(
                "The value {value} for parameter {key} is not a time."
            ))
        })
    };
    let (start, end) = (at("StartTime")?, at("EndTime")?);
    if start >= end {
        return Err(validation(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    Ok((start.timestamp(), end.timestamp()))
}

fn checked_period(value: Option<&Value>) -> Result<i64, ServiceError> {
    let period = value.and_then(number).ok_or_else(|| missing("Period"))?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked below: a fraction or an excess is refused"
    )]
    let whole = period as i64;
    let allowed = [1, 5, 10, 20, 30].contains(&whole) || (whole > 0 && whole % 60 == 0);
    if period.fract() != 0.0 || !allowed || whole > 365 * 86_400 {
        return Err(wrong(format!(
            "The value {period} for parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60."
        )));
    }
    Ok(whole)
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
fn seconds(at: i64) -> Value {
    json!(at as f64)
}

struct Series {
    id: String,
    label: String,
    points: Vec<(i64, f64)>,
}

pub(super) fn get_data(
    state: &CloudWatchState,
    now: DateTime<Utc>,
    input: &Value,
) -> Result<Value, ServiceError> {
    let queries = list(input, "MetricDataQueries");
    if queries.is_empty() {
        return Err(missing("MetricDataQueries"));
    }
    if queries.len() > QUERY_LIMIT {
        return Err(validation(format!(
            "The collection MetricDataQueries must not have a size greater than {QUERY_LIMIT}."
        )));
    }
    let range = range(input)?;
    let ascending = match text(input, "ScanBy").unwrap_or("TimestampDescending") {
        "TimestampAscending" => true,
        "TimestampDescending" => false,
        other => {
            return Err(wrong(format!(
                "The value {other} for parameter ScanBy is not valid."
            )));
        }
    };
    let size = input
        .get("MaxDatapoints")
        .and_then(number)
        .map_or(POINT_LIMIT, |size| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "clamped to the limit"
            )]
            let size = size.clamp(1.0, POINT_LIMIT as f64) as usize;
            size
        });
    let mut all: Vec<Series> = Vec::new();
    let mut budget = bounds::VALUES_READ;
    for query in queries {
        let id = text(query, "Id").ok_or_else(|| missing("MetricDataQueries.member.Id"))?;
        let legal = id.starts_with(|c: char| c.is_ascii_lowercase())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !legal || id.len() > 255 {
            return Err(validation(format!(
                "The value {id:?} for parameter Id must begin with a lower-case letter and hold letters, digits and _."
            )));
        }
        if all.iter().any(|series| series.id == id) {
            return Err(validation(format!("The id {id} was used twice.")));
        }
        let mut series = evaluate(state, now, range, id, query, &mut budget)?;
        if !ascending {
            series.points.reverse();
        }
        let returned = !matches!(query.get("ReturnData"), Some(Value::Bool(false)))
            && text(query, "ReturnData") != Some("false");
        if returned {
            all.push(series);
        }
    }
    let flat: Vec<usize> = all
        .iter()
        .enumerate()
        .flat_map(|(index, series)| std::iter::repeat_n(index, series.points.len()))
        .collect();
    let token = text(input, "NextToken");
    let (_, next) = page(&flat, token, size, "InvalidNextToken")?;
    let from = token
        .and_then(|token| token.strip_prefix("lab-"))
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0);
    let results = window(&all, from, from + size);
    let mut answer = Map::from_iter([
        ("MetricDataResults".to_owned(), Value::Array(results)),
        ("Messages".to_owned(), json!([])),
    ]);
    if let Some(next) = next {
        answer.insert("NextToken".to_owned(), json!(next));
    }
    Ok(Value::Object(answer))
}

/// The part of all points from `from` to `to`; series without any point are told on the first page.
fn window(all: &[Series], from: usize, to: usize) -> Vec<Value> {
    let mut results = Vec::new();
    let mut start = 0;
    for series in all {
        let end = start + series.points.len();
        let (low, high) = (from.clamp(start, end) - start, to.clamp(start, end) - start);
        if low < high || (series.points.is_empty() && from == 0) {
            let part = &series.points[low..high];
            results.push(json!({
                "Id": series.id, "Label": series.label,
                "Timestamps": part.iter().map(|(at, _)| seconds(*at)).collect::<Vec<_>>(),
                "Values": part.iter().map(|(_, value)| *value).collect::<Vec<f64>>(),
                "StatusCode": if start + high < end { "PartialData" } else { "Complete" },
            }));
        }
        start = end;
    }
    results
}

fn evaluate(
    state: &CloudWatchState,
    now: DateTime<Utc>,
    range: (i64, i64),
    id: &str,
    query: &Value,
    budget: &mut usize,
) -> Result<Series, ServiceError> {
    let Some(stat) = query.get("MetricStat").filter(|stat| stat.is_object()) else {
        return Err(validation(format!(
            "Query {id}: the lab evaluates MetricStat only, no expressions."
        )));
    };
    let key = key(stat
        .get("Metric")
        .ok_or_else(|| missing("MetricStat.Metric"))?)?;
    let period = checked_period(stat.get("Period"))?;
    let name = text(stat, "Stat").ok_or_else(|| missing("MetricStat.Stat"))?;
    if !PLAIN.contains(&name) && percentile(name).is_none() {
        return Err(validation(format!(
            "The value {name} for parameter Stat is not one that the lab has."
        )));
    }
    *budget = budget
        .checked_sub(state.values_of(&key, range))
        .ok_or_else(|| {
            validation(format!(
                "The queries read more than {} values: shorten the time range or ask in parts.",
                bounds::VALUES_READ
            ))
        })?;
    let label = text(query, "Label").map_or_else(|| key.name.clone(), str::to_owned);
    let periods = state.periods(&key, range, period, now.timestamp(), unit(stat)?);
    let points = periods
        .iter()
        .filter_map(|(at, stats)| Some((*at, stats.statistic(name)?)))
        .collect();
    Ok(Series {
        id: id.to_owned(),
        label,
        points,
    })
}

fn key(metric: &Value) -> Result<MetricKey, ServiceError> {
    Ok(MetricKey {
        namespace: text(metric, "Namespace")
            .ok_or_else(|| missing("Namespace"))?
            .to_owned(),
        name: text(metric, "MetricName")
            .ok_or_else(|| missing("MetricName"))?
            .to_owned(),
        dimensions: dimensions(metric)?,
    })
}

pub(super) fn get_statistics(
    state: &CloudWatchState,
    now: DateTime<Utc>,
    input: &Value,
) -> Result<Value, ServiceError> {
    let key = key(input)?;
    let range = range(input)?;
    let period = checked_period(input.get("Period"))?;
    let (plain, extended) = (
        strings(input, "Statistics"),
        strings(input, "ExtendedStatistics"),
    );
    if plain.is_empty() == extended.is_empty() {
        return Err(ServiceError::new(
            "InvalidParameterCombination",
            "Specify either Statistics or ExtendedStatistics.",
        ));
    }
    if let Some(unknown) = plain.iter().find(|name| !PLAIN.contains(&name.as_str())) {
        return Err(wrong(format!(
            "The value {unknown} for parameter Statistics is not valid."
        )));
    }
    if let Some(unknown) = extended.iter().find(|name| percentile(name).is_none()) {
        return Err(wrong(format!(
            "The value {unknown} for parameter ExtendedStatistics is not valid."
        )));
    }
    let asked = usize::try_from((range.1 - range.0) / period).unwrap_or(usize::MAX);
    if asked > STATISTICS_LIMIT {
        return Err(ServiceError::new(
            "InvalidParameterCombination",
            format!(
                "You have requested up to {asked} datapoints, which exceeds the limit of {STATISTICS_LIMIT}. You may reduce the datapoints requested by increasing Period, or decreasing the time range."
            ),
        ));
    }
    let periods: BTreeMap<i64, Stats> =
        state.periods(&key, range, period, now.timestamp(), unit(input)?);
    let points: Vec<Value> = periods
        .iter()
        .map(|(at, stats)| {
            let mut point = Map::from_iter([("Timestamp".to_owned(), seconds(*at))]);
            point.extend(
                plain
                    .iter()
                    .filter_map(|name| Some((name.clone(), json!(stats.statistic(name)?)))),
            );
            let percentiles: Map<String, Value> = extended
                .iter()
                .filter_map(|name| Some((name.clone(), json!(stats.statistic(name)?))))
                .collect();
            if !percentiles.is_empty() {
                point.insert("ExtendedStatistics".to_owned(), Value::Object(percentiles));
            }
            point.insert("Unit".to_owned(), json!(stats.unit));
            Value::Object(point)
        })
        .collect();
    Ok(json!({"Label": key.name, "Datapoints": points}))
}

pub(super) fn list_metrics(
    state: &CloudWatchState,
    now: DateTime<Utc>,
    input: &Value,
) -> Result<Value, ServiceError> {
    let recent = match text(input, "RecentlyActive") {
        None => FORGOTTEN,
        Some("PT3H") => 3 * 3600,
        Some(other) => {
            return Err(wrong(format!(
                "The value {other} for parameter RecentlyActive must be PT3H."
            )));
        }
    };
    let since = now.timestamp() - recent;
    let filters = list(input, "Dimensions");
    let found: Vec<Value> = state
        .metrics
        .iter()
        .filter(|(key, series)| {
            text(input, "Namespace").is_none_or(|namespace| namespace == key.namespace)
                && text(input, "MetricName").is_none_or(|name| name == key.name)
                && series.last_key_value().is_some_and(|(at, _)| *at >= since)
                && filters.iter().all(|filter| {
                    let value = text(filter, "Value");
                    key.dimensions.iter().any(|(name, actual)| {
                        text(filter, "Name") == Some(name)
                            && value.is_none_or(|value| value == actual)
                    })
                })
        })
        .map(|(key, _)| {
            let dimensions: Vec<Value> = key
                .dimensions
                .iter()
                .map(|(name, value)| json!({"Name": name, "Value": value}))
                .collect();
            json!({"Namespace": key.namespace, "MetricName": key.name, "Dimensions": dimensions})
        })
        .collect();
    let (found, next) = page(
        &found,
        text(input, "NextToken"),
        METRICS_PAGE,
        "InvalidParameterValue",
    )?;
    let mut answer = Map::from_iter([("Metrics".to_owned(), Value::Array(found))]);
    if let Some(next) = next {
        answer.insert("NextToken".to_owned(), json!(next));
    }
    Ok(Value::Object(answer))
}

//! PutMetricData.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::series::{CloudWatchState, MetricKey, Stats};
use crate::json::{ServiceError, list, moment, number, text};

const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

/// Largest magnitude of a value.
const VALUE_LIMIT: f64 = 2.348_542_582_773_833e108;

pub(super) fn wrong(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidParameterValue", message)
}

pub(super) fn missing(what: &str) -> ServiceError {
    ServiceError::new(
        "MissingParameter",
        format!("The parameter {what} is required."),
    )
}

/// The dimensions of a metric, sorted.
pub(super) fn dimensions(value: &Value) -> Result<Vec<(String, String)>, ServiceError> {
    let mut out = Vec::new();
    if list(value, "Dimensions").len() > 30 {
        return Err(wrong(
            "The collection Dimensions must not have a size greater than 30.",
        ));
    }
    for dimension in list(value, "Dimensions") {
        let name = text(dimension, "Name").ok_or_else(|| missing("Dimensions.Name"))?;
        let value = text(dimension, "Value").ok_or_else(|| missing("Dimensions.Value"))?;
        if name.is_empty() || name.len() > 255 || name.starts_with(':') || !name.is_ascii() {
            return Err(wrong(format!(
                "The dimension name {name:?} must be 1 to 255 ASCII characters and not begin with a colon."
            )));
        }
        if value.trim().is_empty() || value.len() > 1024 || !value.is_ascii() {
            return Err(wrong(format!(
                "The value of the dimension {name} must be 1 to 1024 ASCII characters."
            )));
        }
        if out.iter().any(|(other, _)| other == name) {
            return Err(wrong(format!("The dimension {name} was given twice.")));
        }
        out.push((name.to_owned(), value.to_owned()));
    }
    out.sort();
    Ok(out)
}

fn real(value: &Value, what: &str) -> Result<f64, ServiceError> {
    number(value)
        .filter(|number| number.is_finite() && number.abs() <= VALUE_LIMIT)
        .ok_or_else(|| {
            wrong(format!(
                "The value {value} for parameter {what} is not a number that CloudWatch takes."
            ))
        })
}

pub(super) fn put(
    state: &mut CloudWatchState,
    now: DateTime<Utc>,
    input: &Value,
) -> Result<Value, ServiceError> {
    let namespace = text(input, "Namespace").ok_or_else(|| missing("Namespace"))?;
    if namespace.is_empty() || namespace.len() > 255 || namespace.starts_with(':') {
        return Err(wrong(
            "The value for parameter Namespace must be 1 to 255 characters and not begin with a colon.",
        ));
    }
    if namespace.starts_with("AWS/") {
        return Err(wrong("The value AWS/ for parameter Namespace is invalid."));
    }
    let data = list(input, "MetricData");
    if data.is_empty() {
        return Err(missing("MetricData"));
    }
    if data.len() > 1000 {
        return Err(wrong(
            "The collection MetricData must not have a size greater than 1000.",
        ));
    }
    // All or nothing: one wrong datum refuses the request.
    let points = data
        .iter()
        .map(|datum| point(namespace, now, datum))
        .collect::<Result<Vec<_>, _>>()?;
    if !state.has_room(&points, now) {
        return Err(ServiceError::new(
            "LimitExceeded",
            "The lab keeps no more metrics or values in this region.",
        ));
    }
    for (key, at, stats) in points {
        if let Some(stats) = stats {
            state.add(key, at, stats);
        }
    }
    Ok(json!({}))
}

fn point(
    namespace: &str,
    now: DateTime<Utc>,
    datum: &Value,
) -> Result<(MetricKey, DateTime<Utc>, Option<Stats>), ServiceError> {
    let name = text(datum, "MetricName")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| missing("MetricData.member.MetricName"))?;
    if name.len() > 255 {
        return Err(wrong("The metric name must be at most 255 characters."));
    }
    let unit = unit(datum)?.unwrap_or("None");
    let at = match datum.get("Timestamp").filter(|value| !value.is_null()) {
        None => now,
        Some(value) => moment(value).ok_or_else(|| wrong(format!("{value} is not a time")))?,
    };
    if at < now - Duration::days(14) || at > now + Duration::hours(2) {
        return Err(wrong(format!(
            "The timestamp {at} for metric {name} is not within two weeks past and two hours ahead."
        )));
    }
    if let Some(resolution) = datum
        .get("StorageResolution")
        .and_then(number)
        .filter(|resolution| ![1.0, 60.0].contains(resolution))
    {
        return Err(wrong(format!(
            "The value {resolution} for parameter StorageResolution is neither 1 nor 60."
        )));
    }
    let key = MetricKey {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        dimensions: dimensions(datum)?,
    };
    Ok((key, at, stats(datum, unit)?))
}

/// The unit that a datum or a question names.
pub(super) fn unit(value: &Value) -> Result<Option<&str>, ServiceError> {
    match text(value, "Unit") {
        Some(unit) if !UNITS.contains(&unit) => Err(wrong(format!(
            "The value {unit} for parameter Unit is not a unit."
        ))),
        unit => Ok(unit),
    }
}

fn stats(datum: &Value, unit: &str) -> Result<Option<Stats>, ServiceError> {
    let present = |key: &str| datum.get(key).filter(|value| !value.is_null());
    let values = list(datum, "Values");
    if values.is_empty() && !list(datum, "Counts").is_empty() {
        return Err(ServiceError::new(
            "InvalidParameterCombination",
            "The parameter Counts needs the parameter Values.",
        ));
    }
    match (
        present("Value"),
        present("StatisticValues"),
        values.is_empty(),
    ) {
        (Some(value), None, true) => Ok(Stats::of(vec![(real(value, "Value")?, 1.0)], unit)),
        (None, Some(set), true) => {
            let member = |key: &str| {
                set.get(key)
                    .ok_or_else(|| missing(key))
                    .and_then(|value| real(value, key))
            };
            let (count, sum, min, max) = (
                member("SampleCount")?,
                member("Sum")?,
                member("Minimum")?,
                member("Maximum")?,
            );
            if count < 0.0 || min > max {
                return Err(wrong(
                    "The statistic set is not one: its count is negative or its minimum above its maximum.",
                ));
            }
            Ok((count > 0.0).then(|| Stats {
                count,
                sum,
                min,
                max,
                values: None,
                unit: unit.to_owned(),
            }))
        }
        (None, None, false) => {
            let counts = list(datum, "Counts");
            if values.len() > 150 {
                return Err(wrong(
                    "The collection Values must not have a size greater than 150.",
                ));
            }
            if !counts.is_empty() && counts.len() != values.len() {
                return Err(wrong(
                    "The collections Values and Counts must have the same size.",
                ));
            }
            let pairs = values.iter().enumerate().map(|(index, value)| {
                let count = counts
                    .get(index)
                    .map_or(Ok(1.0), |count| real(count, "Counts"))?;
                if count < 0.0 {
                    Err(wrong("A count is negative."))
                } else {
                    Ok((real(value, "Values")?, count))
                }
            });
            Ok(Stats::of(pairs.collect::<Result<_, _>>()?, unit))
        }
        (None, None, true) => Err(missing("MetricData.member.Value")),
        _ => Err(ServiceError::new(
            "InvalidParameterCombination",
            "The parameters Value, Values and StatisticValues are mutually exclusive.",
        )),
    }
}

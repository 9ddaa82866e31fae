//! Metrics in, metrics out.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::{CloudWatchState, read, write};

fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-21T04:00:00Z")
        .unwrap()
        .with_timezone(&Utc)
}

fn ago(minutes: i32) -> f64 {
    f64::from(i32::try_from(now().timestamp()).unwrap() - minutes * 60)
}

fn datum(more: Value) -> Value {
    let mut datum = json!({"MetricName": "ElapsedTime", "Dimensions": [{"Name": "Server", "Value": "i-1"}], "Unit": "Seconds"});
    datum
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    datum
}

fn put(state: &mut CloudWatchState, data: &[Value]) -> Result<(), String> {
    let input = json!({"Namespace": "Organization/Backup", "MetricData": data});
    write::put(state, now(), &input)
        .map(|_| ())
        .map_err(|error| error.code)
}

fn query(id: &str, stat: &str, period: u32) -> Value {
    json!({"Id": id, "MetricStat": {"Stat": stat, "Period": period, "Metric": {"Namespace": "Organization/Backup", "MetricName": "ElapsedTime",
        "Dimensions": [{"Name": "Server", "Value": "i-1"}]}}})
}

#[test]
fn statistics_are_gathered_by_aligned_periods_newest_first() {
    let mut state = CloudWatchState::default();
    let data = [
        datum(json!({"Timestamp": ago(10), "Value": 4.0})),
        datum(json!({"Timestamp": ago(9), "Values": [1.0, 10.0], "Counts": [3.0, 1.0]})),
        datum(
            json!({"Timestamp": ago(2), "StatisticValues": {"SampleCount": 2, "Sum": 6.0, "Minimum": 1.0, "Maximum": 5.0}}),
        ),
    ];
    put(&mut state, &data).unwrap();
    let queries: Vec<Value> = ["Sum", "Average", "Minimum", "Maximum", "SampleCount", "p50"]
        .into_iter()
        .map(|stat| query(&stat.to_lowercase(), stat, 300))
        .collect();
    let input = json!({"MetricDataQueries": queries, "StartTime": ago(60), "EndTime": ago(-1)});
    let answer = read::get_data(&state, now(), &input).unwrap();
    let results = answer["MetricDataResults"].as_array().unwrap();
    let values: Vec<&Value> = results.iter().map(|result| &result["Values"]).collect();
    assert_eq!(
        values,
        [
            &json!([6.0, 17.0]),
            &json!([3.0, 3.4]),
            &json!([1.0, 1.0]),
            &json!([5.0, 10.0]),
            &json!([2.0, 5.0]),
            &json!([1.0])
        ]
    );
    assert_eq!(results[0]["Timestamps"], json!([ago(5), ago(10)]));
    assert_eq!(
        results[5]["Timestamps"],
        json!([ago(10)]),
        "a statistic set has no percentile"
    );
    assert_eq!(results[0]["StatusCode"], "Complete");
}

#[test]
fn a_page_ends_in_partial_data_and_the_next_goes_on() {
    let mut state = CloudWatchState::default();
    let data: Vec<Value> = (1..=5)
        .map(|minute| datum(json!({"Timestamp": ago(minute), "Value": f64::from(minute)})))
        .collect();
    put(&mut state, &data).unwrap();
    let mut input = json!({"MetricDataQueries": [query("a", "Sum", 60), query("b", "Sum", 60)], "StartTime": ago(60), "EndTime": ago(0),
        "ScanBy": "TimestampAscending", "MaxDatapoints": 3});
    let mut seen = Vec::new();
    loop {
        let page = read::get_data(&state, now(), &input).unwrap();
        for result in page["MetricDataResults"].as_array().unwrap() {
            seen.push((
                result["Id"].as_str().unwrap().to_owned(),
                result["Values"].as_array().unwrap().len(),
                result["StatusCode"].as_str().unwrap().to_owned(),
            ));
        }
        match page.get("NextToken") {
            Some(token) => input["NextToken"] = token.clone(),
            None => break,
        }
    }
    let expected = [
        ("a", 3, "PartialData"),
        ("a", 2, "Complete"),
        ("b", 1, "PartialData"),
        ("b", 3, "PartialData"),
        ("b", 1, "Complete"),
    ];
    assert_eq!(
        seen,
        expected.map(|(id, count, status)| (id.to_owned(), count, status.to_owned()))
    );
}

#[test]
fn wrong_data_is_refused_and_nothing_of_the_request_is_kept() {
    let mut state = CloudWatchState::default();
    let good = datum(json!({"Value": 1.0}));
    let cases = [
        (datum(json!({"Value": "NaN"})), "InvalidParameterValue"),
        (
            datum(json!({"Value": 1.0, "Unit": "Parsecs"})),
            "InvalidParameterValue",
        ),
        (
            datum(json!({"Value": 1.0, "Timestamp": ago(15 * 1440)})),
            "InvalidParameterValue",
        ),
        (
            datum(json!({"Value": 1.0, "Timestamp": ago(-121)})),
            "InvalidParameterValue",
        ),
        (
            datum(json!({"Value": 1.0, "Values": [1.0]})),
            "InvalidParameterCombination",
        ),
        (
            datum(json!({"Values": [1.0, 2.0], "Counts": [1.0]})),
            "InvalidParameterValue",
        ),
        (
            datum(json!({"Value": 1.0, "Dimensions": [{"Name": ":x", "Value": "y"}]})),
            "InvalidParameterValue",
        ),
        (datum(json!({})), "MissingParameter"),
    ];
    for (bad, code) in cases {
        assert_eq!(
            put(&mut state, &[good.clone(), bad.clone()]).unwrap_err(),
            code,
            "{bad}"
        );
    }
    assert_eq!(
        put(&mut state, &vec![good.clone(); 1001]).unwrap_err(),
        "InvalidParameterValue"
    );
    let aws = json!({"Namespace": "AWS/EBS", "MetricData": [good]});
    assert_eq!(
        write::put(&mut state, now(), &aws).unwrap_err().code,
        "InvalidParameterValue"
    );
    assert!(state.metrics.is_empty());
}

#[test]
fn the_seeded_past_is_there_by_the_hour_and_its_gaps_are_gaps() {
    let mut state = CloudWatchState::default();
    let days = (1..=360)
        .filter(|day| !(100..110).contains(day))
        .map(|day| (now() - Duration::days(day), 60.0, 1e9, 0.0, Some(70.0)));
    state.seed("i-1", "/dev/sdf", &days.collect::<Vec<_>>());
    let query = |period: u32| {
        json!({"StartTime": ago(400 * 1440), "EndTime": ago(0), "MetricDataQueries": [{"Id": "f", "Label": "freeze", "MetricStat": {"Stat": "Maximum",
            "Period": period, "Metric": {"Namespace": "Organization/Backup", "MetricName": "FreezeDuration",
            "Dimensions": [{"Name": "Server", "Value": "i-1"}, {"Name": "Drive", "Value": "/dev/sdf"}]}}}]})
    };
    let count = |period: u32| {
        let answer = read::get_data(&state, now(), &query(period)).unwrap();
        answer["MetricDataResults"][0]["Values"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count(86_400), 350);
    assert_eq!(
        (count(300), count(60)),
        (63, 15),
        "finer data is kept for a shorter time"
    );
    assert!(read::get_data(&state, now(), &query(90)).is_err());
    let metrics = |input: Value| {
        read::list_metrics(&state, now(), &input).unwrap()["Metrics"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(metrics(json!({"Namespace": "Organization/Backup"})), 4);
    assert_eq!(
        metrics(json!({"Dimensions": [{"Name": "Server", "Value": "i-2"}]})),
        0
    );
    assert_eq!(
        metrics(json!({"Dimensions": [{"Name": "Server"}], "MetricName": "Size"})),
        1
    );
    assert_eq!(metrics(json!({"RecentlyActive": "PT3H"})), 0);
}

#[test]
fn get_metric_statistics_limits_its_points() {
    let mut state = CloudWatchState::default();
    put(
        &mut state,
        &[datum(json!({"Timestamp": ago(5), "Value": 2.0}))],
    )
    .unwrap();
    let input = |start: f64| {
        json!({"Namespace": "Organization/Backup", "MetricName": "ElapsedTime", "Dimensions": [{"Name": "Server", "Value": "i-1"}],
            "StartTime": start, "EndTime": ago(0), "Period": 60, "Statistics": ["Sum", "SampleCount"]})
    };
    let answer = read::get_statistics(&state, now(), &input(ago(60))).unwrap();
    assert_eq!(
        answer["Datapoints"],
        json!([{"Timestamp": ago(5), "Sum": 2.0, "SampleCount": 1.0, "Unit": "Seconds"}])
    );
    assert_eq!(
        read::get_statistics(&state, now(), &input(ago(2 * 1440)))
            .unwrap_err()
            .code,
        "InvalidParameterCombination"
    );
}

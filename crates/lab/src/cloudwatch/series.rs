//! Metrics and their data points.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::bounds;

/// Longest that CloudWatch keeps anything, in seconds.
const KEPT_SECONDS: i64 = 455 * 86_400;
const DAY: i64 = 86_400;

/// What a metric is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MetricKey {
    pub namespace: String,
    pub name: String,
    /// Sorted by name.
    pub dimensions: Vec<(String, String)>,
}

impl MetricKey {
    /// What it counts for against the bound on names: its bytes and what memory adds to each text.
    fn weight(&self) -> usize {
        let dimensions = self.dimensions.iter();
        let bytes = dimensions.map(|(name, value)| name.len() + value.len() + 64);
        128 + self.namespace.len() + self.name.len() + bytes.sum::<usize>()
    }
}

/// Values put together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stats {
    pub count: f64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    /// Value and how often; `None` when a statistic set hides them.
    pub values: Option<Vec<(f64, f64)>>,
    pub unit: String,
}

impl Stats {
    /// Values with counts; `None` when there is no count at all.
    pub(super) fn of(values: Vec<(f64, f64)>, unit: &str) -> Option<Self> {
        let count: f64 = values.iter().map(|(_, count)| count).sum();
        (count > 0.0).then(|| Self {
            count,
            sum: values.iter().map(|(value, count)| value * count).sum(),
            min: values
                .iter()
                .map(|(value, _)| *value)
                .fold(f64::INFINITY, f64::min),
            max: values
                .iter()
                .map(|(value, _)| *value)
                .fold(f64::NEG_INFINITY, f64::max),
            values: Some(values),
            unit: unit.to_owned(),
        })
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.values = match (self.values.take(), &other.values) {
            (Some(mut mine), Some(theirs)) => {
                mine.extend(theirs);
                Some(mine)
            }
            _ => None,
        };
    }

    /// What it counts for against the bound on values.
    fn weight(&self) -> usize {
        self.values.as_ref().map_or(1, |values| values.len().max(1))
    }

    /// A statistic by its name; `None` for one that cannot be had from these values.
    pub(super) fn statistic(&self, name: &str) -> Option<f64> {
        match name {
            "Sum" => Some(self.sum),
            "Average" => Some(self.sum / self.count),
            "Minimum" => Some(self.min),
            "Maximum" => Some(self.max),
            "SampleCount" => Some(self.count),
            _ => self.percentile(percentile(name)?),
        }
    }

    fn percentile(&self, percent: f64) -> Option<f64> {
        if self.values.is_none() {
            // A statistic set tells a percentile only when all its values are the same.
            #[expect(clippy::float_cmp, reason = "equal bounds mean equal values, exactly")]
            return (self.min == self.max || self.count == 1.0).then_some(self.min);
        }
        let mut values = self.values.clone()?;
        values.sort_by(|one, two| one.0.total_cmp(&two.0));
        let rank = percent / 100.0 * self.count;
        let mut seen = 0.0;
        for (value, count) in &values {
            seen += count;
            if seen >= rank {
                return Some(*value);
            }
        }
        values.last().map(|(value, _)| *value)
    }
}

/// `p99` → 99; `None` for what is no percentile.
pub(super) fn percentile(name: &str) -> Option<f64> {
    let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent)
}

/// One backup of the past: time, elapsed seconds, bytes, errors, milliseconds of freeze if it was frozen.
pub type BackupPoint = (DateTime<Utc>, f64, f64, f64, Option<f64>);

/// CloudWatch's books of one region.
#[derive(Debug, Default)]
pub struct CloudWatchState {
    /// Points by second since 1970.
    pub(super) metrics: BTreeMap<MetricKey, BTreeMap<i64, Stats>>,
    /// Values of all of them, at most.
    values: usize,
    /// Bytes of their names and dimensions.
    names: usize,
}

impl CloudWatchState {
    /// The past of one volume's backups, in namespace `Organization/Backup` with the dimensions `Server` and `Drive`.
    pub fn seed(&mut self, server: &str, drive: &str, points: &[BackupPoint]) {
        let metrics = [
            ("ElapsedTime", "Seconds"),
            ("Size", "Bytes"),
            ("Errors", "Count"),
            ("FreezeDuration", "Milliseconds"),
        ];
        for (index, (name, unit)) in metrics.into_iter().enumerate() {
            let key = MetricKey {
                namespace: "Organization/Backup".to_owned(),
                name: name.to_owned(),
                dimensions: vec![
                    ("Drive".to_owned(), drive.to_owned()),
                    ("Server".to_owned(), server.to_owned()),
                ],
            };
            for (at, elapsed, bytes, errors, freeze) in points {
                let value = [Some(*elapsed), Some(*bytes), Some(*errors), *freeze][index];
                if let Some(stats) = value.and_then(|value| Stats::of(vec![(value, 1.0)], unit)) {
                    self.add(key.clone(), *at, stats);
                }
            }
        }
    }

    /// Servers and drives that have points of a metric of backups.
    #[cfg(test)]
    pub fn drives(&self, name: &str) -> Vec<(String, String)> {
        let keys = self
            .metrics
            .iter()
            .filter(|(key, points)| key.name == name && !points.is_empty());
        keys.map(|(key, _)| {
            let of = |dimension: &str| {
                let found = key.dimensions.iter().find(|(name, _)| name == dimension);
                found.map(|(_, value)| value.clone()).unwrap_or_default()
            };
            (of("Server"), of("Drive"))
        })
        .collect()
    }

    /// Whether there is room for so many points of these metrics with so many values. What is too old to be asked
    /// for is thrown away before it is said that there is none.
    pub(super) fn has_room(
        &mut self,
        new: &[(MetricKey, DateTime<Utc>, Option<Stats>)],
        now: DateTime<Utc>,
    ) -> bool {
        let values: usize = new
            .iter()
            .filter_map(|(_, _, stats)| stats.as_ref())
            .map(Stats::weight)
            .sum();
        let keys: std::collections::BTreeSet<&MetricKey> = new
            .iter()
            .map(|(key, ..)| key)
            .filter(|key| !self.metrics.contains_key(key))
            .collect();
        let names: usize = keys.into_iter().map(MetricKey::weight).sum();
        let fits = |state: &Self| {
            state.values + values <= bounds::VALUES && state.names + names <= bounds::METRIC_BYTES
        };
        if !fits(self) {
            self.forget(now.timestamp() - KEPT_SECONDS);
        }
        fits(self)
    }

    fn forget(&mut self, before: i64) {
        self.metrics.retain(|_, series| {
            *series = series.split_off(&before);
            !series.is_empty()
        });
        self.values = self
            .metrics
            .values()
            .flat_map(BTreeMap::values)
            .map(Stats::weight)
            .sum();
        self.names = self.metrics.keys().map(MetricKey::weight).sum();
    }

    /// How many values of a metric there are between two moments.
    pub(super) fn values_of(&self, key: &MetricKey, range: (i64, i64)) -> usize {
        self.metrics
            .get(key)
            .filter(|_| range.0 < range.1)
            .map_or(0, |series| {
                series
                    .range(range.0..range.1)
                    .map(|(_, stats)| stats.weight())
                    .sum()
            })
    }

    pub(super) fn add(&mut self, key: MetricKey, at: DateTime<Utc>, stats: Stats) {
        self.values += stats.weight();
        if !self.metrics.contains_key(&key) {
            self.names += key.weight();
        }
        let series = self.metrics.entry(key).or_default();
        series
            .entry(at.timestamp())
            .and_modify(|present| present.merge(&stats))
            .or_insert(stats);
    }

    /// Points of a metric gathered into periods (seconds), ascending; what is too old for the period is gone.
    pub(super) fn periods(
        &self,
        key: &MetricKey,
        range: (i64, i64),
        period: i64,
        now: i64,
        unit: Option<&str>,
    ) -> BTreeMap<i64, Stats> {
        let age = match period {
            ..60 => 3 * 3600,
            60..300 => 15 * DAY,
            300..3600 => 63 * DAY,
            _ => KEPT_SECONDS,
        };
        let start = range.0.div_euclid(period) * period;
        let mut out: BTreeMap<i64, Stats> = BTreeMap::new();
        let Some(series) = self.metrics.get(key).filter(|_| start < range.1) else {
            return out;
        };
        for (at, stats) in series
            .range(start..range.1)
            .filter(|(at, _)| now - **at <= age)
        {
            if unit.is_none_or(|unit| unit == stats.unit) {
                let bucket = at.div_euclid(period) * period;
                out.entry(bucket)
                    .and_modify(|present| present.merge(stats))
                    .or_insert_with(|| stats.clone());
            }
        }
        out
    }
}

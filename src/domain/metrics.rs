//! Time series read back from CloudWatch. A missing point is a gap, never a zero.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::InstanceId;

/// The four metrics that jobs publish (names of the third seed, plus `FreezeDuration`).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
    strum::EnumString,
)]
pub enum Metric {
    /// Seconds from the job's start to the snapshot's completion.
    ElapsedTime,
    /// Bytes: full size of the snapshot's written blocks, as EC2 tells it; no value where EC2 does not.
    Size,
    /// Failed snapshots, 0 or 1.
    Errors,
    /// Milliseconds of freeze window.
    FreezeDuration,
}

impl Metric {
    /// CloudWatch's name of the unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::ElapsedTime => "Seconds",
            Self::Size => "Bytes",
            Self::Errors => "Count",
            Self::FreezeDuration => "Milliseconds",
        }
    }
}

/// One metric of one drive of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Which metric.
    pub metric: Metric,
    /// Dimension `Server`.
    pub server: InstanceId,
    /// Dimension `Drive`.
    pub drive: String,
    /// Seconds that one point stands for.
    pub period_s: u32,
    /// Points in order of time; a period without data has none.
    pub points: Vec<(DateTime<Utc>, f64)>,
}

//! Time series read back from CloudWatch. A missing point is a gap, never a zero.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::InstanceId;

/// Whether CloudWatch takes a namespace for metrics of one's own (the API reference's `PutMetricData`).
///
/// # Errors
/// Why it does not, in words that follow the name of what holds it.
pub fn check_namespace(text: &str) -> Result<(), String> {
    let taken = |c: char| c.is_ascii_alphanumeric() || " .-_/#:".contains(c);
    match text.chars().count() {
        0 => return Err("is empty".to_owned()),
        1..=255 => {}
        long => return Err(format!("has {long} characters, 255 is the most")),
    }
    if text.trim().is_empty() {
        return Err("is blank".to_owned());
    }
    if text.starts_with(':') {
        return Err("begins with a colon".to_owned());
    }
    if text.starts_with("AWS/") {
        return Err("begins with AWS/, which is AWS's own".to_owned());
    }
    match text.chars().find(|c| !taken(*c)) {
        Some(c) => Err(format!(
            "has `{}`; CloudWatch takes letters, digits, spaces and . - _ / # :",
            super::text::visible(&c.to_string())
        )),
        None => Ok(()),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_taken_as_cloudwatch_takes_it() {
        let longest = "x".repeat(255);
        for good in ["Organization/Backup", "a b.c-d_e/f#g:h", &longest] {
            assert_eq!(check_namespace(good), Ok(()), "{good}");
        }
        let too_long = "x".repeat(256);
        for (bad, why) in [
            ("", "empty"),
            (" ", "blank"),
            (":a", "colon"),
            ("AWS/EBS", "AWS's own"),
            ("a\u{1b}", "CloudWatch takes"),
            (&too_long, "256 characters"),
        ] {
            let refused = check_namespace(bad).unwrap_err();
            assert!(refused.contains(why), "{bad:?}: {refused}");
        }
    }
}

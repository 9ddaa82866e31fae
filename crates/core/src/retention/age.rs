//! A length of time as a policy writes it: `12h`, `7d`, `2w`.

use std::fmt;
use std::str::FromStr;

use chrono::Duration;
use serde::{Deserialize, Serialize};

/// A length of time in whole hours. A number without its unit is none: 7 may be days or hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Age(u32);

/// Longer than this is a slip of the finger: a hundred years.
const MOST_HOURS: u32 = 100 * 366 * 24;

impl Age {
    /// An age of so many days.
    pub fn days(days: u32) -> Self {
        Self(days.saturating_mul(24).min(MOST_HOURS))
    }

    /// The age as a duration.
    pub fn duration(self) -> Duration {
        Duration::hours(i64::from(self.0))
    }
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "expected a number with its unit: 12h, 7d or 2w".to_owned();
        let text = text.trim();
        let unit = text.chars().next_back().ok_or_else(wrong)?;
        let hours: u32 = match unit {
            'h' => 1,
            'd' => 24,
            'w' => 7 * 24,
            _ => return Err(wrong()),
        };
        let digits = text.strip_suffix(unit).unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        digits
            .parse::<u32>()
            .ok()
            .and_then(|n| n.checked_mul(hours))
            .filter(|hours| *hours <= MOST_HOURS)
            .map(Self)
            .ok_or_else(|| "it is longer than a hundred years".to_owned())
    }
}

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Age> for String {
    fn from(age: Age) -> Self {
        age.to_string()
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(24) {
            write!(f, "{}d", self.0 / 24)
        } else {
            write!(f, "{}h", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_needs_its_unit() {
        for (text, shown) in [
            ("12h", "12h"),
            ("7d", "7d"),
            ("2w", "14d"),
            ("0d", "0d"),
            ("48h", "2d"),
        ] {
            assert_eq!(text.parse::<Age>().unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "7",
            "d",
            "-7d",
            "+7d",
            "7 d",
            "7m",
            "1.5d",
            "99999999999d",
            "40000d",
            "７d",
            "7é",
        ] {
            assert!(wrong.parse::<Age>().is_err(), "{wrong}");
        }
        assert_eq!("1w".parse::<Age>().unwrap(), Age::days(7));
    }
}

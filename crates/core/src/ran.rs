//! When a command ran, as Systems Manager tells it: a start, an ISO 8601 duration, and an end that is early.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// Nanoseconds in a second.
const NANOS: i64 = 1_000_000_000;
/// No command takes longer; what says so is no duration.
const LONGEST_S: i64 = 1_000_000_000;

/// An ISO 8601 duration in days and smaller parts: `PT2.44S`, `PT1H0.271S`, `P1DT3M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Elapsed(TimeDelta);

impl Elapsed {
    /// Parses the service's word for a duration.
    pub fn delta(self) -> TimeDelta {
        self.0
    }
}

/// It is no ISO 8601 duration, or one of months and years, which have no length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDuration;

impl FromStr for Elapsed {
    type Err = NoDuration;

    fn from_str(text: &str) -> Result<Self, NoDuration> {
        let rest = text.strip_prefix('P').ok_or(NoDuration)?;
        let (days, time) = match rest.split_once('T') {
            Some((days, time)) if !time.is_empty() => (days, time),
            Some(_) => return Err(NoDuration),
            None => (rest, ""),
        };
        let (mut nanos, mut parts) = (0_i64, 0);
        for (mut rest, units) in [
            (days, &[('W', 604_800), ('D', 86_400)][..]),
            (time, &[('H', 3_600), ('M', 60), ('S', 1)][..]),
        ] {
            for (unit, seconds) in units {
                if let Some((count, after)) = rest.split_once(*unit) {
                    let part = part(count, *seconds).ok_or(NoDuration)?;
                    nanos = nanos.checked_add(part).ok_or(NoDuration)?;
                    (rest, parts) = (after, parts + 1);
                }
            }
            if !rest.is_empty() {
                return Err(NoDuration);
            }
        }
        if parts == 0 || nanos / NANOS >= LONGEST_S {
            return Err(NoDuration);
        }
        Ok(Self(TimeDelta::nanoseconds(nanos)))
    }
}

/// `count` of a unit of so many seconds, in nanoseconds. A fraction has a point or a comma; digits beyond the ninth
/// tell nothing.
fn part(count: &str, seconds: i64) -> Option<i64> {
    let (whole, fraction) = match count.split_once(['.', ',']) {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (count, ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 10 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let nanos: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let whole = whole.parse::<i64>().ok()?.checked_mul(NANOS)?;
    whole
        .checked_add(nanos.parse::<i64>().ok()?)?
        .checked_mul(seconds)
}

/// When a script ran, by the instance's clock; what is not known or did not happen is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ran {
    /// It began.
    pub began: Option<DateTime<Utc>>,
    /// It ended, at the latest.
    pub ended: Option<DateTime<Utc>>,
}

impl Ran {
    /// From the three texts of `GetCommandInvocation`. Its end is the start and whole seconds, up to 999 ms early
    /// (aws-facts-3, section 0): start and duration say when it was; where they do not, the end is a second later.
    pub fn from_answer(began: Option<&str>, elapsed: Option<&str>, ended: Option<&str>) -> Self {
        let moment = |text: Option<&str>| {
            let at = DateTime::parse_from_rfc3339(text?).ok()?;
            Some(at.with_timezone(&Utc))
        };
        let began = moment(began);
        let took = elapsed.and_then(|text| text.parse::<Elapsed>().ok());
        let exact = match (began, took) {
            (Some(began), Some(took)) => began.checked_add_signed(took.delta()),
            _ => None,
        };
        let late = || moment(ended)?.checked_add_signed(TimeDelta::seconds(1));
        Self {
            began,
            ended: exact.or_else(late),
        }
    }

    /// Whether it is known to have begun when the other had ended. The same moment tells no order.
    pub fn began_after(&self, other: &Self) -> bool {
        matches!((self.began, other.ended), (Some(began), Some(ended)) if began > ended)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_systems_manager_tells_them() {
        for (text, ms) in [
            ("PT2.44S", 2_440),
            ("PT0S", 0),
            ("PT1H0.271S", 3_600_271),
            ("PT1H2M3.004S", 3_723_004),
            ("PT5M", 300_000),
            ("PT0,5S", 500),
            ("P1DT3M", 86_580_000),
            ("P2D", 172_800_000),
            ("PT0.0015S", 1),
        ] {
            let read = text
                .parse::<Elapsed>()
                .map(|e| e.delta().num_milliseconds());
            assert_eq!(read, Ok(ms), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "T2S",
            "2.44",
            "PT2",
            "PTxS",
            "PT-1S",
            "PT+1S",
            "PT1e300S",
            "PTNaNS",
            "PT1S2M",
            "P1M",
            "P1Y",
            "PT1.S",
            "PT.5S",
            "P1DT",
            "PT1S ",
            "PT99999999999S",
            "PT1٣S",
            "pt1s",
        ] {
            assert_eq!(text.parse::<Elapsed>(), Err(NoDuration), "{text}");
        }
    }

    /// Written as the agent writes it, the parts in any number.
    fn written(ms: i64) -> String {
        let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
        let mut text = "PT".to_owned();
        if hours > 0 {
            text.push_str(&format!("{hours}H"));
        }
        if minutes > 0 {
            text.push_str(&format!("{minutes}M"));
        }
        text.push_str(&format!("{}.{:03}S", ms / 1000 % 60, ms % 1000));
        text
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ms in 0_i64..1_000_000_000_000) {
            let read = written(ms).parse::<Elapsed>().map(|e| e.delta().num_milliseconds());
            prop_assert_eq!(read, Ok(ms));
        }

        #[test]
        fn nothing_panics_and_nothing_is_negative(text in "\\PC*|P?T?([0-9.,]{0,12}[WDHMS]?){0,4}") {
            if let Ok(elapsed) = text.parse::<Elapsed>() {
                prop_assert!(elapsed.delta() >= TimeDelta::zero());
                prop_assert!(elapsed.delta() < TimeDelta::seconds(LONGEST_S));
            }
        }

        /// Whatever Systems Manager tells of an end, no order is read out of it that is not so.
        #[test]
        fn an_end_is_never_too_early(start in 0_i64..2_000_000_000_000, took in 0_i64..100_000, told in any::<bool>(), gap in -5_000_i64..5_000) {
            let at = |ms| DateTime::from_timestamp_millis(ms).unwrap();
            let end = at(start) + TimeDelta::seconds(took / 1000);
            let (began, elapsed) = (at(start).to_rfc3339(), written(took));
            let pre = Ran::from_answer(Some(&began), told.then_some(&elapsed), Some(&end.to_rfc3339()));
            let true_end = at(start + took);
            prop_assert!(pre.ended.unwrap() >= true_end);
            let post = Ran { began: Some(true_end + TimeDelta::milliseconds(gap)), ended: None };
            if post.began_after(&pre) {
                prop_assert!(gap > 0);
            }
        }
    }

    #[test]
    fn without_a_duration_the_end_is_a_second_later() {
        let (began, ended) = ("2026-12-01T10:00:00.900Z", "2026-12-01T10:00:02.900Z");
        let exact = Ran::from_answer(Some(began), Some("PT2.5S"), Some(ended)).ended;
        assert_eq!(exact.unwrap().to_rfc3339(), "2026-12-01T10:00:03.400+00:00");
        for elapsed in [None, Some(""), Some("two seconds")] {
            let late = Ran::from_answer(Some(began), elapsed, Some(ended)).ended;
            assert_eq!(late.unwrap().to_rfc3339(), "2026-12-01T10:00:03.900+00:00");
        }
        assert_eq!(Ran::from_answer(Some(""), None, Some("")), Ran::default());
    }
}

//! The lab's clock: the machine's, a scaled one, or tokio's (which a test can pause).

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// A cheap, cloneable clock; every time in the lab comes from here.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Derived {
        base: DateTime<Utc>,
        start: Instant,
        factor: f64,
    },
}

impl Clock {
    /// The machine's own time.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// Starts at `base` and runs `factor` times as fast as the machine; a factor that is not a positive
    /// finite number counts as 1.
    pub fn scaled(base: DateTime<Utc>, factor: f64) -> Self {
        let factor = if factor.is_finite() && factor > 0.0 {
            factor
        } else {
            1.0
        };
        Self(Kind::Derived {
            base,
            start: Instant::now(),
            factor,
        })
    }

    /// Starts at `base` and follows tokio's clock, so that a paused runtime drives it.
    pub fn virtual_from(base: DateTime<Utc>) -> Self {
        Self::scaled(base, 1.0)
    }

    /// The lab's present moment.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "the lab's one place that reads the wall clock"
            )]
            Kind::System => Utc::now(),
            Kind::Derived {
                base,
                start,
                factor,
            } => {
                let elapsed = start.elapsed().mul_f64(*factor);
                *base + chrono::Duration::from_std(elapsed).unwrap_or(chrono::Duration::MAX)
            }
        }
    }

    /// Sleeps for a time of the lab (shorter on the machine when the clock runs faster).
    pub async fn sleep(&self, duration: Duration) {
        let real = match &self.0 {
            Kind::System => duration,
            Kind::Derived { factor, .. } => duration.div_f64(*factor),
        };
        tokio::time::sleep(real).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_the_paused_clock_and_scales() {
        let base = DateTime::parse_from_rfc3339("2026-11-21T04:00:00Z")
            .unwrap()
            .with_timezone(&Utc);
        let plain = Clock::virtual_from(base);
        let fast = Clock::scaled(base, 60.0);
        assert_eq!(plain.now(), base);
        plain.sleep(Duration::from_secs(90)).await;
        assert_eq!((plain.now() - base).num_seconds(), 90);
        assert_eq!((fast.now() - base).num_minutes(), 90);
        fast.sleep(Duration::from_secs(60)).await;
        assert_eq!((plain.now() - base).num_seconds(), 91);
    }
}

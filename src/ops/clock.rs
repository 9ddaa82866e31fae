//! The one place that reads a clock. Everything pure is handed the time.

use chrono::{DateTime, Utc};

/// The wall clock, or one that follows tokio's (which tests pause).
#[derive(Debug, Clone, Copy)]
pub struct Clock(Source);

#[derive(Debug, Clone, Copy)]
enum Source {
    System,
    Virtual {
        base: DateTime<Utc>,
        since: tokio::time::Instant,
    },
}

impl Clock {
    /// The machine's wall clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `base` now and moves with tokio's.
    pub fn virtual_from(base: DateTime<Utc>) -> Self {
        Self(Source::Virtual {
            base,
            since: tokio::time::Instant::now(),
        })
    }

    /// The time now.
    pub fn now(&self) -> DateTime<Utc> {
        match self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the wall clock"
            )]
            Source::System => Utc::now(),
            Source::Virtual { base, since } => {
                base + chrono::Duration::from_std(since.elapsed()).unwrap_or_default()
            }
        }
    }
}

//! The one place that reads a clock. Everything pure is handed the time.

use std::sync::atomic::{AtomicI64, Ordering};

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
        /// Seconds that it is ahead of that; somebody may set it.
        ahead: Option<&'static AtomicI64>,
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
            ahead: None,
        })
    }

    /// The same clock, wrong by so many seconds as `ahead` says at each moment: a machine whose clock is set
    /// while it runs. The machine's own wall clock cannot be made wrong.
    #[must_use]
    pub fn wrong_by(self, ahead: &'static AtomicI64) -> Self {
        match self.0 {
            Source::System => self,
            Source::Virtual { base, since, .. } => Self(Source::Virtual {
                base,
                since,
                ahead: Some(ahead),
            }),
        }
    }

    /// The time now.
    pub fn now(&self) -> DateTime<Utc> {
        match self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the wall clock"
            )]
            Source::System => Utc::now(),
            Source::Virtual { base, since, ahead } => {
                let ahead = ahead.map_or(0, |ahead| ahead.load(Ordering::Relaxed));
                base + chrono::Duration::from_std(since.elapsed()).unwrap_or_default()
                    + chrono::Duration::seconds(ahead)
            }
        }
    }
}

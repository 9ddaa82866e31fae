//! The session's token buckets: calls wait here so that AWS need not send them away.
//!
//! A thaw never comes by here, and neither does `CreateSnapshots` while something is frozen: its token is
//! reserved before `pre-script` is sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::VolumeId;
use crate::domain::pace::{Bucket, Level, VOLUME_SPACING};
use crate::domain::problem::{Kind, Problem};

/// The buckets of one account and region, shared by everyone who calls through one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    since: Instant,
    levels: Mutex<HashMap<Bucket, Level>>,
    /// When this process last asked for snapshots of a volume.
    asked: Mutex<HashMap<VolumeId, Instant>>,
}

impl Default for Pace {
    fn default() -> Self {
        Self(Arc::new(Inner {
            since: Instant::now(),
            levels: Mutex::default(),
            asked: Mutex::default(),
        }))
    }
}

impl Pace {
    fn with<T>(&self, bucket: Bucket, f: impl FnOnce(&mut Level, Duration) -> T) -> T {
        let now = self.0.since.elapsed();
        let mut levels = self.0.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let level = levels
            .entry(bucket)
            .or_insert_with(|| Level::full(bucket.ours(), now));
        f(level, now)
    }

    /// Takes a token, and returns when it may be used.
    pub async fn take(&self, bucket: Bucket) {
        let wait = self.with(bucket, Level::take);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes a token for something that must not wait; those who can wait then wait longer.
    pub(super) fn take_now(&self, bucket: Bucket) {
        self.with(bucket, Level::take);
    }

    /// Takes a token if one is there.
    pub(super) fn take_if_there(&self, bucket: Bucket) -> bool {
        self.with(bucket, Level::take_if_there)
    }

    /// Learns from an answer: being sent away means that others use the bucket too.
    pub(super) fn learn<T>(
        &self,
        bucket: Bucket,
        answer: Result<T, Problem>,
    ) -> Result<T, Problem> {
        if matches!(&answer, Err(problem) if problem.kind == Kind::Throttled) {
            self.with(bucket, Level::found_empty);
        }
        answer
    }

    /// Remembers that snapshots of these volumes were asked for just now.
    pub(super) fn asked_for<'a>(&self, volumes: impl IntoIterator<Item = &'a VolumeId>) {
        let now = Instant::now();
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, at| now.duration_since(*at) < VOLUME_SPACING);
        asked.extend(volumes.into_iter().map(|volume| (volume.clone(), now)));
    }

    /// How long until each of these volumes may be asked for again, as far as this process knows.
    pub fn spacing<'a>(&self, volumes: impl IntoIterator<Item = &'a VolumeId>) -> Duration {
        let asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        volumes
            .into_iter()
            .filter_map(|volume| asked.get(volume))
            .map(|at| VOLUME_SPACING.saturating_sub(at.elapsed()))
            .max()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn takers_wait_their_turn_and_urgent_ones_do_not() {
        let pace = Pace::default();
        let begun = Instant::now();
        let rate = Bucket::CreateSnapshots.ours();
        for _ in 0..90 {
            pace.take(Bucket::CreateSnapshots).await;
        }
        assert!(begun.elapsed() < Duration::from_millis(2));
        pace.take_now(Bucket::CreateSnapshots);
        assert!(begun.elapsed() < Duration::from_millis(2));
        pace.take(Bucket::CreateSnapshots).await;
        assert!(begun.elapsed().as_secs_f64() * rate.refill >= 1.9);
        assert!(!pace.take_if_there(Bucket::CreateSnapshots));
        assert!(
            pace.take_if_there(Bucket::CreateTags),
            "every action has its own"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn volumes_are_spaced() {
        let pace = Pace::default();
        let volume = VolumeId::from_api("vol-1");
        let volumes = [volume.clone()];
        assert_eq!(pace.spacing(&volumes), Duration::ZERO);
        pace.asked_for(&volumes);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(pace.spacing(&volumes), Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(pace.spacing(&volumes), Duration::ZERO);
    }
}

//! The session's token buckets: calls wait here so that AWS need not throttle them.
//!
//! A thaw never waits here, and neither does `CreateSnapshots` while something is frozen: their tokens are
//! set aside before `pre-script` is sent. A token is in hand before a call is put on record, so that nothing
//! lies between the two.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use tokio::time::Instant;

use crate::domain::ids::VolumeId;
use crate::domain::pace::{Bucket, TokenBucket, VOLUME_SPACING};
use crate::domain::problem::{Kind, Problem};

/// The buckets of one account and region, shared by everyone who calls through one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    since: Instant,
    levels: Mutex<HashMap<Bucket, TokenBucket>>,
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
    fn with<T>(&self, bucket: Bucket, f: impl FnOnce(&mut TokenBucket, Duration) -> T) -> T {
        let now = self.0.since.elapsed();
        let mut levels = self.0.levels.lock();
        let level = levels
            .entry(bucket)
            .or_insert_with(|| TokenBucket::full(bucket.ours(), now));
        f(level, now)
    }

    /// Takes a token, and returns when it may be used.
    pub async fn take(&self, bucket: Bucket) {
        self.set_aside(bucket).await.spend();
    }

    /// Takes a token for a call to come, and returns when it may be used. A caller that stops waiting, or drops the token,
    /// gives it back.
    pub async fn set_aside(&self, bucket: Bucket) -> Token {
        let (token, wait) = self.promise(bucket);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        token
    }

    /// A token for a call to come, and how long to wait before it may be used.
    pub fn promise(&self, bucket: Bucket) -> (Token, Duration) {
        let wait = self.with(bucket, TokenBucket::take);
        let token = Token {
            pace: self.clone(),
            bucket,
            spent: false,
        };
        (token, wait)
    }

    /// Takes a token for a call that must not wait; calls that can wait then wait longer.
    pub(super) fn take_now(&self, bucket: Bucket) {
        self.with(bucket, TokenBucket::take);
    }

    /// Takes a token if one is there.
    pub(super) fn take_if_there(&self, bucket: Bucket) -> bool {
        self.with(bucket, TokenBucket::take_if_there)
    }

    /// How long so many more calls will take by the bucket alone.
    pub fn forecast(&self, bucket: Bucket, calls: usize) -> Duration {
        self.with(bucket, |level, now| level.forecast(now, calls))
    }

    /// Whether at least half of the bucket is there.
    pub(super) fn is_half_full(&self, bucket: Bucket) -> bool {
        self.with(bucket, TokenBucket::is_half_full)
    }

    /// Learns from an answer: a throttled caller goes slower. A volume's own limits say nothing of the bucket.
    pub(super) fn learn<T>(
        &self,
        bucket: Bucket,
        answer: Result<T, Problem>,
    ) -> Result<T, Problem> {
        if matches!(&answer, Err(problem) if is_of_the_bucket(problem)) {
            self.with(bucket, TokenBucket::halve_rate_once_per_burst);
        }
        answer
    }

    /// Remembers that snapshots of these volumes were asked for just now.
    pub(super) fn asked_for<'a>(&self, volumes: impl IntoIterator<Item = &'a VolumeId>) {
        let now = Instant::now();
        let mut asked = self.0.asked.lock();
        asked.retain(|_, at| now.duration_since(*at) < VOLUME_SPACING);
        asked.extend(volumes.into_iter().map(|volume| (volume.clone(), now)));
    }

    /// How long until each of these volumes may be asked for again, as far as this process knows.
    pub fn spacing<'a>(&self, volumes: impl IntoIterator<Item = &'a VolumeId>) -> Duration {
        let asked = self.0.asked.lock();
        volumes
            .into_iter()
            .filter_map(|volume| asked.get(volume))
            .map(|at| VOLUME_SPACING.saturating_sub(at.elapsed()))
            .max()
            .unwrap_or_default()
    }
}

fn is_of_the_bucket(problem: &Problem) -> bool {
    problem.kind == Kind::Throttled
        && !matches!(
            problem.code.as_deref(),
            Some(
                "SnapshotCreationPerVolumeRateExceeded"
                    | "ConcurrentSnapshotLimitExceeded"
                    | "PendingSnapshotLimitExceeded"
            )
        )
}

/// A token that was taken for one call to come. Dropped without being spent, it flows back.
#[derive(Debug)]
pub struct Token {
    pace: Pace,
    bucket: Bucket,
    spent: bool,
}

impl Token {
    /// Which bucket it is from.
    pub fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// The call is made now.
    pub fn spend(mut self) {
        self.spent = true;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if !self.spent {
            self.pace.with(self.bucket, TokenBucket::give_back);
        }
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
    async fn what_is_not_spent_flows_back_also_from_those_who_stopped_waiting() {
        let pace = Pace::default();
        let most = 90;
        let held: Vec<Token> = (0..most)
            .map(|_| pace.promise(Bucket::CreateTags).0)
            .collect();
        assert!(!pace.take_if_there(Bucket::CreateTags));
        let waiting = pace.set_aside(Bucket::CreateTags);
        let none = tokio::time::timeout(Duration::from_millis(10), waiting).await;
        assert!(none.is_err());
        drop(held);
        for _ in 0..most {
            assert!(pace.take_if_there(Bucket::CreateTags));
        }
        assert!(!pace.take_if_there(Bucket::CreateTags));
        let (token, wait) = pace.promise(Bucket::SendCommand);
        assert!(wait.is_zero());
        token.spend();
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

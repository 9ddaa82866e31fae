//! Token buckets, seen from the caller's side: how long to wait so that nobody sends us away.
//!
//! EC2 gives each account, region and action a bucket (aws-facts 8.1). Systems Manager throttles too and
//! publishes nothing, so its buckets are assumed, and whoever is sent away slows down until that stops. The
//! arithmetic is here, on a clock that is handed in; the waiting is `aws::pace`'s.

use std::time::Duration;

/// What shares a bucket.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::EnumIter, strum::Display,
)]
pub enum Bucket {
    /// `CreateSnapshots`, by us or by an instance in our name.
    CreateSnapshots,
    /// `DeleteSnapshot`.
    DeleteSnapshot,
    /// `CreateTags`.
    CreateTags,
    /// `DescribeInstances`.
    DescribeInstances,
    /// `DescribeVolumes`.
    DescribeVolumes,
    /// `DescribeSnapshots`.
    DescribeSnapshots,
    /// `DescribeSnapshotAttribute`.
    DescribeSnapshotAttribute,
    /// `SendCommand`. One that thaws takes its token and never waits for it.
    SendCommand,
    /// `GetCommandInvocation`.
    GetCommandInvocation,
    /// `ListCommands`.
    ListCommands,
    /// Every other question to Systems Manager: documents and agents.
    AskSsm,
}

/// Size of a bucket and what flows into it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Most tokens it holds.
    pub size: f64,
    /// Tokens that flow in per second.
    pub refill: f64,
}

/// Share of a published bucket's size that we use, and of its refill: others call too, and our clock is
/// not AWS's. The bound on a run's time suffers by a few percent.
const SIZE_SHARE: f64 = 0.9;
const REFILL_SHARE: f64 = 0.97;

/// Being sent away halves what we believe flows in, at most once in this time (one burst is one lesson) and
/// to no less than this share.
const LESSON: Duration = Duration::from_secs(1);
const LEAST_SHARE: f64 = 0.05;
/// What is believed again per second without being sent away: all of it after two minutes.
const RECOVERY: f64 = 1.0 / 120.0;

impl Bucket {
    /// The bucket as AWS publishes it (aws-facts 8.1); `None` where AWS publishes nothing.
    pub fn published(self) -> Option<Rate> {
        let (size, refill) = match self {
            Self::CreateSnapshots | Self::DeleteSnapshot => (100.0, 5.0),
            Self::CreateTags => (100.0, 10.0),
            Self::DescribeInstances
            | Self::DescribeVolumes
            | Self::DescribeSnapshots
            | Self::DescribeSnapshotAttribute => (100.0, 20.0),
            Self::SendCommand | Self::GetCommandInvocation | Self::ListCommands | Self::AskSsm => {
                return None;
            }
        };
        Some(Rate { size, refill })
    }

    /// What is assumed of a bucket of Systems Manager's. Nothing is published (aws-facts 3.5): questions as
    /// EC2's reading class, commands at the rate of a run that EC2's own buckets bound. `None` where AWS publishes.
    pub fn assumed(self) -> Option<Rate> {
        let (size, refill) = match self {
            Self::SendCommand => (60.0, 16.0),
            Self::GetCommandInvocation | Self::ListCommands | Self::AskSsm => (100.0, 20.0),
            _ => return None,
        };
        Some(Rate { size, refill })
    }

    /// The bucket as we use it.
    pub fn ours(self) -> Rate {
        let rate = self.published().or_else(|| self.assumed());
        let rate = rate.unwrap_or(Rate {
            size: 10.0,
            refill: 1.0,
        });
        Rate {
            size: rate.size * SIZE_SHARE,
            refill: rate.refill * REFILL_SHARE,
        }
    }

    /// The least time that `calls` calls take under the published bucket, from full: the bound that no
    /// client can beat. Zero where nothing is published.
    pub fn least(self, calls: usize) -> Duration {
        let Some(rate) = self.published() else {
            return Duration::ZERO;
        };
        let calls = f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
        Duration::from_secs_f64(((calls - rate.size) / rate.refill).max(0.0))
    }
}

/// A token bucket. A caller that takes a token that is not there yet learns how long to wait for it; the next caller waits
/// behind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenBucket {
    rate: Rate,
    tokens: f64,
    at: Duration,
    /// The part of the refill that we believe in, up to 1.
    share: f64,
    lesson: Option<Duration>,
}

impl TokenBucket {
    /// A full bucket at `now` (time since any fixed moment; it must not run backwards, and where it does
    /// nothing flows).
    pub fn full(rate: Rate, now: Duration) -> Self {
        Self {
            rate,
            tokens: rate.size,
            at: now,
            share: 1.0,
            lesson: None,
        }
    }

    fn flow(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        let flown = elapsed * self.rate.refill * self.share;
        self.tokens = (self.tokens + flown).min(self.rate.size);
        self.share = (self.share + elapsed * RECOVERY).min(1.0);
        self.at = self.at.max(now);
    }

    /// Takes a token and says how long to wait before it may be used.
    pub fn take(&mut self, now: Duration) -> Duration {
        self.flow(now);
        self.tokens -= 1.0;
        self.wait()
    }

    /// Takes a token if one is there.
    pub fn take_if_there(&mut self, now: Duration) -> bool {
        self.flow(now);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// How long until so many more tokens were there, if nobody else took any.
    pub fn forecast(&mut self, now: Duration, calls: usize) -> Duration {
        self.flow(now);
        let calls = f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
        let flow = self.rate.refill * self.share;
        Duration::try_from_secs_f64(((calls - self.tokens) / flow).max(0.0)).unwrap_or_default()
    }

    /// Whether at least half of the bucket is there.
    pub fn is_half_full(&mut self, now: Duration) -> bool {
        self.flow(now);
        self.tokens >= self.rate.size / 2.0
    }

    /// A token that was taken and not used.
    pub fn give_back(&mut self, now: Duration) {
        self.flow(now);
        self.tokens = (self.tokens + 1.0).min(self.rate.size);
    }

    /// AWS throttled a call: the bucket is empty, and refills slower than we thought, because others use it too or because
    /// it is smaller. Halves the rate once per burst.
    pub fn halve_rate_once_per_burst(&mut self, now: Duration) {
        self.flow(now);
        self.tokens = self.tokens.min(0.0);
        let learned = self
            .lesson
            .is_some_and(|at| now.saturating_sub(at) < LESSON);
        if !learned {
            self.share = (self.share / 2.0).max(LEAST_SHARE);
            self.lesson = Some(now);
        }
    }

    fn wait(&self) -> Duration {
        let flow = self.rate.refill * self.share;
        Duration::try_from_secs_f64((-self.tokens / flow).max(0.0)).unwrap_or_default()
    }
}

/// EC2 wants this long between two snapshot requests for one volume (aws-facts 4.4).
pub const VOLUME_SPACING: Duration = Duration::from_secs(15);

/// Snapshots of one volume that may be pending at once: 1 for `st1` and `sc1`, 5 for every other type
/// (aws-facts 4.4).
pub fn pending_limit(volume_type: &str) -> usize {
    match volume_type {
        "st1" | "sc1" => 1,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    const RATE: Rate = Rate {
        size: 10.0,
        refill: 2.0,
    };

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn what_is_there_is_free_and_what_is_not_is_waited_for_in_order() {
        let mut level = TokenBucket::full(RATE, s(0.0));
        for _ in 0..10 {
            assert_eq!(level.take(s(0.0)), Duration::ZERO);
        }
        assert_eq!(level.take(s(0.0)), s(0.5));
        assert_eq!(level.take(s(0.0)), s(1.0));
        // Half a second later one token has come in, and it was promised to the first.
        assert_eq!(level.take(s(0.5)), s(1.0));
    }

    #[test]
    fn what_is_to_come_is_foretold() {
        let mut level = TokenBucket::full(RATE, s(0.0));
        assert_eq!(level.forecast(s(0.0), 10), Duration::ZERO);
        assert_eq!(level.forecast(s(0.0), 30), s(10.0));
        level.halve_rate_once_per_burst(s(0.0));
        assert_eq!(level.forecast(s(0.0), 30), s(30.0));
    }

    #[test]
    fn it_never_holds_more_than_its_size_and_a_clock_set_back_gives_nothing() {
        let mut level = TokenBucket::full(RATE, s(0.0));
        let burst =
            |level: &mut TokenBucket, at| (0..100).filter(|_| level.take_if_there(at)).count();
        assert!(level.is_half_full(s(0.0)));
        assert_eq!(burst(&mut level, s(0.0)), 10);
        assert!(!level.is_half_full(s(2.4)) && level.is_half_full(s(2.5)));
        assert_eq!(burst(&mut level, s(1_000.0)), 10);
        assert_eq!(burst(&mut level, s(500.0)), 0);
        assert_eq!(burst(&mut level, s(1_001.0)), 2);
    }

    #[test]
    fn a_throttled_caller_halves_its_rate_once_per_burst() {
        let mut level = TokenBucket::full(RATE, s(0.0));
        for _ in 0..5 {
            level.halve_rate_once_per_burst(s(0.0));
        }
        assert!(!level.take_if_there(s(0.0)));
        // Half of 2 per second.
        assert_eq!(level.take(s(0.0)), s(1.0));
        level.halve_rate_once_per_burst(s(0.1));
        assert!(
            level.take(s(0.1)) > s(1.0),
            "a debt is not forgiven by being sent away"
        );
        // Undisturbed, all of it is believed again.
        level.flow(s(300.0));
        for _ in 0..10 {
            assert_eq!(level.take(s(300.0)), Duration::ZERO);
        }
        assert_eq!(level.take(s(300.0)), s(0.5));
    }

    #[test]
    fn what_was_not_used_is_there_again_and_the_bucket_no_larger() {
        let mut level = TokenBucket::full(RATE, s(0.0));
        level.give_back(s(0.0));
        for _ in 0..10 {
            assert!(level.take_if_there(s(0.0)));
        }
        assert!(!level.take_if_there(s(0.0)));
        level.give_back(s(0.0));
        assert_eq!(level.take(s(0.0)), Duration::ZERO);
    }

    /// A bucket of which we believe ten times too much: after a while only few calls are sent away.
    #[test]
    fn a_bucket_that_is_smaller_than_believed_is_found_out() {
        let real = Rate {
            size: 5.0,
            refill: 1.6,
        };
        let mut ours = TokenBucket::full(Bucket::SendCommand.ours(), s(0.0));
        let mut theirs = TokenBucket::full(real, s(0.0));
        let (mut now, mut sent, mut away) = (Duration::ZERO, 0_u32, 0_u32);
        // One caller after the other, each as soon as it may.
        while now < s(600.0) {
            now += ours.take(now).max(Duration::from_millis(1));
            if theirs.take_if_there(now) {
                sent += 1;
            } else {
                away += 1;
                ours.halve_rate_once_per_burst(now);
            }
        }
        assert!(sent > 600, "{sent} of at most 965");
        assert!(away * 4 < sent, "{away} sent away, {sent} taken in");
    }

    /// Whoever waits as told is never sent away by the published bucket, whatever the pattern of calls.
    #[test]
    fn a_caller_that_waits_for_its_token_is_never_throttled() {
        for bucket in Bucket::iter() {
            let Some(published) = bucket.published().or_else(|| bucket.assumed()) else {
                panic!("{bucket} has no rate");
            };
            let mut ours = TokenBucket::full(bucket.ours(), s(0.0));
            let mut sent: Vec<Duration> = (0..1_000_u32)
                .map(|n| {
                    // Bursts of 40, a little apart.
                    let now = s(f64::from(n / 40) * 1.7);
                    now + ours.take(now)
                })
                .collect();
            sent.sort();
            let mut theirs = TokenBucket::full(published, s(0.0));
            assert!(
                sent.iter().all(|at| theirs.take_if_there(*at)),
                "{bucket} would have been throttled"
            );
            let last = sent.last().copied().unwrap_or_default();
            assert!(
                bucket.published().is_none()
                    || last.as_secs_f64() <= bucket.least(1_000).as_secs_f64().max(40.8) * 1.1,
                "{bucket}: {last:?}"
            );
        }
    }

    #[test]
    fn the_bound_is_the_published_bucket_s() {
        assert_eq!(Bucket::CreateSnapshots.least(1_000), s(180.0));
        assert_eq!(Bucket::CreateTags.least(2_000), s(190.0));
        assert_eq!(Bucket::CreateSnapshots.least(100), Duration::ZERO);
        assert_eq!(Bucket::SendCommand.least(10_000), Duration::ZERO);
    }

    #[test]
    fn throughput_types_take_one_pending_snapshot() {
        assert_eq!(pending_limit("st1"), 1);
        assert_eq!(pending_limit("sc1"), 1);
        assert_eq!(pending_limit("gp3"), 5);
    }
}

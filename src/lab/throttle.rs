//! EC2's token buckets, per account, region and action.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// Size and refill per second of a bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    size: f64,
    refill: f64,
}

const fn rate(size: f64, refill: f64) -> Rate {
    Rate { size, refill }
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: DateTime<Utc>,
}

/// All buckets of a lab.
#[derive(Debug, Default)]
pub struct Throttle(BTreeMap<(String, String, &'static str, String), Bucket>);

impl Throttle {
    /// Takes a token; false when the caller has to be sent away. `broad` is a describe without ids, filters and pages.
    pub fn admit(
        &mut self,
        account: &str,
        region: &str,
        action: &str,
        broad: bool,
        now: DateTime<Utc>,
    ) -> bool {
        let (class, rate) = bucket_of(action, broad);
        let key = (
            account.to_owned(),
            region.to_owned(),
            class,
            action.to_owned(),
        );
        let bucket = self.0.entry(key).or_insert(Bucket {
            tokens: rate.size,
            at: now,
        });
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds between two calls are far below 2^52"
        )]
        let elapsed = (now - bucket.at).num_milliseconds().max(0) as f64 / 1000.0;
        bucket.tokens = (bucket.tokens + elapsed * rate.refill).min(rate.size);
        bucket.at = bucket.at.max(now);
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

fn bucket_of(action: &str, broad: bool) -> (&'static str, Rate) {
    match action {
        "CreateSnapshot" | "CreateSnapshots" | "DeleteSnapshot" | "CreateVolume"
        | "DeleteVolume" => ("listed", rate(100.0, 5.0)),
        "CreateTags" | "DeleteTags" => ("tags", rate(100.0, 10.0)),
        "StartInstances" => ("run", rate(5.0, 2.0)),
        action if action.starts_with("Describe") && broad => ("broad", rate(50.0, 10.0)),
        action if action.starts_with("Describe") => ("read", rate(100.0, 20.0)),
        _ => ("mutating", rate(50.0, 5.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_refills_at_its_rate() {
        let mut throttle = Throttle::default();
        let start = DateTime::UNIX_EPOCH;
        let admitted = (0..200)
            .filter(|_| throttle.admit("1", "eu", "DeleteSnapshot", false, start))
            .count();
        assert_eq!(admitted, 100);
        let later = start + chrono::Duration::seconds(2);
        let admitted = (0..200)
            .filter(|_| throttle.admit("1", "eu", "DeleteSnapshot", false, later))
            .count();
        assert_eq!(admitted, 10);
        assert!(
            throttle.admit("1", "us", "DeleteSnapshot", false, later),
            "another region has its own"
        );
    }

    #[test]
    fn broad_describes_have_a_smaller_bucket() {
        let mut throttle = Throttle::default();
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(
            (0..200)
                .filter(|_| throttle.admit("1", "eu", "DescribeVolumes", true, now))
                .count(),
            50
        );
        assert_eq!(
            (0..200)
                .filter(|_| throttle.admit("1", "eu", "DescribeVolumes", false, now))
                .count(),
            100
        );
    }
}

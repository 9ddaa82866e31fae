//! Token buckets, per account, region and action: EC2's as published, Systems Manager's as assumed, for it
//! publishes none.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::bounds;

/// Size and refill per second of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Most calls at once, 1 or more.
    pub size: f64,
    /// Calls per second in the long run.
    pub refill: f64,
}

/// How fast Systems Manager lets one account call it. AWS publishes nothing; the defaults are **assumptions**:
/// questions as EC2's reading class, everything else a little faster than EC2 takes sets.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SsmRates {
    /// `Get…`, `List…`, `Describe…`, each action for itself.
    pub ask: Rate,
    /// `SendCommand` and every other action that changes something, each for itself.
    pub send: Rate,
}

impl Default for SsmRates {
    fn default() -> Self {
        Self {
            ask: rate(100.0, 20.0),
            send: rate(60.0, 16.0),
        }
    }
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
pub struct Throttle {
    ssm: SsmRates,
    buckets: BTreeMap<(String, String, &'static str, String), Bucket>,
}

impl Throttle {
    /// Token buckets of one region, all full.
    pub fn new(ssm: SsmRates) -> Self {
        Self {
            ssm,
            buckets: BTreeMap::new(),
        }
    }

    /// Takes a token of Systems Manager's; false when the caller has to be sent away.
    pub fn admit_ssm(
        &mut self,
        account: &str,
        region: &str,
        action: &str,
        now: DateTime<Utc>,
    ) -> bool {
        let asks = ["Get", "List", "Describe"];
        let (class, rate) = if asks.iter().any(|verb| action.starts_with(verb)) {
            ("ssm-ask", self.ssm.ask)
        } else {
            ("ssm-send", self.ssm.send)
        };
        self.take((account, region, class, action), rate, now)
    }

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
        self.take((account, region, class, action), rate, now)
    }

    fn take(
        &mut self,
        (account, region, class, action): (&str, &str, &'static str, &str),
        rate: Rate,
        now: DateTime<Utc>,
    ) -> bool {
        let key = (
            account.to_owned(),
            region.to_owned(),
            class,
            action.to_owned(),
        );
        // Names that no service has would otherwise be kept for ever. A full bucket is the same as none; what is
        // still too many then comes from a flood of invented names, whose calls are refused anyway.
        if self.buckets.len() >= bounds::BUCKETS && !self.buckets.contains_key(&key) {
            self.buckets
                .retain(|_, bucket| bucket.at + chrono::Duration::seconds(60) > now);
            if self.buckets.len() >= bounds::BUCKETS {
                return true;
            }
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket {
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
    fn systems_manager_has_its_own_as_the_world_says() {
        let mut throttle = Throttle::new(SsmRates {
            send: rate(3.0, 1.0),
            ..SsmRates::default()
        });
        let start = DateTime::UNIX_EPOCH;
        let mut admitted = |action, at| {
            (0..200)
                .filter(|_| throttle.admit_ssm("1", "eu", action, at))
                .count()
        };
        assert_eq!(admitted("SendCommand", start), 3);
        assert_eq!(admitted("ListCommands", start), 100);
        assert_eq!(admitted("GetCommandInvocation", start), 100);
        let later = start + chrono::Duration::seconds(2);
        assert_eq!(admitted("SendCommand", later), 2);
        assert_eq!(admitted("ListCommands", later), 40);
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

//! How a prune goes on, for screens and scripts, and what is on record of one.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{Scope, SnapshotId};
use super::problem::Problem;

/// A prune under way, or over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PruneProgress {
    /// How many snapshots are to be deleted in all.
    pub total: usize,
    /// Deleted so far.
    pub deleted: Vec<SnapshotId>,
    /// Not deleted, each with its reason.
    pub failed: Vec<(SnapshotId, Problem)>,
    /// Stopped before the end, because something had changed since the review.
    pub stopped: Option<Problem>,
    /// It is over.
    pub finished: bool,
    /// How fast it goes and when it is expected to end; `None` before the first is deleted and when it is over.
    #[serde(default)]
    pub speed: Option<Speed>,
}

impl PruneProgress {
    /// Nothing is done yet.
    pub fn of(total: usize) -> Self {
        Self {
            total,
            deleted: Vec::new(),
            failed: Vec::new(),
            stopped: None,
            finished: false,
            speed: None,
        }
    }

    /// How many were not come to.
    pub fn left(&self) -> usize {
        self.total
            .saturating_sub(self.deleted.len())
            .saturating_sub(self.failed.len())
    }

    /// What came of it in one line, such as `3 of 9 snapshots deleted, 1 not deleted, 5 left`.
    pub fn tally(&self) -> String {
        tally(self.total, self.deleted.len(), self.failed.len())
    }
}

/// What came of a prune, in one line.
fn tally(total: usize, deleted: usize, skipped: usize) -> String {
    let mut words = format!("{deleted} of {} deleted", count(total, "snapshot"));
    if skipped > 0 {
        words.push_str(&format!(", {skipped} not deleted"));
    }
    let left = total.saturating_sub(deleted).saturating_sub(skipped);
    if left > 0 {
        words.push_str(&format!(", {left} left"));
    }
    words
}

/// `1 snapshot`, `2 snapshots`.
pub fn count(n: usize, word: &str) -> String {
    if n == 1 {
        format!("1 {word}")
    } else {
        format!("{n} {word}s")
    }
}

/// How fast a prune goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Snapshots per second, of late.
    pub per_second: f64,
    /// When it is expected to end.
    pub ends: DateTime<Utc>,
}

impl Speed {
    /// In words, such as `4.9 a second, about 4 min 40 s to go`.
    pub fn words(&self, now: DateTime<Utc>) -> String {
        format!(
            "{:.1} a second, about {} to go",
            self.per_second,
            length((self.ends - now).max(TimeDelta::zero()))
        )
    }
}

/// A length of time in its two largest units.
pub fn length(time: TimeDelta) -> String {
    let seconds = time.num_seconds();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// A snapshot that was to be deleted and was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which.
    pub snapshot: SnapshotId,
    /// Why.
    pub reason: String,
}

/// A prune as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneRecord {
    /// Its id, a UUID; the calls that it made are on record under it.
    pub id: String,
    /// Where.
    #[serde(flatten)]
    pub scope: Scope,
    /// Who carried it out, as STS names them.
    pub who: String,
    /// Of which instances, in words.
    pub of: String,
    /// The rules that it followed.
    pub rules: Vec<String>,
    /// When it began.
    pub begun: DateTime<Utc>,
    /// When it ended; absent while it runs, or where its process was killed and nobody has looked yet.
    pub ended: Option<DateTime<Utc>>,
    /// Snapshots that were to be deleted.
    pub total: usize,
    /// Snapshots that were.
    pub deleted: usize,
    /// Those that were not, each with its reason.
    pub skipped: Vec<Skipped>,
    /// Why it ended before its end.
    pub stopped: Option<String>,
}

impl PruneRecord {
    /// Puts what is known of it on record.
    pub fn take(&mut self, progress: &PruneProgress) {
        self.deleted = progress.deleted.len();
        self.skipped = progress
            .failed
            .iter()
            .map(|(snapshot, problem)| Skipped {
                snapshot: snapshot.clone(),
                reason: problem.to_string(),
            })
            .collect();
        self.stopped = progress.stopped.as_ref().map(ToString::to_string);
    }

    /// How many were not come to.
    pub fn left(&self) -> usize {
        self.total
            .saturating_sub(self.deleted)
            .saturating_sub(self.skipped.len())
    }

    /// The prune's state for lists and filters: `running`, `finished` or `stopped`.
    pub fn state(&self) -> &'static str {
        match (self.ended, &self.stopped) {
            (None, _) => "running",
            (Some(_), Some(_)) => "stopped",
            (Some(_), None) => "finished",
        }
    }

    /// What came of it in one line.
    pub fn tally(&self) -> String {
        tally(self.total, self.deleted, self.skipped.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_counted_and_spelled() {
        assert_eq!(tally(1, 1, 0), "1 of 1 snapshot deleted");
        assert_eq!(
            tally(9, 3, 1),
            "3 of 9 snapshots deleted, 1 not deleted, 5 left"
        );
        let now = DateTime::UNIX_EPOCH;
        let speed = Speed {
            per_second: 4.94,
            ends: now + TimeDelta::seconds(280),
        };
        assert_eq!(speed.words(now), "4.9 a second, about 4 min 40 s to go");
        let late = now + TimeDelta::seconds(281);
        assert_eq!(speed.words(late), "4.9 a second, about 0 s to go");
        assert_eq!(length(TimeDelta::seconds(59)), "59 s");
        assert_eq!(length(TimeDelta::seconds(280)), "4 min 40 s");
        assert_eq!(length(TimeDelta::seconds(3_700)), "1 h 1 min");
    }
}

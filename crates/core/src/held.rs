//! What a job holds frozen, or may hold: from the sending of the command that freezes to the proof of its thaw. Every
//! screen and listing takes it from here.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::job::{JobView, Phase};

/// How far the command that freezes is, as Systems Manager says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// It was sent, and no answer came yet.
    Unanswered,
    /// Systems Manager took it.
    Taken,
    /// It waits to be delivered.
    Pending,
    /// It could not be delivered yet, and is tried again.
    Delayed,
    /// The agent has it.
    InProgress,
    /// It is being cancelled.
    Cancelling,
    /// It has ended, and what it may have frozen is not known to be thawed.
    Ended,
}

impl Delivery {
    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Unanswered => "Systems Manager has not answered yet".to_owned(),
            Self::Taken => "Systems Manager took it".to_owned(),
            Self::Pending | Self::Delayed | Self::InProgress | Self::Cancelling => {
                format!("Systems Manager says {self}")
            }
            Self::Ended => "it ended, and no thaw is proven yet".to_owned(),
        }
    }
}

/// A freeze that was asked for, and of which nothing proves yet that it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// When the command that freezes was about to be sent, by the console's clock.
    pub sent: DateTime<Utc>,
    /// What was heard of it last.
    pub delivery: Delivery,
    /// The command that thaws could not be delivered yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thaw: Option<DelayedThaw>,
    /// When whoever settles the job has found nothing frozen, by the console's clock. The command that freezes may
    /// still begin, or the freeze would be over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing_at: Option<DateTime<Utc>>,
}

/// A thaw that Systems Manager says is delayed: the agent does not take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelayedThaw {
    /// When the failsafe on the instance has thawed at the latest; `None` where none of ours watches.
    pub failsafe_by: Option<DateTime<Utc>>,
}

impl DelayedThaw {
    /// In a sentence.
    pub fn words(self, now: DateTime<Utc>) -> String {
        let next = match self.failsafe_by.map(|by| (by - now).num_seconds()) {
            Some(left @ 0..) => format!("its failsafe thaws within {left} s"),
            Some(past) => format!("its failsafe was due {} s ago", -past),
            None => "no failsafe of ours watches it: look at the instance".to_owned(),
        };
        format!("its thaw is delayed, the SSM agent does not take it: {next}")
    }

    /// In a few words.
    pub fn short(self, now: DateTime<Utc>) -> String {
        match self.failsafe_by.map(|by| (by - now).num_seconds()) {
            Some(left @ 0..) => format!("thaw delayed, failsafe in {left} s"),
            Some(_) => "thaw delayed, failsafe was due".to_owned(),
            None => "thaw delayed, no failsafe".to_owned(),
        }
    }
}

/// What a job's record says of its freeze.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Freezing {
    /// Nothing: an earlier version wrote it. Its phase has to tell.
    #[default]
    Unrecorded,
    /// Nothing was frozen yet, or all of it is thawed.
    Over,
    /// Something is or may be frozen.
    Open(Freeze),
}

/// What a job holds frozen now, as far as anybody here knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Held {
    /// Nothing.
    Nothing,
    /// The command that freezes was sent, and nobody knows what it has done.
    MayBeFrozen {
        /// When it was sent.
        since: DateTime<Utc>,
        /// What Systems Manager says of it, where somebody has asked.
        delivery: Option<Delivery>,
    },
    /// It said that everything is frozen.
    Frozen {
        /// When that was heard.
        since: DateTime<Utc>,
    },
    /// The job gave up thawing, and nobody could confirm that nothing is frozen.
    ThawUnconfirmed {
        /// Since when something was or may have been frozen.
        since: Option<DateTime<Utc>>,
    },
}

impl Held {
    /// What the job holds.
    pub fn of(job: &JobView) -> Self {
        let open = match job.freezing {
            Freezing::Open(freeze) => Some(freeze),
            Freezing::Over | Freezing::Unrecorded => None,
        };
        if job.thaw_unconfirmed {
            let since = job.frozen_since.or(open.map(|freeze| freeze.sent));
            return Self::ThawUnconfirmed { since };
        }
        if job.phase == Phase::Done {
            return Self::Nothing;
        }
        if let Some(since) = job.frozen_since {
            return Self::Frozen { since };
        }
        if let Some(Freeze { sent, delivery, .. }) = open {
            return Self::MayBeFrozen {
                since: sent,
                delivery: Some(delivery),
            };
        }
        // Of a record that does not tell, what is on the way to a thaw may be frozen.
        let begun = job.phases.iter().find(|p| p.phase == Phase::Quiescing);
        match (job.freezing, begun) {
            (Freezing::Unrecorded, Some(begun)) if job.phase <= Phase::Thawing => {
                Self::MayBeFrozen {
                    since: begun.started,
                    delivery: None,
                }
            }
            _ => Self::Nothing,
        }
    }

    /// Whether there is anything to tell.
    pub fn is_something(self) -> bool {
        self != Self::Nothing
    }

    /// The moment from which the instance may hold a freeze.
    pub fn since(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Nothing => None,
            Self::MayBeFrozen { since, .. } | Self::Frozen { since } => Some(since),
            Self::ThawUnconfirmed { since } => since,
        }
    }

    /// The worse of two: an unconfirmed thaw, then what may be frozen and was not heard of, then a known freeze.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |held: Self| match held {
            Self::Nothing => 0,
            Self::Frozen { .. } => 1,
            Self::MayBeFrozen { .. } => 2,
            Self::ThawUnconfirmed { .. } => 3,
        };
        let earlier = other.since() < self.since();
        if rank(other) > rank(self) || (rank(other) == rank(self) && earlier) {
            other
        } else {
            self
        }
    }

    /// The words that name it, without colour: no two are alike.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing frozen",
            Self::MayBeFrozen { .. } => "MAY BE FROZEN",
            Self::Frozen { .. } => "FROZEN",
            Self::ThawUnconfirmed { .. } => "THAW UNCONFIRMED",
        }
    }

    /// For a cell of 18: the word, and for how long.
    pub fn short(self, now: DateTime<Utc>) -> String {
        match self {
            Self::Nothing => "-".to_owned(),
            Self::ThawUnconfirmed { .. } => self.word().to_owned(),
            Self::MayBeFrozen { since, .. } | Self::Frozen { since } => {
                format!("{} {}", self.word(), ago(since, now))
            }
        }
    }

    /// In a sentence.
    pub fn words(self, now: DateTime<Utc>) -> String {
        match self {
            Self::Nothing => "nothing is frozen".to_owned(),
            Self::MayBeFrozen { since, delivery } => {
                let says = delivery.map_or_else(String::new, |d| format!(", {}", d.words()));
                format!("may be frozen: sent {} s ago{says}", seconds(since, now))
            }
            Self::Frozen { since } => format!("FROZEN for {} s", seconds(since, now)),
            Self::ThawUnconfirmed { .. } => {
                "THAW UNCONFIRMED: nobody could confirm that it is thawed".to_owned()
            }
        }
    }
}

fn seconds(since: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    (now - since).num_seconds().max(0)
}

/// At most four characters.
fn ago(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match seconds(since, now) {
        s @ ..1_000 => format!("{s}s"),
        s @ 1_000..59_940 => format!("{}m", s / 60),
        s => format!("{}h", (s / 3_600).min(999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{PhaseRecord, sample};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds)
    }

    fn view(phase: Phase, freezing: Freezing) -> JobView {
        let mut view = sample::view("j", phase);
        view.freezing = freezing;
        view
    }

    fn open(delivery: Delivery) -> Freezing {
        Freezing::Open(Freeze {
            sent: at(1),
            delivery,
            thaw: None,
            nothing_at: None,
        })
    }

    #[test]
    fn what_was_sent_and_is_unanswered_may_be_frozen() {
        let held = Held::of(&view(Phase::Quiescing, open(Delivery::Delayed)));
        assert_eq!(
            held.words(at(43)),
            "may be frozen: sent 42 s ago, Systems Manager says Delayed"
        );
        assert_eq!(held.short(at(43)), "MAY BE FROZEN 42s");
        let unanswered = Held::of(&view(Phase::Quiescing, open(Delivery::Unanswered)));
        assert!(unanswered.words(at(2)).contains("not answered"));
    }

    #[test]
    fn a_delayed_thaw_says_when_the_failsafe_acts() {
        let by = |seconds| DelayedThaw {
            failsafe_by: seconds,
        };
        let hint = by(Some(at(60)));
        assert_eq!(
            hint.words(at(36)),
            "its thaw is delayed, the SSM agent does not take it: its failsafe thaws within 24 s"
        );
        assert!(hint.words(at(61)).ends_with("its failsafe was due 1 s ago"));
        assert!(by(None).words(at(0)).contains("no failsafe of ours"));
        assert_eq!(hint.short(at(36)), "thaw delayed, failsafe in 24 s");
        // What an earlier version wrote has no thaw.
        let old = r#"{"sent":"1970-01-01T00:00:01Z","delivery":"delayed"}"#;
        let old: Freeze = serde_json::from_str(old).unwrap();
        assert_eq!(old.thaw, None);
    }

    #[test]
    fn a_known_freeze_and_an_unconfirmed_thaw_are_told_apart_and_an_end_ends_it() {
        let mut job = view(Phase::Snapshotting, open(Delivery::Ended));
        job.frozen_since = Some(at(3));
        assert_eq!(Held::of(&job), Held::Frozen { since: at(3) });
        job.phase = Phase::Done;
        assert_eq!(Held::of(&job), Held::Nothing);
        job.thaw_unconfirmed = true;
        let since = Some(at(3));
        assert_eq!(Held::of(&job), Held::ThawUnconfirmed { since });
        let thawed = view(Phase::Thawing, Freezing::Over);
        assert_eq!(Held::of(&thawed), Held::Nothing);
    }

    #[test]
    fn a_record_of_an_earlier_version_is_told_by_its_phase() {
        let mut job = view(Phase::Thawing, Freezing::Unrecorded);
        assert_eq!(
            Held::of(&job),
            Held::Nothing,
            "it never reached its quiescing"
        );
        job.phases.push(PhaseRecord {
            phase: Phase::Quiescing,
            started: at(5),
            ended: None,
            failed: false,
        });
        assert_eq!(Held::of(&job).since(), Some(at(5)));
        job.phase = Phase::Verifying;
        assert_eq!(Held::of(&job), Held::Nothing);
    }

    #[test]
    fn every_word_fits_its_cell_and_none_is_like_another() {
        let all = [
            Held::MayBeFrozen {
                since: at(0),
                delivery: None,
            },
            Held::Frozen { since: at(0) },
            Held::ThawUnconfirmed { since: None },
        ];
        for now in [0, 999, 1_000, 59_940, 100_000_000] {
            for held in all {
                assert!(held.short(at(now)).len() <= 18, "{}", held.short(at(now)));
            }
        }
        assert_eq!(all[0].worse(all[2]), all[2]);
        assert_eq!(all[1].worse(all[0]), all[0]);
        assert_eq!(Held::Nothing.worse(all[1]), all[1]);
    }
}

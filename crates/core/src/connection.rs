//! What it means for a job that the SSM agent of its instance is not connected now. Its ping is believed for minutes
//! after its death, `GetConnectionStatus` knows at once; but that speaks of the message channel (ssmmessages) alone, and
//! an agent that may use no other than ec2messages is never connected and takes commands all the same.

use super::instance::Instance;
use super::problem::{Kind, Problem};

/// What a job would make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forecast {
    /// Nothing speaks against it: the agent is connected, or nobody can say.
    Clear,
    /// Its dry run finds out in seconds, and is taken back where no agent takes it. Nothing is frozen by it.
    Uncertain,
    /// It is refused: without a dry run the first to wait for the agent would be what freezes.
    Refused,
}

impl Forecast {
    /// By the connection as it was told, `None` where nobody could, and whether the job's document has a dry run.
    pub fn of(connected: Option<bool>, has_dry_run: bool) -> Self {
        match (connected, has_dry_run) {
            (Some(false), true) => Self::Uncertain,
            (Some(false), false) => Self::Refused,
            (Some(true) | None, _) => Self::Clear,
        }
    }
}

/// What is said of it, in one clause.
pub const CAUSE: &str =
    "its SSM agent is not connected, though Systems Manager may call it online for minutes more";

/// What may be, and what a job does about it, where it has a dry run.
pub const MAY_STILL_ANSWER: &str = "an agent that may use ec2messages alone is never connected and takes commands all the same: the \
                         job's dry run finds out in seconds, and freezes nothing";

/// What to do about it.
const HINT: &str = "check amazon-ssm-agent on the instance and its way to the SSM endpoints (ssmmessages, ec2messages)";

/// The agent of this instance is not connected.
pub fn not_connected(instance: &Instance) -> Problem {
    Problem::new(
        Kind::Agent,
        format!("check {} ({})", instance.name(), instance.id),
        CAUSE,
        HINT,
    )
}

/// The same, where it may still be reached.
pub fn may_not_connect(instance: &Instance) -> Problem {
    Problem {
        hint: format!("{HINT}; {MAY_STILL_ANSWER}"),
        ..not_connected(instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_agent_that_is_said_to_be_away_is_uncertain() {
        for (connected, has_dry_run, forecast) in [
            (Some(true), true, Forecast::Clear),
            (Some(true), false, Forecast::Clear),
            (None, true, Forecast::Clear),
            (None, false, Forecast::Clear),
            (Some(false), true, Forecast::Uncertain),
            (Some(false), false, Forecast::Refused),
        ] {
            assert_eq!(Forecast::of(connected, has_dry_run), forecast);
        }
    }
}

//! A command that Systems Manager ran: how it ended, what it said, and what its end alone says of its script.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::ids::CommandId;
use crate::problem::Problem;
use crate::script_exit::ScriptExit;
use crate::trace::Trace;

/// Longest delivery of a command that the console asks for, in seconds: one that has not begun by then
/// does not begin (aws-facts 3.1). Counted from the moment in which Systems Manager took it.
pub const DELIVERY_S: u64 = 30;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum CommandEnd {
    /// Exit code 0.
    Success,
    /// Another exit code.
    Failed {
        /// It.
        exit: ScriptExit,
    },
    /// A time limit of Systems Manager's passed.
    TimedOut {
        /// Whether it may have run, or run still.
        may_have_run: bool,
    },
    /// It certainly never reached the instance.
    NeverDelivered,
    /// Cancelled; what had run, had run.
    Cancelled {
        /// Whether it had begun. SIGKILL ended it then, wherever it was (aws-facts 3.7).
        may_have_run: bool,
    },
    /// The SSM agent lost the worker that followed it: the script may run still, and nobody hears of it.
    WorkerLost,
    /// Nobody can say.
    Lost(Problem),
}

/// A command's end and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// The command.
    pub command: CommandId,
    /// How it ended.
    pub ended: CommandEnd,
    /// Standard output, at most 24,000 characters.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// One command's part of the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandReport {
    /// The command.
    pub command: CommandId,
    /// It ended with exit code 0.
    pub succeeded: bool,
    /// What it said.
    pub trace: Trace,
}

/// Exit codes of Data Lifecycle Manager's contract by which a `pre-script` says itself that it froze nothing that it did
/// not thaw: failed, the automatic thaw was faster, frozen already by somebody else, not frozen, not ready (aws-facts 1.4).
/// A second delivery that finds the freeze of the first says 204 as well: what is frozen then is thawed by the
/// `post-script` that follows every failure.
const NOTHING_HELD: [ScriptExit; 5] = [
    ScriptExit::PreScriptFailed,
    ScriptExit::FailsafeFired,
    ScriptExit::AlreadyFrozen,
    ScriptExit::NotFrozen,
    ScriptExit::NotReady,
];

impl CommandEnd {
    /// What it is worth where it was heard so long after the command was sent. A cancel that came in time for its
    /// delivery kept it from beginning. One that came later cancels what the service gave up, and what the agent may have
    /// all the same: a command that arrives late runs, and nobody hears of it.
    #[must_use]
    pub fn heard_after(self, sent: TimeDelta) -> Self {
        let delivery = TimeDelta::seconds(i64::try_from(DELIVERY_S).unwrap_or(0));
        match self {
            // A clock that was set back tells nothing.
            Self::Cancelled {
                may_have_run: false,
            } if sent < TimeDelta::zero() || sent >= delivery => {
                Self::TimedOut { may_have_run: true }
            }
            heard => heard,
        }
    }

    /// Whether its script can certainly neither begin nor go on any more.
    pub fn is_conclusive(&self) -> bool {
        match self {
            Self::Success
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::NeverDelivered
            | Self::TimedOut {
                may_have_run: false,
            } => true,
            Self::TimedOut { may_have_run: true } | Self::WorkerLost | Self::Lost(_) => false,
        }
    }

    /// Whether a `pre-script` of which no more than this is known may have left frozen what it was to freeze. Only its
    /// own words say that it has not: whoever is killed, by whomever, has no say in his exit code.
    pub fn may_have_frozen(&self) -> bool {
        match self {
            Self::NeverDelivered
            | Self::TimedOut {
                may_have_run: false,
            }
            | Self::Cancelled {
                may_have_run: false,
            } => false,
            Self::Failed { exit } => !NOTHING_HELD.contains(exit),
            Self::Success
            | Self::Cancelled { may_have_run: true }
            | Self::TimedOut { may_have_run: true }
            | Self::WorkerLost
            | Self::Lost(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_documents_own_words_say_that_nothing_is_frozen() {
        for exit in -300..=300 {
            let held = CommandEnd::Failed {
                exit: ScriptExit::from(exit),
            }
            .may_have_frozen();
            assert_eq!(held, ![201, 203, 204, 205, 206].contains(&exit), "{exit}");
        }
        for (ended, held) in [
            (CommandEnd::Success, true),
            (CommandEnd::WorkerLost, true),
            (CommandEnd::TimedOut { may_have_run: true }, true),
            (CommandEnd::Cancelled { may_have_run: true }, true),
            (
                CommandEnd::Cancelled {
                    may_have_run: false,
                },
                false,
            ),
            (CommandEnd::NeverDelivered, false),
        ] {
            assert_eq!(ended.may_have_frozen(), held, "{ended:?}");
        }
    }

    #[test]
    fn a_cancel_is_no_proof_once_the_time_of_delivery_is_over() {
        let never = CommandEnd::Cancelled {
            may_have_run: false,
        };
        for (seconds, proof) in [(-1, false), (0, true), (29, true), (30, false), (45, false)] {
            let heard = never.clone().heard_after(TimeDelta::seconds(seconds));
            assert_eq!(heard.is_conclusive(), proof, "{seconds}");
            assert_eq!(heard.may_have_frozen(), !proof, "{seconds}");
        }
        let failed = CommandEnd::Failed {
            exit: ScriptExit::PreScriptFailed,
        };
        assert_eq!(failed.clone().heard_after(TimeDelta::days(1)), failed);
    }

    #[test]
    fn a_worker_that_is_gone_ends_nothing() {
        assert!(!CommandEnd::WorkerLost.is_conclusive());
        assert!(
            CommandEnd::Failed {
                exit: ScriptExit::Unstated
            }
            .is_conclusive()
        );
    }
}

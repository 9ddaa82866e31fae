//! A command that was sent, and what became of it on each instance.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::document::{Parameters, Step};

/// The detailed state of an invocation; `Display` spells it as the API does, without blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub enum Detail {
    Pending,
    /// On its way: the agent may have it or not, and the service calls it `InProgress`.
    #[strum(serialize = "InProgress")]
    Sent,
    /// The agent is not connected: delivery is tried again.
    Delayed,
    InProgress,
    Success,
    DeliveryTimedOut,
    ExecutionTimedOut,
    Failed,
    Cancelling,
    Cancelled,
    Terminated,
    InvalidPlatform,
}

impl Detail {
    /// The command's coarse status.
    pub fn status(self) -> &'static str {
        match self {
            Self::Pending | Self::Delayed => "Pending",
            Self::Sent | Self::InProgress => "InProgress",
            Self::Success => "Success",
            Self::DeliveryTimedOut | Self::ExecutionTimedOut => "TimedOut",
            Self::Failed | Self::Terminated | Self::InvalidPlatform => "Failed",
            Self::Cancelling => "Cancelling",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Nothing changes any more.
    pub fn terminal(self) -> bool {
        !self.undelivered() && !matches!(self, Self::InProgress | Self::Cancelling)
    }

    /// No agent has it yet.
    pub fn undelivered(self) -> bool {
        matches!(self, Self::Pending | Self::Sent | Self::Delayed)
    }

    /// Counts towards `MaxErrors`.
    pub fn is_error(self) -> bool {
        matches!(self, Self::Failed | Self::ExecutionTimedOut)
    }
}

/// One step on one instance.
#[derive(Debug, Clone)]
pub(super) struct Plugin {
    pub step: Step,
    pub detail: Detail,
    /// -1 until it has ended.
    pub code: i32,
    pub started: Option<DateTime<Utc>>,
    pub ended: Option<DateTime<Utc>>,
    pub stdout: String,
    pub stderr: String,
}

/// A command on one instance.
#[derive(Debug, Clone)]
pub(super) struct InvocationRecord {
    pub instance: String,
    pub instance_name: String,
    pub detail: Detail,
    pub plugins: Vec<Plugin>,
    pub cancel: CancellationToken,
}

/// A command.
#[derive(Debug, Clone)]
pub(super) struct CommandRecord {
    pub id: String,
    pub document: String,
    /// As the request said it.
    pub version: String,
    pub comment: String,
    pub parameters: Parameters,
    pub instance_ids: Vec<String>,
    pub targets: Value,
    pub requested: DateTime<Utc>,
    /// From when the invocations can be read.
    pub visible: DateTime<Utc>,
    /// Delivery timeout.
    pub delivery: Duration,
    /// Sum of the steps' time limits.
    pub execution: Duration,
    pub max_concurrency: String,
    pub max_errors: String,
    pub invocations: Vec<InvocationRecord>,
}

impl CommandRecord {
    /// About how many bytes of memory it holds, its output at its longest included.
    pub(super) fn weight(&self) -> usize {
        /// Output of one step that comes back, in bytes of mostly ASCII.
        const OUTPUT: usize = 4 << 10;
        let said: usize = self
            .parameters
            .iter()
            .map(|(name, values)| {
                name.len() + values.iter().map(|value| value.len() + 24).sum::<usize>()
            })
            .sum();
        let rest = self.version.len()
            + self.targets.to_string().len()
            + self.instance_ids.len() * 48
            + self.comment.len();
        let invocations = self.invocations.iter().map(|invocation| {
            let steps = invocation.plugins.iter();
            256 + steps
                .map(|plugin| plugin.step.weight() + OUTPUT)
                .sum::<usize>()
        });
        512 + said + rest + invocations.sum::<usize>()
    }

    pub(super) fn invocation(&self, instance: &str) -> Option<&InvocationRecord> {
        self.invocations
            .iter()
            .find(|invocation| invocation.instance == instance)
    }

    pub(super) fn invocation_mut(&mut self, instance: &str) -> Option<&mut InvocationRecord> {
        self.invocations
            .iter_mut()
            .find(|invocation| invocation.instance == instance)
    }

    /// When everything about it is over.
    pub(super) fn expires(&self) -> DateTime<Utc> {
        self.requested
            + chrono::Duration::from_std(self.delivery + self.execution)
                .unwrap_or(chrono::Duration::MAX)
    }

    pub(super) fn count(&self, fits: impl Fn(Detail) -> bool) -> usize {
        self.invocations
            .iter()
            .filter(|invocation| fits(invocation.detail))
            .count()
    }

    /// How many errors stop the sending: one more than `MaxErrors` allows.
    pub(super) fn error_limit(&self) -> usize {
        amount(&self.max_errors, self.invocations.len())
    }

    /// Status and details of the command as a whole. An invocation on a platform that does not fit makes a command
    /// neither Failed nor Incomplete beside one that succeeded.
    pub(super) fn summary(&self) -> (&'static str, &'static str) {
        let of = |wanted: Detail| self.count(|detail| detail == wanted);
        let all = self.invocations.len();
        if all == 0 {
            return ("Success", "NoInstancesInTag");
        }
        if self.count(|detail| !detail.terminal()) > 0 {
            return match () {
                () if of(Detail::Cancelling) > 0 => ("Cancelling", "Cancelling"),
                () if of(Detail::Delayed) == all => ("Pending", "Delayed"),
                () if of(Detail::Pending) + of(Detail::Delayed) == all => ("Pending", "Pending"),
                () => ("InProgress", "InProgress"),
            };
        }
        let (errors, lost, odd) = (
            self.count(Detail::is_error),
            of(Detail::DeliveryTimedOut),
            of(Detail::InvalidPlatform),
        );
        match () {
            () if errors > self.error_limit() || of(Detail::Terminated) > 0 => ("Failed", "Failed"),
            () if of(Detail::Cancelled) > 0 => ("Cancelled", "Cancelled"),
            () if odd == all => ("Failed", "Failed"),
            () if lost > 0 && lost + odd == all => ("TimedOut", "DeliveryTimedOut"),
            () if errors + lost > 0 => ("Failed", "Incomplete"),
            () => ("Success", "Success"),
        }
    }
}

/// A number of targets, or a percentage of them.
pub(super) fn amount(text: &str, targets: usize) -> usize {
    match text.strip_suffix('%') {
        Some(percent) => targets.saturating_mul(percent.parse::<usize>().unwrap_or(0)) / 100,
        None => text.parse().unwrap_or(0),
    }
}

//! What goes into the machine and what comes out of it.

use crate::state::SnapshotState;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::CommandOutcome;
use crate::held::Delivery;
use crate::ids::{CommandId, SnapshotId};
use crate::label::{Label, Written};
use crate::metrics::Metric;
use crate::preflight::PreflightFacts;
use crate::problem::Problem;
use crate::set_plan::SetPlan;
use crate::snapshot::CreatedSnapshot;

/// How far AWS is with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotProgress {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Where it is.
    pub state: SnapshotState,
    /// 0 to 100.
    pub percent: u8,
    /// Full size of its written blocks in bytes, once EC2 tells it (aws-facts 4.1).
    #[serde(default)]
    pub full_bytes: Option<u64>,
}

/// One value of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// Which metric.
    pub metric: Metric,
    /// Dimension `Drive`: the device name.
    pub drive: String,
    /// In the metric's unit.
    pub value: f64,
}

/// What may take too long.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::EnumIter,
)]
pub enum Timer {
    /// Preflight.
    Preflight,
    /// `pre-script`, or `snapshot` in autonomous mode, delivery included.
    Quiesce,
    /// `CreateSnapshots` while the freeze holds: a share of the budget.
    Call,
    /// The late answer of `CreateSnapshots`, after the thaw.
    Answer,
    /// One `post-script`.
    Thaw,
    /// The pause before the next `post-script`.
    ThawRetry,
    /// Looking for the snapshots by their tag.
    Find,
    /// Writing labels.
    Labels,
    /// The pause before labels are written again.
    LabelRetry,
    /// AWS's copying.
    Complete,
    /// Publishing metrics.
    Publish,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEvent {
    /// Its turn has come.
    Start,
    /// Preflight ended.
    Preflight(Result<PreflightFacts, Problem>),
    /// The command that freezes was sent, or not: `pre-script`, or `snapshot` in autonomous mode.
    PreSent(Result<CommandId, Problem>),
    /// Systems Manager says that the command that freezes has not ended, and how far it is.
    PreDelivery(Delivery),
    /// Systems Manager says that the `post-script` sent last has not ended, and how far it is.
    PostDelivery(Delivery),
    /// The command that freezes ended.
    PreEnded(CommandOutcome),
    /// Autonomous mode: EC2 shows a set with the job's tag while `snapshot` is under way.
    SetAppeared(Vec<CreatedSnapshot>),
    /// Somebody else has asked for this job's thaw (`jobs abort`): when that took hold is not known.
    ReleaseSeen,
    /// Somebody thawed again after the job had given up, and the instance itself said that nothing is frozen.
    ThawProven,
    /// The set is made by that plan: told where preflight could not tell it.
    Planned(SetPlan),
    /// `CreateSnapshots` answered.
    SnapshotsAnswered(Result<Vec<CreatedSnapshot>, Problem>),
    /// `post-script` was sent, or not.
    PostSent(Result<CommandId, Problem>),
    /// A `post-script` ended.
    PostEnded(CommandOutcome),
    /// The search by tag ended; an empty list means that none was made.
    SnapshotsFound(Result<Vec<CreatedSnapshot>, Problem>),
    /// An attempt to write labels ended.
    LabelsWritten {
        /// Which.
        attempt: u32,
        /// Which labels stand by it.
        written: Written,
    },
    /// How far the copying is.
    Progress(Vec<SnapshotProgress>),
    /// Metrics were published, or not.
    Published(Result<(), Problem>),
    /// A timer that was armed ran out.
    TimedOut(Timer),
    /// The operator wants it to stop.
    Cancel,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEffect {
    /// Check; answer with [`JobEvent::Preflight`].
    Preflight,
    /// Systems Manager was too busy to take the command that freezes: wait once more for all that a freeze must
    /// not wait for, and answer with [`JobEvent::Preflight`] and these facts.
    TakeTurn(PreflightFacts),
    /// Send `pre-script`; answer with [`JobEvent::PreSent`], then [`JobEvent::PreEnded`]. Never emitted again, unless
    /// it was certainly not taken.
    SendPre,
    /// Autonomous mode. Send `snapshot`, which freezes, calls and thaws; answer with [`JobEvent::PreSent`],
    /// then [`JobEvent::PreEnded`], and with [`JobEvent::SetAppeared`] once, if the set shows before. Never
    /// emitted again, unless it was certainly not taken, and never together with [`JobEffect::SendPre`].
    SendSnapshot,
    /// One call for every volume of the instance, root included, tagged `pending`. Never emitted twice, and
    /// in autonomous mode only when the instance has certainly made no set.
    CreateSnapshots,
    /// Send `post-script`; answer with [`JobEvent::PostSent`], then [`JobEvent::PostEnded`].
    SendPost,
    /// Ask for a command's end, best effort.
    CancelCommand(CommandId),
    /// Look for the set by its tag; answer with [`JobEvent::SnapshotsFound`].
    FindSnapshots,
    /// Write these; answer with [`JobEvent::LabelsWritten`].
    WriteLabels {
        /// Attempts are told apart: an earlier one may be under way still, and end later.
        attempt: u32,
        /// These.
        labels: Vec<Label>,
    },
    /// Read the set's progress until every member is `completed`, `error` or [`SnapshotState::Gone`]; [`JobEvent::Progress`] each
    /// time.
    WatchProgress,
    /// Publish; answer with [`JobEvent::Published`].
    Publish(Vec<MetricValue>),
    /// Send [`JobEvent::TimedOut`] after that long; replaces an older one of the same name.
    Arm {
        /// Which.
        timer: Timer,
        /// How long.
        after: Duration,
    },
    /// Forget a timer.
    Disarm(Timer),
}

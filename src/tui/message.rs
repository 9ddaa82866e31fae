//! What reaches the screens: answers with the generation that asked, job state, progress, notices.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::effect::Generation;
use crate::domain::credentials::Source;
use crate::domain::ids::{InstanceId, JobId, Scope};
use crate::domain::instance::Instance;
use crate::domain::inventory::Image;
use crate::domain::job::JobView;
use crate::domain::metrics::Series;
use crate::domain::problem::Problem;
pub use crate::domain::prune::PruneProgress;
use crate::domain::prune::PruneRecord;
use crate::domain::restore::{RestorePlan, RestoreView};
use crate::domain::retention::PrunePlan;
use crate::domain::snapshot::Snapshot;
use crate::domain::volume::Volume;

/// Who and where we are, as STS and the session told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Proven account and region.
    pub scope: Scope,
    /// ARN of the caller.
    pub arn: String,
    /// Whose credentials.
    pub source: Source,
    /// Writes are refused.
    pub read_only: bool,
    /// `simulated` or `real` when the lab answers; `None` at AWS.
    pub lab: Option<String>,
    /// The instances are this process's own: the embedded lab's.
    pub own_world: bool,
    /// Which region has the instances, in a region of a lab that has none.
    pub elsewhere: Option<String>,
}

/// One part of the fleet; each pane loads and fails by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Who we are.
    Identity(Result<Identity, Problem>),
    /// Instances joined with their agents.
    Instances(Result<Vec<Instance>, Problem>),
    /// Volumes.
    Volumes(Result<Vec<Volume>, Problem>),
    /// Snapshots, and the images that hold some.
    Snapshots(Result<(Vec<Snapshot>, Vec<Image>), Problem>),
}

/// Prunes and restores on record, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Prunes.
    pub prunes: Vec<PruneRecord>,
    /// Restores, each with when it began.
    pub restores: Vec<(DateTime<Utc>, RestoreView)>,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A part of the fleet.
    Fleet {
        /// Which question it answers.
        generation: Generation,
        /// Which part, and what came of it.
        part: Part,
    },
    /// Whether the SSM agent of an instance is connected now; `None` where nobody can say.
    Connection {
        /// The instance.
        instance: InstanceId,
        /// Whether it is; `None` where nobody could say.
        connected: Option<bool>,
    },
    /// The journal's jobs, newest first.
    Jobs {
        /// Which question it answers.
        generation: Generation,
        /// The answer.
        result: Result<Vec<JobView>, Problem>,
    },
    /// What the journal has of one job; an old one does not change, so this is never stale.
    JobRead {
        /// The job.
        job: JobId,
        /// The answer.
        result: Result<Option<Box<JobView>>, Problem>,
    },
    /// A job that this console drives changed; every state change is delivered.
    Job(Box<JobView>),
    /// Jobs that it does not drive changed: what another process wrote.
    Others(Vec<JobView>),
    /// What this console does for a job that nobody drives: told before each step, with `waiting` for what is being
    /// done, and without it when it lets the job go.
    Settling(Box<JobView>),
    /// The open jobs whose process is known to be gone, and which nobody has resumed yet.
    Abandoned(BTreeSet<JobId>),
    /// Metrics of one instance.
    Metrics {
        /// Which question it answers.
        generation: Generation,
        /// The answer.
        result: Result<Vec<Series>, Problem>,
    },
    /// What the journal has of prunes and restores; it is shown as it was asked for last.
    Past(Result<Box<Past>, Problem>),
    /// A prune plan.
    PrunePlanned {
        /// Which question it answers.
        generation: Generation,
        /// The answer.
        result: Result<Box<PrunePlan>, Problem>,
    },
    /// A prune goes on.
    Prune(PruneProgress),
    /// A restore plan.
    RestorePlanned {
        /// Which question it answers.
        generation: Generation,
        /// The answer.
        result: Result<Box<RestorePlan>, Problem>,
    },
    /// A restore goes on.
    Restore(Box<RestoreView>),
    /// Something that a person should read.
    Notice(Problem),
}

//! What the screens ask the program to do. Carried out by the executor; answers come back as messages.

use crate::domain::ids::{InstanceId, JobId, RunId};
use crate::domain::job::OnFailure;
use crate::domain::mode::AskedMode;
use crate::domain::restore::{RestorePlan, RestoreRequest};
use crate::domain::retention::{Policy, PrunePlan};
use crate::domain::set_plan::SetOptions;

/// Numbers each question; an answer that carries an older number than the last question is dropped.
pub type Generation = u64;

/// A run to start, as reviewed in the dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRequest {
    /// The run's id, so that the screen can show it before the first answer.
    pub run: RunId,
    /// Instances, as marked.
    pub instances: Vec<InstanceId>,
    /// Recipe for all of them; `None` takes each one's tag.
    pub recipe: Option<String>,
    /// Who calls `CreateSnapshots`.
    pub mode: AskedMode,
    /// Freeze `/` too; autonomous mode only.
    pub freeze_root: bool,
    /// Failsafe budget in seconds, 1 to 999; `None` takes each recipe's.
    pub budget_s: Option<u32>,
    /// What to do when quiescing fails.
    pub on_failure: OnFailure,
    /// Which volumes to leave out, and tags to add beside the configuration's.
    pub set: SetOptions,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask STS who we are, then read instances (with agents), volumes and snapshots, each answering by itself.
    LoadFleet(Generation),
    /// Read the credentials again from where they come from, before the next call.
    RenewCredentials,
    /// Ask of these instances whether their SSM agents are connected now.
    AskConnections(Vec<InstanceId>),
    /// Read the jobs in the journal.
    LoadJobs(Generation),
    /// Look one job up in the journal.
    LoadJob(JobId),
    /// Read the backup metrics of one instance over the last `days` days.
    LoadMetrics {
        /// Which question it answers.
        generation: Generation,
        /// The instance.
        instance: InstanceId,
        /// How many days back.
        days: u32,
    },
    /// Start a run.
    StartRun(RunRequest),
    /// Thaw and stop one job.
    CancelJob(JobId),
    /// Thaw and stop every job but these.
    StopAll {
        /// The jobs to leave alone.
        spare: Vec<JobId>,
    },
    /// Thaw the instance of a job whose thaw nobody could confirm, and say what came of it.
    ThawAgain(JobId),
    /// Make a prune plan from a fresh reading of the account.
    PlanPrune {
        /// Which question it answers.
        generation: Generation,
        /// The policy.
        policy: Policy,
    },
    /// Carry out exactly this plan.
    RunPrune(Box<PrunePlan>),
    /// Stop the prune after the calls under way.
    StopPrune,
    /// Read the prunes and restores in the journal.
    LoadPast,
    /// Make a restore plan.
    PlanRestore {
        /// Which question it answers.
        generation: Generation,
        /// What is asked.
        request: RestoreRequest,
    },
    /// Carry out exactly this plan.
    RunRestore(Box<RestorePlan>),
    /// Put text on the clipboard of the terminal (OSC 52).
    Copy(String),
    /// Leave the screen; what runs goes on until it ends, then the program ends.
    Detach,
    /// Leave.
    Quit,
}

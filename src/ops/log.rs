//! What the log says of a run, a job and a command: every line below a job names it.

use tokio::task::JoinHandle;
use tracing::{Instrument as _, Span};

use crate::domain::ids::CommandId;
use crate::domain::job::{JobSpec, JobView, Phase};

/// The span of a job, in that of its run.
pub(super) fn of_job(spec: &JobSpec) -> Span {
    let run = tracing::info_span!("run", run = %spec.run);
    tracing::info_span!(parent: &run, "job", job = %spec.job, instance = %spec.instance)
}

/// The span of a command, in that of its job.
pub(super) fn of_command(command: &CommandId) -> Span {
    tracing::info_span!("command", command = %command)
}

/// Spawns work that logs below the span of whoever asks for it.
pub(super) fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(work.in_current_span())
}

/// The phase that the log has of a job.
#[derive(Debug, Default)]
pub(super) struct Logged(Option<Phase>);

impl Logged {
    /// Writes a line where the job has entered another phase, and one more where it is over.
    pub(super) fn note(&mut self, view: &JobView) {
        if self.0.replace(view.phase) == Some(view.phase) {
            return;
        }
        let (phase, problem) = (&view.phase, view.error.as_ref());
        match (view.verdict, problem) {
            (Some(verdict), Some(problem)) => tracing::info!(
                %phase, %verdict, %problem, request_id = problem.request_id, "the job is over"
            ),
            (Some(verdict), None) => tracing::info!(%phase, %verdict, "the job is over"),
            (None, _) => tracing::info!(%phase, "the job enters a phase"),
        }
    }
}

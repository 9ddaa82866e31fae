//! Waiting for what others do: commands and copies. How often is asked, and how many at a time, is the
//! session's affair, because all jobs share its questions.

use chrono::TimeDelta;
use tokio::sync::mpsc;

use super::Ops;
use crate::domain::ids::{CommandId, SnapshotId};
use crate::domain::job::JobSpec;
use crate::domain::machine::{CommandOutcome, Event, SnapshotProgress};
use crate::domain::problem::Kind;

/// A command was sent at most this long ago when somebody begins to wait for it; clocks that differ are
/// allowed for.
const SENT_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// Follows a command to its end. Asking that fails for long makes the command *lost*, which proves nothing.
pub(super) async fn follow(ops: &Ops, spec: &JobSpec, command: &CommandId) -> CommandOutcome {
    let invoked_after = ops.clock.now() - SENT_WITHIN;
    ops.session
        .outcome(command, &spec.instance, invoked_after)
        .await
}

/// Reports how far AWS is with these snapshots, until each is `completed` or `error` or nobody listens.
pub(super) async fn watch_progress(ops: Ops, ids: Vec<SnapshotId>, events: mpsc::Sender<Event>) {
    let mut answers = ops.session.progress_of(ids.clone());
    loop {
        let answer = tokio::select! {
            () = events.closed() => return,
            answer = answers.recv() => answer,
        };
        match answer {
            None => return,
            Some(Ok(now)) => {
                let progress: Vec<SnapshotProgress> = now
                    .into_iter()
                    .map(|s| SnapshotProgress {
                        percent: if s.state == "completed" {
                            100
                        } else {
                            s.progress.unwrap_or(0)
                        },
                        snapshot: s.id,
                        state: s.state,
                    })
                    .collect();
                let over = progress.len() == ids.len()
                    && progress
                        .iter()
                        .all(|p| matches!(p.state.as_str(), "completed" | "error"));
                if events.send(Event::Progress(progress)).await.is_err() || over {
                    return;
                }
            }
            Some(Err(problem)) if problem.kind == Kind::Credentials => {
                tracing::warn!(%problem, "progress cannot be read any more");
            }
            Some(Err(problem)) => {
                tracing::warn!(%problem, "reading progress failed, reading again");
            }
        }
    }
}

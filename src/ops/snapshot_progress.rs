//! Watches AWS copy the snapshots of a set, and finds out which of them are gone. All jobs share the session's questions.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::domain::ids::SnapshotId;
use crate::domain::machine::{JobEvent, SnapshotProgress};
use crate::domain::problem::Kind;
use crate::domain::snapshot::Snapshot;
use crate::domain::state::SnapshotState;
use crate::ops::Ops;

/// A snapshot that was made so long ago is shown everywhere (aws-facts 8.3: five minutes, and as much again): what is
/// missing since then, in so many good answers one after the other, is asked for by its id, and gone where EC2 knows
/// of none.
pub(in crate::ops) const GONE_AFTER: Duration = Duration::from_secs(10 * 60);
const GONE_LOOKS: u32 = 20;

/// The snapshots that the last good answers did not show.
#[derive(Default)]
struct Missing {
    /// Since when, and in how many answers.
    looks: HashMap<SnapshotId, (Instant, u32)>,
    gone: BTreeSet<SnapshotId>,
}

impl Missing {
    /// Takes a good answer in. What it lacks and is there all the same is added to it.
    async fn look(&mut self, ops: &Ops, ids: &[SnapshotId], shown: &mut Vec<Snapshot>) {
        self.looks
            .retain(|id, _| !shown.iter().any(|s| s.id == *id));
        for id in ids {
            if self.gone.contains(id) || shown.iter().any(|s| s.id == *id) {
                continue;
            }
            let (since, looks) = self.looks.entry(id.clone()).or_insert((Instant::now(), 0));
            *looks += 1;
            if *looks < GONE_LOOKS || since.elapsed() < GONE_AFTER {
                continue;
            }
            match ops.session.snapshot(id).await {
                Ok(None) => {
                    self.gone.insert(id.clone());
                }
                Ok(Some(there)) => shown.push(there),
                Err(problem) => {
                    tracing::warn!(%problem, "whether a snapshot is gone is not known, asking again");
                }
            }
        }
    }
}

/// Reports how far AWS is with these snapshots, until each is `completed`, `error` or gone, or nobody listens.
pub(in crate::ops) async fn watch_progress(
    ops: Ops,
    ids: Vec<SnapshotId>,
    events: mpsc::Sender<JobEvent>,
) {
    let mut answers = ops.session.progress_of(ids.clone());
    let mut missing = Missing::default();
    loop {
        let answer = tokio::select! {
            () = events.closed() => return,
            answer = answers.recv() => answer,
        };
        match answer {
            None => return,
            Some(Ok(mut now)) => {
                missing.look(&ops, &ids, &mut now).await;
                let gone = missing.gone.iter().map(|id| SnapshotProgress {
                    snapshot: id.clone(),
                    state: SnapshotState::Gone,
                    percent: 0,
                    full_bytes: None,
                });
                let progress: Vec<SnapshotProgress> = now
                    .into_iter()
                    .filter(|s| !missing.gone.contains(&s.id))
                    .map(|s| SnapshotProgress {
                        percent: if s.state == SnapshotState::Completed {
                            100
                        } else {
                            s.progress.unwrap_or(0)
                        },
                        full_bytes: s.full_bytes,
                        snapshot: s.id,
                        state: s.state,
                    })
                    .chain(gone)
                    .collect();
                let over =
                    progress.len() == ids.len() && progress.iter().all(|p| p.state.has_ended());
                if events.send(JobEvent::Progress(progress)).await.is_err() || over {
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

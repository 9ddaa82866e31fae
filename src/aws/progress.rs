//! One reader of progress for all sets that are being copied: ids of every set that is due go into one
//! question.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::convert;
use super::error::problem;
use super::session::Session;
use crate::domain::ids::SnapshotId;
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};
use crate::domain::snapshot::Snapshot;

/// Pause between two looks at a set, growing.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15);
/// Least time between two questions, so that sets which become due meanwhile share the next.
const GATHER: Duration = Duration::from_millis(500);

/// The sets that somebody watches. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    serving: bool,
    watches: BTreeMap<u64, Watch>,
}

#[derive(Debug)]
struct Watch {
    ids: Vec<SnapshotId>,
    pause: Duration,
    due: Instant,
    updates: mpsc::Sender<Result<Vec<Snapshot>, Problem>>,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

impl Session {
    /// This snapshot as it is now, asked for by its id: `None` when EC2 says that there is none of that id.
    ///
    /// # Errors
    /// Whatever else AWS answered; an answer that neither shows it nor denies it.
    pub async fn snapshot(&self, id: &SnapshotId) -> Result<Option<Snapshot>, Problem> {
        let what = &format!("read snapshot {id}");
        self.pace.take(Bucket::DescribeSnapshots).await;
        let answer = self
            .ec2
            .describe_snapshots()
            .snapshot_ids(id.as_str())
            .send()
            .await
            .map_err(|e| problem(what, &e));
        let out = match answer {
            Err(problem) if problem.code.as_deref() == Some("InvalidSnapshot.NotFound") => {
                return Ok(None);
            }
            answer => answer?,
        };
        let row = out.snapshots().first();
        let row = row.and_then(|s| convert::snapshot(self.scope(), s));
        row.map(Some).ok_or_else(|| {
            Problem::new(
                Kind::Malformed,
                what.as_str(),
                "the answer neither shows the snapshot nor says that there is none",
                "try again; nothing follows from such an answer",
            )
        })
    }

    /// Reads these snapshots again and again, seldom at the end, until the receiver is dropped. One that
    /// is not visible is missing from the answer.
    pub fn progress_of(
        &self,
        ids: Vec<SnapshotId>,
    ) -> mpsc::Receiver<Result<Vec<Snapshot>, Problem>> {
        // One answer is kept; who has not taken it yet misses the next, and takes the one after that.
        let (updates, inbox) = mpsc::channel(1);
        let serve = {
            let mut state = self.progress.state();
            let key = state.next;
            state.next += 1;
            state.watches.insert(
                key,
                Watch {
                    ids,
                    pause: FIRST,
                    due: Instant::now(),
                    updates,
                },
            );
            !std::mem::replace(&mut state.serving, true)
        };
        if serve {
            tokio::spawn(self.clone().serve_progress());
        }
        self.progress.0.changed.notify_one();
        inbox
    }

    async fn serve_progress(self) {
        let mut asked: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let (due, wake) = {
                let mut state = self.progress.state();
                state.watches.retain(|_, watch| !watch.updates.is_closed());
                let Some(next) = state.watches.values().map(|w| w.due).min() else {
                    state.serving = false;
                    return;
                };
                let wake = next.max(asked.map_or(now, |at| at + GATHER));
                let due: BTreeSet<u64> = state
                    .watches
                    .iter()
                    .filter(|(_, w)| w.due <= now)
                    .map(|(key, _)| *key)
                    .collect();
                (due, wake)
            };
            if wake > now {
                let changed = self.progress.0.changed.notified();
                tokio::select! {
                    () = tokio::time::sleep_until(wake) => {}
                    () = changed => {}
                }
                continue;
            }
            asked = Some(now);
            self.read_due(&due).await;
        }
    }

    async fn read_due(&self, due: &BTreeSet<u64>) {
        let mut ids: Vec<SnapshotId> = Vec::new();
        for key in due {
            if let Some(watch) = self.progress.state().watches.get(key) {
                ids.extend(watch.ids.iter().cloned());
            }
        }
        ids.sort();
        ids.dedup();
        let answer = self.snapshots_by_id(&ids).await;
        let by_id = answer.map(|rows| {
            rows.into_iter()
                .map(|row| (row.id.clone(), row))
                .collect::<HashMap<_, _>>()
        });
        let now = Instant::now();
        let mut state = self.progress.state();
        for key in due {
            let Some(watch) = state.watches.get_mut(key) else {
                continue;
            };
            let mine = by_id.as_ref().map_err(Clone::clone).map(|rows| {
                watch
                    .ids
                    .iter()
                    .filter_map(|id| rows.get(id).cloned())
                    .collect()
            });
            let _ = watch.updates.try_send(mine);
            watch.due = now + watch.pause;
            watch.pause = watch.pause.mul_f32(1.3).min(LONGEST);
        }
    }
}

//! Carrying out exactly the plan that was reviewed, as fast as EC2's bucket allows.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::TimeDelta;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan;
use super::record::Record;
use crate::domain::ids::SnapshotId;
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};
use crate::domain::prune::{PruneProgress, Speed};
use crate::domain::retention::{self, Decision, PrunePlan};
use crate::jobs::journal::deletion;
use crate::ops::Ops;

/// Sets that are read again together, just before they are deleted.
const SETS: usize = 20;
/// Sets whose snapshots are deleted side by side: EC2's bucket is the bound, not the way there and back.
const SIDE_BY_SIDE: usize = 4;
/// Snapshots that are asked side by side with whom they are shared.
const QUESTIONS: usize = 8;
/// How often a deletion is tried that was throttled, or whose answer was lost.
const TRIES: u32 = 6;
/// What "of late" means for the rate.
const OF_LATE: Duration = Duration::from_secs(10);

/// Deletes exactly what the plan says. Sets are read again just before; anything that has changed since the review
/// stops the run there, and `stop` stops it after the calls under way.
///
/// # Errors
/// The plan is of another account or region, the session is read-only, something has changed before the first
/// deletion, or the journal refuses.
pub async fn run(
    ops: &Ops,
    plan: &PrunePlan,
    updates: &mpsc::Sender<PruneProgress>,
    stop: &CancellationToken,
) -> Result<PruneProgress, Problem> {
    ops.session.may_write("prune", &plan.scope)?;
    let progress = PruneProgress::of(plan.doomed().len());
    let _ = updates.send(progress.clone()).await;
    tokio::select! {
        checked = still_wanted(ops, plan) => checked?,
        () = stop.cancelled() => return Ok(ended(progress, stopped(), updates).await),
    }
    super::allowed(ops, plan).await?;
    let record = Record::begin(ops, plan)?;
    let run = Run {
        ops,
        id: record.id(),
        updates,
        stop,
        state: Mutex::new(RunState {
            progress,
            ends: VecDeque::new(),
        }),
    };
    let all: Vec<&Decision> = plan.deletions().collect();
    let mut end = None;
    for sets in all.chunks(SETS) {
        end = run.delete_sets(sets).await.err();
        if end.is_some() {
            break;
        }
    }
    let progress = run.state.into_inner().progress;
    let progress = match end {
        Some(problem) => ended(progress, problem, updates).await,
        None => {
            let progress = PruneProgress {
                finished: true,
                speed: None,
                ..progress
            };
            let _ = updates.send(progress.clone()).await;
            progress
        }
    };
    record.end(&progress);
    Ok(progress)
}

async fn ended(
    progress: PruneProgress,
    problem: Problem,
    updates: &mpsc::Sender<PruneProgress>,
) -> PruneProgress {
    let progress = PruneProgress {
        stopped: Some(problem),
        finished: true,
        speed: None,
        ..progress
    };
    let _ = updates.send(progress.clone()).await;
    progress
}

fn stopped() -> Problem {
    Problem::new(
        Kind::Cancelled,
        "prune",
        "it was stopped",
        "what is left stays; plan and review again to go on: a set that is half deleted goes with that plan",
    )
}

/// One run.
struct Run<'a> {
    ops: &'a Ops,
    /// Its calls are on record under it.
    id: &'a str,
    updates: &'a mpsc::Sender<PruneProgress>,
    stop: &'a CancellationToken,
    state: Mutex<RunState>,
}

struct RunState {
    progress: PruneProgress,
    /// When the latest deletions ended.
    ends: VecDeque<Instant>,
}

impl Run<'_> {
    /// Reads some sets again and deletes them.
    ///
    /// # Errors
    /// Why the run is over.
    async fn delete_sets(&self, sets: &[&Decision]) -> Result<(), Problem> {
        self.go_on()?;
        // Those before one that has changed are as reviewed, and are deleted still.
        let (as_reviewed, changed) = self.unchanged(sets).await?;
        let free = self.not_shared(as_reviewed).await?;
        let mut sets = free.into_iter();
        let mut work = FuturesUnordered::new();
        let mut end = None;
        loop {
            while work.len() < SIDE_BY_SIDE && end.is_none() {
                let Some(set) = sets.next() else { break };
                work.push(self.delete(set));
            }
            // Calls under way come to their end before the run does.
            match work.next().await {
                Some(done) => end = end.or(done.err()),
                None => break,
            }
        }
        end.or(changed).map_or(Ok(()), Err)
    }

    fn go_on(&self) -> Result<(), Problem> {
        if self.stop.is_cancelled() {
            return Err(stopped());
        }
        Ok(())
    }

    /// The sets before the first that is not as it was reviewed, and what has changed of that one.
    async fn unchanged<'d>(
        &self,
        sets: &'d [&'d Decision],
    ) -> Result<(&'d [&'d Decision], Option<Problem>), Problem> {
        let jobs: Vec<_> = sets.iter().filter_map(|d| d.job.clone()).collect();
        let fresh = self.ops.session.snapshots_of_jobs(&jobs).await?;
        for (n, set) in sets.iter().enumerate() {
            let now = set.job.as_ref().and_then(|job| fresh.get(job));
            if let Some(problem) = retention::drift(set, now.map_or(&[], Vec::as_slice)) {
                return Ok((sets.get(..n).unwrap_or_default(), Some(problem)));
            }
        }
        Ok((sets, None))
    }

    /// The sets that are shared with nobody. Sharing costs a call for each snapshot, so it is asked here and not for
    /// the whole account at the review. A set that is shared stays, and so do all its members.
    async fn not_shared<'d>(&self, sets: &'d [&'d Decision]) -> Result<Vec<&'d Decision>, Problem> {
        let mut ids = sets.iter().flat_map(|set| &set.snapshots).map(|s| &s.id);
        let mut questions = FuturesUnordered::new();
        let mut shared = Vec::new();
        loop {
            while questions.len() < QUESTIONS {
                let Some(id) = ids.next() else { break };
                questions.push(self.whom(id));
            }
            match questions.next().await {
                Some(answer) => shared.extend(answer?),
                None => break,
            }
        }
        let mut free = Vec::new();
        for set in sets {
            let with = shared
                .iter()
                .find(|(id, _)| set.snapshots.iter().any(|s| s.id == *id));
            let Some((id, with)) = with else {
                free.push(*set);
                continue;
            };
            let problem = Problem::new(
                Kind::State,
                format!("delete {id}"),
                format!("it is shared with {}", with.join(", ")),
                "whoever uses it would lose it at once; stop sharing it first, then prune again",
            );
            let all = set
                .snapshots
                .iter()
                .map(|s| (s.id.clone(), problem.clone()));
            self.tell(|progress| progress.failed.extend(all)).await;
        }
        Ok(free)
    }

    /// With whom a snapshot is shared, if with anybody.
    async fn whom(&self, id: &SnapshotId) -> Result<Option<(SnapshotId, Vec<String>)>, Problem> {
        let with = self.ops.session.shared_with(id).await?;
        Ok((!with.is_empty()).then(|| (id.clone(), with)))
    }

    /// Deletes one set, snapshot by snapshot.
    ///
    /// # Errors
    /// Why the run is over; what AWS refuses only ends the set.
    async fn delete(&self, set: &Decision) -> Result<(), Problem> {
        for (n, snapshot) in set.snapshots.iter().enumerate() {
            match self.delete_snapshot(set, &snapshot.id).await {
                Ok(()) => {
                    self.tell(|progress| progress.deleted.push(snapshot.id.clone()))
                        .await;
                }
                Err(problem) if matches!(problem.kind, Kind::Cancelled | Kind::Local) => {
                    return Err(problem);
                }
                Err(problem) => {
                    // What remains of the set stays as well, for the next prune to finish.
                    let rest = set.snapshots.iter().skip(n + 1).map(|s| s.id.clone());
                    let kept = Problem::new(
                        Kind::State,
                        "delete the rest of the set",
                        format!("{} of the same set could not be deleted", snapshot.id),
                        "plan again: what is left of the set is deleted then",
                    );
                    let failed: Vec<_> = std::iter::once((snapshot.id.clone(), problem))
                        .chain(rest.map(|id| (id, kept.clone())))
                        .collect();
                    self.tell(|progress| progress.failed.extend(failed)).await;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Deletes one snapshot. Each request has an intent of its own. One that was throttled was not carried out; after
    /// one whose answer was lost the snapshot is looked up before it is asked for again.
    async fn delete_snapshot(&self, set: &Decision, id: &SnapshotId) -> Result<(), Problem> {
        let session = &self.ops.session;
        let detail = deletion(id, set.job.as_ref());
        let mut tries = TRIES;
        loop {
            tries -= 1;
            self.go_on()?;
            let token = tokio::select! {
                token = session.pace().set_aside(Bucket::DeleteSnapshot) => token,
                () = self.stop.cancelled() => return Err(stopped()),
            };
            let call = session.delete_snapshot(token, id);
            let answer = self
                .ops
                .recorded(self.id, "DeleteSnapshot", &detail, call, |()| {
                    "deleted".to_owned()
                })
                .await;
            match answer {
                Err(problem) if problem.may_have_happened => {
                    let seen = session.snapshots_by_id(std::slice::from_ref(id)).await?;
                    if seen.is_empty() {
                        return Ok(());
                    }
                    if tries == 0 {
                        return Err(problem);
                    }
                }
                Err(problem) if problem.kind == Kind::Throttled && tries > 0 => {}
                other => return other,
            }
        }
    }

    async fn tell(&self, change: impl FnOnce(&mut PruneProgress)) {
        let mut state = self.state.lock().await;
        let before = state.progress.deleted.len();
        change(&mut state.progress);
        let now = Instant::now();
        if state.progress.deleted.len() > before {
            state.ends.push_back(now);
        }
        while state
            .ends
            .front()
            .is_some_and(|at| now.duration_since(*at) > OF_LATE)
        {
            state.ends.pop_front();
        }
        state.progress.speed = self.speed(&state, now);
        let progress = state.progress.clone();
        drop(state);
        let _ = self.updates.send(progress).await;
    }

    fn speed(&self, state: &RunState, now: Instant) -> Option<Speed> {
        let first = state.ends.front()?;
        let of_late = now.duration_since(*first).as_secs_f64();
        let ended = f64::from(u32::try_from(state.ends.len()).unwrap_or(u32::MAX));
        let per_second = ended / of_late.max(1.0);
        let left = state.progress.left();
        // By the bucket, and by what was seen where that is slower.
        let by_bucket = self
            .ops
            .session
            .pace()
            .forecast(Bucket::DeleteSnapshot, left)
            .as_secs_f64();
        let by_rate = f64::from(u32::try_from(left).unwrap_or(u32::MAX)) / per_second;
        let ahead = Duration::try_from_secs_f64(by_bucket.max(by_rate)).unwrap_or_default();
        Some(Speed {
            per_second,
            ends: self.ops.clock.now() + TimeDelta::from_std(ahead).unwrap_or_default(),
        })
    }
}

/// Plans again with the same policy: whatever was to be deleted must still be. The sets that are kept
/// in its stead may have gone since the review, and locks, images and fast restores may have come.
async fn still_wanted(ops: &Ops, reviewed: &PrunePlan) -> Result<(), Problem> {
    let now = plan(ops, &reviewed.policy).await?;
    for decision in reviewed.deletions() {
        let fate = now.decisions.iter().find(|d| d.job == decision.job);
        if !fate.is_some_and(|d| d.fate == retention::Fate::Delete) {
            let set = decision.job.as_ref().map_or("a snapshot", |j| j.as_str());
            let why = fate.map_or_else(
                || "it is gone".to_owned(),
                |d| format!("it would now be {}: {}", d.fate, d.reasons.join("; ")),
            );
            return Err(Problem::new(
                Kind::State,
                format!("prune set {set}"),
                format!("something has changed since the review: {why}"),
                "nothing was deleted; plan and review again",
            ));
        }
    }
    Ok(())
}

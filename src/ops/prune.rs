//! Pruning: a plan from a complete reading, and carrying out exactly that plan.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Ops, inventory};
use crate::domain::ids::SnapshotId;
use crate::domain::problem::{Kind, Problem};
use crate::domain::prune::PruneProgress;
use crate::domain::retention::{self, Facts, Policy, PrunePlan};

/// Pause between two deletions: EC2 refills 5 a second, shared by every tool in the account, so
/// we take about 3 (aws-facts 8.1).
const PAUSE: std::time::Duration = std::time::Duration::from_millis(330);

/// Reads the account anew and plans. Locks and fast restores that cannot be read refuse the plan:
/// what is not known to be free is not deleted.
///
/// # Errors
/// An empty policy, or whatever a listing answered.
pub async fn plan(ops: &Ops, policy: &Policy) -> Result<PrunePlan, Problem> {
    policy.check()?;
    let (inventory, held, public) = tokio::join!(
        inventory::read(ops),
        ops.session.held_snapshots(),
        ops.session.public_snapshots()
    );
    let inventory = inventory?;
    let (locked, fast_restore) = held?;
    let shared = public?;
    let facts = Facts {
        inventory: &inventory,
        locked: &locked,
        fast_restore: &fast_restore,
        shared: &shared,
        complete: true,
    };
    retention::plan(policy, &facts, ops.clock.now())
}

/// Deletes exactly what the plan says, set by set. Each set is read again first; anything that has
/// changed since the review stops the run there, and `stop` stops it before the next set.
///
/// # Errors
/// The plan is of another account or region, or the session is read-only.
pub async fn run(
    ops: &Ops,
    plan: &PrunePlan,
    updates: &mpsc::Sender<PruneProgress>,
    stop: &CancellationToken,
) -> Result<PruneProgress, Problem> {
    ops.session.may_write("prune", &plan.scope)?;
    still_wanted(ops, plan).await?;
    let mut progress = PruneProgress {
        total: plan.doomed().len(),
        deleted: Vec::new(),
        failed: Vec::new(),
        stopped: None,
        finished: false,
    };
    let _ = updates.send(progress.clone()).await;
    for decision in plan.deletions() {
        if stop.is_cancelled() {
            progress.stopped = Some(Problem::new(
                Kind::Cancelled,
                "prune",
                "it was stopped between two sets",
                "what is left is as it was; plan and review again to go on",
            ));
            break;
        }
        if let Err(problem) = unchanged(ops, decision).await {
            progress.stopped = Some(problem);
            break;
        }
        // Sharing costs a call for each snapshot, so it is asked here and not for the whole account
        // at the review. A set that is shared stays, and so do all its members.
        if let Err(problem) = not_shared(ops, decision).await {
            let ids = decision
                .snapshots
                .iter()
                .map(|s| (s.id.clone(), problem.clone()));
            progress.failed.extend(ids);
            let _ = updates.send(progress.clone()).await;
            continue;
        }
        for snapshot in &decision.snapshots {
            let subject = decision.job.as_ref().map_or("prune", |j| j.as_str());
            let result = ops
                .recorded(
                    subject,
                    "DeleteSnapshot",
                    snapshot.id.as_str(),
                    ops.session.delete_snapshot(&snapshot.id),
                    |()| "deleted".to_owned(),
                )
                .await;
            match result {
                Ok(()) => progress.deleted.push(snapshot.id.clone()),
                Err(problem) => {
                    // What remains of the set stays: half a set is of no use to anyone.
                    progress.failed.push((snapshot.id.clone(), problem));
                    let _ = updates.send(progress.clone()).await;
                    break;
                }
            }
            let _ = updates.send(progress.clone()).await;
            tokio::time::sleep(PAUSE).await;
        }
    }
    progress.finished = true;
    let _ = updates.send(progress.clone()).await;
    Ok(progress)
}

async fn unchanged(ops: &Ops, decision: &retention::Decision) -> Result<(), Problem> {
    let fresh = match &decision.job {
        Some(job) => ops.session.snapshots_of_job(job).await?,
        None => {
            let ids: Vec<SnapshotId> = decision.snapshots.iter().map(|s| s.id.clone()).collect();
            ops.session.snapshots_by_id(&ids).await?
        }
    };
    retention::drift(decision, &fresh).map_or(Ok(()), Err)
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

async fn not_shared(ops: &Ops, decision: &retention::Decision) -> Result<(), Problem> {
    for snapshot in &decision.snapshots {
        let with = ops.session.shared_with(&snapshot.id).await?;
        if !with.is_empty() {
            return Err(Problem::new(
                Kind::State,
                format!("delete {}", snapshot.id),
                format!("it is shared with {}", with.join(", ")),
                "whoever uses it would lose it at once; stop sharing it first, then prune again",
            ));
        }
    }
    Ok(())
}

//! The metrics of a job that was brought to its end by another process than its own: what the run would have
//! published, once.

use crate::domain::state::SnapshotState;
use chrono::TimeDelta;

use super::proof;
use crate::domain::job::{JobView, Verdict};
use crate::domain::machine::values::{Copied, of_none, of_set};
use crate::domain::snapshot::Snapshot;
use crate::jobs::outcome::CallOutcome;
use crate::ops::Ops;
use crate::ops::set_calls::{self, PUBLISH};

/// CloudWatch takes nothing older than two weeks.
const OLDEST_DAYS: i64 = 13;

/// Publishes the values of a job that has just got its verdict, unless somebody may have done so before.
/// `covered` tells which snapshots were held by a freeze. Lost values change nothing else.
pub(super) async fn publish(
    ops: &Ops,
    view: &JobView,
    set: &[Snapshot],
    covered: impl Fn(&Snapshot) -> bool,
) {
    let Some(verdict) = view.verdict.filter(|v| *v != Verdict::Cancelled) else {
        return;
    };
    match ops.journal.calls(view.spec.job.as_str()) {
        Ok(calls) => {
            let mut before = calls.iter().filter(|call| call.action == PUBLISH);
            if before.any(|call| !matches!(call.outcome, Some(CallOutcome::Refused(_)))) {
                return;
            }
        }
        Err(problem) => {
            tracing::warn!(%problem, "whether metrics were published is unknown; they are left out");
            return;
        }
    }
    let now = ops.clock.now();
    let data = if set.is_empty() {
        let looked = verdict == Verdict::Failed;
        let facts = match looked {
            true => proof::gather(ops, view, &[]).await.ok(),
            false => None,
        };
        let facts = facts.and_then(|proof| proof.facts);
        of_none(
            facts
                .iter()
                .flat_map(|f| f.covered_volumes().into_iter().map(|v| f.device(v))),
        )
    } else {
        let missing = view
            .set
            .iter()
            .filter(|m| !set.iter().any(|s| s.id == m.snapshot));
        let missing = missing.map(|member| Copied {
            drive: &member.device,
            errored: true,
            seconds: None,
            full_bytes: None,
            window_ms: None,
        });
        of_set(missing.chain(set.iter().map(|snapshot| {
            let member = view.set.iter().find(|m| m.snapshot == snapshot.id);
            Copied {
                drive: member.map_or("", |m| &m.device),
                errored: snapshot.state != SnapshotState::Completed,
                // By AWS's word, not by when somebody looked: a night may lie between.
                seconds: snapshot
                    .completed
                    .zip(view.started())
                    .map(|(ended, started)| (ended - started).as_seconds_f64()),
                full_bytes: snapshot.full_bytes,
                window_ms: view.evidence.window_ms.filter(|_| covered(snapshot)),
            }
        })))
    };
    if data.is_empty() {
        return;
    }
    let ended = set.iter().filter_map(|s| s.completed).max();
    let at = ended.map_or(now, |at| at.clamp(now - TimeDelta::days(OLDEST_DAYS), now));
    if let Err(problem) = set_calls::publish(ops, &view.spec, at, data).await {
        tracing::warn!(%problem, "the metrics of a job that was resumed could not be published");
    }
}

/// Whether a snapshot's tags say that a freeze held it.
pub(super) fn tagged(snapshot: &Snapshot) -> bool {
    snapshot.was_frozen()
}

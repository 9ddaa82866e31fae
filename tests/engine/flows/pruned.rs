//! A prune as it runs: how fast, what stops it, what is on record of it, and what a kill leaves behind.

use freezeframe::domain::ids::SnapshotId;
use freezeframe::domain::pace::Bucket;
use freezeframe::domain::prune::PruneProgress;
use freezeframe::domain::retention::{PrunePlan, Selection};
use tokio::time::Instant;

use super::*;

fn last(n: u32) -> Policy {
    Policy {
        keep_last: n,
        ..Policy::default()
    }
}

/// The plan with only its first so many deletions.
fn first(plan: &PrunePlan, mut sets: usize) -> PrunePlan {
    let mut part = plan.clone();
    part.decisions.retain(|d| {
        let taken = d.fate == Fate::Delete && sets > 0;
        sets -= usize::from(taken);
        taken
    });
    part
}

async fn there(bench: &Bench) -> Vec<SnapshotId> {
    let (all, _) = bench.ops.session.snapshots().await.unwrap();
    all.into_iter().map(|s| s.id).collect()
}

#[tokio::test(start_paused = true)]
async fn a_prune_goes_as_fast_as_the_bucket_and_says_so() {
    let bench = bench().await;
    let plan = prune::plan(&bench.ops, &last(1)).await.unwrap();
    let total = plan.doomed().len();
    assert!(total > 300, "{total}");
    let described = bench.calls("DescribeSnapshots");
    let (updates, mut inbox) = mpsc::channel::<PruneProgress>(64);
    let follower = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(progress) = inbox.recv().await {
            seen.push(progress);
        }
        seen
    });
    let begun = Instant::now();
    let result = prune::run(&bench.ops, &plan, &updates, &CancellationToken::new())
        .await
        .unwrap();
    drop(updates);
    assert_eq!(result.deleted.len(), total, "{:?}", result.failed);
    assert_eq!(bench.calls("DeleteSnapshot"), total, "none was sent away");
    // The bound that no client can beat, and a tenth.
    let took = begun.elapsed();
    let least = Bucket::DeleteSnapshot.least(total);
    assert!(
        took <= least.mul_f64(1.1) + Duration::from_secs(5),
        "{took:?}, at least {least:?}"
    );
    // Sets are read again together.
    let read = bench.calls("DescribeSnapshots") - described;
    assert!(read * 5 < plan.deletions().count(), "{read}");
    let seen = follower.await.unwrap();
    let speeds: Vec<_> = seen.iter().filter_map(|p| p.speed).collect();
    assert!(speeds.len() > total / 2);
    // Half way it is known when it ends.
    let half = &seen[seen.len() / 2];
    let ends = half.speed.unwrap().ends;
    let off = (ends - bench.ops.clock.now()).num_seconds().abs();
    assert!(off < 30, "it was expected to end at {ends}");
    assert!(seen.last().unwrap().finished);
}

#[tokio::test(start_paused = true)]
async fn a_prune_that_is_stopped_ends_after_the_calls_under_way_and_is_on_record() {
    let bench = bench().await;
    let plan = prune::plan(&bench.ops, &last(1)).await.unwrap();
    let total = plan.doomed().len();
    let stop = CancellationToken::new();
    let (updates, mut inbox) = mpsc::channel::<PruneProgress>(64);
    let stopper = stop.clone();
    tokio::spawn(async move {
        while let Some(progress) = inbox.recv().await {
            if progress.deleted.len() >= 5 {
                stopper.cancel();
            }
        }
    });
    let result = prune::run(&bench.ops, &plan, &updates, &stop)
        .await
        .unwrap();
    let deleted = result.deleted.len();
    assert!((5..20).contains(&deleted), "{deleted}");
    assert_eq!(result.left(), total - deleted);
    assert_eq!(result.stopped.as_ref().unwrap().kind, Kind::Cancelled);
    assert_eq!(
        result.tally(),
        format!(
            "{deleted} of {total} snapshots deleted, {} left",
            total - deleted
        )
    );
    let records = bench.ops.journal.prunes(bench.ops.scope(), 9).unwrap();
    let [record] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!(
        (record.deleted, record.total, record.state()),
        (deleted, total, "stopped")
    );
    assert_eq!(bench.ops.journal.calls(&record.id).unwrap().len(), deleted);
    // What was left in the middle of a set goes with the next prune: nothing stays half deleted.
    let half: Vec<_> = plan
        .deletions()
        .filter(|d| {
            let gone = d
                .snapshots
                .iter()
                .filter(|s| result.deleted.contains(&s.id))
                .count();
            gone > 0 && gone < d.snapshots.len()
        })
        .map(|d| d.job.clone())
        .collect();
    let next = prune::plan(&bench.ops, &last(100_000)).await.unwrap();
    let again: Vec<_> = next.deletions().map(|d| d.job.clone()).collect();
    assert_eq!(
        again.len(),
        half.len(),
        "{:?}",
        next.deletions().collect::<Vec<_>>()
    );
    assert!(half.iter().all(|job| again.contains(job)));
    if !half.is_empty() {
        let updates = listened();
        let rest = prune::run(&bench.ops, &next, &updates, &CancellationToken::new())
            .await
            .unwrap();
        assert!(rest.failed.is_empty() && rest.stopped.is_none(), "{rest:?}");
    }
}

/// A kill in the middle: the next start tells from the calls on record what was deleted.
#[tokio::test(start_paused = true)]
async fn what_a_killed_prune_had_deleted_is_told_by_the_next_start() {
    let bench = bench().await;
    let plan = first(&prune::plan(&bench.ops, &last(1)).await.unwrap(), 40);
    let total = plan.doomed().len();
    let (updates, mut inbox) = mpsc::channel::<PruneProgress>(64);
    let ops = bench.ops.clone();
    let task =
        tokio::spawn(
            async move { prune::run(&ops, &plan, &updates, &CancellationToken::new()).await },
        );
    while let Some(progress) = inbox.recv().await {
        if progress.deleted.len() >= 7 {
            task.abort();
            break;
        }
    }
    assert!(task.await.is_err());
    assert!(
        prune::settle(&bench.ops).unwrap().is_empty(),
        "its process lives"
    );
    let open = bench.ops.journal.open_prunes(bench.ops.scope()).unwrap();
    let [(record, _)] = open.as_slice() else {
        panic!("{open:?}")
    };
    assert_eq!(record.state(), "running");
    bench.ops.journal.save_prune(record, &dead_owner()).unwrap();
    let told = prune::settle(&bench.ops).unwrap();
    let [record] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!((7..total).contains(&record.deleted), "{record:?}");
    let words = prune::describe(record);
    assert!(
        words.contains(&record.tally()) && words.contains("killed"),
        "{words}"
    );
    assert!(prune::settle(&bench.ops).unwrap().is_empty(), "told once");
    assert_eq!(
        bench.ops.journal.prunes(bench.ops.scope(), 9).unwrap(),
        told
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_up_and_one_that_was_throttled_is_sent_again() {
    let bench = bench().await;
    let plan = first(&prune::plan(&bench.ops, &last(1)).await.unwrap(), 12);
    let total = plan.doomed().len();
    let throttled = FaultKind::Error {
        code: "RequestLimitExceeded".into(),
        message: "slow down".into(),
        status: 503,
    };
    bench.fault("DeleteSnapshot", 2, 3, throttled);
    bench.fault("DeleteSnapshot", 8, 2, FaultKind::LoseResponse);
    bench.fault("DeleteSnapshot", 12, 1, FaultKind::Reset);
    let updates = listened();
    let result = prune::run(&bench.ops, &plan, &updates, &CancellationToken::new())
        .await
        .unwrap();
    assert!(result.failed.is_empty(), "{:?}", result.failed);
    assert_eq!(result.deleted.len(), total);
    let left = there(&bench).await;
    assert!(plan.doomed().iter().all(|id| !left.contains(id)));
}

#[tokio::test(start_paused = true)]
async fn a_scope_is_asked_of_the_account_and_a_name_that_several_have_is_refused() {
    let bench = bench().await;
    let whole = prune::plan(&bench.ops, &last(1)).await.unwrap();
    let name = whole
        .deletions()
        .next()
        .map(|d| d.instance_name.clone())
        .unwrap();
    let of = |names: &[&str]| Policy {
        narrowed: vec![Selection {
            instance: names.iter().map(|n| (*n).to_owned()).collect(),
            ..Selection::default()
        }],
        ..last(1)
    };
    let plan = prune::plan(&bench.ops, &of(&[&name])).await.unwrap();
    assert!(plan.deletions().count() > 0);
    assert!(plan.deletions().count() < whole.deletions().count());
    assert!(plan.decisions.iter().all(|d| d.instance_name == name));
    assert!(
        plan.title().ends_with(&format!("instance {name}")),
        "{}",
        plan.title()
    );
    let nobody = prune::plan(&bench.ops, &of(&["nobody"])).await.unwrap_err();
    assert_eq!(nobody.kind, Kind::NotFound);
    let gone = prune::plan(&bench.ops, &of(&["i-0123456789abcdef0"]))
        .await
        .unwrap();
    assert!(gone.decisions.is_empty());
}

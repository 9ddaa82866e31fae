//! A snapshot that somebody deletes while AWS copies its set: once it is certain that it is gone its job ends as
//! failed and names it, in its own console and in the next one's hands. What is only out of sight is waited for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use freezeframe::domain::job::{JobSpec, JobView, Member, Mode, OnFailure, Phase, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::domain::metrics::{Metric, Series};
use freezeframe::domain::problem::Kind;
use freezeframe::lab::FaultKind;
use freezeframe::lab::world::{Snapshot, SnapshotState};
use freezeframe::ops::job::run::spec_for;
use freezeframe::ops::{inventory, metrics, recover};

use super::support::{Bench, bench, options};
use super::{dead_owner, dropped_in, listened};

const REGION: &str = "eu-central-1";

/// A job of an instance with two covered volumes beside its root.
async fn spec(bench: &Bench) -> JobSpec {
    let all = inventory::instances(&bench.ops).await.unwrap();
    let there = all.iter().find(|i| i.name() == "shop-db-1").unwrap();
    spec_for(&bench.ops, there, &options(30, OnFailure::Skip)).unwrap()
}

/// One of the proven snapshots of a set.
fn proven(view: &JobView) -> Option<String> {
    let proven = view.set.iter().find(|m| m.level == Level::Application);
    proven.map(|m| m.snapshot.to_string())
}

fn delete(bench: &Bench, id: &str) -> Snapshot {
    bench.lab.world_of(REGION).snapshots.remove(id).unwrap()
}

/// It is seen again.
fn show(bench: &Bench, hidden: Snapshot) {
    let mut world = bench.lab.world_of(REGION);
    world.snapshots.insert(hidden.id.clone(), hidden);
}

/// How many snapshots of the job AWS has, by level.
async fn levels(bench: &Bench, view: &JobView) -> Vec<Level> {
    let there = bench.ops.session.snapshots_of_job(&view.spec.job).await;
    let mut levels: Vec<Level> = there.unwrap().iter().filter_map(|s| s.level()).collect();
    levels.sort();
    levels
}

fn named(view: &JobView, gone: &str) {
    assert_eq!(view.verdict, Some(Verdict::Failed), "{view:#?}");
    let error = view.error.as_ref().unwrap();
    assert_eq!(error.kind, Kind::NotFound, "{error}");
    assert!(
        error.cause.contains(gone) && error.hint.contains("incomplete"),
        "{error}"
    );
    let member = view.set.iter().find(|m| m.snapshot.as_str() == gone);
    let member = member.unwrap();
    assert!(
        member.level <= Level::Crash && member.reason.contains("not have it any more"),
        "{member:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn p11_a_snapshot_that_is_deleted_while_it_is_copied_fails_its_job_and_is_named() {
    for labels_are_denied in [false, true] {
        let bench = bench().await;
        let spec = spec(&bench).await;
        if labels_are_denied {
            let denied = FaultKind::Error {
                code: "UnauthorizedOperation".to_owned(),
                message: "no".to_owned(),
                status: 403,
            };
            // The quick attempts of every label; later ones are taken.
            bench.fault("CreateTags", 0, 9, denied);
        }
        let gone = Mutex::new(None);
        let view = bench
            .run_until(spec, |view| {
                let mut gone = gone.lock().unwrap();
                if view.phase == Phase::Completing && gone.is_none() {
                    let pending = view
                        .pending_labels
                        .iter()
                        .find(|l| l.level == Level::Application);
                    let id = proven(view)
                        .or(pending.map(|l| l.snapshot.to_string()))
                        .unwrap();
                    delete(&bench, &id);
                    *gone = Some(id);
                }
                false
            })
            .await;
        let gone = gone.lock().unwrap().clone().unwrap();
        named(&view, &gone);
        assert!(view.pending_labels.is_empty(), "{:#?}", view.pending_labels);
        // The others are worth what was proven of each.
        let left = levels(&bench, &view).await;
        assert_eq!(left.len(), view.set.len() - 1);
        assert!(left.iter().all(|l| *l > Level::Pending), "{left:?}");
        assert!(
            view.set
                .iter()
                .all(|m| m.snapshot.as_str() == gone || m.progress == 100)
        );
        let open = bench.ops.journal.open_jobs(bench.ops.scope()).unwrap();
        assert!(open.is_empty(), "{open:#?}");
        let series = metrics::read(&bench.ops, &view.spec.instance, 7).await;
        let errors = series.unwrap();
        let errors = errors.iter().filter(|s| s.metric == Metric::Errors);
        let last = |s: &Series| s.points.last().map(|(_, v)| *v);
        assert_eq!(errors.filter(|s| last(s) == Some(1.0)).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn p11_a_snapshot_that_is_out_of_sight_for_some_minutes_is_not_gone() {
    let bench = Arc::new(bench().await);
    let spec = spec(&bench).await;
    let once = Mutex::new(false);
    let view = bench
        .run_until(spec, |view| {
            let mut once = once.lock().unwrap();
            if view.phase == Phase::Completing && !*once {
                *once = true;
                let mut hidden = delete(&bench, &proven(view).unwrap());
                hidden.state = SnapshotState::Completed;
                let bench = bench.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(5 * 60)).await;
                    show(&bench, hidden);
                });
            }
            false
        })
        .await;
    assert!(*once.lock().unwrap());
    assert_eq!(view.verdict, Some(Verdict::Application), "{view:#?}");
    assert_eq!(view.error, None);
}

/// A job whose console died while AWS copied, as the journal has it.
async fn left(bench: &Bench) -> JobView {
    let spec = spec(bench).await;
    let view = dropped_in(bench, &spec, Phase::Completing).await;
    let now = bench.ops.clock.now();
    let journal = &bench.ops.journal;
    journal.save_job(&view, &dead_owner(), true, now).unwrap();
    view
}

async fn settled(bench: &Bench) -> JobView {
    let mut settled = recover::settle(&bench.ops, &listened()).await.unwrap();
    assert_eq!(settled.len(), 1, "{settled:#?}");
    settled.remove(0)
}

async fn until_done(bench: &Bench) -> JobView {
    for _ in 0..100 {
        let view = settled(bench).await;
        if view.phase == Phase::Done {
            return view;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    panic!("it is still open");
}

#[tokio::test(start_paused = true)]
async fn p21_a_set_that_lost_a_snapshot_ends_failed_when_its_job_is_resumed() {
    for all in [false, true] {
        let bench = bench().await;
        let before = left(&bench).await;
        let gone = proven(&before).unwrap();
        for member in &before.set {
            if all || member.snapshot.as_str() == gone {
                delete(&bench, member.snapshot.as_str());
            }
        }
        let view = until_done(&bench).await;
        named(&view, &gone);
        let left = levels(&bench, &view).await;
        assert_eq!(left.len(), if all { 0 } else { before.set.len() - 1 });
        assert_eq!(
            left.contains(&Level::Application),
            !all,
            "what is left is worth what was proven of it: {left:?}"
        );
        let open = bench.ops.journal.open_jobs(bench.ops.scope()).unwrap();
        assert!(open.is_empty(), "{open:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p21_what_was_made_a_moment_ago_and_is_not_shown_is_not_taken_for_gone() {
    let bench = bench().await;
    let before = left(&bench).await;
    let mut hidden = delete(&bench, &proven(&before).unwrap());
    hidden.state = SnapshotState::Completed;
    // The others may be copied long since.
    for snapshot in bench.lab.world_of(REGION).snapshots.values_mut() {
        snapshot.state = SnapshotState::Completed;
    }
    let view = settled(&bench).await;
    assert_ne!(view.phase, Phase::Done, "{view:#?}");
    let error = view.error.as_ref().unwrap();
    assert!(error.cause.contains(&hidden.id), "{error}");
    show(&bench, hidden);
    let view = until_done(&bench).await;
    assert_eq!(view.verdict, Some(Verdict::Application), "{view:#?}");
    assert_eq!(view.error, None);
}

/// Its console died before it had the set in its own record: the call's answer in the journal tells what was made.
#[tokio::test(start_paused = true)]
async fn p21_what_the_answer_named_is_missed_although_the_job_had_no_set_yet() {
    let bench = bench().await;
    let spec = spec(&bench).await;
    let view = dropped_in(&bench, &spec, Phase::Thawing).await;
    assert!(view.set.is_empty(), "{view:#?}");
    let journal = &bench.ops.journal;
    let now = bench.ops.clock.now();
    journal.save_job(&view, &dead_owner(), true, now).unwrap();
    let made = bench.ops.session.snapshots_of_job(&spec.job).await.unwrap();
    let gone = made[0].id.to_string();
    delete(&bench, &gone);
    let first = settled(&bench).await;
    assert_ne!(first.phase, Phase::Done, "{first:#?}");
    let view = until_done(&bench).await;
    assert_eq!(view.verdict, Some(Verdict::Failed), "{view:#?}");
    let error = view.error.as_ref().unwrap();
    assert!(error.cause.contains(&gone), "{error}");
    // What is left was no set any more when it was judged.
    assert_eq!(levels(&bench, &view).await, [Level::Crash; 2]);
}

/// Whoever takes our tag off a snapshot takes it out of the set; it is there all the same, and nobody waits.
#[tokio::test(start_paused = true)]
async fn p21_a_snapshot_whose_tag_was_taken_off_keeps_no_job_open() {
    let bench = bench().await;
    let before = left(&bench).await;
    let id = proven(&before).unwrap();
    {
        let mut world = bench.lab.world_of(REGION);
        let there = world.snapshots.get_mut(&id).unwrap();
        there.tags.remove("freezeframe:job").unwrap();
    }
    let view = until_done(&bench).await;
    assert_eq!(view.verdict, Some(Verdict::Crash), "{view:#?}");
}

/// Hides one snapshot of the job's set, which is made.
fn hide(bench: &Bench, spec: &JobSpec) -> Snapshot {
    let id = {
        let world = bench.lab.world_of(REGION);
        let mut all = world.snapshots.values();
        let of = |s: &&Snapshot| {
            s.tags.get("freezeframe:job").map(String::as_str) == Some(spec.job.as_str())
        };
        all.find(of).map(|s| s.id.clone())
    };
    let mut hidden = delete(bench, &id.unwrap());
    hidden.state = SnapshotState::Completed;
    hidden
}

fn nothing_is_open(bench: &Bench) {
    let open = bench.ops.journal.open_jobs(bench.ops.scope()).unwrap();
    assert!(open.is_empty(), "{open:#?}");
}

/// The answer to its call was lost with its console: what EC2 shows is a set only with a snapshot of each volume of its
/// plan. A part of it is not labelled while the rest may be out of sight, and the rest is not left without a label.
#[tokio::test(start_paused = true)]
async fn p29_a_part_of_a_set_whose_answer_was_lost_is_waited_for_when_its_job_is_resumed() {
    for (mode, phase) in [
        (Mode::Coordinated, Phase::Thawing),
        (Mode::Autonomous, Phase::Quiescing),
    ] {
        for comes in [true, false] {
            let bench = bench().await;
            let spec = JobSpec {
                mode,
                ..spec(&bench).await
            };
            bench.fault("CreateSnapshots", 0, 1, FaultKind::LoseResponse);
            let view = dropped_in(&bench, &spec, phase).await;
            let (journal, now) = (&bench.ops.journal, bench.ops.clock.now());
            journal.save_job(&view, &dead_owner(), true, now).unwrap();
            // The instance goes on by itself.
            tokio::time::sleep(Duration::from_secs(30)).await;
            let hidden = hide(&bench, &spec);
            let view = settled(&bench).await;
            assert_ne!(view.phase, Phase::Done, "{mode}: {view:#?}");
            let error = view.error.as_ref().unwrap();
            assert!(
                error.cause.contains("2 of its 3") && error.cause.contains(&hidden.volume),
                "{mode}: {error}"
            );
            assert_eq!(levels(&bench, &view).await, [Level::Pending; 2], "{mode}");
            let volume = hidden.volume.clone();
            if comes {
                show(&bench, hidden);
            }
            let view = until_done(&bench).await;
            assert_eq!(view.verdict, Some(Verdict::Crash), "{mode}: {view:#?}");
            let all = if comes { 3 } else { 2 };
            assert_eq!(
                (view.set.len(), levels(&bench, &view).await),
                (all, vec![Level::Crash; all])
            );
            let cause = &view.error.as_ref().unwrap().cause;
            assert_eq!(cause.contains(&volume), !comes, "{mode}: {cause}");
            nothing_is_open(&bench);
        }
    }
}

/// Its own console looks for it as long as it looks for any set; then the job is over, and owes the labels.
#[tokio::test(start_paused = true)]
async fn p29_a_part_of_a_set_is_labelled_with_the_rest_when_that_is_shown() {
    let bench = bench().await;
    let spec = spec(&bench).await;
    bench.fault("CreateSnapshots", 0, 1, FaultKind::LoseResponse);
    let hidden = Mutex::new(None);
    let view = bench
        .run_until(spec.clone(), |view| {
            if view.phase == Phase::Thawing {
                hidden
                    .lock()
                    .unwrap()
                    .get_or_insert_with(|| hide(&bench, &spec));
            }
            false
        })
        .await;
    assert_eq!(view.verdict, Some(Verdict::Failed), "{view:#?}");
    assert!(view.has_pending_labels(), "{view:#?}");
    let part = |m: &Member| m.level == Level::Pending && m.reason.contains("whole set");
    assert!(
        view.set.len() == 2 && view.set.iter().all(part),
        "{view:#?}"
    );
    assert_eq!(levels(&bench, &view).await, [Level::Pending; 2]);
    let first = settled(&bench).await;
    assert!(first.has_pending_labels(), "{first:#?}");
    show(&bench, hidden.lock().unwrap().take().unwrap());
    let view = settled(&bench).await;
    assert!(!view.has_pending_labels(), "{view:#?}");
    assert_eq!(view.verdict, Some(Verdict::Crash), "{view:#?}");
    assert_eq!(levels(&bench, &view).await, [Level::Crash; 3]);
}

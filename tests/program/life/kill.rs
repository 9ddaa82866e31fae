//! Property 21: killed after each write of its journal, a job is resumed, thawed and told of truthfully.

use futures::StreamExt as _;
use serde_json::Value;

use super::served::{Home, Served, served, until};

/// More intents and outcomes than one job has.
const MORE_THAN_ENOUGH: i64 = 60;
/// Jobs that are killed at the same time.
const AT_ONCE: usize = 6;

/// What came of one kill.
struct Outcome {
    /// The job had ended before that many writes.
    over: bool,
    /// It was resumed after its set had been answered.
    answered: bool,
    verdict: String,
}

/// Starts a job, kills it with SIGKILL once its journal has `after` intents and outcomes, settles it by
/// the next start, and holds every promise against what the lab knows.
async fn killed(served: &Served, instance: &str, mode: &str, after: i64) -> Outcome {
    let home = Home::new(served);
    let mut running = home.start(&[
        "snapshot",
        "--instance",
        instance,
        "--max-freeze",
        "600s",
        "--mode",
        mode,
    ]);
    let mut gone = false;
    until("the point of the kill", || {
        gone = running.child.try_wait().unwrap().is_some();
        gone || home.events() >= after
    })
    .await;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let (view, open) = home.job().unwrap();
    let job = view["job"].as_str().unwrap().to_owned();
    let answered: bool = home
        .look(|db| {
            db.query_row(
                "SELECT count(*) FROM call WHERE action = 'CreateSnapshots' AND outcome = 'answered'",
                [],
                |r| Ok(r.get::<_, i64>(0)? == 1),
            )
        })
        .unwrap();
    if open {
        let listed = home.run(&["list", "jobs"]).await.json();
        let state = listed[0]["state"].as_str().unwrap();
        assert!(
            matches!(state, "abandoned" | "copying"),
            "after {after}: {listed}"
        );
    }
    let mut resumed = home.run(&["jobs", "resume"]).await;
    served.nothing_frozen(instance);
    // Whether the request that was under way arrives is known a while later; the set takes its time too.
    let first = resumed.code;
    if home.job().unwrap().1 {
        let db = rusqlite::Connection::open(home.state().join("journal.sqlite")).unwrap();
        // As if that while were over.
        db.execute("UPDATE call SET intended = '2026-01-01T00:00:00.000Z'", [])
            .unwrap();
        resumed = home.run(&["jobs", "resume", "--wait"]).await;
        // 0 where all is labelled and only AWS still copies; 4 where that is worth no more than crash.
        assert!(matches!(first, Some(0 | 1 | 4)), "after {after}: {first:?}");
    }
    served.nothing_frozen(instance);
    if open {
        let rows = resumed.json();
        assert_eq!(
            rows.as_array().unwrap().len(),
            1,
            "after {after}: {resumed:?}"
        );
        assert_eq!(
            rows[0]["thaw_unconfirmed"], false,
            "after {after}: {resumed:?}"
        );
    } else {
        assert_eq!(resumed.code, Some(3), "after {after}: {resumed:?}");
    }
    let (view, open) = home.job().unwrap();
    assert!(!open, "after {after}: {view:#}");
    assert_eq!(view["phase"], "done");
    truthful(served, instance, &job, &view, after);
    // Nothing more to resume, whoever asks.
    assert_eq!(home.run(&["jobs", "resume"]).await.code, Some(3));
    Outcome {
        over: gone,
        answered,
        verdict: view["verdict"].as_str().unwrap().to_owned(),
    }
}

/// One set at most, every snapshot judged, no label above what really was, the view as the tags.
fn truthful(served: &Served, instance: &str, job: &str, view: &Value, after: i64) {
    let made = served.made(instance);
    assert!(made.iter().all(|m| m.job == job), "after {after}: {made:?}");
    assert!(matches!(made.len(), 0 | 3), "after {after}: {made:?}");
    for one in &made {
        let shown = view["set"]
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["snapshot"] == one.id.as_str())
            .unwrap_or_else(|| panic!("after {after}: {} is not shown: {view:#}", one.id));
        assert_eq!(shown["level"], one.level.as_str(), "after {after}");
        match one.level.as_str() {
            "crash" => {}
            "application" | "filesystem" => {
                assert!(one.frozen, "after {after}: {one:?} claims too much");
                for link in view["evidence"]["links"].as_array().unwrap() {
                    assert_eq!(link["holds"], true, "after {after}: {view:#}");
                }
            }
            other => panic!("after {after}: {} is {other}", one.id),
        }
    }
    let proven = matches!(view["verdict"].as_str(), Some("application" | "filesystem"));
    assert_eq!(
        proven,
        made.iter().any(|m| m.level == "application"),
        "after {after}: {view:#}"
    );
}

/// A console killed after its first write, another after its second, and so on until one was over before its kill.
async fn killed_after_each_write(mode: &str) -> Vec<Outcome> {
    let served = served(usize::try_from(MORE_THAN_ENOUGH).unwrap()).await;
    let served = &served;
    let outcomes: Vec<Outcome> = futures::stream::iter(1..MORE_THAN_ENOUGH)
        .map(|after| async move {
            let instance = served.id(&format!("db-{after}"));
            killed(served, &instance, mode, after).await
        })
        .buffered(AT_ONCE)
        // The first that was over before its kill is the last that says anything.
        .scan(false, |over, outcome| {
            let go_on = !*over;
            *over = outcome.over;
            futures::future::ready(go_on.then_some(outcome))
        })
        .collect()
        .await;
    assert!(outcomes.last().unwrap().over, "no run came to its end");
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p21_killed_after_each_write_it_is_thawed_settled_and_never_mislabelled() {
    let outcomes = killed_after_each_write("coordinated").await;
    assert!(outcomes.len() > 8, "a job writes more than that");
    // Killed before there was a set: nothing is claimed. Killed after its answer was on record: what was
    // proven is not lost with the console.
    assert_eq!(outcomes[0].verdict, "failed");
    let after_answer: Vec<_> = outcomes.iter().filter(|o| o.answered).collect();
    assert!(after_answer.len() > 2);
    for outcome in after_answer {
        assert_eq!(outcome.verdict, "application");
    }
}

/// Only what the one command itself told can prove anything: it goes on when its console is dead, and is
/// thawed by `post-script` if it has not ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p21_killed_after_each_write_in_autonomous_mode_it_is_settled_by_what_the_command_told() {
    let outcomes = killed_after_each_write("autonomous").await;
    assert!(outcomes.len() > 6, "a job writes more than that");
    assert!(
        outcomes.iter().all(|o| !o.answered),
        "the console makes no call"
    );
    assert_eq!(outcomes[0].verdict, "failed");
    // Killed once labels were under way: what was proven is not lost.
    let labelled = &outcomes[outcomes.len() - 2];
    assert_eq!(labelled.verdict, "application");
}

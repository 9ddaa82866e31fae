//! Labels that could not be written, or only some of them: the judgement is on record before the first, the
//! job stays open and in nobody's way, and whoever comes next writes what is left, never more than was judged.

use std::time::Duration;

use freezeframe::lab::{Fault, FaultKind};
use serde_json::Value;

use super::served::{Home, Made, Served, served, until};

/// From the `skip`-th on, nobody may write a tag.
fn denied(served: &Served, skip: u32) {
    served.lab.faults().inject(Fault {
        action: "CreateTags".to_owned(),
        skip,
        times: u32::MAX,
        kind: FaultKind::Error {
            code: "UnauthorizedOperation".to_owned(),
            message: "You are not authorized to perform this operation.".to_owned(),
            status: 403,
        },
    });
}

fn of_job(served: &Served, instance: &str, job: &str) -> Vec<Made> {
    let mut made = served.made(instance);
    made.retain(|m| m.job == job);
    made
}

fn levels(made: &[Made]) -> Vec<&str> {
    let mut levels: Vec<&str> = made.iter().map(|m| m.level.as_str()).collect();
    levels.sort_unstable();
    levels
}

/// As if the job had been judged long ago: what is not seen now is not merely out of sight.
fn aged(home: &Home, view: &Value) {
    let year = &view["phases"][0]["started"].as_str().unwrap()[..5];
    let db = rusqlite::Connection::open(home.state().join("journal.sqlite")).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    let rows = db
        .execute(
            "UPDATE job SET view = replace(view, ?1, ?2) WHERE id = ?3",
            [
                format!("\"started\":\"{year}"),
                "\"started\":\"2020-".to_owned(),
                view["job"].as_str().unwrap().to_owned(),
            ],
        )
        .unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_labels_that_are_denied_are_owed_and_written_as_judged_once_they_may_be() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    let args = ["snapshot", "--instance", &instance, "--max-freeze", "60s"];
    denied(&served, 0);
    let answer = home.run(&args).await;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    let first = answer.json()["jobs"][0].clone();
    let job = first["job"].as_str().unwrap();
    assert_eq!(first["verdict"], "crash", "{first:#}");
    assert_eq!(first["earns"], "application", "{first:#}");
    assert_eq!(first["pending_labels"].as_array().unwrap().len(), 3);
    assert_eq!(first["error"]["code"], "UnauthorizedOperation", "{first:#}");
    let hint = first["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("jobs resume"), "{hint}");
    served.nothing_frozen(&instance);
    assert_eq!(levels(&served.made(&instance)), ["pending"; 3]);
    let listed = home.run(&["list", "jobs"]).await.json();
    assert_eq!(listed[0]["state"], "labels-pending", "{listed:#}");
    // Still denied: still pending, and no other call than the label's is made for it.
    let resumed = home.run(&["jobs", "resume"]).await;
    assert_eq!(resumed.code, Some(1), "{resumed:?}");
    assert!(resumed.err.contains("on record"), "{resumed:?}");
    // It is in nobody's way: the next job of that instance goes to its end, and owes its own.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let second = home.run(&args).await.json()["jobs"][0].clone();
    assert_eq!(second["earns"], "application", "{second:#}");
    let other = second["job"].as_str().unwrap();
    // Meanwhile somebody deleted one snapshot, and gave another up.
    let made = of_job(&served, &instance, job);
    let proven: Vec<&str> = first["pending_labels"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|label| label["level"] != "crash")
        .map(|label| label["snapshot"].as_str().unwrap())
        .collect();
    {
        let mut world = served.lab.world();
        world.snapshots.remove(proven[0]).unwrap();
        let given_up = world.snapshots.get_mut(proven[1]).unwrap();
        let level = "freezeframe:level".to_owned();
        given_up.tags.insert(level, "crash".to_owned());
    }
    aged(&home, &first);
    served.lab.faults().clear();
    let resumed = home.run(&["jobs", "resume"]).await;
    let rows = resumed.json();
    assert_eq!(rows.as_array().unwrap().len(), 2, "{resumed:?}");
    let row = |job: &str| {
        rows.as_array()
            .unwrap()
            .iter()
            .find(|r| r["id"] == job)
            .unwrap()
    };
    assert_eq!(row(other)["verdict"], "application", "{rows:#}");
    assert!(row(other)["error"].is_null(), "{rows:#}");
    assert_eq!(
        levels(&of_job(&served, &instance, other)),
        ["application", "crash", "filesystem"]
    );
    let old = row(job);
    assert_eq!(old["verdict"], "crash", "{old:#}");
    let cause = old["error"]["cause"].as_str().unwrap();
    assert!(
        cause.contains(proven[0]) && cause.contains("let go"),
        "{old:#}"
    );
    // Nothing was raised that somebody had lowered.
    assert_eq!(made.len(), 3);
    assert_eq!(levels(&of_job(&served, &instance, job)), ["crash", "crash"]);
    assert_eq!(home.run(&["jobs", "resume"]).await.code, Some(3));
    let calls = served.lab.calls();
    assert_eq!(
        calls
            .iter()
            .filter(|c| c.action == "CreateSnapshots" && !c.dry_run)
            .count(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_killed_in_the_middle_of_its_labels_the_rest_is_written_as_judged_whatever_the_instance_still_says()
 {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    served.lab.faults().inject(Fault {
        action: "CreateTags".to_owned(),
        skip: 1,
        times: 2,
        kind: FaultKind::Delay(Duration::from_secs(600)),
    });
    let mut running = home.start(&["snapshot", "--instance", &instance, "--max-freeze", "60s"]);
    until("the first label", || {
        served.made(&instance).iter().any(|m| m.level != "pending")
    })
    .await;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let (view, open) = home.job().unwrap();
    assert!(open && view["phase"] == "verifying", "{view:#}");
    assert_eq!(view["pending_labels"].as_array().unwrap().len(), 3);
    assert!(served.made(&instance).iter().any(|m| m.level == "pending"));
    served.lab.faults().clear();
    // What the commands said is gone: only the record can tell what the set is worth.
    served.lab.world().ssm = freezeframe::lab::ssm::SsmState::default();
    let resumed = home.run(&["jobs", "resume", "--wait"]).await;
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    let made = served.made(&instance);
    assert_eq!(levels(&made), ["application", "crash", "filesystem"]);
    assert!(made.iter().all(|m| m.frozen || m.level == "crash"));
    let (view, open) = home.job().unwrap();
    assert!(!open && view["verdict"] == "application", "{view:#}");
    assert!(
        view["set"]
            .as_array()
            .unwrap()
            .iter()
            .all(|m| m["reason"] != "its label is not written yet")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_when_one_of_several_labels_stands_the_others_are_written_by_the_next_run() {
    let served = served(2).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    denied(&served, 1);
    let args = |instance| ["snapshot", "--instance", instance, "--max-freeze", "60s"];
    let answer = home.run(&args(&instance)).await;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    let view = answer.json()["jobs"][0].clone();
    assert_eq!(
        view["pending_labels"].as_array().unwrap().len(),
        2,
        "{view:#}"
    );
    for member in view["set"].as_array().unwrap() {
        let there = served.made(&instance);
        let there = there
            .iter()
            .find(|m| member["snapshot"] == m.id.as_str())
            .unwrap();
        assert_eq!(member["level"], there.level.as_str(), "{view:#}");
    }
    served.lab.faults().clear();
    let other = served.id("db-1");
    let next = home.run(&args(&other)).await;
    assert_eq!(next.code, Some(0), "{next:?}");
    assert_eq!(
        levels(&served.made(&instance)),
        ["application", "crash", "filesystem"]
    );
    let listed = home.run(&["list", "jobs"]).await.json();
    let states: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|j| j["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["done", "done"], "{listed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_a_level_without_what_comes_with_it_is_told_as_a_claim_where_no_journal_bears_it_out() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let (taker, other) = (Home::new(&served), Home::new(&served));
    let args = ["snapshot", "--instance", &instance, "--max-freeze", "60s"];
    let taken = taker.run(&args).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    let sets = ["list", "sets"];
    let whole = other.run(&sets).await.json()[0].clone();
    assert_eq!(whole["level"], "application", "{whole:#}");
    assert_eq!(whole["evidence"]["summary"], "by tag", "{whole:#}");
    for snapshot in served.lab.world().snapshots.values_mut() {
        snapshot.tags.remove("freezeframe:frozen-ms");
    }
    let bare = other.run(&sets).await.json()[0].clone();
    assert_eq!(bare["level"], "crash", "{bare:#}");
    assert_eq!(bare["tagged"], "application", "{bare:#}");
    let claimed = "claimed by tag, no evidence";
    assert_eq!(bare["evidence"]["summary"], claimed, "{bare:#}");
    let members = bare["set"].as_array().unwrap();
    for member in members {
        assert_eq!(member["level"], "crash", "{bare:#}");
    }
    let told = |m: &&Value| m["reason"].as_str().unwrap().contains(claimed);
    assert_eq!(members.iter().filter(told).count(), 2, "{bare:#}");
    let first = bare["evidence"]["sentences"][0].as_str().unwrap();
    assert!(first.contains(claimed), "{bare:#}");
    for what in ["sets", "snapshots"] {
        let found = other
            .run(&["list", what, "--filter", "level=application"])
            .await;
        assert_eq!(found.code, Some(3), "{found:?}");
    }
    // Who has the journal has the evidence.
    let here = taker.run(&sets).await.json()[0].clone();
    assert_eq!(here["level"], "application", "{here:#}");
    assert_eq!(here["evidence"]["summary"], "held", "{here:#}");
}

/// Data Lifecycle Manager, AWS Backup or a person makes a snapshot with all the tags of one of ours: it joins no set,
/// lends and takes no level, and is not ours to delete.
#[tokio::test(flavor = "multi_thread")]
async fn p11_a_snapshot_with_the_tags_of_another_joins_no_set() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let (taker, other) = (Home::new(&served), Home::new(&served));
    let args = ["snapshot", "--instance", &instance, "--max-freeze", "60s"];
    let taken = taker.run(&args).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    let sets = ["list", "sets"];
    let before = [taker.run(&sets).await.json(), other.run(&sets).await.json()];
    let (copied, of) = {
        let mut world = served.lab.world();
        let proven = |s: &&freezeframe::lab::world::Snapshot| {
            s.tags.get("freezeframe:level").map(String::as_str) == Some("application")
        };
        let mut copy = world.snapshots.values().find(proven).unwrap().clone();
        let of = std::mem::replace(&mut copy.id, "snap-0c0ffee0000000001".to_owned());
        let id = copy.id.clone();
        world.snapshots.insert(id.clone(), copy);
        (id, of)
    };
    for (home, before) in [(&taker, &before[0]), (&other, &before[1])] {
        let now = home.run(&sets).await.json();
        assert_eq!(now, *before, "{now:#}");
        let rows = home.run(&["list", "snapshots"]).await.json();
        let rows = rows.as_array().unwrap();
        let row = rows.iter().find(|r| r["id"] == copied.as_str()).unwrap();
        assert_eq!(row["level"], "crash", "{row:#}");
        assert_eq!(row["origin"]["by"], "copy", "{row:#}");
        assert_eq!(row["origin"]["of"], of.as_str(), "{row:#}");
    }
    // It is not ours to delete.
    let prune = ["prune", "--keep-last", "1", "--instance", &instance];
    let plan = taker.run(&[&prune[..], &["--dry-run"]].concat()).await;
    let plan = plan.json();
    let decisions = plan["decisions"].as_array().unwrap();
    let of_copy = |d: &&serde_json::Value| d["snapshots"][0]["id"] == copied.as_str();
    let decision = decisions.iter().find(of_copy).unwrap();
    assert_eq!(decision["fate"], "blocked", "{decision:#}");
    let reasons = decision["reasons"].to_string();
    assert!(reasons.contains(&of), "{reasons}");
}

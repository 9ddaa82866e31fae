//! What is left when even the journal is lost, and a thaw by hand under a living console.

use std::time::Duration;

use chrono::TimeDelta;
use freezeframe::lab::FaultKind;

use super::served::{Home, served, until};

#[tokio::test(flavor = "multi_thread")]
async fn sets_that_no_journal_knows_are_shown_and_labelled_on_request_only() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    let mut running = home.start(&["snapshot", "--instance", &instance, "--max-freeze", "30s"]);
    until("the set", || served.made(&instance).len() == 3).await;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    // The machine with the journal is gone; another one looks.
    let other = Home::new(&served);
    let before = served.made(&instance);
    if before.iter().any(|m| m.level != "pending") {
        return; // It was quicker than the kill.
    }
    let young = other.run(&["jobs", "orphans"]).await;
    assert_eq!(young.code, Some(3), "it may yet be judged: {young:?}");
    for snapshot in served.lab.world().snapshots.values_mut() {
        snapshot.start -= TimeDelta::hours(1);
    }
    // Where it is open in the journal it is no orphan.
    assert_eq!(home.run(&["jobs", "orphans"]).await.code, Some(3));
    let shown = other.run(&["jobs", "orphans"]).await;
    assert_eq!(shown.code, Some(0));
    let rows = shown.json();
    assert_eq!(rows[0]["job"], before[0].job.as_str());
    assert_eq!(rows[0]["snapshots"].as_array().unwrap().len(), 3);
    for key in ["id", "state", "tags", "account", "region"] {
        assert!(rows[0].get(key).is_some(), "{key}: {rows:#}");
    }
    assert!(served.made(&instance).iter().all(|m| m.level == "pending"));
    // Not without a yes: there is no terminal to ask on.
    let refused = other.run(&["jobs", "orphans", "--label"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(served.made(&instance).iter().all(|m| m.level == "pending"));
    let labelled = other.run(&["jobs", "orphans", "--label", "--yes"]).await;
    assert_eq!(labelled.code, Some(0), "{labelled:?}");
    assert_eq!(labelled.json()[0]["state"], "labelled");
    let after = served.made(&instance);
    assert_eq!(after.len(), before.len(), "nothing is deleted");
    assert!(after.iter().all(|m| m.level == "crash"), "{after:?}");
    // What every label has beside the level is there too: a restore makes the same volume again.
    let keys = [
        "freezeframe:volume",
        "freezeframe:device",
        "freezeframe:set-size",
    ];
    for made in &after {
        let tags = served.lab.world().snapshots[&made.id].tags.clone();
        for key in keys {
            assert!(tags.contains_key(key), "{key}: {tags:?}");
        }
        let record = &tags["freezeframe:volume"];
        assert!(
            record.contains("type=gp3") && record.contains("gib="),
            "{record}"
        );
    }
    assert_eq!(other.run(&["jobs", "orphans"]).await.code, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_thaws_under_a_living_console_which_then_claims_nothing() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    served.fault("CreateSnapshots", FaultKind::Delay(Duration::from_secs(40)));
    let running = home.start(&["snapshot", "--instance", &instance, "--max-freeze", "600s"]);
    home.until_phase("snapshotting").await;
    assert!(!served.runtime.frozen_mounts(&instance).is_empty());
    let aborted = home.run(&["jobs", "abort", "--all"]).await;
    assert_eq!(aborted.code, Some(0), "{aborted:?}");
    assert!(aborted.err.contains("post-script is sent"), "{aborted:?}");
    let came = "thawed; whoever drives it sees that and claims no more than was proven by then";
    assert!(aborted.err.contains(came), "{aborted:?}");
    assert_eq!(aborted.json()[0]["thaw"], "thawed", "{aborted:?}");
    served.nothing_frozen(&instance);
    let unknown = home
        .run(&[
            "jobs",
            "abort",
            "--job",
            "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10",
        ])
        .await;
    assert_eq!(unknown.code, Some(3), "{unknown:?}");
    let answer = running.wait().await;
    assert!(matches!(answer.code, Some(1 | 4 | 130)), "{answer:?}");
    for made in served.made(&instance) {
        assert_eq!(made.level, "crash", "{made:?}");
    }
    assert_eq!(home.run(&["jobs", "abort", "--all"]).await.code, Some(3));
}

/// What is not in this host's journal cannot be stopped from here, and nobody is told that it could.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_host_is_to_be_stopped_there() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let (home, other) = (Home::new(&served), Home::new(&served));
    served.fault("CreateSnapshots", FaultKind::Delay(Duration::from_secs(40)));
    let running = home.start(&["snapshot", "--instance", &instance, "--max-freeze", "600s"]);
    home.until_phase("snapshotting").await;
    let refused = other.run(&["snapshot", "--instance", &instance]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains("started by another console")
            && refused.err.contains("stop it where it was started"),
        "{refused:?}"
    );
    let aborted = home.run(&["jobs", "abort", "--all"]).await;
    assert_eq!(aborted.code, Some(0), "{aborted:?}");
    running.wait().await;
}

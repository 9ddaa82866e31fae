//! A job of which only AWS's copying is left: nothing to do, and nobody is told that it was resumed.

use freezeframe::lab::world::SnapshotState;

use super::served::{Home, Served, served, until};

/// Every snapshot there is, pending or not.
fn all_are(served: &Served, state: SnapshotState) {
    let mut world = served.lab.world();
    for snapshot in world.snapshots.values_mut() {
        snapshot.state = state;
        snapshot.completes = snapshot.start + chrono::TimeDelta::days(1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p21_what_is_only_copied_is_told_so_until_it_is_copied() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    let mut running = home.start(&["snapshot", "--instance", &instance]);
    home.until_phase("completing").await;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    until("the copying's end", || {
        let world = served.lab.world();
        world
            .snapshots
            .values()
            .all(|s| s.state == SnapshotState::Completed)
    })
    .await;
    all_are(&served, SnapshotState::Pending);
    for _ in 0..2 {
        let listed = home
            .run(&["list", "jobs", "--filter", "state=copying"])
            .await;
        assert_eq!(listed.json()[0]["state"], "copying", "{listed:?}");
        let resumed = home.run(&["jobs", "resume"]).await;
        assert_eq!(resumed.code, Some(0), "{resumed:?}");
        assert_eq!(resumed.json()[0]["state"], "copying", "{resumed:?}");
        assert!(
            resumed.err.contains(": still copying ") && resumed.err.contains("jobs resume --wait"),
            "{resumed:?}"
        );
        assert!(!resumed.err.contains("resumed job"), "{resumed:?}");
    }
    // Nor is it in the way of the next one, which says the same first.
    let next = home
        .run(&["snapshot", "--instance", "i-0aaaaaaaaaaaaaaa0"])
        .await;
    assert!(next.err.contains(": still copying "), "{next:?}");
    all_are(&served, SnapshotState::Completed);
    let resumed = home.run(&["jobs", "resume"]).await;
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(resumed.err.contains(": copied, application"), "{resumed:?}");
    assert_eq!(home.run(&["jobs", "resume"]).await.code, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn p21_what_is_done_for_an_open_job_is_said_before_it_is_done() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    let mut running = home.start(&["snapshot", "--instance", &instance, "--max-freeze", "600s"]);
    home.until_phase("quiescing").await;
    // What could freeze is on its way, not only meant to be.
    home.until_sent("pre-script").await;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let resumed = home.run(&["jobs", "resume"]).await;
    let job = home.job().unwrap().0["job"].as_str().unwrap().to_owned();
    let at = |words: &str| {
        let line = format!("job {job} on {instance}: {words}");
        resumed
            .err
            .find(&line)
            .unwrap_or_else(|| panic!("{line}: {resumed:?}"))
    };
    let (thawing, looking) = (at("thawing it first"), at("looking at EC2 for a set of it"));
    let over = resumed.err.find("resumed job").unwrap();
    assert!(thawing < looking && looking < over, "{resumed:?}");
    served.nothing_frozen(&instance);
}

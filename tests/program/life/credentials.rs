//! Credentials that expire while the instance is frozen: thawed by the failsafe, no label; a start without
//! credentials says so, one with fresh ones clears everything up. (What the console itself says when it
//! lives through it is in `flows.rs`.)

use std::time::Duration;

use freezeframe::lab::FaultKind;

use super::served::{Home, served, until};

#[tokio::test(flavor = "multi_thread")]
async fn p22_credentials_that_expire_mid_freeze_end_thawed_and_are_cleared_up_with_fresh_ones() {
    let served = served(2).await;
    for (n, during) in ["snapshotting", "thawing"].into_iter().enumerate() {
        let instance = served.id(&format!("db-{n}"));
        let home = Home::new(&served);
        served.fault("CreateSnapshots", FaultKind::Delay(Duration::from_secs(5)));
        // Short in the lab's time, so that the failsafe acts long before the program gives up.
        let running = home.start(&["snapshot", "--instance", &instance, "--max-freeze", "20s"]);
        home.until_phase(during).await;
        assert!(!served.runtime.frozen_mounts(&instance).is_empty() || during == "thawing");
        served.lab.faults().inject(freezeframe::lab::Fault {
            action: "*".to_owned(),
            skip: 0,
            times: u32::MAX,
            kind: FaultKind::Error {
                code: "ExpiredToken".to_owned(),
                message: "The security token included in the request is expired".to_owned(),
                status: 403,
            },
        });
        // Nobody can reach the instance; its failsafe does not need anybody.
        until("the failsafe", || {
            served.runtime.frozen_mounts(&instance).is_empty()
        })
        .await;
        running.signal("KILL");
        running.wait().await;
        let refused = home.run(&["jobs", "resume"]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("expired"), "{refused:?}");
        assert!(served.made(&instance).iter().all(|m| m.level == "pending"));
        served.lab.faults().clear();
        let resumed = home.run(&["jobs", "resume", "--wait"]).await;
        let (view, open) = home.job().unwrap();
        assert!(!open && view["thaw_unconfirmed"] == false, "{resumed:?}");
        for made in served.made(&instance) {
            // Whatever the failsafe released proves nothing.
            assert!(made.level == "crash" || made.frozen, "{made:?}");
        }
    }
}

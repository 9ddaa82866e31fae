//! Promise 2: the failsafe is up, and out of everybody's reach, before the first lock or freeze; or nothing is frozen.

use super::agent::Agent;
use super::lab::{Lab, needs, wait_for};
use super::probe::{self, Probe};
use super::shims;
use super::worlds::{FILES, MOUNTS, files};

fn server() -> (Lab, Agent) {
    let (world, _) = files(1, &[("ext4", MOUNTS[0]), ("xfs", MOUNTS[1])]);
    let lab = Lab::of(&world);
    let agent = Agent::of(&lab);
    (lab, agent)
}

#[test]
#[ignore = "needs root and loop devices"]
fn p02_failsafe_is_up_and_detached_before_the_first_freeze() {
    needs(&[]);
    let (lab, agent) = server();
    shims::freezes(&lab, FILES);
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    let pre = agent.files(FILES, "pre-script", "auto");
    assert_eq!(pre.code, 0, "{pre:#?}");
    let seen = shims::seen(&lab, FILES);
    assert_eq!(seen.len(), 2, "{seen:#?}");
    let inherited = shims::inherited(&lab, FILES);
    for freeze in &seen {
        assert!(freeze.what.starts_with("freeze="), "{freeze:?}");
        let guard = freeze
            .guard
            .as_ref()
            .expect("no failsafe while it was frozen");
        guard.is_detached(&inherited);
        assert_eq!(pre.the("armed")["guard_pid"], guard.pid, "{pre:#?}");
    }
    let post = agent.files(FILES, "post-script", "auto");
    assert_eq!(post.code, 0, "{post:#?}");
    // It was there for each thaw.
    let seen = shims::seen(&lab, FILES);
    assert_eq!(seen.len(), 2, "{seen:#?}");
    for thaw in &seen {
        assert!(thaw.what.starts_with("thaw="), "{thaw:?}");
        let guard = thaw.guard.as_ref().expect("no failsafe");
        guard.is_detached(&inherited);
    }
    // The same for a job that the instance does alone.
    let ran = agent.files(FILES, "snapshot", "auto");
    assert_eq!(ran.code, 0, "{ran:#?}");
    let seen = shims::seen(&lab, FILES);
    let did: Vec<_> = seen
        .iter()
        .filter_map(|seen| seen.what.split('=').next())
        .collect();
    assert_eq!(did, ["freeze", "freeze", "thaw", "thaw"], "{seen:#?}");
    for moment in &seen {
        let guard = moment.guard.as_ref().expect("no failsafe");
        guard.is_detached(&inherited);
        assert_eq!(ran.the("armed")["guard_pid"], guard.pid, "{ran:#?}");
    }
    outer.unused();
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

/// What makes the failsafe impossible, what undoes that, and the error that must be told.
const OBSTACLES: [(&str, &str, &str, i32, &str); 3] = [
    (
        "no directory in memory",
        // The instance's root is in memory; an overlay does not count as that.
        "mkdir -p /usr/disk && mount --bind /usr/disk /run && mount --bind /usr/disk /dev/shm",
        "umount /dev/shm && umount /run",
        206,
        "arm-failed",
    ),
    (
        "no setsid",
        "mv /usr/bin/setsid /usr/bin/setsid.gone",
        "mv /usr/bin/setsid.gone /usr/bin/setsid",
        206,
        "no-tool",
    ),
    (
        "a directory that others may write to",
        "mkdir -p /run/freezeframe && chmod 777 /run/freezeframe",
        "rm -rf /run/freezeframe",
        206,
        "arm-failed",
    ),
];

/// A `setsid` that does as told when it is to start the failsafe.
const STARTERS: [(&str, &str); 2] = [
    ("it dies at once", "exit 1"),
    // In the session of whoever started it, where the agent's SIGKILL would find it.
    ("it gets no session", "exec \"$@\""),
];

#[test]
#[ignore = "needs root and loop devices"]
fn p02_nothing_is_frozen_when_the_failsafe_cannot_be_armed() {
    needs(&[]);
    let (lab, agent) = server();
    let watched = MOUNTS.map(|mount| Probe::start(&lab, FILES, mount));
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    for (what, make, undo, code, error) in OBSTACLES {
        lab.must(FILES, make);
        let pre = agent.files(FILES, "pre-script", "auto");
        lab.must(FILES, undo);
        println!("{what}: {:?}", pre.errors());
        pre.refused(code, error);
    }
    for (what, starter) in STARTERS {
        let body =
            format!("for A; do case $A in --guard) {starter} ;; esac; done\nexec \"$REAL\" \"$@\"");
        shims::replace(&lab, FILES, "setsid", &body);
        let pre = agent.files(FILES, "pre-script", "auto");
        shims::restore(&lab, FILES, "setsid");
        println!("{what}: {:?}", pre.errors());
        pre.refused(201, "arm-failed");
        assert_eq!(pre.all("armed").count(), 0, "{pre:#?}");
    }
    outer.unused();
    for probe in &watched {
        assert!(!probe.seen_frozen(), "frozen without a failsafe");
    }
    // And with everything in its place again it works: it was no other obstacle.
    let pre = agent.files(FILES, "pre-script", "auto");
    assert_eq!(pre.code, 0, "{pre:#?}");
    for probe in &watched {
        probe.wait("frozen");
    }
    let post = agent.files(FILES, "post-script", "auto");
    assert_eq!(post.code, 0, "{post:#?}");
    drop(watched);
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn p02_nothing_stays_frozen_when_memory_for_its_state_runs_out() {
    needs(&[]);
    let (lab, agent) = server();
    let watched = MOUNTS.map(|mount| Probe::start(&lab, FILES, mount));
    // A few files more each time, until there is room for all of them.
    let mut enough = false;
    for files in (2..80).step_by(5) {
        let outer = lab.outer_thaw(FILES, &MOUNTS);
        lab.must(
            FILES,
            &format!("mount -t tmpfs -o nr_inodes={files} none /run"),
        );
        let step = |command| {
            let values = [("command", command), ("budgetSeconds", "8")];
            agent.run(FILES, "linux-filesystem", &values)
        };
        let pre = step("pre-script");
        enough = pre.code == 0 && step("post-script").code == 0;
        // What froze in spite of it is thawed by whoever is left; at the latest, when the budget is spent.
        wait_for("the thaw", || {
            !MOUNTS.iter().any(|mount| probe::frozen(&lab, FILES, mount))
        });
        let froze = watched.iter().any(Probe::seen_frozen);
        println!(
            "room for {files} files: exit {}, {:?}, {}",
            pre.code,
            pre.errors(),
            if froze {
                "frozen and thawed"
            } else {
                "nothing frozen"
            }
        );
        outer.unused();
        lab.must(FILES, "umount -l /run");
        if enough {
            break;
        }
    }
    assert!(enough, "never enough room");
    drop(watched);
    // The processes that keep the descriptors, where nobody could note them, end by themselves two minutes after the
    // budget; the lab does not wait for them.
    lab.finish();
}

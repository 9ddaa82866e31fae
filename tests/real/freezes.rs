//! Promises 1, 5, 7 and 10: nothing stays frozen, nothing of others is thawed, nothing is claimed that was not so.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use super::console::{Answer, Console, text};
use super::lab::{Lab, OuterThaw, needs, pid, wait_for};
use super::probe::{self, Probe};
use super::worlds::{FILES, MOUNTS};

/// Both mounts watched, in the order in which a job freezes them, and a thaw of our own armed.
fn watched(lab: &Lab) -> (Probe, Probe, OuterThaw) {
    let [a, b] = MOUNTS.map(|mount| Probe::start(lab, FILES, mount));
    (a, b, lab.outer_thaw(FILES, &MOUNTS))
}

/// A job that its console did not survive is closed in the journal, without a claim, and surely thawed.
fn settled(console: &Console, job: &str) {
    let row = console.journal(job);
    assert_eq!(row["phase"], "done", "{row:#}");
    assert_eq!(row["thaw_unconfirmed"], false, "{row:#}");
    assert!(
        matches!(row["verdict"].as_str(), Some("failed" | "crash")),
        "{row:#}"
    );
}

/// A job whose failsafe acted claims nothing above `crash`: not in its verdict, not in its set, not in a tag.
fn claims_no_more_than_crash(console: &Console, answer: &Answer) {
    let job = answer.job();
    assert_eq!(
        (answer.code, &job["verdict"]),
        (4, &Value::from("crash")),
        "{answer:?}"
    );
    assert_eq!(job["thaw_unconfirmed"], false, "{job:#}");
    assert_eq!(job["evidence"]["failsafe_fired"], true, "{job:#}");
    let set = job["set"].as_array().unwrap();
    assert_eq!(set.len(), 3, "{job:#}");
    for member in set {
        assert_eq!(member["level"], "crash", "{member:#}");
        assert_eq!(console.level(&text(&member["snapshot"])), "crash");
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn p10_failsafe_fires_early_means_crash() {
    needs(&[]);
    let lab = Lab::start();
    let console = Console::new(&lab);
    let (a, b, outer) = watched(&lab);
    let running = console.snapshot(
        FILES,
        &["--max-freeze", "6s", "--on-failure", "crash-consistent"],
    );
    a.wait("frozen");
    // The console cannot know of the freeze yet. It sleeps over the end of the budget.
    kill_process(pid(running.id()), Signal::STOP).unwrap();
    b.wait("frozen");
    b.wait("thawed");
    a.wait("thawed");
    kill_process(pid(running.id()), Signal::CONT).unwrap();
    let answer = running.wait();
    outer.unused();
    claims_no_more_than_crash(&console, &answer);
    assert!(!a.seen_frozen() && !b.seen_frozen(), "frozen a second time");
    drop((a, b));
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn p10_failsafe_between_snapshot_and_thaw_means_crash() {
    needs(&[]);
    let lab = Lab::start();
    let console = Console::new(&lab);
    let mut hit = false;
    // The console may be quicker than we are and send its release before it is stopped.
    for _ in 0..5 {
        let (a, b, outer) = watched(&lab);
        let before = lab.sets();
        let running = console.snapshot(FILES, &["--max-freeze", "6s"]);
        wait_for("the lab taking the snapshots", || lab.sets() > before);
        // It sleeps over the end of the budget with the snapshots taken and its release not sent.
        kill_process(pid(running.id()), Signal::STOP).unwrap();
        a.wait("frozen");
        b.wait("frozen");
        a.wait("thawed");
        b.wait("thawed");
        kill_process(pid(running.id()), Signal::CONT).unwrap();
        let answer = running.wait();
        outer.unused();
        if answer.code != 0 {
            claims_no_more_than_crash(&console, &answer);
            hit = true;
            break;
        }
    }
    assert!(hit, "the console was never stopped in time");
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn p01_console_killed_while_frozen_is_thawed_within_the_budget() {
    needs(&[]);
    let lab = Lab::start();
    let console = Console::new(&lab);
    let (a, b, outer) = watched(&lab);
    let running = console.snapshot(FILES, &["--max-freeze", "8s"]);
    a.wait("frozen");
    running.kill();
    b.wait("frozen");
    let thawed = a.wait("thawed").max(b.wait("thawed"));
    // What the failsafe noted when it was armed: who it is, and until when it waits.
    let recorded = lab.path(FILES, "/run/freezeframe");
    let of_the_job = |file: &str| -> String {
        let jobs = std::fs::read_dir(&recorded).unwrap();
        jobs.filter_map(|job| std::fs::read_to_string(job.ok()?.path().join(file)).ok())
            .collect()
    };
    let deadline: u64 = of_the_job("guard.up")
        .trim()
        .split(' ')
        .nth(2)
        .unwrap()
        .parse()
        .unwrap();
    // And its own account of what it did.
    wait_for("the failsafe's account", || {
        let account = of_the_job("events");
        account.lines().any(|line| line.starts_with("disarmed "))
    });
    outer.unused();
    let account = of_the_job("events");
    assert!(account.contains("the budget of 8 s was spent"), "{account}");
    println!(
        "thawed {} ms after the end of a budget of 8000 ms",
        thawed.cast_signed() - deadline.cast_signed()
    );
    // Seen by a witness, on the clock that the failsafe reads: not before its time, and at most 1 s after it.
    assert!(
        (deadline..=deadline + 1_000).contains(&thawed),
        "thawed at {thawed}, the budget ended at {deadline}: {account}"
    );

    // The next start settles what it finds open, before its own job.
    let open = console.jobs();
    assert_eq!(open.len(), 1);
    assert_ne!(open[0]["phase"], "done", "{open:#?}");
    let answer = console.snapshot(FILES, &[]).wait();
    assert_eq!(
        (answer.code, &answer.job()["verdict"]),
        (0, &Value::from("filesystem")),
        "{answer:?}"
    );
    assert!(answer.err.contains("resumed job"), "{answer:?}");
    settled(&console, &text(&open[0]["id"]));
    drop((a, b));
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn p07_next_start_thaws_before_the_budget_is_spent_and_closes_the_journal() {
    needs(&[]);
    let lab = Lab::start();
    let console = Console::new(&lab);
    let (a, b, outer) = watched(&lab);
    // Longer than the test waits for anything: only the next start can be the one that thaws.
    let running = console.snapshot(FILES, &["--max-freeze", "900s"]);
    a.wait("frozen");
    b.wait("frozen");
    running.kill();
    let open = console.jobs();
    assert_eq!(open.len(), 1);
    assert!(probe::frozen(&lab, FILES, "/data/a") && probe::frozen(&lab, FILES, "/data/b"));
    // A start that matches nothing: it thaws all the same.
    let answer = console.run(&["snapshot", "--tag", "Name=nobody"]);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.err.contains("thawed and settled"), "{answer:?}");
    a.wait("thawed");
    b.wait("thawed");
    outer.unused();
    settled(&console, &text(&open[0]["id"]));
    drop((a, b));
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

/// Waits until a job's `pre-script` has come this far: `begun`, or a file (with this word in it) that it, its failsafe
/// or its holder leaves on tmpfs (`assets/documents/src/processes.sh`). Returns the process group that the agent runs it in.
fn pre_script_at(lab: &Lab, step: &str) -> Pid {
    let mut group = None;
    wait_for("pre-script", || {
        group = lab.script_group(FILES, "pre-script");
        group.is_some()
    });
    if step != "begun" {
        let jobs = lab.path(FILES, "/run/freezeframe");
        wait_for(step, || {
            let jobs = std::fs::read_dir(&jobs).into_iter().flatten().flatten();
            jobs.into_iter().any(|job| match step.split_once('=') {
                Some((file, word)) => std::fs::read_to_string(job.path().join(file))
                    .is_ok_and(|text| text.trim() == word),
                // Made blank before anything is frozen; what it says comes later.
                None => std::fs::read_to_string(job.path().join(step))
                    .is_ok_and(|text| !text.trim().is_empty()),
            })
        });
    }
    group.expect("a group")
}

/// Waits until the failsafe and the holder of a job have done all they do.
fn quiet(lab: &Lab) {
    wait_for("the end of the failsafe and the holder", || {
        let mut pgrep = lab.inside(FILES, "pgrep");
        let found = pgrep
            .args(["-f", "--", "--(guard|holder)"])
            .output()
            .unwrap();
        !found.status.success()
    });
}

/// Both mounts take writes again.
fn writable(lab: &Lab, after: &str) {
    for mount in MOUNTS {
        assert!(
            !probe::frozen(lab, FILES, mount),
            "{mount} is frozen after {after}"
        );
        lab.must(
            FILES,
            &format!("echo {after} >{mount}/after && sync {mount}/after"),
        );
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn p01_agent_group_and_console_killed_together_is_thawed() {
    needs(&["pgrep"]);
    let lab = Lab::start();
    let console = Console::new(&lab);
    // The script's every step is in `steps.rs`; these are the ones that the console takes part in.
    for step in ["begun", "st.1=frozen", "pre.done"] {
        let (a, b, outer) = watched(&lab);
        let running = console.snapshot(FILES, &["--max-freeze", "10s"]);
        let group = pre_script_at(&lab, step);
        // Stopped first, so that its own care for a failed command is no help.
        kill_process(pid(running.id()), Signal::STOP).unwrap();
        // ESRCH: it ended by itself just now, which is one of the moments that must do no harm either.
        kill_process_group(group, Signal::KILL).ok();
        running.kill();
        quiet(&lab);
        println!(
            "killed at {step}: seen frozen {} {}",
            a.seen_frozen(),
            b.seen_frozen()
        );
        writable(&lab, step);
        outer.unused();
        // The next start closes it.
        let open = console.jobs();
        let open = open
            .iter()
            .find(|job| job["phase"] != "done")
            .expect("an open job");
        let next = console.run(&["snapshot", "--tag", "Name=nobody"]);
        assert_eq!(next.code, 3, "{next:?}");
        settled(&console, &text(&open["id"]));
    }
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn p01_agent_group_killed_is_thawed() {
    needs(&["pgrep"]);
    let lab = Lab::start();
    let console = Console::new(&lab);
    for both in [false, true] {
        let (a, b, outer) = watched(&lab);
        let running = console.snapshot(FILES, &["--max-freeze", "20s"]);
        let group = pre_script_at(&lab, "begun");
        a.wait("frozen");
        if both {
            b.wait("frozen");
        }
        kill_process_group(group, Signal::KILL).ok();
        let answer = running.wait();
        let job = answer.job();
        println!(
            "group killed with {} frozen: exit {}, {}",
            1 + u8::from(both),
            answer.code,
            job["verdict"]
        );
        // Proven only if the killing came too late to matter.
        let verdict = if answer.code == 0 {
            "filesystem"
        } else {
            "failed"
        };
        assert_eq!(job["verdict"], verdict, "{answer:?}");
        assert!(matches!(answer.code, 0 | 1), "{answer:?}");
        assert_eq!(job["thaw_unconfirmed"], false, "{job:#}");
        quiet(&lab);
        writable(&lab, "it");
        outer.unused();
    }
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn p05_second_mount_frozen_by_another_owner() {
    needs(&[]);
    let lab = Lab::start();
    let console = Console::new(&lab);
    // Before the job: the preflight refuses. Between the preflight and the freeze: the job undoes what it froze.
    for early in [true, false] {
        let a = Probe::start(&lab, FILES, "/data/a");
        let outer = lab.outer_thaw(FILES, &MOUNTS);
        let mut taken = early;
        if early {
            lab.must(FILES, "fsfreeze -f /data/b");
        }
        let running = console.snapshot(FILES, &["--max-freeze", "20s"]);
        if !early {
            a.wait("frozen");
            // Whoever comes first: the job, or this other owner.
            taken = lab.sh(FILES, "fsfreeze -f /data/b").0;
        }
        let answer = running.wait();
        let job = answer.job();
        println!(
            "the other owner came {} ({}): exit {}, {}",
            if early { "before" } else { "meanwhile" },
            if taken {
                "and froze"
            } else {
                "and was too late"
            },
            answer.code,
            job["error"]["code"]
        );
        assert!(
            !probe::frozen(&lab, FILES, "/data/a"),
            "the first mount stays frozen"
        );
        assert_eq!(
            probe::frozen(&lab, FILES, "/data/b"),
            taken,
            "the other owner's freeze"
        );
        assert_eq!(job["thaw_unconfirmed"], false, "{job:#}");
        if early {
            assert!(
                !a.seen_frozen(),
                "frozen although the second mount could not be"
            );
        }
        // Only one who comes after the job's own thaw leaves it whole.
        if early || answer.code != 0 {
            assert!(taken, "{answer:?}");
            assert_eq!(
                (answer.code, &job["error"]["code"]),
                (1, &Value::from("already-frozen")),
                "{answer:?}"
            );
            assert_eq!(job["set"], Value::Array(Vec::new()), "{job:#}");
        }
        if taken {
            lab.must(FILES, "fsfreeze -u /data/b");
        }
        outer.unused();
    }
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

//! Promise 1: SIGKILL to the whole process group of the instance's script after its first step, its second, its third and so
//! on, until there is no such step any more. A step is what can be told apart from outside: each file that the job leaves
//! in its directory, each state of a mount, each event.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process_group};

use super::agent::Agent;
use super::lab::{Lab, arguments, needs, processes, wait_for};
use super::probe::{self, Probe};
use super::worlds::{MOUNTS, files};

const BUDGET_MS: u64 = 10_000;

/// What a job has left so far.
fn marks(job: &Path, seen: &mut BTreeSet<String>) {
    for entry in fs::read_dir(job).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Notes that are written in one breath with the state of the same mount, or with the same event.
        if ["dev.", "id.", "mnt.", "seq", "printed"]
            .iter()
            .any(|note| name.starts_with(note))
        {
            continue;
        }
        if name.starts_with("st.") {
            let state = fs::read_to_string(entry.path()).unwrap_or_default();
            if !state.is_empty() {
                seen.insert(format!("{name}={}", state.trim()));
            }
        } else if name == "events" {
            let events = fs::read_to_string(entry.path()).unwrap_or_default();
            for line in 1..=events.lines().count() {
                seen.insert(format!("event {line}"));
            }
        } else if entry.file_type().is_ok_and(|kind| kind.is_file())
            && fs::read_to_string(entry.path())
                .is_ok_and(|text| !text.is_empty() && text.trim().is_empty())
        {
            // Made blank before anything is frozen, so that it can be written whatever comes; it says nothing yet.
            continue;
        }
        seen.insert(name);
    }
}

/// The failsafe and the holder of a job.
fn helpers(job: &str) -> Vec<u32> {
    let mut found = processes();
    found.retain(|process| {
        let line = arguments(*process);
        let ours = line.iter().any(|word| word.contains(job));
        ours && line
            .iter()
            .any(|word| word == "--guard" || word == "--holder")
    });
    found
}

/// Kills after step `n`. False when the command was over before it had so many.
fn killed_after(lab: &Lab, agent: &Agent, instance: &str, command: &str, n: u64) -> bool {
    let job = format!("00000000-0000-4000-8000-{n:012}");
    let directory = lab.path(instance, &format!("/run/freezeframe/{job}"));
    let probes = MOUNTS.map(|mount| Probe::start(lab, instance, mount));
    let outer = lab.outer_thaw(instance, &MOUNTS);
    let mode = match command {
        "snapshot" => "autonomous",
        _ => "coordinated",
    };
    let budget = (BUDGET_MS / 1_000).to_string();
    let values = |command| {
        [
            ("executionId", job.as_str()),
            ("command", command),
            ("mode", mode),
            ("budgetSeconds", budget.as_str()),
        ]
    };
    let sent = agent.send(instance, "linux-filesystem", &values(command));
    let mut seen = BTreeSet::new();
    let mut group: Option<Pid> = None;
    let mut over = false;
    wait_for("a step or the end", || {
        marks(&directory, &mut seen);
        if seen.len() as u64 >= n {
            return true;
        }
        // It ended by itself: looked at once more, so that no step is missed that it left behind.
        let running = lab.script_group(instance, command);
        over = group.is_some() && running.is_none();
        group = group.or(running);
        if over {
            marks(&directory, &mut seen);
        }
        over
    });
    let exceeded = (seen.len() as u64) < n;
    if let Some(group) = group.or_else(|| lab.script_group(instance, command)) {
        // ESRCH: it has just ended, which is one of the moments too.
        kill_process_group(group, Signal::KILL).ok();
    }
    let frozen_after = || MOUNTS.map(|mount| probe::frozen(lab, instance, mount));
    if exceeded && command == "pre-script" {
        // Nobody was killed: it holds, as it should.
        assert_eq!(frozen_after(), [true, true], "after all {n} steps");
        let post = agent.run(instance, "linux-filesystem", &values("post-script"));
        assert_eq!(post.code, 0, "{post:#?}");
    }
    wait_for("the end of the failsafe and the holder", || {
        helpers(&job).is_empty()
    });
    let deadline = fs::read_to_string(directory.join("guard.up"))
        .ok()
        .and_then(|line| line.trim().split(' ').nth(2)?.parse::<u64>().ok());
    assert_eq!(frozen_after(), [false, false], "frozen after step {n}");
    outer.unused();
    for probe in &probes {
        let Some(thawed) = probe.last_thaw() else {
            continue;
        };
        // Where the directory is gone already, it was thawed by the job itself, in time.
        if let Some(deadline) = deadline {
            assert!(
                thawed <= deadline + 1_000,
                "step {n}: thawed {} ms after the budget",
                thawed - deadline
            );
        }
    }
    agent.wait(&sent, instance);
    // Whoever asks next gets an answer, and the next job on this server finds nothing in its way.
    let post = agent.run(instance, "linux-filesystem", &values("post-script"));
    assert!(matches!(post.code, 0 | 202 | 203 | 205), "{post:#?}");
    for mount in MOUNTS {
        lab.must(
            instance,
            &format!("echo {n} >{mount}/after && sync {mount}/after"),
        );
    }
    !exceeded
}

fn killed_after_every_step(command: &str) {
    let (world, servers) = files(4, &[("ext4", MOUNTS[0]), ("xfs", MOUNTS[1])]);
    let lab = Lab::of(&world);
    drop(Agent::of(&lab));
    let next = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for server in &servers {
            scope.spawn(|| {
                let agent = Agent::new(&lab);
                while killed_after(
                    &lab,
                    &agent,
                    server,
                    command,
                    next.fetch_add(1, Ordering::SeqCst),
                ) {}
            });
        }
    });
    // Every thread went one beyond the last step.
    let steps = next.into_inner() - 1 - servers.len() as u64;
    println!("{command}: killed after each of {steps} steps");
    assert!(steps > 15, "only {steps} steps were told apart");
    for server in &servers {
        lab.released(server, &MOUNTS);
    }
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn p01_group_killed_after_each_step_of_pre_script_is_thawed() {
    needs(&[]);
    killed_after_every_step("pre-script");
}

#[test]
#[ignore = "needs root and loop devices"]
fn p01_group_killed_after_each_step_of_snapshot_is_thawed() {
    needs(&["curl"]);
    killed_after_every_step("snapshot");
}

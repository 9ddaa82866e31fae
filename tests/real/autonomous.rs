//! Promise 10 where the instance calls EC2 itself: each link of the chain is broken alone, with real freezes, and the label
//! drops to what the rest still proves. Nothing stays frozen.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::console::{Answer, Console, text};
use super::lab::{Lab, arguments, needs, pid, processes, wait_for};
use super::probe::{self, Probe};
use super::shims;
use super::work::database;
use super::worlds::{DB, DB_EXT4, DB_XFS, MOUNTS, PROOF, files};

/// The answer to a call of a job (not to its dry run) takes so many milliseconds, with everything frozen.
fn slow_calls(ms: &[u32]) -> String {
    let fault = |ms| {
        format!("[[fault]]\non = \"CreateSnapshots\"\nkind = \"slow\"\ntimes = 1\nms = {ms}\n")
    };
    ms.iter().map(fault).collect()
}

/// Every link of a job's chain: whether it holds, and what was seen.
fn links(job: &Value) -> BTreeMap<String, (bool, String)> {
    let links = job["evidence"]["links"].as_array().unwrap();
    links
        .iter()
        .map(|link| {
            (
                text(&link["name"]),
                (link["holds"] == true, text(&link["seen"])),
            )
        })
        .collect()
}

/// Names of the links that do not hold, in the alphabet's order.
fn broken(job: &Value) -> Vec<String> {
    let broken = links(job).into_iter().filter(|(_, (holds, _))| !holds);
    broken.map(|(name, _)| name).collect()
}

/// The job ended surely thawed with this verdict; each snapshot of its set, and its tag, claims what `level` says of the
/// volume, and gives the reason.
fn claims(
    console: &Console,
    answer: &Answer,
    verdict: &str,
    level: impl Fn(&str) -> &'static str,
) -> Value {
    let job = answer.job();
    assert_eq!(job["verdict"], verdict, "{answer:?}");
    assert_eq!(job["thaw_unconfirmed"], false, "{job:#}");
    let set = job["set"].as_array().unwrap();
    assert!(!set.is_empty(), "{job:#}");
    for member in set {
        let wanted = level(&text(&member["volume"]));
        assert_eq!(member["level"], wanted, "{member:#}");
        assert_eq!(
            console.level(&text(&member["snapshot"])),
            wanted,
            "{member:#}"
        );
        assert!(!text(&member["reason"]).is_empty(), "{member:#}");
    }
    job
}

fn crash(_: &str) -> &'static str {
    "crash"
}

/// The reason that a covered volume's snapshot gives.
fn reason(job: &Value, volume: &str) -> String {
    let set = job["set"].as_array().unwrap();
    let member = set.iter().find(|member| member["volume"] == volume);
    text(&member.unwrap_or_else(|| panic!("{volume} is not in {job:#}"))["reason"])
}

/// One volume of the `n`th server of [`files`].
fn volume(server: usize, n: usize) -> String {
    format!("vol-0fea2000000{server:03}{n:03}")
}

/// Waits for the holder of the job that is at work on the instance.
fn holder(lab: &Lab, instance: &str) -> u32 {
    let active = lab.path(instance, "/run/freezeframe/active");
    let mut found = None;
    wait_for("the holder", || {
        let lock = fs::read_link(&active).unwrap_or_default();
        let lock = lock.to_string_lossy().into_owned();
        let Some((job, _)) = lock.split_once(':') else {
            return false;
        };
        found = processes().into_iter().find(|process| {
            let line = arguments(*process);
            line.iter().any(|word| word == "--holder")
                && line.last().is_some_and(|word| word.ends_with(job))
        });
        found.is_some()
    });
    found.expect("a holder")
}

/// A `curl` that asks for a set without this volume, as a wrong client might, or hides it in the answer.
fn forgetful_client(lab: &Lab, instance: &str, volume: &str, in_answer: bool) {
    let body = if in_answer {
        // The answer is in the file that `-o` names.
        format!(
            "OUT=''\nfor A; do case $LAST in -o) OUT=$A ;; esac; LAST=$A; done\n\"$REAL\" \"$@\"\nCODE=$?\n\
             if [ -n \"$OUT\" ] && grep -q '<snapshotSet>' \"$OUT\"; then\n\
             tr -d '\\n' <\"$OUT\" | sed 's;<volumeId>{volume}</volumeId>;<volumeId>hidden</volumeId>;' >\"$OUT.new\" && mv \"$OUT.new\" \"$OUT\"\nfi\nexit $CODE"
        )
    } else {
        format!(
            "case \" $* \" in *' -K - '*) ;; *) exec \"$REAL\" \"$@\" ;; esac\n\
             sed 's;InstanceSpecification.ExcludeBootVolume=false;&\\&InstanceSpecification.ExcludeDataVolumeId.1={volume};' | \"$REAL\" \"$@\""
        )
    };
    shims::replace(lab, instance, "curl", &body);
}

fn autonomous<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["--mode", "autonomous"], args].concat()
}

#[test]
#[ignore = "needs root and loop devices"]
fn p10_autonomous_failsafe_before_the_answer_means_crash() {
    needs(&["curl"]);
    let (world, servers) = files(2, &[("ext4", MOUNTS[0]), ("xfs", MOUNTS[1])]);
    let lab = Lab::with(&world, &slow_calls(&[30_000, 4_000]));
    let console = Console::new(&lab);

    // EC2 takes longer than the whole budget: the call is given up in time to thaw by ourselves, and nobody knows whether
    // it happened. It did.
    let outer = lab.outer_thaw(&servers[0], &MOUNTS);
    let watched = MOUNTS.map(|mount| Probe::start(&lab, &servers[0], mount));
    let answer = console
        .snapshot(&servers[0], &autonomous(&["--max-freeze", "6s"]))
        .wait();
    outer.unused();
    assert!(watched.iter().all(Probe::seen_frozen));
    drop(watched);
    assert_eq!(answer.code, 4, "{answer:?}");
    let job = claims(&console, &answer, "crash", crash);
    assert_eq!(job["set"].as_array().unwrap().len(), 3, "{job:#}");
    println!("given up: {:#?}", links(&job));
    assert!(broken(&job).contains(&"one-call".to_owned()), "{job:#}");
    assert_eq!(job["evidence"]["failsafe_fired"], false, "{job:#}");
    // The client gives up by its own limit, or the holder ends it: whichever comes first.
    let given_up = ["given up", "curl ended with 28 "].map(|how| {
        format!(
            "one-call: the instance's CreateSnapshots was not answered well: HTTP status 0, {how}"
        )
    });
    let why = reason(&job, &volume(0, 1));
    assert!(given_up.contains(&why), "{why}");

    // The holder is stopped over the end of its budget: the set is there, its answer too, and the failsafe has thawed.
    let outer = lab.outer_thaw(&servers[1], &MOUNTS);
    let before = lab.sets();
    let running = console.snapshot(&servers[1], &autonomous(&["--max-freeze", "8s"]));
    wait_for("the lab taking the snapshots", || lab.sets() > before);
    assert!(probe::frozen(&lab, &servers[1], MOUNTS[0]));
    kill_process(pid(holder(&lab, &servers[1])), Signal::STOP).unwrap();
    let answer = running.wait();
    outer.unused();
    assert_eq!(answer.code, 4, "{answer:?}");
    let job = claims(&console, &answer, "crash", crash);
    println!("failsafe: {:#?}", links(&job));
    assert_eq!(job["evidence"]["failsafe_fired"], true, "{job:#}");
    assert!(
        broken(&job).contains(&"failsafe-quiet".to_owned()),
        "{job:#}"
    );
    assert_eq!(links(&job)["failsafe-quiet"].1, "the failsafe fired first");
    for server in &servers {
        lab.released(server, &MOUNTS);
    }
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn p10_autonomous_thaw_by_another_means_crash() {
    needs(&["curl"]);
    let (world, servers) = files(1, &[("ext4", MOUNTS[0]), ("xfs", MOUNTS[1])]);
    let lab = Lab::with(&world, &slow_calls(&[6_000]));
    let console = Console::new(&lab);
    let server = &servers[0];
    let outer = lab.outer_thaw(server, &MOUNTS);
    let before = lab.sets();
    let running = console.snapshot(server, &autonomous(&["--max-freeze", "40s"]));
    wait_for("the lab taking the snapshots", || lab.sets() > before);
    // The call is still without its answer, so whoever thaws now comes too early.
    lab.must(server, "fsfreeze -u /data/b");
    let answer = running.wait();
    outer.unused();
    assert_eq!(answer.code, 4, "{answer:?}");
    let job = claims(&console, &answer, "crash", crash);
    println!("{:#?}", links(&job));
    assert_eq!(broken(&job), ["own-thaw"], "{job:#}");
    for n in [1, 2] {
        assert!(
            reason(&job, &volume(0, n)).starts_with("own-thaw: our own thaw of /data/b failed"),
            "{job:#}"
        );
    }
    lab.released(server, &MOUNTS);
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn p10_autonomous_partial_list_of_volumes_means_crash() {
    needs(&["curl"]);
    let (world, servers) = files(2, &[("ext4", MOUNTS[0]), ("xfs", MOUNTS[1])]);
    let lab = Lab::of(&world);
    let console = Console::new(&lab);
    for (n, server) in servers.iter().enumerate() {
        let in_answer = n == 1;
        let missing = volume(n, 2);
        forgetful_client(&lab, server, &missing, in_answer);
        let outer = lab.outer_thaw(server, &MOUNTS);
        let answer = console.snapshot(server, &autonomous(&[])).wait();
        outer.unused();
        assert_eq!(answer.code, 4, "{answer:?}");
        let job = claims(&console, &answer, "crash", crash);
        println!("{:#?}", links(&job));
        assert_eq!(broken(&job), ["one-call"], "{job:#}");
        // The one that is there was frozen as it should be; it is of no point in time of the whole.
        let why = reason(&job, &volume(n, 1));
        if in_answer {
            assert_eq!(job["set"].as_array().unwrap().len(), 3, "{job:#}");
            assert!(why.contains("is not in the instance's answer"), "{why}");
        } else {
            assert_eq!(job["set"].as_array().unwrap().len(), 2, "{job:#}");
            assert_eq!(
                why,
                format!("one-call: {missing} is missing from the answer")
            );
        }
        shims::restore(&lab, server, "curl");
        lab.released(server, &MOUNTS);
    }
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn p10_autonomous_lock_session_killed_before_the_thaw_is_no_application() {
    let tools = ["mariadbd", "mariadb-install-db", "curl"];
    needs(&tools);
    let lab = Lab::with(PROOF, &slow_calls(&[6_000]));
    let console = Console::new(&lab);
    let server = database(&lab, "/data/db/mysql");
    let outer = lab.outer_thaw(DB, &["/data/db", "/data/files"]);
    let before = lab.sets();
    let running = console.snapshot(DB, &autonomous(&["--max-freeze", "40s"]));
    wait_for("the lab taking the snapshots", || lab.sets() > before);
    // Nobody else is connected: the one other session is the lock's.
    let sessions = server.must(
        &lab,
        "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND command <> 'Daemon' AND user <> 'system user'",
    );
    let session: u64 = sessions.parse().unwrap();
    server.must(&lab, &format!("KILL CONNECTION {session}"));
    let answer = running.wait();
    outer.unused();
    let data = |volume: &str| match volume {
        DB_XFS | DB_EXT4 => "filesystem",
        _ => "crash",
    };
    let job = claims(&console, &answer, "filesystem", data);
    println!("exit {}: {:#?}", answer.code, links(&job));
    assert_eq!(broken(&job), ["lock-answered"], "{job:#}");
    let why = format!("session {session} did not answer before the unlock");
    assert_eq!(links(&job)["lock-answered"].1, why, "{job:#}");
    assert_eq!(
        reason(&job, DB_XFS),
        format!("frozen throughout, but lock-answered: {why}")
    );
    assert_eq!(job["error"]["code"], "lock-lost", "{job:#}");
    server.stop(&lab);
    lab.released(DB, &["/data/db", "/data/files"]);
    lab.finish();
}

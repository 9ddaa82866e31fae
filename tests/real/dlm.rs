//! Data Lifecycle Manager's contract in both directions, with real freezes: a document in the shape of AWS's sample under
//! our engine, and ours under that contract alone. Nothing is frozen at any end but where it is said to be.

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::agent::Agent;
use super::console::{Answer, Console, text};
use super::lab::{Lab, needs, pid, wait_for};
use super::probe::{self, Probe};
use super::shims;
use super::worlds::{FILES, MOUNTS, files};

const TOOLS: [&str; 4] = ["bash", "lsblk", "findmnt", "pgrep"];
/// The sample's name in the account, and that of one whose failsafe has less patience.
const SAMPLE: &str = "Ops-PrePost-Sample";
const HASTY: &str = "Ops-PrePost-Hasty";

/// The document, and its failsafe's patience in seconds.
fn sample(auto_thaw_s: u32) -> String {
    let script = include_str!("dlm_sample.sh").replace(
        "AUTO_THAW_SECONDS=60",
        &format!("AUTO_THAW_SECONDS={auto_thaw_s}"),
    );
    let lines: Vec<&str> = script.lines().collect();
    json!({
        "schemaVersion": "2.2",
        "description": "Pre and post scripts for Data Lifecycle Manager: filesystems",
        "parameters": {
            "executionId": {
                "type": "String",
                "default": "None",
                "description": "Execution of the policy",
                "allowedPattern": "^(None|[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12})$",
            },
            "command": {
                "type": "String",
                "default": "dry-run",
                "description": "What to do",
                "allowedValues": ["pre-script", "post-script", "dry-run"],
            },
        },
        "mainSteps": [{
            "action": "aws:runShellScript",
            "name": "run_pre_post_scripts",
            "precondition": {"StringEquals": ["platformType", "Linux"]},
            "inputs": {"runCommand": lines},
        }],
    })
    .to_string()
}

/// A file server whose account has the sample, and what goes wrong there.
fn server(faults: &str) -> (Lab, Console, Agent) {
    let (world, _) = files(1, &[("ext4", MOUNTS[0]), ("xfs", MOUNTS[1])]);
    let lab = Lab::with(&world, faults);
    let console = Console::new(&lab);
    let agent = Agent::new(&lab);
    agent.install(SAMPLE, &sample(60));
    agent.install(HASTY, &sample(4));
    (lab, console, agent)
}

fn watch(lab: &Lab) -> [Probe; 2] {
    MOUNTS.map(|mount| Probe::start(lab, FILES, mount))
}

fn frozen(lab: &Lab) -> [bool; 2] {
    MOUNTS.map(|mount| probe::frozen(lab, FILES, mount))
}

/// Nothing is frozen, and no failsafe of the sample's waits for its hour.
fn at_rest(lab: &Lab, after: &str) {
    assert_eq!(frozen(lab), [false, false], "{after}");
    wait_for("the end of the sample's failsafe", || {
        // The shell that asks carries the question in its own arguments.
        !lab.sh(FILES, "pgrep -f '[a]uto_thaw'").0
    });
}

/// The whole set is `crash`, in the job and in its tags, and says that nothing is proven.
fn no_evidence(console: &Console, job: &Value) {
    let set = job["set"].as_array().unwrap();
    assert_eq!(set.len(), 3, "{job:#}");
    for member in set {
        assert_eq!(member["level"], "crash", "{member:#}");
        assert_eq!(
            member["reason"], "the document gives no evidence (no FF1 lines)",
            "{member:#}"
        );
        assert_eq!(console.level(&text(&member["snapshot"])), "crash");
    }
}

/// A job that took no snapshot because its `pre-script` ended with this code, and that is surely thawed.
fn failed(answer: &Answer, exit: u32) {
    let job = answer.job();
    assert_eq!(
        (answer.code, &job["verdict"]),
        (1, &Value::from("failed")),
        "{answer:?}"
    );
    assert_eq!(job["thaw_unconfirmed"], false, "{job:#}");
    assert_eq!(job["set"], json!([]), "{job:#}");
    let said = format!("pre-script ended with exit code {exit}");
    assert_eq!(job["error"]["cause"], said.as_str(), "{job:#}");
}

#[test]
#[ignore = "needs root and loop devices"]
fn dlm_sample_under_our_engine_earns_a_crash() {
    needs(&TOOLS);
    let (lab, console, _) = server("");
    let chosen = ["--document", SAMPLE];
    let dry = console.run(&[&["snapshot", "--instance", FILES, "--dry-run"], &chosen[..]].concat());
    assert_eq!(dry.code, 0, "{dry:?}");
    assert_eq!(dry.job()["would"], "snapshot", "{dry:?}");

    shims::freezes(&lab, FILES);
    let before = lab.sets();
    let [a, b] = watch(&lab);
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    let running = console.snapshot(FILES, &chosen);
    a.wait("frozen");
    b.wait("frozen");
    assert_eq!(lab.sets(), before, "a set from before the freeze");
    let answer = running.wait();
    outer.unused();
    assert_eq!(answer.code, 4, "{answer:?}");
    let job = answer.job();
    assert_eq!(job["verdict"], "crash", "{job:#}");
    assert_eq!(job["thaw_unconfirmed"], false, "{job:#}");
    assert_eq!(job["error"], Value::Null, "{job:#}");
    no_evidence(&console, &job);
    // The set was taken between the freezes and the thaws all the same; only nobody can show it.
    let seen = shims::seen(&lab, FILES);
    let did: Vec<&str> = seen
        .iter()
        .filter_map(|seen| seen.what.split('=').next())
        .collect();
    assert_eq!(did, ["freeze", "freeze", "thaw", "thaw"], "{seen:#?}");
    assert_eq!(lab.sets(), before + 1);
    at_rest(&lab, "a job that went well");
    drop((a, b));
    lab.must(FILES, "umount /run/cannot");
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn dlm_sample_whose_pre_script_fails_leaves_nothing_frozen() {
    needs(&TOOLS);
    let (lab, console, _) = server("");
    shims::freezes(&lab, FILES);
    let [a, b] = watch(&lab);
    let take = |args: &[&str]| {
        let outer = lab.outer_thaw(FILES, &MOUNTS);
        let args = [&["--document", SAMPLE, "--max-freeze", "20s"], args].concat();
        let answer = console.snapshot(FILES, &args).wait();
        outer.unused();
        answer
    };

    // The second freeze fails. Under Data Lifecycle Manager the first one stays: its failsafe was not started yet, and no
    // post-script is sent. Ours sends it.
    shims::fault(&lab, FILES, "-f", MOUNTS[1], "unsupported");
    failed(&take(&[]), 201);
    shims::no_fault(&lab, FILES);
    a.wait("frozen");
    a.wait("thawed");
    at_rest(&lab, "201");

    // Another owner has frozen the second: refused, and that freeze stays what it is.
    lab.must(FILES, "fsfreeze -f /data/b");
    b.wait("frozen");
    let answer = take(&[]);
    let theirs = frozen(&lab);
    lab.must(FILES, "fsfreeze -u /data/b");
    failed(&answer, 204);
    assert_eq!(theirs, [false, true], "another owner's freeze: {answer:?}");
    b.wait("thawed");
    at_rest(&lab, "204");

    // Not ready: nothing is touched, and without a freeze there may be a set all the same, if that is what was asked for.
    lab.must(FILES, "touch /etc/application-not-ready");
    failed(&take(&[]), 206);
    let answer = take(&["--on-failure", "crash-consistent"]);
    assert_eq!(answer.code, 4, "{answer:?}");
    let job = answer.job();
    assert_eq!(job["verdict"], "crash", "{job:#}");
    for member in job["set"].as_array().unwrap() {
        assert_eq!(member["level"], "crash", "{member:#}");
    }
    assert!(!a.seen_frozen() && !b.seen_frozen(), "frozen by 206");
    at_rest(&lab, "206");
    drop((a, b));
    lab.must(FILES, "umount /run/cannot");
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn dlm_sample_whose_post_script_fails_is_asked_again_and_never_believed() {
    needs(&TOOLS);
    // The second job's answer takes long enough for somebody to come in between.
    let slow =
        "[[fault]]\non = \"CreateSnapshots\"\nkind = \"slow\"\nskip = 1\ntimes = 1\nms = 3000\n";
    let (lab, console, _) = server(slow);
    shims::freezes(&lab, FILES);
    let chosen = ["--document", SAMPLE, "--max-freeze", "14s"];

    // 202: the kernel will not thaw the first. The second try finds it willing.
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    shims::fault(&lab, FILES, "-u", MOUNTS[0], "broken");
    let running = console.snapshot(FILES, &chosen);
    let chronicle = lab.path(FILES, "/run/chronicle");
    wait_for("the first thaw", || {
        std::fs::read_to_string(&chronicle).is_ok_and(|seen| seen.contains(" thaw="))
    });
    shims::no_fault(&lab, FILES);
    let answer = running.wait();
    outer.unused();
    let job = answer.job();
    assert_eq!(
        (answer.code, &job["verdict"]),
        (4, &Value::from("crash")),
        "{answer:?}"
    );
    assert_eq!(job["thaw_unconfirmed"], false, "{job:#}");
    no_evidence(&console, &job);
    at_rest(&lab, "202");

    // 205: somebody thawed the first of them before the post-script, which stops there and leaves the second frozen. It says
    // so as often as it is asked. The console does not believe that this is a thaw, and it is right.
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    let before = lab.sets();
    let running = console.snapshot(FILES, &chosen);
    wait_for("the lab taking the snapshots", || lab.sets() > before);
    lab.must(FILES, "fsfreeze -u /data/a");
    let answer = running.wait();
    let left = frozen(&lab);
    lab.must(FILES, "fsfreeze -u /data/b");
    outer.unused();
    assert_eq!(left, [false, true], "{answer:?}");
    let job = answer.job();
    assert_eq!(answer.code, 5, "{answer:?}");
    assert_eq!(job["thaw_unconfirmed"], true, "{job:#}");
    assert_eq!(job["verdict"], "crash", "{job:#}");
    no_evidence(&console, &job);
    // Its failsafe would still come; it is not ours to wait for.
    lab.must(FILES, "kill -- -$(cat /run/pre-post-sample/watchdog)");
    at_rest(&lab, "205");
    lab.must(FILES, "umount /run/cannot");
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn dlm_sample_left_alone_is_thawed_by_itself_or_by_the_next_start() {
    needs(&TOOLS);
    let (lab, console, _) = server("");
    let [a, b] = watch(&lab);

    // 203: the console sleeps until the sample's own failsafe has thawed. Its post-script says so.
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    let running = console.snapshot(FILES, &["--document", HASTY, "--max-freeze", "20s"]);
    a.wait("frozen");
    kill_process(pid(running.id()), Signal::STOP).unwrap();
    for probe in [&b, &a] {
        if std::ptr::eq(probe, &b) {
            probe.wait("frozen");
        }
        probe.wait("thawed");
    }
    kill_process(pid(running.id()), Signal::CONT).unwrap();
    let answer = running.wait();
    outer.unused();
    let job = answer.job();
    assert_eq!(
        (answer.code, &job["verdict"]),
        (4, &Value::from("crash")),
        "{answer:?}"
    );
    assert_eq!(job["thaw_unconfirmed"], false, "{job:#}");
    assert_eq!(
        job["error"]["cause"], "post-script ended with exit code 203",
        "{job:#}"
    );
    no_evidence(&console, &job);
    at_rest(&lab, "203");

    // The console is killed: its post-script was never sent. The next start sends it, long before the sample's failsafe.
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    let running = console.snapshot(FILES, &["--document", SAMPLE, "--max-freeze", "20s"]);
    a.wait("frozen");
    b.wait("frozen");
    running.kill();
    assert_eq!(frozen(&lab), [true, true]);
    let open = console.jobs();
    let open = open.iter().find(|job| job["phase"] != "done");
    let open = text(&open.expect("an open job")["id"]);
    let next = console.run(&["snapshot", "--tag", "Name=nobody"]);
    assert_eq!(next.code, 3, "{next:?}");
    a.wait("thawed");
    b.wait("thawed");
    outer.unused();
    let row = console.journal(&open);
    assert_eq!(row["phase"], "done", "{row:#}");
    assert_eq!(row["thaw_unconfirmed"], false, "{row:#}");
    assert!(
        matches!(row["verdict"].as_str(), Some("failed" | "crash")),
        "{row:#}"
    );
    at_rest(&lab, "a killed console");
    drop((a, b));
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn dlm_sample_that_is_stopped_while_it_freezes_is_thawed_and_never_believed() {
    needs(&TOOLS);
    let (lab, console, _) = server("");
    shims::freezes(&lab, FILES);
    let [a, b] = watch(&lab);
    // The first is frozen, and the operator stops it before the second is: SIGKILL, and a post-script at once.
    shims::fault(&lab, FILES, "-f", MOUNTS[1], "stuck");
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    let before = lab.sets();
    let running = console.snapshot(FILES, &["--document", SAMPLE, "--max-freeze", "20s"]);
    a.wait("frozen");
    kill_process(pid(running.id()), Signal::TERM).unwrap();
    a.wait("thawed");
    shims::no_fault(&lab, FILES);
    at_rest(&lab, "a stopped pre-script");
    outer.unused();
    running.kill();

    // From now on its post-script only says 205, which after a cut is no proof, for the next start neither.
    let open = console.jobs();
    let open = open.iter().find(|job| job["phase"] != "done");
    let open = text(&open.expect("an open job")["id"]);
    let next = console.run(&["jobs", "abort", "--job", &open]);
    assert_eq!(next.code, 5, "{next:?}");
    assert_eq!(console.journal(&open)["thaw_unconfirmed"], true, "{next:?}");
    assert_eq!(lab.sets(), before, "no set of what was stopped");
    assert!(!b.seen_frozen(), "the second was never reached");
    drop((a, b));
    lab.must(FILES, "umount /run/cannot");
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

#[test]
#[ignore = "needs root and loop devices"]
fn dlm_contract_alone_drives_our_document() {
    needs(&[]);
    let (lab, _, agent) = server("");
    shims::freezes(&lab, FILES);
    let [a, b] = watch(&lab);
    // What Data Lifecycle Manager gives, and nothing else.
    let run = |execution: &str, command: &str| {
        let values = [("executionId", execution), ("command", command)];
        agent.run(FILES, "linux-filesystem", &values).code
    };
    let execution = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    for execution in [execution, "None"] {
        let outer = lab.outer_thaw(FILES, &MOUNTS);
        assert_eq!(run(execution, "dry-run"), 0);
        assert_eq!(run(execution, "post-script"), 205, "nothing is frozen yet");
        if execution == "None" {
            // Without an id one execution cannot be told from the next.
            assert_eq!(run(execution, "pre-script"), 0);
        } else {
            // That one is over now: a delivery that comes too late freezes nothing.
            assert_eq!(run(execution, "pre-script"), 204);
            assert_eq!(frozen(&lab), [false, false]);
            assert_eq!(run("1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "pre-script"), 0);
        }
        a.wait("frozen");
        b.wait("frozen");
        assert_eq!(run(execution, "pre-script"), 204, "another is at work");
        assert_eq!(frozen(&lab), [true, true]);
        let id = match execution {
            "None" => "None",
            _ => "1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
        };
        assert_eq!(run(id, "post-script"), 0);
        a.wait("thawed");
        b.wait("thawed");
        assert_eq!(run(id, "post-script"), 205);
        outer.unused();
    }

    // 201, nothing of it stays, and the same execution may be tried again, which is what it does.
    let again = "2f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    shims::fault(&lab, FILES, "-f", MOUNTS[1], "unsupported");
    assert_eq!(run(again, "pre-script"), 201);
    shims::no_fault(&lab, FILES);
    assert_eq!(frozen(&lab), [false, false]);
    a.last_thaw();
    assert_eq!(run(again, "pre-script"), 0);
    a.wait("frozen");
    b.wait("frozen");
    outer.unused();
    // 203: no post-script comes in time (30 s), and when it comes at last it is told.
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    a.wait("thawed");
    b.wait("thawed");
    assert_eq!(run(again, "post-script"), 203);
    outer.unused();

    // 206: there is nothing that it could freeze.
    drop((a, b));
    lab.must(FILES, "umount /run/cannot");
    lab.released(FILES, &MOUNTS);
    assert_eq!(
        run("3f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "pre-script"),
        206
    );
    lab.finish();
}

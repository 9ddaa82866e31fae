//! What a run would be refused for, `--dry-run` says before it; what the set says of how it was made.

use std::io::BufRead as _;

use serde_json::Value;

use super::{Served, run, state};
use tempfile::TempDir;

/// The same is refused, with the same kind of problem, with and without `--dry-run`.
#[test]
fn expired_credentials_are_told_by_a_dry_run_as_by_the_run() {
    let served = Served::start();
    let host = state();
    let args = ["snapshot", "--tag", "Name=shop-db-1", "-o", "json"];
    for more in [&[][..], &["--dry-run"]] {
        let told = served.run_as("AKIAEXPIRED", &host, &[&args[..], more].concat());
        assert_eq!(told.code, 1, "{more:?}: {} {}", told.out, told.err);
        assert!(told.err.contains("expired"), "{more:?}: {}", told.err);
        assert!(
            !told.out.contains("\"would\": \"snapshot\""),
            "{}",
            told.out
        );
    }
}

/// One instance whose data volume has `tags` tags of its own.
fn tagged(home: &TempDir, tags: usize) -> String {
    let tags: Vec<String> = (0..tags).map(|n| format!("k{n:02} = \"v\"")).collect();
    let world = format!(
        "name = \"tagged\"\n[[instance]]\nid = \"i-0aaaaaaaaaaaa1111\"\nname = \"full\"\n\
         tags = {{ ConsistentSnapshot = \"linux-filesystem\" }}\n\
         [[instance.volume]]\nid = \"vol-0aaaaaaaaaaaa1110\"\ndevice = \"/dev/xvda\"\nsize = 1\nfs = \"xfs\"\nmount = \"/\"\n\
         [[instance.volume]]\nid = \"vol-0aaaaaaaaaaaa1111\"\ndevice = \"/dev/sdf\"\nsize = 1\nfs = \"xfs\"\nmount = \"/data\"\n\
         tags = {{ {} }}\n",
        tags.join(", ")
    );
    let file = home.path().join("tagged.toml");
    std::fs::write(&file, world).unwrap();
    file.to_str().unwrap().to_owned()
}

/// A volume with as many tags as EC2 allows is backed up, the plan says what is left off, and nothing that freezeframe
/// writes is missing: in both modes.
#[test]
fn a_volume_full_of_tags_is_planned_and_taken_alike() {
    // The lab names the volume: one tag more.
    for (count, left_off) in [(38, 0), (43, 5), (49, 11)] {
        let home = state();
        let world = tagged(&home, count);
        let served = Served::with(&["--world", &world]);
        let modes = ["coordinated", "autonomous"];
        for mode in &modes[usize::from(count == 43)..] {
            let args = [
                "snapshot",
                "--instance",
                "full",
                "--mode",
                mode,
                "-o",
                "json",
            ];
            let dry = served.run(&home, &[&args[..], &["--dry-run"]].concat());
            assert_eq!(dry.code, 0, "{count} {mode}: {} {}", dry.out, dry.err);
            let members = dry.json()["jobs"][0]["set"]["members"].clone();
            let data = members.as_array().unwrap().iter();
            let data = data.clone().find(|m| m["device"] == "/dev/sdf").unwrap();
            let left = data["left_off"].as_array().map_or(0, Vec::len);
            assert_eq!(left, left_off, "{count} {mode}: {data:#}");
            let done = served.run(&home, &args);
            assert_eq!(done.code, 0, "{count} {mode}: {}", done.err);
            let job = &done.json()["jobs"][0];
            assert_eq!(job["verdict"], "filesystem", "{count} {mode}: {job:#}");
            let snapshots = served
                .run(&home, &["list", "snapshots", "-o", "json"])
                .json();
            for snapshot in snapshots.as_array().unwrap() {
                let tags = snapshot["tags"].as_object().unwrap();
                let said = tags["freezeframe:mode"].as_str().unwrap();
                let modes = [
                    "coordinated: it was asked for",
                    "autonomous: it was asked for",
                ];
                assert!(modes.contains(&said), "{said}");
                assert!(tags.contains_key("freezeframe:volume"), "{tags:?}");
            }
        }
    }
}

/// EC2 tells of a lack of room for pending snapshots by what is there; that is asked before any freeze.
#[test]
fn pending_snapshots_without_room_are_told_by_a_dry_run_as_by_the_run() {
    let home = state();
    let world = home.path().join("cold.toml");
    let text = "name = \"cold\"\n[[instance]]\nid = \"i-0aaaaaaaaaaaa1111\"\nname = \"cold\"\n\
         tags = { ConsistentSnapshot = \"linux-filesystem\" }\n\
         [[instance.volume]]\nid = \"vol-0aaaaaaaaaaaa1110\"\ndevice = \"/dev/xvda\"\nsize = 1\nfs = \"xfs\"\nmount = \"/\"\n\
         [[instance.volume]]\nid = \"vol-0aaaaaaaaaaaa1111\"\ndevice = \"/dev/sdf\"\nsize = 4000\ntype = \"st1\"\nfs = \"xfs\"\nmount = \"/data\"\n";
    std::fs::write(&world, text).unwrap();
    let served = Served::with(&["--world", world.to_str().unwrap()]);
    let args = ["snapshot", "--instance", "cold", "--mode", "coordinated"];
    let mut first = std::process::Command::new(env!("CARGO_BIN_EXE_freezeframe"))
        .env_clear()
        .env("HOME", home.path())
        .env("FREEZEFRAME_STATE_DIR", home.path())
        .env("AWS_ACCESS_KEY_ID", "AKIALAB")
        .env("AWS_SECRET_ACCESS_KEY", "lab")
        .args(["--endpoint-url", &served.url, "--region", "eu-central-1"])
        .args(args)
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(first.stderr.take().unwrap()).lines();
    let copying = lines
        .map_while(std::result::Result::ok)
        .any(|line| line.contains("copying"));
    let dry = served.run(&state(), &[&args[..], &["--dry-run"]].concat());
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(copying);
    assert_eq!(dry.code, 1, "{} {}", dry.out, dry.err);
    assert!(
        dry.out.contains("1 of its snapshots is not completed yet"),
        "{}",
        dry.out
    );
}

/// The quota of snapshots and the use of a key are known when the call is made, and not before: EC2's dry run says
/// nothing of them. The job thaws, ends as failed and names the cause.
#[test]
fn what_only_the_call_tells_ends_the_job_thawed_and_named() {
    for code in ["SnapshotLimitExceeded", "InvalidKMSKeyState"] {
        let home = state();
        let plan = home.path().join("plan.toml");
        let fault = format!(
            "name = \"x\"\n[[fault]]\non = \"CreateSnapshots\"\nkind = \"error\"\ncode = \"{code}\"\n"
        );
        std::fs::write(&plan, fault).unwrap();
        let plan = plan.to_str().unwrap();
        for mode in ["coordinated", "autonomous"] {
            let args = [
                "--lab",
                "--faults",
                plan,
                "snapshot",
                "--tag",
                "Name=shop-db-1",
                "--mode",
                mode,
                "-o",
                "json",
            ];
            let dry = run(&home, &[&args[..], &["--dry-run"]].concat());
            assert_eq!(dry.code, 0, "{code} {mode}: {}", dry.err);
            let done = run(&home, &args);
            assert_eq!(done.code, 1, "{code} {mode}: {}", done.err);
            let job = &done.json()["jobs"][0];
            assert_eq!(job["verdict"], "failed", "{code} {mode}: {job:#}");
            assert_eq!(job["thaw_unconfirmed"], false, "{code} {mode}: {job:#}");
            assert!(done.err.contains(code), "{code} {mode}: {}", done.err);
        }
    }
}

/// The host that took a set says which mode made it and why, and so does every other by the set's tag.
#[test]
fn the_set_says_which_mode_made_it_and_why_on_every_host() {
    let served = Served::start();
    for (mode, words) in [
        ("auto", "autonomous: the instance's dry run proved"),
        ("coordinated", "coordinated: it was asked for"),
    ] {
        let (taker, other) = (state(), state());
        let args = [
            "snapshot",
            "--tag",
            "Name=files-1",
            "--mode",
            mode,
            "-o",
            "json",
        ];
        let taken = served.run(&taker, &args);
        assert_eq!(taken.code, 0, "{}", taken.err);
        let job = taken.json()["jobs"][0]["job"].as_str().unwrap().to_owned();
        for host in [&taker, &other] {
            let rows = served.run(host, &["list", "sets", "-o", "json"]).json();
            let row = rows
                .as_array()
                .unwrap()
                .iter()
                .find(|row| row["id"] == *job);
            let row = row.unwrap();
            assert!(row["mode"].as_str().unwrap().starts_with(words), "{row:#}");
            let said = |s: &Value| s.as_str().is_some_and(|s| s.contains(words));
            let sentences = row["evidence"]["sentences"].as_array().unwrap();
            assert!(sentences.iter().any(said), "{row:#}");
        }
    }
}

/// A world of one instance with these words in its table.
fn one_instance(home: &TempDir, words: &str, more: &str) -> Served {
    let world = format!(
        "name = \"one\"\n[[instance]]\nid = \"i-0aaaaaaaaaaaa1111\"\nname = \"one\"\n{words}\n\
         tags = {{ ConsistentSnapshot = \"linux-filesystem\" }}\n\
         [[instance.volume]]\nid = \"vol-0aaaaaaaaaaaa1110\"\ndevice = \"/dev/xvda\"\nsize = 1\nfs = \"xfs\"\nmount = \"/\"\n\
         [[instance.volume]]\nid = \"vol-0aaaaaaaaaaaa1111\"\ndevice = \"/dev/sdf\"\nsize = 1\nfs = \"xfs\"\nmount = \"/data\"\n{more}"
    );
    let file = home.path().join("one.toml");
    std::fs::write(&file, world).unwrap();
    Served::with(&["--world", file.to_str().unwrap()])
}

/// Its ping is believed for minutes after its death: a dry run asks whether it is connected, and says so.
#[test]
fn a_dead_agent_is_told_by_a_dry_run_at_once() {
    let home = state();
    let served = one_instance(&home, "agent_dies = true", "");
    let agents = served
        .run(&home, &["list", "instances", "-o", "json"])
        .json();
    assert_eq!(agents[0]["agent"]["status"], "online", "{agents:#}");
    let args = ["snapshot", "--instance", "one", "--dry-run"];
    let dry = served.run(&home, &[&args[..], &["-o", "json"]].concat());
    assert_eq!(dry.code, 1, "{} {}", dry.out, dry.err);
    let row = &dry.json()["jobs"][0];
    assert_eq!(
        (&row["would"], &row["agent_connected"]),
        (&Value::from("uncertain"), &Value::from(false)),
        "{row:#}"
    );
    let table = served.run(&home, &args);
    assert!(
        table.out.contains("uncertain") && table.out.contains("its SSM agent is not connected"),
        "{}",
        table.out
    );
    // The job says the same, when its dry run was not taken; nothing was frozen.
    let done = served.run(&home, &["snapshot", "--instance", "one", "-o", "json"]);
    let job = &done.json()["jobs"][0];
    assert_eq!(job["verdict"], "skipped", "{job:#}");
    let cause = job["error"]["cause"].as_str().unwrap();
    assert!(row["error"]["cause"] == cause, "{cause}");
    let lives = one_instance(&home, "", "");
    let dry = lives.run(&home, &[&args[..], &["-o", "json"]].concat());
    let row = &dry.json()["jobs"][0];
    assert_eq!(
        (dry.code, &row["would"], &row["agent_connected"]),
        (0, &Value::from("snapshot"), &Value::from(true)),
        "{row:#}"
    );
}

/// What the instance's dry run notes is told while the job runs, and stays with it.
#[test]
fn what_a_dry_run_notes_is_told_with_the_job() {
    let home = state();
    let log = "[[instance.volume]]\ndevice = \"/dev/sdg\"\nsize = 1\nfs = \"xfs\"\nmount = \"/var/log\"\n";
    let served = one_instance(&home, "", log);
    let args = ["snapshot", "--instance", "one", "--mount", "/var/log"];
    let table = served.run(&home, &args);
    let noted = "the system writes to";
    assert!(table.err.contains(noted), "{} {}", table.out, table.err);
    let jobs = served.run(&home, &["list", "jobs", "-o", "json"]).json();
    let notes = &jobs[0]["preflight_notes"];
    assert!(notes[0].as_str().unwrap().contains(noted), "{notes:#}");
}

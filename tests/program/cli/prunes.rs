//! `prune` as scripts meet it: of what a plan speaks, how it ends, and what is on record.

use std::process::Stdio;

use super::*;

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

/// The example of the issue: numbers that keep everything delete nothing, crash-consistent sets neither.
#[test]
fn p27_numbers_that_keep_everything_delete_nothing() {
    let state = state();
    let everything = [
        "--lab",
        "prune",
        "--keep-last",
        "100000",
        "--keep-daily",
        "100000",
    ];
    let dry = run(
        &state,
        &[&everything[..], &["--dry-run", "-o", "json"]].concat(),
    );
    let plan = dry.json();
    let fate = |word: &str| {
        let all = plan["decisions"].as_array().unwrap();
        all.iter().filter(|d| d["fate"] == word).count()
    };
    assert_eq!(fate("delete"), 0);
    assert!(fate("keep") > 50);
    // Nothing to delete is no failure.
    let done = run(&state, &[&everything[..], &["--yes"]].concat());
    assert_eq!(done.code, 0, "{}", done.err);
    // Dropping them early is asked for by its name.
    let early = run(
        &state,
        &[
            &everything[..],
            &["--drop-unproven-after", "0d", "--dry-run", "-o", "json"],
        ]
        .concat(),
    );
    let plan = early.json();
    let doomed = plan["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|d| d["fate"] == "delete");
    let levels: Vec<&Value> = doomed.map(|d| &d["level"]).collect();
    assert!(levels.len() > 10, "{levels:?}");
    assert!(
        levels.iter().all(|l| *l == "crash" || *l == "pending"),
        "{levels:?}"
    );
    for wrong in ["7", "7m", "x"] {
        let refused = run(
            &state,
            &[
                "--lab",
                "prune",
                "--keep-last",
                "1",
                "--drop-unproven-after",
                wrong,
            ],
        );
        assert_eq!(refused.code, 2);
        assert!(refused.err.contains("12h, 7d or 2w"), "{}", refused.err);
    }
}

#[test]
fn a_scope_is_in_the_title_and_one_that_matches_nothing_is_three() {
    let state = state();
    let prune = |more: &[&str]| {
        run(
            &state,
            &[&["--lab", "prune", "--keep-last", "1", "--dry-run"], more].concat(),
        )
    };
    let prod = prune(&["--tag", "Env=prod"]);
    assert_eq!(prod.code, 0, "{}", prod.err);
    // After the line that says who acts.
    let title = prod.out.lines().nth(1).unwrap();
    assert!(
        title.contains("tag Env=prod") && title.contains("eu-central-1"),
        "{title}"
    );
    assert!(
        prune(&[])
            .out
            .lines()
            .nth(1)
            .unwrap()
            .contains("every instance")
    );
    let all = lines(&prune(&["-o", "jsonl"]).out);
    let some = lines(&prune(&["--tag", "Env=prod", "-o", "jsonl"]).out);
    assert!(
        some.len() < all.len() && all.len() > 100,
        "{} of {}",
        some.len(),
        all.len()
    );
    for row in &all {
        assert!(
            row["fate"].is_string() && row["account"].is_string() && row["of"] == "every instance"
        );
    }
    // They narrow each other.
    let one = some[0]["instance"].as_str().unwrap();
    let both = lines(&prune(&["--tag", "Env=prod", "--instance", one, "-o", "jsonl"]).out);
    assert!(both.iter().all(|row| row["instance"] == one) && !both.is_empty());
    let other = all.iter().find(|row| {
        row["instance"].is_string() && !some.iter().any(|s| s["instance"] == row["instance"])
    });
    let other = other.unwrap()["instance"].as_str().unwrap();
    for nothing in [
        &["--tag", "Env=nowhere"][..],
        &["--instance", "nobody-has-this-name"],
        &["--instance", "i-0123456789abcdef0"],
        &["--filter", "name=nobody"],
        &["--tag", "Env=prod", "--instance", other],
    ] {
        let result = prune(nothing);
        assert_eq!(result.code, 3, "{nothing:?}: {}", result.err);
        assert!(result.out.is_empty(), "{}", result.out);
        assert!(
            result.err.contains("nothing matches") || result.err.contains("nobody-has-this-name"),
            "{}",
            result.err
        );
    }
    // What is left empty by a slip does not stand for everything.
    for empty in [&["--filter", ""][..], &["--instance", " "], &["--tag", ""]] {
        assert_eq!(prune(empty).code, 2, "{empty:?}");
    }
}

#[test]
fn a_policy_of_the_configuration_has_a_scope_of_its_own_and_is_narrowed() {
    let state = state();
    let file = state.path().join("own.toml");
    std::fs::write(
        &file,
        "[retention.dev]\nkeep-last = 1\ntag = [\"Env=staging\"]\n[retention.wide]\nkeep-last = 1\n",
    )
    .unwrap();
    let prune = |more: &[&str]| {
        let first = [
            "--lab",
            "--config",
            file.to_str().unwrap(),
            "prune",
            "--dry-run",
            "-o",
            "jsonl",
        ];
        run(&state, &[&first, more].concat())
    };
    let wide = lines(&prune(&["--policy", "wide"]).out);
    let dev = prune(&["--policy", "dev"]);
    let dev_rows = lines(&dev.out);
    assert!(
        !dev_rows.is_empty() && dev_rows.len() < wide.len(),
        "{}",
        dev.err
    );
    assert!(dev_rows.iter().all(|row| row["of"] == "tag Env=staging"));
    let narrowed = prune(&["--policy", "dev", "--tag", "Env=prod"]);
    assert_eq!(narrowed.code, 3, "{}", narrowed.err);
    std::fs::write(&file, "[retention.dev]\nkeep-last = 1\ntag = []\n").unwrap();
    let empty = prune(&["--policy", "dev"]);
    assert_eq!(empty.code, 2);
    assert!(
        empty.err.contains("the list is empty") && empty.err.contains("line 3"),
        "{}",
        empty.err
    );
}

/// A prune that deletes tells line by line what became of what, and is on record; a second finds nothing to do.
#[test]
fn what_was_pruned_is_told_by_row_and_is_on_record() {
    let served = Served::start();
    let host = state();
    let instance = {
        let rows = served.run(&host, &["list", "sets", "-o", "json"]).json();
        let with = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["instance"].is_string());
        with.unwrap()["instance"].as_str().unwrap().to_owned()
    };
    let args = [
        "prune",
        "--keep-daily",
        "400",
        "--instance",
        &instance,
        "--yes",
    ];
    let pruned = served.run(&host, &[&args[..], &["-o", "jsonl"]].concat());
    assert_eq!(pruned.code, 0, "{}", pruned.err);
    let rows = lines(&pruned.out);
    assert!(!rows.is_empty());
    let mut deleted = 0;
    for row in &rows {
        for snapshot in row["snapshots"].as_array().unwrap() {
            assert_eq!(snapshot["outcome"], "deleted");
            deleted += 1;
        }
    }
    let again = served.run(&host, &args);
    assert_eq!(again.code, 0, "{}", again.err);
    let list = served.run(&host, &["list", "prunes", "-o", "json"]);
    assert_eq!(list.code, 0, "{}", list.err);
    let record = &list.json()[0];
    assert_eq!(
        (&record["state"], &record["deleted"]),
        (&"finished".into(), &deleted.into())
    );
    assert_eq!(record["of"], format!("instance {instance}"));
    assert!(record["who"].as_str().unwrap().starts_with("arn:"));
    assert_eq!(
        served
            .run(&host, &["list", "prunes", "--filter", "state=stopped"])
            .code,
        3
    );
    assert_eq!(served.run(&host, &["list", "restores"]).code, 3);
}

/// Killed in the middle: the next start says what was deleted, and the next prune goes on.
#[test]
fn a_killed_prune_is_told_by_the_next_start() {
    let served = Served::start();
    let host = state();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_freezeframe"))
        .env_clear()
        .env("HOME", host.path())
        .env("FREEZEFRAME_STATE_DIR", host.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "AKIALAB")
        .env("AWS_SECRET_ACCESS_KEY", "lab")
        .args(["--endpoint-url", &served.url, "--region", "eu-central-1"])
        .args(["prune", "--keep-last", "1", "--yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its first line that counts is there once something is deleted.
    let told = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()))
        .map_while(std::result::Result::ok)
        .find(|line| line.contains(" deleted, ") && line.contains("to go"));
    assert!(told.is_some_and(|line| line.contains("a second")));
    child.kill().unwrap();
    child.wait().unwrap();
    let list = served.run(&host, &["list", "prunes", "-o", "json"]);
    assert!(
        list.err.contains("came to no end (its process was killed"),
        "{}",
        list.err
    );
    let record = &list.json()[0];
    assert_eq!(record["state"], "stopped");
    let (deleted, left) = (
        record["deleted"].as_u64().unwrap(),
        record["left"].as_u64().unwrap(),
    );
    assert!(deleted > 0 && left > 0, "{record}");
    // Told once; and nothing half deleted stays behind.
    assert!(served.run(&host, &["list", "prunes"]).err.is_empty());
    let rest = served.run(
        &host,
        &["prune", "--keep-last", "100000", "--yes", "-o", "jsonl"],
    );
    assert_eq!(rest.code, 0, "{}", rest.err);
    assert!(rest.out.lines().count() <= 4, "{}", rest.out);
}

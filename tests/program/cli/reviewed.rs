//! What a reviewer of the command line met.

use serde_json::Value;

use super::{Served, command, run, state};

const WORLD: &str = concat!(
    "--lab=",
    env!("CARGO_MANIFEST_DIR"),
    "/tests/support/three-webs.toml"
);

/// Whoever may not delete is told by the dry run, and by the run with one question instead of a call for each.
#[test]
fn a_prune_without_permission_is_refused_before_its_first_deletion() {
    let state = state();
    let served = Served::with(&[]);
    let ask = |more: &[&str]| {
        let output = command(state.path())
            .env("AWS_ACCESS_KEY_ID", "AKIAREADONLY")
            .env("AWS_SECRET_ACCESS_KEY", "lab")
            .args(["--endpoint-url", &served.url, "--region", "eu-central-1"])
            .args(["prune", "--keep-last", "1", "-o", "json"])
            .args(more)
            .output()
            .unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), err)
    };
    for more in ["--dry-run", "--yes"] {
        let (code, err) = ask(&[more]);
        assert_eq!(code, Some(1), "{more}: {err}");
        assert!(err.contains("ec2:DeleteSnapshot"), "{more}: {err}");
        assert_eq!(
            err.matches("\"kind\":\"denied\"").count(),
            1,
            "{more}: {err}"
        );
    }
    let may = served.run(&state, &["prune", "--keep-last", "1", "--dry-run"]);
    assert_eq!(may.code, 0, "{}", may.err);
}

/// A recipe by flag that gives up what the tag promises is told by the command line as by the console's review.
#[test]
fn a_recipe_that_gives_up_a_level_is_told() {
    let state = state();
    let args = ["--lab", "snapshot", "--instance", "shop-db-1", "--dry-run"];
    let told = run(
        &state,
        &[&args[..], &["--recipe", "linux-filesystem"]].concat(),
    );
    let words = "shop-db-1: tag says linux-mysql: application is given up";
    assert!(told.err.contains(words), "{}", told.err);
    let same = run(&state, &[&args[..], &["--recipe", "linux-mysql"]].concat());
    assert!(!same.err.contains("tag says"), "{}", same.err);
}

#[test]
fn a_key_that_is_given_twice_is_refused() {
    let state = state();
    for (flag, pairs) in [
        ("--set-tag", ["A=1", "A=2"]),
        ("--parameter", ["a=1", "a=2"]),
    ] {
        let args = ["--lab", "snapshot", "--instance", "files-1", "--dry-run"];
        let more = [flag, pairs[0], flag, pairs[1]];
        let refused = run(&state, &[&args[..], &more].concat());
        assert_eq!(refused.code, 2, "{}", refused.err);
        assert!(refused.err.contains("given twice"), "{}", refused.err);
    }
}

#[test]
fn a_policy_without_a_name_is_refused() {
    let state = state();
    let file = state.path().join("c.toml");
    std::fs::write(&file, "[retention.\"\"]\nkeep-last = 3\n").unwrap();
    let file = file.to_str().unwrap();
    let refused = run(&state, &["--lab", "--config", file, "list", "instances"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("has no name"), "{}", refused.err);
}

#[test]
fn a_restore_is_a_line_for_each_volume_as_json_lines() {
    let state = state();
    let rows = run(
        &state,
        &[WORLD, "list", "sets", "--filter", "files", "-o", "json"],
    )
    .json();
    let set = rows[0]["id"].as_str().unwrap();
    for what in [&["plan"][..], &["run", "--yes"]] {
        let args = ["--set", set, "--instance", "files", "-o", "jsonl"];
        let done = run(&state, &[&[WORLD, "restore"], what, &args].concat());
        assert_eq!(done.code, 0, "{}", done.err);
        let lines: Vec<Value> = done
            .out
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert!(!lines.is_empty());
        for line in &lines {
            for key in ["restore", "account", "region", "set", "target", "snapshot"] {
                assert!(line[key].is_string(), "{key}: {line}");
            }
            assert!(line.get("items").is_none(), "{line}");
        }
    }
}

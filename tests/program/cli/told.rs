//! What is told of what went wrong: on standard error in every format, with the thing and the hint.

use serde_json::Value;

use super::{configured, mysql_instance, run, state};

/// A plan of one fault, with this in its `[[fault]]`; its path.
fn plan(state: &tempfile::TempDir, fault: &str) -> String {
    let file = state.path().join("plan.toml");
    std::fs::write(&file, format!("name = \"x\"\n\n[[fault]]\n{fault}")).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_failed_job_is_told_on_standard_error_whatever_the_format() {
    let state = state();
    let plan = plan(&state, "on = \"pre-script\"\nkind = \"killed\"\nms = 40\n");
    let snapshot = |format: &str| {
        let args = ["--lab", "--faults", &plan, "snapshot", "-o", format];
        let tags = ["--tag", "Name=shop-db-1", "--mode", "coordinated"];
        run(&state, &[&args[..], &tags].concat())
    };
    for format in ["table", "json", "jsonl"] {
        let result = snapshot(format);
        assert_eq!(result.code, 1, "{format}: {}", result.err);
        assert!(
            result.err.contains("error (") && result.err.contains("\n  next: "),
            "{format}: {}",
            result.err
        );
    }
    let absent = run(
        &state,
        &[
            "--lab",
            "snapshot",
            "--instance",
            "i-0aaaaaaaaaaaaaaa0",
            "-o",
            "json",
        ],
    );
    assert!(
        absent.err.contains("there is no such instance"),
        "{}",
        absent.err
    );
}

#[test]
fn a_lower_verdict_is_told_on_standard_error_as_json_too() {
    let state = state();
    let plan = plan(
        &state,
        "on = \"post-script\"\nkind = \"truncated\"\ncharacters = 400\n",
    );
    let args = ["--lab", "--faults", &plan, "snapshot", "-o", "json"];
    let tags = ["--tag", "Name=shop-db-1", "--mode", "coordinated"];
    let result = run(&state, &[&args[..], &tags].concat());
    assert_eq!(result.code, 4, "{}", result.err);
    assert_eq!(result.json()["jobs"][0]["verdict"], "crash");
    let broke = " shop-db-1: crash, not application: the chain broke at ";
    assert!(result.err.contains(broke), "{}", result.err);
    assert!(!result.err.contains("out of order"), "{}", result.err);
    assert!(!result.err.contains("EOF"), "{}", result.err);
}

/// Nobody may make the snapshots: `--dry-run` says what the run says, and the run freezes nothing to find it out.
#[test]
fn a_missing_right_is_told_by_a_dry_run_and_before_any_freeze() {
    let state = state();
    let plan = plan(
        &state,
        "on = \"CreateSnapshots\"\nkind = \"error\"\ncode = \"UnauthorizedOperation\"\nstatus = 403\n",
    );
    for mode in ["auto", "coordinated", "autonomous"] {
        let args = [
            "--lab",
            "--faults",
            &plan,
            "snapshot",
            "--tag",
            "Name=shop-db-1",
            "--mode",
            mode,
            "-o",
            "json",
        ];
        let done = run(&state, &args);
        assert_eq!(done.code, 1, "{mode}: {}", done.err);
        let job = &done.json()["jobs"][0];
        let error = job["error"].to_string();
        assert!(error.contains("UnauthorizedOperation"), "{mode}: {job:#}");
        let phases = job["phases"].as_array().unwrap();
        let frozen = phases.iter().any(|p| p["phase"] == "quiescing");
        assert!(
            !frozen && job["freeze_window_ms"].is_null(),
            "{mode}: {job:#}"
        );
        if mode == "autonomous" {
            // Only the instance can tell.
            continue;
        }
        let dry = run(&state, &[&args[..], &["--dry-run"]].concat());
        assert_eq!(dry.code, 1, "{mode}: {}", dry.err);
        let job = &dry.json()["jobs"][0];
        assert_eq!(job["would"], "refuse", "{job:#}");
        assert_eq!(job["error"]["kind"], "denied", "{job:#}");
    }
}

#[test]
fn json_lines_are_one_job_each_with_the_runs_own_keys() {
    let state = state();
    let args = ["--lab", "snapshot", "--tag", "Env=staging", "-o", "jsonl"];
    for dry in [&[][..], &["--dry-run"]] {
        let result = run(&state, &[&args[..], dry].concat());
        let lines: Vec<Value> = result
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(lines.len() > 1, "{}", result.out);
        for line in &lines {
            for key in ["run", "account", "region", "instance"] {
                assert!(line[key].is_string(), "{key}: {line}");
            }
            assert!(line.get("jobs").is_none(), "{line}");
        }
    }
}

#[test]
fn faults_that_could_never_fire_are_refused_with_the_nearest_name_and_the_line() {
    let state = state();
    for (fault, words) in [
        (
            "on = \"pre-scrpt\"\nkind = \"killed\"\n",
            &["line 4", "did you mean `pre-script`"][..],
        ),
        (
            "on = \"CreateSnapshotts\"\nkind = \"reset\"\n",
            &["line 4", "did you mean `CreateSnapshots`"],
        ),
        (
            "on = \"CreateSnapshot\"\nkind = \"reset\"\n",
            &["CreateSnapshots", "never fire"],
        ),
        (
            "on = \"pre-script\"\nkind = \"agent-lost\"\n",
            &["line 3", "`ms`", "needs a time"],
        ),
    ] {
        let plan = plan(&state, fault);
        let result = run(&state, &["--lab", "--faults", &plan, "list", "instances"]);
        assert_eq!(result.code, 2, "{fault}: {}", result.err);
        for word in words {
            assert!(result.err.contains(word), "{word}: {}", result.err);
        }
    }
}

#[test]
fn a_read_only_session_says_what_made_it_so() {
    let state = state();
    let instance = mysql_instance(&state);
    let file = configured(&state, "\nread_only = true\n");
    let refused = run(
        &state,
        &[
            "--lab",
            "--config",
            &file,
            "snapshot",
            "--instance",
            &instance,
        ],
    );
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(
        refused.err.contains("remove read_only from")
            && refused.err.contains("c.toml: line 2")
            && !refused.err.contains("--read-only"),
        "{}",
        refused.err
    );
    let output = super::command(state.path())
        .env("FREEZEFRAME_READ_ONLY", "yes")
        .args(["--lab", "snapshot", "--instance", &instance])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("remove FREEZEFRAME_READ_ONLY") && !said.contains("--read-only"),
        "{said}"
    );
}

#[test]
fn tags_that_match_nothing_are_named_with_where_and_what_is_near() {
    let state = state();
    for dry in [&[][..], &["--dry-run"]] {
        let args = ["--lab", "snapshot", "--tag", "env=prod"];
        let nothing = run(&state, &[&args[..], dry].concat());
        assert_eq!(nothing.code, 3, "{}", nothing.err);
        for word in [
            "env=prod",
            "123456789012/eu-central-1",
            "did you mean `Env`?",
        ] {
            assert!(nothing.err.contains(word), "{word}: {}", nothing.err);
        }
    }
}

#[test]
fn stop_is_refused_by_the_name_of_its_flag() {
    let state = state();
    for flag in [&["--recipe", "linux-filesystem"][..], &[]] {
        let args = ["--lab", "snapshot", "--tag", "Name=files-1", "--stop"];
        let refused = run(&state, &[&args[..], flag].concat());
        assert!(
            refused.err.contains("leave --stop out") && !refused.err.contains("remove it"),
            "{}",
            refused.err
        );
    }
}

#[test]
fn numbers_out_of_range_are_told_the_range_in_words() {
    let state = state();
    let refused = run(
        &state,
        &["--lab", "snapshot", "--tag", "A=b", "--at-once", "0"],
    );
    assert_eq!(refused.code, 2);
    assert!(
        refused.err.contains("a whole number from 1 to 200") && !refused.err.contains("..="),
        "{}",
        refused.err
    );
}

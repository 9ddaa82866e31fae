//! What a person mistypes: each is refused at once, with 2, the thing named and the hint told.

use super::{Served, configured, mysql_instance, run, state};

/// Refused as usage; what was said.
fn usage(args: &[&str]) -> String {
    let result = run(&state(), args);
    assert_eq!(result.code, 2, "{args:?}: {}", result.err);
    assert!(result.out.is_empty(), "{args:?}: {}", result.out);
    result.err
}

#[test]
fn flags_that_would_undo_one_another_are_refused() {
    let url = ["--endpoint-url", "http://127.0.0.1:9"];
    for args in [
        &["--lab", url[0], url[1], "list", "instances"][..],
        &["--lab", "list", "instances", url[0], url[1]],
        &["list", "instances", url[0], url[1], "--lab"],
    ] {
        let said = usage(args);
        assert!(
            said.contains("--lab") && said.contains("--endpoint-url http://127.0.0.1:9"),
            "{said}"
        );
        assert!(said.contains("leave one of the two out"), "{said}");
    }
}

#[test]
fn a_word_that_is_none_of_the_known_ones_is_told_which_are() {
    let snapshot = |flag, word| {
        usage(&[
            "--lab",
            "snapshot",
            "--instance",
            "i-0123456789abcdef0",
            flag,
            word,
        ])
    };
    for (said, known) in [
        (
            snapshot("--on-failure", "maybe"),
            &["maybe", "skip", "crash-consistent"][..],
        ),
        (
            snapshot("--mode", "both"),
            &["both", "auto", "coordinated", "autonomous"],
        ),
        (
            usage(&["--lab", "--theme", "nope", "list", "instances"]),
            &["nope", "freezeframe-light"],
        ),
        (
            usage(&["--lab", "--faults", "nope", "list", "instances"]),
            &["nope", "forgetful", "throttled", "TOML file"],
        ),
        (
            usage(&["--lab=nope.toml", "list", "instances"]),
            &["nope.toml", "default"],
        ),
    ] {
        for word in known {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}

#[test]
fn a_policy_that_is_none_is_told_which_there_are_or_that_there_are_none() {
    let none = usage(&["--lab", "prune", "--policy", "nope", "--dry-run"]);
    assert!(
        none.contains("no policies") && none.contains("[retention.nope]"),
        "{none}"
    );
    let state = state();
    let file = configured(
        &state,
        "[retention.nightly]\nkeep-daily = 7\n[retention.forever]\nkeep-yearly = 9\n",
    );
    let args = [
        "--lab",
        "--config",
        &file,
        "prune",
        "--policy",
        "nightli",
        "--dry-run",
    ];
    let some = run(&state, &args);
    assert_eq!(some.code, 2, "{}", some.err);
    assert!(some.err.contains("forever, nightly"), "{}", some.err);
}

#[test]
fn a_wrong_value_in_the_configuration_is_told_with_its_own_line() {
    for (text, line, words) in [
        (
            "theme = \"freezeframe\"\n[snapshot]\nmode = \"autonomous\"\nbudget_seconds = 0\n",
            4,
            &["budget_seconds", "1 to 999"][..],
        ),
        (
            "[run]\nretries = 1\nat_once = 900\n",
            3,
            &["at_once", "200"],
        ),
        ("\n[retention.nightly]\n", 2, &["nightly"]),
        (
            "\ntheme = \"freezefram\"\n",
            2,
            &["freezefram", "did you mean `freezeframe`"],
        ),
        (
            "[recipes.mine]\ndocument = \"abc\"\n\nbudget_seconds = 0\n",
            4,
            &["mine", "budget_seconds"],
        ),
        (
            "[recipes.linux-mysql]\n\n[recipes.linux-mysql.parameters]\nlockWaitSecond = \"9\"\n",
            4,
            &["lockWaitSeconds"],
        ),
        (
            "[recipes.linux-mysql]\n\ndocument = \"Other\"\n",
            3,
            &["built in"],
        ),
        (
            "\n[recipes.linux-mysq.parameters]\nlockWaitSeconds = \"9\"\n",
            2,
            &["did you mean `linux-mysql`"],
        ),
    ] {
        let state = state();
        let file = configured(&state, text);
        let result = run(&state, &["--lab", "--config", &file, "list", "instances"]);
        assert_eq!(result.code, 2, "{text}");
        let place = format!("c.toml: line {line}:");
        assert!(
            result.err.contains(&place),
            "{place} for {text}: {}",
            result.err
        );
        for word in words {
            assert!(result.err.contains(word), "{word}: {}", result.err);
        }
    }
}

#[test]
fn an_unknown_key_is_told_what_is_known_once() {
    let state = state();
    let file = configured(&state, "[snapshot]\nbudget = 3\n");
    let said = run(&state, &["--lab", "--config", &file, "list", "instances"]).err;
    assert!(said.contains("unknown field `budget`"), "{said}");
    assert_eq!(said.matches("on_failure").count(), 1, "{said}");
}

#[test]
fn a_mount_that_is_none_is_named() {
    let state = state();
    let instance = mysql_instance(&state);
    let args = ["--lab", "snapshot", "--instance", &instance, "--mount"];
    let said = run(&state, &[&args[..], &["/nope"]].concat());
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(
        said.err.contains("/nope: it is not a mount point"),
        "{}",
        said.err
    );
}

#[test]
fn a_dry_run_says_that_the_run_itself_would_be_refused() {
    let state = state();
    let instance = mysql_instance(&state);
    let args = [
        "--lab",
        "--read-only",
        "snapshot",
        "--instance",
        &instance,
        "--dry-run",
    ];
    let dry = run(&state, &args);
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert!(
        dry.err.contains("a real run would be refused") && dry.err.contains("read-only"),
        "{}",
        dry.err
    );
    let json = run(&state, &[&args[..], &["-o", "json"]].concat()).json();
    assert_eq!(json["refused"]["kind"], "denied", "{json}");
    let prune = run(
        &state,
        &[
            "--lab",
            "--read-only",
            "prune",
            "--keep-last",
            "1",
            "--dry-run",
        ],
    );
    assert!(prune.err.contains("would be refused"), "{}", prune.err);
    let may = run(&state, &[&["--lab"], &args[2..]].concat());
    assert!(!may.err.contains("refused"), "{}", may.err);
}

#[test]
fn help_tells_a_commands_own_options_before_those_of_every_command() {
    let help = run(&state(), &["snapshot", "--help"]).out;
    let heading = help.find("Options of every command:").unwrap();
    for own in [
        "--tag",
        "--recipe",
        "--mode",
        "--max-freeze",
        "--retries",
        "--dry-run",
    ] {
        assert!(help.find(own).unwrap() < heading, "{own}: {help}");
    }
    for common in ["--lab", "--region", "--read-only", "--output"] {
        let at = help.rfind(common).unwrap();
        assert!(at > heading, "{common}: {help}");
    }
}

#[test]
fn mine_are_the_sets_that_this_machine_took() {
    let served = Served::start();
    let host = state();
    let all = served
        .run(&host, &["list", "sets", "-o", "json"])
        .json()
        .as_array()
        .unwrap()
        .len();
    assert!(all > 1);
    assert_eq!(served.run(&host, &["list", "sets", "--mine"]).code, 3);
    let rows = served
        .run(
            &host,
            &[
                "list",
                "instances",
                "--filter",
                "tag:ConsistentSnapshot=linux-mysql agent=online state=running",
                "-o",
                "json",
            ],
        )
        .json();
    let instance = rows[0]["id"].as_str().unwrap().to_owned();
    let taken = served.run(&host, &["snapshot", "--instance", &instance, "-o", "json"]);
    assert_eq!(taken.code, 0, "{}", taken.err);
    let job = taken.json()["jobs"][0]["job"].clone();
    let mine = served
        .run(&host, &["list", "sets", "--mine", "-o", "json"])
        .json();
    assert_eq!(mine.as_array().unwrap().len(), 1, "{mine}");
    assert_eq!(mine[0]["id"], job);
    let snapshots = served
        .run(&host, &["list", "snapshots", "--mine", "-o", "json"])
        .json();
    let snapshots = snapshots.as_array().unwrap();
    assert!(!snapshots.is_empty());
    assert!(
        snapshots
            .iter()
            .all(|s| s["tags"]["freezeframe:job"] == job)
    );
    let elsewhere = served.run(&state(), &["list", "sets", "--mine"]);
    assert_eq!(elsewhere.code, 3, "{}", elsewhere.out);
    let volumes = served.run(&host, &["list", "volumes", "--mine"]);
    assert_eq!(volumes.code, 2);
    assert!(volumes.err.contains("--mine"), "{}", volumes.err);
}

#[test]
fn ids_that_name_nothing_are_named_and_alone_are_nothing_matched() {
    let state = state();
    let known = mysql_instance(&state);
    let unknown = "i-0aaaaaaaaaaaaaaa0";
    for dry in [&[][..], &["--dry-run"]] {
        let alone = [&["--lab", "snapshot", "--instance", unknown], dry].concat();
        let alone = run(&state, &alone);
        assert_eq!(alone.code, 3, "{dry:?}: {}", alone.err);
        let said = format!("{}{}", alone.out, alone.err);
        assert!(
            said.contains(unknown) && said.contains("no such instance in 123456789012"),
            "{said}"
        );
        let both = [&["--lab", "snapshot", "--instance", unknown, &known], dry].concat();
        let both = run(&state, &both);
        assert_eq!(both.code, 1, "{dry:?}: {}", both.err);
        let said = format!("{}{}", both.out, both.err);
        assert!(said.contains("no such instance"), "{said}");
        assert!(both.out.contains(&known), "{}", both.out);
    }
}

#[test]
fn jobs_abort_wants_to_know_which() {
    let said = usage(&["--lab", "jobs", "abort"]);
    assert!(said.contains("--job") && said.contains("--all"), "{said}");
}

#[test]
fn jobs_thawed_wants_to_know_which() {
    let said = usage(&["--lab", "jobs", "thawed"]);
    assert!(said.contains("--job"), "{said}");
}

#[test]
fn an_answer_of_503_says_what_to_do() {
    let state = state();
    let plan = state.path().join("down.toml");
    std::fs::write(
        &plan,
        "name = \"down\"\nabout = \"EC2 is down\"\n[[fault]]\non = \"DescribeVolumes\"\nkind = \"unavailable\"\n",
    )
    .unwrap();
    let result = run(
        &state,
        &[
            "--lab",
            "--faults",
            plan.to_str().unwrap(),
            "list",
            "volumes",
        ],
    );
    assert_eq!(result.code, 1, "{}", result.err);
    assert!(
        result.err.contains("wait a minute") && result.err.contains("Health"),
        "{}",
        result.err
    );
}

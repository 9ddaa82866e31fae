//! Which instances a command line means: ids, names that only one has, narrowed by tags.

use super::*;

/// Three instances named `web`, one named `files`.
const WORLD: &str = concat!(
    "--lab=",
    env!("CARGO_MANIFEST_DIR"),
    "/tests/support/three-webs.toml"
);
const FIRST: &str = "i-0aaaaaaaaaaaa1111";
const SECOND: &str = "i-0bbbbbbbbbbbb2222";
const THIRD: &str = "i-0cccccccccccc3333";

fn dry(more: &[&str]) -> Result {
    run(
        &state(),
        &[&[WORLD, "snapshot", "--dry-run", "-o", "json"], more].concat(),
    )
}

fn instances(result: &Result) -> Vec<String> {
    let jobs = &result.json()["jobs"];
    let ids = jobs.as_array().unwrap().iter();
    ids.map(|job| job["instance"].as_str().unwrap_or("-").to_owned())
        .collect()
}

#[test]
fn instances_and_tags_narrow_each_other_and_it_is_told() {
    let narrowed = dry(&["--instance", FIRST, SECOND, THIRD, "--tag", "Env=staging"]);
    assert_eq!(narrowed.code, 0, "{}", narrowed.err);
    assert_eq!(instances(&narrowed), [SECOND, THIRD]);
    assert!(
        narrowed
            .err
            .contains("2 of 3 instances also carry Env=staging")
            && narrowed.err.contains(FIRST),
        "{}",
        narrowed.err
    );
    let none = dry(&["--instance", FIRST, "--tag", "Env=staging"]);
    assert_eq!(none.code, 3, "{}", none.out);
    assert!(instances(&none).is_empty());
    assert!(none.err.contains("nothing matched"), "{}", none.err);
    let alone = dry(&["--tag", "Env=staging"]);
    assert_eq!(instances(&alone), [SECOND, THIRD]);
    assert!(!alone.err.contains("also carry"), "{}", alone.err);
}

#[test]
fn a_name_is_taken_where_it_is_unique_by_every_command_that_takes_an_instance() {
    let named = dry(&["--instance", "files"]);
    assert_eq!(named.code, 0, "{}", named.err);
    assert_eq!(instances(&named), ["i-0dddddddddddd4444"]);

    let state = state();
    let sets = run(
        &state,
        &[WORLD, "list", "sets", "--filter", "files", "-o", "json"],
    )
    .json();
    let set = sets[0]["id"].as_str().unwrap().to_owned();
    let restore = |target: &str| {
        run(
            &state,
            &[
                WORLD,
                "restore",
                "plan",
                "--set",
                &set,
                "--instance",
                target,
                "-o",
                "json",
            ],
        )
    };
    let plan = restore("files");
    assert_eq!(plan.code, 0, "{}", plan.err);
    assert_eq!(plan.json()["target"], "i-0dddddddddddd4444");
    let metrics = |of: &str| run(&state, &[WORLD, "metrics", "--instance", of]);
    assert_eq!(metrics("files").code, metrics("i-0dddddddddddd4444").code);

    // Where it is not: refused before anything is done, with the ids.
    for refused in [
        dry(&["--instance", "web"]),
        dry(&["--instance", "files", "web"]),
        restore("web"),
        metrics("web"),
    ] {
        assert_eq!(refused.code, 2, "{}{}", refused.out, refused.err);
        for id in [FIRST, SECOND, THIRD] {
            let said = format!("{}{}", refused.out, refused.err);
            assert!(said.contains(id), "{said}");
        }
    }
}

#[test]
fn a_name_that_nobody_has_is_told_with_the_nearest() {
    for (result, code) in [
        (dry(&["--instance", "file"]), 3),
        (run(&state(), &[WORLD, "metrics", "--instance", "file"]), 3),
        (dry(&["--instance", "i-0aaa"]), 2),
    ] {
        assert_eq!(result.code, code, "{}{}", result.out, result.err);
        let said = format!("{}{}", result.out, result.err);
        assert!(
            code == 2 || said.contains("did you mean `files`?"),
            "{said}"
        );
    }
    let both = dry(&["--instance", "file", FIRST]);
    assert_eq!(both.code, 1, "{}", both.err);
    assert_eq!(instances(&both), [FIRST, "-"]);
}

/// Whoever asks by an id gets the instance with that id, whatever another one is called; every command by one rule.
#[test]
fn an_id_is_an_id_also_where_another_instance_is_called_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("world.toml");
    let text = include_str!("../../support/three-webs.toml");
    let renamed = text.replacen("name = \"files\"", &format!("name = \"{FIRST}\""), 1);
    assert_ne!(renamed, text);
    std::fs::write(&file, renamed).unwrap();
    let world = format!("--lab={}", file.display());
    let state = state();
    let of = |more: &[&str]| run(&state, &[&[world.as_str()], more].concat());
    let taken = of(&["snapshot", "--dry-run", "-o", "json", "--instance", FIRST]);
    assert_eq!(taken.code, 0, "{}", taken.err);
    assert_eq!(instances(&taken), [FIRST]);
    let pruned = of(&[
        "prune",
        "--keep-last",
        "1",
        "--dry-run",
        "-o",
        "json",
        "--instance",
        FIRST,
    ]);
    let decisions = pruned.json()["decisions"].clone();
    let all: Vec<&str> = decisions
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["instance"].as_str())
        .collect();
    assert!(
        !all.is_empty() && all.iter().all(|id| *id == FIRST),
        "{all:?}"
    );
    let set = of(&["list", "sets", "-o", "json", "--filter", "web"]);
    let set = set.json()[0]["id"].as_str().unwrap_or_default().to_owned();
    let restored = of(&[
        "restore",
        "plan",
        "--set",
        &set,
        "--instance",
        FIRST,
        "-o",
        "json",
    ]);
    assert_eq!(
        restored.json()["target"],
        FIRST,
        "{}{}",
        restored.out,
        restored.err
    );
}

/// What was named and is not there is nothing matched, whatever it is; what the configuration should have is usage.
#[test]
fn what_was_named_and_is_not_there_ends_with_3() {
    let state = state();
    let of = |more: &[&str]| run(&state, &[&[WORLD], more].concat());
    const NO_JOB: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";
    const NO_INSTANCE: &str = "i-0eeeeeeeeeeee5555";
    let sets = of(&["list", "sets", "-o", "json", "--filter", "files"]);
    let set = sets.json()[0]["id"].as_str().unwrap().to_owned();
    let restore = |set: &str, more: &[&str]| {
        let plan = ["restore", "plan", "--set", set];
        of(&[&plan, more].concat())
    };
    let ended = [
        restore(NO_JOB, &["--instance", "files"]),
        restore(&set, &["--instance", NO_INSTANCE]),
        restore(&set, &["--instance", "nobody"]),
        restore(
            &set,
            &["--instance", "files", "--snapshot", "snap-0123abcd"],
        ),
        of(&["jobs", "abort", "--job", NO_JOB]),
        of(&["jobs", "thawed", "--job", NO_JOB, "--yes"]),
        of(&["snapshot", "--instance", NO_INSTANCE]),
        of(&["snapshot", "--instance", "nobody", "--dry-run"]),
        of(&[
            "prune",
            "--keep-last",
            "1",
            "--dry-run",
            "--instance",
            "nobody",
        ]),
        of(&["metrics", "--instance", "nobody"]),
    ];
    for (n, result) in ended.iter().enumerate() {
        assert_eq!(result.code, 3, "{n}: {}{}", result.out, result.err);
        // A dry run of a snapshot tells it in its table.
        assert!(
            !result.err.is_empty() || result.out.contains("nobody"),
            "{n}: nothing is told"
        );
    }
    let policy = of(&["prune", "--policy", "nobody", "--dry-run"]);
    assert_eq!(policy.code, 2, "{}", policy.err);
}

/// Every list that names instances shows name and whole id.
#[test]
fn sets_are_listed_with_the_names_of_their_instances() {
    let state = state();
    let table = run(&state, &[WORLD, "list", "sets"]);
    let head = table.out.lines().find(|line| line.contains("EVIDENCE"));
    let head = head.unwrap();
    assert!(
        head.contains("INSTANCE") && head.contains("  NAME"),
        "{head}"
    );
    for line in table.out.lines().filter(|line| line.contains("linux-")) {
        let row: Vec<&str> = line.split_whitespace().collect();
        let at = row.iter().position(|cell| cell.starts_with("i-0")).unwrap();
        assert_eq!(row[at].len(), FIRST.len(), "{line}");
        assert!(["web", "files", "old"].contains(&row[at + 1]), "{line}");
    }
    let rows = run(&state, &[WORLD, "list", "sets", "-o", "json"]).json();
    assert_eq!(
        rows[0]["instance_name"].as_str().map(str::is_empty),
        Some(false)
    );
}

//! The command line as scripts meet it: exit codes, JSON keys, error texts. On the embedded lab, without
//! network, credentials or privileges.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

mod filters;
mod foreseen;
mod lab;
mod log;
mod mistakes;
mod mixed;
mod prunes;
mod reviewed;
mod sets;
mod shell;
mod targets;
mod told;
mod unconfirmed;
mod who;

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

#[derive(Debug)]
struct Result {
    code: i32,
    out: String,
    err: String,
}

impl Result {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }
}

fn command(state: &Path) -> Command {
    let mut command = Command::cargo_bin("freezeframe").unwrap();
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", state)
        .env("FREEZEFRAME_STATE_DIR", state)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn run(state: &TempDir, args: &[&str]) -> Result {
    let output = command(state.path()).args(args).output().unwrap();
    Result {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn state() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn mysql_instance(state: &TempDir) -> String {
    let rows = run(
        state,
        &[
            "--lab",
            "list",
            "instances",
            "--filter",
            "tag:ConsistentSnapshot=linux-mysql agent=online state=running",
            "-o",
            "json",
        ],
    )
    .json();
    rows[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn listings_have_the_promised_keys() {
    let state = state();
    for what in ["instances", "volumes", "snapshots", "sets"] {
        let result = run(&state, &["--lab", "list", what, "-o", "json"]);
        assert_eq!(result.code, 0, "{what}: {}", result.err);
        let rows = result.json();
        let rows = rows.as_array().unwrap();
        assert!(!rows.is_empty(), "{what}");
        for row in rows {
            for key in ["id", "state", "tags", "account", "region"] {
                assert!(row.get(key).is_some(), "{what} lacks {key}: {row}");
            }
            assert!(row["tags"].is_object());
        }
    }
    let lines = run(&state, &["--lab", "list", "volumes", "-o", "jsonl"]).out;
    assert!(
        lines.lines().count() > 10
            && lines
                .lines()
                .all(|l| serde_json::from_str::<Value>(l).is_ok())
    );
}

#[test]
fn nothing_matched_is_three_and_bad_usage_two() {
    let state = state();
    assert_eq!(
        run(
            &state,
            &["--lab", "list", "instances", "--filter", "tag:Env=nowhere"]
        )
        .code,
        3
    );
    assert_eq!(run(&state, &["--lab", "list", "jobs"]).code, 3);
    assert_eq!(
        run(&state, &["--lab", "snapshot", "--tag", "Env=nowhere"]).code,
        3
    );
    let wrong = run(
        &state,
        &["--lab", "list", "instances", "--filter", "colour=red"],
    );
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.err.contains("colour") && wrong.err.contains("next:"),
        "{}",
        wrong.err
    );
    assert_eq!(run(&state, &["--lab", "snapshot"]).code, 2);
    assert_eq!(
        run(&state, &["--lab", "snapshot", "--instance", "i-nonsense"]).code,
        2
    );
    assert_eq!(run(&state, &["--lab", "prune", "--dry-run"]).code, 2);
    assert_eq!(
        run(
            &state,
            &[
                "--lab",
                "snapshot",
                "--instance",
                "i-01234567",
                "--max-freeze",
                "0s"
            ]
        )
        .code,
        2
    );
    assert_eq!(run(&state, &["frobnicate"]).code, 2);
    assert_eq!(run(&state, &["--version"]).code, 0);
}

#[test]
fn the_console_needs_a_terminal_and_says_so() {
    let state = state();
    let result = run(&state, &["--lab"]);
    assert_eq!(result.code, 2);
    assert!(result.err.contains("not a terminal"), "{}", result.err);
}

#[test]
fn a_snapshot_run_prints_what_scripts_rely_on() {
    let state = state();
    let instance = mysql_instance(&state);
    let result = run(
        &state,
        &["--lab", "snapshot", "--instance", &instance, "-o", "json"],
    );
    assert_eq!(result.code, 0, "{}\n{}", result.out, result.err);
    let run_json = result.json();
    for key in ["run", "account", "region", "jobs"] {
        assert!(run_json.get(key).is_some(), "{key}");
    }
    let job = &run_json["jobs"][0];
    for key in [
        "job",
        "instance",
        "recipe",
        "mode",
        "verdict",
        "freeze_window_ms",
        "phases",
        "evidence",
        "set",
        "error",
    ] {
        assert!(job.get(key).is_some(), "{key}");
    }
    assert_eq!(job["verdict"], "application");
    for member in job["set"].as_array().unwrap() {
        for key in ["snapshot", "volume", "device", "level", "reason"] {
            assert!(member.get(key).is_some(), "{key}");
        }
    }
    // History survives the process.
    let jobs = run(&state, &["--lab", "list", "jobs", "-o", "json"]).json();
    assert_eq!(jobs[0]["id"], job["job"]);
    assert_eq!(jobs[0]["verdict"], "application");
}

#[test]
fn refusals_are_one_with_the_reason() {
    let state = state();
    let missing = run(
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
    assert_eq!(missing.code, 3, "nothing matched");
    assert_eq!(missing.json()["jobs"][0]["error"]["kind"], "not-found");
    let lost = run(
        &state,
        &[
            "--lab",
            "list",
            "instances",
            "--filter",
            "agent=lost",
            "-o",
            "json",
        ],
    )
    .json();
    let lost = lost[0]["id"].as_str().unwrap();
    let refused = run(
        &state,
        &[
            "--lab",
            "snapshot",
            "--instance",
            lost,
            "--recipe",
            "linux-filesystem",
        ],
    );
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("agent"), "{}", refused.err);
    let unknown = run(
        &state,
        &[
            "--lab",
            "snapshot",
            "--instance",
            &mysql_instance(&state),
            "--recipe",
            "linux-mysq",
        ],
    );
    assert_ne!(unknown.code, 0);
    assert!(
        unknown.err.contains("linux-mysq") && unknown.err.contains("linux-mysql"),
        "{}",
        unknown.err
    );
}

#[test]
fn dry_runs_change_nothing() {
    let state = state();
    let instance = mysql_instance(&state);
    let dry = run(
        &state,
        &[
            "--lab",
            "snapshot",
            "--instance",
            &instance,
            "--dry-run",
            "-o",
            "json",
        ],
    );
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert_eq!(dry.json()["jobs"][0]["would"], "snapshot");
    assert_eq!(run(&state, &["--lab", "list", "jobs"]).code, 3);
    let prune = run(
        &state,
        &[
            "--lab",
            "prune",
            "--keep-last",
            "2",
            "--dry-run",
            "-o",
            "json",
        ],
    );
    assert_eq!(prune.code, 0, "{}", prune.err);
    let plan = prune.json();
    assert!(
        plan["decisions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|d| !d["reasons"].as_array().unwrap().is_empty())
    );
    // Without a terminal nobody can confirm: refused, not done.
    let unconfirmed = run(&state, &["--lab", "prune", "--keep-last", "2"]);
    assert_eq!(unconfirmed.code, 2, "{}", unconfirmed.err);
    assert!(unconfirmed.err.contains("--yes"));
    let read_only = run(
        &state,
        &["--lab", "--read-only", "snapshot", "--instance", &instance],
    );
    assert_eq!(read_only.code, 1);
    assert!(read_only.err.contains("read-only"), "{}", read_only.err);
}

#[test]
fn restore_plan_shows_every_call_as_a_cli_line() {
    let state = state();
    let sets = run(
        &state,
        &[
            "--lab",
            "list",
            "sets",
            "--filter",
            "state=restorable level=application",
            "-o",
            "json",
        ],
    )
    .json();
    let set = sets
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["instance"].as_str() == Some(mysql_instance(&state).as_str()))
        .expect("the default world has a proven set of a MySQL instance")
        .clone();
    let id = set["id"].as_str().unwrap();
    let instance = set["instance"].as_str().unwrap();
    let plan = run(
        &state,
        &[
            "--lab",
            "restore",
            "plan",
            "--set",
            id,
            "--instance",
            instance,
        ],
    );
    assert_eq!(plan.code, 0, "{}", plan.err);
    assert!(plan.out.contains(" ec2 create-volume "), "{}", plan.out);
    assert!(plan.out.contains(" ec2 attach-volume "), "{}", plan.out);
    let done = run(
        &state,
        &[
            "--lab",
            "restore",
            "run",
            "--set",
            id,
            "--instance",
            instance,
            "--yes",
            "-o",
            "json",
        ],
    );
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.json()["items"][0]["state"], "done");
    let gone = "00000000-0000-4000-8000-000000000000";
    let missing = run(
        &state,
        &[
            "--lab",
            "restore",
            "plan",
            "--set",
            gone,
            "--instance",
            instance,
        ],
    );
    assert_eq!(missing.code, 3, "nothing matched: {}", missing.err);
    assert!(missing.err.contains(gone), "{}", missing.err);
}

#[test]
fn metrics_are_listed() {
    let state = state();
    let result = run(
        &state,
        &[
            "--lab",
            "metrics",
            "--instance",
            &mysql_instance(&state),
            "--days",
            "90",
            "-o",
            "json",
        ],
    );
    assert_eq!(result.code, 0, "{}", result.err);
    let names: Vec<String> = result
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["metric"].as_str().unwrap().to_owned())
        .collect();
    for name in ["ElapsedTime", "Size", "Errors", "FreezeDuration"] {
        assert!(names.iter().any(|n| n == name), "{name} of {names:?}");
    }
}

#[test]
fn no_credentials_no_endpoint_and_a_wrong_region_are_told_apart() {
    let state = state();
    let none = run(&state, &["--region", "eu-central-1", "list", "instances"]);
    assert_eq!(none.code, 1, "{}", none.err);
    assert!(none.err.contains("credential"), "{}", none.err);
    assert!(
        none.err.contains("--lab"),
        "the hint names the way to try: {}",
        none.err
    );
    let no_region = run(&state, &["list", "instances"]);
    assert_eq!(no_region.code, 2, "{}", no_region.err);
    assert!(no_region.err.contains("--region"), "{}", no_region.err);
    let mut unreachable = command(state.path());
    let output = unreachable
        .env("AWS_ACCESS_KEY_ID", "AKIALAB")
        .env("AWS_SECRET_ACCESS_KEY", "lab")
        // Port 1 of loopback: nobody listens there.
        .args([
            "--region",
            "eu-central-1",
            "--endpoint-url",
            "http://127.0.0.1:1",
            "list",
            "instances",
        ])
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("endpoint"), "{err}");
    let elsewhere = run(
        &state,
        &["--lab", "--region", "us-west-2", "list", "instances"],
    );
    assert_eq!(
        elsewhere.code, 3,
        "another region is simply empty: {}",
        elsewhere.err
    );
}

#[test]
fn configuration_errors_name_the_line() {
    let state = state();
    let file = state.path().join("config.toml");
    std::fs::write(&file, "profile = \"p\"\nreadonly = true\n").unwrap();
    let result = run(
        &state,
        &[
            "--config",
            file.to_str().unwrap(),
            "--lab",
            "list",
            "instances",
        ],
    );
    assert_eq!(result.code, 2, "{}", result.err);
    assert!(
        result.err.contains("readonly") && result.err.contains('2'),
        "{}",
        result.err
    );
    let absent = run(
        &state,
        &[
            "--config",
            "/nonexistent/c.toml",
            "--lab",
            "list",
            "instances",
        ],
    );
    assert_eq!(absent.code, 2, "{}", absent.err);
    assert!(absent.err.contains("/nonexistent/c.toml"), "{}", absent.err);
}

#[test]
fn nothing_printed_carries_a_control_character() {
    let state = state();
    for format in ["table", "json", "jsonl"] {
        for what in ["instances", "volumes", "snapshots"] {
            let out = run(&state, &["--lab", "list", what, "-o", format]).out;
            let bad = out
                .chars()
                .find(|c| *c != '\n' && freezeframe::domain::text::is_hostile(*c));
            assert_eq!(bad, None, "{what} as {format}");
        }
    }
}

#[test]
fn completions_are_a_script() {
    let state = state();
    let result = run(&state, &["completions", "bash"]);
    assert_eq!(result.code, 0);
    assert!(result.out.contains("_freezeframe"));
}

/// Two embedded labs have instances of the same ids, and are two worlds all the same.
#[test]
fn labs_of_two_processes_are_in_no_way_of_each_other() {
    let state = state();
    let instance = mysql_instance(&state);
    let start = || {
        command(state.path())
            .args(["--lab", "snapshot", "--instance", &instance, "-o", "json"])
            .output()
            .unwrap()
    };
    let both: Vec<_> = std::thread::scope(|scope| {
        let running = [scope.spawn(start), scope.spawn(start)];
        running.map(|one| one.join().unwrap()).into()
    });
    for one in both {
        let err = String::from_utf8_lossy(&one.stderr);
        assert_eq!(one.status.code(), Some(0), "{err}");
    }
    // One history: both are in it.
    let jobs = run(&state, &["--lab", "list", "jobs", "-o", "json"]).json();
    assert_eq!(jobs.as_array().unwrap().len(), 2, "{jobs}");
}

#[test]
fn a_lower_verdict_says_which_link_broke_and_what_to_do() {
    let state = state();
    let plan = state.path().join("cut.toml");
    std::fs::write(
        &plan,
        "name = \"cut\"\nabout = \"what post-script says is cut short\"\n[[fault]]\non = \"post-script\"\n\
         kind = \"truncated\"\ncharacters = 400\n",
    )
    .unwrap();
    let result = run(
        &state,
        &[
            "--lab",
            "--faults",
            plan.to_str().unwrap(),
            "snapshot",
            "--mode",
            "coordinated",
            "--tag",
            "Name=shop-db-1",
        ],
    );
    assert_eq!(result.code, 4, "{}\n{}", result.out, result.err);
    let (_, why) = result
        .err
        .split_once(" shop-db-1: crash, not application: the chain broke at ")
        .unwrap_or_else(|| panic!("{}", result.err));
    assert!(why.contains("\n  next: "), "{why}");
    assert!(
        result.err.contains("in Run Command's history"),
        "{}",
        result.err
    );
}

fn configured(state: &TempDir, text: &str) -> String {
    let file = state.path().join("c.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_set_has_its_evidence_on_the_host_that_took_it_and_says_so_elsewhere() {
    let state = state();
    let sets = run(&state, &["--lab", "list", "sets", "-o", "json"]).json();
    let past = &sets[0];
    assert_eq!(past["evidence"]["source"], "tags");
    assert_eq!(
        past["evidence"]["note"],
        "not on this machine; level by tag"
    );
    for member in past["set"].as_array().unwrap() {
        for key in ["snapshot", "volume", "device", "level", "reason"] {
            assert!(member.get(key).is_some(), "{member}");
        }
    }
    assert!(past["created"].is_string() && past["instance"].is_string());
    let table = run(&state, &["--lab", "list", "sets"]);
    assert!(
        table.out.contains("EVIDENCE") && table.out.contains("by tag"),
        "{}",
        table.out
    );
}

#[test]
fn sets_are_found_by_the_name_of_their_instance() {
    let state = state();
    let ids = |filter: &str| {
        let found = run(
            &state,
            &["--lab", "list", "sets", "--filter", filter, "-o", "json"],
        );
        let rows = match found.code {
            0 => found.json(),
            3 => Value::Array(Vec::new()),
            _ => panic!("{filter}: {}", found.err),
        };
        let rows = rows.as_array().unwrap().clone();
        rows.into_iter()
            .map(|row| (row["id"].to_string(), row["instance"].to_string()))
            .collect::<Vec<_>>()
    };
    let named = run(
        &state,
        &[
            "--lab",
            "list",
            "instances",
            "--filter",
            "name=shop-db-1",
            "-o",
            "json",
        ],
    )
    .json();
    let instance = named[0]["id"].as_str().unwrap().to_owned();
    let all = ids("");
    let by_id = ids(&instance);
    assert!(!by_id.is_empty() && by_id.len() < all.len(), "{by_id:?}");
    for filter in ["name=shop-db-1", "name=SHOP-DB-1", "name=shop-db-1 level=*"] {
        assert_eq!(ids(filter), by_id, "{filter}");
    }
    let word = ids("shop-db-1");
    assert!(by_id.iter().all(|one| word.contains(one)), "{word:?}");
    assert_eq!(
        ids("!name=shop-db-1").len(),
        all.len() - by_id.len(),
        "the others"
    );
}

#[test]
fn own_recipes_and_documents_are_chosen_by_name() {
    let state = state();
    let instance = mysql_instance(&state);
    let file = configured(
        &state,
        "[recipes.my-app]\ndocument = \"MyCompany-App\"\nbudget_seconds = 45\n",
    );
    let dry = |extra: &[&str]| {
        let mut args = vec![
            "--lab",
            "--config",
            &file,
            "snapshot",
            "--instance",
            &instance,
        ];
        args.extend(["--dry-run", "-o", "json"]);
        args.extend(extra);
        run(&state, &args)
    };
    let job = dry(&["--recipe", "my-app"]).json()["jobs"][0].clone();
    assert_eq!(job["document"], "MyCompany-App");
    assert_eq!(job["recipe"], "my-app");
    assert_eq!(job["budget_s"], 45);
    let job = dry(&["--recipe", "my-app", "--max-freeze", "10s"]).json()["jobs"][0].clone();
    assert_eq!(job["budget_s"], 10);
    let job = dry(&["--document", "Theirs-PrePost"]).json()["jobs"][0].clone();
    assert_eq!(job["document"], "Theirs-PrePost");
    // Nobody has made that document: the job would be refused, and the dry run says so.
    assert_eq!(
        (&job["would"], &job["error"]["kind"]),
        (&"refuse".into(), &"document".into()),
        "{job:#}"
    );
    assert!(
        job["error"]["cause"]
            .as_str()
            .is_some_and(|cause| cause.contains("no such SSM document")),
        "{job:#}"
    );
    assert!(
        job["error"]["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("correct its name")),
        "{job:#}"
    );
    assert_eq!(dry(&["--document", "Theirs-PrePost"]).code, 1);
    // One of AWS's own that is there, and is none of the contract.
    let job = dry(&["--document", "AWS-RunShellScript"]).json()["jobs"][0].clone();
    assert!(
        job["error"]["cause"]
            .as_str()
            .is_some_and(|cause| cause.contains("executionId") || cause.contains("schema version")),
        "{job:#}"
    );
    assert_eq!(job["would"], "refuse");
    assert_eq!(dry(&["--document", "x", "--recipe", "y"]).code, 2);
    let refused = dry(&["--document", "Theirs-PrePost", "--mode", "autonomous"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("coordinated"), "{}", refused.err);
    let refused = dry(&["--recipe", "linux-postgres"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused
            .err
            .contains("--recipe linux-postgres names no recipe")
            && refused.err.contains("linux-postgresql"),
        "{}",
        refused.err
    );
    let refused = dry(&["--recipe", "linux-mysql", "--parameter", "nosuch=1"]);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
}

#[test]
fn a_recipe_that_cannot_be_is_an_error_with_its_line() {
    let state = state();
    for (text, word) in [
        (
            "\n[recipes.linux-mysql]\ndocument = \"Other\"\n",
            "built in",
        ),
        (
            "\n[recipes.linux-mysql.parameters]\nlockWaitSecond = \"9\"\n",
            "lockWaitSeconds",
        ),
        ("\n[recipes.mine]\ndocumnet = \"Other\"\n", "`document`"),
        ("\n[recipes.mine]\nwhat = \"x\"\n", "document"),
    ] {
        let file = configured(&state, text);
        let result = run(&state, &["--lab", "--config", &file, "list", "instances"]);
        assert_eq!(result.code, 2, "{text}");
        assert!(
            result.err.contains("line ") && result.err.contains(word),
            "{}",
            result.err
        );
    }
}

/// A served lab: one world for several processes. Gone with the test.
struct Served {
    child: std::process::Child,
    url: String,
    home: TempDir,
}

impl Served {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(more: &[&str]) -> Self {
        use std::io::BufRead as _;
        let home = state();
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_freezeframe"))
            .args(["lab", "serve", "--port", "0"])
            .args(more)
            .env("FREEZEFRAME_STATE_DIR", home.path())
            .env("HOME", home.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.split_whitespace().find(|w| w.starts_with("http://"));
        let url = url
            .unwrap_or_else(|| panic!("no address in {line:?}"))
            .to_owned();
        Self { child, url, home }
    }

    fn run(&self, host: &TempDir, args: &[&str]) -> Result {
        self.run_as("AKIALAB", host, args)
    }

    /// The same, signed with another key.
    fn run_as(&self, key: &str, host: &TempDir, args: &[&str]) -> Result {
        let output = command(host.path())
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", "lab")
            .env("HOME", self.home.path())
            .args(["--endpoint-url", &self.url, "--region", "eu-central-1"])
            .args(args)
            .output()
            .unwrap();
        Result {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_host_that_took_a_set_tells_its_evidence_and_another_host_does_not_pretend() {
    let served = Served::start();
    let (taker, other) = (state(), state());
    let taken = served.run(
        &taker,
        &["snapshot", "--tag", "Name=shop-db-1", "-o", "json"],
    );
    assert_eq!(taken.code, 0, "{}", taken.err);
    let job = taken.json()["jobs"][0]["job"].as_str().unwrap().to_owned();
    let set = |host: &TempDir| {
        let rows = served.run(host, &["list", "sets", "-o", "json"]).json();
        let found = rows.as_array().unwrap().iter().find(|r| r["id"] == *job);
        found.unwrap().clone()
    };
    let here = set(&taker);
    let evidence = &here["evidence"];
    assert_eq!(evidence["source"], "journal", "{here}");
    assert_eq!(evidence["summary"], "held");
    assert_eq!(evidence["mode"], "autonomous");
    let why = evidence["mode_reason"].as_str().unwrap();
    assert!(why.contains("role"), "{why}");
    assert_eq!(here["level"], "application");
    let links = evidence["links"].as_array().unwrap();
    let sentences = evidence["sentences"].as_array().unwrap();
    for (n, link) in links.iter().enumerate() {
        assert_eq!(link["holds"], true, "{link}");
        let sentence = sentences[n].as_str().unwrap();
        assert!(
            sentence.starts_with(&format!("{}. ", n + 1))
                && sentence.contains(link["name"].as_str().unwrap()),
            "{sentence}"
        );
    }
    assert!(links.len() >= 8, "{links:?}");
    let there = set(&other);
    assert_eq!(there["evidence"]["source"], "tags");
    assert_eq!(there["level"], "application", "by tag, and it says so");
    // A tag that says more than was seen moves nobody who has the journal.
    let root = here["set"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["level"] == "crash");
    assert!(root.is_some(), "{here}");
}

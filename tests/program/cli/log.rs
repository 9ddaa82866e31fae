//! What the log in the state directory says, and how a refused call can be found again at AWS.

use std::path::Path;

use super::{Served, run, state};
use serde_json::Value;

/// Every line of every log in a state directory.
fn lines(state: &Path) -> Vec<String> {
    let files = std::fs::read_dir(state).unwrap().map(|f| f.unwrap().path());
    let logs: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    let text = std::fs::read_to_string(&logs[0]).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn every_line_of_a_job_names_it_and_each_phase_has_one() {
    let state = state();
    let done = run(
        &state,
        &["--lab", "snapshot", "--tag", "Name=shop-db-1", "-o", "json"],
    );
    assert_eq!(done.code, 0, "{}", done.err);
    let job = &done.json()["jobs"][0];
    let id = job["job"].as_str().unwrap();
    let all = lines(state.path());
    let of_job: Vec<&String> = all.iter().filter(|line| line.contains(id)).collect();
    let run = format!("run{{run={}}}", done.json()["run"].as_str().unwrap());
    let phases = job["phases"].as_array().unwrap().iter();
    let phases = phases.map(|phase| phase["phase"].as_str().unwrap());
    for phase in phases.filter(|phase| *phase != "queued").chain(["done"]) {
        let word = format!("phase={phase}");
        let of_phase = of_job.iter().filter(|line| {
            line.contains(" INFO ") && line.split_whitespace().any(|said| said == word)
        });
        let of_phase: Vec<_> = of_phase.collect();
        assert_eq!(of_phase.len(), 1, "{phase}: {all:#?}");
        assert!(of_phase[0].contains(&run), "{of_phase:?}");
    }
    assert!(all.iter().any(|line| line.contains("verdict=application")));
}

#[test]
fn the_id_of_a_refused_request_is_told_and_logged() {
    let served = Served::start();
    let host = state();
    let args = ["list", "instances"];
    let told = served.run_as("AKIAEXPIRED", &host, &args);
    assert_eq!(told.code, 1, "{}", told.err);
    let line = told
        .err
        .lines()
        .find_map(|l| l.trim().strip_prefix("request: "));
    let id = line.unwrap_or_else(|| panic!("{}", told.err));
    assert!(lines(host.path()).iter().any(|line| line.contains(id)));
    let told = served.run_as("AKIAEXPIRED", &host, &[&args[..], &["-o", "json"]].concat());
    let error: Value = serde_json::from_str(&told.err).unwrap();
    let id = error["error"]["request_id"].as_str().unwrap();
    assert!(id.len() > 8, "{id}");
}

#[test]
fn the_log_takes_a_level_or_a_filter_and_nothing_else() {
    let state = state();
    let of = |filter: &str| {
        let args = [
            "--lab",
            "--log-level",
            filter,
            "list",
            "instances",
            "-o",
            "json",
        ];
        run(&state, &args)
    };
    for filter in ["debug", "warn,freezeframe=trace", "aws_sigv4=off"] {
        let told = of(filter);
        assert_eq!(told.code, 0, "{filter}: {}", told.err);
    }
    for filter in ["loud", "", "freezeframe=loud", "aws_sigv4"] {
        let told = of(filter);
        assert_eq!(told.code, 2, "{filter}: {}", told.err);
        assert!(told.err.contains("freezeframe=debug"), "{}", told.err);
    }
}

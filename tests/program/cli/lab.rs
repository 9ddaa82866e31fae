//! A lab says where its instances are: on start, and where somebody looks for them in another region.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::cli::{run, state};

#[test]
fn an_empty_region_of_a_lab_says_which_one_has_the_instances() {
    let state = state();
    for what in ["instances", "volumes", "snapshots"] {
        let there = run(
            &state,
            &["--lab", "--region", "us-east-1", "list", what, "-o", "json"],
        );
        assert_eq!(
            (there.code, there.json()),
            (3, serde_json::json!([])),
            "{}",
            there.err
        );
        assert!(
            there.err.contains("14 instances are in eu-central-1")
                && there.err.contains("--region eu-central-1"),
            "{what}: {}",
            there.err
        );
    }
    // Where they are, and of a filter that fits nothing, there is nothing to explain.
    let here = run(
        &state,
        &["--lab", "list", "instances", "--filter", "tag:Env=nowhere"],
    );
    assert_eq!(here.code, 3);
    assert!(!here.err.contains("eu-central-1"), "{}", here.err);
}

/// The world of a lab that is served is named behind `lab serve`; one that would go unheard is refused.
#[test]
fn a_lab_in_this_process_is_not_served() {
    let refused = run(
        &state(),
        &["--lab=world.toml", "lab", "serve", "--port", "0"],
    );
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("--world"), "{}", refused.err);
}

#[test]
fn a_served_lab_says_how_many_instances_its_home_region_holds() {
    let state = state();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_freezeframe"))
        .args(["lab", "serve", "--port", "0"])
        .env("FREEZEFRAME_STATE_DIR", state.path())
        .env("HOME", state.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: Vec<String> = lines.take(3).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let told = "eu-central-1 holds 14 instances; every other region is empty";
    assert!(said.iter().any(|line| line.contains(told)), "{said:?}");
}

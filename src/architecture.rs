//! The rules of ARCHITECTURE.md that the import graph bears out, read from the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of the program, lowest first: a room may name those before it.
const ROOMS: [&[&str]; 6] = [
    &["config"],
    &["recipe", "jobs"],
    &["aws"],
    &["ops"],
    &["tui"],
    &["cli"],
];
/// Folders of `ops`, lowest first.
const OPS: [&[&str]; 7] = [
    &[
        "log",
        "clock",
        "inventory",
        "metrics",
        "setup",
        "snapshot_progress",
    ],
    &["command"],
    &["set_calls", "confirmations"],
    &["admission"],
    &["recover"],
    &["job"],
    &["restore", "prune"],
];

/// Parts of `tui`, lowest first.
const TUI: [&[&str]; 8] = [
    &["action", "effect", "style", "terminal", "hangup"],
    &["keymap", "message"],
    &["model"],
    &["contract"],
    &["widget"],
    &["screen"],
    &["app", "executor"],
    &["event_loop"],
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            all.push(path);
        }
    }
    all
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The code of a file: without comments, and without the tests at its end.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The words that follow `path::` in that code, those in braces too.
fn named(code: &str, path: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut found = BTreeSet::new();
    for after in code.split(path).skip(1) {
        match after.strip_prefix('{') {
            Some(list) => {
                let list = list.split(';').next().unwrap_or_default();
                found.extend(list.split(',').map(word));
            }
            None => {
                found.insert(word(after));
            }
        }
    }
    found
}

/// What breaks the floors below `dir`, whose folders are named as `path::FOLDER`.
fn arrows_up(dir: &str, path: &str, floors: &[&[&str]]) -> Vec<String> {
    let floor = |room: &str| floors.iter().position(|floor| floor.contains(&room));
    let dir = root().join(dir);
    let mut wrong = Vec::new();
    for file in sources(&dir) {
        let inside = file.strip_prefix(&dir).unwrap();
        let first = inside.components().next().unwrap().as_os_str();
        let room = first.to_str().unwrap().trim_end_matches(".rs");
        let Some(own) = floor(room) else { continue };
        for other in named(&code(&file), path) {
            if other != room && floor(&other).is_some_and(|other| other >= own) {
                wrong.push(format!("{} names {path}{other}", inside.display()));
            }
        }
    }
    wrong
}

#[test]
fn no_arrow_between_rooms_runs_up() {
    assert_eq!(arrows_up("src", "crate::", &ROOMS), [""; 0]);
}

#[test]
fn no_arrow_between_the_folders_of_ops_runs_up() {
    assert_eq!(arrows_up("src/ops", "crate::ops::", &OPS), [""; 0]);
}

#[test]
fn no_arrow_between_the_parts_of_the_console_runs_up() {
    assert_eq!(arrows_up("src/tui", "crate::tui::", &TUI), [""; 0]);
}

#[test]
fn the_sdk_is_named_in_one_room_and_the_lab_is_started_in_one_file() {
    for file in sources(&root().join("src")) {
        let inside = file.strip_prefix(root()).unwrap().display().to_string();
        let code = code(&file);
        let may = inside.starts_with("src/aws") || inside == "src/architecture.rs";
        assert!(may || !code.contains("aws_sdk_"), "{inside}");
        let may = ["src/cli/lab.rs", "src/lib.rs"].contains(&inside.as_str());
        assert!(may || !code.contains("crate::lab::"), "{inside}");
    }
}

#[test]
fn the_rules_do_no_input_or_output_and_read_no_clock() {
    for file in sources(&root().join("crates/core/src")) {
        let code = code(&file);
        for word in [
            "std::fs",
            "std::net",
            "std::process",
            "std::env",
            "std::io",
            "tokio::",
            "::now()",
        ] {
            let inside = file.strip_prefix(root()).unwrap().display().to_string();
            let is_test = inside.contains("tests");
            assert!(is_test || !code.contains(word), "{inside}: {word}");
        }
    }
}

#[test]
fn the_lab_names_nothing_of_the_program() {
    for file in sources(&root().join("crates/lab/src")) {
        let text = fs::read_to_string(&file).unwrap();
        for word in ["freezeframe::", "freezeframe_core"] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}

#[test]
fn an_arrow_up_is_found() {
    let code = "use crate::{ops, config::Layers};\nfn f() { crate::tui::run() }";
    let found: Vec<String> = named(code, "crate::").into_iter().collect();
    assert_eq!(found, ["config", "ops", "tui"]);
}

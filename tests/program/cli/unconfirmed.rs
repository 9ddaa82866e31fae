//! `jobs thawed`: an unconfirmed thaw ends by the word of somebody who has looked.

use chrono::DateTime;
use freezeframe::domain::job::JobView;
use freezeframe::jobs::journal::Journal;
use serde_json::json;
use tempfile::TempDir;

use super::{run, state};

const JOB: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";

/// One that no journal has.
const OTHER: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f12";

/// A journal of the lab with one job of somebody else's document, over but for its thaw.
fn may_not_connect() -> TempDir {
    let state = state();
    let view: JobView = serde_json::from_value(json!({
        "job": JOB, "run": "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f11",
        "account": "123456789012", "region": "eu-central-1",
        "instance": "i-0123456789abcdef0", "instance_name": "db-1",
        "recipe": "linux-mysql", "document": "ops-dlm", "third_party": true,
        "mode": "coordinated", "budget_s": 30, "on_failure": "skip",
        "mounts": [], "namespace": "Organization/Backup",
        "phase": "done", "verdict": "failed", "thaw_unconfirmed": true,
        "phases": [{"phase": "queued", "started": "2026-11-21T12:00:00Z", "ended": null, "failed": false}],
        "frozen_since": null, "freeze_window_ms": null, "set": [],
        "evidence": {"links": [], "frozen_mounts": [], "pre_command": null, "post_command": null,
            "window_ms": null, "failsafe_fired": false},
        "error": {"kind": "agent", "what": "thaw i-0123456789abcdef0", "cause": "nobody could confirm it", "hint": "look"},
    }))
    .unwrap();
    let journal = Journal::open(&state.path().join("journal-lab.sqlite")).unwrap();
    journal
        .save_job(&view, "host:1:1", true, DateTime::UNIX_EPOCH)
        .unwrap();
    state
}

#[test]
fn an_unconfirmed_thaw_ends_by_the_word_of_whoever_looked_and_the_word_is_on_record() {
    let state = may_not_connect();
    let listed = run(&state, &["--lab", "list", "jobs"]);
    assert!(listed.out.contains("thaw-unconfirmed"), "{listed:?}");
    let thawed = ["--lab", "-o", "json", "jobs", "thawed", "--job", JOB];

    // Nothing is taken for a yes that is none.
    let asked = run(&state, &thawed);
    assert_eq!(asked.code, 2, "{asked:?}");
    let read_only = run(
        &state,
        &[&["--read-only"], &thawed[..], &["--yes"]].concat(),
    );
    assert_eq!(read_only.code, 1, "{read_only:?}");
    let both = [&thawed[..], &["--job", OTHER, "--yes"]].concat();
    assert!(run(&state, &both).err.contains("no such job"));
    let listed = run(&state, &["--lab", "list", "jobs"]);
    assert!(listed.out.contains("thaw-unconfirmed"), "{listed:?}");

    let answer = run(&state, &[&thawed[..], &["--yes"]].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
    let row = &answer.json()[0];
    assert_eq!(
        (&row["thaw_unconfirmed"], &row["verdict"]),
        (&json!(false), &json!("failed"))
    );
    let cause = row["error"]["cause"].as_str().unwrap();
    assert!(
        cause.contains("nobody could confirm it; arn:") && cause.contains("says that it is thawed"),
        "{cause}"
    );
    let listed = run(&state, &["--lab", "list", "jobs"]);
    assert!(!listed.out.contains("thaw-unconfirmed"), "{listed:?}");
    let again = run(&state, &[&thawed[..], &["--yes"]].concat());
    assert_eq!(again.code, 1, "{again:?}");
    assert!(
        again.err.contains("its thaw is not unconfirmed"),
        "{}",
        again.err
    );
    assert_eq!(run(&state, &["--lab", "jobs", "resume"]).code, 3);
}

#[test]
fn a_journal_that_can_be_read_is_not_moved_while_a_job_in_it_has_an_unconfirmed_thaw() {
    let state = may_not_connect();
    let aside = ["--lab", "jobs", "set-aside", "--yes"];
    let refused = run(&state, &aside);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused
            .err
            .contains("1 job in it is open, or its thaw unconfirmed"),
        "{}",
        refused.err
    );
    assert!(state.path().join("journal-lab.sqlite").exists());
    let thawed = ["--lab", "jobs", "thawed", "--job", JOB, "--yes"];
    assert_eq!(run(&state, &thawed).code, 0);
    // An unconfirmed thaw that is ended leaves the job open until it is settled.
    run(&state, &["--lab", "jobs", "resume"]);
    let moved = run(&state, &aside);
    assert_eq!(moved.code, 0, "{moved:?}");
    // It was sound, and whoever moved it is told, and how it comes back.
    assert!(
        moved.err.contains("it was sound") && moved.err.contains("of its 1 job stand"),
        "{}",
        moved.err
    );
    let back = moved.err.split("mv -i ").nth(1).unwrap();
    let aside_at = moved.out.trim().strip_prefix("moved to ").unwrap();
    assert!(back.starts_with(aside_at), "{back}");
    assert!(!state.path().join("journal-lab.sqlite").exists());
    let nothing = run(&state, &["--lab", "jobs", "abort", "--all"]);
    assert_eq!(nothing.code, 3, "{nothing:?}");
    assert!(nothing.err.contains("nothing to thaw"), "{}", nothing.err);
}

//! Property 21, the file itself: torn, truncated and full journals are opened or refused in words, and of
//! two starters one resumes a job.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier};

use chrono::{DateTime, TimeZone as _, Utc};
use freezeframe::domain::ids::Scope;
use freezeframe::domain::job::{JobView, Phase};
use freezeframe::domain::problem::Kind;
use freezeframe::jobs::journal::{Journal, set_aside};
use freezeframe::jobs::outcome::CallOutcome;
use tempfile::TempDir;

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 12, 0, 0).unwrap()
}

fn view(phase: &str) -> JobView {
    serde_json::from_value(serde_json::json!({
        "job": "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10",
        "run": "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f11",
        "account": "111122223333", "region": "eu-central-1",
        "instance": "i-0123456789abcdef0", "instance_name": "db-1",
        "recipe": "linux-mysql", "document": "freezeframe-linux-mysql",
        "mode": "coordinated", "budget_s": 30, "on_failure": "skip",
        "mounts": [], "namespace": "Organization/Backup",
        "phase": phase, "verdict": null, "thaw_unconfirmed": false,
        "phases": [{"phase": "queued", "started": "2026-11-21T12:00:00Z", "ended": null, "failed": false}],
        "frozen_since": null, "freeze_window_ms": null, "set": [],
        "evidence": {"links": [], "frozen_mounts": [], "pre_command": null, "post_command": null,
            "window_ms": null, "failsafe_fired": false},
        "error": null,
    }))
    .unwrap()
}

fn scope() -> Scope {
    view("queued").spec.scope
}

fn answered(words: &str) -> CallOutcome {
    CallOutcome::Answered(words.to_owned())
}

/// One write of a job's life, by number; `false` when there is no more.
fn write(journal: &Journal, n: usize) -> bool {
    const PHASES: [&str; 4] = ["queued", "quiescing", "snapshotting", "thawing"];
    let job = view("queued").spec.job;
    match n {
        0..4 => journal
            .save_job(&view(PHASES[n]), "host:1:1", true, noon())
            .unwrap(),
        4..10 => {
            let action = format!("Call{n}");
            let intent = journal
                .intend(&scope(), "arn", job.as_str(), &action, "detail", noon())
                .unwrap();
            journal.outcome(intent, &answered("done"), noon()).unwrap();
        }
        _ => return false,
    }
    true
}

/// What can be read of it: the phase, and the outcomes of its calls.
fn state(journal: &Journal) -> (Option<Phase>, Vec<Option<CallOutcome>>) {
    let open = journal.open_jobs(&scope()).unwrap();
    let job = view("queued").spec.job;
    let calls = journal.calls(job.as_str()).unwrap();
    (
        open.first().map(|(view, _)| view.phase),
        calls.into_iter().map(|call| call.outcome).collect(),
    )
}

/// The files as a power cut leaves them: the database, and its log up to some byte.
fn cut(from: &Path, to: &TempDir, wal: usize) -> std::path::PathBuf {
    let path = to.path().join("journal.sqlite");
    fs::copy(from, &path).unwrap();
    let log = fs::read(from.with_extension("sqlite-wal")).unwrap_or_default();
    let log = &log[..wal.min(log.len())];
    fs::write(path.with_extension("sqlite-wal"), log).unwrap();
    path
}

#[test]
fn p21_a_journal_cut_after_any_write_or_in_the_middle_of_one_opens_with_what_was_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    let journal = Journal::open(&path).unwrap();
    let log = |path: &Path| fs::metadata(path.with_extension("sqlite-wal")).map_or(0, |m| m.len());
    let mut before = (log(&path), state(&journal));
    for n in 0.. {
        if !write(&journal, n) {
            break;
        }
        let after = (log(&path), state(&journal));
        assert_ne!(before.1, after.1);
        let (from, to) = (
            usize::try_from(before.0).unwrap(),
            usize::try_from(after.0).unwrap(),
        );
        // Whole, cut by a byte, by a page, and at points between: never anything but one of the states.
        for wal in [to, to - 1, to - 4096, from + 1, from, (from + to) / 2] {
            let copy = tempfile::tempdir().unwrap();
            let opened = Journal::open(&cut(&path, &copy, wal)).unwrap();
            let found = state(&opened);
            if wal == to {
                assert_eq!(found, after.1, "write {n} is lost");
            } else if n < 4 {
                // One write, one transaction.
                assert_eq!(found, before.1, "write {n} cut at {wal}");
            } else {
                // An intent and an outcome: also the state between.
                let mut between = before.1.clone();
                between.1.push(None);
                assert!(
                    found == before.1 || found == between,
                    "write {n} cut at {wal}: {found:?}"
                );
            }
        }
        before = after;
    }
}

#[test]
fn p21_a_torn_journal_is_refused_in_words_and_kept_when_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    {
        let journal = Journal::open(&path).unwrap();
        for n in 0..10 {
            write(&journal, n);
        }
    }
    let whole = fs::read(&path).unwrap();
    assert!(
        !path.with_extension("sqlite-wal").exists(),
        "closed cleanly"
    );
    for (what, bytes) in [
        ("half", whole[..whole.len() / 2].to_vec()),
        ("a page short", whole[..whole.len() - 4096].to_vec()),
        ("a stump", whole[..50].to_vec()),
        ("something else", b"#!/bin/sh\n".repeat(500)),
    ] {
        fs::write(&path, &bytes).unwrap();
        let problem = Journal::open(&path).unwrap_err();
        assert_eq!(problem.kind, Kind::Local, "{what}");
        assert!(
            problem.what.contains("journal.sqlite") && problem.hint.contains("set-aside"),
            "{what}: {problem:?}"
        );
        assert_eq!(
            fs::read(&path).unwrap(),
            bytes,
            "{what}: it is left as it is"
        );
    }
    let torn = fs::read(&path).unwrap();
    let to = set_aside(&path, "mark").unwrap().unwrap();
    assert_eq!(fs::read(&to).unwrap(), torn);
    assert!(set_aside(&path, "mark").unwrap().is_none());
    let fresh = Journal::open(&path).unwrap();
    assert_eq!(state(&fresh), (None, Vec::new()));
    drop(fresh);
    // The name is taken: nothing is overwritten.
    assert!(set_aside(&path, "mark").is_err());
    assert_eq!(fs::read(&to).unwrap(), torn);
    // An empty file is what a full disk leaves of a first start.
    fs::write(&path, b"").unwrap();
    Journal::open(&path).unwrap();
}

#[test]
fn a_journal_of_another_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite");
    drop(Journal::open(&path).unwrap());
    for (version, advice) in [(3, "jobs resume"), (99, "newer freezeframe")] {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.pragma_update(None, "user_version", version).unwrap();
        drop(db);
        let problem = Journal::open(&path).unwrap_err();
        assert!(problem.cause.contains(&version.to_string()), "{problem:?}");
        assert!(problem.hint.contains(advice), "{problem:?}");
        let db = rusqlite::Connection::open(&path).unwrap();
        let kept: i64 = db
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!(kept, version);
    }
}

#[test]
fn p21_of_many_starters_exactly_one_resumes_a_job() {
    const STARTERS: usize = 8;
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let path = Arc::new(dir.path().join("journal.sqlite"));
        let gate = Arc::new(Barrier::new(STARTERS));
        let starters: Vec<_> = (0..STARTERS)
            .map(|n| {
                let (path, gate) = (Arc::clone(&path), Arc::clone(&gate));
                std::thread::spawn(move || {
                    gate.wait();
                    // They race for making the file, too.
                    let journal = Journal::open(&path).unwrap();
                    if gate.wait().is_leader() {
                        write(&journal, 0);
                    }
                    gate.wait();
                    let job = view("queued").spec.job;
                    let me = format!("host:{n}:2");
                    usize::from(journal.claim_job(&job, "host:1:1", &me).unwrap())
                })
            })
            .collect();
        let taken: usize = starters.into_iter().map(|s| s.join().unwrap()).sum();
        assert_eq!(taken, 1);
    }
}

#[test]
fn the_order_of_an_outcome_is_on_record_unless_something_was_sent_without_one() {
    let journal = Journal::in_memory().unwrap();
    let intend = |subject: &str| {
        journal
            .intend(&scope(), "arn", subject, "SendCommand", "d", noon())
            .unwrap()
    };
    let (first, _other) = (intend("job"), intend("elsewhere"));
    journal.outcome(first, &answered("1"), noon()).unwrap();
    let later = intend("job");
    let calls = journal.calls("job").unwrap();
    assert_eq!(calls[0].known, Some(calls[0].seq + 1));
    assert!(calls[1].seq > calls[0].known.unwrap());
    journal.mark_order_unknown("job");
    journal.outcome(later, &answered("2"), noon()).unwrap();
    assert_eq!(journal.calls("job").unwrap()[1].known, None);
}

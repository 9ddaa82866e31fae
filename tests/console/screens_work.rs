//! Jobs, Metrics, Retention and Restore: what they show, and that keys lead to exactly the effects that
//! were reviewed. The clock stands still at noon.

mod fixtures;
mod fuzz;
mod hands;
mod held;
mod jobs;
mod metrics;
mod restore;
mod retention;
use crate::support;

use fixtures::{prune_plan, restore_view, series, unconfirmed};
use freezeframe::domain::restore::StepState;
use freezeframe::tui::message::{Message, PruneProgress};
use freezeframe::tui::style::Depth;
use hands::{at_calls, at_target, every_kind, in_review, metrics, notice, of_db, with_jobs};
use support::{Hands, problem};

/// Every state of the four screens.
fn every_state() -> Vec<(&'static str, Hands)> {
    let mut job_open = with_jobs(every_kind());
    job_open.press("<Enter>");
    let mut charts = of_db();
    metrics(&mut charts, Ok(series()));
    let mut zoomed = of_db();
    metrics(&mut zoomed, Ok(series()));
    zoomed.press("<Enter>");
    let mut policy = Hands::loaded();
    policy.press("7");
    let mut planning = Hands::loaded();
    planning.press("7<Enter>");
    let mut confirm = in_review();
    confirm.press("R");
    let mut deleting = in_review();
    let progress = PruneProgress {
        total: 4,
        deleted: prune_plan().doomed()[..1].to_vec(),
        failed: vec![(prune_plan().doomed()[1].clone(), problem())],
        stopped: None,
        finished: true,
        speed: None,
    };
    deleting.message(Message::Prune(progress));
    let mut choose = Hands::loaded();
    choose.press("/db-primary<Enter>ar");
    let mut restoring = at_calls();
    restoring.message(Message::Restore(Box::new(restore_view(
        StepState::Mounting,
        "evil \u{9b}31m",
    ))));
    let mut cancel = with_jobs(every_kind());
    cancel.press("x");
    vec![
        ("jobs", with_jobs(every_kind())),
        ("unconfirmed", with_jobs(vec![unconfirmed(2, "db-2")])),
        ("job", job_open),
        ("cancel", cancel),
        ("loading", of_db()),
        ("charts", charts),
        ("zoomed", zoomed),
        ("policy", policy),
        ("planning", planning),
        ("review", in_review()),
        ("confirm", confirm),
        ("deleting", deleting),
        ("choose", choose),
        ("target", at_target()),
        ("calls", at_calls()),
        ("restoring", restoring),
    ]
}

#[test]
fn every_state_survives_every_size() {
    for (_, hands) in every_state() {
        for (w, h) in [
            (1, 1),
            (2, 2),
            (3, 9),
            (9, 3),
            (12, 6),
            (20, 5),
            (33, 11),
            (79, 23),
            (200, 60),
            (300, 2),
        ] {
            hands.buffer(w, h);
        }
    }
}

#[test]
fn p24_nothing_hostile_reaches_the_screen() {
    for (name, hands) in every_state() {
        for (w, h) in [(80, 24), (120, 40), (47, 13)] {
            let screen = hands.screen(w, h);
            let bad = screen
                .chars()
                .find(|c| *c != '\n' && freezeframe::domain::text::is_hostile(*c));
            assert_eq!(bad, None, "{name} at {w}x{h}:\n{screen}");
        }
    }
}

#[test]
fn shown_keys_work_in_every_state() {
    for (name, hands) in every_state() {
        for (keys, action) in hands.app.shown_keys(hands.now) {
            assert!(!keys.is_empty(), "{name}: {action}");
        }
    }
    // Each shown key, pressed in a fresh state of its own, changes something: picture, notice or effects.
    let still = [
        "up",
        "left",
        "top",
        "page-up",
        "down",
        "bottom",
        "page-down",
        "right",
        "refresh",
        "choose",
        // The screen that one is on already.
        "jobs",
        "metrics-screen",
        "retention",
    ];
    for (i, (name, hands)) in every_state().into_iter().enumerate() {
        for (keys, action) in hands.app.shown_keys(hands.now) {
            if still.contains(&action.to_string().as_str()) {
                continue;
            }
            for key in keys {
                let (_, mut fresh) = every_state().swap_remove(i);
                let before = (fresh.screen(120, 40), notice(&fresh));
                let effects = fresh.input(freezeframe::tui::app::Input::Key(key.event()));
                let after = (fresh.screen(120, 40), notice(&fresh));
                assert!(
                    before != after || !effects.is_empty(),
                    "{name}: {action} by {} does nothing",
                    key.label()
                );
            }
        }
    }
}

#[test]
fn without_colours_everything_can_be_read() {
    let mut hands = Hands::new(Depth::None);
    hands.load();
    for job in every_kind() {
        hands.message(Message::Job(Box::new(job)));
    }
    hands.press("4g");
    let buffer = hands.buffer(120, 40);
    assert!(
        buffer
            .content
            .iter()
            .all(|cell| cell.fg == ratatui::style::Color::Reset)
    );
    let screen = hands.screen(120, 40);
    for words in [
        "> ✘ web-1",
        "❄ db-primary",
        "FROZEN 412 ms",
        "✘ web-1",
        "▲ legacy",
        "○ off",
        "■ stopped-by-hand",
    ] {
        assert!(screen.contains(words), "{words}:\n{screen}");
    }
}

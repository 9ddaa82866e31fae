//! Jobs: lanes, one job in full, stopping.

use crate::fixtures::{ended, failed, frozen, proven, uncertain};
use crate::hands::{every_kind, shown, with_jobs};
use crate::support::{Hands, identity, problem};
use chrono::TimeDelta;
use freezeframe::domain::ids::RunId;
use freezeframe::domain::job::{JobView, Verdict};
use freezeframe::tui::effect::Effect;
use freezeframe::tui::message::{Message, Part};
use freezeframe::tui::style::Depth;

#[test]
fn jobs_lanes() {
    let mut hands = with_jobs(every_kind());
    shows!("jobs", hands);
    hands.press("/fail<Enter>");
    insta::assert_snapshot!("jobs_filtered_80x24", hands.screen(80, 24));
}

#[test]
fn jobs_loading_empty_and_failed() {
    let mut hands = Hands::new(Depth::Truecolor);
    hands.press("4");
    insta::assert_snapshot!("jobs_loading_80x24", hands.screen(80, 24));
    let mut empty = Hands::loaded();
    empty.press("4");
    insta::assert_snapshot!("jobs_empty_80x24", empty.screen(80, 24));
    let generation = hands.asked.iter().find_map(|e| match e {
        Effect::LoadJobs(generation) => Some(*generation),
        _ => None,
    });
    hands.message(Message::Jobs {
        generation: generation.unwrap(),
        result: Err(problem()),
    });
    insta::assert_snapshot!("jobs_failed_80x24", hands.screen(80, 24));
}

#[test]
fn a_frozen_lane_counts_while_time_goes_on() {
    let mut hands = with_jobs(vec![frozen(1, "db-primary", 412)]);
    assert!(hands.screen(80, 24).contains("FROZEN 412 ms"));
    assert!(hands.app.next_tick(hands.now).unwrap() <= std::time::Duration::from_millis(100));
    hands.now += TimeDelta::milliseconds(14_000);
    let later = hands.screen(80, 24);
    assert!(later.contains("FROZEN 14,412 ms ▮▮▯▯▯▯ of 30 s"), "{later}");
    hands.now += TimeDelta::milliseconds(30_000);
    assert!(hands.screen(80, 24).contains("past 30 s!"));
}

#[test]
fn uncertain_thaws_are_the_loudest() {
    let mut hands = with_jobs(vec![
        frozen(1, "db-primary", 412),
        uncertain(2, "db-2"),
        proven(3, "web-1"),
    ]);
    shows!("jobs_thaw_uncertain", hands);
    let buffer = hands.buffer(80, 24);
    let loud = (0..80)
        .filter(|x| {
            buffer[(*x, 4)]
                .modifier
                .contains(ratatui::style::Modifier::REVERSED)
        })
        .count();
    assert!(loud > 60, "the banner is reversed over the line: {loud}");
    hands.press("<Enter>");
    insta::assert_snapshot!("job_thaw_uncertain_80x24", hands.screen(80, 24));
}

#[test]
fn a_job_in_full_is_live() {
    let mut hands = with_jobs(vec![proven(6, "files")]);
    hands.press("<Enter>");
    shows!("job_proven", hands);
    hands.screen(80, 24);
    hands.press("G");
    insta::assert_snapshot!("job_proven_end_80x24", hands.screen(80, 24));
    assert_eq!(
        hands.press("y"),
        [Effect::Copy("0b3c8a52-6f0d-4a6e-9a51-000000000006".into())]
    );
    hands.press("<Esc>");
    assert!(shown(&hands).contains("Jobs (1)"));
    let mut live = with_jobs(vec![frozen(1, "db-primary", 412)]);
    live.press("d");
    insta::assert_snapshot!("job_frozen_80x24", live.screen(80, 24));
    live.message(Message::Job(Box::new(ended(
        1,
        "db-primary",
        Verdict::Crash,
    ))));
    insta::assert_snapshot!("job_crash_120x40", live.screen(120, 40));
}

#[test]
fn cancelling_asks_first_and_the_safe_button_has_the_focus() {
    let mut hands = with_jobs(every_kind());
    assert_eq!(hands.press("x"), []);
    insta::assert_snapshot!("job_cancel_80x24", hands.screen(80, 24));
    assert_eq!(hands.press("<Enter>"), [], "let it run");
    let JobView { spec, .. } = frozen(1, "", 0);
    assert_eq!(hands.press("x<Tab><Enter>"), [Effect::CancelJob(spec.job)]);
    assert_eq!(hands.press("X<Enter>"), []);
    assert_eq!(hands.press("X<Tab><Enter>"), [Effect::CancelAll]);
    let mut over = with_jobs(vec![proven(6, "files")]);
    assert_eq!(over.press("x<Tab><Enter>X<Tab><Enter>"), [], "nothing runs");
}

#[test]
fn thawing_is_not_refused_when_read_only() {
    let mut hands = with_jobs(vec![frozen(1, "db-primary", 412)]);
    let mut who = identity();
    who.read_only = true;
    hands.part(Part::Identity(Ok(who)));
    assert_eq!(hands.press("x<Tab><Enter>").len(), 1);
}

#[test]
fn the_cursor_stays_on_its_job_while_others_move() {
    let mut hands = with_jobs(vec![frozen(1, "db-primary", 412), proven(6, "files")]);
    hands.press("j");
    hands.message(Message::Job(Box::new(frozen(9, "new", 1))));
    assert_eq!(
        hands.press("y"),
        [Effect::Copy("0b3c8a52-6f0d-4a6e-9a51-000000000006".into())]
    );
}

#[test]
fn history_is_merged_with_what_happens_now() {
    let mut hands = Hands::loaded();
    let generation = hands.press("<C-r>").iter().find_map(|e| match e {
        Effect::LoadJobs(generation) => Some(*generation),
        _ => None,
    });
    let past = vec![proven(6, "files"), proven(7, "web-1")];
    hands.message(Message::Jobs {
        generation: generation.unwrap(),
        result: Ok(past),
    });
    hands.message(Message::Job(Box::new(failed(7, "web-1", 0.5))));
    hands.press("4");
    let screen = shown(&hands);
    assert!(screen.contains("Jobs (2)"), "merged by id: {screen}");
    assert!(screen.contains("1 failed"), "{screen}");
}

#[test]
fn the_cursor_goes_to_the_run_that_was_just_started() {
    let mut old = proven(6, "files");
    old.spec.run = RunId::from_api("7a3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f00");
    let mut loud = uncertain(7, "db-2");
    loud.spec.run = old.spec.run.clone();
    let mut hands = with_jobs(vec![old, loud]);
    let effects = hands.press("1/db-primary<Enter>as<Tab><Enter>");
    assert!(
        matches!(effects.as_slice(), [Effect::StartRun(_)]),
        "{effects:?}"
    );
    hands.message(Message::Job(Box::new(frozen(1, "db-primary", 412))));
    let screen = hands.screen(80, 24);
    assert!(screen.contains("> ❄ db-primary"), "{screen}");
    assert!(
        screen.contains("  ! db-2"),
        "the uncertain one stays above: {screen}"
    );
}

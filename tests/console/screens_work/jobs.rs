//! Jobs: lanes, one job in full, stopping.

use crate::screens_work::fixtures::{ended, failed, frozen, job, proven, unconfirmed};
use crate::screens_work::hands::{every_kind, notice, on_record, shown, with_jobs};
use crate::support::{Hands, identity, problem};
use chrono::TimeDelta;
use freezeframe::domain::ids::{JobId, RunId};
use freezeframe::domain::job::{JobView, Mode, Phase, Verdict};
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
    // The failsafe has acted by then; that nobody told the console is all that it knows.
    let narrow = hands.screen(80, 24);
    assert!(narrow.contains("past 30 s, no word"), "{narrow}");
    assert!(hands.screen(120, 40).contains("past 30 s, no word"));
    let wide = hands.screen(160, 40);
    assert!(
        wide.contains("its failsafe was due, and no word came since"),
        "{wide}"
    );
    hands.press("<Enter>");
    let page = hands.screen(80, 24);
    assert!(
        page.contains("The failsafe on the instance was due"),
        "{page}"
    );
}

/// Nothing of ours thaws what somebody else's document froze.
#[test]
fn a_frozen_lane_of_somebody_elses_document_promises_no_failsafe() {
    let mut theirs = frozen(1, "db-primary", 44_412);
    theirs.spec.third_party = true;
    let mut hands = with_jobs(vec![theirs]);
    let lane = hands.screen(120, 40);
    assert!(
        lane.contains("past 30 s!") && !lane.contains("was due"),
        "{lane}"
    );
    hands.press("<Enter>");
    let page = hands.screen(80, 24);
    assert!(page.contains("no failsafe of ours"), "{page}");
}

#[test]
fn unconfirmed_thaws_are_the_loudest() {
    let mut hands = with_jobs(vec![
        frozen(1, "db-primary", 412),
        unconfirmed(2, "db-2"),
        proven(3, "web-1"),
    ]);
    shows!("jobs_thaw_unconfirmed", hands);
    let buffer = hands.buffer(80, 24);
    let loud = (0..80)
        .filter(|x| {
            buffer[(*x, 5)]
                .modifier
                .contains(ratatui::style::Modifier::REVERSED)
        })
        .count();
    assert!(loud > 60, "the banner is reversed over the line: {loud}");
    hands.press("<Enter>");
    insta::assert_snapshot!("job_thaw_unconfirmed_80x24", hands.screen(80, 24));
}

/// Wherever the person is.
#[test]
fn what_may_be_frozen_for_ever_and_what_is_resumed_is_seen_from_every_screen() {
    let tabs = |hands: &Hands| shown(hands).lines().nth(1).unwrap().to_owned();
    let mut hands = with_jobs(vec![frozen(1, "db-primary", 412)]);
    hands.press("1");
    assert!(
        tabs(&hands).contains("❄ FROZEN db-primary 0s"),
        "{}",
        tabs(&hands)
    );
    hands.now += TimeDelta::milliseconds(30_000);
    assert!(tabs(&hands).contains("db-primary 30s"), "{}", tabs(&hands));
    let mut hands = with_jobs(vec![unconfirmed(2, "db-2")]);
    hands.press("1");
    assert!(
        tabs(&hands).contains("!!! THAW UNCONFIRMED db-2"),
        "{}",
        tabs(&hands)
    );
    let mut left = frozen(3, "db-3", 412);
    left.waiting = Some("thawing it first: post-script is sent to the instance".to_owned());
    hands.message(Message::Settling(Box::new(left)));
    assert!(
        shown(&hands).contains("left open, db-3: thawing it first"),
        "{}",
        shown(&hands)
    );
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

/// One key thaws and stops where something is held; where nothing is, a slip of the finger is asked about.
#[test]
fn abort_and_thaw_is_one_key_and_asks_only_where_nothing_is_held() {
    let mut hands = with_jobs(every_kind());
    let JobView { spec, .. } = frozen(1, "", 0);
    assert_eq!(
        hands.press("/db-primary<Enter>x"),
        [Effect::CancelJob(spec.job)]
    );
    assert!(notice(&hands).contains("thawing and stopping db-primary"));
    assert_eq!(hands.press("<Esc>/mail-1<Enter>x"), []);
    insta::assert_snapshot!("job_cancel_80x24", hands.screen(80, 24));
    assert_eq!(hands.press("<Enter>"), [], "let it run");
    assert_eq!(hands.press("x<Tab><Enter>").len(), 1);
    assert_eq!(hands.press("X<Enter>"), []);
    let copies: Vec<JobView> = every_kind()
        .into_iter()
        .filter(JobView::only_copies)
        .collect();
    assert_eq!(hands.press("X<Tab><Enter>"), stopped(&copies));
    let mut over = with_jobs(vec![proven(6, "files")]);
    assert_eq!(over.press("x<Tab><Enter>X<Tab><Enter>"), [], "nothing runs");
}

#[test]
fn an_unconfirmed_thaw_can_be_thawed_again() {
    let mut hands = with_jobs(vec![unconfirmed(2, "db-2"), proven(3, "web-1")]);
    let JobView { spec, .. } = unconfirmed(2, "");
    assert_eq!(hands.press("t"), [Effect::ThawAgain(spec.job)]);
    // What came of it is the job's own state.
    let mut calm = unconfirmed(2, "db-2");
    calm.thaw_unconfirmed = false;
    hands.message(Message::Job(Box::new(calm)));
    assert!(!shown(&hands).contains("THAW UNCONFIRMED"));
    assert_eq!(hands.press("gt"), []);
}

/// Five hundred lanes of one run in every state.
fn five_hundred() -> Vec<JobView> {
    (0..500_u16)
        .map(|n| {
            let name = format!("app-{n:03}");
            let mut job = match n {
                0..4 => frozen(1, &name, 300 * (i64::from(n) + 1)),
                4 => failed(1, &name, 0.2),
                5 => unconfirmed(1, &name),
                6..12 => job(1, &name, &[(Phase::Preflight, -1.5)], None),
                12..140 => ended(1, &name, Verdict::Filesystem),
                140..150 => ended(1, &name, Verdict::Crash),
                _ => {
                    let mut waits = job(1, &name, &[(Phase::Queued, -3.0)], None);
                    waits.phases.clear();
                    waits.waiting = Some(if n % 10 == 0 {
                        format!("waits for group db-{n}")
                    } else {
                        "waits for its turn, 10 at once".to_owned()
                    });
                    waits
                }
            };
            if n == 6 {
                job.phase = Phase::Quiescing;
                job.phases[0].phase = Phase::Quiescing;
                job.spec.mode = Mode::Autonomous;
            }
            job.spec.job = JobId::from_api(format!("0b3c8a52-6f0d-4a6e-9a51-{n:012x}"));
            job
        })
        .collect()
}

#[test]
fn five_hundred_lanes_stay_readable() {
    let mut hands = with_jobs(five_hundred());
    shows!("jobs_500", hands);
    let screen = hands.screen(120, 40);
    let line = |words: &str| screen.lines().position(|l| l.contains(words));
    // What needs somebody stands above what is frozen, that above what runs, that above what waits.
    let order = [
        "! app-005",
        "✘ app-004",
        "❄ app-000",
        "❄ app-006",
        "· app-150",
    ]
    .map(line);
    assert!(order.iter().all(Option::is_some), "{order:?}\n{screen}");
    assert!(order.is_sorted(), "{order:?}\n{screen}");
    hands.press("/db-300<Enter>");
    let one = hands.screen(80, 24);
    assert!(
        one.contains("app-300") && one.contains("waits for group db-300"),
        "{one}"
    );
    hands.press("<Esc>G");
    assert!(
        hands.screen(80, 24).contains("> ▲ app-149"),
        "{}",
        hands.screen(80, 24)
    );
    for (width, height) in [(1, 1), (2, 3), (20, 5), (300, 100)] {
        hands.screen(width, height);
    }
}

/// The job that one did not choose must not take the view along when it is over.
#[test]
fn what_needs_somebody_stays_in_view_until_somebody_moves() {
    let mut hands = Hands::loaded();
    hands.press("1/db-primary<Enter>as<Enter>");
    let jobs = five_hundred();
    for job in &jobs[..4] {
        hands.message(Message::Job(Box::new(job.clone())));
        hands.screen(80, 24);
    }
    for job in &jobs[4..] {
        hands.message(Message::Job(Box::new(job.clone())));
    }
    let mut over = ended(1, "app-000", Verdict::Filesystem);
    over.spec.job = jobs[0].spec.job.clone();
    hands.message(Message::Job(Box::new(over)));
    let screen = hands.screen(80, 24);
    assert!(
        screen.contains("! app-005") && screen.contains("❄ app-001"),
        "{screen}"
    );
    assert!(
        screen.contains("── app-000"),
        "the cursor's job is told below: {screen}"
    );
    hands.press("j");
    let moved = hands.screen(80, 24);
    assert!(
        moved.contains("> ! app-005") && moved.contains("── app-005"),
        "{moved}"
    );
    hands.press("j");
    assert!(hands.screen(80, 24).contains("> ✘ app-004"));
}

#[test]
fn thawing_is_not_refused_when_read_only() {
    let mut hands = with_jobs(vec![frozen(1, "db-primary", 412)]);
    let mut who = identity();
    who.read_only = true;
    hands.part(Part::Identity(Ok(who)));
    assert_eq!(hands.press("x").len(), 1);
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
    let mut loud = unconfirmed(7, "db-2");
    loud.spec.run = old.spec.run.clone();
    let mut hands = with_jobs(vec![old, loud]);
    let effects = hands.press("1/db-primary<Enter>as<Enter>");
    assert!(
        matches!(effects.as_slice(), [.., Effect::StartRun(_)]),
        "{effects:?}"
    );
    hands.message(Message::Job(Box::new(frozen(1, "db-primary", 412))));
    let screen = hands.screen(80, 24);
    assert!(screen.contains("> ❄ db-primary"), "{screen}");
    assert!(
        screen.contains("  ! db-2"),
        "the unconfirmed one stays above: {screen}"
    );
}

/// A job of this console as the journal had it before it froze.
fn before_the_freeze(n: u8, name: &str) -> JobView {
    job(
        n,
        name,
        &[(Phase::Queued, -2.9), (Phase::Preflight, -2.5)],
        None,
    )
}

#[test]
fn rows_of_the_journal_do_not_replace_what_own_jobs_have_said_since() {
    let mut waits = job(3, "waits-1", &[(Phase::Queued, -3.0)], None);
    waits.waiting = Some("waits for its turn".to_owned());
    let mut hands = with_jobs(vec![
        frozen(1, "db-primary", 412),
        proven(2, "web-1"),
        waits,
    ]);
    on_record(
        &mut hands,
        vec![
            before_the_freeze(1, "db-primary"),
            before_the_freeze(2, "web-1"),
            frozen(9, "theirs", 100),
        ],
    );
    let screen = shown(&hands);
    assert!(screen.contains("Jobs (4)"), "{screen}");
    for there in ["❄ db-primary", "✔ web-1", "· waits-1", "❄ theirs"] {
        assert!(screen.contains(there), "{there}: {screen}");
    }
    // What is over on record is over, whatever was heard last.
    on_record(&mut hands, vec![ended(1, "db-primary", Verdict::Crash)]);
    assert!(shown(&hands).contains("▲ db-primary"), "{}", shown(&hands));
}

/// What `X` does, once it is confirmed, while these are left to their copying.
fn stopped(copying: &[JobView]) -> [Effect; 1] {
    let spare = copying.iter().map(|job| job.spec.job.clone()).collect();
    [Effect::StopAll { spare }]
}

#[test]
fn stopping_all_spares_what_is_only_copied() {
    let mut copies = proven(2, "web-1");
    (copies.verdict, copies.phase) = (None, Phase::Completing);
    copies.phases.pop();
    let mut hands = with_jobs(vec![copies.clone()]);
    assert_eq!(hands.press("X"), [], "it holds nothing");
    assert!(!shown(&hands).contains("cancel all"), "{}", shown(&hands));
    hands.message(Message::Job(Box::new(frozen(1, "db-primary", 412))));
    hands.press("X");
    shows!("jobs_cancel_all_beside_copying", hands);
    assert_eq!(hands.press("<Tab><Enter>"), stopped(&[copies]));
}

#[test]
fn stopping_all_and_leaving_are_about_own_jobs_only() {
    let mut hands = with_jobs(Vec::new());
    on_record(&mut hands, vec![frozen(9, "theirs", 100)]);
    assert_eq!(hands.press("X"), []);
    let screen = shown(&hands);
    assert!(screen.contains("Jobs(1)"), "it is told: {screen}");
    assert!(!screen.contains("cancel all"), "not offered: {screen}");
    assert!(!screen.contains("every job"), "not asked: {screen}");
    assert_eq!(hands.press("<C-c>"), [Effect::Quit], "nor are we held here");
    hands.message(Message::Job(Box::new(frozen(1, "db-primary", 412))));
    hands.press("X");
    shows!("jobs_cancel_all_beside_others", hands);
    assert_eq!(hands.press("<Tab><Enter>"), stopped(&[]));
    hands.press("<C-c>");
    shows!("leaving_beside_others", hands);
    let mut over = frozen(1, "db-primary", 412);
    over.phase = Phase::Done;
    over.verdict = Some(Verdict::Cancelled);
    hands.message(Message::Job(Box::new(over)));
    hands.load_fleet();
    insta::assert_snapshot!("leaving_ended_beside_others_80x24", hands.screen(80, 24));
    assert_eq!(hands.press("<Tab><Enter>"), [Effect::Quit]);
}

/// It is another process's, and may be meant to run.
#[test]
fn a_job_of_another_process_is_never_stopped_without_a_question() {
    let mut hands = with_jobs(Vec::new());
    on_record(&mut hands, vec![frozen(9, "theirs", 100)]);
    assert_eq!(hands.press("x"), []);
    shows!("job_cancel_of_another", hands);
    assert_eq!(hands.press("<Enter>"), [], "let it run");
    hands.press("<Enter>");
    assert!(shown(&hands).contains("Another process drives it"));
    hands.press("<Esc>");
    let JobView { spec, .. } = frozen(9, "", 0);
    assert_eq!(hands.press("x<Tab><Enter>"), [Effect::CancelJob(spec.job)]);
    assert!(notice(&hands).contains("thawing theirs"));
    // AWS finishes the copy: there is nothing to stop.
    let copying = every_kind().swap_remove(2);
    on_record(&mut hands, vec![copying]);
    assert!(!shown(&hands).contains(" x cancel"), "{}", shown(&hands));
    assert_eq!(hands.press("x<Tab><Enter>"), []);
}

/// Two practice labs share a journal and nothing else: what another holds is in no way here, and out of reach.
#[test]
fn a_job_in_the_lab_of_another_process_is_neither_stopped_nor_in_the_way() {
    for (own_world, keys) in [(true, "x<Tab><Enter>"), (false, "X")] {
        let mut hands = with_jobs(Vec::new());
        let mut who = identity();
        who.own_world = own_world;
        let theirs = frozen(9, "theirs", 100);
        let instance = theirs.spec.instance.clone();
        on_record(&mut hands, vec![theirs]);
        hands.part(Part::Identity(Ok(who)));
        assert_eq!(shown(&hands).contains(" x cancel"), !own_world);
        assert_eq!(hands.press(keys), []);
        hands.press("<C-c>");
        let model = hands.app.model();
        assert_eq!(model.goes_on_elsewhere().is_some(), !own_world);
        let job = model.running().next().unwrap();
        assert_eq!(job.spec.instance, instance);
        assert_eq!(model.is_out_of_reach(job), own_world);
    }
}

#[test]
fn jobs_of_others_come_and_go_by_themselves_and_move_nothing() {
    let mut hands = with_jobs(vec![
        frozen(1, "db-primary", 412),
        proven(6, "files"),
        proven(7, "web-1"),
    ]);
    hands.press("G");
    let JobView { spec, .. } = proven(7, "");
    let chosen = [Effect::Copy(spec.job.to_string())];
    assert_eq!(hands.press("y"), chosen);
    let theirs = vec![frozen(8, "cron-1", 50), frozen(9, "cron-2", 100)];
    assert_eq!(hands.message(Message::Others(theirs)), []);
    let screen = shown(&hands);
    assert!(screen.contains("Jobs (5)"), "{screen}");
    assert!(screen.contains("❄ cron-1") && screen.contains("❄ cron-2"));
    assert_eq!(hands.press("y"), chosen, "the cursor stays on its job");
    // What the journal has of ours is older than what it said itself.
    let mut old = frozen(1, "db-primary", 412);
    old.phase = Phase::Preflight;
    old.frozen_since = None;
    hands.message(Message::Others(vec![old]));
    assert!(shown(&hands).contains("❄ db-primary"));
    // The fleet is read when ours have ended, and again when the last of theirs has.
    let over = |n, name| ended(n, name, Verdict::Filesystem);
    let reads = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::LoadFleet(_)));
    let ours = Message::Job(Box::new(over(1, "db-primary")));
    assert!(reads(&hands.message(ours)));
    let first = Message::Others(vec![over(8, "cron-1")]);
    assert!(!reads(&hands.message(first)));
    let last = Message::Others(vec![over(9, "cron-2")]);
    assert!(reads(&hands.message(last)));
    let again = Message::Others(vec![over(9, "cron-2")]);
    assert!(!reads(&hands.message(again)), "it is over already");
    // What is over stays over, whoever is late.
    let late = Message::Others(vec![frozen(9, "cron-2", 100)]);
    hands.message(late);
    assert!(!shown(&hands).contains("❄"), "{}", shown(&hands));
}

/// What the dry run noted is on the job's page from preflight on, before anything is judged.
#[test]
fn what_the_dry_run_noted_is_on_the_jobs_page() {
    let mut notes = frozen(1, "db-primary", 412);
    notes.preflight_notes = vec![
        "12 GB are in memory only (Dirty and Writeback in /proc/meminfo) and are written before the freeze: about 96 s at \
         125 MB/s, which is what one gp3 volume does as it comes"
            .to_owned(),
        "a node of a Galera cluster, desynchronised already".to_owned(),
    ];
    let mut hands = with_jobs(vec![notes]);
    hands.press("<Enter>");
    shows!("job_with_notes", hands);
    let screen = hands.screen(120, 40);
    assert!(screen.contains("12 GB are in memory only"), "{screen}");
}

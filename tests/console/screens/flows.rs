//! Keys in, effects out.

use std::time::Duration;

use chrono::TimeDelta;
use freezeframe::domain::ids::{InstanceId, RunId};
use freezeframe::domain::job::{OnFailure, Phase};
use freezeframe::domain::mode::AskedMode;
use freezeframe::domain::set_plan::SetOptions;
use freezeframe::tui::action::Action;
use freezeframe::tui::app::{Input, Notice};
use freezeframe::tui::contract::ScreenId;
use freezeframe::tui::effect::{Effect, RunRequest};
use freezeframe::tui::message::{Message, Part};
use freezeframe::tui::style::Depth;
use ratatui::style::Color;
use strum::IntoEnumIterator;

use super::support::{DB, Hands, RUN, WEB, identity, instances, job, problem, snapshots, volumes};

pub fn said(hands: &Hands) -> String {
    match hands.app.notice() {
        Some(Notice::Info(words)) => words.clone(),
        Some(Notice::Problem(problem)) => format!("{problem} {}", problem.hint),
        None => String::new(),
    }
}

/// The data volume of `db-primary`.
const DATA: &str = "vol-0a000000000000002";

#[test]
fn marked_instances_become_a_run_that_was_reviewed() {
    let mut hands = Hands::loaded();
    // Sorted by name: the long one, batch, db-primary, erp, evil, web-1, the wide one.
    hands.press("/db-primary<Enter> <Esc>/web<Enter> <Esc>a");
    assert!(hands.screen(80, 24).contains("snapshot 2 marked instances"));
    hands.press("s");
    // Enter on a choice changes and starts nothing, and Cancel is the button before.
    let mut cancelled = Hands::loaded();
    cancelled.press("as<Tab>");
    let before = cancelled.screen(80, 24);
    assert_eq!(cancelled.press("<Enter><Enter>"), []);
    assert!(
        before.contains("‹ by tag ›") && cancelled.screen(80, 24).contains("‹ by tag ›"),
        "{before}"
    );
    let effects = cancelled.press("<Esc>as<Left><Enter>");
    assert!(
        effects
            .iter()
            .all(|effect| matches!(effect, Effect::AskConnections(_))),
        "{effects:?}"
    );
    assert!(!cancelled.screen(80, 24).contains("Consistent snapshots"));
    assert_eq!(cancelled.app.current(), ScreenId::Fleet);
    // Past the mode to the budget, the choice, then on to Start.
    hands.press("<Tab><Tab><Tab><Tab><BS><BS>45<Tab> <Tab><Tab><Tab><Tab><Tab>");
    let effects = hands.press("<Enter>");
    let request = RunRequest {
        run: RunId::from_api(RUN),
        instances: vec![InstanceId::from_api(DB), InstanceId::from_api(WEB)],
        recipe: None,
        mode: AskedMode::Auto,
        freeze_root: false,
        budget_s: Some(45),
        on_failure: OnFailure::CrashConsistent,
        set: SetOptions::default(),
    };
    assert_eq!(effects, [Effect::StartRun(request)]);
    assert_eq!(hands.app.current(), ScreenId::Jobs);
    // The marks have done their work.
    hands.press("1");
    assert!(!hands.screen(80, 24).contains("marked"));
}

#[test]
fn a_range_that_is_being_marked_counts() {
    let mut hands = Hands::loaded();
    hands.press("gvjj");
    assert!(hands.screen(80, 24).contains("3 marked · marking a range"));
    hands.press("a");
    assert!(hands.screen(80, 24).contains("snapshot 3 marked instances"));
    hands.press("s");
    assert!(hands.screen(80, 24).contains("of 3 will run"));
    let mut some = Hands::loaded();
    some.press("G gvj");
    some.press("a");
    assert!(
        some.screen(80, 24).contains("snapshot 3 marked instances"),
        "with what was marked before"
    );
    some.press("u");
    assert!(!some.screen(80, 24).contains("marking a range"));
}

#[test]
fn every_line_of_the_review_can_be_read() {
    let mut hands = Hands::loaded();
    hands.press("gvGas");
    let first = hands.screen(80, 24);
    let place = |screen: &str, words: &str| screen.find(words);
    assert!(
        place(&first, "✓ db-primary") < place(&first, "✗ "),
        "{first}"
    );
    assert!(
        first.contains("PgDn PgUp") && !first.contains("✗ 数"),
        "{first}"
    );
    hands.press("<C-f>");
    hands.screen(80, 24);
    hands.press("<C-f><C-f><C-f><C-f><C-f><C-f>");
    let last = hands.screen(80, 24);
    assert!(
        last.contains("✗ 数") && !last.contains("✓ db-primary"),
        "{last}"
    );
    hands.press("<C-b><C-b><C-b><C-b><C-b><C-b><C-b>");
    assert_eq!(hands.screen(80, 24), first);
}

#[test]
fn help_is_there_in_a_dialog_and_in_its_number() {
    let mut hands = Hands::loaded();
    hands.press("/db-primary<Enter>as?");
    let help = hands.screen(80, 24);
    assert!(
        help.contains("Help: Consistent snapshots") && help.contains("coordinated"),
        "{help}"
    );
    hands.press("<Esc><Tab><Tab><Tab><Tab>?");
    assert!(hands.screen(80, 24).contains("Help: Consistent snapshots"));
    hands.press("<Esc>x");
    let screen = hands.screen(80, 24);
    assert!(
        screen.contains("digits only") && !screen.contains("30x"),
        "{screen}"
    );
    hands.press("<F1>");
    assert!(hands.screen(80, 24).contains("Help: Consistent snapshots"));
}

/// The first line of the help says what it is for.
#[test]
fn help_begins_with_what_the_screen_is_for() {
    for (keys, purpose) in [
        ("1", "Your instances"),
        ("2", "Every volume"),
        ("3", "Every snapshot"),
        ("3<Enter>", "What may be claimed"),
        ("4", "Watch jobs"),
        ("5", "Choose the instance"),
        ("7", "Say how many sets to keep"),
        ("/db-primary<Enter>d", "Everything that is known"),
        ("/db-primary<Enter>as", "The review before a run"),
        ("/db-primary<Enter>ar", "Step 1 of 4"),
    ] {
        let mut hands = Hands::loaded();
        hands.press(keys);
        hands.press("<F1>");
        let screen = hands.screen(80, 24);
        let mut lines = screen.lines().skip_while(|line| !line.contains("Help: "));
        let first = lines.nth(1).unwrap_or_default();
        assert!(
            first.starts_with(&format!("│ {purpose}")),
            "{keys}: {screen}"
        );
    }
}

/// What `--exclude-root`, `--exclude-volume` and `--set-tag` say on the command line.
#[test]
fn what_is_left_out_and_own_tags_are_chosen_in_the_review() {
    let opened = || {
        let mut hands = Hands::loaded();
        hands.press("/db-primary<Enter>as");
        // From Start backwards: Cancel, own tags, leave out, root volumes.
        hands.press("<BackTab><BackTab>");
        hands
    };
    let started = |hands: &mut Hands| match hands.press("<Enter>").as_slice() {
        [Effect::StartRun(request)] => request.set.clone(),
        other => panic!("{other:?}: {}", hands.screen(80, 24)),
    };
    let mut plain = opened();
    plain.press("<Tab><Tab>");
    assert_eq!(started(&mut plain), SetOptions::default());
    let mut hands = opened();
    hands.press("CostCenter=4711, Owner=db team<BackTab>");
    hands.press(DATA);
    hands.press("<Tab><Tab><Tab>");
    let screen = hands.screen(120, 40);
    let left_out = format!("not in the set: {DATA} (/dev/sdf");
    for words in [
        "Every snapshot gets CostCenter=4711, Owner=db team",
        &left_out,
    ] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    let own = [("CostCenter", "4711"), ("Owner", "db team")];
    assert_eq!(
        started(&mut hands),
        SetOptions {
            exclude_root: false,
            exclude: vec![DATA.parse().unwrap()],
            tags: own.into_iter().collect(),
            keep_tags: Vec::new(),
        }
    );
    let mut hands = opened();
    hands.press("<BackTab><BackTab> <Tab><Tab><Tab><Tab>");
    assert!(hands.screen(120, 40).contains("by --exclude-root"));
    assert!(started(&mut hands).exclude_root);
    // A set of nothing is no set.
    let mut hands = opened();
    hands.press("<BackTab>");
    hands.press(DATA);
    hands.press("<BackTab> <Tab><Tab><Tab><Tab>");
    let screen = hands.screen(120, 40);
    assert!(
        screen.contains("refused: every volume is left out"),
        "{screen}"
    );
    assert!(hands.press("<Enter>").is_empty());
    // What cannot be is told when the field is left, and Start leads back to it.
    for (typed, field, why) in [
        ("aws:x=1", "<Tab><Tab>", "AWS's own"),
        ("CostCenter", "<Tab><Tab>", "KEY=VALUE"),
    ] {
        let mut hands = opened();
        hands.press(typed);
        assert!(
            !hands.screen(120, 40).contains(why),
            "{typed}: it is still typed"
        );
        hands.press(field);
        assert!(
            hands.screen(120, 40).contains(why),
            "{typed}: {}",
            hands.screen(120, 40)
        );
        assert!(hands.press("<Enter>").is_empty(), "{typed}");
        hands.press("!");
        assert!(
            hands.screen(120, 40).contains(&format!("{typed}!")),
            "{typed}: no focus"
        );
    }
    let mut hands = opened();
    hands.press("<BackTab>");
    hands.press("vol-0123abcd");
    hands.press("<Tab>");
    assert!(
        hands.screen(120, 40).contains("attached to none"),
        "{}",
        hands.screen(120, 40)
    );
    // / cannot be frozen and its volume left out.
    let mut hands = opened();
    hands.press("<BackTab><BackTab> <BackTab><BackTab><BackTab>");
    assert!(hands.screen(120, 40).contains("root volumes are left out"));
}

#[test]
fn recipe_mode_and_root_are_chosen_in_the_review() {
    let asked = |keys: &str| {
        let mut hands = Hands::loaded();
        hands.press("/db-primary<Enter>as");
        let effects = hands.press(&format!("<Tab>{keys}<BackTab><Enter>"));
        match effects.as_slice() {
            [Effect::StartRun(request)] => (
                request.recipe.clone(),
                request.mode,
                request.freeze_root,
                request.budget_s,
            ),
            other => panic!("{other:?}"),
        }
    };
    // Start is behind the first field, and has the focus at first.
    assert_eq!(asked(""), (None, AskedMode::Auto, false, Some(30)));
    assert_eq!(
        asked("<Right>").0.as_deref(),
        Some("linux-filesystem"),
        "the first recipe after the tag"
    );
    assert_eq!(
        asked("<Tab><Right><Right><BackTab>").1,
        AskedMode::Autonomous,
        "mode stands after recipe"
    );
    assert!(asked("<Tab><Right><Right><Tab><Right><BackTab><BackTab>").2);
    assert!(asked("<Tab><Tab><Right><BackTab><BackTab>").2, "auto too");
    // Root that was chosen before the mode went back to coordinated is not frozen.
    let back = asked("<Tab><Tab><Right><BackTab><Right><BackTab>");
    assert_eq!(back, (None, AskedMode::Coordinated, false, Some(30)));
}

#[test]
fn own_recipes_are_offered_and_cannot_take_snapshots_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(
        &file,
        "[recipes.my-app]\ndocument = \"MyApp\"\nbudget_seconds = 45\n",
    )
    .unwrap();
    let config = freezeframe::config::load(Some(&file), &Default::default()).unwrap();
    let recipes = freezeframe::recipe::chosen::Catalogue::new(&config).unwrap();
    let mut hands = Hands::loaded();
    hands.app = std::mem::replace(&mut hands.app, Hands::new(Depth::None).app).configured(
        recipes,
        AskedMode::Coordinated,
        OnFailure::Skip,
    );
    hands.press("/db-primary<Enter>as<Tab>");
    hands.press(&"<Right>".repeat(20));
    let screen = hands.screen(80, 24);
    assert!(
        screen.contains("✓ db-primary (i-0d000000000000001)  my-app"),
        "{screen}"
    );
    assert!(screen.contains("as each recipe says"), "{screen}");
    hands.press("<Tab><Right>");
    let screen = hands.screen(80, 24);
    assert!(screen.contains("my-app cannot take snapshots"), "{screen}");
}

#[test]
fn a_run_that_would_be_refused_as_a_whole_is_not_started() {
    let mut hands = Hands::loaded();
    hands.press("/batch<Enter>as");
    assert_eq!(hands.press("<Enter>"), []);
    assert!(said(&hands).contains("refused"), "{}", said(&hands));
    let screen = hands.screen(80, 24);
    assert!(
        screen.contains("refused: it is stopped; start it"),
        "{screen}"
    );
}

#[test]
fn a_bad_budget_starts_nothing() {
    for bad in ["0", "1000", "0x0"] {
        let mut hands = Hands::loaded();
        hands.press("/db-primary<Enter>as<Tab><Tab><Tab><Tab><BS><BS>");
        hands.press(bad);
        hands.press("<Tab><Tab><Tab><Tab><Tab><Tab>");
        assert_eq!(hands.press("<Enter>"), [], "{bad:?}");
        assert!(said(&hands).contains("1 to 999"), "{bad:?}");
    }
}

#[test]
fn read_only_refuses_and_says_why() {
    let mut hands = Hands::loaded();
    let mut who = identity();
    who.read_only = true;
    hands.part(Part::Identity(Ok(who)));
    hands.press("/db-primary<Enter>a");
    assert!(hands.screen(80, 24).contains("read-only"));
    assert_eq!(hands.press("s"), []);
    assert!(said(&hands).contains("read-only"), "{}", said(&hands));
}

#[test]
fn nothing_is_written_before_the_account_is_proven() {
    let mut hands = Hands::new(Depth::Truecolor);
    let generation = hands.generation();
    let part = Part::Identity(Err(problem()));
    hands.message(Message::Fleet { generation, part });
    assert!(hands.app.model().writes_refused().is_some());
}

#[test]
fn rows_of_another_scope_are_not_mixed_in() {
    let mut hands = Hands::loaded();
    let mut rows = instances();
    rows[1].scope.account = freezeframe::domain::ids::AccountId::from_api("999999999999");
    hands.part(Part::Instances(Ok(rows)));
    let screen = hands.screen(120, 40);
    assert!(screen.contains("999999999999/eu-central-1"), "{screen}");
    assert_eq!(
        hands.app.model().instances().len(),
        instances().len(),
        "the old rows stay"
    );
    let mut other = identity();
    other.scope.region = freezeframe::domain::ids::Region::from_api("us-east-1");
    hands.part(Part::Identity(Ok(other)));
    assert!(
        hands.app.model().instances().is_empty(),
        "rows of the region before are gone"
    );
    assert!(hands.app.model().snapshots().is_empty());
}

#[test]
fn stale_answers_fall() {
    let mut hands = Hands::loaded();
    let old = hands.generation();
    let before = hands.screen(80, 24);
    hands.press("<C-r>");
    assert!(hands.generation() > old);
    hands.message(Message::Fleet {
        generation: old,
        part: Part::Instances(Ok(Vec::new())),
    });
    assert_eq!(hands.app.model().instances().len(), instances().len());
    assert!(
        hands.app.model().instances.loading,
        "the newer question is still out"
    );
    hands.load();
    assert_eq!(hands.screen(80, 24), before);
}

#[test]
fn cursor_and_marks_survive_reading_again() {
    let mut hands = Hands::loaded();
    hands.press("/web<Enter> <Esc>gj<C-r>");
    let before = hands.screen(80, 24).replace(" · loading…", "");
    hands.load();
    let mut rows = instances();
    rows.reverse();
    hands.part(Part::Instances(Ok(rows)));
    let after = hands.screen(80, 24);
    let row = |screen: &str| {
        screen
            .lines()
            .find(|l| l.contains("│> "))
            .map(str::to_owned)
    };
    assert_eq!(row(&before), row(&after));
    assert!(after.contains("1 marked"));
}

#[test]
fn enter_goes_down_from_instance_to_snapshot_and_back_again() {
    let mut hands = Hands::loaded();
    hands.press("/db-primary<Enter><Enter>");
    assert_eq!(hands.app.current(), ScreenId::Volumes);
    assert!(hands.screen(80, 24).contains("Volumes of db-primary 1/2"));
    hands.press("j<Enter>");
    assert_eq!(hands.app.current(), ScreenId::Snapshots);
    assert!(
        hands
            .screen(80, 24)
            .contains("Snapshots of vol-0a000000000000002 1/2")
    );
    hands.press("<Enter>");
    assert!(hands.screen(80, 24).contains("Set of db-primary: evidence"));
    hands.press("q");
    hands.press("q");
    assert_eq!(hands.app.current(), ScreenId::Volumes);
    assert!(
        hands.screen(80, 24).contains("Volumes of db-primary 2/2"),
        "as it was left"
    );
    hands.press("q");
    assert_eq!(hands.app.current(), ScreenId::Fleet);
    assert_eq!(hands.press("q"), [], "q never leaves the program");
    assert!(said(&hands).contains(":q"));
}

#[test]
fn ids_and_arns_are_copied() {
    let mut hands = Hands::loaded();
    hands.press("/db-primary<Enter>");
    assert_eq!(hands.press("y"), [Effect::Copy(DB.into())]);
    let arn = format!("arn:aws:ec2:eu-central-1:123456789012:instance/{DB}");
    assert_eq!(hands.press("Y"), [Effect::Copy(arn)]);
    let arn = "arn:aws:ec2:eu-central-1::snapshot/snap-0b000000000000006".to_owned();
    assert_eq!(hands.press("3GY"), [Effect::Copy(arn)]);
    assert_eq!(
        hands.press("dy"),
        [Effect::Copy("snap-0b000000000000006".into())]
    );
}

#[test]
fn ctrl_c_leaves_at_once_when_nothing_runs() {
    let mut hands = Hands::loaded();
    assert_eq!(hands.press("<C-c>"), [Effect::Quit]);
    assert_eq!(Hands::loaded().press(":q<Enter>"), [Effect::Quit]);
    assert_eq!(
        Hands::loaded().press("/x<C-c>"),
        [Effect::Quit],
        "also while typing"
    );
}

#[test]
fn ctrl_c_asks_while_a_job_runs_and_twice_cancels() {
    let busy = || {
        let mut hands = Hands::loaded();
        hands.message(Message::Job(Box::new(job(Phase::Frozen))));
        hands
    };
    let mut hands = busy();
    assert_eq!(hands.press("<C-c>"), []);
    assert_eq!(hands.press("<Enter>"), [], "the safe button stays");
    assert_eq!(
        hands.press("<C-c><C-c>"),
        [Effect::StopAll { spare: vec![] }, Effect::Quit]
    );

    let mut slow = busy();
    slow.press("<C-c>");
    slow.now += TimeDelta::seconds(3);
    assert_eq!(slow.press("<C-c>"), [], "too late for twice");
    slow.now += TimeDelta::seconds(1);
    assert_eq!(
        slow.press("<C-c>"),
        [Effect::StopAll { spare: vec![] }, Effect::Quit]
    );

    assert_eq!(busy().press(":q<Enter><Right><Enter>"), [Effect::Detach]);
    assert_eq!(
        busy().press("<C-c><Tab><Tab><Enter>"),
        [Effect::StopAll { spare: vec![] }, Effect::Quit]
    );
    assert_eq!(busy().press("<C-c><Esc>qqq"), []);
}

#[test]
fn the_question_whether_to_leave_goes_with_the_jobs() {
    let mut hands = Hands::loaded();
    hands.message(Message::Job(Box::new(job(Phase::Frozen))));
    hands.press("<C-c>");
    assert!(hands.screen(80, 24).contains("1 job runs, 1 frozen now."));
    hands.message(Message::Job(Box::new(job(Phase::Completing))));
    let screen = hands.screen(80, 24);
    assert!(
        screen.contains("1 job runs, only AWS's copying is left.")
            && !screen.contains("frozen now"),
        "{screen}"
    );
    hands.press("<Tab><Tab>");
    hands.message(Message::Job(Box::new(job(Phase::Done))));
    let screen = hands.screen(80, 24);
    assert!(
        screen.contains("Everything has ended") && !screen.contains("Thaw, stop"),
        "{screen}"
    );
    // What had the focus is gone; the safe button has it.
    assert_eq!(hands.press("<Enter>"), []);
    hands.message(Message::Job(Box::new(job(Phase::Frozen))));
    hands.press("<C-c>");
    hands.message(Message::Job(Box::new(job(Phase::Done))));
    assert_eq!(hands.press("<Right><Enter>"), [Effect::Quit]);
}

#[test]
fn ctrl_r_reads_the_credentials_again_before_the_fleet() {
    let mut hands = Hands::loaded();
    let effects = hands.press("<C-r>");
    assert!(
        matches!(
            effects.as_slice(),
            [Effect::RenewCredentials, Effect::LoadFleet(_), ..]
        ),
        "{effects:?}"
    );
}

#[test]
fn the_end_of_the_last_job_reads_the_fleet_again() {
    let mut hands = Hands::loaded();
    assert_eq!(
        hands.message(Message::Job(Box::new(job(Phase::Frozen)))),
        []
    );
    let effects = hands.message(Message::Job(Box::new(job(Phase::Done))));
    assert!(
        effects.iter().any(|e| matches!(e, Effect::LoadFleet(_))),
        "{effects:?}"
    );
    assert_eq!(
        hands.message(Message::Job(Box::new(job(Phase::Done)))),
        [],
        "once"
    );
}

#[test]
fn the_prompt_goes_by_name() {
    for (typed, screen) in [
        ("volumes", ScreenId::Volumes),
        ("vo", ScreenId::Volumes),
        ("snap<Tab>", ScreenId::Snapshots),
        ("jobs", ScreenId::Jobs),
        ("metrics", ScreenId::Metrics),
        ("retention", ScreenId::Retention),
    ] {
        let mut hands = Hands::loaded();
        hands.press(&format!(":{typed}<Enter>"));
        assert_eq!(hands.app.current(), screen, "{typed}");
    }
    let mut hands = Hands::loaded();
    hands.press(":nonsense<Enter>");
    assert!(hands.screen(80, 24).contains("there is no `nonsense`"));
    hands.press("<Esc>:help<Enter>");
    assert!(hands.screen(80, 24).contains("Help: Fleet"));
}

#[test]
fn filters_narrow_while_typing_and_esc_undoes() {
    let mut hands = Hands::loaded();
    hands.press("/db-pri");
    assert!(hands.screen(80, 24).contains("1/1 of 7"));
    hands.press("<Esc>");
    assert!(!hands.screen(80, 24).contains(" of 7"));
    hands.press("/db-pri<Enter>");
    assert!(hands.screen(80, 24).contains("1/1 of 7"));
    hands.press("/<BS><BS><BS><BS><BS><BS>zzz<Esc>");
    assert!(
        hands.screen(80, 24).contains("1/1 of 7"),
        "the filter before comes back"
    );
    hands.press("<Esc>");
    assert!(!hands.screen(80, 24).contains(" of 7"));
}

#[test]
fn pasting_never_acts() {
    let mut hands = Hands::loaded();
    assert_eq!(hands.input(Input::Paste(":q\n\u{3}".into())), []);
    assert_eq!(hands.app.current(), ScreenId::Fleet);
    hands.press("/");
    hands.input(Input::Paste("db-\u{1b}[2J\nprimary".into()));
    let screen = hands.screen(80, 24);
    assert!(screen.contains("/db-[2Jprimary"), "{screen}");
}

/// In each place: what is shown works, and what works is shown.
#[test]
fn shown_keys_and_working_keys_are_the_same() {
    let places: &[&str] = &[
        "",
        "2",
        "3",
        "4",
        "5",
        "7",
        "/",
        "/db",
        ":",
        "?",
        "a",
        "as",
        "as<Tab>",
        "as<Tab><Tab><Tab>",
        "d",
        "2d",
        "3d",
        "2a",
        "3a",
        "v",
        "/zzzz<Enter>",
        "/db-primary<Enter>ar",
        "/db-primary<Enter>m",
        "<C-c>",
    ];
    for place in places {
        let arrive = || {
            let mut hands = Hands::loaded();
            hands.message(Message::Job(Box::new(job(Phase::Quiescing))));
            hands.press(place);
            hands
        };
        let hands = arrive();
        // What there is room for shows when it is drawn.
        hands.screen(80, 24);
        let shown = hands.app.shown_keys(hands.now);
        assert!(
            shown.iter().any(|(_, action)| *action == Action::Interrupt),
            "{place:?}"
        );
        for (keys, action) in &shown {
            for key in keys {
                let mut hands = arrive();
                hands.screen(80, 24);
                let effects = hands.input(Input::Key(key.event()));
                assert!(
                    !said(&hands).contains("has no use"),
                    "{place:?}: {} ({action}) does nothing: {effects:?}",
                    key.label()
                );
            }
        }
        // Typed characters aside, a key that is not shown changes nothing.
        let bound: Vec<_> = freezeframe::tui::keymap::BINDINGS
            .iter()
            .flat_map(|b| b.keys)
            .collect();
        // Where text is typed no character is a key.
        let typing = shown
            .iter()
            .all(|(keys, _)| keys.iter().all(|key| !key.is_text()));
        let before = hands.screen(80, 24);
        for key in bound {
            let is_shown = shown.iter().any(|(keys, _)| keys.contains(key));
            let mut hands = arrive();
            hands.screen(80, 24);
            let typed = key.is_text() && typing;
            if !is_shown && !typed {
                assert_eq!(
                    hands.input(Input::Key(key.event())),
                    [],
                    "{place:?}: {}",
                    key.label()
                );
                let after = hands.screen(80, 24);
                let typing = ["/", "/db", ":", "as<Tab><Tab><Tab>"].contains(place);
                assert!(
                    typing || before == after,
                    "{place:?}: {} works unseen",
                    key.label()
                );
            }
        }
    }
}

#[test]
fn ctrl_d_does_nothing_anywhere() {
    for place in ["", "2", "3", "4", "7", "a", "as"] {
        let mut hands = Hands::loaded();
        hands.press(place);
        let before = hands.screen(80, 24);
        assert_eq!(hands.press("<C-d>"), []);
        assert_eq!(hands.screen(80, 24), before, "{place:?}");
    }
}

#[test]
fn every_action_has_words() {
    for action in Action::iter() {
        assert!(
            !action.help().is_empty() && !action.word().is_empty(),
            "{action}"
        );
    }
}

#[test]
fn any_size_survives_on_every_screen() {
    for place in [
        "",
        "2",
        "3",
        "4",
        "5",
        "7",
        "?",
        ":",
        "/x",
        "a",
        "as",
        "d",
        "3d",
        "/db-primary<Enter>ar",
        "<C-c>",
    ] {
        let mut hands = Hands::loaded();
        hands.message(Message::Job(Box::new(job(Phase::Frozen))));
        hands.press(place);
        hands.message(Message::Notice(problem()));
        for (width, height) in [
            (1, 1),
            (2, 2),
            (1, 24),
            (80, 1),
            (3, 5),
            (40, 10),
            (13, 13),
            (300, 3),
        ] {
            hands.screen(width, height);
        }
    }
}

#[test]
fn nothing_hostile_reaches_the_screen() {
    let mut hands = Hands::loaded();
    for place in [
        "1",
        "2",
        "3",
        "/evil<Enter>d",
        "<Esc><Esc>",
        "3G",
        "d",
        "<Esc>2Gd",
        "<Esc>1/evil<Enter>as",
    ] {
        hands.press(place);
        for (width, height) in [(80, 24), (120, 40), (200, 50)] {
            let screen = hands.screen(width, height);
            let hostile = screen
                .chars()
                .find(|c| *c != '\n' && freezeframe::domain::text::is_hostile(*c));
            assert_eq!(hostile, None, "{place:?}");
        }
    }
    assert!(hands.screen(120, 40).contains("evil\\u{1b}]52"));
}

#[test]
fn without_colours_cursor_marks_and_levels_can_be_read() {
    let mut hands = Hands::new(Depth::None);
    hands.load();
    hands.press(" ");
    for place in ["1", "2", "3", "4", "7", "?"] {
        hands.press(place);
        let buffer = hands.buffer(120, 40);
        let coloured = buffer
            .content()
            .iter()
            .any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert!(!coloured, "{place}");
    }
    hands.press("<Esc>1");
    let screen = hands.screen(120, 40);
    assert!(screen.contains("│> ") && screen.contains("│ *"), "{screen}");
    assert!(screen.contains("● application"), "{screen}");
}

#[test]
fn sixteen_colours_never_use_more() {
    let mut hands = Hands::new(Depth::Sixteen);
    hands.load();
    for place in ["1", "2", "3", "4", "7", "?"] {
        hands.press(place);
        let rich = |c: Color| matches!(c, Color::Rgb(..) | Color::Indexed(_));
        assert!(
            !hands
                .buffer(120, 40)
                .content()
                .iter()
                .any(|cell| rich(cell.fg) || rich(cell.bg))
        );
    }
}

#[test]
fn nothing_ticks_when_nothing_moves() {
    let mut hands = Hands::new(Depth::Truecolor);
    assert_eq!(
        hands.app.next_tick(hands.now),
        None,
        "nothing was read, nothing ages"
    );
    hands.load();
    hands.now += TimeDelta::milliseconds(300);
    assert_eq!(
        hands.app.next_tick(hands.now),
        Some(Duration::from_millis(700))
    );
    hands.now += TimeDelta::seconds(90);
    assert_eq!(
        hands.app.next_tick(hands.now),
        Some(Duration::from_millis(29_700)),
        "minutes"
    );
}

#[test]
fn only_what_changes_something_is_drawn() {
    let mut hands = Hands::loaded();
    assert!(hands.app.take_dirty());
    assert!(!hands.app.take_dirty());
    hands.message(Message::Fleet {
        generation: 0,
        part: Part::Instances(Ok(Vec::new())),
    });
    assert!(!hands.app.take_dirty(), "a stale answer draws nothing");
    hands.press("j");
    assert!(hands.app.take_dirty());
}

#[test]
fn sorting_turns_round_and_goes_on() {
    let mut hands = Hands::loaded();
    let first = |hands: &Hands| {
        let screen = hands.screen(120, 40);
        screen.lines().nth(4).map(str::to_owned).unwrap_or_default()
    };
    assert!(hands.screen(120, 40).contains("Name▲"));
    assert!(first(&hands).contains("a-very-lo"), "{}", first(&hands));
    hands.press("O");
    assert!(hands.screen(120, 40).contains("Name▼"));
    assert!(first(&hands).contains("数据库"), "{}", first(&hands));
    hands.press("O");
    assert!(hands.screen(120, 40).contains("Instance▲"));
    assert!(first(&hands).contains("db-primary"), "{}", first(&hands));
}

#[test]
fn large_fleets_stay_quick_because_only_visible_rows_are_built() {
    let mut hands = Hands::new(Depth::Truecolor);
    hands.part(Part::Identity(Ok(identity())));
    let template = snapshots().remove(3);
    let many: Vec<_> = (0..20_000)
        .map(|n| {
            let mut row = template.clone();
            row.id = freezeframe::domain::ids::SnapshotId::from_api(format!("snap-{n:017x}"));
            row
        })
        .collect();
    hands.part(Part::Volumes(Ok(volumes())));
    hands.part(Part::Snapshots(Ok((many, Vec::new()))));
    hands.press("3G");
    assert!(hands.screen(80, 24).contains("20000/20000"));
    assert!(hands.screen(80, 24).contains("> snap-"));
}

#[test]
fn one_set_is_shown_and_esc_brings_the_others_back() {
    let mut hands = Hands::loaded();
    hands.press("3jjao");
    let screen = hands.screen(80, 24);
    assert!(
        screen.contains("Snapshots of set 0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10 1/2"),
        "{screen}"
    );
    hands.press("<Esc>");
    assert!(hands.screen(80, 24).contains("Snapshots 3/6"));
    hands.press("<Esc>");
    assert_eq!(hands.app.current(), ScreenId::Fleet);
}

#[test]
fn filters_speak_the_language_of_the_command_line() {
    let mut hands = Hands::loaded();
    hands.press("/tag:Env=prod !name=db-primary state=running<Enter>");
    assert!(hands.screen(80, 24).contains("of 7"));
    assert!(!hands.screen(80, 24).contains("> db-primary"));
    hands.press("<Esc>/");
    hands.input(Input::Paste("nonsense=x".into()));
    let screen = hands.screen(120, 40);
    assert!(
        screen.contains("1/7"),
        "the rows stay while the expression cannot be read: {screen}"
    );
    assert!(screen.contains("! at character 1"), "{screen}");
    hands.press("<Esc>");
    assert!(!hands.screen(120, 40).contains("! at character"));
}

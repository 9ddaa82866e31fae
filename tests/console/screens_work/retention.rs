//! Retention: policy, review, typed confirmation, result.

use crate::screens_work::fixtures::{prune_plan, restore_plan};
use crate::screens_work::hands::{in_review, notice, planned, shown};
use crate::support::{Hands, identity, instances, problem};
use freezeframe::domain::ids::InstanceId;
use freezeframe::domain::prune::{PruneRecord, Speed};
use freezeframe::domain::restore::{ItemStatus, RestoreView, StepState};
use freezeframe::domain::retention::{Fate, Policy};
use freezeframe::tui::effect::Effect;
use freezeframe::tui::message::{Message, Part, Past, PruneProgress};

#[test]
fn a_policy_is_written_and_asked_for() {
    let mut hands = Hands::loaded();
    hands.press("7");
    shows!("retention_policy", hands);
    let mut edited = Hands::loaded();
    let effects = edited.press("7<Tab><BS>9<Tab><BS>24<Esc><Enter>");
    let wanted = Policy {
        keep_last: 9,
        keep_hourly: 24,
        keep_daily: 7,
        keep_weekly: 4,
        keep_monthly: 6,
        ..Policy::default()
    };
    match effects.as_slice() {
        [Effect::PlanPrune { policy, .. }] => assert_eq!(*policy, wanted),
        other => panic!("{other:?}"),
    }
    insta::assert_snapshot!("retention_planning_80x24", edited.screen(80, 24));
    planned(&mut edited, Err(problem()));
    insta::assert_snapshot!("retention_no_plan_80x24", edited.screen(80, 24));
}

#[test]
fn p15_an_empty_or_mistyped_policy_asks_for_nothing() {
    let mut hands = Hands::loaded();
    let clear = "<Tab><BS><Tab><BS><Tab><BS><Tab><BS><Tab><BS><Tab><BS><Esc>";
    assert_eq!(hands.press(&format!("7{clear}<Enter>")), []);
    insta::assert_snapshot!("retention_empty_policy_80x24", hands.screen(80, 24));
    assert_eq!(hands.press("<Tab>7d<Esc><Enter>"), []);
    insta::assert_snapshot!("retention_mistyped_80x24", hands.screen(80, 24));
}

#[test]
fn the_review_explains_each_decision() {
    let mut hands = in_review();
    shows!("retention_review", hands);
    hands.press("<Tab><Tab><Tab>");
    insta::assert_snapshot!("retention_blocked_80x24", hands.screen(80, 24));
    hands.press("<Tab>g<Enter>");
    insta::assert_snapshot!("retention_why_80x24", hands.screen(80, 24));
    hands.press("<Esc> ");
    assert!(
        notice(&hands).contains("only deletions"),
        "{}",
        notice(&hands)
    );
}

#[test]
fn the_review_names_no_instance_without_its_id() {
    for ((width, height), shown) in [((80, 24), "…00001"), ((120, 40), "db-primary …00001")] {
        let screen = in_review().screen(width, height);
        assert!(screen.contains(shown), "{screen}");
    }
}

#[test]
fn what_is_typed_reaches_the_field_wherever_the_focus_is_and_enter_carries_on() {
    for moves in ["", "<Right>", "<Tab><Tab>", "<Down><Up>"] {
        let mut hands = in_review();
        hands.press("R");
        hands.press(moves);
        hands.press("dele");
        for (width, height) in [(80, 24), (40, 10)] {
            let screen = hands.screen(width, height);
            assert!(screen.contains("still to type: te 4"), "{screen}");
        }
        // Not yet: it says what is missing, and nothing is lost.
        assert_eq!(hands.press("<Enter>"), [], "{moves}");
        assert!(notice(&hands).contains("te 4"), "{}", notice(&hands));
        let effects = hands.press("te 4<Enter>");
        assert_eq!(
            effects,
            [Effect::RunPrune(Box::new(prune_plan()))],
            "{moves}"
        );
    }
    // Wrong words: said, kept, and mended.
    let mut hands = in_review();
    assert_eq!(hands.press("Rdelete 5<Enter><Enter>"), []);
    let screen = hands.screen(80, 24);
    assert!(
        screen.contains("│delete 5") && screen.contains("this is not delete 4"),
        "{screen}"
    );
    assert_eq!(hands.press("<BS>4<Enter>").len(), 1);
    // The box is there before anything is typed, and q and ? are characters.
    let mut hands = in_review();
    hands.press("Rq?");
    let screen = hands.screen(80, 24);
    assert!(screen.contains("│q?"), "{screen}");
}

#[test]
fn p17_nothing_is_deleted_without_the_typed_word() {
    let mut hands = in_review();
    assert_eq!(hands.press("R"), []);
    insta::assert_snapshot!("retention_confirm_80x24", hands.screen(80, 24));
    assert_eq!(hands.press("<Enter>"), [], "the safe button has the focus");
    assert_eq!(hands.press("R<Right><Enter>"), [], "no word");
    assert!(notice(&hands).contains("delete 4"));
    for wrong in ["delete", "delete 2", "delete 40", "Delete 4", "yes"] {
        assert_eq!(
            hands.press(&format!("<Esc>R<Tab><Tab>{wrong}<Tab><Tab><Enter>")),
            [],
            "{wrong}"
        );
    }
    let effects = hands.press("<Esc>R<Tab><Tab>delete 4<Tab><Tab><Enter>");
    assert_eq!(
        effects,
        [Effect::RunPrune(Box::new(prune_plan()))],
        "exactly the reviewed plan"
    );
}

#[test]
fn p17_what_is_kept_by_hand_is_not_in_the_plan_that_runs() {
    let mut hands = in_review();
    hands.press("<Tab> ");
    insta::assert_snapshot!("retention_kept_by_hand_80x24", hands.screen(80, 24));
    let effects = hands.press("R<Tab><Tab>delete 2<Tab><Tab><Enter>");
    let [Effect::RunPrune(plan)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let kept = &plan.decisions[2];
    assert_eq!(
        (kept.fate, kept.reasons.as_slice()),
        (Fate::Keep, ["kept by hand".to_owned()].as_slice())
    );
    assert_eq!(plan.doomed(), prune_plan().doomed()[2..]);
    let mut undone = in_review();
    undone.press("<Tab> k ");
    let effects = undone.press("R<Tab><Tab>delete 4<Tab><Tab><Enter>");
    assert_eq!(
        effects,
        [Effect::RunPrune(Box::new(prune_plan()))],
        "put back, nothing is left of it"
    );
    let mut all = in_review();
    all.press("<Tab>  ");
    assert_eq!(
        all.press("R<Tab><Tab>delete 0<Tab><Tab><Enter>"),
        [],
        "nothing left to delete"
    );
}

#[test]
fn read_only_refuses_to_prune_and_says_why() {
    let mut hands = in_review();
    let mut who = identity();
    who.read_only = true;
    hands.part(Part::Identity(Ok(who)));
    assert_eq!(hands.press("R"), []);
    assert!(notice(&hands).contains("read-only"), "{}", notice(&hands));
    assert_eq!(hands.press("<Tab><Tab>delete 4<Tab><Tab><Enter>"), []);
}

#[test]
fn a_plan_that_was_given_up_does_not_come_back() {
    let mut hands = Hands::loaded();
    hands.press("7<Enter><Esc>");
    planned(&mut hands, Ok(prune_plan()));
    assert!(shown(&hands).contains("Retention: policy"));
}

#[test]
fn the_prune_is_followed_to_its_end() {
    let mut hands = in_review();
    let doomed = prune_plan().doomed();
    let mut progress = PruneProgress {
        total: 4,
        deleted: doomed[..1].to_vec(),
        failed: Vec::new(),
        stopped: None,
        finished: false,
        speed: None,
    };
    hands.message(Message::Prune(progress.clone()));
    insta::assert_snapshot!("retention_deleting_80x24", hands.screen(80, 24));
    progress.deleted = doomed[..2].to_vec();
    progress.failed = vec![(doomed[2].clone(), problem())];
    progress.stopped = Some(problem());
    progress.finished = true;
    hands.message(Message::Prune(progress));
    shows!("retention_result", hands);
    hands.press("<Esc>");
    assert!(shown(&hands).contains("Retention: policy"));
}

#[test]
fn a_scope_is_written_and_the_plan_is_of_it() {
    let mut hands = Hands::loaded();
    let effects =
        hands.press("7<BackTab><BackTab><BackTab>Env=dev<BackTab>web-1, i-01234567<Esc><Enter>");
    let [Effect::PlanPrune { policy, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(
        policy.scope_words(),
        "instances web-1, i-01234567 and tag Env=dev"
    );
    let mut plan = prune_plan();
    plan.policy = policy.clone();
    plan.decisions[0].notes = vec!["instance i-0123 is gone".into()];
    let mut nothing = plan.clone();
    nothing.decisions.clear();
    planned(&mut hands, Ok(plan));
    shows!("retention_scope", hands);
    hands.press("<Esc><Enter>");
    planned(&mut hands, Ok(nothing));
    insta::assert_snapshot!("retention_of_nothing_80x24", hands.screen(80, 24));
}

/// What a plan would refuse is told when the field is left, not only after the button; not while it is typed.
#[test]
fn instances_and_tags_of_a_policy_are_looked_at_when_their_field_is_left() {
    let mut two = instances();
    let mut other = two[0].clone();
    other.id = InstanceId::from_api("i-0d000000000000099");
    two.push(other);
    for (keys, typed, why) in [
        (
            "<BackTab><BackTab><BackTab><BackTab>",
            "web-11",
            "did you mean web-1?",
        ),
        (
            "<BackTab><BackTab><BackTab><BackTab>",
            "db-primary",
            "2 are named db-primary: use the id",
        ),
        (
            "<BackTab><BackTab><BackTab><BackTab>",
            "i-12",
            "ids have 8 or 17",
        ),
        ("<BackTab><BackTab><BackTab>", "Env", "KEY=VALUE"),
        (
            "<BackTab><BackTab><BackTab>",
            "Env=devv",
            "nothing here carries Env=devv",
        ),
    ] {
        let mut hands = Hands::loaded();
        hands.part(Part::Instances(Ok(two.clone())));
        hands.press("7");
        hands.press(keys);
        hands.press(typed);
        let screen = hands.screen(120, 40);
        assert!(
            screen.contains(typed) && !screen.contains('!'),
            "{typed}: {screen}"
        );
        hands.press("<Tab>");
        let screen = hands.screen(120, 40);
        assert!(screen.contains(why), "{typed}: {screen}");
    }
    let mut right = Hands::loaded();
    right.press("7<BackTab><BackTab><BackTab><BackTab>web-1, i-01234567<Tab><Tab>");
    assert!(
        !right.screen(120, 40).contains('!'),
        "{}",
        right.screen(120, 40)
    );
}

/// At 40 columns both buttons of a typed confirmation can be read.
#[test]
fn the_typed_confirmation_shows_both_buttons_at_40_columns() {
    let mut hands = in_review();
    hands.press("R");
    let screen = hands.screen(40, 20);
    assert!(
        screen.contains("Keep everything") && screen.contains("Delete 4]"),
        "{screen}"
    );
    insta::assert_snapshot!("retention_confirm_40x20", screen);
}

#[test]
fn f1_in_the_filter_of_a_policy_explains_the_language() {
    let mut hands = Hands::loaded();
    hands.press("7<BackTab><BackTab><F1>");
    let help = hands.screen(80, 24);
    assert!(
        help.contains("Keys here: name id") && help.contains("tag:Env!=prod"),
        "{help}"
    );
    // Back in the field, what is typed goes on.
    hands.press("<Esc>zzz");
    assert!(hands.screen(80, 24).contains("zzz"));
}

#[test]
fn a_policy_of_the_configuration_fills_the_form() {
    let dev = Policy {
        keep_daily: 2,
        drop_unproven_after: Some("7d".parse().unwrap()),
        tag: vec!["Env=dev".parse().unwrap()],
        ..Policy::default()
    };
    let mut hands = Hands::loaded();
    hands.app = hands
        .app
        .with_policies([("dev".to_owned(), dev.clone())].into());
    let effects = hands.press("7<Tab><Right>");
    assert_eq!(effects, []);
    shows!("retention_named", hands);
    let effects = hands.press("<BackTab><Enter>");
    let [Effect::PlanPrune { policy, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(*policy, dev);
    hands.press("<Esc><Tab><Tab>1");
    insta::assert_snapshot!("retention_own_80x24", hands.screen(80, 24));
}

#[test]
fn x_stops_a_prune_and_the_pane_says_how_fast_it_goes() {
    let mut hands = in_review();
    assert!(!shown(&hands).contains("x "), "nothing to stop");
    let mut progress = PruneProgress::of(1_481);
    hands.message(Message::Prune(progress.clone()));
    assert!(shown(&hands).contains("reading everything again"));
    progress.deleted = prune_plan().doomed();
    progress.speed = Some(Speed {
        per_second: 4.9,
        ends: crate::support::noon() + chrono::TimeDelta::seconds(301),
    });
    hands.message(Message::Prune(progress.clone()));
    shows!("retention_under_way", hands);
    assert_eq!(hands.press("x"), [Effect::StopPrune]);
    progress.finished = true;
    progress.speed = None;
    hands.message(Message::Prune(progress));
    assert_eq!(hands.press("x"), []);
}

#[test]
fn past_prunes_and_restores_are_a_page_of_retention() {
    let mut hands = Hands::loaded();
    assert_eq!(hands.press("7<Left><Enter>"), [Effect::LoadPast]);
    assert!(shown(&hands).contains("reading the journal"));
    let begun = crate::support::noon() - chrono::TimeDelta::hours(3);
    let prune = |tally: (usize, usize), stopped: Option<&str>| PruneRecord {
        id: "7b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f77".into(),
        scope: prune_plan().scope,
        who: "arn:aws:sts::123456789012:assumed-role/ops/ann".into(),
        of: "tag Env=dev".into(),
        rules: vec!["daily 7".into()],
        begun,
        ended: Some(begun),
        total: tally.0,
        deleted: tally.1,
        skipped: Vec::new(),
        stopped: stopped.map(str::to_owned),
    };
    let view = RestoreView {
        plan: restore_plan(),
        items: vec![ItemStatus {
            snapshot: restore_plan().items[0].snapshot.clone(),
            volume: None,
            state: StepState::Failed,
            note: "x".into(),
        }],
        finished: true,
    };
    let past = Past {
        prunes: vec![
            prune((9, 4), Some("its process was killed")),
            prune((3, 3), None),
        ],
        restores: vec![(begun, view)],
    };
    hands.message(Message::Past(Ok(Box::new(past))));
    shows!("retention_past", hands);
    hands.press("<Esc>");
    assert!(shown(&hands).contains("Retention: policy"));
}

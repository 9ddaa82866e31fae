//! Restore: point in time, target, calls, status.

use crate::screens_work::fixtures::{restore_plan, restore_view};
use crate::screens_work::hands::{at_calls, at_target, notice, restore_planned};
use crate::support::{DB, Hands, JOB_1, WEB, instances, problem};
use freezeframe::domain::ids::{InstanceId, JobId};
use freezeframe::domain::restore::StepState;
use freezeframe::tui::effect::Effect;
use freezeframe::tui::message::{Message, Part};

#[test]
fn points_in_time_are_on_a_timeline() {
    let mut hands = Hands::loaded();
    hands.press("/db-primary<Enter>ar");
    shows!("restore_choose", hands);
    assert_eq!(hands.press("g<Enter>"), []);
    assert!(
        notice(&hands).contains("not completed"),
        "{}",
        notice(&hands)
    );
    hands.press("/zzz<Enter>");
    insta::assert_snapshot!("restore_no_match_80x24", hands.screen(80, 24));
    let mut none = Hands::loaded();
    none.press("/db-primary<Enter>ar");
    none.part(Part::Snapshots(Err(problem())));
    insta::assert_snapshot!("restore_old_sets_and_failed_80x24", none.screen(80, 24));
    none.part(Part::Snapshots(Ok((Vec::new(), Vec::new()))));
    insta::assert_snapshot!("restore_no_set_80x24", none.screen(80, 24));
}

#[test]
fn a_target_is_checked_before_anything_is_asked() {
    let mut hands = at_target();
    shows!("restore_target", hands);
    assert_eq!(hands.press("<Tab>x<BackTab><Enter>"), []);
    assert!(
        notice(&hands).contains("no such instance"),
        "{}",
        notice(&hands)
    );
    insta::assert_snapshot!("restore_target_wrong_80x24", hands.screen(80, 24));
    let mut hands = at_target();
    assert_eq!(
        hands.press(&format!("<Tab><Tab>/dev/sdf{}<Enter>", "<Tab>".repeat(9))),
        [],
        "in use"
    );
    let mut hands = at_target();
    let effects = hands.press(
        "<Tab><Tab>/dev/sdh<Tab><Right><Tab>6000<Tab>400<Tab>alias/b<Tab>/x<Tab><Right><Tab><Right><Tab><Tab><Enter>",
    );
    let [Effect::PlanRestore { request, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(request.set, JobId::from_api(JOB_1));
    assert_eq!(request.target, InstanceId::from_api(DB));
    assert_eq!(request.device.as_deref(), Some("/dev/sdh"));
    assert_eq!(request.volume_type.as_deref(), Some("gp3"));
    assert_eq!(request.mount_under.as_deref(), Some("/mnt/restore/x"));
    assert_eq!((request.iops, request.throughput), (Some(6_000), Some(400)));
    assert_eq!(request.kms_key.as_deref(), Some("alias/b"));
    assert!(request.copy_all_tags && request.in_sets);
    for (typed, words) in [
        ("<Tab><Tab><Tab><Tab>many", "a number up to"),
        ("<Tab><Tab><Tab><Tab><Tab>9999", "a number up to 2000"),
        (
            "<Tab><Tab><Tab><Tab><Tab><Tab>nonsense",
            "key id, alias/NAME",
        ),
    ] {
        let mut hands = at_target();
        hands.press(typed);
        let shown = hands.screen(120, 40);
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

/// Esc goes back to where one came from; the list of one instance never widens to all by it.
#[test]
fn esc_in_the_list_of_sets_goes_back() {
    let mut hands = Hands::loaded();
    hands.press("/db-primary<Enter>ar");
    assert!(hands.screen(80, 24).contains("Restore 1/4, db-primary"));
    hands.press("<Esc>");
    let shown = hands.screen(80, 24);
    assert!(!shown.contains("point in time"), "{shown}");
}

#[test]
fn the_calls_are_shown_copied_and_confirmed_by_name() {
    let mut hands = at_calls();
    shows!("restore_review", hands);
    let effects = hands.press("y");
    let [Effect::Copy(text)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let cli: Vec<String> = restore_plan().calls.into_iter().map(|c| c.cli).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), cli);
    assert_eq!(hands.press("<Enter>"), []);
    insta::assert_snapshot!("restore_confirm_80x24", hands.screen(80, 24));
    assert_eq!(hands.press("<Enter>"), [], "the safe button has the focus");
    assert_eq!(hands.press("R<Tab><Tab>db-primar<Tab><Tab><Enter>"), []);
    assert_eq!(
        hands.press("<Esc>R<Tab><Tab>db-primary<Tab><Tab><Enter>"),
        [Effect::RunRestore(Box::new(restore_plan()))]
    );
}

#[test]
fn a_name_that_two_instances_carry_is_not_enough() {
    let mut hands = at_target();
    let mut twins = crate::support::instances();
    twins[1].tags.set("Name", "db-primary");
    hands.part(Part::Instances(Ok(twins)));
    hands.press("p");
    restore_planned(&mut hands, Ok(restore_plan()));
    assert_eq!(hands.press("R<Tab><Tab>db-primary<Tab><Tab><Enter>"), []);
    assert_eq!(
        hands
            .press(&format!("<Esc>R<Tab><Tab>{DB}<Tab><Tab><Enter>"))
            .len(),
        1
    );
}

/// Whoever asks by an id gets it, never an instance that is called so.
#[test]
fn a_name_that_looks_like_an_id_takes_nothing_from_the_id() {
    let mut hands = Hands::loaded();
    let mut all = instances();
    for instance in &mut all {
        if instance.id.as_str() == WEB {
            instance.tags.set("Name", DB);
        }
    }
    hands.part(Part::Instances(Ok(all)));
    hands.press("/db-primary<Enter>arG<Enter>");
    let effects = hands.press("<Enter>");
    let [Effect::PlanRestore { request, .. }] = effects.as_slice() else {
        panic!("{effects:?}: {}", hands.screen(120, 40))
    };
    assert_eq!(request.target, InstanceId::from_api(DB));
    // In the lists that name never stands alone.
    hands.press("<Esc><Esc><Esc><Esc>1");
    let end = &WEB[WEB.len() - 5..];
    let screen = hands.screen(80, 24);
    assert!(screen.contains(&format!("…{end}")), "{screen}");
}

#[test]
fn a_restore_is_followed_and_says_that_originals_are_untouched() {
    let mut hands = at_calls();
    for state in [
        StepState::Waiting,
        StepState::Creating,
        StepState::Attaching,
        StepState::Mounting,
    ] {
        hands.message(Message::Restore(Box::new(restore_view(state, ""))));
        assert!(hands.screen(80, 24).contains(&state.to_string()));
    }
    insta::assert_snapshot!("restore_running_80x24", hands.screen(80, 24));
    hands.press("1ar");
    assert!(notice(&hands).contains("under way"), "{}", notice(&hands));
    let note = "mount: wrong fs type \u{1b}[2J on /dev/nvme2n1";
    hands.message(Message::Restore(Box::new(restore_view(
        StepState::Failed,
        note,
    ))));
    shows!("restore_failed", hands);
    hands.message(Message::Restore(Box::new(restore_view(
        StepState::Done,
        "mounted at /mnt/restore/sdf",
    ))));
    hands.press("j");
    insta::assert_snapshot!("restore_done_80x24", hands.screen(80, 24));
}

#[test]
fn restore_keeps_the_form_when_planning_fails() {
    let mut hands = at_target();
    hands.press("p");
    insta::assert_snapshot!("restore_planning_80x24", hands.screen(80, 24));
    restore_planned(&mut hands, Err(problem()));
    insta::assert_snapshot!("restore_no_plan_80x24", hands.screen(80, 24));
}

/// What a set will not hold, and a restored copy that it will, stand in the review of the run before it begins, and in the
/// list of volumes.
#[test]
fn the_review_of_a_run_says_what_is_left_out_and_which_copies_go_in() {
    let mut hands = Hands::loaded();
    let mut volumes = crate::support::volumes();
    volumes[1].tags.set("freezeframe:exclude", "");
    volumes[0]
        .tags
        .set("freezeframe:restored-from", "snap-0b000000000000002");
    hands.part(Part::Volumes(Ok(volumes)));
    // Fleet counts what the sets hold, and what a tag leaves out of them apart.
    let wide = hands.screen(120, 40);
    let row = wide.lines().find(|line| line.contains("db-primary"));
    assert!(row.is_some_and(|row| row.contains(" 1+1 ")), "{wide}");
    hands.press("/db-primary<Enter>d");
    assert!(
        hands
            .screen(120, 40)
            .contains("left out of its sets by tag")
    );
    hands.press("<Esc>as");
    for (width, height) in [(80, 24), (120, 40)] {
        let shown = hands.screen(width, height).replace(['│', '\n'], " ");
        let words: Vec<&str> = shown.split_whitespace().collect();
        let shown = words.join(" ");
        for part in [
            "! not in the set: vol-0a000000000000002",
            "by its tag",
            "restored copy",
        ] {
            assert!(shown.contains(part), "{width}: {part}: {shown}");
        }
    }
}

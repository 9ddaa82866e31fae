//! Restore: point in time, target, calls, status.

use crate::fixtures::{restore_plan, restore_view};
use crate::hands::{at_calls, at_target, notice, restore_planned};
use crate::support::{DB, Hands, JOB_1, problem};
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
        hands.press("<Tab><Tab>/dev/sdf<Tab><Tab><Tab><Tab><Enter>"),
        [],
        "in use"
    );
    let mut hands = at_target();
    let effects = hands.press("<Tab><Tab>/dev/sdh<Tab><Right><Tab>/x<Tab><Tab><Enter>");
    let [Effect::PlanRestore { request, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(request.set, JobId::from_api(JOB_1));
    assert_eq!(request.target, InstanceId::from_api(DB));
    assert_eq!(request.device.as_deref(), Some("/dev/sdh"));
    assert_eq!(request.volume_type.as_deref(), Some("gp3"));
    assert_eq!(request.mount_under.as_deref(), Some("/mnt/restore/x"));
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

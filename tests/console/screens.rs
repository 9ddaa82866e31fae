//! What the screens show, at the sizes that matter, with a fixed clock and a small fixed model.

mod claims;
mod connection;
mod filters;
mod flows;
mod keys;
mod looped;
mod names;
mod sets;
use crate::support;

use freezeframe::domain::job::Phase;
use freezeframe::tui::app::Input;
use freezeframe::tui::message::{Message, Part};
use freezeframe::tui::style::Depth;
use support::{Hands, identity, problem};

#[test]
fn fleet() {
    let mut hands = Hands::loaded();
    shows!("fleet", hands);
    hands.press(" jv jjv");
    shows!("fleet_marked", hands);
    insta::assert_snapshot!("fleet_40x10", hands.screen(40, 10));
}

#[test]
fn fleet_sorted_and_filtered() {
    let mut hands = Hands::loaded();
    hands.press("O/db");
    shows!("fleet_filtering", hands);
    hands.press("<Enter>");
    insta::assert_snapshot!("fleet_filtered_80x24", hands.screen(80, 24));
    hands.press("/zzzzzz<Enter>");
    insta::assert_snapshot!("fleet_no_match_80x24", hands.screen(80, 24));
}

#[test]
fn a_filter_that_cannot_be_read_says_why() {
    let mut hands = Hands::loaded();
    hands.press("/db state");
    hands.input(Input::Paste("s=x".into()));
    shows!("fleet_filter_error", hands);
}

#[test]
fn loading_empty_and_failed() {
    let mut hands = Hands::new(Depth::Truecolor);
    insta::assert_snapshot!("fleet_first_80x24", hands.screen(80, 24));
    hands.part(Part::Identity(Ok(identity())));
    hands.part(Part::Instances(Ok(Vec::new())));
    hands.part(Part::Snapshots(Err(problem())));
    insta::assert_snapshot!("fleet_empty_80x24", hands.screen(80, 24));
    hands.press("3");
    insta::assert_snapshot!("snapshots_failed_80x24", hands.screen(80, 24));
    hands.press("2");
    insta::assert_snapshot!("volumes_loading_80x24", hands.screen(80, 24));
}

#[test]
fn an_empty_region_of_a_lab_says_which_one_has_the_instances() {
    let mut hands = Hands::new(Depth::Truecolor);
    let why = "This lab has nothing in us-east-1: its 14 instances are in eu-central-1. Ask with --region eu-central-1.";
    let there = freezeframe::tui::message::Identity {
        lab: Some("simulated".to_owned()),
        elsewhere: Some(why.to_owned()),
        ..identity()
    };
    hands.part(Part::Identity(Ok(there)));
    hands.part(Part::Instances(Ok(Vec::new())));
    assert!(hands.screen(80, 24).contains("its 14 instances are in"));
    let wide = hands.screen(120, 40);
    assert!(wide.contains(why), "{wide}");
    assert!(!wide.contains("No instances"), "{wide}");
}

#[test]
fn old_rows_stay_when_reading_again_fails() {
    let mut hands = Hands::loaded();
    hands.press("3<C-r>");
    hands.part(Part::Snapshots(Err(problem())));
    insta::assert_snapshot!("snapshots_old_and_failed_80x24", hands.screen(80, 24));
}

#[test]
fn volumes() {
    let mut hands = Hands::loaded();
    hands.press("2");
    shows!("volumes", hands);
    hands.press("d");
    shows!("volume_details", hands);
    hands.press("<Esc>1j<Enter>");
    insta::assert_snapshot!("volumes_of_one_80x24", hands.screen(80, 24));
}

#[test]
fn snapshots() {
    let mut hands = Hands::loaded();
    hands.press("3");
    shows!("snapshots", hands);
    hands.press("jjd");
    sets::found(&mut hands, Some(sets::proven_job()));
    shows!("snapshot_details", hands);
}

#[test]
fn instance_details_show_hostile_tags_harmless() {
    let mut hands = Hands::loaded();
    hands.press("/evil<Enter>d");
    shows!("instance_details", hands);
}

#[test]
fn menu_and_snapshot_dialog() {
    let mut hands = Hands::loaded();
    hands.press("g      a");
    insta::assert_snapshot!("menu_80x24", hands.screen(80, 24));
    hands.press("s");
    shows!("snapshot_dialog", hands);
    insta::assert_snapshot!("snapshot_dialog_40x10", hands.screen(40, 10));
    hands.press("<Tab><Tab><Tab><Tab>00");
    insta::assert_snapshot!("snapshot_dialog_bad_budget_80x24", hands.screen(80, 24));
    hands.press("<BackTab><BackTab><Right><Right><Tab> ");
    shows!("snapshot_dialog_root", hands);
    hands.press("<Left><Tab><Tab><Tab> <Tab><Tab>CostCenter=4711");
    shows!("snapshot_dialog_set", hands);
    for (width, height) in [(1, 1), (5, 4), (20, 8), (80, 12)] {
        hands.screen(width, height);
    }
}

#[test]
fn help_and_prompt() {
    let mut hands = Hands::loaded();
    hands.press("?");
    shows!("help", hands);
    hands.press("<Esc>:s");
    insta::assert_snapshot!("prompt_80x24", hands.screen(80, 24));
}

#[test]
fn help_of_a_dialog() {
    let mut hands = Hands::loaded();
    hands.press("/db-primary<Enter>as?");
    shows!("help_of_a_dialog", hands);
}

#[test]
fn lab_and_read_only_are_said_in_words() {
    let mut hands = Hands::loaded();
    let mut who = identity();
    who.lab = Some("simulated".into());
    who.read_only = true;
    hands.part(Part::Identity(Ok(who)));
    hands.press("/db-primary<Enter>as");
    insta::assert_snapshot!("read_only_lab_80x24", hands.screen(80, 24));
}

#[test]
fn leaving_asks_while_a_job_runs() {
    let mut hands = Hands::loaded();
    hands.message(Message::Job(Box::new(support::job(Phase::Frozen))));
    hands.press("<C-c>");
    insta::assert_snapshot!("leaving_80x24", hands.screen(80, 24));
    hands.message(Message::Job(Box::new(support::job(Phase::Done))));
    shows!("leaving_ended", hands);
}

#[test]
fn notices_are_wrapped_and_go_with_the_next_key() {
    let mut hands = Hands::loaded();
    hands.message(Message::Notice(problem()));
    insta::assert_snapshot!("notice_80x24", hands.screen(80, 24));
    hands.press("j");
    assert!(!hands.screen(80, 24).contains("UnauthorizedOperation"));
}

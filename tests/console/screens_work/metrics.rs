//! Metrics: choosing, charts, ranges, what is missing.

use crate::screens_work::fixtures::series;
use crate::screens_work::hands::{metrics, of_db, shown};
use crate::support::{DB, Hands, problem};
use freezeframe::tui::effect::Effect;

#[test]
fn metrics_are_chosen_drawn_with_gaps_and_switched() {
    let mut hands = Hands::loaded();
    hands.press("5");
    insta::assert_snapshot!("metrics_choose_80x24", hands.screen(80, 24));
    let mut hands = of_db();
    insta::assert_snapshot!("metrics_loading_80x24", hands.screen(80, 24));
    metrics(&mut hands, Ok(series()));
    shows!("metrics", hands);
    insta::assert_snapshot!("metrics_60x20", hands.screen(60, 20));
    hands.press("<Tab><Enter>");
    insta::assert_snapshot!("metrics_zoomed_80x24", hands.screen(80, 24));
    hands.press("<Esc><BackTab>");
    assert!(hands.screen(60, 20).contains("> FreezeDuration"));
    hands.press("<Esc>");
    assert!(shown(&hands).contains("choose an instance"));
}

#[test]
fn metrics_ask_for_the_range_and_the_neighbour() {
    let mut hands = of_db();
    let ask = |hands: &mut Hands, keys: &str| match hands.press(keys).as_slice() {
        [Effect::LoadMetrics { instance, days, .. }] => (instance.to_string(), *days),
        other => panic!("{keys}: {other:?}"),
    };
    assert_eq!(ask(&mut hands, "+"), (DB.to_owned(), 90));
    assert_eq!(ask(&mut hands, "+"), (DB.to_owned(), 365));
    assert_eq!(hands.press("+"), [], "a year is the most");
    assert_eq!(ask(&mut hands, "-"), (DB.to_owned(), 90));
    assert_eq!(ask(&mut hands, "<Right>").0, crate::support::WEB);
    assert_eq!(ask(&mut hands, "<Left>").0, DB);
    assert_eq!(hands.press("<Left>"), [], "the first one");
    assert_eq!(ask(&mut hands, "<C-r>"), (DB.to_owned(), 90));
    let mut fleet = Hands::loaded();
    assert_eq!(ask(&mut fleet, "/db-primary<Enter>m"), (DB.to_owned(), 30));
    fleet.press("<Esc>");
    assert!(
        shown(&fleet).contains("Fleet"),
        "back to where one came from"
    );
}

#[test]
fn metrics_say_what_is_missing() {
    let mut hands = of_db();
    metrics(&mut hands, Ok(Vec::new()));
    insta::assert_snapshot!("metrics_none_in_range_80x24", hands.screen(80, 24));
    hands.press("<Right>");
    metrics(&mut hands, Ok(Vec::new()));
    insta::assert_snapshot!("metrics_never_80x24", hands.screen(80, 24));
    metrics(&mut hands, Err(problem()));
    assert!(
        hands.screen(80, 24).contains("→ attach the policy"),
        "{}",
        hands.screen(80, 24)
    );
}

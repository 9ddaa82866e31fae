//! One filter language on every list, and lists that never call themselves empty while they are not known to be.

use freezeframe::domain::job::Phase;
use freezeframe::tui::app::Input;
use freezeframe::tui::contract::ScreenId;
use freezeframe::tui::message::Part;

use crate::support::{Hands, job};

/// The lists, each with the keys that bring it up.
const LISTS: [(&str, ScreenId, &str); 6] = [
    ("1", ScreenId::Fleet, "agent"),
    ("2", ScreenId::Volumes, "instance"),
    ("3", ScreenId::Snapshots, "origin"),
    ("4", ScreenId::Jobs, "verdict"),
    ("5", ScreenId::Metrics, "agent"),
    ("jjar", ScreenId::Restore, "snapshot"),
];

#[test]
fn every_list_refuses_a_key_that_it_does_not_have_and_names_those_that_it_has() {
    for (keys, screen, key) in LISTS {
        let mut hands = Hands::loaded();
        hands.press(keys);
        assert_eq!(hands.app.current(), screen, "{keys}");
        hands.press("/");
        hands.input(Input::Paste("colour=red".into()));
        let narrow = hands.screen(80, 24).replace(['│', '\n'], " ");
        let narrow = narrow.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            narrow.contains("have no key `colour`"),
            "{screen}: {narrow}"
        );
        assert!(narrow.contains(&format!(" {key}")), "{screen}: {narrow}");
        assert!(
            narrow.contains("put plain text with = in quotes"),
            "{screen}: {narrow}"
        );
    }
}

#[test]
fn f1_in_the_filter_line_of_every_list_explains_the_language() {
    for (keys, screen, key) in LISTS {
        let mut hands = Hands::loaded();
        hands.press(keys);
        hands.press("/<F1>");
        let help = hands.screen(80, 24);
        assert!(
            help.contains("Narrows the rows while you type"),
            "{screen}: {help}"
        );
        assert!(help.contains("Keys here: name id"), "{screen}: {help}");
        assert!(
            help.contains(key) && help.contains("tag:Env!=prod"),
            "{screen}: {help}"
        );
        // Back in the line, what is typed goes on.
        hands.press("<Esc>zzz");
        assert!(hands.screen(80, 24).contains("/zzz"), "{screen}");
    }
    let mut hands = Hands::loaded();
    hands.press("/<F1>");
    shows!("help_of_filters", hands);
}

#[test]
fn levels_names_and_stars_find_rows_on_every_screen() {
    let rows = |keys: &str| {
        let mut hands = Hands::loaded();
        hands.press(keys);
        let screen = hands.screen(120, 40);
        let title = screen
            .lines()
            .find(|l| l.starts_with('┌'))
            .unwrap_or_default();
        title.trim_matches(['┌', '─', '┐', ' ']).to_owned()
    };
    for (keys, title) in [
        ("/level=never<Enter>", "of 7"),
        ("/db-*<Enter>", "1/1 of 7"),
        ("/tag:Env!=prod<Enter>", "0/0 of 7"),
        ("2/instance=db-primary<Enter>", " of "),
        ("3/instance=db-*<Enter>", " of "),
        ("5/db-*<Enter>", "(1)"),
    ] {
        let shown = rows(keys);
        assert!(shown.contains(title), "{keys}: {shown}");
        assert!(
            title.starts_with("0/0") || !shown.contains(" 0/0"),
            "{keys}: {shown}"
        );
    }
}

#[test]
fn no_list_is_called_empty_while_it_is_read_or_while_a_job_fills_it() {
    let none = || {
        let mut hands = Hands::loaded();
        hands.part(Part::Snapshots(Ok((Vec::new(), Vec::new()))));
        hands
    };
    let mut hands = none();
    hands.press("3");
    assert!(hands.screen(80, 24).contains("No snapshots here"));
    hands.press("<C-r>");
    let reading = hands.screen(80, 24);
    assert!(!reading.contains("No snapshots here"), "{reading}");
    let mut hands = none();
    hands.load_jobs(vec![job(Phase::Snapshotting)]);
    hands.press("3");
    let made = hands.screen(80, 24);
    assert!(made.contains("A job is making snapshots"), "{made}");
    assert!(!made.contains("No snapshots here"), "{made}");
    let mut hands = Hands::loaded();
    hands.press("jjar");
    assert_eq!(hands.app.current(), ScreenId::Restore);
    hands.part(Part::Snapshots(Ok((Vec::new(), Vec::new()))));
    hands.load_jobs(vec![job(Phase::Snapshotting)]);
    let made = hands.screen(80, 24);
    assert!(made.contains("is making a set now"), "{made}");
}

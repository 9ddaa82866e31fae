//! One key means one thing, on every screen, in every menu and dialog; and Enter never changes a value.

use super::support::{Hands, identity, job};
use freezeframe::domain::job::Phase;
use freezeframe::tui::action::Action;
use freezeframe::tui::app::Input;
use freezeframe::tui::keymap::key_of;
use freezeframe::tui::message::{Message, Part};

/// Where a menu can be opened.
const PLACES: &[&str] = &[
    "",
    "/db-primary<Enter>",
    "/batch<Enter>",
    " j ",
    "v",
    "2",
    "2G",
    "3",
    "3jj",
    "3G",
    "4",
    "4<Enter>",
];

fn arrive(place: &str, read_only: bool) -> Hands {
    let mut hands = Hands::loaded();
    if read_only {
        let mut who = identity();
        who.read_only = true;
        hands.part(Part::Identity(Ok(who)));
    }
    for phase in [Phase::Quiescing, Phase::Frozen] {
        hands.message(Message::Job(Box::new(job(phase))));
    }
    hands.press(place);
    hands
}

#[test]
fn a_key_does_the_same_in_the_menu_and_on_the_screen() {
    let of_the_menu = [
        Action::Open,
        Action::Back,
        Action::Leave,
        Action::Down,
        Action::Up,
        Action::Help,
        Action::Interrupt,
    ];
    let mut seen = 0;
    for place in PLACES {
        for read_only in [false, true] {
            let open = || {
                let mut hands = arrive(place, read_only);
                hands.press("a");
                hands
            };
            let menu = open();
            assert!(menu.screen(80, 24).contains("Actions"), "{place:?}");
            for (keys, action) in menu.app.shown_keys(menu.now) {
                if of_the_menu.contains(&action) {
                    continue;
                }
                seen += 1;
                assert_eq!(keys.first().copied(), key_of(action), "{place:?}");
                for key in keys {
                    // It is shown in the menu by that key.
                    let line = format!("{}  ", key.label());
                    assert!(menu.screen(120, 40).contains(&line), "{place:?}: {line}");
                    let mut by_menu = open();
                    let mut direct = arrive(place, read_only);
                    let event = || Input::Key(key.event());
                    let menu_effects = by_menu.input(event());
                    assert_eq!(menu_effects, direct.input(event()), "{place:?}: {action}");
                    if super::flows::said(&direct).starts_with("refused") {
                        // The menu stays open where it says why not.
                        assert_eq!(super::flows::said(&by_menu), super::flows::said(&direct));
                        continue;
                    }
                    assert_eq!(
                        by_menu.screen(120, 40),
                        direct.screen(120, 40),
                        "{place:?}: {action}"
                    );
                    let picture = |hands: &Hands| hands.screen(120, 40);
                    assert_ne!(
                        picture(&direct),
                        picture(&arrive(place, read_only)),
                        "{place:?}: {action} does nothing"
                    );
                }
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

/// What the fields of a form hold, without what shows the focus.
fn values(screen: &str) -> Vec<String> {
    let kept = |line: &&str| line.contains("(•)") || line.contains('‹') || line.contains("(s)");
    let plain = |line: &str| line.replace(['>', '<', '[', ']'], " ");
    screen.lines().filter(kept).map(plain).collect()
}

#[test]
fn enter_never_changes_a_value_in_any_form() {
    for (place, fields) in [
        ("/db-primary<Enter>as", 8),
        ("7", 6),
        ("/db-primary<Enter>arG<Enter>", 4),
    ] {
        for size in [(80, 24), (120, 40)] {
            for field in 1..=fields {
                let mut hands = Hands::loaded();
                hands.press(place);
                hands.press(&"<Tab>".repeat(field));
                let before = hands.screen(size.0, size.1);
                assert!(before.contains("Enter next"), "{before}");
                assert_eq!(hands.press("<Enter>"), [], "{place}: field {field}");
                let after = hands.screen(size.0, size.1);
                assert_eq!(values(&before), values(&after), "{place}: field {field}");
            }
        }
    }
    // From the last field it leads to the button that goes on, and that begins what was reviewed.
    let mut hands = Hands::loaded();
    hands
        .press("/db-primary<Enter>as<Tab><Enter><Enter><Enter><Enter><Enter><Enter><Enter><Enter>");
    assert!(hands.screen(80, 24).contains("[> Start <]"));
    assert!(hands.screen(80, 24).contains("Enter press"));
    assert_eq!(hands.press("<Enter>").len(), 1);
}

#[test]
fn a_choice_says_what_it_overrides() {
    let mut hands = Hands::loaded();
    hands.press("/db-primary<Enter>as");
    assert!(!hands.screen(80, 24).contains("tag says"));
    hands.press("<Tab><Right>");
    let screen = hands.screen(80, 24);
    assert!(
        screen.contains("! tag says linux-mysql: application is given up"),
        "{screen}"
    );
    // Another recipe of the same worth, and a tag that names none.
    hands.press("<Right><Right>");
    let screen = hands.screen(80, 24);
    assert!(
        screen.contains("tag says linux-mysql, not linux-postgresql"),
        "{screen}"
    );
    let mut several = Hands::loaded();
    several.press("/db-primary<Enter> <Esc>/evil<Enter> <Esc>as<Tab><Right>");
    let screen = several.screen(120, 40);
    assert!(
        screen.contains("tag says linux-mysql: application is given up")
            && screen.contains("tag says linux-mysqll, which names no recipe"),
        "{screen}"
    );
    // The failsafe's time as well.
    hands.press("<Tab><Tab><Tab><BS><BS>45");
    let screen = hands.screen(80, 24);
    assert!(screen.contains("frozen at most 30 s, not 45 s"), "{screen}");
}

#[test]
fn at_40x10_the_review_shows_what_will_run() {
    for (keys, recipe, mode) in [
        ("", "linux-mysql", "auto"),
        (
            "<Tab><Tab><Right><Right><BackTab><BackTab>",
            "linux-mysql",
            "autonomous",
        ),
        ("<Tab><Right><BackTab>", "linux-filesystem", "auto"),
    ] {
        let mut hands = Hands::loaded();
        hands.press("/db-primary<Enter>as");
        hands.press(keys);
        let screen = hands.screen(40, 10);
        for wanted in ["✓ db-pri", "…00001", recipe, mode, "[> Start <]"] {
            assert!(screen.contains(wanted), "{wanted}: {screen}");
        }
        if recipe == "linux-filesystem" {
            let flat = screen.replace(['│', '\n', ' '], "");
            assert!(flat.contains("tagsayslinux-mysql:"), "{screen}");
            assert!(flat.contains("applicationisgivenup"), "{screen}");
        }
    }
}

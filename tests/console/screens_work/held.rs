//! What is or may be frozen is told on every screen, in word and colour, and not when it is over.

use chrono::TimeDelta;
use freezeframe::domain::held::{DelayedThaw, Delivery, Freeze, Freezing};
use freezeframe::domain::ids::InstanceId;
use freezeframe::domain::job::{JobView, Phase};
use freezeframe::tui::message::Message;
use freezeframe::tui::style::Depth;

use crate::screens_work::fixtures::{frozen, job, unconfirmed};
use crate::screens_work::hands::{notice, on_record, shown, with_jobs};
use crate::support::{DB, Hands, noon};

const WORDS: [&str; 3] = ["MAY BE FROZEN", "THAW UNCONFIRMED", "FROZEN"];

/// What tells it, and how a job is that must be told so.
fn kinds() -> Vec<(&'static str, JobView)> {
    let on_db = |mut job: JobView| {
        job.spec.instance = InstanceId::from_api(DB);
        job.spec.instance_name = "db-primary".to_owned();
        job
    };
    let sent = |delivery| {
        let mut job = job(
            1,
            "db",
            &[(Phase::Preflight, -44.0), (Phase::Quiescing, -42.0)],
            None,
        );
        job.freezing = Freezing::Open(Freeze {
            nothing_at: None,
            thaw: None,
            sent: noon() - TimeDelta::seconds(42),
            delivery,
        });
        on_db(job)
    };
    let mut alone = sent(Delivery::InProgress);
    alone.spec.mode = freezeframe::domain::job::Mode::Autonomous;
    let overdue = frozen(1, "db", 95_000);
    vec![
        ("MAY BE FROZEN", sent(Delivery::Unanswered)),
        ("MAY BE FROZEN", sent(Delivery::Delayed)),
        ("MAY BE FROZEN", alone),
        ("FROZEN", on_db(frozen(1, "db", 412))),
        ("FROZEN", on_db(overdue)),
        ("THAW UNCONFIRMED", on_db(unconfirmed(1, "db"))),
    ]
}

/// Every screen, and what lies on top of one.
const PLACES: [&str; 16] = [
    "1",
    "2",
    "3",
    "4",
    "4g<Enter>",
    "5",
    "7",
    "1?",
    "3?",
    "4?",
    "1:",
    "1/",
    "1a",
    "/db-primary<Enter>as",
    "/db-primary<Enter>ar",
    "4<C-c>",
];

fn at(place: &str, job: &JobView, depth: Depth) -> Hands {
    let mut hands = Hands::new(depth);
    hands.load();
    hands.message(Message::Job(Box::new(job.clone())));
    hands.press(place);
    hands
}

#[test]
fn p28_what_may_be_frozen_is_told_on_every_screen_and_not_after_the_proof() {
    for (word, job) in kinds() {
        for place in PLACES {
            for depth in [Depth::Truecolor, Depth::None] {
                let mut hands = at(place, &job, depth);
                for (width, height) in [(80, 24), (120, 40), (200, 50), (80, 8), (40, 10)] {
                    let screen = hands.screen(width, height);
                    let top: Vec<&str> = screen.lines().take(2).collect();
                    assert!(
                        top.iter().any(|line| line.contains(word)),
                        "{word} at {place}, {width}x{height}:\n{screen}"
                    );
                }
                // It is drawn again while it lasts, and not a moment after the proof.
                let tick = hands.app.next_tick(hands.now).unwrap();
                assert!(tick <= std::time::Duration::from_secs(1), "{place}");
                let mut thawed = job.clone();
                thawed.thawed();
                thawed.phase = Phase::Verifying;
                thawed.error = None;
                hands.message(Message::Job(Box::new(thawed)));
                let screen = hands.screen(80, 24);
                let top: String = screen.lines().take(2).collect();
                assert!(
                    !WORDS.iter().any(|word| top.contains(word)),
                    "{place}:\n{screen}"
                );
            }
        }
    }
}

#[test]
fn p28_the_row_of_the_instance_and_of_its_volumes_tells_it_and_no_other_does() {
    for (word, job) in kinds() {
        for (place, ours) in [("1", &["db-primary"][..]), ("2", &["db-root", "db-data"])] {
            for (width, height) in [(80, 24), (120, 40)] {
                let hands = at(place, &job, Depth::None);
                let screen = hands.screen(width, height);
                // Past the lines above, which tell it too.
                let rows: Vec<&str> = screen.lines().skip(2).collect();
                let (there, others): (Vec<&&str>, Vec<&&str>) = rows
                    .iter()
                    .partition(|row| ours.iter().any(|name| row.contains(name)));
                assert!(
                    !there.is_empty() && there.iter().all(|row| row.contains(word)),
                    "{word} at {place}, {width}x{height}:\n{screen}"
                );
                assert!(
                    !others
                        .iter()
                        .any(|row| WORDS.iter().any(|w| row.contains(w))),
                    "{screen}"
                );
            }
        }
    }
}

#[test]
fn what_may_be_frozen_looks() {
    let may = kinds().swap_remove(1).1;
    for (name, place) in [
        ("held_fleet", "1"),
        ("held_volumes", "2"),
        ("held_jobs", "4g"),
    ] {
        let hands = at(place, &may, Depth::Truecolor);
        for (width, height) in [(80, 24), (120, 40)] {
            let screen = hands.screen(width, height);
            insta::assert_snapshot!(format!("{name}_{width}x{height}"), screen);
        }
    }
    let wide = at("4g", &may, Depth::Truecolor).screen(160, 40);
    assert!(
        wide.contains("sent 42 s ago, Systems Manager says Delayed"),
        "{wide}"
    );
}

/// The agent has died under a freeze: nobody here can thaw it, and everybody wants to know when the failsafe does.
#[test]
fn p28_a_delayed_thaw_says_when_the_failsafe_acts() {
    for (watched, narrow, whole) in [
        (
            true,
            "thaw delayed, failsafe in 18 s",
            "its failsafe thaws within 18 s",
        ),
        (
            false,
            "thaw delayed, no failsafe",
            "no failsafe of ours watches it: look at the instance",
        ),
    ] {
        let mut job = frozen(1, "db", 12_000);
        job.phase = Phase::Thawing;
        job.spec.third_party = !watched;
        job.freezing = Freezing::Open(Freeze {
            sent: noon() - TimeDelta::seconds(13),
            delivery: Delivery::Ended,
            nothing_at: None,
            thaw: Some(DelayedThaw {
                failsafe_by: watched.then(|| noon() + TimeDelta::seconds(18)),
            }),
        });
        let mut hands = at("4g", &job, Depth::None);
        let plain = |screen: &str| {
            let words: Vec<&str> = screen
                .split(['│', ' ', '\n'])
                .filter(|w| !w.is_empty())
                .collect();
            words.join(" ")
        };
        // Where a lane has no room, the line below the lanes says it.
        let screen = hands.screen(80, 24);
        assert!(plain(&screen).contains(whole), "{screen}");
        let screen = hands.screen(120, 40);
        assert!(screen.contains(narrow), "{screen}");
        let screen = hands.screen(200, 50);
        assert!(screen.contains(whole), "{screen}");
        hands.press("<Enter>");
        let screen = hands.screen(80, 24);
        assert!(plain(&screen).contains(whole), "{screen}");
    }
}

/// A job whose process is gone: this console settles it, says so, and offers nothing to stop.
#[test]
fn the_page_of_a_job_names_its_driver() {
    let mut hands = with_jobs(Vec::new());
    let left = frozen(9, "theirs", 13_900);
    on_record(&mut hands, vec![left.clone()]);
    assert!(shown(&hands).contains(" x cancel"), "{}", shown(&hands));
    hands.press("<Enter>");
    assert!(shown(&hands).contains("Another process drives it"));
    hands.message(Message::Abandoned([left.spec.job.clone()].into()));
    assert!(shown(&hands).contains("The process that drove it is gone"));
    hands.press("<Esc>x");
    assert!(
        shown(&hands).contains("a job that nobody drives"),
        "{}",
        shown(&hands)
    );
    hands.press("<Esc>");
    // Now it is resumed here.
    hands.message(Message::Abandoned(Default::default()));
    let mut settled = left.clone();
    settled.waiting = Some("thawing it first: post-script is sent to the instance".to_owned());
    hands.message(Message::Settling(Box::new(settled.clone())));
    assert!(!shown(&hands).contains(" x cancel"), "{}", shown(&hands));
    assert_eq!(hands.press("x"), []);
    hands.press("<Enter>");
    let page = shown(&hands);
    assert!(
        page.contains("This console settles it: thawing it first"),
        "{page}"
    );
    assert!(!page.contains("Another process"), "{page}");
    hands.press("<Esc>");
    // What its record still says does not bring the freeze back once its thaw is proven.
    settled.thawed();
    settled.waiting = Some("it is thawed; its set comes next".to_owned());
    hands.message(Message::Settling(Box::new(settled.clone())));
    on_record(&mut hands, vec![left]);
    hands.message(Message::Others(vec![frozen(9, "theirs", 31_700)]));
    let screen = shown(&hands);
    assert!(
        !screen.contains("FROZEN") && !screen.contains("no word"),
        "{screen}"
    );
    assert!(screen.contains("it is thawed"), "{screen}");
    // Nor does the word of the phase in which its process ended.
    let lane = screen.lines().find(|line| line.contains("theirs"));
    let lane = lane.unwrap_or_default();
    assert!(lane.contains("▶") && lane.contains("thawed"), "{screen}");
    assert!(!screen.contains("[frozen"), "{screen}");
    assert!(!lane.contains(" frozen"), "{screen}");
    hands.press("1");
    settled.waiting = Some("looking at EC2 for a set of it".to_owned());
    hands.message(Message::Settling(Box::new(settled)));
    assert!(notice(&hands).contains("left open, theirs: looking at EC2"));
}

/// After a console died: whoever settles its job tells that its thaw found nothing frozen, and that it goes on.
#[test]
fn p28_a_thaw_that_found_nothing_is_told_while_the_freeze_may_still_begin() {
    let mut job = job(
        1,
        "db",
        &[(Phase::Preflight, -64.0), (Phase::Quiescing, -62.0)],
        None,
    );
    job.freezing = Freezing::Open(Freeze {
        nothing_at: Some(noon() - TimeDelta::seconds(8)),
        thaw: None,
        sent: noon() - TimeDelta::seconds(62),
        delivery: Delivery::Pending,
    });
    let hands = at("4", &job, Depth::None);
    let narrow = hands.screen(80, 24);
    assert!(narrow.contains("MAY BE FROZEN"), "{narrow}");
    let wide = hands.screen(160, 40);
    assert!(
        wide.contains("a thaw 8 s ago found nothing frozen"),
        "{wide}"
    );
}

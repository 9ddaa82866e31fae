//! A level's tag can be written by anybody: what is shown as proven needs what freezeframe writes with it, and
//! no more is shown than the journal of this machine bears out.
#![expect(clippy::unwrap_used, reason = "hands of tests")]

use chrono::TimeDelta;
use freezeframe::domain::ids::SnapshotId;
use freezeframe::domain::snapshot::Snapshot;
use freezeframe::domain::tags;
use freezeframe::tui::message::{Message, Part};

use super::sets::{broken_job, found, proven_job};
use super::support::{Hands, JOB_1, noon, snapshots};

const BARE: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f77";

/// A set of an hour ago whose level somebody wrote by hand.
fn by_hand() -> Vec<Snapshot> {
    let mut set: Vec<Snapshot> = snapshots()
        .into_iter()
        .filter(|s| s.tags.get(tags::JOB) == Some(JOB_1))
        .collect();
    for (n, member) in set.iter_mut().enumerate() {
        member.id = SnapshotId::from_api(format!("snap-0b0000000000000b{n}"));
        member.started = noon() - TimeDelta::hours(1);
        member.tags.set(tags::JOB, BARE);
        member.tags.set(tags::LEVEL, "application");
        member.tags.0.remove(tags::FROZEN_MS);
        member.tags.0.remove(tags::SET_SIZE);
        member.tags.0.remove(tags::SNAPSHOT);
    }
    set
}

fn showing(rows: Vec<Snapshot>) -> Hands {
    let mut hands = Hands::loaded();
    hands.part(Part::Snapshots(Ok((rows, Vec::new()))));
    hands
}

/// The row of the database in Fleet.
fn row(hands: &Hands) -> String {
    let screen = hands.screen(120, 40);
    let row = screen.lines().find(|l| l.contains("db-primary"));
    row.unwrap().to_owned()
}

#[test]
fn p11_a_level_that_only_a_tag_claims_is_nowhere_shown_as_proven() {
    let mut rows = snapshots();
    rows.extend(by_hand());
    let mut hands = showing(rows);
    assert!(row(&hands).contains("1d ● application"), "{}", row(&hands));
    // Metrics' list of instances says the same.
    hands.press("5");
    assert!(row(&hands).contains("● application 1d"), "{}", row(&hands));
    hands.press("1/db-primary<Enter>d");
    shows!("fleet_claimed_by_tag", hands);
    // Nothing else: it was never proven.
    let mut hands = showing(by_hand());
    assert!(row(&hands).contains("never"), "{}", row(&hands));
    hands.press("5");
    assert!(row(&hands).contains("never"), "{}", row(&hands));
    // The lists of snapshots and volumes, the page of the set, and what restores.
    hands.press("3");
    let listed = hands.screen(120, 40);
    assert!(!listed.contains("application"), "{listed}");
    hands.press("<Enter>");
    found(&mut hands, None);
    shows!("set_claimed_by_tag", hands);
    hands.press("<Esc>2");
    let volumes = hands.screen(120, 40);
    assert!(!volumes.contains("application"), "{volumes}");
    hands.press("1/db-primary<Enter>ar");
    let restore = hands.screen(120, 40);
    assert!(restore.contains("NOT PROVEN"), "{restore}");
}

#[test]
fn p10_the_fleet_shows_no_more_than_the_journal_bears_out() {
    let mut hands = Hands::loaded();
    assert!(row(&hands).contains("application"), "{}", row(&hands));
    hands.message(Message::Job(Box::new(broken_job())));
    assert!(row(&hands).contains("never"), "{}", row(&hands));
    hands.message(Message::Job(Box::new(proven_job())));
    assert!(row(&hands).contains("application"), "{}", row(&hands));
    // An old job that was looked up counts like a recent one.
    let mut hands = Hands::loaded();
    hands.press("3jj<Enter>");
    found(&mut hands, Some(broken_job()));
    hands.press("<Esc>1");
    assert!(row(&hands).contains("never"), "{}", row(&hands));
    // And the journal is the evidence where somebody took the marks away.
    let mut rows = snapshots();
    for row in &mut rows {
        row.tags.0.remove(tags::FROZEN_MS);
    }
    let mut hands = showing(rows);
    assert!(row(&hands).contains("never"), "{}", row(&hands));
    hands.message(Message::Job(Box::new(proven_job())));
    assert!(row(&hands).contains("application"), "{}", row(&hands));
}

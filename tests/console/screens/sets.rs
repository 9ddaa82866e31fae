//! Sets and the evidence behind them.
#![expect(clippy::unwrap_used, reason = "hands of tests")]

use freezeframe::domain::ids::{CommandId, JobId, SnapshotId, VolumeId};
use freezeframe::domain::job::{EvidenceReport, JobView, KeptFile, Link, Member, Phase, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::tui::effect::Effect;
use freezeframe::tui::message::Message;

use super::support::{Hands, JOB_1, job};

/// Answers the last question for a job of the journal.
pub fn found(hands: &mut Hands, view: Option<JobView>) {
    let job = hands.asked.iter().rev().find_map(|e| match e {
        Effect::LoadJob(job) => Some(job.clone()),
        _ => None,
    });
    hands.message(Message::JobRead {
        job: job.unwrap(),
        result: Ok(view.map(Box::new)),
    });
}

/// The job behind the proven set, as its journal tells it.
pub fn proven_job() -> JobView {
    let mut job = job(Phase::Done);
    job.spec.job = JobId::from_api(JOB_1);
    job.verdict = Some(Verdict::Application);
    job.freeze_window_ms = Some(812);
    let member = |snapshot: &str, volume: &str, device: &str, level, reason: &str| Member {
        snapshot: SnapshotId::from_api(snapshot),
        volume: VolumeId::from_api(volume),
        device: device.into(),
        level,
        reason: reason.into(),
        progress: 100,
        volume_gib: 8,
    };
    job.set = vec![
        member(
            "snap-0b000000000000001",
            "vol-0a000000000000001",
            "/dev/xvda",
            Level::Crash,
            "not covered by the recipe: the root volume is not frozen",
        ),
        member(
            "snap-0b000000000000002",
            "vol-0a000000000000002",
            "/dev/sdf",
            Level::Application,
            "locked and frozen from before the call until after its answer",
        ),
    ];
    let link = |name: &str, seen: &str| Link {
        name: name.into(),
        holds: true,
        seen: seen.into(),
    };
    job.evidence = EvidenceReport {
        links: vec![
            link(
                "failsafe-armed",
                "armed for 30000 ms before anything else, guard 4711",
            ),
            link("lock-held", "session 12 held the lock (ftwrl)"),
            link("frozen", "FIFREEZE returned 0 for /data"),
            link("one-call", "2 volumes in one answer of CreateSnapshots"),
            link(
                "within-window",
                "frozen confirmed, request, answer, release accepted while still frozen: in this order",
            ),
            link(
                "lock-answered",
                "session 12 answered after the snapshots' answer, before the thaw",
            ),
            link("own-thaw", "our own FITHAW returned 0 for /data"),
            link(
                "failsafe-quiet",
                "the failsafe was disarmed before it acted",
            ),
        ],
        frozen_mounts: vec!["/data".into()],
        pre_command: Some(CommandId::from_api("11111111-1111-4111-8111-111111111111")),
        post_command: Some(CommandId::from_api("22222222-2222-4222-8222-222222222222")),
        window_ms: Some(812),
        ..EvidenceReport::default()
    };
    job
}

/// The same job, had somebody else thawed first: the journal says `crash` although a tag says more.
pub fn broken_job() -> JobView {
    let mut job = proven_job();
    job.verdict = Some(Verdict::Crash);
    let reason = "own-thaw: our own thaw of /data failed: Invalid argument";
    for link in job
        .evidence
        .links
        .iter_mut()
        .filter(|l| l.name.as_str() == "own-thaw")
    {
        link.holds = false;
        link.seen = "our own thaw of /data failed: Invalid argument".into();
    }
    for member in job.set.iter_mut().skip(1) {
        member.level = Level::Crash;
        member.reason = reason.into();
    }
    job
}

#[test]
fn a_set_tells_its_evidence_as_sentences() {
    let mut hands = Hands::loaded();
    hands.press("3jj<Enter>");
    insta::assert_snapshot!("set_looked_up_80x24", hands.screen(80, 24));
    found(&mut hands, None);
    shows!("set_by_tag", hands);
    let mut hands = Hands::loaded();
    hands.press("3jj<Enter>");
    let mut job = proven_job();
    job.evidence.positions = [("binlog".to_owned(), "bin.000003:154".to_owned())].into();
    job.evidence.files = vec![KeptFile {
        name: "backup_label".into(),
        text: "START WAL LOCATION: 0/16B3748\nCHECKPOINT LOCATION: 0/16B3780\n".into(),
    }];
    found(&mut hands, Some(job));
    shows!("set_proven", hands);
    hands.screen(80, 24);
    hands.press("G");
    insta::assert_snapshot!("set_proven_end_80x24", hands.screen(80, 24));
    for (width, height) in [(1, 1), (2, 2), (10, 3), (40, 10)] {
        hands.screen(width, height);
    }
    hands.press("?");
    let help = hands.screen(120, 40);
    assert!(
        help.contains("copy the id") && help.contains("page down"),
        "{help}"
    );
}

#[test]
fn a_lowered_set_names_the_broken_link_first() {
    let mut hands = Hands::loaded();
    hands.press("3jj<Enter>");
    found(&mut hands, Some(broken_job()));
    shows!("set_broken", hands);
    let page = hands.screen(80, 24);
    let broke = page.find("The chain broke at own-thaw").unwrap();
    assert!(
        broke < page.find("1. The failsafe was armed").unwrap(),
        "{page}"
    );
    // The tag says application; nobody is shown more than the journal bears out.
    assert!(
        page.contains("○ crash") && !page.contains("● application"),
        "{page}"
    );
}

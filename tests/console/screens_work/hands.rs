//! The console brought into the states that the tests begin with.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use crate::screens_work::fixtures::{
    ended, failed, frozen, job, member, proven, prune_plan, restore_plan,
};
use crate::support::Hands;
use freezeframe::domain::job::{JobView, Phase, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::domain::metrics::Series;
use freezeframe::domain::problem::Problem;
use freezeframe::domain::restore::RestorePlan;
use freezeframe::domain::retention::PrunePlan;
use freezeframe::tui::effect::{Effect, Generation};
use freezeframe::tui::message::Message;

pub fn with_jobs(jobs: Vec<JobView>) -> Hands {
    let mut hands = Hands::loaded();
    for job in jobs {
        hands.message(Message::Job(Box::new(job)));
    }
    hands.press("4g");
    hands
}

/// The journal is read again, with these rows in it.
pub fn on_record(hands: &mut Hands, rows: Vec<JobView>) {
    hands.press("<C-r>");
    hands.load_fleet();
    hands.load_jobs(rows);
}

pub fn every_kind() -> Vec<JobView> {
    let mut completing = job(
        3,
        "mail-1",
        &[(Phase::Queued, -80.0), (Phase::Completing, -60.0)],
        None,
    );
    completing.set = vec![
        member(0, Level::Crash, 100),
        member(5, Level::Application, 28),
    ];
    completing.freeze_window_ms = Some(88);
    vec![
        frozen(1, "db-primary", 412),
        frozen(2, "evil\u{1b}[2Jdb", 25_600),
        completing,
        failed(4, "web-1", 2.0),
        failed(5, "web-old", 48.0),
        proven(6, "数据库主机-北京"),
        ended(7, "files", Verdict::Filesystem),
        ended(8, "legacy", Verdict::Crash),
        ended(9, "off", Verdict::Skipped),
        ended(10, "stopped-by-hand", Verdict::Cancelled),
    ]
}

pub fn shown(hands: &Hands) -> String {
    hands.screen(120, 40)
}

pub fn notice(hands: &Hands) -> String {
    format!("{:?}", hands.app.notice())
}

pub fn metrics(hands: &mut Hands, result: Result<Vec<Series>, Problem>) {
    let asked = hands.asked.iter().rev().find_map(|e| match e {
        Effect::LoadMetrics { generation, .. } => Some(*generation),
        _ => None,
    });
    hands.message(Message::Metrics {
        generation: asked.expect("metrics were asked for"),
        result,
    });
}

pub fn of_db() -> Hands {
    let mut hands = Hands::loaded();
    hands.press("5");
    hands.press("/db-primary<Enter><Enter>");
    hands
}

pub fn planned(hands: &mut Hands, result: Result<PrunePlan, Problem>) {
    let asked = hands.asked.iter().rev().find_map(|e| match e {
        Effect::PlanPrune { generation, .. } => Some(*generation),
        _ => None,
    });
    hands.message(Message::PrunePlanned {
        generation: asked.expect("a plan was asked for"),
        result: result.map(Box::new),
    });
}

pub fn in_review() -> Hands {
    let mut hands = Hands::loaded();
    hands.press("7<Enter>");
    planned(&mut hands, Ok(prune_plan()));
    hands
}

pub fn restore_planned(hands: &mut Hands, result: Result<RestorePlan, Problem>) {
    let asked = hands.asked.iter().rev().find_map(|e| match e {
        Effect::PlanRestore { generation, .. } => Some(*generation),
        _ => None,
    });
    let generation: Generation = asked.expect("a plan was asked for");
    hands.message(Message::RestorePlanned {
        generation,
        result: result.map(Box::new),
    });
}

/// From the fleet: the database, its sets, the proven one, the form.
pub fn at_target() -> Hands {
    let mut hands = Hands::loaded();
    hands.press("/db-primary<Enter>ar");
    hands.press("G<Enter>");
    hands
}

pub fn at_calls() -> Hands {
    let mut hands = at_target();
    hands.press("p");
    restore_planned(&mut hands, Ok(restore_plan()));
    hands
}

//! What is asked before jobs are stopped. They go on meanwhile: each question says how they stand now.

use crate::config::theme::Role;
use crate::domain::job::{JobView, Phase};
use crate::tui::screen::{Cx, Request};
use crate::tui::widget::dialog::{Choice, Question};
use crate::tui::widget::lane;

/// Whether to stop one job. The safe button has the focus.
pub fn cancel(job: &JobView) -> Question {
    let id = job.spec.job.clone();
    let who = format!(
        "{} ({}), recipe {}",
        job.spec.instance_name, job.spec.instance, job.spec.recipe
    );
    let says = move |cx: &Cx<'_>| {
        let state = match cx.world.job(&id) {
            Some(job) if lane::is_frozen(job) => (
                "It is FROZEN now. It is thawed at once.".to_owned(),
                Role::Warn,
            ),
            Some(job) if job.only_copies() => (
                "It is thawed and labelled; AWS copies its set.".to_owned(),
                Role::Text,
            ),
            Some(job) if job.phase != Phase::Done => (
                format!(
                    "It is {} now. Whatever it holds is released first.",
                    job.phase
                ),
                Role::Text,
            ),
            _ => (
                "It has ended meanwhile; there is nothing to stop.".to_owned(),
                Role::Ok,
            ),
        };
        vec![
            (who.clone(), Role::Text),
            state,
            (
                "Snapshots that were begun stay, labelled by what was proven.".to_owned(),
                Role::Muted,
            ),
        ]
    };
    let choices = vec![
        Choice::safe("Let it run"),
        Choice::asks(
            "Thaw and stop",
            vec![Request::CancelJob(job.spec.job.clone())],
        ),
    ];
    Question::live("Thaw and stop this job?", says, choices)
}

/// Whether to stop all of them.
pub fn cancel_all() -> Question {
    let says = |cx: &Cx<'_>| {
        let running = cx.world.running().count();
        let frozen = cx.world.running().filter(|job| lane::is_frozen(job));
        let frozen = frozen.count();
        vec![
            (
                format!("{running} running, {frozen} of them frozen now."),
                if running == 0 { Role::Ok } else { Role::Warn },
            ),
            (
                "What is frozen is thawed at once; nothing new is begun.".to_owned(),
                Role::Text,
            ),
        ]
    };
    let choices = vec![
        Choice::safe("Let them run"),
        Choice::asks("Thaw and stop all", vec![Request::CancelAll]),
    ];
    Question::live("Thaw and stop every job?", says, choices)
}

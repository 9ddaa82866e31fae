//! What is asked before jobs are stopped.

use crate::config::theme::Role;
use crate::domain::job::JobView;
use crate::tui::screen::Request;
use crate::tui::widget::dialog::{Choice, Question};
use crate::tui::widget::lane;

/// Whether to stop one job. The safe button has the focus.
pub fn cancel(job: &JobView) -> Question {
    let name = &job.spec.instance_name;
    let state = if lane::is_frozen(job) {
        (
            "It is FROZEN now. It is thawed at once.".to_owned(),
            Role::Warn,
        )
    } else {
        (
            format!(
                "It is {} now. Whatever it holds is released first.",
                job.phase
            ),
            Role::Text,
        )
    };
    let lines = vec![
        (
            format!("{name} ({}), recipe {}", job.spec.instance, job.spec.recipe),
            Role::Text,
        ),
        state,
        (
            "Snapshots that were begun stay, but are not proven.".to_owned(),
            Role::Muted,
        ),
    ];
    let choices = vec![
        Choice::safe("Let it run"),
        Choice::asks(
            "Thaw and stop",
            vec![Request::CancelJob(job.spec.job.clone())],
        ),
    ];
    Question::new("Thaw and stop this job?", lines, choices)
}

/// Whether to stop all of them.
pub fn cancel_all(running: usize, frozen: usize) -> Question {
    let lines = vec![
        (
            format!("{running} running, {frozen} of them frozen now."),
            Role::Warn,
        ),
        (
            "What is frozen is thawed at once; nothing new is begun.".to_owned(),
            Role::Text,
        ),
    ];
    let choices = vec![
        Choice::safe("Let them run"),
        Choice::asks("Thaw and stop all", vec![Request::CancelAll]),
    ];
    Question::new("Thaw and stop every job?", lines, choices)
}

//! What is asked before jobs are stopped. They go on meanwhile: each question says how they stand now.

use crate::config::theme::Role;
use crate::domain::held::Held;
use crate::domain::job::{JobView, Phase};
use crate::domain::naming;
use crate::tui::contract::{Request, ScreenContext};
use crate::tui::model::DrivenBy;
use crate::tui::widget::dialog::{Choice, Question};

/// Whether to stop one job. The safe button has the focus.
pub fn cancel(job: &JobView) -> Question {
    let id = job.spec.job.clone();
    let who = named(job);
    let says = move |cx: &ScreenContext<'_>| {
        let state = match cx.model.job(&id) {
            Some(job) if job.held().is_something() && job.phase != Phase::Done => (
                format!("It {}. It is thawed at once.", is_held(job, cx)),
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
            _ => ended(),
        };
        vec![(who.clone(), Role::Text), state, begun_stays()]
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

fn named(job: &JobView) -> String {
    let spec = &job.spec;
    format!(
        "{}, recipe {}",
        naming::full(Some(&spec.instance_name), spec.instance.as_str()),
        spec.recipe
    )
}

/// What it holds now, after "it".
fn is_held(job: &JobView, cx: &ScreenContext<'_>) -> String {
    match job.held() {
        Held::Frozen { .. } => "is FROZEN now".to_owned(),
        held => held.words(cx.now),
    }
}

fn ended() -> (String, Role) {
    let words = "It has ended meanwhile; there is nothing to stop.";
    (words.to_owned(), Role::Ok)
}

fn begun_stays() -> (String, Role) {
    let words = "Snapshots that were begun stay, labelled by what was proven.";
    (words.to_owned(), Role::Muted)
}

/// Whether to stop a job that this console does not drive.
pub fn cancel_of_another(job: &JobView, cx: &ScreenContext<'_>) -> Question {
    let nobody = cx.model.driver(job) == DrivenBy::Nobody;
    let (title, means) = if nobody && job.nothing_found_at().is_some() {
        (
            "Thaw again at once?",
            "This console settles the job by itself: it sends the thaw again and again, and found nothing frozen the last time. The \
             command that freezes may still begin; x does not wait for the next time.",
        )
    } else if nobody {
        (
            "Thaw and settle a job that nobody drives?",
            "The process that drove it is gone: its instance is thawed first, then its set is labelled by what was proven. \
             `freezeframe jobs resume` does the same.",
        )
    } else {
        (
            "Thaw and stop a job of another process?",
            "Its instance is thawed under the process that drives it, which sees that and claims no more than was proven by then; \
             if that process has gone, the job is settled here. `freezeframe jobs abort --job ID` does \
             the same.",
        )
    };
    let id = job.spec.job.clone();
    let who = named(job);
    let says = move |cx: &ScreenContext<'_>| {
        let job = cx.model.job(&id).filter(|job| job.phase != Phase::Done);
        let state = match job {
            Some(job) if job.held().is_something() => {
                (format!("It {}.", is_held(job, cx)), Role::Warn)
            }
            Some(job) => (format!("It is {} now.", job.phase), Role::Text),
            None => ended(),
        };
        vec![
            (who.clone(), Role::Text),
            state,
            (means.to_owned(), Role::Text),
            begun_stays(),
        ]
    };
    let choices = vec![
        Choice::safe("Let it run"),
        Choice::asks(
            "Thaw and stop",
            vec![
                Request::CancelJob(job.spec.job.clone()),
                Request::Say(format!("thawing {}", job.spec.named())),
            ],
        ),
    ];
    Question::live(title, says, choices)
}

/// Whether to stop all of this console's.
pub fn cancel_all() -> Question {
    let says = |cx: &ScreenContext<'_>| {
        let running = cx.model.own_stoppable().count();
        let held = cx.model.own_stoppable();
        let held = held.filter(|job| job.held().is_something()).count();
        let copying = cx.model.own_running().count() - running;
        let mut says = vec![
            (
                format!("{running} running, {held} of them frozen now, or may be."),
                if running == 0 { Role::Ok } else { Role::Warn },
            ),
            (
                "What is frozen is thawed at once; nothing new is begun.".to_owned(),
                Role::Text,
            ),
        ];
        if copying > 0 {
            let words = format!("{copying} thawed and labelled, left to AWS's copying.");
            says.push((words, Role::Muted));
        }
        let others = cx.model.goes_on_elsewhere();
        says.extend(others.map(|words| (words, Role::Text)));
        says
    };
    let choices = vec![
        Choice::safe("Let them run"),
        Choice::asks("Thaw and stop all", vec![Request::StopAll]),
    ];
    Question::live("Thaw and stop every job of this console?", says, choices)
}

//! What a console says once its screen is left and something is still under way: a line for each change, and what became
//! of it. On a hang-up nobody reads that, and it goes on all the same.

use chrono::{DateTime, Utc};

use super::output;
use super::progress::Progress;
use super::resumed_jobs::{ResumedJobs, unconfirmed_thaw};
use crate::domain::job::{JobView, Phase};
use crate::tui::message::Message;
use crate::tui::model::Model;

/// What was under way when the screen was left.
#[derive(Default)]
pub(super) struct AfterExit {
    busy: Vec<String>,
    /// Only AWS's copying is left, and the person leaves.
    nothing: bool,
    jobs: Vec<JobView>,
    progress: Option<Progress>,
    others: ResumedJobs,
}

impl AfterExit {
    pub(super) fn of(model: &Model, now: DateTime<Utc>) -> Self {
        let jobs: Vec<JobView> = model.own_running().cloned().collect();
        let mut progress = Progress::of(jobs.len());
        for job in &jobs {
            // Where it stood the screen has shown.
            progress.line(job, now);
        }
        Self {
            busy: model.busy(),
            nothing: !model.busy().is_empty() && model.is_left_to_aws(),
            jobs,
            progress: Some(progress),
            others: ResumedJobs::default(),
        }
    }

    /// Prints what is still under way when the console exits. `waits`: the program also waits for AWS to finish the copy.
    pub(super) fn print_what_is_under_way(&self, waits: bool) {
        if self.nothing && !waits {
            return;
        }
        let what = match self.busy.as_slice() {
            [] => "what was begun for jobs that this console did not start".to_owned(),
            busy => busy.join(", "),
        };
        output::note(&format!("finishing what is under way: {what}"));
    }

    /// Prints a line on stderr for a message of the executor, after the screen is left.
    pub(super) fn print_message(&mut self, message: Message, now: DateTime<Utc>) {
        match message {
            Message::Job(view) => {
                let line = self.progress.as_mut().and_then(|p| p.line(&view, now));
                if let Some(line) = line {
                    output::note(&line);
                }
                self.jobs.retain(|job| job.spec.job != view.spec.job);
                self.jobs.push(*view);
            }
            Message::Others(views) => {
                for view in &views {
                    if let Some(line) = self.others.line(view) {
                        output::note(&line);
                    }
                }
            }
            Message::Settling(view) => {
                if let Some(line) = self.others.line(&view) {
                    output::note(&line);
                }
            }
            Message::Notice(problem) => output::note(&problem.to_string()),
            _ => {}
        }
    }

    /// Time has passed: what stands where it stood is told of now and then.
    pub(super) fn wait(&mut self, now: DateTime<Utc>) {
        for line in self.progress.iter_mut().flat_map(|p| p.still(now)) {
            output::note(&line);
        }
    }

    /// What became of it. Returns whether nobody could confirm a thaw.
    pub(super) fn end(&self) -> bool {
        let copying = self.jobs.iter().filter(|job| job.only_copies()).count();
        if copying > 0 {
            output::note(&format!(
                "{copying} left to AWS's copying: any later start of freezeframe records the end"
            ));
        }
        let unconfirmed: Vec<&JobView> = self.jobs.iter().filter(|job| unconfirmed(job)).collect();
        for job in &unconfirmed {
            output::note(&unconfirmed_thaw(job));
        }
        !unconfirmed.is_empty()
    }
}

fn unconfirmed(job: &JobView) -> bool {
    job.thaw_unconfirmed && job.phase == Phase::Done
}

//! Retention: a policy, the plan that follows from it, its review, and what came of it.

mod policy;
mod review;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use self::review::Review;
use super::{Cx, Reaction, Request, Screen, Subject};
use crate::config::theme::Role;
use crate::domain::problem::{Kind, Problem};
use crate::domain::retention::{Policy, PrunePlan};
use crate::tui::action::Action;
use crate::tui::message::{Message, PruneProgress};
use crate::tui::widget::dialog::{Choice, Question, pane};
use crate::tui::widget::form::{self, Focus, Form};
use crate::tui::widget::scroll::Scroll;
use crate::tui::widget::{lane, text, trouble};

enum Stage {
    /// The policy is being written.
    Policy,
    /// The plan is being made.
    Planning,
    /// The plan is being reviewed.
    Review(Review),
    /// The plan is being carried out, or was.
    Running(PruneProgress, Scroll),
}

/// The screen.
pub struct Retention {
    form: Form,
    /// Why there is no plan.
    problem: Option<Problem>,
    stage: Stage,
}

impl Default for Retention {
    fn default() -> Self {
        Self::new()
    }
}

impl Retention {
    /// The screen with the proposed policy.
    pub fn new() -> Self {
        Self {
            form: policy::form(&policy::proposed()),
            problem: None,
            stage: Stage::Policy,
        }
    }

    fn plan(&mut self) -> Reaction {
        match policy::read(&self.form) {
            Ok(policy) => {
                self.problem = None;
                self.stage = Stage::Planning;
                Reaction::ask(Request::PlanPrune(policy))
            }
            Err(problem) => {
                self.problem = Some(problem);
                Reaction::done()
            }
        }
    }

    fn back_to_policy(&mut self, policy: &Policy) {
        self.form = policy::form(policy);
        self.stage = Stage::Policy;
    }

    fn view_policy(&self, frame: &mut Frame<'_>, area: Rect, cx: &Cx<'_>) {
        let width = usize::from(area.width);
        let mut lines: Vec<Line<'static>> = Vec::new();
        let muted = cx.styles.get(Role::Muted);
        let words = "How many sets to keep of each volume. Only what freezeframe made is ever deleted, whole \
                     sets at a time, and never the newest proven one. First comes a plan to review; nothing \
                     is deleted by making it.";
        lines.extend(
            text::wrap(words, width)
                .into_iter()
                .map(|line| Line::styled(line, muted)),
        );
        if let Some(problem) = &self.problem {
            lines.extend(trouble::lines(problem, width, cx.styles));
        }
        let at = form::below(frame, lines, area, self.form.height());
        self.form
            .view(frame, at, cx.styles, &policy::errors(&self.form), &[]);
    }
}

/// The last question before anything is deleted.
fn question(plan: &PrunePlan, cx: &Cx<'_>) -> Question {
    let snapshots = plan.doomed().len();
    let (keep, sets, blocked) = plan.counts();
    let lines = vec![
        (
            format!(
                "{snapshots} snapshots of {sets} sets are deleted for good, in {}.",
                plan.scope
            ),
            Role::Error,
        ),
        (
            format!("{keep} are kept, {blocked} are blocked and stay."),
            Role::Text,
        ),
        (
            "Each is read again first; whatever changed since this review stops the run."
                .to_owned(),
            Role::Muted,
        ),
    ];
    let choices = vec![
        Choice::safe("Keep everything"),
        Choice::guarded(
            format!("Delete {snapshots}"),
            vec![Request::RunPrune(Box::new(plan.clone()))],
        ),
    ];
    let title = cx.world.titled("Delete snapshots?");
    Question::new(title, lines, choices).typed(format!("delete {snapshots}"))
}

fn progress_lines(progress: &PruneProgress, width: usize, cx: &Cx<'_>) -> Vec<Line<'static>> {
    let styles = cx.styles;
    let (deleted, failed) = (progress.deleted.len(), progress.failed.len());
    let done = u64::try_from(deleted + failed).unwrap_or(0);
    let total = u64::try_from(progress.total).unwrap_or(0);
    let (word, role) = match (&progress.stopped, progress.finished, failed) {
        (Some(_), ..) => ("■ stopped", Role::Warn),
        (None, false, _) => ("▶ deleting", Role::Accent),
        (None, true, 0) => ("✔ finished", Role::Ok),
        (None, true, _) => ("✘ finished with failures", Role::Error),
    };
    let head = format!(
        "{word}: {deleted} of {} deleted, {failed} failed  {}",
        progress.total,
        lane::bar(done, total, 20)
    );
    let mut lines = vec![Line::styled(text::fit(&head, width), styles.get(role))];
    if let Some(problem) = &progress.stopped {
        lines.extend(trouble::lines(problem, width, styles));
    }
    for (id, problem) in &progress.failed {
        lines.push(Line::styled(
            text::fit(&format!("✘ {id} is still there"), width),
            styles.get(Role::Error),
        ));
        lines.extend(
            trouble::lines(problem, width.saturating_sub(2), styles)
                .into_iter()
                .map(|mut line| {
                    line.spans.insert(0, "  ".into());
                    line
                }),
        );
    }
    for id in progress.deleted.iter().rev() {
        lines.push(Line::styled(
            text::fit(&format!("✔ {id} deleted"), width),
            styles.get(Role::Text),
        ));
    }
    lines
}

impl Screen for Retention {
    fn title(&self, _cx: &Cx<'_>) -> String {
        match &self.stage {
            Stage::Policy => "Retention: policy",
            Stage::Planning => "Retention: making the plan",
            Stage::Review(_) => "Retention: review",
            Stage::Running(progress, _) if progress.finished => "Retention: result",
            Stage::Running(..) => "Retention: deleting",
        }
        .to_owned()
    }

    fn purpose(&self) -> &'static str {
        match &self.stage {
            Stage::Policy => {
                "Say how many sets to keep; a plan follows, and nothing is deleted by making it."
            }
            Stage::Planning => "The plan is being made; nothing is deleted by making it.",
            Stage::Review(_) => {
                "What the policy keeps, deletes or may not touch, each with its reason, before anything is deleted."
            }
            Stage::Running(..) => "What was deleted so far, and what could not be.",
        }
    }

    fn says(&self, action: Action, _cx: &Cx<'_>) -> Option<(&'static str, &'static str)> {
        match &self.stage {
            Stage::Policy => self.form.says(action),
            Stage::Review(_) if action == Action::Choose => {
                Some(("keep", "keep this one by hand, or put it back"))
            }
            _ => None,
        }
    }

    fn handles(&self, action: Action, _cx: &Cx<'_>) -> bool {
        match &self.stage {
            Stage::Policy => match action {
                Action::Plan => true,
                Action::Back => self.form.typing(),
                _ => self.form.handles(action),
            },
            Stage::Planning => action == Action::Edit || action == Action::Back,
            Stage::Review(review) => match action {
                Action::Open | Action::Describe | Action::Choose => {
                    !review.plan().decisions.is_empty()
                }
                Action::NextField
                | Action::PreviousField
                | Action::Edit
                | Action::Back
                | Action::Refresh => true,
                Action::Run => review.plan().deletions().next().is_some(),
                _ => Review::moves(action),
            },
            Stage::Running(progress, _) => match action {
                Action::Edit | Action::Back => progress.finished,
                _ => Scroll::handles(action),
            },
        }
    }

    fn act(&mut self, action: Action, cx: &Cx<'_>) -> Reaction {
        if !self.handles(action, cx) {
            return Reaction::Ignored;
        }
        match &mut self.stage {
            Stage::Policy => {
                if action == Action::Back {
                    // Out of the field; a second time leaves the screen.
                    self.form.set_focus(Focus::Button(0));
                } else if action == Action::Plan || self.form.act(action).is_some() {
                    return self.plan();
                }
            }
            Stage::Planning => self.stage = Stage::Policy,
            Stage::Review(review) => match action {
                Action::Open | Action::Describe => {
                    let details = review.details(cx);
                    return Reaction::Done(
                        details
                            .map(|d| Request::Open(Box::new(d)))
                            .into_iter()
                            .collect(),
                    );
                }
                Action::Choose => {
                    if let Err(words) = review.toggle() {
                        return Reaction::ask(Request::Say(words));
                    }
                }
                Action::NextField | Action::PreviousField => {
                    review.turn(action == Action::NextField)
                }
                Action::Run => {
                    return Reaction::ask(match cx.world.writes_refused() {
                        Some(reason) => Request::Warn(Problem::new(
                            Kind::Denied,
                            "delete snapshots",
                            format!("writes are refused: {reason}"),
                            "start freezeframe without --read-only, or press ctrl-r until the account is known",
                        )),
                        None => Request::Open(Box::new(question(review.plan(), cx))),
                    });
                }
                Action::Edit | Action::Back => {
                    let policy = review.plan().policy.clone();
                    self.back_to_policy(&policy);
                }
                Action::Refresh => {
                    let policy = review.plan().policy.clone();
                    self.stage = Stage::Planning;
                    return Reaction::ask(Request::PlanPrune(policy));
                }
                _ => review.step(action),
            },
            Stage::Running(_, scroll) => {
                if !scroll.act(action) {
                    self.stage = Stage::Policy;
                }
            }
        }
        Reaction::done()
    }

    fn typing(&self) -> bool {
        matches!(self.stage, Stage::Policy) && self.form.typing()
    }

    fn type_key(&mut self, key: KeyEvent, _cx: &Cx<'_>) -> Vec<Request> {
        self.form.type_key(key);
        self.problem = None;
        Vec::new()
    }

    fn paste(&mut self, pasted: &str, _cx: &Cx<'_>) {
        self.form.paste(pasted);
        self.problem = None;
    }

    fn enter(&mut self, _subject: Subject, _cx: &Cx<'_>) -> Vec<Request> {
        Vec::new()
    }

    fn receive(&mut self, message: &Message, _cx: &Cx<'_>) -> Vec<Request> {
        match message {
            // An answer to a question that was given up does not disturb.
            Message::PrunePlanned { result, .. } if matches!(self.stage, Stage::Planning) => {
                match result {
                    Ok(plan) => self.stage = Stage::Review(Review::new(plan.clone())),
                    Err(problem) => {
                        self.problem = Some(problem.clone());
                        self.stage = Stage::Policy;
                    }
                }
            }
            Message::Prune(progress) => {
                let scroll = match std::mem::replace(&mut self.stage, Stage::Policy) {
                    Stage::Running(_, scroll) => scroll,
                    _ => Scroll::default(),
                };
                self.stage = Stage::Running(progress.clone(), scroll);
            }
            _ => {}
        }
        Vec::new()
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &Cx<'_>) {
        let block = pane(&self.title(cx), cx.styles);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        match &self.stage {
            Stage::Policy => self.view_policy(frame, inner, cx),
            Stage::Planning => {
                let words = "reading the account afresh and working out what to keep…";
                let lines = text::wrap(words, usize::from(inner.width));
                for (line, row) in lines.into_iter().zip(inner.rows()) {
                    frame.render_widget(Line::styled(line, cx.styles.get(Role::Muted)), row);
                }
            }
            Stage::Review(review) => review.view(frame, inner, cx),
            Stage::Running(progress, scroll) => {
                scroll.view(
                    frame,
                    inner,
                    progress_lines(progress, usize::from(inner.width), cx),
                );
            }
        }
    }
}

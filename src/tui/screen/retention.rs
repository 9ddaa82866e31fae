//! Retention: a policy, the plan that follows from it, its review, and what came of it.

mod past;
mod policy;
mod review;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use self::review::Review;
use crate::config::theme::Role;
use crate::domain::filter::RowKind;
use crate::domain::problem::{Kind, Problem};
use crate::domain::prune::count;
use crate::domain::retention::{Policy, PrunePlan};
use crate::tui::action::Action;
use crate::tui::contract::{Reaction, Request, Screen, ScreenContext, Subject};
use crate::tui::message::{Message, Past, PruneProgress};
use crate::tui::widget::dialog::{Choice, Question, pane};
use crate::tui::widget::form::{self, Focus, Form};
use crate::tui::widget::scroll::Scroll;
use crate::tui::widget::{filter_line, lane, text, trouble};

enum Stage {
    /// The policy is being written.
    Policy,
    /// The plan is being made.
    Planning,
    /// The plan is being reviewed.
    Review(Review),
    /// The plan is being carried out, or was.
    Running(PruneProgress, Scroll),
    /// Prunes and restores on record; `None` until they are read.
    Past(Option<Box<Past>>, Scroll),
}

/// The screen.
pub struct Retention {
    form: Form,
    /// The option of the form that was filled in last.
    filled: usize,
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
            form: policy::form(&policy::proposed(), &policy::Named::new(), 0),
            filled: 0,
            problem: None,
            stage: Stage::Policy,
        }
    }

    fn plan(&mut self, cx: &ScreenContext<'_>) -> Reaction {
        match policy::read(&self.form, &cx.model.policies) {
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

    fn back_to_policy(&mut self, policy: &Policy, cx: &ScreenContext<'_>) {
        self.form = policy::form(policy, &cx.model.policies, self.filled);
        self.stage = Stage::Policy;
    }

    /// What was typed is the person's own policy, no more that of the configuration.
    fn changed(&mut self) {
        self.problem = None;
        self.form.choose(0, 0);
        self.filled = 0;
    }

    /// Fills the form with the policy that has just been chosen.
    fn fill(&mut self, cx: &ScreenContext<'_>) {
        let named = &cx.model.policies;
        let option = self.form.chosen(0);
        if named.is_empty() || option == self.filled {
            return;
        }
        self.filled = option;
        if let Some(policy) = policy::chosen(&self.form, named) {
            let focus = self.form.focus();
            self.form = policy::form(policy, named, option);
            self.form.set_focus(focus);
        }
    }

    fn view_policy(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let width = usize::from(area.width);
        let mut lines: Vec<Line<'static>> = Vec::new();
        let muted = cx.styles.get(Role::Muted);
        let words = "How many sets to keep of each volume: proven ones, and unproven ones by the same numbers \
                     among themselves. Only what freezeframe made is deleted, whole sets at a time, never the \
                     newest proven one. A plan to review comes first. Instances, tags and filter narrow each \
                     other; empty: every instance.";
        lines.extend(
            text::wrap(words, width)
                .into_iter()
                .map(|line| Line::styled(line, muted)),
        );
        if let Some(problem) = &self.problem {
            lines.extend(trouble::lines(problem, width, cx.styles));
        }
        let at = form::below(frame, lines, area, self.form.height());
        self.form.view(
            frame,
            at,
            cx.styles,
            &policy::errors(
                &self.form,
                &cx.model.policies,
                (cx.model.instances(), cx.model.snapshots()),
            ),
            &[],
        );
    }
}

/// The last question before anything is deleted.
fn question(plan: &PrunePlan, cx: &ScreenContext<'_>) -> Question {
    let snapshots = plan.doomed().len();
    let (keep, sets, blocked) = plan.counts();
    let lines = vec![
        (
            format!(
                "{} of {} {} deleted for good, in {}.",
                count(snapshots, "snapshot"),
                count(sets, "set"),
                if snapshots == 1 { "is" } else { "are" },
                plan.title()
            ),
            Role::Error,
        ),
        (
            format!(
                "{} kept, {} blocked and stay{}.",
                if keep == 1 {
                    "1 is".to_owned()
                } else {
                    format!("{keep} are")
                },
                if blocked == 1 {
                    "1 is".to_owned()
                } else {
                    format!("{blocked} are")
                },
                if blocked == 1 { "s" } else { "" }
            ),
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
    let title = cx
        .model
        .titled(&format!("Delete {}?", count(snapshots, "snapshot")));
    Question::new(title, lines, choices).typed(format!("delete {snapshots}"))
}

fn progress_lines(
    progress: &PruneProgress,
    width: usize,
    cx: &ScreenContext<'_>,
) -> Vec<Line<'static>> {
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
    let pace = match (&progress.speed, progress.finished) {
        (Some(speed), _) => format!(
            "{}, done about {}",
            speed.words(cx.now),
            speed.ends.format("%H:%M:%SZ")
        ),
        (None, true) => progress.tally(),
        (None, false) => "reading everything again before the first is deleted".to_owned(),
    };
    lines.push(Line::styled(
        text::fit(&pace, width),
        styles.get(Role::Text),
    ));
    // A line of its own: at 80 columns the two do not fit on one.
    if progress.speed.is_some() && !progress.finished {
        let stop = "x stops after the calls under way";
        lines.push(Line::styled(
            text::fit(stop, width),
            styles.get(Role::Muted),
        ));
    }
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
    fn title(&self, _cx: &ScreenContext<'_>) -> String {
        let words = match &self.stage {
            Stage::Policy => "policy".to_owned(),
            Stage::Planning => "making the plan".to_owned(),
            Stage::Review(_) => "review".to_owned(),
            Stage::Running(progress, _) if progress.finished => "result".to_owned(),
            Stage::Running(..) => "deleting".to_owned(),
            Stage::Past(..) => "past prunes and restores".to_owned(),
        };
        format!("Retention: {words}")
    }

    fn explained(&self) -> &'static [&'static str] {
        match &self.stage {
            Stage::Policy if policy::at_filter(&self.form) => filter_line::language(RowKind::Sets),
            _ => &[],
        }
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
            Stage::Past(..) => {
                "What the journal of this machine has of earlier prunes and restores."
            }
        }
    }

    fn says(
        &self,
        action: Action,
        _cx: &ScreenContext<'_>,
    ) -> Option<(&'static str, &'static str)> {
        match &self.stage {
            Stage::Policy => self.form.says(action),
            Stage::Review(_) if action == Action::Choose => {
                Some(("keep", "keep this one by hand, or put it back"))
            }
            Stage::Running(..) if action == Action::CancelJob => {
                Some(("stop", "stop the prune after the calls under way"))
            }
            _ => None,
        }
    }

    fn handles(&self, action: Action, _cx: &ScreenContext<'_>) -> bool {
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
                Action::CancelJob => !progress.finished,
                _ => Scroll::handles(action),
            },
            Stage::Past(..) => match action {
                Action::Back | Action::Refresh => true,
                _ => Scroll::handles(action),
            },
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        if !self.handles(action, cx) {
            return Reaction::Ignored;
        }
        match &mut self.stage {
            Stage::Policy => {
                if action == Action::Back {
                    // Out of the field; a second time leaves the screen.
                    self.form.set_focus(Focus::Button(policy::PLAN));
                    return Reaction::done();
                }
                let pressed = self.form.act(action);
                self.fill(cx);
                match pressed {
                    _ if action == Action::Plan => return self.plan(cx),
                    Some(policy::PLAN) => return self.plan(cx),
                    Some(_) => {
                        self.stage = Stage::Past(None, Scroll::default());
                        return Reaction::ask(Request::LoadPast);
                    }
                    None => {}
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
                    return Reaction::ask(match cx.model.writes_refused() {
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
                    self.back_to_policy(&policy, cx);
                }
                Action::Refresh => {
                    let policy = review.plan().policy.clone();
                    self.stage = Stage::Planning;
                    return Reaction::ask(Request::PlanPrune(policy));
                }
                _ => review.step(action),
            },
            Stage::Running(_, scroll) => {
                if action == Action::CancelJob {
                    return Reaction::Done(vec![
                        Request::StopPrune,
                        Request::Say("stopping after the calls under way".to_owned()),
                    ]);
                }
                if !scroll.act(action) {
                    self.stage = Stage::Policy;
                }
            }
            Stage::Past(_, scroll) => {
                if action == Action::Refresh {
                    return Reaction::ask(Request::LoadPast);
                }
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

    fn type_key(&mut self, key: KeyEvent, _cx: &ScreenContext<'_>) -> Vec<Request> {
        self.form.type_key(key);
        self.changed();
        Vec::new()
    }

    fn paste(&mut self, pasted: &str, _cx: &ScreenContext<'_>) {
        self.form.paste(pasted);
        self.changed();
    }

    fn enter(&mut self, _subject: Subject, cx: &ScreenContext<'_>) -> Vec<Request> {
        // The policies of the configuration are known only now; what was typed stays.
        if !cx.model.policies.is_empty() && self.form.fields() == policy::FIELDS {
            self.form = policy::form(&policy::proposed(), &cx.model.policies, 0);
        }
        Vec::new()
    }

    fn receive(&mut self, message: &Message, _cx: &ScreenContext<'_>) -> Vec<Request> {
        match message {
            // An answer to a question that was given up does not disturb.
            Message::PrunePlanned { result, .. } if matches!(self.stage, Stage::Planning) => {
                match result {
                    Ok(plan) if plan.is_of_nothing() => {
                        self.problem = Some(plan.of_nothing());
                        self.stage = Stage::Policy;
                    }
                    Ok(plan) => self.stage = Stage::Review(Review::new(plan.clone())),
                    Err(problem) => {
                        self.problem = Some(problem.clone());
                        self.stage = Stage::Policy;
                    }
                }
            }
            Message::Past(result) => {
                if let Stage::Past(past, _) = &mut self.stage {
                    match result {
                        Ok(found) => *past = Some(found.clone()),
                        Err(problem) => return vec![Request::Warn(problem.clone())],
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

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
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
            Stage::Past(past, scroll) => {
                let width = usize::from(inner.width);
                let lines = match past {
                    Some(past) => past::lines(past, width, cx),
                    None => vec![Line::styled(
                        text::fit("reading the journal…", width),
                        cx.styles.get(Role::Muted),
                    )],
                };
                scroll.view(frame, inner, lines);
                scroll.tell(frame, area, cx.styles);
            }
        }
    }
}

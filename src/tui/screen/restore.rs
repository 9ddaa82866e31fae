//! Restore beside the data, in four steps: point in time, target, the exact calls, live status.

mod choose;
mod target;
mod text;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use self::choose::Choose;
use self::target::Target;
use crate::config::theme::Role;
use crate::domain::ids::JobId;
use crate::domain::naming;
use crate::domain::problem::{Kind, Problem};
use crate::domain::proof;
use crate::domain::restore::{RestorePlan, RestoreView, is_root_device};
use crate::domain::text::counted;
use crate::tui::action::Action;
use crate::tui::contract::{Reaction, Request, Screen, ScreenContext, Subject};
use crate::tui::message::Message;
use crate::tui::model::Remembered;
use crate::tui::style;
use crate::tui::widget::dialog::{Choice, Question, pane};
use crate::tui::widget::form::{self, Focus};
use crate::tui::widget::scroll::Scroll;
use crate::tui::widget::{self, filter_line, trouble};

enum Stage {
    /// Step 1.
    Choose,
    /// Step 2.
    Target(Target),
    /// Between 2 and 3.
    Planning(Target),
    /// Step 3; the form is kept for going back.
    Review(Target, Box<RestorePlan>, Scroll),
    /// Step 4.
    Running(Box<RestoreView>, Scroll),
}

/// The screen.
pub struct Restore {
    choose: Choose,
    stage: Stage,
    /// Why there is no plan.
    problem: Option<Problem>,
}

impl Default for Restore {
    fn default() -> Self {
        Self::new()
    }
}

impl Restore {
    /// The wizard at its first step.
    pub fn new() -> Self {
        Self {
            choose: Choose::default(),
            stage: Stage::Choose,
            problem: None,
        }
    }

    fn is_running(&self) -> bool {
        matches!(&self.stage, Stage::Running(view, _) if !view.finished)
    }

    /// Goes to step 2 for that set, or says why not.
    fn pick(&mut self, job: &JobId, cx: &ScreenContext<'_>) -> Vec<Request> {
        let Some(set) = cx.model.set(job) else {
            return Vec::new();
        };
        if let Some(refusal) = choose::refusal(set) {
            return vec![Request::Say(format!(
                "this set cannot be restored now: {refusal}"
            ))];
        }
        self.problem = None;
        self.stage = Stage::Target(Target::new(job.clone(), cx));
        Vec::new()
    }

    fn ask(&mut self, cx: &ScreenContext<'_>) -> Vec<Request> {
        let stage = std::mem::replace(&mut self.stage, Stage::Choose);
        let Stage::Target(target) = stage else {
            self.stage = stage;
            return Vec::new();
        };
        match target.request(cx) {
            Ok(request) => {
                self.problem = None;
                self.stage = Stage::Planning(target);
                vec![Request::PlanRestore(request)]
            }
            Err(error) => {
                self.stage = Stage::Target(target);
                vec![Request::Say(format!(
                    "correct the marked field first: {error}"
                ))]
            }
        }
    }

    /// From the plan, or its making, back to the form.
    fn back_to_target(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Choose) {
            Stage::Planning(target) | Stage::Review(target, ..) => Stage::Target(target),
            other => other,
        };
    }

    fn view_target(
        &self,
        target: &Target,
        frame: &mut Frame<'_>,
        area: Rect,
        cx: &ScreenContext<'_>,
    ) {
        let width = usize::from(area.width);
        let mut lines: Vec<Line<'static>> = Vec::new();
        if let Some(set) = cx.model.set(&target.set) {
            let (symbol, word, role) = style::level(Some(set.level));
            let whose = set.instance.as_ref();
            let whose = whose.map_or_else(|| "?".to_owned(), |id| cx.model.named_full(id));
            let worth = if set.level.is_proven() {
                ""
            } else {
                ": NOT PROVEN, expect what a power failure leaves"
            };
            let line = format!(
                "{symbol} {word}{worth} · {} of {whose}",
                style::moment(set.started)
            );
            lines.extend(
                widget::text::wrap(&line, width)
                    .into_iter()
                    .map(|l| Line::styled(l, cx.styles.get(role))),
            );
            let job = match cx.model.remembered(&set.job) {
                Remembered::Here(job) => Some(job),
                Remembered::Nowhere | Remembered::NotAsked => None,
            };
            for member in choose::members(set, cx) {
                let (symbol, word, _) = style::level(Some(proof::member(member, job).level));
                let device = member.device().unwrap_or("?");
                let of = set.instance.as_ref().and_then(|id| cx.model.instance(id));
                let out = if is_root_device(device, of) {
                    "  (root: stays out)"
                } else {
                    ""
                };
                let line = format!(
                    "  {symbol} {word}  {device}  {}  {} GiB{out}",
                    member.id, member.volume_gib
                );
                lines.push(Line::styled(
                    widget::text::fit(&line, width),
                    cx.styles.get(Role::Muted),
                ));
            }
        }
        if let Some(problem) = &self.problem {
            lines.extend(trouble::lines(problem, width, cx.styles));
        }
        let at = form::below(frame, lines, area, target.form.height());
        target
            .form
            .view(frame, at, cx.styles, &target.errors(cx), &[]);
    }
}

/// What has to be typed: the target's name when it names one instance only, else its id.
fn level_word<'a>(plan: &'a RestorePlan, cx: &ScreenContext<'_>) -> &'a str {
    let name = plan.target_name.as_str();
    let typable = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic());
    let namesakes = cx
        .model
        .instances()
        .iter()
        .filter(|i| i.name() == name)
        .count();
    if typable && namesakes <= 1 {
        name
    } else {
        plan.target.as_str()
    }
}

fn question(plan: &RestorePlan, cx: &ScreenContext<'_>) -> Question {
    let made = text::volumes(plan.items.len());
    let mounted = plan
        .items
        .iter()
        .filter(|item| item.mount.is_some())
        .count();
    let mut lines = vec![
        (
            format!(
                "{made} created and attached to {}",
                naming::full(Some(&plan.target_name), plan.target.as_str())
            ),
            Role::Text,
        ),
        (format!("{mounted} of them mounted"), Role::Text),
        (
            format!("in {}; they cost money until you delete them", plan.scope),
            Role::Warn,
        ),
        ("originals are untouched".to_owned(), Role::Ok),
    ];
    let same: Vec<&str> = plan
        .items
        .iter()
        .flat_map(|item| &item.same_filesystems)
        .map(|twin| twin.volume.as_str())
        .collect();
    if !same.is_empty() {
        lines.push((
            format!(
                "the same filesystem UUIDs are there already, on {}: mount the copies by their devices, not by UUID or LABEL",
                same.join(", ")
            ),
            Role::Warn,
        ));
    }
    let choices = vec![
        Choice::safe("Do nothing"),
        Choice::guarded("Restore", vec![Request::RunRestore(Box::new(plan.clone()))]),
    ];
    let title = cx.model.titled("Restore beside the data?");
    Question::new(title, lines, choices).typed(level_word(plan, cx))
}

impl Screen for Restore {
    fn title(&self, cx: &ScreenContext<'_>) -> String {
        match &self.stage {
            Stage::Choose => match &self.choose.instance {
                Some(id) => format!("Restore 1/4, {}: point in time", cx.model.named_short(id)),
                None => "Restore 1/4: point in time".to_owned(),
            },
            Stage::Target(_) => "Restore 2/4: target".to_owned(),
            Stage::Planning(_) => "Restore 3/4: making the plan".to_owned(),
            Stage::Review(..) => "Restore 3/4: review the calls".to_owned(),
            Stage::Running(view, _) if view.finished => "Restore 4/4: result".to_owned(),
            Stage::Running(..) => "Restore 4/4: restoring".to_owned(),
        }
    }

    fn explained(&self) -> &'static [&'static str] {
        match &self.stage {
            Stage::Choose if self.choose.typing() => self.choose.explained(),
            _ => &[],
        }
    }

    fn purpose(&self) -> &'static str {
        match &self.stage {
            Stage::Choose if self.choose.typing() => filter_line::PURPOSE,
            Stage::Choose => {
                "Step 1 of 4: choose the point in time that comes back, beside the data; nothing is made yet."
            }
            Stage::Target(_) => "Step 2 of 4: say where the new volumes go; nothing is made yet.",
            Stage::Planning(_) => {
                "Between steps: the exact calls are worked out; nothing is made yet."
            }
            Stage::Review(..) => {
                "Step 3 of 4: every call that will be made, to read, copy or carry out."
            }
            Stage::Running(..) => "Step 4 of 4: what was made so far; originals are not touched.",
        }
    }

    fn says(
        &self,
        action: Action,
        _cx: &ScreenContext<'_>,
    ) -> Option<(&'static str, &'static str)> {
        match &self.stage {
            Stage::Target(target) => target.form.says(action),
            Stage::Review(..) | Stage::Running(..) if action == Action::CopyId => {
                Some(("copy lines", "copy every AWS CLI line of the plan"))
            }
            _ => None,
        }
    }

    fn handles(&self, action: Action, cx: &ScreenContext<'_>) -> bool {
        match &self.stage {
            Stage::Choose => match action {
                Action::Open if !self.choose.typing() => self.choose.current(cx).is_some(),
                Action::CopyId if !self.choose.typing() => self.choose.current(cx).is_some(),
                _ => self.choose.handles(action),
            },
            Stage::Target(target) => match action {
                Action::Back => true,
                Action::Plan => !target.form.typing(),
                _ => target.form.handles(action),
            },
            Stage::Planning(_) => matches!(action, Action::Back | Action::Edit),
            Stage::Review(..) => match action {
                Action::Back | Action::Edit | Action::Run | Action::Open | Action::CopyId => true,
                _ => Scroll::handles(action),
            },
            Stage::Running(view, _) => match action {
                Action::Back => view.finished,
                Action::CopyId => true,
                _ => Scroll::handles(action),
            },
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        if !self.handles(action, cx) {
            return Reaction::Ignored;
        }
        match &mut self.stage {
            Stage::Choose => match (action, self.choose.current(cx)) {
                (Action::Open, Some(set)) if !self.choose.typing() => {
                    return Reaction::Done(self.pick(&set.job, cx));
                }
                (Action::CopyId, Some(set)) if !self.choose.typing() => {
                    return Reaction::ask(Request::Copy(set.job.to_string()));
                }
                _ => self.choose.act(action, cx),
            },
            Stage::Target(target) => {
                let pressed = match action {
                    Action::Back if target.form.typing() => {
                        // Out of the field; a second time goes back.
                        target.form.set_focus(Focus::Button(target::BACK));
                        None
                    }
                    Action::Back => Some(target::BACK),
                    Action::Plan => Some(target::BACK + 1),
                    _ => target.form.act(action),
                };
                match pressed {
                    Some(target::BACK) => {
                        self.stage = Stage::Choose;
                        self.choose.arrange(cx);
                    }
                    Some(_) => return Reaction::Done(self.ask(cx)),
                    None => {}
                }
            }
            Stage::Planning(_) => self.back_to_target(),
            Stage::Review(_, plan, scroll) => match action {
                Action::Back | Action::Edit => self.back_to_target(),
                Action::CopyId => return copy(plan),
                Action::Run | Action::Open => {
                    return Reaction::ask(match cx.model.writes_refused() {
                        Some(reason) => Request::Warn(Problem::new(
                            Kind::Denied,
                            "restore",
                            format!("writes are refused: {reason}"),
                            "start freezeframe without --read-only, or copy the lines with y",
                        )),
                        None => Request::Open(Box::new(question(plan, cx))),
                    });
                }
                _ => {
                    scroll.act(action);
                }
            },
            Stage::Running(view, scroll) => match action {
                Action::Back => {
                    self.stage = Stage::Choose;
                    self.choose.arrange(cx);
                }
                Action::CopyId => return copy(&view.plan),
                _ => {
                    scroll.act(action);
                }
            },
        }
        Reaction::done()
    }

    fn typing(&self) -> bool {
        match &self.stage {
            Stage::Choose => self.choose.typing(),
            Stage::Target(target) => target.form.typing(),
            _ => false,
        }
    }

    fn type_key(&mut self, key: KeyEvent, cx: &ScreenContext<'_>) -> Vec<Request> {
        match &mut self.stage {
            Stage::Choose => self.choose.type_key(key, cx),
            Stage::Target(target) => target.form.type_key(key),
            _ => {}
        }
        Vec::new()
    }

    fn paste(&mut self, pasted: &str, cx: &ScreenContext<'_>) {
        match &mut self.stage {
            Stage::Choose => self.choose.paste(pasted, cx),
            Stage::Target(target) => target.form.paste(pasted),
            _ => {}
        }
    }

    fn enter(&mut self, subject: Subject, cx: &ScreenContext<'_>) -> Vec<Request> {
        if self.is_running() && matches!(subject, Subject::Instance(_) | Subject::Set(_)) {
            return vec![Request::Say(
                "a restore is under way; begin another when it has ended".to_owned(),
            )];
        }
        match subject {
            Subject::Instance(id) => {
                self.choose = Choose::of(Some(id));
                self.stage = Stage::Choose;
                self.choose.arrange(cx);
                Vec::new()
            }
            Subject::Set(job) => {
                let instance = cx.model.set(&job).and_then(|set| set.instance.clone());
                self.choose = Choose::of(instance);
                self.stage = Stage::Choose;
                self.choose.arrange(cx);
                self.choose.select(&job);
                self.pick(&job, cx)
            }
            _ => {
                self.choose.arrange(cx);
                Vec::new()
            }
        }
    }

    fn receive(&mut self, message: &Message, _cx: &ScreenContext<'_>) -> Vec<Request> {
        match message {
            // An answer to a question that was given up does not disturb.
            Message::RestorePlanned { result, .. } if matches!(self.stage, Stage::Planning(_)) => {
                self.back_to_target();
                match (result, std::mem::replace(&mut self.stage, Stage::Choose)) {
                    (Ok(plan), Stage::Target(target)) => {
                        self.stage = Stage::Review(target, plan.clone(), Scroll::default());
                    }
                    (Err(problem), stage) => {
                        self.problem = Some(problem.clone());
                        self.stage = stage;
                    }
                    (Ok(_), stage) => self.stage = stage,
                }
            }
            Message::Restore(view) => {
                let scroll = match std::mem::replace(&mut self.stage, Stage::Choose) {
                    Stage::Running(_, scroll) => scroll,
                    _ => Scroll::default(),
                };
                self.stage = Stage::Running(view.clone(), scroll);
            }
            _ => {}
        }
        Vec::new()
    }

    fn world_changed(&mut self, cx: &ScreenContext<'_>) {
        self.choose.arrange(cx);
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let block = pane(&self.title(cx), cx.styles);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let width = usize::from(inner.width);
        match &self.stage {
            Stage::Choose => self.choose.view(frame, inner, cx),
            Stage::Target(target) => self.view_target(target, frame, inner, cx),
            Stage::Planning(_) => {
                let lines = widget::text::wrap(
                    "reading set and target afresh, working out the calls…",
                    width,
                );
                for (line, row) in lines.into_iter().zip(inner.rows()) {
                    frame.render_widget(Line::styled(line, cx.styles.get(Role::Muted)), row);
                }
            }
            Stage::Review(_, plan, scroll) => {
                scroll.view(frame, inner, text::plan(plan, width, cx));
                scroll.tell(frame, area, cx.styles);
            }
            Stage::Running(view, scroll) => {
                scroll.view(frame, inner, text::status(view, width, cx));
                scroll.tell(frame, area, cx.styles);
            }
        }
    }
}

fn copy(plan: &RestorePlan) -> Reaction {
    Reaction::Done(vec![
        Request::Copy(text::cli(plan)),
        Request::Say(format!(
            "copied {}",
            counted(plan.calls.len(), "AWS CLI line")
        )),
    ])
}

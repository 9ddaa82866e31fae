//! The review before a run: which instances, with which recipe, what will be refused at once and why.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use strum::Display;

use super::fleet::refusal;
use super::{Cx, Reaction, Request, Screen, ScreenId, Subject};
use crate::config::theme::Role;
use crate::domain::ids::{InstanceId, RunId};
use crate::domain::job::OnFailure;
use crate::tui::action::Action;
use crate::tui::effect::RunRequest;
use crate::tui::widget::dialog;
use crate::tui::widget::form::{Field, Focus, Form};
use crate::tui::widget::text;

/// Budget that the field begins with, in seconds.
const BUDGET_S: u32 = 30;
const ON_FAILURE: [OnFailure; 2] = [OnFailure::Skip, OnFailure::CrashConsistent];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Display)]
enum Button {
    Cancel,
    Start,
}

const BUTTONS: [Button; 2] = [Button::Cancel, Button::Start];

/// The dialog.
pub struct SnapshotDialog {
    instances: Vec<InstanceId>,
    form: Form,
}

impl SnapshotDialog {
    /// A review of these instances; the focus is on Cancel.
    pub fn new(instances: Vec<InstanceId>) -> Self {
        let fields = vec![
            Field::text("frozen at most (s)", BUDGET_S.to_string()),
            Field::choice(
                "if it cannot freeze",
                ON_FAILURE.iter().map(ToString::to_string).collect(),
            ),
        ];
        let buttons = BUTTONS.iter().map(ToString::to_string).collect();
        Self {
            instances,
            form: Form::new(fields, buttons, 0),
        }
    }

    fn budget(&self) -> Result<u32, String> {
        match self.form.value(0).trim().parse::<u32>() {
            Ok(seconds) if (1..=999).contains(&seconds) => Ok(seconds),
            _ => Err("1 to 999 seconds".to_owned()),
        }
    }

    /// Instances and why each is refused, if it is.
    fn review<'a>(
        &'a self,
        cx: &'a Cx<'_>,
    ) -> impl Iterator<Item = (&'a InstanceId, Option<String>)> {
        self.instances.iter().map(|id| {
            let reason = match cx.world.instance(id) {
                None => Some("it is no longer there".to_owned()),
                Some(instance) => refusal(instance).or_else(|| {
                    let busy = cx.world.running().any(|job| job.spec.instance == *id);
                    busy.then(|| "another job runs on it".to_owned())
                }),
            };
            (id, reason)
        })
    }

    fn start(&mut self, cx: &Cx<'_>) -> Vec<Request> {
        let budget_s = match self.budget() {
            Ok(seconds) => seconds,
            Err(error) => {
                self.form.set_focus(Focus::Field(0));
                return vec![Request::Say(format!("frozen at most: {error}"))];
            }
        };
        if let Some(reason) = cx.world.writes_refused() {
            return vec![Request::Say(format!("refused: {reason}"))];
        }
        if self.review(cx).all(|(_, reason)| reason.is_some()) {
            return vec![Request::Say(
                "every instance would be refused; nothing to start".to_owned(),
            )];
        }
        let run = RunId::from_api((cx.new_id)());
        let request = RunRequest {
            run: run.clone(),
            instances: self.instances.clone(),
            budget_s,
            on_failure: ON_FAILURE
                .get(self.form.chosen(1))
                .copied()
                .unwrap_or_default(),
        };
        vec![
            Request::Close,
            Request::StartRun(request),
            Request::Go(ScreenId::Jobs, Subject::Run(run)),
        ]
    }

    fn lines(&self, cells: usize, cx: &Cx<'_>) -> Vec<Line<'static>> {
        let names = self
            .instances
            .iter()
            .map(|id| text::width(cx.world.instance_name(id)))
            .max()
            .unwrap_or(0)
            .min(cells / 3);
        let mut out = Vec::new();
        for (id, reason) in self.review(cx) {
            let name = text::pad(cx.world.instance_name(id), names, false);
            let recipe = cx
                .world
                .instance(id)
                .and_then(|i| i.recipe_tag())
                .unwrap_or("—")
                .to_owned();
            let (mark, words, role) = match reason {
                None => ("✓", recipe, Role::Ok),
                Some(reason) => ("✗", format!("refused: {reason}"), Role::Warn),
            };
            let room = cells.saturating_sub(names + 4);
            let mut head = vec![
                Span::styled(format!("{mark} "), cx.styles.get(role)),
                Span::styled(format!("{name}  "), cx.styles.get(Role::Text)),
            ];
            for (n, part) in text::wrap(&words, room).into_iter().enumerate() {
                if n > 0 {
                    head = vec![Span::raw(" ".repeat(names + 4))];
                }
                head.push(Span::styled(part, cx.styles.get(role)));
                out.push(Line::from(std::mem::take(&mut head)));
            }
        }
        out
    }
}

impl Screen for SnapshotDialog {
    fn title(&self, _cx: &Cx<'_>) -> String {
        "Consistent snapshots".to_owned()
    }

    fn handles(&self, action: Action, _cx: &Cx<'_>) -> bool {
        action == Action::Back || self.form.handles(action)
    }

    fn act(&mut self, action: Action, cx: &Cx<'_>) -> Reaction {
        if action == Action::Back {
            return Reaction::ask(Request::Close);
        }
        if !self.form.handles(action) {
            return Reaction::Ignored;
        }
        match self.form.act(action).and_then(|i| BUTTONS.get(i)) {
            None => Reaction::done(),
            Some(Button::Cancel) => Reaction::ask(Request::Close),
            Some(Button::Start) => Reaction::Done(self.start(cx)),
        }
    }

    fn typing(&self) -> bool {
        self.form.typing()
    }

    fn type_key(&mut self, key: KeyEvent, _cx: &Cx<'_>) -> Vec<Request> {
        self.form.type_key(key);
        Vec::new()
    }

    fn paste(&mut self, pasted: &str, _cx: &Cx<'_>) {
        self.form.paste(pasted);
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &Cx<'_>) {
        let width = area.width.saturating_sub(6).min(86);
        let lines = self.lines(usize::from(width), cx);
        let will = self
            .review(cx)
            .filter(|(_, reason)| reason.is_none())
            .count();
        let all = self.instances.len();
        let note = "Root volumes are in the set but not frozen: never more than crash.";
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        let wanted = height.saturating_add(4).saturating_add(self.form.height());
        let inner = dialog::open(
            frame,
            area,
            "Consistent snapshots",
            (width, wanted),
            cx.styles,
        );
        let below = self.form.height().min(inner.height);
        let above = usize::from(inner.height - below);
        let mut shown = vec![Line::styled(
            format!("{will} of {all} will run:"),
            cx.styles
                .get(if will == 0 { Role::Warn } else { Role::Title }),
        )];
        // One line for the count, two for the note; the rest for instances, the last telling how many more.
        let room = above.saturating_sub(4);
        let hidden = lines.len().saturating_sub(room);
        if hidden > 0 {
            shown.extend(lines.into_iter().take(room.saturating_sub(1)));
            shown.push(Line::styled(
                format!("… {} more lines", hidden + 1),
                cx.styles.get(Role::Muted),
            ));
        } else {
            shown.extend(lines);
        }
        shown.push(Line::default());
        shown.push(Line::styled(
            text::fit(note, usize::from(inner.width)),
            cx.styles.get(Role::Muted),
        ));
        for (line, row) in shown.into_iter().zip(inner.rows().take(above)) {
            frame.render_widget(line, row);
        }
        let errors: Vec<(usize, String)> =
            self.budget().err().map(|e| (0, e)).into_iter().collect();
        let dim = if will == 0 || cx.world.writes_refused().is_some() {
            vec![1]
        } else {
            Vec::new()
        };
        let at = Rect {
            y: inner.bottom() - below,
            height: below,
            ..inner
        };
        self.form.view(frame, at, cx.styles, &errors, &dim);
    }

    fn is_dialog(&self) -> bool {
        true
    }
}

//! Dialogs: a frame in the middle, and the question with its buttons (and, where something is
//! destroyed, a word to type).

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Clear};

use super::form::{Field, Form};
use super::text;
use crate::config::theme::Role;
use crate::tui::action::Action;
use crate::tui::screen::{Cx, Reaction, Request, Screen};
use crate::tui::style::Styles;

/// The border of a pane or dialog, with its title.
pub fn pane(title: &str, styles: &Styles) -> Block<'static> {
    Block::bordered()
        .border_type(BorderType::Plain)
        .border_style(styles.get(Role::Border))
        .title(Line::styled(
            format!(" {} ", text::fit(title, 200)),
            styles.get(Role::Title),
        ))
}

/// Clears a space in the middle of `area` and draws a border; the space inside is returned.
pub fn open(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    (width, height): (u16, u16),
    styles: &Styles,
) -> Rect {
    let at = area.centered(
        Constraint::Length(width.saturating_add(4).min(area.width)),
        Constraint::Length(height.saturating_add(2).min(area.height)),
    );
    frame.render_widget(Clear, at);
    let block = pane(title, styles).border_style(styles.get(Role::Accent));
    let inner = block.inner(at);
    frame.render_widget(block, at);
    Rect {
        x: inner.x.saturating_add(1).min(inner.right()),
        width: inner.width.saturating_sub(2),
        ..inner
    }
}

/// A button of a question and what pressing it asks.
pub struct Choice {
    label: String,
    requests: Option<Vec<Request>>,
    guarded: bool,
}

impl Choice {
    /// A button that only closes the dialog.
    pub fn safe(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            requests: Some(Vec::new()),
            guarded: false,
        }
    }

    /// A button that closes the dialog and asks.
    pub fn asks(label: impl Into<String>, requests: Vec<Request>) -> Self {
        Self {
            label: label.into(),
            requests: Some(requests),
            guarded: false,
        }
    }

    /// The same, but only once the word of the dialog is typed.
    pub fn guarded(label: impl Into<String>, requests: Vec<Request>) -> Self {
        Self {
            label: label.into(),
            requests: Some(requests),
            guarded: true,
        }
    }
}

/// What a question says, worked out anew whenever it is drawn.
type Live = Box<dyn Fn(&Cx<'_>) -> Vec<(String, Role)> + Send>;

/// A question. The first choice is the safe one and has the focus; `Esc` is the same as pressing it.
pub struct Question {
    title: String,
    lines: Live,
    word: Option<String>,
    choices: Vec<Choice>,
    form: Form,
}

impl Question {
    /// A question in a few lines with its choices, the safe one first.
    pub fn new(title: impl Into<String>, lines: Vec<(String, Role)>, choices: Vec<Choice>) -> Self {
        Self::live(title, move |_| lines.clone(), choices)
    }

    /// The same about something that goes on while it is asked: `lines` says how it stands now.
    pub fn live(
        title: impl Into<String>,
        lines: impl Fn(&Cx<'_>) -> Vec<(String, Role)> + Send + 'static,
        choices: Vec<Choice>,
    ) -> Self {
        let buttons = choices.iter().map(|c| c.label.clone()).collect();
        let form = Form::new(Vec::new(), buttons, 0);
        Self {
            title: title.into(),
            lines: Box::new(lines),
            word: None,
            choices,
            form,
        }
    }

    /// The same; guarded choices need this word (compared exactly, blanks around it ignored).
    #[must_use]
    pub fn typed(mut self, word: impl Into<String>) -> Self {
        let word = word.into();
        let buttons = self.choices.iter().map(|c| c.label.clone()).collect();
        self.form = Form::new(vec![Field::text(format!("type {word}"), "")], buttons, 0);
        self.word = Some(word);
        self
    }

    fn word_is_typed(&self) -> bool {
        self.word
            .as_ref()
            .is_none_or(|word| self.form.value(0).trim() == word)
    }
}

impl Screen for Question {
    fn title(&self, _cx: &Cx<'_>) -> String {
        self.title.clone()
    }

    fn purpose(&self) -> &'static str {
        "A question before something is done; Esc, or the first button, does nothing."
    }

    fn handles(&self, action: Action, _cx: &Cx<'_>) -> bool {
        action == Action::Back || self.form.handles(action)
    }

    fn act(&mut self, action: Action, cx: &Cx<'_>) -> Reaction {
        if action == Action::Back {
            return Reaction::ask(Request::Close);
        }
        if !self.handles(action, cx) {
            return Reaction::Ignored;
        }
        let Some(button) = self.form.act(action) else {
            return Reaction::done();
        };
        let typed = self.word_is_typed();
        let Some(choice) = self.choices.get_mut(button) else {
            return Reaction::done();
        };
        if choice.guarded && !typed {
            let word = self.word.as_deref().unwrap_or_default();
            return Reaction::ask(Request::Say(format!("type {word} first")));
        }
        let mut requests = vec![Request::Close];
        requests.extend(choice.requests.take().unwrap_or_default());
        Reaction::Done(requests)
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
        let buttons: usize = self.choices.iter().map(|c| text::width(&c.label) + 7).sum();
        let said = (self.lines)(cx);
        let width = area.width.saturating_sub(6).min(
            u16::try_from(
                said.iter()
                    .map(|(l, _)| text::width(l))
                    .max()
                    .unwrap_or(0)
                    .max(buttons),
            )
            .unwrap_or(u16::MAX)
            .clamp(40, 90),
        );
        let wrapped: Vec<Line<'_>> = said
            .iter()
            .flat_map(|(line, role)| {
                let style = cx.styles.get(*role);
                text::wrap(line, usize::from(width))
                    .into_iter()
                    .map(move |l| Line::styled(l, style))
            })
            .collect();
        let lines = u16::try_from(wrapped.len()).unwrap_or(u16::MAX);
        let wanted = lines.saturating_add(1).saturating_add(self.form.height());
        let inner = open(frame, area, &self.title, (width, wanted), cx.styles);
        // The buttons stay visible when there is too little room for the words.
        let below = self.form.height().min(inner.height);
        let above = inner.height - below;
        for (line, row) in wrapped
            .into_iter()
            .zip(inner.rows().take(usize::from(above)))
        {
            frame.render_widget(line, row);
        }
        let at = Rect {
            y: inner.y + above,
            height: below,
            ..inner
        };
        let dim: Vec<usize> = if self.word_is_typed() {
            Vec::new()
        } else {
            (0..self.choices.len())
                .filter(|i| self.choices[*i].guarded)
                .collect()
        };
        self.form.view(frame, at, cx.styles, &[], &dim);
    }

    fn is_dialog(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::theme::Theme;
    use crate::tui::app::world::World;
    use crate::tui::style::Depth;

    #[test]
    fn what_destroys_needs_its_word_and_the_safe_button_comes_first() {
        let world = World::default();
        let styles = Styles::new(Theme::builtin("freezeframe").unwrap(), Depth::None);
        let cx = Cx {
            world: &world,
            now: chrono::DateTime::UNIX_EPOCH,
            styles: &styles,
            new_id: String::new,
        };
        let asks = || {
            let go = Choice::guarded("Delete", vec![Request::Quit]);
            Question::new("Sure?", Vec::new(), vec![Choice::safe("Keep"), go]).typed("delete 3")
        };
        let press = |question: &mut Question, actions: &[Action]| {
            let mut last = Vec::new();
            for action in actions {
                if let Reaction::Done(requests) = question.act(*action, &cx) {
                    last = requests;
                }
            }
            last
        };
        let safe = press(&mut asks(), &[Action::Open]);
        assert!(matches!(safe[..], [Request::Close]));
        let early = press(&mut asks(), &[Action::Right, Action::Open]);
        assert!(
            matches!(early[..], [Request::Say(_)]),
            "the dialog stays open"
        );
        for (typed, agreed) in [
            ("delete 3", true),
            (" delete 3 ", true),
            ("delete", false),
            ("DELETE 3", false),
        ] {
            let mut question = asks();
            press(&mut question, &[Action::PreviousField]);
            assert!(question.typing());
            question.paste(typed, &cx);
            let done = press(
                &mut question,
                &[Action::NextField, Action::NextField, Action::Open],
            );
            assert_eq!(
                matches!(done[..], [Request::Close, Request::Quit]),
                agreed,
                "{typed:?}"
            );
        }
    }
}

//! Dialogs: a frame in the middle, and the question with its buttons (and, where something is
//! destroyed, a word to type).

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Clear};

use super::form::{Field, Focus, Form, view_input};
use super::text;
use crate::config::theme::Role;
use crate::tui::action::Action;
use crate::tui::contract::{Reaction, Request, Screen, ScreenContext};
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

/// The field that the word is typed into.
const FIELD: usize = 0;
/// Lines that the word takes with its box: label, box, what is missing, a blank one, the buttons.
const TYPED: u16 = 7;

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
type Live = Box<dyn Fn(&ScreenContext<'_>) -> Vec<(String, Role)> + Send>;

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
        lines: impl Fn(&ScreenContext<'_>) -> Vec<(String, Role)> + Send + 'static,
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

    /// The same; guarded choices need this word (compared exactly, blanks around it ignored). What is typed goes to
    /// its field wherever the focus is.
    #[must_use]
    pub fn typed(mut self, word: impl Into<String>) -> Self {
        let buttons = self.choices.iter().map(|c| c.label.clone()).collect();
        self.form = Form::new(vec![Field::text("", "")], buttons, 0);
        self.word = Some(word.into());
        self
    }

    fn word_is_typed(&self) -> bool {
        self.word
            .as_ref()
            .is_none_or(|word| self.form.value(FIELD).trim() == word)
    }

    /// What is still missing of the word, or what Enter does now.
    fn missing(&self, word: &str) -> (String, Role) {
        let typed = self.form.value(FIELD).trim();
        let guarded = self.choices.iter().find(|choice| choice.guarded);
        if typed == word {
            let label = guarded.map_or("ok", |choice| choice.label.as_str());
            (format!("Enter: {label}"), Role::Ok)
        } else if typed.is_empty() {
            (format!("type {word} first"), Role::Muted)
        } else if let Some(rest) = word.strip_prefix(typed) {
            (format!("still to type: {}", rest.trim()), Role::Warn)
        } else {
            (
                format!("this is not {word}: correct it, or Esc does nothing"),
                Role::Warn,
            )
        }
    }

    fn press(&mut self, button: usize) -> Reaction {
        let typed = self.word_is_typed();
        let Some(choice) = self.choices.get_mut(button) else {
            return Reaction::done();
        };
        if choice.guarded && !typed {
            self.form.set_focus(Focus::Field(FIELD));
            let word = self.word.as_deref().unwrap_or_default();
            return Reaction::ask(Request::Say(self.missing(word).0));
        }
        let mut requests = vec![Request::Close];
        requests.extend(choice.requests.take().unwrap_or_default());
        Reaction::Done(requests)
    }

    /// The word's label, its box, what is missing, the buttons: as much of it as fits, the last ones first.
    fn view_typed(&self, frame: &mut Frame<'_>, area: Rect, word: &str, cx: &ScreenContext<'_>) {
        let boxed = area.height >= TYPED;
        let rows = if boxed { 3 } else { 1 };
        let mut at = area;
        let mut take = |height: u16| {
            let height = height.min(at.height);
            at.height -= height;
            Rect {
                y: at.bottom(),
                height,
                ..at
            }
        };
        let buttons = take(1);
        if boxed {
            take(1);
        }
        let (field, status, label) = if area.height < 3 {
            (take(rows), take(0), take(0))
        } else {
            let status = take(1);
            (take(rows), status, take(1))
        };
        let style = |role| cx.styles.get(role);
        let fit = |words: &str, at: Rect| text::fit(words, usize::from(at.width));
        frame.render_widget(
            Line::styled(
                fit(&format!("Type {word} to go on:"), label),
                style(Role::Text),
            ),
            label,
        );
        let (words, role) = if self.form.value(FIELD).is_empty() {
            ("nothing typed yet".to_owned(), Role::Muted)
        } else {
            self.missing(word)
        };
        frame.render_widget(Line::styled(fit(&words, status), style(role)), status);
        let inner = if boxed {
            let width = u16::try_from(text::width(word))
                .unwrap_or(u16::MAX)
                .saturating_add(10)
                .clamp(24, field.width.max(24))
                .min(field.width);
            let field = Rect { width, ..field };
            let block = Block::bordered()
                .border_type(BorderType::Plain)
                .border_style(style(Role::Accent));
            let inner = block.inner(field);
            frame.render_widget(block, field);
            inner
        } else {
            frame.render_widget(Line::styled("[", style(Role::Accent)), field);
            let end = Rect {
                x: field.right().saturating_sub(1).max(field.x),
                width: field.width.min(1),
                ..field
            };
            frame.render_widget(Line::styled("]", style(Role::Accent)), end);
            Rect {
                x: field.x + 1.min(field.width),
                width: field.width.saturating_sub(2),
                ..field
            }
        };
        if let Some(input) = self.form.input(FIELD) {
            view_input(frame, inner, input, true, cx.styles);
        }
        let dim: Vec<usize> = (0..self.choices.len())
            .filter(|i| self.choices[*i].guarded && !self.word_is_typed())
            .collect();
        self.form.view_buttons(frame, buttons, cx.styles, &dim);
    }
}

impl Screen for Question {
    fn title(&self, _cx: &ScreenContext<'_>) -> String {
        self.title.clone()
    }

    fn purpose(&self) -> &'static str {
        if self.word.is_some() {
            "A question before something is done: type the words to go on; Esc, or the first button, does nothing."
        } else {
            "A question before something is done; Esc, or the first button, does nothing."
        }
    }

    fn handles(&self, action: Action, _cx: &ScreenContext<'_>) -> bool {
        // Where words are typed a blank is one of them.
        let blank = action == Action::Choose && self.word.is_some();
        action == Action::Back || (!blank && self.form.handles(action))
    }

    fn says(
        &self,
        action: Action,
        _cx: &ScreenContext<'_>,
    ) -> Option<(&'static str, &'static str)> {
        match (action, self.form.focus()) {
            (Action::Open, Focus::Field(_)) => Some((
                "go on",
                "go on once the words are typed; else say what is missing",
            )),
            _ => self.form.says(action),
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        if action == Action::Back {
            return Reaction::ask(Request::Close);
        }
        if !self.handles(action, cx) {
            return Reaction::Ignored;
        }
        if action == Action::Open && matches!(self.form.focus(), Focus::Field(_)) {
            let guarded = self.choices.iter().position(|choice| choice.guarded);
            return guarded.map_or_else(Reaction::done, |button| self.press(button));
        }
        match self.form.act(action) {
            Some(button) => self.press(button),
            None => Reaction::done(),
        }
    }

    fn typing(&self) -> bool {
        self.word.is_some()
    }

    fn type_key(&mut self, key: KeyEvent, _cx: &ScreenContext<'_>) -> Vec<Request> {
        self.form.set_focus(Focus::Field(FIELD));
        self.form.type_key(key);
        Vec::new()
    }

    fn paste(&mut self, pasted: &str, _cx: &ScreenContext<'_>) {
        self.form.set_focus(Focus::Field(FIELD));
        self.form.paste(pasted);
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
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
        // What the word takes where there is room, and with as little as it can do with.
        let (below, least) = match self.word {
            Some(_) => (TYPED, 4),
            None => (1, 1),
        };
        let wanted = lines.saturating_add(1).saturating_add(below);
        let inner = open(frame, area, &self.title, (width, wanted), cx.styles);
        // The buttons stay visible when there is too little room for the words.
        let below = if inner.height >= lines.saturating_add(below) {
            below
        } else {
            least.min(inner.height)
        };
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
        match &self.word {
            Some(word) => self.view_typed(frame, at, word, cx),
            None => self.form.view(frame, at, cx.styles, &[], &[]),
        }
    }

    fn is_dialog(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyModifiers};

    use super::*;
    use crate::config::theme::Theme;
    use crate::tui::model::Model;
    use crate::tui::style::Depth;

    #[test]
    fn what_destroys_needs_its_word_and_the_safe_button_comes_first() {
        let model = Model::default();
        let styles = Styles::new(Theme::builtin("freezeframe").unwrap(), Depth::None);
        let cx = ScreenContext {
            model: &model,
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
            // Wherever the focus is, keys and pasted text go to the field, and Enter carries on from it.
            for moves in [&[][..], &[Action::Right][..], &[Action::NextField; 2][..]] {
                for pasted in [true, false] {
                    let mut question = asks();
                    press(&mut question, moves);
                    assert!(question.typing());
                    if pasted {
                        question.paste(typed, &cx);
                    } else {
                        for c in typed.chars() {
                            let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
                            question.type_key(key, &cx);
                        }
                    }
                    let done = press(&mut question, &[Action::Open]);
                    if agreed {
                        assert!(
                            matches!(done[..], [Request::Close, Request::Quit]),
                            "{typed:?}"
                        );
                        continue;
                    }
                    let [Request::Say(missing)] = &done[..] else {
                        panic!("{typed:?} closed the dialog")
                    };
                    assert!(missing.contains("3"), "{missing}");
                    assert_eq!(question.form.value(FIELD), typed, "nothing typed is lost");
                    // The safe button is one step away, and the words stay.
                    press(&mut question, &[Action::NextField, Action::PreviousField]);
                    assert_eq!(question.form.value(FIELD), typed);
                }
            }
        }
    }
}

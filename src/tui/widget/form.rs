//! Fields and buttons in one ring of focus.

use crossterm::event::{Event, KeyEvent};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use tui_input::Input;
use tui_input::backend::crossterm::EventHandler;

use super::text;
use crate::config::theme::Role;
use crate::domain::text::is_hostile;
use crate::tui::action::Action;
use crate::tui::style::Styles;

/// Most characters that a one-line field takes.
const MAX_INPUT: usize = 1024;

/// Adds pasted text to a field: control characters and line ends are left out.
pub fn paste_into(input: &mut Input, pasted: &str) {
    let clean = pasted.chars().filter(|c| !is_hostile(*c));
    for c in clean.take(MAX_INPUT.saturating_sub(input.value().chars().count())) {
        input.handle(tui_input::InputRequest::InsertChar(c));
    }
}

/// Gives a key to a field; characters that could act on a terminal are refused.
pub fn type_into(input: &mut Input, key: KeyEvent) {
    if let crossterm::event::KeyCode::Char(c) = key.code
        && (is_hostile(c) || input.value().chars().count() >= MAX_INPUT)
        && key.modifiers.is_empty()
    {
        return;
    }
    input.handle_event(&Event::Key(key));
}

/// Draws a one-line field with its cursor when it has the focus.
pub fn view_input(
    frame: &mut Frame<'_>,
    area: Rect,
    input: &Input,
    focused: bool,
    styles: &Styles,
) {
    if area.width == 0 || area.height == 0 {
        return;
    }
    let cells = usize::from(area.width.saturating_sub(1));
    let scroll = input.visual_scroll(cells);
    let mut skipped = 0;
    let rest: String = input
        .value()
        .chars()
        .skip_while(|c| {
            let here = skipped;
            skipped += text::width(&c.to_string());
            here < scroll
        })
        .collect();
    let role = if focused { Role::Accent } else { Role::Text };
    let line = Line::styled(
        text::pad(&rest, usize::from(area.width), false),
        styles.get(role),
    );
    frame.render_widget(line, area);
    if focused {
        let x = u16::try_from(input.visual_cursor().saturating_sub(scroll)).unwrap_or(0);
        let x = area.x + x.min(area.width - 1);
        frame.set_cursor_position(Position { x, y: area.y });
    }
}

/// A field.
#[derive(Debug, Clone)]
pub enum Field {
    /// One line of text.
    Text {
        /// What it is.
        label: String,
        /// What was typed.
        input: Input,
    },
    /// One of several.
    Choice {
        /// What it is.
        label: String,
        /// The options.
        options: Vec<String>,
        /// Index of the chosen one.
        chosen: usize,
    },
}

impl Field {
    /// A text field with a first value.
    pub fn text(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Text {
            label: label.into(),
            input: Input::new(value.into()),
        }
    }

    /// A choice, the first option chosen.
    pub fn choice(label: impl Into<String>, options: Vec<String>) -> Self {
        Self::Choice {
            label: label.into(),
            options,
            chosen: 0,
        }
    }

    /// The same choice with that option chosen.
    #[must_use]
    pub fn choosing(mut self, option: usize) -> Self {
        if let Self::Choice {
            options, chosen, ..
        } = &mut self
        {
            *chosen = option.min(options.len().saturating_sub(1));
        }
        self
    }

    fn label(&self) -> &str {
        match self {
            Self::Text { label, .. } | Self::Choice { label, .. } => label,
        }
    }
}

/// Where the focus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// On the field of that index.
    Field(usize),
    /// On the button of that index.
    Button(usize),
}

/// A form: fields above, buttons below.
#[derive(Debug, Clone)]
pub struct Form {
    fields: Vec<Field>,
    buttons: Vec<String>,
    focus: usize,
    /// The button that has the focus at first, and that Enter on the last field leads to.
    first: usize,
    /// Fields that mean nothing now, each with the reason.
    off: Vec<(usize, String)>,
}

/// One line of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Field(usize),
    Blank,
    Buttons,
}

impl Form {
    /// A form whose focus is on that button: the one that goes on, or the safe one where something is destroyed.
    pub fn new(fields: Vec<Field>, buttons: Vec<String>, first: usize) -> Self {
        let first = fields.len() + first.min(buttons.len().saturating_sub(1));
        Self {
            fields,
            buttons,
            focus: first,
            first,
            off: Vec::new(),
        }
    }

    /// Switches a field off, saying why, or on again. The focus passes over what is off.
    pub fn set_off(&mut self, field: usize, why: Option<&str>) {
        self.off.retain(|(i, _)| *i != field);
        if let Some(why) = why {
            self.off.push((field, why.to_owned()));
        }
    }

    fn why_off(&self, field: usize) -> Option<&str> {
        let off = self.off.iter().find(|(i, _)| *i == field);
        off.map(|(_, why)| why.as_str())
    }

    /// The place after (or before) the focus that can have it.
    fn beside(&self, places: usize, step: usize) -> usize {
        let mut at = self.focus;
        for _ in 0..places {
            at = (at + step) % places.max(1);
            if self.why_off(at).is_none() {
                break;
            }
        }
        at
    }

    /// Takes an option of the choice of that index; a text field stays as it is.
    pub fn choose(&mut self, field: usize, option: usize) {
        if let Some(Field::Choice {
            options, chosen, ..
        }) = self.fields.get_mut(field)
        {
            *chosen = option.min(options.len().saturating_sub(1));
        }
    }

    /// How many fields it has.
    pub fn fields(&self) -> usize {
        self.fields.len()
    }

    /// Where the focus is.
    pub fn focus(&self) -> Focus {
        match self.focus.checked_sub(self.fields.len()) {
            Some(button) => Focus::Button(button),
            None => Focus::Field(self.focus),
        }
    }

    /// Puts the focus somewhere.
    pub fn set_focus(&mut self, focus: Focus) {
        self.focus = match focus {
            Focus::Field(i) => i.min(self.fields.len().saturating_sub(1)),
            Focus::Button(i) => self.fields.len() + i.min(self.buttons.len().saturating_sub(1)),
        };
    }

    /// What was typed into the text field of that index; empty for a choice.
    pub fn value(&self, field: usize) -> &str {
        match self.fields.get(field) {
            Some(Field::Text { input, .. }) => input.value(),
            _ => "",
        }
    }

    /// Index of the option chosen in the choice of that index; 0 for a text field.
    pub fn chosen(&self, field: usize) -> usize {
        match self.fields.get(field) {
            Some(Field::Choice { chosen, .. }) => *chosen,
            _ => 0,
        }
    }

    /// The text field of that index, as typed into so far.
    pub fn input(&self, field: usize) -> Option<&Input> {
        match self.fields.get(field) {
            Some(Field::Text { input, .. }) => Some(input),
            _ => None,
        }
    }

    /// Whether a text field has the focus.
    pub fn typing(&self) -> bool {
        matches!(self.fields.get(self.focus), Some(Field::Text { .. }))
    }

    /// Whether [`Form::act`] has a use for the action now.
    pub fn handles(&self, action: Action) -> bool {
        match action {
            Action::NextField
            | Action::PreviousField
            | Action::Down
            | Action::Up
            | Action::Open => true,
            Action::Left | Action::Right | Action::Choose => !self.typing(),
            _ => false,
        }
    }

    /// What the keys of these actions do now: a word for the footer, a few for the help.
    pub fn says(&self, action: Action) -> Option<(&'static str, &'static str)> {
        let on_button = matches!(self.focus(), Focus::Button(_));
        Some(match (action, on_button) {
            (Action::Open | Action::Choose, true) => ("press", "press the button"),
            (Action::Open, false) => ("next", "next field, then the button; changes nothing"),
            (Action::Choose, false) => ("change", "the next choice of the field"),
            (Action::Left, true) => ("left", "button before"),
            (Action::Right, true) => ("right", "next button"),
            (Action::Left, false) => ("change", "the choice before"),
            (Action::Right, false) => ("change", "the next choice of the field"),
            (Action::NextField | Action::Down, _) => ("next", "next field or button"),
            (Action::PreviousField | Action::Up, _) => ("previous", "field or button before"),
            _ => return None,
        })
    }

    /// Where Enter on a field leads: the next field that is not off, after the last one the button that goes on.
    fn after_field(&self) -> usize {
        (self.focus + 1..self.fields.len())
            .find(|field| self.why_off(*field).is_none())
            .unwrap_or(self.first)
    }

    /// Moves the focus, changes choices; the index of a button when one is pressed. Enter never changes a value.
    pub fn act(&mut self, action: Action) -> Option<usize> {
        let places = self.fields.len() + self.buttons.len();
        let next = self.beside(places, 1);
        let previous = self.beside(places, places.saturating_sub(1));
        let step = match action {
            Action::Open | Action::Choose => {
                match (action, self.focus(), self.fields.get_mut(self.focus)) {
                    (_, Focus::Button(button), _) => return Some(button),
                    (
                        Action::Choose,
                        _,
                        Some(Field::Choice {
                            options, chosen, ..
                        }),
                    ) => *chosen = (*chosen + 1) % options.len().max(1),
                    (Action::Open, ..) => self.focus = self.after_field(),
                    _ => {}
                }
                return None;
            }
            Action::NextField | Action::Down => {
                self.focus = next;
                return None;
            }
            Action::PreviousField | Action::Up => {
                self.focus = previous;
                return None;
            }
            Action::Left => -1,
            Action::Right => 1,
            _ => return None,
        };
        match self.fields.get_mut(self.focus) {
            Some(Field::Choice {
                options, chosen, ..
            }) => {
                let last = options.len().saturating_sub(1);
                *chosen = chosen.saturating_add_signed(step).min(last);
            }
            Some(Field::Text { .. }) => {}
            None => {
                let first = self.fields.len();
                let last = places.saturating_sub(1);
                self.focus = self
                    .focus
                    .saturating_add_signed(step)
                    .clamp(first.min(last), last);
            }
        }
        None
    }

    /// A character for the focused text field.
    pub fn type_key(&mut self, key: KeyEvent) {
        if let Some(Field::Text { input, .. }) = self.fields.get_mut(self.focus) {
            type_into(input, key);
        }
    }

    /// Pasted text for the focused text field.
    pub fn paste(&mut self, pasted: &str) {
        if let Some(Field::Text { input, .. }) = self.fields.get_mut(self.focus) {
            paste_into(input, pasted);
        }
    }

    /// Lines that the form takes: one per field, a blank one, one for the buttons.
    pub fn height(&self) -> u16 {
        let fields = u16::try_from(self.fields.len()).unwrap_or(u16::MAX);
        fields.saturating_add(if self.fields.is_empty() { 1 } else { 2 })
    }

    /// Draws it; `errors` holds what is wrong with a field, by index. `dim` buttons cannot be pressed
    /// with success now (the caller refuses and says why).
    pub fn view(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        styles: &Styles,
        errors: &[(usize, String)],
        dim: &[usize],
    ) {
        let labels = self
            .fields
            .iter()
            .map(|f| text::width(f.label()))
            .max()
            .unwrap_or(0);
        for (row, at) in self.rows(area.height).into_iter().zip(area.rows()) {
            match row {
                Row::Field(i) => {
                    if let Some(field) = self.fields.get(i) {
                        self.view_field(frame, at, i, field, labels, styles, errors);
                    }
                }
                Row::Blank => {}
                Row::Buttons => self.view_buttons(frame, at, styles, dim),
            }
        }
    }

    /// The lines that fit: all of them, else without the blank one, else those around the focus.
    fn rows(&self, height: u16) -> Vec<Row> {
        let height = usize::from(height);
        let mut rows: Vec<Row> = (0..self.fields.len()).map(Row::Field).collect();
        if rows.len() + 2 <= height && !rows.is_empty() {
            rows.push(Row::Blank);
        }
        rows.push(Row::Buttons);
        let focus = self.focus.min(rows.len() - 1);
        rows.drain(..(focus + 1).saturating_sub(height).min(focus));
        rows
    }

    /// Draws the line of buttons alone.
    pub fn view_buttons(&self, frame: &mut Frame<'_>, area: Rect, styles: &Styles, dim: &[usize]) {
        let mut spans = Vec::new();
        let shown = self.button_words(usize::from(area.width));
        for (i, words) in shown.into_iter().enumerate() {
            let role = match (self.focus() == Focus::Button(i), dim.contains(&i)) {
                (true, _) => Role::Focus,
                (false, true) => Role::Muted,
                (false, false) => Role::Text,
            };
            spans.push(Span::styled(words, styles.get(role)));
            spans.push(Span::raw(" "));
        }
        frame.render_widget(Line::from(spans), area);
    }

    /// The buttons in so many cells: with room around their labels, else without, else with what has the focus whole and
    /// the others' labels cut.
    fn button_words(&self, cells: usize) -> Vec<String> {
        // The brackets say which button has the focus where colours do not.
        let words = |label: &str, focused: bool, roomy: bool| match (focused, roomy) {
            (true, true) => format!("[> {label} <]"),
            (false, true) => format!("[  {label}  ]"),
            (true, false) => format!("[>{label}<]"),
            (false, false) => format!("[{label}]"),
        };
        let focused = |i: usize| self.focus() == Focus::Button(i);
        let all = |roomy: bool| -> Vec<String> {
            let each = self.buttons.iter().enumerate();
            each.map(|(i, label)| words(label, focused(i), roomy))
                .collect()
        };
        let takes = |shown: &[String]| -> usize {
            shown.iter().map(|s| text::width(s)).sum::<usize>() + shown.len().saturating_sub(1)
        };
        let (roomy, tight) = (all(true), all(false));
        if takes(&roomy) <= cells {
            return roomy;
        }
        if takes(&tight) <= cells {
            return tight;
        }
        let whole = |i: usize| focused(i) || tight.len() == 1;
        let kept: usize = (tight.iter().enumerate())
            .filter(|(i, _)| whole(*i))
            .map(|(_, shown)| text::width(shown) + 1)
            .sum();
        let others = (0..tight.len()).filter(|i| !whole(*i)).count();
        // Each with its brackets and the blank behind it.
        let room = (cells.saturating_sub(kept) / others.max(1)).saturating_sub(3);
        let each = self.buttons.iter().enumerate();
        each.map(|(i, label)| match whole(i) {
            true => words(label, focused(i), false),
            false => words(&text::fit(label, room), false, false),
        })
        .collect()
    }

    fn view_field(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        i: usize,
        field: &Field,
        labels: usize,
        styles: &Styles,
        errors: &[(usize, String)],
    ) {
        let focused = self.focus == i;
        let mark = if focused { "> " } else { "  " };
        let label = format!("{mark}{} ", text::pad(field.label(), labels, false));
        let off = self.why_off(i);
        let role = match (off, focused) {
            (Some(_), _) => Role::Muted,
            (None, true) => Role::Accent,
            (None, false) => Role::Text,
        };
        let used = u16::try_from(text::width(&label))
            .unwrap_or(u16::MAX)
            .min(area.width);
        frame.render_widget(Line::styled(label, styles.get(role)), area);
        let rest = Rect {
            x: area.x + used,
            width: area.width - used,
            ..area
        };
        if let Some(why) = off {
            let shown = text::fit(&format!("— {why}"), usize::from(rest.width));
            frame.render_widget(Line::styled(shown, styles.get(Role::Muted)), rest);
            return;
        }
        let error = errors
            .iter()
            .find(|(n, _)| *n == i)
            .map(|(_, e)| e.as_str());
        match field {
            Field::Text { input, .. } => {
                let room = if error.is_some() {
                    12.min(rest.width)
                } else {
                    rest.width
                };
                view_input(
                    frame,
                    Rect {
                        width: room,
                        ..rest
                    },
                    input,
                    focused,
                    styles,
                );
                if let Some(error) = error {
                    let at = Rect {
                        x: rest.x + room,
                        width: rest.width - room,
                        ..rest
                    };
                    let shown = text::fit(&format!("! {error}"), usize::from(at.width));
                    frame.render_widget(Line::styled(shown, styles.get(Role::Error)), at);
                }
            }
            Field::Choice {
                options, chosen, ..
            } if options.iter().map(|o| text::width(o) + 6).sum::<usize>()
                > usize::from(rest.width) =>
            {
                // Too many to stand side by side: the chosen one, and how many there are.
                let option = options.get(*chosen).map_or("", String::as_str);
                let all = usize::from(rest.width).saturating_sub(4);
                let many = format!("  {} of {}", chosen + 1, options.len());
                // What is chosen comes before how many there are.
                let fits = text::width(option) + text::width(&many) <= all;
                let many = if fits { many } else { String::new() };
                let room = all.saturating_sub(text::width(&many));
                let role = if focused { Role::Accent } else { Role::Text };
                let spans = vec![
                    Span::styled(format!("‹ {} ›", text::fit(option, room)), styles.get(role)),
                    Span::styled(many, styles.get(Role::Muted)),
                ];
                frame.render_widget(Line::from(spans), rest);
            }
            Field::Choice {
                options, chosen, ..
            } => {
                let mut spans = Vec::new();
                for (n, option) in options.iter().enumerate() {
                    let (shown, role) = if n == *chosen {
                        (
                            format!("(•) {option}  "),
                            if focused { Role::Accent } else { Role::Text },
                        )
                    } else {
                        (format!("( ) {option}  "), Role::Muted)
                    };
                    spans.push(Span::styled(shown, styles.get(role)));
                }
                frame.render_widget(Line::from(spans), rest);
            }
        }
    }
}

/// Draws lines at the top of an area and says where a form of that height goes below them. The form
/// stays visible when there is too little room for the words.
pub fn below(frame: &mut Frame<'_>, lines: Vec<Line<'_>>, area: Rect, height: u16) -> Rect {
    let height = height.min(area.height);
    let above = (area.height - height).min(u16::try_from(lines.len() + 1).unwrap_or(u16::MAX));
    for (line, row) in lines.into_iter().zip(area.rows().take(usize::from(above))) {
        frame.render_widget(line, row);
    }
    Rect {
        y: area.y + above,
        height,
        ..area
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyModifiers};

    use super::*;

    fn form() -> Form {
        Form::new(
            vec![
                Field::text("budget", "30"),
                Field::choice("on failure", vec!["skip".into(), "crash-consistent".into()]),
            ],
            vec!["Cancel".into(), "Start".into()],
            0,
        )
    }

    #[test]
    fn focus_begins_on_the_safe_button_and_goes_round() {
        let mut form = form();
        assert_eq!(form.focus(), Focus::Button(0));
        assert_eq!(form.act(Action::Open), Some(0));
        form.act(Action::Right);
        assert_eq!(form.act(Action::Open), Some(1));
        form.act(Action::NextField);
        assert_eq!(form.focus(), Focus::Field(0));
        form.act(Action::PreviousField);
        assert_eq!(form.focus(), Focus::Button(1));
        form.act(Action::Left);
        form.act(Action::Left);
        assert_eq!(form.focus(), Focus::Button(0));
    }

    #[test]
    fn the_focus_passes_over_what_is_off() {
        let mut form = form();
        form.set_off(0, Some("not now"));
        form.act(Action::Right);
        form.act(Action::NextField);
        assert_eq!(form.focus(), Focus::Field(1));
        form.act(Action::PreviousField);
        assert_eq!(form.focus(), Focus::Button(1));
        form.set_off(0, None);
        form.act(Action::NextField);
        assert_eq!(form.focus(), Focus::Field(0));
    }

    #[test]
    fn too_little_room_shows_what_has_the_focus() {
        let mut form = form();
        let shown = |form: &Form, height| form.rows(height);
        assert_eq!(shown(&form, 9).len(), 4);
        assert_eq!(shown(&form, 3)[2], Row::Buttons, "no blank line");
        assert_eq!(shown(&form, 1)[0], Row::Buttons);
        form.set_focus(Focus::Field(0));
        assert_eq!(shown(&form, 1)[0], Row::Field(0));
        assert!(!shown(&form, 0).is_empty());
    }

    #[test]
    fn every_button_is_seen_where_there_is_little_room() {
        let mut form = Form::new(
            Vec::new(),
            vec!["Keep everything".into(), "Delete 1481".into()],
            0,
        );
        assert_eq!(
            form.button_words(80),
            ["[> Keep everything <]", "[  Delete 1481  ]"]
        );
        assert_eq!(
            form.button_words(34),
            ["[>Keep everything<]", "[Delete 1481]"]
        );
        for cells in [12, 20, 28, 34, 40] {
            for focus in 0..2 {
                form.set_focus(Focus::Button(focus));
                let shown = form.button_words(cells);
                assert_eq!(shown.len(), 2);
                assert!(shown[focus].contains(&form.buttons[focus]), "{shown:?}");
                let all: usize = shown.iter().map(|s| text::width(s)).sum();
                assert!(all < cells.max(24), "{cells}: {shown:?}");
            }
        }
    }

    #[test]
    fn typing_and_pasting_stay_in_the_field() {
        let mut form = form();
        form.set_focus(Focus::Field(0));
        assert!(form.typing() && !form.handles(Action::Left));
        form.type_key(KeyEvent::new(KeyCode::Char('5'), KeyModifiers::NONE));
        form.paste("1\u{1b}[A\n2");
        assert_eq!(form.value(0), "3051[A2");
        form.act(Action::Open);
        assert_eq!(form.focus(), Focus::Field(1));
        form.act(Action::Right);
        form.act(Action::Right);
        assert_eq!(form.chosen(1), 1);
    }

    #[test]
    fn enter_never_changes_a_value_and_leads_to_the_button_that_goes_on() {
        let mut form = Form::new(
            vec![
                Field::text("budget", "30"),
                Field::choice("recipe", vec!["by tag".into(), "linux-filesystem".into()]),
                Field::choice("freeze / too", vec!["no".into(), "yes".into()]),
            ],
            vec!["Cancel".into(), "Start".into()],
            1,
        );
        form.set_off(2, Some("not now"));
        assert_eq!(form.act(Action::Open), Some(1), "Start, at once");
        for at in 0..2 {
            form.set_focus(Focus::Field(at));
            for _ in at..2 {
                assert_eq!(form.act(Action::Open), None);
                assert_eq!(
                    (form.value(0), form.chosen(1), form.chosen(2)),
                    ("30", 0, 0)
                );
            }
            assert_eq!(form.focus(), Focus::Button(1));
        }
    }

    #[test]
    fn space_chooses_and_arrows_go_from_field_to_field() {
        let mut form = form();
        form.set_focus(Focus::Field(0));
        assert!(
            !form.handles(Action::Choose),
            "a blank is a character there"
        );
        form.act(Action::Down);
        assert_eq!(form.focus(), Focus::Field(1));
        for (action, chosen) in [(Action::Choose, 1), (Action::Choose, 0), (Action::Right, 1)] {
            assert_eq!(form.act(action), None);
            assert_eq!(form.chosen(1), chosen);
            assert_eq!(form.focus(), Focus::Field(1));
        }
        form.act(Action::Down);
        form.act(Action::Down);
        assert_eq!(
            form.act(Action::Choose),
            Some(1),
            "a blank presses a button"
        );
        form.act(Action::Up);
        assert_eq!(form.focus(), Focus::Button(0));
    }
}

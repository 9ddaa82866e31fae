//! Help for the screen below, and the `a` menu. Both are made from what works there.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;

use crate::config::theme::Role;
use crate::tui::action::Action;
use crate::tui::contract::{MenuItem, Reaction, Request, Screen, ScreenContext};
use crate::tui::keymap::{self, Key};
use crate::tui::widget::dialog::{self, pane};
use crate::tui::widget::scroll::Scroll;
use crate::tui::widget::text;

/// What words in tables and titles mean, told at the end of the help.
const LEGEND: &[&str] = &[
    "Levels: ● application > ◐ filesystem > ○ crash; ? pending means not proven yet.",
    "A level stands only on recorded evidence; · not ours means that we cannot vouch for it.",
    "> is the cursor, * a mark, + a row of the range being marked.",
];

/// Keys that work, what they mean, and that in a few words.
pub type Shown = (Vec<Key>, Action, &'static str);

/// The help page.
pub struct Help {
    of: String,
    purpose: &'static str,
    explained: &'static [&'static str],
    keys: Vec<Shown>,
    scroll: Scroll,
}

impl Help {
    /// Help for a screen of that title and purpose where these keys work; `explained` is what else it says of
    /// itself.
    pub fn new(
        of: String,
        purpose: &'static str,
        explained: &'static [&'static str],
        keys: Vec<Shown>,
    ) -> Self {
        Self {
            of,
            purpose,
            explained,
            keys,
            scroll: Scroll::default(),
        }
    }

    fn lines(&self, cells: usize, cx: &ScreenContext<'_>) -> Vec<Line<'static>> {
        let labels: Vec<String> = self
            .keys
            .iter()
            .map(|(keys, ..)| {
                let labels: Vec<String> = keys.iter().map(|k| k.label()).collect();
                labels.join("  ")
            })
            .collect();
        let column = labels.iter().map(|l| text::width(l)).max().unwrap_or(0);
        let refused = cx.model.writes_refused().is_some();
        let mut lines = Vec::new();
        let words = |words: &str, role: Role, lines: &mut Vec<Line<'static>>| {
            for part in text::wrap(words, cells.saturating_sub(2)) {
                lines.push(Line::styled(format!(" {part}"), cx.styles.get(role)));
            }
        };
        words(self.purpose, Role::Title, &mut lines);
        lines.push(Line::default());
        for (label, (_, action, help)) in labels.iter().zip(&self.keys) {
            let dim = action.writes() && refused;
            let role = if dim { Role::Muted } else { Role::Text };
            let suffix = if dim { " (refused now)" } else { "" };
            let room = cells.saturating_sub(column + 4);
            let help = format!("{help}{suffix}");
            for (n, part) in text::wrap(&help, room).into_iter().enumerate() {
                let label = if n == 0 { label.as_str() } else { "" };
                lines.push(Line::from(vec![
                    Span::styled(
                        format!(" {}  ", text::pad(label, column, false)),
                        cx.styles.get(Role::Key),
                    ),
                    Span::styled(part, cx.styles.get(role)),
                ]));
            }
        }
        lines.push(Line::default());
        for explained in self.explained {
            words(explained, Role::Text, &mut lines);
        }
        if !self.explained.is_empty() {
            lines.push(Line::default());
        }
        for legend in LEGEND {
            words(legend, Role::Muted, &mut lines);
        }
        lines
    }
}

impl Screen for Help {
    fn title(&self, _cx: &ScreenContext<'_>) -> String {
        format!("Help: {}", self.of)
    }

    fn purpose(&self) -> &'static str {
        "Says what a screen is for, and which keys work there."
    }

    fn handles(&self, action: Action, _cx: &ScreenContext<'_>) -> bool {
        matches!(action, Action::Back | Action::Leave | Action::Help) || Scroll::handles(action)
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        if !self.handles(action, cx) {
            return Reaction::Ignored;
        }
        if self.scroll.act(action) {
            return Reaction::done();
        }
        Reaction::ask(Request::Close)
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        frame.render_widget(Clear, area);
        let block = pane(&self.title(cx), cx.styles);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let lines = self.lines(usize::from(inner.width), cx);
        self.scroll.view(frame, inner, lines);
        self.scroll.tell(frame, area, cx.styles);
    }
}

/// The `a` menu.
pub struct Menu {
    items: Vec<MenuItem>,
    cursor: usize,
}

impl Menu {
    /// A menu of what the screen below offers.
    pub fn new(items: Vec<MenuItem>) -> Self {
        Self { items, cursor: 0 }
    }

    fn choose(item: &MenuItem, cx: &ScreenContext<'_>) -> Vec<Request> {
        match item.refusal(cx.model) {
            Some(reason) => vec![Request::Say(format!("refused: {reason}"))],
            None => vec![Request::Close, Request::Deliver(item.action)],
        }
    }
}

impl Screen for Menu {
    fn title(&self, _cx: &ScreenContext<'_>) -> String {
        "Actions".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "What can be done with the row under the cursor, or with what is marked: its key does it at once, here and \
         without this menu."
    }

    fn handles(&self, action: Action, _cx: &ScreenContext<'_>) -> bool {
        let own = matches!(
            action,
            Action::Open | Action::Back | Action::Leave | Action::Down | Action::Up
        );
        own || self.items.iter().any(|item| item.action == action)
    }

    fn says(
        &self,
        action: Action,
        _cx: &ScreenContext<'_>,
    ) -> Option<(&'static str, &'static str)> {
        match action {
            Action::Open => Some(("choose", "do what is under the cursor")),
            Action::Back | Action::Leave => Some(("close", "close the menu, and do nothing")),
            _ => None,
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        let last = self.items.len().saturating_sub(1);
        let chosen = match action {
            Action::Down => {
                self.cursor = (self.cursor + 1).min(last);
                return Reaction::done();
            }
            Action::Up => {
                self.cursor = self.cursor.saturating_sub(1);
                return Reaction::done();
            }
            Action::Back | Action::Leave => return Reaction::ask(Request::Close),
            Action::Open => self.items.get(self.cursor),
            _ => self.items.iter().find(|item| item.action == action),
        };
        match chosen {
            Some(item) => Reaction::Done(Self::choose(item, cx)),
            None => Reaction::Ignored,
        }
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let words = |item: &MenuItem| match item.refusal(cx.model) {
            Some(reason) => (format!("{} — {reason}", item.label), true),
            None => (item.label.clone(), false),
        };
        let width = self
            .items
            .iter()
            .map(|i| text::width(&words(i).0))
            .max()
            .unwrap_or(0)
            + 5;
        let size = (
            u16::try_from(width.max(24)).unwrap_or(u16::MAX),
            u16::try_from(self.items.len()).unwrap_or(1),
        );
        let inner = dialog::open(frame, area, "Actions", size, cx.styles);
        for ((i, item), row) in self.items.iter().enumerate().zip(inner.rows()) {
            let key = keymap::key_of(item.action).map(Key::label);
            let key = key.unwrap_or_default();
            let (label, dim) = words(item);
            let here = i == self.cursor;
            let role = match (here, dim) {
                (true, _) => Role::Selected,
                (false, true) => Role::Muted,
                (false, false) => Role::Text,
            };
            let room = usize::from(inner.width).saturating_sub(5);
            frame.render_widget(
                Line::from(vec![
                    Span::styled(if here { "> " } else { "  " }, cx.styles.get(Role::Marked)),
                    Span::styled(format!("{key}  "), cx.styles.get(Role::Key)),
                    Span::styled(text::pad(&label, room, false), cx.styles.get(role)),
                ]),
                row,
            );
        }
    }

    fn is_dialog(&self) -> bool {
        true
    }
}

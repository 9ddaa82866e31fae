//! Everything that is known about one thing: pairs in sections, scrolled.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;

use super::dialog::pane;
use super::scroll::Scroll;
use super::text;
use crate::config::theme::Role;
use crate::tui::action::Action;
use crate::tui::contract::{Reaction, Request, Screen, ScreenContext};

/// One line of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Begins a section.
    Section(String),
    /// A name and what it is.
    Pair(String, String, Role),
    /// A sentence, wrapped.
    Words(String, Role),
    /// A sentence behind a sign or number; wrapped lines stand under its words.
    Item(String, String, Role),
}

impl Entry {
    /// A pair in plain text.
    pub fn pair(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Pair(name.into(), value.into(), Role::Text)
    }
}

/// The description as a screen of its own.
pub struct Details {
    title: String,
    id: String,
    arn: Option<String>,
    entries: Vec<Entry>,
    scroll: Scroll,
}

impl Details {
    /// A description; `id` and `arn` are what `y` and `Y` copy.
    pub fn new(
        title: impl Into<String>,
        id: impl Into<String>,
        arn: Option<String>,
        entries: Vec<Entry>,
    ) -> Self {
        Self {
            title: title.into(),
            id: id.into(),
            arn,
            entries,
            scroll: Scroll::default(),
        }
    }
}

/// Entries as lines of at most `cells`; names stand in one column, long values are wrapped.
pub fn lines(entries: &[Entry], cells: usize, cx: &ScreenContext<'_>) -> Vec<Line<'static>> {
    let names = entries
        .iter()
        .filter_map(|e| match e {
            Entry::Pair(name, _, _) => Some(text::width(name)),
            _ => None,
        })
        .max()
        .unwrap_or(0)
        .clamp(8, (cells / 3).max(8));
    let mut out = Vec::new();
    for entry in entries {
        match entry {
            Entry::Section(title) => {
                if !out.is_empty() {
                    out.push(Line::default());
                }
                out.push(Line::styled(
                    text::fit(title, cells),
                    cx.styles.get(Role::Title),
                ));
            }
            Entry::Pair(name, value, role) => {
                let room = cells.saturating_sub(names + 4);
                for (n, part) in text::wrap(value, room).into_iter().enumerate() {
                    let name = if n == 0 { name.as_str() } else { "" };
                    out.push(Line::from(vec![
                        Span::styled(
                            format!("  {}  ", text::pad(name, names, false)),
                            cx.styles.get(Role::Muted),
                        ),
                        Span::styled(part, cx.styles.get(*role)),
                    ]));
                }
            }
            Entry::Item(sign, words, role) => {
                let indent = text::width(sign).min(cells / 2);
                for (n, part) in text::wrap(words, cells.saturating_sub(indent + 2))
                    .into_iter()
                    .enumerate()
                {
                    let sign = if n == 0 { sign.as_str() } else { "" };
                    out.push(Line::styled(
                        format!("  {}{part}", text::pad(sign, indent, false)),
                        cx.styles.get(*role),
                    ));
                }
            }
            Entry::Words(words, role) => {
                for part in text::wrap(words, cells.saturating_sub(2)) {
                    out.push(Line::styled(format!("  {part}"), cx.styles.get(*role)));
                }
            }
        }
    }
    out
}

impl Screen for Details {
    fn title(&self, _cx: &ScreenContext<'_>) -> String {
        self.title.clone()
    }

    fn purpose(&self) -> &'static str {
        "Everything that is known of this row, its tags too."
    }

    fn handles(&self, action: Action, _cx: &ScreenContext<'_>) -> bool {
        match action {
            Action::CopyId | Action::Back | Action::Leave => true,
            Action::CopyArn => self.arn.is_some(),
            _ => Scroll::handles(action),
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        if !self.handles(action, cx) {
            return Reaction::Ignored;
        }
        if self.scroll.act(action) {
            return Reaction::done();
        }
        match action {
            Action::CopyId => Reaction::ask(Request::Copy(self.id.clone())),
            Action::CopyArn => {
                Reaction::Done(self.arn.clone().map(Request::Copy).into_iter().collect())
            }
            _ => Reaction::ask(Request::Close),
        }
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        frame.render_widget(Clear, area);
        let block = pane(&self.title, cx.styles);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let lines = lines(&self.entries, usize::from(inner.width), cx);
        self.scroll.view(frame, inner, lines);
        self.scroll.tell(frame, area, cx.styles);
    }
}

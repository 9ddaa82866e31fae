//! A line to type words into; rows stay when every word is found in them and no `!word` is.

use crossterm::event::KeyEvent;
use ratatui::text::Line;
use tui_input::Input;

use super::{form, text};
use crate::config::theme::Role;
use crate::tui::action::Action;
use crate::tui::style::Styles;

/// What rows are narrowed by.
#[derive(Debug, Default)]
pub struct Narrow {
    input: Input,
    typing: bool,
}

impl Narrow {
    /// Whether keys go to the line.
    pub fn typing(&self) -> bool {
        self.typing
    }

    /// Whether the line is to be shown.
    pub fn is_active(&self) -> bool {
        self.typing || !self.input.value().is_empty()
    }

    /// Gives the line the keys.
    pub fn begin(&mut self) {
        self.typing = true;
    }

    /// Lets every row through again.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The actions that mean something while typing: keep it, give it up.
    pub fn takes(action: Action) -> bool {
        matches!(action, Action::Open | Action::Back)
    }

    /// `Open` keeps the words, `Back` forgets them.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Open => self.typing = false,
            Action::Back => self.clear(),
            _ => {}
        }
    }

    /// A character.
    pub fn type_key(&mut self, key: KeyEvent) {
        form::type_into(&mut self.input, key);
    }

    /// Pasted text.
    pub fn paste(&mut self, pasted: &str) {
        form::paste_into(&mut self.input, pasted);
    }

    /// Whether a row with these words stays; upper and lower case are the same.
    pub fn lets(&self, row: &str) -> bool {
        let row = row.to_lowercase();
        self.input
            .value()
            .to_lowercase()
            .split_whitespace()
            .all(|word| match word.strip_prefix('!') {
                Some(not) => not.is_empty() || !row.contains(not),
                None => row.contains(word),
            })
    }

    /// The line as shown; the end of long input stays visible while typing.
    pub fn line(&self, cells: usize, styles: &Styles) -> Line<'static> {
        let cursor = if self.typing { "▏" } else { "" };
        let mut shown = self.input.value().to_owned();
        while self.typing && text::width(&shown) + 2 > cells && !shown.is_empty() {
            shown.remove(0);
        }
        let role = if self.typing {
            Role::Accent
        } else {
            Role::Marked
        };
        Line::styled(
            text::fit(&format!("/{shown}{cursor}"), cells),
            styles.get(role),
        )
    }
}

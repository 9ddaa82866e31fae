//! Lines that are more than fit, scrolled.

use std::cell::Cell as Slot;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::text;
use crate::config::theme::Role;
use crate::tui::action::Action;
use crate::tui::style::Styles;

/// How far lines are scrolled; knows what was drawn last.
#[derive(Debug, Default)]
pub struct Scroll {
    offset: usize,
    lines: Slot<usize>,
    height: Slot<usize>,
}

impl Scroll {
    /// Whether [`Scroll::act`] knows the action.
    pub fn handles(action: Action) -> bool {
        matches!(
            action,
            Action::Down
                | Action::Up
                | Action::Top
                | Action::Bottom
                | Action::PageDown
                | Action::PageUp
        )
    }

    /// Moves; false when the action is none of these.
    pub fn act(&mut self, action: Action) -> bool {
        let end = self.lines.get().saturating_sub(self.height.get());
        let page = self.height.get().saturating_sub(1).max(1);
        let at = self.offset.min(end);
        self.offset = match action {
            Action::Down => at.saturating_add(1).min(end),
            Action::Up => at.saturating_sub(1),
            Action::Top => 0,
            Action::Bottom => end,
            Action::PageDown => at.saturating_add(page).min(end),
            Action::PageUp => at.saturating_sub(page),
            _ => return false,
        };
        true
    }

    /// Says in the lower border of `area` which lines are shown, when they are not all: that there is more
    /// must be seen. After [`Scroll::view`].
    pub fn tell(&self, frame: &mut Frame<'_>, area: Rect, styles: &Styles) {
        let (lines, height) = (self.lines.get(), self.height.get());
        if lines <= height || area.height < 2 {
            return;
        }
        let first = self.offset.min(lines - height) + 1;
        let last = first + height - 1;
        let more = if last < lines { "↓" } else { " " };
        let words = format!(" lines {first}–{last} of {lines} {more} ");
        let cells = u16::try_from(text::width(&words)).unwrap_or(u16::MAX);
        if cells.saturating_add(2) > area.width {
            return;
        }
        let at = Rect {
            x: area.right() - cells - 1,
            y: area.bottom() - 1,
            width: cells,
            height: 1,
        };
        frame.render_widget(Line::styled(words, styles.get(Role::Key)), at);
    }

    /// Draws the lines that fit.
    pub fn view(&self, frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
        let height = usize::from(area.height);
        self.lines.set(lines.len());
        self.height.set(height);
        let offset = self.offset.min(lines.len().saturating_sub(height));
        for (line, row) in lines.into_iter().skip(offset).zip(area.rows()) {
            frame.render_widget(line, row);
        }
    }
}

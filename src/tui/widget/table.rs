//! A table that builds only the rows it shows. Rows are known by their ids, so the cursor and the
//! marks stay with what they mean when the data is read again, sorted or narrowed.

use std::cell::Cell as Slot;
use std::collections::{BTreeSet, HashMap};

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::text;
use crate::config::theme::Role;
use crate::tui::action::Action;
use crate::tui::style::Styles;

/// A column. Widths are in cells.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// Least width worth showing.
    pub min: u16,
    /// Width that it gets when there is room; `u16::MAX` shares what is left.
    pub want: u16,
    /// 0 stays always; on a narrow terminal the highest number goes first.
    pub priority: u8,
    /// Numbers stand at the right.
    pub right: bool,
    /// Names are cut in the middle.
    pub middle: bool,
}

impl Column {
    /// A cell of plain text.
    pub const fn new(title: &'static str, min: u16, want: u16, priority: u8) -> Self {
        Self {
            title,
            min,
            want,
            priority,
            right: false,
            middle: false,
        }
    }

    /// The same, aligned to the right.
    #[must_use]
    pub const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// The same, for names: what does not fit is left out in the middle.
    #[must_use]
    pub const fn middle(mut self) -> Self {
        self.middle = true;
        self
    }
}

/// A cell. Its text is made safe when drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// How it looks.
    pub role: Role,
}

impl Cell {
    /// Plain text.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            role: Role::Text,
        }
    }

    /// Text in a role.
    pub fn styled(text: impl Into<String>, role: Role) -> Self {
        Self {
            text: text.into(),
            role,
        }
    }
}

/// Which column the rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sort {
    /// Index of the column.
    pub column: usize,
    /// Largest first.
    pub descending: bool,
}

/// Cursor, marks and sort order of one table.
#[derive(Debug, Default)]
pub struct TableState {
    ids: Vec<String>,
    at: HashMap<String, usize>,
    cursor: usize,
    marked: BTreeSet<String>,
    anchor: Option<String>,
    /// Sort order; the screen sorts, the table shows the arrow.
    pub sort: Sort,
    offset: Slot<usize>,
    height: Slot<usize>,
}

impl TableState {
    /// An empty table sorted by that column.
    pub fn sorted_by(column: usize, descending: bool) -> Self {
        Self {
            sort: Sort { column, descending },
            ..Self::default()
        }
    }

    /// The rows to show, in order, as ids. The cursor stays on its row while that row is there.
    pub fn set_rows(&mut self, ids: Vec<String>) {
        let current = self.current().map(str::to_owned);
        self.at = ids
            .iter()
            .enumerate()
            .map(|(i, id)| (id.clone(), i))
            .collect();
        self.ids = ids;
        self.cursor = current
            .and_then(|id| self.at.get(&id).copied())
            .unwrap_or(self.cursor)
            .min(self.ids.len().saturating_sub(1));
        if self
            .anchor
            .as_ref()
            .is_some_and(|anchor| !self.at.contains_key(anchor))
        {
            self.anchor = None;
        }
    }

    /// Forgets marks of rows that no longer exist at all (`exists` is asked for each).
    pub fn prune_marks(&mut self, exists: impl Fn(&str) -> bool) {
        self.marked.retain(|id| exists(id));
    }

    /// Number of rows shown.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no row is shown.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Position of the cursor, from 0.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// The id under the cursor.
    pub fn current(&self) -> Option<&str> {
        self.ids.get(self.cursor).map(String::as_str)
    }

    /// Puts the cursor on a row, if it is shown.
    pub fn select(&mut self, id: &str) -> bool {
        self.at.get(id).map(|i| self.cursor = *i).is_some()
    }

    /// Marked ids in order of their names, whether shown or not; those of a range that is being marked too.
    pub fn marked(&self) -> BTreeSet<&str> {
        let range = self.range();
        let ranged = range.and_then(|(from, to)| self.ids.get(from..=to));
        self.marked
            .iter()
            .chain(ranged.unwrap_or_default())
            .map(String::as_str)
            .collect()
    }

    /// How many rows are marked, and how many of these are not shown.
    pub fn marked_count(&self) -> (usize, usize) {
        let marked = self.marked();
        let hidden = marked.iter().filter(|id| !self.at.contains_key(**id));
        (marked.len(), hidden.count())
    }

    /// The marked ids, or the one under the cursor when none is marked.
    pub fn chosen(&self) -> Vec<String> {
        let marked = self.marked();
        if marked.is_empty() {
            self.current().map(str::to_owned).into_iter().collect()
        } else {
            marked.into_iter().map(str::to_owned).collect()
        }
    }

    /// Whether a range is being marked.
    pub fn in_range_mode(&self) -> bool {
        self.anchor.is_some()
    }

    /// Gives up the range that was begun.
    pub fn drop_range(&mut self) {
        self.anchor = None;
    }

    /// Unmarks every row, and gives up a range that was begun.
    pub fn unmark_all(&mut self) {
        self.marked.clear();
        self.anchor = None;
    }

    /// Whether [`TableState::act`] knows the action. `marks` is false for tables without marks.
    pub fn handles(action: Action, marks: bool) -> bool {
        match action {
            Action::Down
            | Action::Up
            | Action::Top
            | Action::Bottom
            | Action::PageDown
            | Action::PageUp => true,
            Action::Choose | Action::Range => marks,
            _ => false,
        }
    }

    /// Moves and marks. False when the action is none of the table's.
    pub fn act(&mut self, action: Action) -> bool {
        let last = self.ids.len().saturating_sub(1);
        let page = self.height.get().saturating_sub(1).max(1);
        match action {
            Action::Down => self.cursor = (self.cursor + 1).min(last),
            Action::Up => self.cursor = self.cursor.saturating_sub(1),
            Action::Top => self.cursor = 0,
            Action::Bottom => self.cursor = last,
            Action::PageDown => self.cursor = (self.cursor + page).min(last),
            Action::PageUp => self.cursor = self.cursor.saturating_sub(page),
            Action::Choose => {
                if let Some(id) = self.current().map(str::to_owned) {
                    if !self.marked.remove(&id) {
                        self.marked.insert(id);
                    }
                    self.cursor = (self.cursor + 1).min(last);
                }
            }
            Action::Range => match self.range() {
                Some((from, to)) => {
                    self.marked
                        .extend(self.ids.get(from..=to).unwrap_or_default().iter().cloned());
                    self.anchor = None;
                }
                None => self.anchor = self.current().map(str::to_owned),
            },
            _ => return false,
        }
        true
    }

    /// The next sort order: the other direction, then the next column.
    pub fn cycle_sort(&mut self, columns: usize) {
        if self.sort.descending {
            self.sort = Sort {
                column: (self.sort.column + 1) % columns.max(1),
                descending: false,
            };
        } else {
            self.sort.descending = true;
        }
    }

    fn range(&self) -> Option<(usize, usize)> {
        let anchor = *self.at.get(self.anchor.as_ref()?)?;
        Some((anchor.min(self.cursor), anchor.max(self.cursor)))
    }
}

/// Widths of the columns that fit into `total` cells with one blank between; 0 leaves one out.
pub fn widths(columns: &[Column], total: u16) -> Vec<u16> {
    let mut out: Vec<u16> = columns.iter().map(|c| c.min).collect();
    let used = |out: &[u16]| -> u32 {
        let shown = out.iter().filter(|w| **w > 0).count();
        out.iter().map(|w| u32::from(*w)).sum::<u32>()
            + u32::try_from(shown.saturating_sub(1)).unwrap_or(0)
    };
    while used(&out) > u32::from(total) {
        let drop = (0..columns.len())
            .filter(|i| out[*i] > 0 && columns[*i].priority > 0)
            .max_by_key(|i| (columns[*i].priority, *i));
        match drop {
            Some(i) => out[i] = 0,
            None => break,
        }
    }
    let mut left = u32::from(total).saturating_sub(used(&out));
    let mut order: Vec<usize> = (0..columns.len()).filter(|i| out[*i] > 0).collect();
    order.sort_by_key(|i| columns[*i].priority);
    for i in order.iter().copied() {
        // Columns that share what is left come to twice their least width with the others.
        let want = match columns[i].want {
            u16::MAX => columns[i].min.saturating_mul(2),
            want => want,
        };
        let more = u32::from(want.saturating_sub(out[i])).min(left);
        out[i] += u16::try_from(more).unwrap_or(0);
        left -= more;
    }
    let sharers: Vec<usize> = order
        .into_iter()
        .filter(|i| columns[*i].want == u16::MAX)
        .collect();
    for (n, i) in sharers.iter().enumerate() {
        let share = left / u32::try_from(sharers.len() - n).unwrap_or(1);
        out[*i] += u16::try_from(share).unwrap_or(0);
        left -= share;
    }
    out
}

/// Draws header and rows; `row` is asked only for the rows that are visible, by position. The two
/// cells at the left show the cursor (`>`) and marks (`*`), so that neither hangs on colour.
pub fn view(
    frame: &mut Frame<'_>,
    area: Rect,
    columns: &[Column],
    state: &TableState,
    styles: &Styles,
    row: &dyn Fn(usize) -> Vec<Cell>,
) {
    if area.height == 0 || area.width < 3 {
        return;
    }
    let widths = widths(columns, area.width - 2);
    let header: Vec<Cell> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| {
            let arrow = if i != state.sort.column {
                ""
            } else if state.sort.descending {
                "▼"
            } else {
                "▲"
            };
            let cells = usize::from(widths[i]).saturating_sub(text::width(arrow));
            Cell::styled(
                format!("{}{arrow}", text::fit(column.title, cells)),
                Role::Title,
            )
        })
        .collect();
    let top = Rect { height: 1, ..area };
    frame.render_widget(
        line("  ", Role::Title, &header, columns, &widths, styles, None),
        top,
    );

    let height = usize::from(area.height - 1);
    state.height.set(height);
    let mut offset = state.offset.get().min(state.cursor);
    if height > 0 && state.cursor >= offset + height {
        offset = state.cursor + 1 - height;
    }
    offset = offset.min(state.ids.len().saturating_sub(height));
    state.offset.set(offset);
    let range = state.range();
    for (n, i) in (offset..state.ids.len()).take(height).enumerate() {
        let here = i == state.cursor;
        let marked = state.marked.contains(&state.ids[i]);
        let ranged = range.is_some_and(|(from, to)| (from..=to).contains(&i));
        let gutter = match (here, marked, ranged) {
            (true, true, _) => ">*",
            (true, false, _) => "> ",
            (false, true, _) => " *",
            (false, false, true) => " +",
            (false, false, false) => "  ",
        };
        let over = here.then(|| styles.get(Role::Selected));
        let y = area.y + 1 + u16::try_from(n).unwrap_or(u16::MAX);
        let at = Rect {
            y,
            height: 1,
            ..area
        };
        frame.render_widget(
            line(
                gutter,
                Role::Marked,
                &row(i),
                columns,
                &widths,
                styles,
                over,
            ),
            at,
        );
    }
}

fn line(
    gutter: &'static str,
    gutter_role: Role,
    cells: &[Cell],
    columns: &[Column],
    widths: &[u16],
    styles: &Styles,
    over: Option<Style>,
) -> Line<'static> {
    let mut spans = vec![Span::styled(gutter, styles.get(gutter_role))];
    let mut first = true;
    for ((cell, column), width) in cells.iter().zip(columns).zip(widths) {
        if *width == 0 {
            continue;
        }
        if !first {
            spans.push(Span::raw(" "));
        }
        first = false;
        let width = usize::from(*width);
        let shown = if column.middle {
            text::pad_middle(&cell.text, width)
        } else {
            text::pad(&cell.text, width, column.right)
        };
        spans.push(Span::styled(shown, styles.get(cell.role)));
    }
    let Some(over) = over else {
        return Line::from(spans);
    };
    // The row under the cursor has one look, so that it is legible with every role's colour.
    let spans = spans
        .into_iter()
        .map(|span| Span::styled(span.content, over))
        .collect::<Vec<_>>();
    Line::from(spans).style(over)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("r{i}")).collect()
    }

    #[test]
    fn cursor_and_marks_stay_with_their_rows() {
        let mut table = TableState::default();
        table.set_rows(ids(5));
        table.act(Action::Down);
        table.act(Action::Choose);
        assert_eq!(table.current(), Some("r2"));
        table.set_rows(vec!["r4".into(), "r2".into()]);
        assert_eq!(table.current(), Some("r2"));
        assert_eq!(table.marked_count(), (1, 1));
        assert_eq!(table.chosen(), ["r1"]);
        table.prune_marks(|id| id != "r1");
        assert_eq!(table.chosen(), ["r2"]);
        table.set_rows(Vec::new());
        assert_eq!(table.current(), None);
        for action in [
            Action::Down,
            Action::Choose,
            Action::Range,
            Action::PageDown,
            Action::Bottom,
        ] {
            table.act(action);
        }
        assert!(table.chosen().is_empty());
    }

    #[test]
    fn a_range_is_marked_from_either_side() {
        let mut table = TableState::default();
        table.set_rows(ids(6));
        table.act(Action::Bottom);
        table.act(Action::Range);
        table.act(Action::Up);
        table.act(Action::Up);
        table.act(Action::Range);
        assert_eq!(
            table.marked().into_iter().collect::<Vec<_>>(),
            ["r3", "r4", "r5"]
        );
        assert!(!table.in_range_mode());
    }

    #[test]
    fn narrow_tables_lose_columns_by_priority() {
        let columns = [
            Column::new("a", 5, 10, 0),
            Column::new("b", 5, u16::MAX, 2),
            Column::new("c", 5, 5, 1),
        ];
        assert_eq!(widths(&columns, 40), [10, 23, 5]);
        assert_eq!(widths(&columns, 20), [8, 5, 5]);
        assert_eq!(widths(&columns, 17), [5, 5, 5]);
        assert_eq!(widths(&columns, 16), [10, 0, 5]);
        assert_eq!(widths(&columns, 6), [6, 0, 0]);
        assert_eq!(widths(&columns, 0), [5, 0, 0]);
    }

    #[test]
    fn sorting_turns_round_then_moves_on() {
        let mut table = TableState::default();
        table.cycle_sort(2);
        assert_eq!(
            table.sort,
            Sort {
                column: 0,
                descending: true
            }
        );
        table.cycle_sort(2);
        assert_eq!(
            table.sort,
            Sort {
                column: 1,
                descending: false
            }
        );
    }
}

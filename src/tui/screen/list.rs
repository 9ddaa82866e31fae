//! What Fleet, Volumes and Snapshots have in common: a table that is filtered, sorted and marked.

use std::cmp::Ordering;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::config::theme::Role;
use crate::domain::filter::{Filter, RowKind};
use crate::domain::problem::Problem;
use crate::tui::action::Action;
use crate::tui::contract::{Reaction, Request, ScreenContext};
use crate::tui::widget::dialog::pane;
use crate::tui::widget::filter_line::{self, FilterLine};
use crate::tui::widget::table::{self, Cell, Column, TableState};
use crate::tui::widget::text;

/// What came of an action.
pub enum Listed {
    /// Not the list's.
    No,
    /// Done.
    Done,
    /// Done, and the rows must be worked out again.
    Rebuild,
    /// Nothing left to undo here: go back.
    Back,
}

/// What the pane says besides its rows.
pub struct Words<'a> {
    /// Title, such as `Fleet`.
    pub title: &'a str,
    /// A question is out.
    pub loading: bool,
    /// The last question failed.
    pub error: Option<&'a Problem>,
    /// How many rows there are before narrowing; `None` while nothing was read.
    pub total: Option<usize>,
    /// What to do when there are none at all.
    pub empty: &'a str,
}

/// A list.
#[derive(Debug)]
pub struct List {
    /// Cursor, marks, sort order.
    pub table: TableState,
    filter: FilterLine,
    /// For each shown row its place in the data.
    order: Vec<usize>,
    columns: &'static [Column],
    marks: bool,
}

impl List {
    /// A list of rows of that kind, sorted by that column; `marks` says whether rows can be marked.
    pub fn new(
        kind: RowKind,
        columns: &'static [Column],
        column: usize,
        descending: bool,
        marks: bool,
    ) -> Self {
        Self {
            table: TableState::sorted_by(column, descending),
            filter: FilterLine::new(kind),
            order: Vec::new(),
            columns,
            marks,
        }
    }

    /// Works out which rows are shown, in which order. `compare` gets the column to sort by; ties go
    /// by id.
    pub fn rebuild<T>(
        &mut self,
        rows: &[T],
        id: impl Fn(&T) -> &str,
        keep: impl Fn(&T, &Filter) -> bool,
        compare: impl Fn(&T, &T, usize) -> Ordering,
    ) {
        let filter = self
            .filter
            .filter(|filter| rows.iter().any(|row| keep(row, filter)));
        let mut order: Vec<usize> = (0..rows.len())
            .filter(|i| rows.get(*i).is_some_and(|row| keep(row, filter)))
            .collect();
        let sort = self.table.sort;
        order.sort_by(|a, b| {
            let (Some(a), Some(b)) = (rows.get(*a), rows.get(*b)) else {
                return Ordering::Equal;
            };
            let by_column = compare(a, b, sort.column);
            let by_column = if sort.descending {
                by_column.reverse()
            } else {
                by_column
            };
            by_column.then_with(|| id(a).cmp(id(b)))
        });
        self.table.set_rows(
            order
                .iter()
                .filter_map(|i| rows.get(*i))
                .map(|row| id(row).to_owned())
                .collect(),
        );
        self.order = order;
    }

    /// The place in the data of the row under the cursor.
    pub fn current(&self) -> Option<usize> {
        self.order.get(self.table.cursor()).copied()
    }

    /// The filter line has the focus.
    pub fn typing(&self) -> bool {
        self.filter.typing()
    }

    /// What the help of the screen explains: the language of filters while the filter line has the focus.
    pub fn explained(&self) -> &'static [&'static str] {
        if self.typing() {
            self.filter.explained()
        } else {
            &[]
        }
    }

    /// What the screen is for, `purpose`, or what the filter line is for while it has the focus.
    pub fn purpose(&self, purpose: &'static str) -> &'static str {
        if self.typing() {
            filter_line::PURPOSE
        } else {
            purpose
        }
    }

    /// Whether [`List::act`] has a use for the action now.
    pub fn handles(&self, action: Action) -> bool {
        if self.filter.typing() {
            return self.filter.handles(action) || matches!(action, Action::Down | Action::Up);
        }
        match action {
            Action::Filter | Action::Sort | Action::Back => true,
            Action::Unmark => self.table.marked_count().0 > 0,
            _ => !self.table.is_empty() && TableState::handles(action, self.marks),
        }
    }

    /// Carries out what concerns the list.
    pub fn act(&mut self, action: Action) -> Listed {
        if !self.handles(action) {
            return Listed::No;
        }
        match action {
            Action::Back if self.table.in_range_mode() && !self.filter.typing() => {
                self.table.drop_range();
            }
            _ if self.filter.act(action) => return Listed::Rebuild,
            Action::Back => return Listed::Back,
            Action::Sort => {
                self.table.cycle_sort(self.columns.len());
                return Listed::Rebuild;
            }
            Action::Unmark => self.table.unmark_all(),
            _ => {
                self.table.act(action);
            }
        }
        Listed::Done
    }

    /// A key for the filter line; the rows must be worked out again.
    pub fn type_key(&mut self, key: KeyEvent) {
        self.filter.type_key(key);
    }

    /// Pasted text for the filter line; the rows must be worked out again.
    pub fn paste(&mut self, pasted: &str) {
        self.filter.paste(pasted);
    }

    /// Draws the pane; `row` builds the cells of the row at that place in the data.
    pub fn view(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        cx: &ScreenContext<'_>,
        words: &Words<'_>,
        row: &dyn Fn(usize) -> Vec<Cell>,
    ) {
        let block = pane(&self.title(words), cx.styles);
        let mut inner = block.inner(area);
        frame.render_widget(block, area);
        if let Some(problem) = words.error {
            self.view_problem(frame, &mut inner, cx, problem);
        }
        self.filter.view(frame, &mut inner, cx.styles);
        let say = |frame: &mut Frame<'_>, words: &str, role: Role| {
            let lines = text::wrap(words, usize::from(inner.width.saturating_sub(2)));
            for (line, at) in lines.into_iter().zip(inner.rows().skip(1)) {
                frame.render_widget(Line::styled(format!("  {line}"), cx.styles.get(role)), at);
            }
        };
        match words.total {
            None if words.error.is_some() => {}
            None => say(frame, "loading…", Role::Muted),
            // What was read before is out of date: nobody knows yet that there is nothing.
            Some(0) if words.loading => say(frame, "reading again…", Role::Muted),
            Some(0) => say(frame, words.empty, Role::Muted),
            Some(_) if self.table.is_empty() => {
                say(
                    frame,
                    "Nothing matches the filter. Esc clears it.",
                    Role::Muted,
                );
            }
            Some(_) => {
                let by_place = |i: usize| self.order.get(i).map(|at| row(*at)).unwrap_or_default();
                table::view(
                    frame,
                    inner,
                    self.columns,
                    &self.table,
                    cx.styles,
                    &by_place,
                );
            }
        }
    }

    fn title(&self, words: &Words<'_>) -> String {
        let mut title = words.title.to_owned();
        if let Some(total) = words.total {
            let shown = self.table.len();
            let position = if shown == 0 {
                0
            } else {
                self.table.cursor() + 1
            };
            title.push_str(&format!(" {position}/{shown}"));
            if shown != total {
                title.push_str(&format!(" of {total}"));
            }
        }
        let (marked, hidden) = self.table.marked_count();
        if marked > 0 {
            title.push_str(&format!(" · {marked} marked"));
        }
        if hidden > 0 {
            title.push_str(&format!(" ({hidden} not shown)"));
        }
        if self.table.in_range_mode() {
            title.push_str(" · marking a range");
        }
        if words.loading {
            title.push_str(" · loading…");
        }
        title
    }

    fn view_problem(
        &self,
        frame: &mut Frame<'_>,
        inner: &mut Rect,
        cx: &ScreenContext<'_>,
        problem: &Problem,
    ) {
        let cells = usize::from(inner.width);
        let mut lines: Vec<(String, Role)> = text::wrap(&format!("! {problem}"), cells)
            .into_iter()
            .map(|line| (line, Role::Error))
            .collect();
        lines.extend(
            text::wrap(&format!("→ {}", problem.hint), cells)
                .into_iter()
                .map(|l| (l, Role::Warn)),
        );
        for (line, role) in lines
            .into_iter()
            .take(usize::from(inner.height.saturating_sub(1).max(1)))
        {
            let at = Rect {
                height: inner.height.min(1),
                ..*inner
            };
            frame.render_widget(Line::styled(line, cx.styles.get(role)), at);
            inner.y += at.height;
            inner.height -= at.height;
        }
    }
}

/// The reaction to what the list did; `Rebuild` must have been seen to before.
pub fn reaction(listed: &Listed) -> Reaction {
    match listed {
        Listed::No => Reaction::Ignored,
        Listed::Done | Listed::Rebuild => Reaction::done(),
        Listed::Back => Reaction::ask(Request::Back),
    }
}

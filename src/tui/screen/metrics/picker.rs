//! The list from which an instance is chosen.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::config::theme::Role;
use crate::domain::filter::{Filter, RowKind};
use crate::domain::ids::InstanceId;
use crate::domain::instance::Instance;
use crate::tui::action::Action;
use crate::tui::contract::ScreenContext;
use crate::tui::style;
use crate::tui::widget::filter_line::FilterLine;
use crate::tui::widget::table::{self, Cell, Column, TableState};
use crate::tui::widget::{text, trouble};

const COLUMNS: [Column; 4] = [
    Column::new("instance", 12, 20, 0).middle(),
    Column::new("id", 19, 19, 2),
    Column::new("last proven", 12, 22, 1),
    Column::new("recipe", 8, u16::MAX, 3),
];

/// Instances by name, narrowed by words.
pub struct Picker {
    table: TableState,
    filter: FilterLine,
}

impl Default for Picker {
    fn default() -> Self {
        Self {
            table: TableState::sorted_by(usize::MAX, false),
            filter: FilterLine::new(RowKind::Instances),
        }
    }
}

impl Picker {
    /// Number of instances listed.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether keys go to the filter.
    pub fn typing(&self) -> bool {
        self.filter.typing()
    }

    /// The language of its filter.
    pub fn explained(&self) -> &'static [&'static str] {
        self.filter.explained()
    }

    /// The instance under the cursor.
    pub fn current(&self) -> Option<InstanceId> {
        self.table.current().map(InstanceId::from_api)
    }

    /// Puts the cursor on an instance, if it is listed.
    pub fn select(&mut self, instance: &InstanceId) {
        self.table.select(instance.as_str());
    }

    fn rows<'a>(&self, cx: &ScreenContext<'a>) -> Vec<&'a Instance> {
        let matches = |i: &Instance, filter: &Filter| {
            filter.matches_instance(i, cx.model.proven_level(&i.id))
        };
        let all = cx.model.instances();
        let filter = self
            .filter
            .filter(|filter| all.iter().any(|i| matches(i, filter)));
        all.iter().filter(|i| matches(i, filter)).collect()
    }

    /// Works the rows out again.
    pub fn arrange(&mut self, cx: &ScreenContext<'_>) {
        self.table.set_rows(
            self.rows(cx)
                .into_iter()
                .map(|i| i.id.to_string())
                .collect(),
        );
    }

    /// Whether [`Picker::act`] has a use for the action.
    pub fn handles(&self, action: Action) -> bool {
        if self.filter.typing() || self.filter.handles(action) {
            return self.filter.handles(action);
        }
        TableState::handles(action, false)
    }

    /// Moves the cursor of the list of instances, or narrows the list.
    pub fn act(&mut self, action: Action, cx: &ScreenContext<'_>) {
        if self.filter.act(action) {
            return self.arrange(cx);
        }
        if !self.filter.typing() {
            self.table.act(action);
        }
    }

    /// A character for the filter.
    pub fn type_key(&mut self, key: KeyEvent, cx: &ScreenContext<'_>) {
        self.filter.type_key(key);
        self.arrange(cx);
    }

    /// Pasted text for the filter.
    pub fn paste(&mut self, pasted: &str, cx: &ScreenContext<'_>) {
        self.filter.paste(pasted);
        self.arrange(cx);
    }

    /// Draws the list of instances.
    pub fn view(&self, frame: &mut Frame<'_>, mut area: Rect, cx: &ScreenContext<'_>) {
        self.filter.view(frame, &mut area, cx.styles);
        let width = usize::from(area.width);
        let pane = &cx.model.instances;
        let mut head: Vec<Line<'static>> = Vec::new();
        if let Some(problem) = &pane.error {
            head.extend(trouble::lines(problem, width, cx.styles));
        }
        if self.table.is_empty() {
            let words = match (&pane.data, &pane.error) {
                (None, Some(_)) => "",
                (None, None) => "reading the instances…",
                _ if pane.loading => "reading the instances again…",
                _ if self.filter.is_active() => "no instance matches the filter; Esc clears it",
                _ => "there is no instance in this account and region",
            };
            let style = cx.styles.get(Role::Muted);
            head.extend(
                text::wrap(words, width)
                    .into_iter()
                    .map(|line| Line::styled(line, style)),
            );
        }
        let used = u16::try_from(head.len())
            .unwrap_or(u16::MAX)
            .min(area.height);
        for (line, row) in head.into_iter().zip(area.rows()) {
            frame.render_widget(line, row);
        }
        if self.table.is_empty() {
            return;
        }
        let below = Rect {
            y: area.y + used,
            height: area.height - used,
            ..area
        };
        let rows = self.rows(cx);
        table::view(frame, below, &COLUMNS, &self.table, cx.styles, &|row| {
            rows.get(row)
                .map(|instance| cells(instance, cx))
                .unwrap_or_default()
        });
    }
}

fn cells(instance: &Instance, cx: &ScreenContext<'_>) -> Vec<Cell> {
    let proven = match cx.model.last_proven(&instance.id) {
        Some(set) => {
            let (symbol, word, role) = style::level(Some(set.level));
            Cell::styled(
                format!("{symbol} {word} {}", style::age(set.started, cx.now)),
                role,
            )
        }
        None => Cell::styled("never", Role::Warn),
    };
    vec![
        Cell::new(cx.model.named(&instance.id)),
        Cell::styled(instance.id.as_str(), Role::Muted),
        proven,
        Cell::new(instance.recipe_tag().unwrap_or("-")),
    ]
}

//! Step 1: the point in time. A timeline above, the sets below, newest first.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::config::theme::Role;
use crate::domain::filter::{Filter, OfInstance, RowKind};
use crate::domain::ids::{InstanceId, JobId};
use crate::domain::set::SnapshotSet;
use crate::domain::snapshot::Snapshot;
use crate::tui::action::Action;
use crate::tui::contract::ScreenContext;
use crate::tui::style;
use crate::tui::widget::filter_line::FilterLine;
use crate::tui::widget::table::{self, Cell, Column, TableState};
use crate::tui::widget::timeline::{self, Mark};
use crate::tui::widget::{lane, text, trouble};

/// From this height on the timeline is shown above the list.
const TIMELINE_FROM: u16 = 13;

/// The columns; the instance's own is left out where all rows are of one instance.
const COLUMNS: [Column; 6] = [
    Column::new("taken", 20, 20, 0),
    Column::new("age", 4, 5, 0).right(),
    Column::new("worth", 20, 22, 0),
    Column::new("volumes", 11, 12, 2).right(),
    Column::new("note", 14, u16::MAX, 3),
    Column::new("instance", 12, u16::MAX, 1).middle(),
];

/// The list of sets.
pub struct Choose {
    /// Only the sets of this instance.
    pub instance: Option<InstanceId>,
    filter: FilterLine,
    rows: Vec<JobId>,
    table: TableState,
}

impl Default for Choose {
    fn default() -> Self {
        Self {
            instance: None,
            filter: FilterLine::new(RowKind::Sets),
            rows: Vec::new(),
            table: TableState::sorted_by(usize::MAX, false),
        }
    }
}

impl Choose {
    /// The list of one instance's sets, or of all.
    pub fn of(instance: Option<InstanceId>) -> Self {
        Self {
            instance,
            ..Self::default()
        }
    }

    /// Works the rows out again.
    pub fn arrange(&mut self, cx: &ScreenContext<'_>) {
        let matches = |set: &SnapshotSet, filter: &Filter| {
            let of = set.instance.as_ref().and_then(|id| cx.model.instance(id));
            filter.matches_set(set, OfInstance::of(of))
        };
        let here = |set: &&SnapshotSet| self.instance.is_none() || set.instance == self.instance;
        let all: Vec<&SnapshotSet> = cx.model.sets.iter().filter(here).collect();
        let any = |filter: &Filter| all.iter().any(|set| matches(set, filter));
        let filter = self.filter.filter(any);
        let kept = all.iter().filter(|set| matches(set, filter));
        self.rows = kept.map(|set| set.job.clone()).collect();
        self.table
            .set_rows(self.rows.iter().map(ToString::to_string).collect());
    }

    /// Puts the cursor on a set.
    pub fn select(&mut self, job: &JobId) {
        self.table.select(job.as_str());
    }

    /// The language of its filter.
    pub fn explained(&self) -> &'static [&'static str] {
        self.filter.explained()
    }

    /// The set under the cursor.
    pub fn current<'a>(&self, cx: &ScreenContext<'a>) -> Option<&'a SnapshotSet> {
        cx.model.set(self.rows.get(self.table.cursor())?)
    }

    /// Whether keys go to the filter.
    pub fn typing(&self) -> bool {
        self.filter.typing()
    }

    /// Whether [`Choose::act`] has a use for the action.
    pub fn handles(&self, action: Action) -> bool {
        if self.filter.typing() || self.filter.handles(action) {
            return self.filter.handles(action);
        }
        // Without a filter `Back` and `Leave` go to where one came from: the list never widens by them.
        !self.rows.is_empty() && TableState::handles(action, false)
    }

    /// Moves, filters or widens the list of sets.
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

    fn emptiness(&self, cx: &ScreenContext<'_>) -> String {
        let pane = &cx.model.snapshots;
        if pane.loading || pane.data.is_none() {
            return if pane.error.is_some() {
                String::new()
            } else {
                "reading the snapshots…".to_owned()
            };
        }
        if self.filter.is_active() {
            return "no set matches the filter; Esc clears it".to_owned();
        }
        let made = cx.model.running().find(|job| {
            let of = self.instance.as_ref();
            of.is_none_or(|id| job.spec.instance == *id)
        });
        if let Some(job) = made {
            return format!(
                "a job of {} is making a set now; it appears here once EC2 shows it; press 4 to watch it, ctrl-r to read \
                 again",
                cx.model.named(&job.spec.instance)
            );
        }
        match &self.instance {
            Some(id) => format!(
                "there is no set of {} to restore from; take a snapshot in Fleet (1)",
                cx.model.named(id)
            ),
            None => "there is no set to restore from; take a snapshot in Fleet (1)".to_owned(),
        }
    }

    /// Draws timeline and list.
    pub fn view(&self, frame: &mut Frame<'_>, mut area: Rect, cx: &ScreenContext<'_>) {
        self.filter.view(frame, &mut area, cx.styles);
        let width = usize::from(area.width);
        let mut head: Vec<Line<'static>> = Vec::new();
        if let Some(problem) = &cx.model.snapshots.error {
            head.extend(trouble::lines(problem, width, cx.styles));
        }
        let current = self.current(cx);
        if area.height >= TIMELINE_FROM {
            // A timeline of many instances at once says nothing: it is the current one's.
            let whose = current.and_then(|set| set.instance.as_ref());
            let marks: Vec<Mark> = cx
                .model
                .sets
                .iter()
                .filter(|set| set.instance.as_ref() == whose && whose.is_some())
                .map(|set| Mark {
                    at: set.started,
                    level: set.level,
                })
                .collect();
            head.extend(timeline::timeline(
                &marks,
                current.map(|s| s.started),
                cx.now,
                width,
                cx.styles,
            ));
        }
        let used = u16::try_from(head.len())
            .unwrap_or(u16::MAX)
            .min(area.height);
        for (line, row) in head.into_iter().zip(area.rows()) {
            frame.render_widget(line, row);
        }
        let area = Rect {
            y: area.y + used,
            height: area.height - used,
            ..area
        };
        if self.rows.is_empty() {
            let style = cx.styles.get(Role::Muted);
            for (line, row) in text::wrap(&self.emptiness(cx), width)
                .into_iter()
                .zip(area.rows())
            {
                frame.render_widget(Line::styled(line, style), row);
            }
            return;
        }
        let columns = if self.instance.is_some() {
            &COLUMNS[..5]
        } else {
            &COLUMNS[..]
        };
        table::view(frame, area, columns, &self.table, cx.styles, &|row| {
            let Some(set) = self.rows.get(row).and_then(|job| cx.model.set(job)) else {
                return Vec::new();
            };
            cells(set, cx)
        });
    }
}

fn cells(set: &SnapshotSet, cx: &ScreenContext<'_>) -> Vec<Cell> {
    let (symbol, word, role) = style::level(Some(set.level));
    let proven = if set.level.is_proven() {
        ""
    } else {
        ", NOT PROVEN"
    };
    let gib: u32 = members(set, cx)
        .map(|s| s.volume_gib)
        .fold(0, u32::saturating_add);
    let note = match (refusal(set), set.frozen_ms) {
        (Some(refusal), _) => Cell::styled(refusal, Role::Warn),
        (None, Some(ms)) => Cell::styled(format!("froze {}", lane::millis(ms)), Role::Muted),
        (None, None) => Cell::styled(set.recipe.clone().unwrap_or_default(), Role::Muted),
    };
    vec![
        Cell::new(style::moment(set.started)),
        Cell::new(style::age(set.started, cx.now)),
        Cell::styled(format!("{symbol} {word}{proven}"), role),
        Cell::new(format!("{} · {gib} GiB", set.members.len())),
        note,
        Cell::new(
            set.instance
                .as_ref()
                .map_or_else(|| "?".to_owned(), |id| cx.model.named_short(id)),
        ),
    ]
}

/// The set's snapshots that were read.
pub fn members<'a>(
    set: &'a SnapshotSet,
    cx: &ScreenContext<'a>,
) -> impl Iterator<Item = &'a Snapshot> {
    cx.model
        .snapshots()
        .iter()
        .filter(|s| set.members.contains(&s.id))
}

/// Why the set cannot be restored now.
pub fn refusal(set: &SnapshotSet) -> Option<String> {
    if let Some(expected) = set.expected.filter(|_| set.is_partial()) {
        return Some(format!(
            "only {} of {expected} members are left",
            set.members.len()
        ));
    }
    (!set.restorable).then(|| "a member is not completed, or archived".to_owned())
}

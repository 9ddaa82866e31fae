//! A prune plan under review: what goes, what stays, and why; deletions can be kept by hand.

use std::collections::BTreeSet;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::policy;
use crate::config::theme::Role;
use crate::domain::naming;
use crate::domain::prune::count;
use crate::domain::retention::{Decision, Fate, PrunePlan};
use crate::tui::action::Action;
use crate::tui::contract::ScreenContext;
use crate::tui::style;
use crate::tui::widget::details::{Details, Entry};
use crate::tui::widget::lane;
use crate::tui::widget::table::{self, Cell, Column, TableState};
use crate::tui::widget::text;

/// The reason that a decision gets when a person takes it out of the deletions.
pub const BY_HAND: &str = "kept by hand";

const COLUMNS: [Column; 6] = [
    Column::new("fate", 9, 10, 0),
    Column::new("instance", 12, 22, 0).middle(),
    Column::new("taken", 16, 16, 1),
    Column::new("level", 13, 13, 3),
    Column::new("snapshots", 11, 12, 2).right(),
    Column::new("because", 20, u16::MAX, 0),
];

/// Which decisions are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    All,
    Only(Fate),
}

const VIEWS: [Shown; 4] = [
    Shown::All,
    Shown::Only(Fate::Delete),
    Shown::Only(Fate::Keep),
    Shown::Only(Fate::Blocked),
];

/// The review.
pub struct Review {
    plan: Box<PrunePlan>,
    /// Decisions that were deletions and are kept by hand.
    by_hand: BTreeSet<usize>,
    view: usize,
    /// Indices of the decisions shown.
    rows: Vec<usize>,
    table: TableState,
}

impl Review {
    /// A plan, every decision shown.
    pub fn new(plan: Box<PrunePlan>) -> Self {
        let mut review = Self {
            plan,
            by_hand: BTreeSet::new(),
            view: 0,
            rows: Vec::new(),
            table: TableState::sorted_by(usize::MAX, false),
        };
        review.arrange();
        review
    }

    /// The plan as reviewed: this, and nothing else, is carried out.
    pub fn plan(&self) -> &PrunePlan {
        &self.plan
    }

    /// To the next or previous of: all, delete, keep, blocked.
    pub fn turn(&mut self, forward: bool) {
        let n = VIEWS.len();
        self.view = (self.view + if forward { 1 } else { n - 1 }) % n;
        self.arrange();
    }

    /// Whether the cursor moves by that action.
    pub fn moves(action: Action) -> bool {
        TableState::handles(action, false)
    }

    /// Moves the cursor of the review.
    pub fn step(&mut self, action: Action) {
        self.table.act(action);
    }

    fn current(&self) -> Option<(usize, &Decision)> {
        let i = *self.rows.get(self.table.cursor())?;
        self.plan.decisions.get(i).map(|d| (i, d))
    }

    /// Takes the decision under the cursor out of the deletions, or puts it back, and moves on.
    ///
    /// # Errors
    /// Why not, in words: it is no deletion.
    pub fn toggle(&mut self) -> Result<(), String> {
        let Some((i, decision)) = self.current() else {
            return Ok(());
        };
        let kept = self.by_hand.contains(&i);
        if !kept && decision.fate != Fate::Delete {
            return Err(format!(
                "only deletions can be kept by hand; this one is {} anyway: {}",
                if decision.fate == Fate::Keep {
                    "kept"
                } else {
                    "blocked"
                },
                decision.reasons.join(", ")
            ));
        }
        let Some(decision) = self.plan.decisions.get_mut(i) else {
            return Ok(());
        };
        if kept {
            self.by_hand.remove(&i);
            decision.fate = Fate::Delete;
            decision.reasons.retain(|reason| reason != BY_HAND);
        } else {
            self.by_hand.insert(i);
            decision.fate = Fate::Keep;
            decision.reasons.push(BY_HAND.to_owned());
        }
        self.table.act(Action::Down);
        Ok(())
    }

    fn arrange(&mut self) {
        let view = VIEWS.get(self.view).copied().unwrap_or(Shown::All);
        self.rows = self
            .plan
            .decisions
            .iter()
            .enumerate()
            .filter(|(i, d)| match view {
                Shown::All => true,
                // What was kept by hand stays here, so that it can be put back.
                Shown::Only(Fate::Delete) => d.fate == Fate::Delete || self.by_hand.contains(i),
                Shown::Only(fate) => d.fate == fate,
            })
            .map(|(i, _)| i)
            .collect();
        self.table
            .set_rows(self.rows.iter().map(ToString::to_string).collect());
    }

    /// Everything about the decision under the cursor.
    pub fn details(&self, cx: &ScreenContext<'_>) -> Option<Details> {
        let (i, decision) = self.current()?;
        let (symbol, word, role) = self.fate(i, decision);
        let mut entries = vec![Entry::Section(format!("{symbol} {word}"))];
        if decision.reasons.is_empty() {
            entries.push(Entry::Words("no rule of the policy keeps it".into(), role));
        }
        entries.extend(
            decision
                .reasons
                .iter()
                .map(|reason| Entry::Words(format!("- {reason}"), role)),
        );
        entries.extend(
            decision
                .notes
                .iter()
                .map(|note| Entry::Words(format!("- {note}"), Role::Warn)),
        );
        entries.push(Entry::Section("Set".into()));
        entries.push(Entry::pair(
            "taken",
            format!(
                "{} ({})",
                style::moment(decision.started),
                style::ago(decision.started, cx.now)
            ),
        ));
        entries.push(Entry::pair(
            "instance",
            decision.instance.as_ref().map_or_else(
                || "unknown".to_owned(),
                |id| naming::full(Some(&decision.instance_name), id.as_str()),
            ),
        ));
        let job = decision
            .job
            .as_ref()
            .map_or("none: not made by freezeframe", |j| j.as_str());
        entries.push(Entry::pair("job", job));
        let (symbol, level, role) = style::level(decision.level);
        entries.push(Entry::Pair(
            "level".into(),
            format!("{symbol} {level}"),
            role,
        ));
        entries.push(Entry::Section(format!(
            "Snapshots ({})",
            decision.snapshots.len()
        )));
        for s in &decision.snapshots {
            let words = format!(
                "{} · {} · {} GiB · {}",
                s.device, s.volume, s.volume_gib, s.state
            );
            entries.push(Entry::pair(s.id.as_str(), words));
        }
        let id = decision
            .job
            .as_ref()
            .map(|j| j.as_str())
            .or_else(|| decision.snapshots.first().map(|s| s.id.as_str()));
        Some(Details::new("Why", id.unwrap_or_default(), None, entries))
    }

    fn fate(&self, i: usize, decision: &Decision) -> (&'static str, &'static str, Role) {
        match decision.fate {
            Fate::Delete => ("✘", "delete", Role::Error),
            Fate::Keep if self.by_hand.contains(&i) => ("✔", "by hand", Role::Marked),
            Fate::Keep => ("✔", "keep", Role::Ok),
            Fate::Blocked => ("▲", "blocked", Role::Warn),
        }
    }

    /// Lines above the table: the policy, the counts, the views.
    fn head(&self, cx: &ScreenContext<'_>, width: usize) -> Vec<Line<'static>> {
        let styles = cx.styles;
        let (keep, delete, blocked) = self.plan.counts();
        let snapshots = self.plan.doomed().len();
        let what = format!(
            "policy {} · made {}",
            policy::rules(&self.plan.policy),
            style::ago(self.plan.made_at, cx.now)
        );
        let of = format!("plan of {}", self.plan.title());
        let mut views = Vec::new();
        let names = [
            (format!("all {}", self.plan.decisions.len()), Role::Text),
            (format!("✘ delete {delete}"), Role::Error),
            (format!("✔ keep {keep}"), Role::Ok),
            (format!("▲ blocked {blocked}"), Role::Warn),
        ];
        for (n, (name, role)) in names.into_iter().enumerate() {
            let shown = if n == self.view {
                format!("[{name}]")
            } else {
                format!(" {name} ")
            };
            views.push(Span::styled(shown, styles.get(role)));
        }
        if !self.by_hand.is_empty() {
            views.push(Span::styled(
                format!(" {} kept by hand", self.by_hand.len()),
                styles.get(Role::Marked),
            ));
        }
        let sum = if snapshots == 0 {
            "nothing to delete".to_owned()
        } else {
            format!(
                "{} to delete; space keeps one by hand, R goes on",
                count(snapshots, "snapshot")
            )
        };
        let mut lines: Vec<Line<'static>> = text::wrap(&of, width)
            .into_iter()
            .map(|line| Line::styled(line, styles.get(Role::Text)))
            .collect();
        lines.extend([
            lane::fitted(vec![Span::styled(what, styles.get(Role::Muted))], width),
            lane::fitted(views, width),
            lane::fitted(vec![Span::styled(sum, styles.get(Role::Muted))], width),
        ]);
        lines
    }

    /// Draws head and table.
    pub fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let head = self.head(cx, usize::from(area.width));
        let used = u16::try_from(head.len()).unwrap_or(0).min(area.height);
        for (line, row) in head.into_iter().zip(area.rows()) {
            frame.render_widget(line, row);
        }
        let below = Rect {
            y: area.y + used,
            height: area.height - used,
            ..area
        };
        if self.rows.is_empty() {
            let words = Line::styled("  none of these", cx.styles.get(Role::Muted));
            if below.height > 0 {
                frame.render_widget(words, Rect { height: 1, ..below });
            }
            return;
        }
        table::view(frame, below, &COLUMNS, &self.table, cx.styles, &|row| {
            let Some((i, decision)) = self
                .rows
                .get(row)
                .and_then(|i| Some((*i, self.plan.decisions.get(*i)?)))
            else {
                return Vec::new();
            };
            let (symbol, word, role) = self.fate(i, decision);
            let (mark, level, level_role) = style::level(decision.level);
            let gib: u32 = decision
                .snapshots
                .iter()
                .map(|s| s.volume_gib)
                .fold(0, u32::saturating_add);
            let because = if decision.reasons.is_empty() {
                "no rule keeps it".to_owned()
            } else {
                let all = decision.reasons.iter().chain(&decision.notes);
                all.cloned().collect::<Vec<_>>().join(", ")
            };
            vec![
                Cell::styled(format!("{symbol} {word}"), role),
                Cell::new(decision.instance.as_ref().map_or_else(
                    || decision.instance_name.clone(),
                    |id| naming::short(Some(&decision.instance_name), id.as_str()),
                )),
                Cell::styled(
                    decision.started.format("%Y-%m-%d %H:%M").to_string(),
                    Role::Muted,
                ),
                Cell::styled(format!("{mark} {level}"), level_role),
                Cell::new(format!("{} · {gib} GiB", decision.snapshots.len())),
                Cell::styled(because, role),
            ]
        });
    }
}

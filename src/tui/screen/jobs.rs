//! Jobs: a lane for each, live and past; `Enter` opens one.

mod describe;
mod questions;
mod summary;

use std::cell::Cell as Slot;
use std::cmp::Reverse;
use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::config::theme::Role;
use crate::domain::filter::{Filter, OfInstance, RowKind};
use crate::domain::ids::{JobId, RunId};
use crate::domain::job::{JobView, Phase, Verdict};
use crate::domain::naming;
use crate::tui::action::Action;
use crate::tui::contract::{MenuItem, Reaction, Request, Screen, ScreenContext, ScreenId, Subject};
use crate::tui::model::DrivenBy;
use crate::tui::widget::dialog::pane;
use crate::tui::widget::filter_line::{self, FilterLine};
use crate::tui::widget::scroll::Scroll;
use crate::tui::widget::{details, lane, text, trouble};

/// Jobs that failed stay above the other ended ones for this long.
const FRESH: TimeDelta = TimeDelta::hours(24);

/// Lanes that the smallest full screen has room for.
const WATCHED: usize = 8;
/// Most lines for the instances whose thaw is unconfirmed; each has its lane too.
const LOUD: usize = 3;
/// Lines below the lanes for the one under the cursor.
const FOOT: u16 = 4;

/// One job in full, scrolled.
struct Open {
    job: JobId,
    scroll: Scroll,
}

/// The screen.
pub struct Jobs {
    /// Ids in the order shown.
    rows: Vec<JobId>,
    cursor: usize,
    offset: Slot<usize>,
    /// Lanes that fit, as last drawn.
    fits: Slot<usize>,
    filter: FilterLine,
    /// The run that was just started: the cursor goes to its first lane when it appears.
    awaited: Option<RunId>,
    /// Nobody has moved since a run was started: the lanes that need somebody stay in view, and the cursor's job
    /// may leave it when it is over. The line below the lanes says which one it is.
    watching: bool,
    open: Option<Open>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self::new()
    }
}

impl Jobs {
    /// The jobs screen, empty.
    pub fn new() -> Self {
        Self {
            rows: Vec::new(),
            cursor: 0,
            offset: Slot::new(0),
            fits: Slot::new(1),
            filter: FilterLine::new(RowKind::Jobs),
            awaited: None,
            watching: false,
            open: None,
        }
    }

    fn chosen<'a>(&self, cx: &ScreenContext<'a>) -> Option<&'a JobView> {
        let id = match &self.open {
            Some(open) => &open.job,
            None => self.rows.get(self.cursor)?,
        };
        cx.model.job(id)
    }

    /// The rows again: unconfirmed thaws first, then what fails in a run that goes on, what is frozen, what
    /// runs, what waits; then what failed within a day, then the newest. What goes on is ordered by name, so
    /// that lanes move only when their standing does. The cursor stays on its job.
    fn arrange(&mut self, cx: &ScreenContext<'_>) {
        let current = self.rows.get(self.cursor).cloned();
        let live: HashSet<&RunId> = cx.model.running().map(|job| &job.spec.run).collect();
        let matches = |job: &JobView, filter: &Filter| {
            let state = job.listed_state(false);
            let of = OfInstance::of(cx.model.instance(&job.spec.instance));
            filter.matches_job(job, &state, of)
        };
        let all = cx.model.jobs();
        let any = |filter: &Filter| all.iter().any(|job| matches(job, filter));
        let filter = self.filter.filter(any);
        let mut jobs: Vec<&JobView> = all.iter().filter(|job| matches(job, filter)).collect();
        jobs.sort_by_cached_key(|job| {
            let rank = rank(job, live.contains(&job.spec.run), cx.now);
            // What is over is shown newest first; what goes on keeps its place.
            let begun =
                (rank >= Rank::Failed || rank == Rank::Uncertain).then(|| Reverse(job.started()));
            (
                rank,
                begun,
                job.spec.instance_name.clone(),
                job.spec.job.clone(),
            )
        });
        self.rows = jobs.iter().map(|job| job.spec.job.clone()).collect();
        let awaited = self
            .awaited
            .as_ref()
            .and_then(|run| jobs.iter().position(|job| job.spec.run == *run));
        if let Some(row) = awaited {
            self.awaited = None;
            self.cursor = row;
            self.watching = row < WATCHED;
            return;
        }
        self.cursor = current
            .and_then(|id| self.rows.iter().position(|row| *row == id))
            .unwrap_or(self.cursor)
            .min(self.rows.len().saturating_sub(1));
    }

    fn step(&mut self, action: Action) -> bool {
        let last = self.rows.len().saturating_sub(1);
        let page = self.fits.get().saturating_sub(1).max(1);
        let first = self.offset.get();
        if std::mem::take(&mut self.watching)
            && !(first..first + self.fits.get()).contains(&self.cursor)
            && matches!(action, Action::Down | Action::Up)
        {
            self.cursor = first.min(last);
            return true;
        }
        self.cursor = match action {
            Action::Down => self.cursor.saturating_add(1).min(last),
            Action::Up => self.cursor.saturating_sub(1),
            Action::Top => 0,
            Action::Bottom => last,
            Action::PageDown => self.cursor.saturating_add(page).min(last),
            Action::PageUp => self.cursor.saturating_sub(page),
            _ => return false,
        };
        true
    }

    fn view_open(&self, open: &Open, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let block = pane(&self.title(cx), cx.styles);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let Some(job) = cx.model.job(&open.job) else {
            let gone = "this job is no longer in the journal";
            frame.render_widget(Line::styled(gone, cx.styles.get(Role::Muted)), inner);
            return;
        };
        let lines = details::lines(&describe::entries(job, cx), usize::from(inner.width), cx);
        open.scroll.view(frame, inner, lines);
        open.scroll.tell(frame, area, cx.styles);
    }

    /// Lines above the lanes: counts, unconfirmed thaws, a journal that cannot be read.
    fn head(&self, cx: &ScreenContext<'_>, width: usize) -> Vec<Line<'static>> {
        let mut lines = summary::lines(cx, width);
        let unconfirmed: Vec<String> = cx
            .model
            .jobs()
            .iter()
            .filter(|job| job.thaw_unconfirmed)
            .map(|job| cx.model.named_of(job))
            .collect();
        if !unconfirmed.is_empty() {
            let style = cx
                .styles
                .get(Role::Error)
                .add_modifier(Modifier::REVERSED | Modifier::BOLD);
            let words = format!(
                "!!! THAW UNCONFIRMED on {}: look at it now, its filesystems may be frozen",
                unconfirmed.join(", ")
            );
            let mut wrapped = text::wrap(&words, width);
            if wrapped.len() > LOUD {
                wrapped.truncate(LOUD);
                if let Some(last) = wrapped.last_mut() {
                    *last = text::fit(&format!("{last} …"), width);
                }
            }
            lines.extend(
                wrapped
                    .into_iter()
                    .map(|words| Line::styled(text::pad(&words, width, false), style)),
            );
        }
        if let Some(problem) = &cx.model.jobs.error {
            lines.extend(trouble::lines(problem, width, cx.styles));
        }
        lines
    }

    fn emptiness(&self, cx: &ScreenContext<'_>) -> &'static str {
        let pane = &cx.model.jobs;
        if pane.data.is_none() && (pane.loading || pane.error.is_some()) {
            // The line above says what keeps it.
            ""
        } else if self.filter.is_active() && !cx.model.jobs().is_empty() {
            "no job matches the filter; Esc clears it"
        } else if self.awaited.is_some() {
            "starting…"
        } else {
            "no job yet: mark instances in Fleet (1), then press s to take a snapshot"
        }
    }
}

/// What the lanes and keys mean.
const EXPLAINED: &[&str] = &[
    "Lanes stand with what needs somebody first: ! a thaw that nobody could confirm, ✘ failing, ❄ frozen now with \
     its share of the budget, or what may be: the command that freezes was sent, and no proof came that nothing is frozen; ▶ at work, · waiting; below them what is over.",
    "A job that holds a lock or a freeze is thawed and stopped by one key; elsewhere it asks first, and always where \
     another process drives the job: the instance is thawed under that process.",
];

/// Where a lane stands in the list, from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Uncertain,
    Failing,
    Frozen,
    Running,
    Queued,
    Failed,
    Over,
}

fn rank(job: &JobView, live: bool, now: DateTime<Utc>) -> Rank {
    let fresh = job.ended().is_some_and(|ended| now - ended < FRESH);
    let fails = job.phases.iter().any(|record| record.failed);
    match (job.phase, job.verdict) {
        _ if job.thaw_unconfirmed => Rank::Uncertain,
        (Phase::Done, Some(Verdict::Failed)) if live => Rank::Failing,
        (Phase::Done, Some(Verdict::Failed)) if fresh => Rank::Failed,
        (Phase::Done, _) => Rank::Over,
        _ if job.held().is_something() => Rank::Frozen,
        _ if fails => Rank::Failing,
        (Phase::Queued, _) => Rank::Queued,
        _ => Rank::Running,
    }
}

/// Whether the job may hold a lock or a freeze now.
fn holds(job: &JobView) -> bool {
    job.held().is_something() || (Phase::Quiescing..=Phase::Thawing).contains(&job.phase)
}

/// Whether there is something to stop. Of others' jobs only what may be frozen can be thawed; what they only wait for
/// ends by itself, what this console settles is being thawed, and what runs in the lab of another process is out of
/// reach.
fn can_be_stopped(job: &JobView, cx: &ScreenContext<'_>) -> bool {
    match cx.model.driver(job) {
        DrivenBy::Here => return job.phase != Phase::Done,
        DrivenBy::SettledHere | DrivenBy::OutOfReach => return false,
        DrivenBy::Another | DrivenBy::Nobody => {}
    }
    let may_hold = (Phase::Preflight..=Phase::Thawing).contains(&job.phase);
    may_hold || (job.thaw_unconfirmed && job.phase != Phase::Done)
}

impl Screen for Jobs {
    fn title(&self, cx: &ScreenContext<'_>) -> String {
        match &self.open {
            Some(_) => {
                let who = self.chosen(cx).map(|job| {
                    naming::full(Some(&job.spec.instance_name), job.spec.instance.as_str())
                });
                format!("Job of {}", who.as_deref().unwrap_or("?"))
            }
            None => format!("Jobs ({})", self.rows.len()),
        }
    }

    fn purpose(&self) -> &'static str {
        match self.open {
            _ if self.filter.typing() => filter_line::PURPOSE,
            Some(_) => {
                "One job in full: its phases, its set, the evidence, what went wrong and what to do."
            }
            None => {
                "Watch jobs freeze, snapshot and thaw, stop them, and look at those that are over."
            }
        }
    }

    fn handles(&self, action: Action, cx: &ScreenContext<'_>) -> bool {
        if self.filter.typing() {
            return self.filter.handles(action);
        }
        let job = self.chosen(cx);
        match action {
            Action::Down
            | Action::Up
            | Action::Top
            | Action::Bottom
            | Action::PageDown
            | Action::PageUp => self.open.is_some() || !self.rows.is_empty(),
            Action::Open | Action::Describe => self.open.is_none() && job.is_some(),
            Action::Back | Action::Leave => self.open.is_some() || self.filter.handles(action),
            Action::Filter => self.open.is_none(),
            Action::CopyId | Action::Metrics => job.is_some(),
            Action::CancelJob => job.is_some_and(|job| can_be_stopped(job, cx)),
            Action::CancelAll => cx.model.own_stoppable().next().is_some(),
            Action::ThawAgain => job.is_some_and(|job| job.thaw_unconfirmed),
            Action::ShowSet | Action::Restore => job.is_some_and(|job| !job.set.is_empty()),
            _ => false,
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        if !self.handles(action, cx) {
            return Reaction::Ignored;
        }
        if self.open.is_none() && self.filter.act(action) {
            self.watching &= action != Action::Filter;
            self.arrange(cx);
            return Reaction::done();
        }
        let moved = match &mut self.open {
            Some(open) => open.scroll.act(action),
            None => self.step(action),
        };
        if moved {
            self.awaited = None;
            return Reaction::done();
        }
        match action {
            Action::Back | Action::Leave => {
                self.open = None;
                return Reaction::done();
            }
            Action::CancelAll => {
                return Reaction::ask(Request::Open(Box::new(questions::cancel_all())));
            }
            _ => {}
        }
        let Some(job) = self.chosen(cx) else {
            return Reaction::Ignored;
        };
        let id = job.spec.job.clone();
        match action {
            Action::Open | Action::Describe => {
                self.open = Some(Open {
                    job: id,
                    scroll: Scroll::default(),
                });
                Reaction::done()
            }
            Action::CopyId => Reaction::ask(Request::Copy(id.to_string())),
            // Somebody else may want it to run.
            Action::CancelJob if !cx.model.is_own(job) => Reaction::ask(Request::Open(Box::new(
                questions::cancel_of_another(job, cx),
            ))),
            // Where something is held there is no time for questions. Elsewhere there is.
            Action::CancelJob if holds(job) => Reaction::Done(vec![
                Request::CancelJob(id),
                Request::Say(format!("thawing and stopping {}", job.spec.named())),
            ]),
            Action::CancelJob => Reaction::ask(Request::Open(Box::new(questions::cancel(job)))),
            Action::ThawAgain => Reaction::Done(vec![
                Request::ThawAgain(id),
                Request::Say(format!("thawing {} again", job.spec.named())),
            ]),
            Action::ShowSet => Reaction::ask(Request::Go(ScreenId::Snapshots, Subject::Set(id))),
            Action::Restore => Reaction::ask(Request::Go(ScreenId::Restore, Subject::Set(id))),
            Action::Metrics => Reaction::ask(Request::Go(
                ScreenId::Metrics,
                Subject::Instance(job.spec.instance.clone()),
            )),
            _ => Reaction::Ignored,
        }
    }

    fn typing(&self) -> bool {
        self.filter.typing()
    }

    fn type_key(&mut self, key: KeyEvent, cx: &ScreenContext<'_>) -> Vec<Request> {
        self.filter.type_key(key);
        self.arrange(cx);
        Vec::new()
    }

    fn paste(&mut self, pasted: &str, cx: &ScreenContext<'_>) {
        self.filter.paste(pasted);
        self.arrange(cx);
    }

    fn enter(&mut self, subject: Subject, cx: &ScreenContext<'_>) -> Vec<Request> {
        match subject {
            Subject::Run(run) => {
                self.open = None;
                self.filter.clear();
                self.awaited = Some(run);
                self.offset.set(0);
            }
            Subject::Anything => {
                self.watching = false;
                self.open = None;
                self.filter.clear();
            }
            _ => {}
        }
        self.arrange(cx);
        Vec::new()
    }

    fn world_changed(&mut self, cx: &ScreenContext<'_>) {
        self.arrange(cx);
    }

    fn explained(&self) -> &'static [&'static str] {
        if self.filter.typing() {
            self.filter.explained()
        } else {
            EXPLAINED
        }
    }

    fn menu(&self, cx: &ScreenContext<'_>) -> Vec<MenuItem> {
        let item = |action, label: String| MenuItem {
            action,
            label,
            refused: None,
        };
        let mut items = Vec::new();
        if let Some(job) = self.chosen(cx) {
            let name = cx.model.named_of(job);
            if can_be_stopped(job, cx) {
                items.push(item(Action::CancelJob, format!("thaw and stop {name}")));
            }
            if job.thaw_unconfirmed {
                items.push(item(Action::ThawAgain, format!("thaw {name} again")));
            }
            if !job.set.is_empty() {
                items.push(item(
                    Action::ShowSet,
                    format!("snapshots of this set ({})", job.set.len()),
                ));
                items.push(MenuItem {
                    refused: cx.model.writes_refused().map(str::to_owned),
                    ..item(
                        Action::Restore,
                        "restore this set beside the data".to_owned(),
                    )
                });
            }
            items.push(item(Action::Metrics, format!("backup metrics of {name}")));
        }
        let running = cx.model.own_stoppable().count();
        if running > 0 {
            items.push(item(
                Action::CancelAll,
                format!("thaw and stop every job of this console ({running})"),
            ));
        }
        items
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        if let Some(open) = &self.open {
            return self.view_open(open, frame, area, cx);
        }
        let block = pane(&self.title(cx), cx.styles);
        let mut inner = block.inner(area);
        frame.render_widget(block, area);
        self.filter.view(frame, &mut inner, cx.styles);
        let width = usize::from(inner.width);
        let head = self.head(cx, width);
        let used = u16::try_from(head.len())
            .unwrap_or(u16::MAX)
            .min(inner.height);
        for (line, row) in head.into_iter().zip(inner.rows()) {
            frame.render_widget(line, row);
        }
        let mut list = Rect {
            y: inner.y + used,
            height: inner.height - used,
            ..inner
        };
        if self.rows.is_empty() {
            let style = cx.styles.get(Role::Muted);
            for (line, row) in text::wrap(self.emptiness(cx), width)
                .into_iter()
                .zip(list.rows())
            {
                frame.render_widget(Line::styled(line, style), row);
            }
            return;
        }
        // Two cells at the left show the cursor without colour.
        let lane_width = width.saturating_sub(2);
        // Where many lanes compete for few lines, each makes do with one.
        let crowded = self.rows.len() * lane::height(lane_width) > usize::from(list.height);
        let height = if crowded { 1 } else { lane::height(lane_width) };
        // Lanes of one line cannot say everything; the one under the cursor does so below them.
        let room = match height {
            1 => list.height >= FOOT * 2,
            // Two lines tell the phases, but not all of what went wrong.
            _ => self.rows.len() * height + usize::from(FOOT) <= usize::from(list.height),
        };
        if room {
            list.height -= FOOT;
            let rows = Rect {
                y: list.bottom(),
                height: FOOT,
                ..list
            };
            if let Some(job) = self.chosen(cx) {
                let lines = lane::foot(job, cx.now, width, usize::from(FOOT), cx.styles);
                for (line, row) in lines.into_iter().zip(rows.rows()) {
                    frame.render_widget(line, row);
                }
            }
        }
        let fits = usize::from(list.height) / height;
        self.fits.set(fits.max(1));
        let mut offset = if self.watching {
            0
        } else {
            self.offset.get().min(self.cursor)
        };
        if !self.watching && self.cursor >= offset + fits.max(1) {
            offset = self.cursor + 1 - fits.max(1);
        }
        offset = offset.min(self.rows.len().saturating_sub(fits.max(1)));
        self.offset.set(offset);
        let mut rows = list.rows();
        for (n, id) in self.rows.iter().enumerate().skip(offset).take(fits) {
            let Some(job) = cx.model.job(id) else {
                continue;
            };
            let here = n == self.cursor;
            for (i, mut line) in
                lane::lines(job, &cx.model.named_of(job), cx.now, lane_width, cx.styles)
                    .into_iter()
                    .take(height)
                    .enumerate()
            {
                let Some(row) = rows.next() else { return };
                let gutter = if here && i == 0 { "> " } else { "  " };
                line.spans
                    .insert(0, Span::styled(gutter, cx.styles.get(Role::Marked)));
                frame.render_widget(line, row);
                if here && !job.thaw_unconfirmed {
                    frame
                        .buffer_mut()
                        .set_style(row, cx.styles.get(Role::Selected));
                }
            }
        }
    }

    fn moves(&self, cx: &ScreenContext<'_>) -> bool {
        cx.model.running().next().is_some()
    }
}

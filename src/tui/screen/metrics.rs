//! Metrics: four charts of one instance's backups over real time, chosen from a list.

mod figures;
mod picker;

use chrono::Duration;
use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use self::figures::DriveFigures;
use self::picker::Picker;
use crate::config::theme::Role;
use crate::domain::ids::InstanceId;
use crate::domain::metrics::{Metric, Series};
use crate::tui::action::Action;
use crate::tui::contract::{Reaction, Request, Screen, ScreenContext, Subject};
use crate::tui::message::Message;
use crate::tui::model::Pane;
use crate::tui::style;
use crate::tui::widget::chart::{self, Plot};
use crate::tui::widget::dialog::pane;
use crate::tui::widget::{filter_line, lane, text, trouble};

const CHARTS: [Metric; 4] = [
    Metric::FreezeDuration,
    Metric::ElapsedTime,
    Metric::Size,
    Metric::Errors,
];
/// Ranges to look at, in days.
const RANGES: [u32; 4] = [7, 30, 90, 365];
/// From this size on all four charts are shown.
const GRID: (u16, u16) = (70, 14);

/// The screen.
pub struct Metrics {
    picker: Picker,
    instance: Option<InstanceId>,
    /// The instance came from another screen: going back goes there, not to the list.
    brought: bool,
    range: usize,
    data: Pane<Vec<Series>>,
    focus: usize,
    zoomed: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The screen, nothing chosen, 30 days.
    pub fn new() -> Self {
        Self {
            picker: Picker::default(),
            instance: None,
            brought: false,
            range: 1,
            data: Pane::default(),
            focus: 0,
            zoomed: false,
        }
    }

    fn days(&self) -> u32 {
        RANGES.get(self.range).copied().unwrap_or(30)
    }

    fn choose(&mut self, instance: InstanceId) -> Vec<Request> {
        if self.instance.as_ref() != Some(&instance) {
            self.data = Pane::default();
            self.picker.select(&instance);
        }
        self.instance = Some(instance);
        self.ask()
    }

    fn ask(&mut self) -> Vec<Request> {
        let Some(instance) = self.instance.clone() else {
            return Vec::new();
        };
        self.data.loading = true;
        vec![Request::LoadMetrics {
            instance,
            days: self.days(),
        }]
    }

    fn neighbour(&self, forward: bool, cx: &ScreenContext<'_>) -> Option<InstanceId> {
        let all = cx.model.instances();
        let at = all
            .iter()
            .position(|i| Some(&i.id) == self.instance.as_ref())?;
        let to = if forward {
            at.checked_add(1)?
        } else {
            at.checked_sub(1)?
        };
        all.get(to).map(|i| i.id.clone())
    }

    fn series(&self) -> &[Series] {
        self.data.data.as_deref().unwrap_or_default()
    }

    fn has_points(&self) -> bool {
        self.series().iter().any(|s| !s.points.is_empty())
    }

    fn drives(&self) -> Vec<&str> {
        let mut drives: Vec<&str> = self.series().iter().map(|s| s.drive.as_str()).collect();
        drives.sort_unstable();
        drives.dedup();
        drives
    }

    fn of(&self, metric: Metric) -> Vec<(usize, &Series)> {
        let drives = self.drives();
        let mut series: Vec<(usize, &Series)> = self
            .series()
            .iter()
            .filter(|s| s.metric == metric)
            .filter_map(|s| Some((drives.iter().position(|d| *d == s.drive)?, s)))
            .collect();
        series.sort_by_key(|(n, _)| *n);
        series
    }

    fn legend(&self, cx: &ScreenContext<'_>, width: usize) -> Line<'static> {
        let mut spans = vec![Span::styled(
            format!("last {} days, UTC", self.days()),
            cx.styles.get(Role::Text),
        )];
        for (n, drive) in self.drives().into_iter().enumerate() {
            let (symbol, role) = chart::look(n);
            spans.push(Span::styled(
                format!("  {symbol} {drive}"),
                cx.styles.get(role),
            ));
        }
        if self.data.loading {
            spans.push(Span::styled("  reading…", cx.styles.get(Role::Muted)));
        }
        lane::fitted(spans, width)
    }

    fn view_charts(
        &self,
        instance: &InstanceId,
        frame: &mut Frame<'_>,
        area: Rect,
        cx: &ScreenContext<'_>,
    ) {
        let width = usize::from(area.width);
        let mut head = vec![self.legend(cx, width)];
        if let Some(problem) = &self.data.error {
            head.extend(trouble::lines(problem, width, cx.styles));
        }
        let used = u16::try_from(head.len())
            .unwrap_or(u16::MAX)
            .min(area.height);
        put(frame, area, head);
        let area = Rect {
            y: area.y + used,
            height: area.height - used,
            ..area
        };
        if self.data.data.is_none() {
            if self.data.error.is_none() {
                say(frame, area, "reading the metrics…", Role::Muted, cx);
            }
            return;
        }
        if !self.has_points() {
            return say(frame, area, &self.emptiness(instance, cx), Role::Warn, cx);
        }
        if self.zoomed || area.width < GRID.0 || area.height < GRID.1 {
            return self.view_chart(self.focus, true, frame, area, cx);
        }
        let halves = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).split(area);
        for (half, first) in halves.iter().zip([0, 2]) {
            let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)])
                .spacing(2)
                .areas(*half);
            self.view_chart(first, false, frame, left, cx);
            self.view_chart(first + 1, false, frame, right, cx);
        }
    }

    fn emptiness(&self, instance: &InstanceId, cx: &ScreenContext<'_>) -> String {
        let name = cx.model.named(instance);
        let days = self.days();
        match cx.model.last_proven(instance) {
            Some(set) => format!(
                "no metrics of {name} in the last {days} days; its newest proven set is {} old. \
                 Press + to look further back.",
                style::age(set.started, cx.now)
            ),
            None => format!(
                "{name} has never been backed up with proof, and there are no metrics of it in the last \
                 {days} days. Mark it in Fleet (1), then press s to take a snapshot."
            ),
        }
    }

    /// Draws a chart; one that stands `alone` has room for a line of each drive, in the grid the title says what fits.
    fn view_chart(
        &self,
        n: usize,
        alone: bool,
        frame: &mut Frame<'_>,
        area: Rect,
        cx: &ScreenContext<'_>,
    ) {
        let Some(metric) = CHARTS.get(n).copied() else {
            return;
        };
        if area.height == 0 {
            return;
        }
        let series = self.of(metric);
        let from = cx.now - Duration::days(self.days().into());
        let drives: Vec<DriveFigures> = series
            .iter()
            .filter_map(|(n, series)| DriveFigures::of(*n, series, from))
            .collect();
        let gutter = if n == self.focus { "> " } else { "  " };
        let mut title = vec![
            Span::styled(gutter, cx.styles.get(Role::Marked)),
            Span::styled(metric.to_string(), cx.styles.get(Role::Title)),
        ];
        let mut head = if alone {
            drives.iter().map(|d| d.line(metric, cx)).collect()
        } else {
            figures::title(&mut title, metric, &drives, area.width.into(), cx);
            Vec::new()
        };
        head.truncate(usize::from(area.height / 3));
        head.insert(0, Line::from(title));
        let width = usize::from(area.width);
        let head: Vec<Line<'static>> = head
            .into_iter()
            .map(|line| lane::fitted(line.spans, width))
            .collect();
        let used = u16::try_from(head.len()).unwrap_or(1).min(area.height);
        put(frame, area, head);
        let below = Rect {
            y: area.y + used,
            height: area.height - used,
            ..area
        };
        Plot {
            metric,
            series: &series,
            from,
            to: cx.now,
        }
        .draw(below, frame.buffer_mut(), cx.styles);
    }
}

fn put(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    for (line, row) in lines.into_iter().zip(area.rows()) {
        frame.render_widget(line, row);
    }
}

fn say(frame: &mut Frame<'_>, area: Rect, words: &str, role: Role, cx: &ScreenContext<'_>) {
    let style = cx.styles.get(role);
    let lines = text::wrap(words, usize::from(area.width));
    put(
        frame,
        area,
        lines
            .into_iter()
            .map(|line| Line::styled(line, style))
            .collect(),
    );
}

impl Screen for Metrics {
    fn title(&self, cx: &ScreenContext<'_>) -> String {
        match &self.instance {
            Some(id) => format!("Metrics of {}", cx.model.named_full(id)),
            None => format!("Metrics: choose an instance ({})", self.picker.len()),
        }
    }

    fn explained(&self) -> &'static [&'static str] {
        if self.picker.typing() {
            self.picker.explained()
        } else {
            &[]
        }
    }

    fn purpose(&self) -> &'static str {
        match &self.instance {
            _ if self.picker.typing() => filter_line::PURPOSE,
            Some(_) => {
                "How long this instance's backups took and froze, how large they were, and what failed."
            }
            None => "Choose the instance whose backup metrics are to be charted.",
        }
    }

    fn handles(&self, action: Action, cx: &ScreenContext<'_>) -> bool {
        if self.instance.is_none() {
            return match action {
                Action::Open if !self.picker.typing() => self.picker.len() > 0,
                _ => self.picker.handles(action),
            };
        }
        match action {
            Action::CopyId | Action::Refresh => true,
            Action::NextField | Action::PreviousField | Action::Open => self.has_points(),
            Action::Left => self.neighbour(false, cx).is_some(),
            Action::Right => self.neighbour(true, cx).is_some(),
            Action::Shorter => self.range > 0,
            Action::Longer => self.range + 1 < RANGES.len(),
            Action::Back | Action::Leave => self.zoomed || !self.brought,
            _ => false,
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        if !self.handles(action, cx) {
            return Reaction::Ignored;
        }
        let Some(instance) = self.instance.clone() else {
            if action == Action::Open && !self.picker.typing() {
                self.brought = false;
                let chosen = self.picker.current();
                return Reaction::Done(chosen.map(|id| self.choose(id)).unwrap_or_default());
            }
            self.picker.act(action, cx);
            return Reaction::done();
        };
        match action {
            Action::NextField => self.focus = (self.focus + 1) % CHARTS.len(),
            Action::PreviousField => self.focus = (self.focus + CHARTS.len() - 1) % CHARTS.len(),
            Action::Open => self.zoomed = !self.zoomed,
            Action::CopyId => return Reaction::ask(Request::Copy(instance.to_string())),
            Action::Refresh => return Reaction::Done(self.ask()),
            Action::Left | Action::Right => {
                let next = self.neighbour(action == Action::Right, cx);
                return Reaction::Done(next.map(|id| self.choose(id)).unwrap_or_default());
            }
            Action::Shorter => {
                self.range = self.range.saturating_sub(1);
                return Reaction::Done(self.ask());
            }
            Action::Longer => {
                self.range = (self.range + 1).min(RANGES.len() - 1);
                return Reaction::Done(self.ask());
            }
            _ if self.zoomed => self.zoomed = false,
            _ => {
                self.instance = None;
                self.data = Pane::default();
                self.picker.arrange(cx);
            }
        }
        Reaction::done()
    }

    fn typing(&self) -> bool {
        self.picker.typing()
    }

    fn type_key(&mut self, key: KeyEvent, cx: &ScreenContext<'_>) -> Vec<Request> {
        self.picker.type_key(key, cx);
        Vec::new()
    }

    fn paste(&mut self, pasted: &str, cx: &ScreenContext<'_>) {
        self.picker.paste(pasted, cx);
    }

    fn enter(&mut self, subject: Subject, cx: &ScreenContext<'_>) -> Vec<Request> {
        self.picker.arrange(cx);
        match subject {
            Subject::Instance(id) => {
                self.brought = true;
                self.zoomed = false;
                self.choose(id)
            }
            // The charts of last time, read again; from here one goes back to the list.
            Subject::Anything if self.instance.is_some() => {
                self.brought = false;
                self.ask()
            }
            _ => Vec::new(),
        }
    }

    fn receive(&mut self, message: &Message, cx: &ScreenContext<'_>) -> Vec<Request> {
        if let Message::Metrics { result, .. } = message {
            self.data.answer(result.clone(), cx.now);
        }
        Vec::new()
    }

    fn world_changed(&mut self, cx: &ScreenContext<'_>) {
        self.picker.arrange(cx);
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let block = pane(&self.title(cx), cx.styles);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        match &self.instance {
            Some(instance) => self.view_charts(instance, frame, inner, cx),
            None => self.picker.view(frame, inner, cx),
        }
    }
}

//! The lines above the lanes: how many stand where, how long anything is frozen now, how runs ended.

use ratatui::text::{Line, Span};
use strum::IntoEnumIterator as _;

use crate::config::theme::Role;
use crate::domain::job::{JobView, Phase, Verdict};
use crate::tui::contract::ScreenContext;
use crate::tui::widget::{lane, text};

/// The verdicts, worst first: what needs somebody is not cut off at the right.
const VERDICTS: [Verdict; 6] = [
    Verdict::Failed,
    Verdict::Crash,
    Verdict::Skipped,
    Verdict::Cancelled,
    Verdict::Filesystem,
    Verdict::Application,
];

/// One line for what goes on; one for what came of it, if anything has. While runs go on, only their jobs
/// count: those of last night would hide that nothing of this one is done yet.
pub(super) fn lines(cx: &ScreenContext<'_>, width: usize) -> Vec<Line<'static>> {
    let jobs = cx.model.jobs();
    let live: std::collections::HashSet<_> = cx.model.running().map(|job| &job.spec.run).collect();
    let counted: Vec<&JobView> = jobs
        .iter()
        .filter(|job| live.is_empty() || live.contains(&job.spec.run))
        .collect();
    let mut lines = going_on(&counted, !live.is_empty(), cx, width);
    lines.extend(ended(&counted, cx, width));
    lines
}

fn going_on(
    jobs: &[&JobView],
    of_a_run: bool,
    cx: &ScreenContext<'_>,
    width: usize,
) -> Vec<Line<'static>> {
    let mut parts: Vec<(String, Role)> = Vec::new();
    if of_a_run && jobs.len() > 1 {
        let over = jobs.iter().filter(|j| j.phase == Phase::Done).count();
        parts.push((format!("{over} of {} done", jobs.len()), Role::Text));
    }
    let frozen: Vec<u64> = jobs
        .iter()
        .filter_map(|job| lane::frozen_ms(job, cx.now))
        .collect();
    if let Some(longest) = frozen.iter().max() {
        let together: u64 = frozen.iter().sum();
        let words = if frozen.len() == 1 {
            format!("1 frozen for {}", lane::millis(*longest))
        } else if width < lane::WIDE {
            format!(
                "{} frozen, longest {}",
                frozen.len(),
                lane::millis(*longest)
            )
        } else {
            format!(
                "{} frozen (longest {}, sum {})",
                frozen.len(),
                lane::millis(*longest),
                lane::millis(together)
            )
        };
        parts.push((words, Role::Frozen));
    }
    let may = jobs.iter().filter(|job| lane::may_be_frozen(job)).count();
    if may > 0 {
        parts.push((format!("{may} may be frozen"), Role::Warn));
    }
    for phase in Phase::iter().filter(|phase| *phase != Phase::Done) {
        let n = jobs
            .iter()
            .filter(|job| job.phase == phase && !lane::is_frozen(job) && !lane::may_be_frozen(job))
            .count();
        if n > 0 {
            let role = if phase == Phase::Queued {
                Role::Muted
            } else {
                Role::Accent
            };
            parts.push((format!("{n} {phase}"), role));
        }
    }
    if parts.is_empty() {
        parts.push(("0 running".to_owned(), Role::Muted));
    }
    if cx.model.jobs.loading {
        parts.push(("reading the journal…".to_owned(), Role::Muted));
    }
    joined(parts, cx, width)
}

fn ended(jobs: &[&JobView], cx: &ScreenContext<'_>, width: usize) -> Vec<Line<'static>> {
    let mut parts: Vec<(String, Role)> = VERDICTS
        .iter()
        .filter_map(|verdict| {
            let (symbol, word, role) = lane::verdict_look(*verdict);
            let n = jobs
                .iter()
                .filter(|job| job.verdict == Some(*verdict))
                .count();
            (n > 0).then(|| (format!("{symbol} {n} {word}"), role))
        })
        .collect();
    if parts.is_empty() {
        return Vec::new();
    }
    if let Some(ms) = jobs.iter().filter_map(|job| job.freeze_window_ms).max() {
        parts.push((format!("longest window {}", lane::millis(ms)), Role::Text));
    }
    joined(parts, cx, width)
}

/// The parts one after another; what does not fit a line goes to the next.
fn joined(parts: Vec<(String, Role)>, cx: &ScreenContext<'_>, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut used = 0;
    for (words, role) in parts {
        let cells = text::width(&words);
        if !spans.is_empty() && used + 3 + cells > width {
            lines.push(lane::fitted(std::mem::take(&mut spans), width));
            used = 0;
        }
        if !spans.is_empty() {
            spans.push(Span::styled(" · ", cx.styles.get(Role::Border)));
            used += 3;
        }
        used += cells;
        spans.push(Span::styled(words, cx.styles.get(role)));
    }
    if !spans.is_empty() {
        lines.push(lane::fitted(spans, width));
    }
    lines
}

//! A time axis with what happened on it: one row per level, dates below, a caret under the choice.

use chrono::{DateTime, Datelike, Duration, DurationRound, Months, TimeZone, Utc};
use ratatui::text::{Line, Span};

use crate::config::theme::Role;
use crate::domain::level::Level;
use crate::tui::style::{self, Styles};
use crate::tui::widget::text;

/// Cells left of the axis, for the names of the rows.
const LABELS: usize = 13;

/// One set on the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The moment whose data it holds.
    pub at: DateTime<Utc>,
    /// What it is worth.
    pub level: Level,
}

/// The column of a moment on an axis of `cells` columns from `from` to `to`; `None` outside.
pub fn column(
    at: DateTime<Utc>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    cells: usize,
) -> Option<usize> {
    let span = (to - from).num_milliseconds();
    let since = (at - from).num_milliseconds();
    if cells == 0 || span <= 0 || since < 0 || since > span {
        return None;
    }
    let last = i128::try_from(cells - 1).ok()?;
    let x = (i128::from(since) * last + i128::from(span) / 2) / i128::from(span);
    usize::try_from(x).ok()
}

#[derive(Clone, Copy)]
enum Step {
    Hours(i64),
    Days(i64),
    Months(u32),
}

const STEPS: &[Step] = &[
    Step::Hours(1),
    Step::Hours(3),
    Step::Hours(6),
    Step::Hours(12),
    Step::Days(1),
    Step::Days(2),
    Step::Days(7),
    Step::Days(14),
    Step::Months(1),
    Step::Months(2),
    Step::Months(3),
    Step::Months(6),
    Step::Months(12),
    Step::Months(60),
];

/// Dates (UTC) for an axis of `cells` columns, each with its column: as many as fit without touching.
pub fn ticks(from: DateTime<Utc>, to: DateTime<Utc>, cells: usize) -> Vec<(usize, String)> {
    for step in STEPS {
        if let Some(ticks) = ticks_of(*step, from, to, cells) {
            return ticks;
        }
    }
    Vec::new()
}

fn ticks_of(
    step: Step,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    cells: usize,
) -> Option<Vec<(usize, String)>> {
    let mut at = first(step, from)?;
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut free = 0;
    while at <= to {
        if let Some(x) = column(at, from, to, cells) {
            let label = label(step, at);
            // The last one may stick out at the right; it is left out, the others must not touch.
            if x + label.len() <= cells {
                if x < free {
                    return None;
                }
                free = x + label.len() + 2;
                out.push((x, label));
            }
        }
        at = next(step, at)?;
        if out.len() > cells {
            return None;
        }
    }
    (!out.is_empty()).then_some(out)
}

fn first(step: Step, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match step {
        Step::Hours(n) => {
            let floor = from.duration_trunc(Duration::hours(n)).ok()?;
            Some(if floor < from {
                floor + Duration::hours(n)
            } else {
                floor
            })
        }
        Step::Days(_) => {
            let floor = from.duration_trunc(Duration::days(1)).ok()?;
            Some(if floor < from {
                floor + Duration::days(1)
            } else {
                floor
            })
        }
        Step::Months(n) => {
            let month = if n >= 12 {
                1
            } else {
                from.month0() / n * n + 1
            };
            let floor = Utc
                .with_ymd_and_hms(from.year(), month, 1, 0, 0, 0)
                .single()?;
            if floor < from {
                next(step, floor)
            } else {
                Some(floor)
            }
        }
    }
}

fn next(step: Step, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match step {
        Step::Hours(n) => at.checked_add_signed(Duration::hours(n)),
        Step::Days(n) => at.checked_add_signed(Duration::days(n)),
        Step::Months(n) => at.checked_add_months(Months::new(n)),
    }
}

fn label(step: Step, at: DateTime<Utc>) -> String {
    let format = match step {
        Step::Hours(_) if at.time() != chrono::NaiveTime::MIN => "%H:%M",
        Step::Hours(_) | Step::Days(_) => "%m-%d",
        Step::Months(n) if n >= 12 => "%Y",
        Step::Months(_) => "%Y-%m",
    };
    at.format(format).to_string()
}

/// The rows of dates of an axis: ticks and labels, each of `cells` columns.
pub fn axis(from: DateTime<Utc>, to: DateTime<Utc>, cells: usize) -> (String, String) {
    let mut rule: Vec<char> = vec!['─'; cells];
    let mut labels = String::new();
    for (x, label) in ticks(from, to, cells) {
        if let Some(cell) = rule.get_mut(x) {
            *cell = '┬';
        }
        labels.push_str(&" ".repeat(x.saturating_sub(labels.len())));
        labels.push_str(&label);
    }
    (rule.into_iter().collect(), labels)
}

/// The timeline, `width` cells wide: a row for each level that occurs (the best first), the axis, its
/// dates and a caret under `selected`. Too narrow for an axis, it is empty.
pub fn timeline(
    marks: &[Mark],
    selected: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    width: usize,
    styles: &Styles,
) -> Vec<Line<'static>> {
    let Some(oldest) = marks.iter().map(|m| m.at).min() else {
        return Vec::new();
    };
    if width < LABELS + 12 {
        return Vec::new();
    }
    let cells = width - LABELS;
    let newest = marks.iter().map(|m| m.at).max().unwrap_or(now).max(now);
    // A little air at the left, so that the oldest mark does not sit on the edge.
    let from = oldest - ((newest - oldest) / 40).max(Duration::minutes(30));
    let mut lines = Vec::new();
    for level in [
        Level::Application,
        Level::Filesystem,
        Level::Crash,
        Level::Pending,
    ] {
        let mut row: Vec<char> = vec![' '; cells];
        let (symbol, word, role) = style::level(Some(level));
        let symbol = symbol.chars().next().unwrap_or('*');
        let mut any = false;
        for mark in marks.iter().filter(|m| m.level == level) {
            if let Some(cell) = column(mark.at, from, newest, cells).and_then(|x| row.get_mut(x)) {
                *cell = symbol;
                any = true;
            }
        }
        if any {
            lines.push(Line::from(vec![
                Span::styled(text::pad(word, LABELS, false), styles.get(role)),
                Span::styled(row.into_iter().collect::<String>(), styles.get(role)),
            ]));
        }
    }
    let (rule, labels) = axis(from, newest, cells);
    let margin = " ".repeat(LABELS);
    let muted = styles.get(Role::Muted);
    lines.push(Line::from(vec![
        Span::raw(margin.clone()),
        Span::styled(rule, styles.get(Role::Border)),
    ]));
    let caret = selected
        .and_then(|at| column(at, from, newest, cells))
        .map(|x| {
            Line::from(vec![
                Span::styled(text::pad("chosen", LABELS, false), styles.get(Role::Accent)),
                Span::styled(format!("{}▲", " ".repeat(x)), styles.get(Role::Accent)),
            ])
        });
    lines.extend(caret);
    lines.push(Line::from(vec![
        Span::styled(text::pad("UTC", LABELS, false), muted),
        Span::styled(labels, muted),
    ]));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::theme::Theme;
    use crate::tui::style::Depth;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn columns_lie_on_the_axis_and_nowhere_else() {
        let (from, to) = (at("2026-11-01T00:00:00Z"), at("2026-11-11T00:00:00Z"));
        assert_eq!(column(from, from, to, 11), Some(0));
        assert_eq!(column(to, from, to, 11), Some(10));
        assert_eq!(column(at("2026-11-06T00:00:00Z"), from, to, 11), Some(5));
        assert_eq!(column(to + Duration::seconds(1), from, to, 11), None);
        assert_eq!(column(from, from, to, 0), None);
        assert_eq!(column(from, from, from, 9), None);
    }

    #[test]
    fn dates_stand_where_they_belong_and_never_touch() {
        let to = at("2026-11-20T12:00:00Z");
        for days in [1, 2, 7, 30, 90, 365, 3650] {
            let from = to - Duration::days(days);
            for cells in 0..150 {
                let ticks = ticks(from, to, cells);
                for pair in ticks.windows(2) {
                    assert!(
                        pair[0].0 + pair[0].1.len() < pair[1].0,
                        "{days} days, {cells} cells: {ticks:?}"
                    );
                }
                assert!(ticks.iter().all(|(x, label)| x + label.len() <= cells));
                assert!(
                    cells < 40 || !ticks.is_empty(),
                    "{days} days, {cells} cells"
                );
            }
        }
        let year = ticks(to - Duration::days(365), to, 120);
        assert_eq!(year[0], (3, "2025-12".to_owned()));
    }

    #[test]
    fn levels_have_their_own_rows_so_that_colour_is_not_needed() {
        let styles = Styles::new(Theme::builtin("freezeframe").unwrap(), Depth::None);
        let now = at("2026-11-20T12:00:00Z");
        let marks = [
            Mark {
                at: now - Duration::days(1),
                level: Level::Application,
            },
            Mark {
                at: now - Duration::days(5),
                level: Level::Crash,
            },
        ];
        let lines = timeline(&marks, Some(marks[1].at), now, 60, &styles);
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert!(
            text[0].starts_with("application") && text[0].contains('●'),
            "{text:#?}"
        );
        assert!(text[1].starts_with("crash") && text[1].contains('○'));
        let caret = text[3].chars().position(|c| c == '▲').unwrap();
        assert_eq!(text[1].chars().position(|c| c == '○').unwrap(), caret);
        assert!(timeline(&marks, None, now, 10, &styles).is_empty());
        assert!(timeline(&[], None, now, 80, &styles).is_empty());
    }
}

//! A line chart over real time. A gap in the data is a gap in the line, never a line through it.

use chrono::{DateTime, Duration, Utc};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line as Stroke, Points};

use super::{text, timeline};
use crate::config::theme::Role;
use crate::domain::metrics::{Metric, Series};
use crate::tui::style::Styles;

/// Smallest plot worth drawing.
const MIN_CELLS: u16 = 10;
const MIN_ROWS: u16 = 3;

/// What an axis may end at, times a power of ten; each has a half that reads well.
const ROUND: [f64; 9] = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];

/// Points without a gap between them, as shares of the width and values.
type Run = Vec<(f64, f64)>;

/// Symbols of the series' ends, so that lines can be told apart without colour.
const SYMBOLS: [&str; 6] = ["●", "■", "▲", "◆", "★", "✚"];
const ROLES: [Role; 6] = [
    Role::Accent,
    Role::Ok,
    Role::Warn,
    Role::LevelPending,
    Role::LevelCrash,
    Role::Error,
];

/// Symbol and role of the `n`-th series.
pub fn look(n: usize) -> (&'static str, Role) {
    let i = n % SYMBOLS.len();
    (
        SYMBOLS.get(i).copied().unwrap_or("●"),
        ROLES.get(i).copied().unwrap_or(Role::Accent),
    )
}

/// The runs of points without a gap between them. A gap is where two points lie more than one and a
/// half times the series' own rhythm apart (its median distance, at least one period): one missed
/// nightly backup shows.
pub fn segments(series: &Series) -> Vec<&[(DateTime<Utc>, f64)]> {
    let points = series.points.as_slice();
    let mut distances: Vec<i64> = points
        .windows(2)
        .filter_map(|w| Some((w.get(1)?.0 - w.first()?.0).num_seconds()))
        .collect();
    distances.sort_unstable();
    let median = distances.get(distances.len() / 2).copied().unwrap_or(0);
    let limit = median.max(i64::from(series.period_s)).saturating_mul(3) / 2;
    points
        .chunk_by(|a, b| (b.0 - a.0).num_seconds() <= limit)
        .collect()
}

/// A value of that metric for people: `412 ms`, `72 s`, `8.0 GiB`, `0`.
pub fn value(metric: Metric, value: f64) -> String {
    match metric {
        Metric::FreezeDuration if value >= 10_000.0 => format!("{:.1} s", value / 1000.0),
        Metric::FreezeDuration => format!("{value:.0} ms"),
        Metric::ElapsedTime if value >= 7200.0 => format!("{:.1} h", value / 3600.0),
        Metric::ElapsedTime if value >= 600.0 => format!("{:.0} min", value / 60.0),
        Metric::ElapsedTime if value > 0.0 && value < 10.0 => format!("{value:.1} s"),
        Metric::ElapsedTime => format!("{value:.0} s"),
        Metric::Size => {
            let gib = value / (1024.0 * 1024.0 * 1024.0);
            if gib >= 1024.0 {
                format!("{:.1} TiB", gib / 1024.0)
            } else if gib >= 100.0 {
                format!("{gib:.0} GiB")
            } else {
                format!("{gib:.1} GiB")
            }
        }
        Metric::Errors => format!("{value:.0}"),
    }
}

/// The top of the axis: the next round number in the metric's own unit (GiB for sizes); at least 1.
fn top(metric: Metric, max: f64) -> f64 {
    let unit = if metric == Metric::Size {
        1024.0 * 1024.0 * 1024.0
    } else {
        1.0
    };
    let wanted = (max / unit).max(1.0);
    if !wanted.is_finite() {
        return unit;
    }
    let power = 10f64.powf(wanted.log10().floor());
    let nice = ROUND.into_iter().map(|n| n * power).find(|n| *n >= wanted);
    nice.unwrap_or(wanted) * unit
}

/// What is drawn: the series of one metric over one range.
#[derive(Debug, Clone, Copy)]
pub struct Plot<'a> {
    /// Which metric.
    pub metric: Metric,
    /// One series per drive, each with the number that decides its symbol and colour.
    pub series: &'a [(usize, &'a Series)],
    /// Left edge.
    pub from: DateTime<Utc>,
    /// Right edge.
    pub to: DateTime<Utc>,
}

impl Plot<'_> {
    /// Draws axes, dates and lines; says so in words where there is no room or nothing to draw.
    pub fn draw(&self, area: Rect, buf: &mut Buffer, styles: &Styles) {
        let inside = |at: DateTime<Utc>| at >= self.from && at <= self.to;
        let values = || {
            self.series
                .iter()
                .flat_map(|(_, s)| s.points.iter())
                .filter(|(at, v)| inside(*at) && v.is_finite())
        };
        let muted = styles.get(Role::Muted);
        if values().next().is_none() {
            draw_text(area, buf, "no data in this range", muted);
            return;
        }
        let top = top(self.metric, values().map(|(_, v)| *v).fold(0.0, f64::max));
        let labels = [
            value(self.metric, top),
            value(self.metric, top / 2.0),
            value(self.metric, 0.0),
        ];
        let left = labels
            .iter()
            .map(|l| text::width(l))
            .max()
            .and_then(|w| u16::try_from(w).ok())
            .unwrap_or(0);
        let plot = Rect {
            x: area.x.saturating_add(left + 1),
            y: area.y,
            width: area.width.saturating_sub(left + 1),
            height: area.height.saturating_sub(2),
        };
        if plot.width < MIN_CELLS || plot.height < MIN_ROWS {
            draw_text(area, buf, "no room for the chart", muted);
            return;
        }
        let border = styles.get(Role::Border);
        let middle = plot.y + (plot.height - 1) / 2;
        for (label, y) in labels.iter().zip([plot.y, middle, plot.bottom() - 1]) {
            // The middle of an even number of rows would not be the half.
            if y == middle && plot.height.is_multiple_of(2) {
                continue;
            }
            buf.set_string(area.x, y, text::pad(label, left.into(), true), muted);
        }
        for y in plot.top()..plot.bottom() {
            buf.set_string(plot.x - 1, y, "│", border);
        }
        let (rule, dates) = timeline::axis(self.from, self.to, plot.width.into());
        buf.set_string(plot.x - 1, plot.bottom(), format!("└{rule}"), border);
        buf.set_string(plot.x, plot.bottom() + 1, dates, muted);
        self.lines(plot, top, buf, styles);
        self.ends(plot, top, buf, styles);
    }

    fn x(&self, at: DateTime<Utc>) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of some years fit into 52 bits"
        )]
        let ms = |d: Duration| d.num_milliseconds() as f64;
        ms(at - self.from) / ms(self.to - self.from).max(1.0)
    }

    fn lines(&self, plot: Rect, top: f64, buf: &mut Buffer, styles: &Styles) {
        let scaled: Vec<(Style, Vec<Run>)> = self
            .series
            .iter()
            .map(|(n, series)| {
                let runs = segments(series)
                    .into_iter()
                    .map(|run| {
                        run.iter()
                            .filter(|(at, v)| *at >= self.from && *at <= self.to && v.is_finite())
                            .map(|(at, v)| (self.x(*at), v.clamp(0.0, top)))
                            .collect()
                    })
                    .collect();
                (styles.get(look(*n).1), runs)
            })
            .collect();
        Canvas::default()
            .marker(Marker::Braille)
            .x_bounds([0.0, 1.0])
            .y_bounds([0.0, top])
            .paint(|ctx| {
                for (style, runs) in &scaled {
                    let color = style.fg.unwrap_or_default();
                    for run in runs {
                        ctx.draw(&Points { coords: run, color });
                        for pair in run.windows(2) {
                            if let [(x1, y1), (x2, y2)] = *pair {
                                ctx.draw(&Stroke {
                                    x1,
                                    y1,
                                    x2,
                                    y2,
                                    color,
                                });
                            }
                        }
                    }
                }
            })
            .render(plot, buf);
    }

    /// A symbol at the newest point of each series.
    fn ends(&self, plot: Rect, top: f64, buf: &mut Buffer, styles: &Styles) {
        for (n, series) in self.series {
            let newest = series
                .points
                .iter()
                .rev()
                .find(|(at, v)| *at >= self.from && *at <= self.to && v.is_finite());
            let Some((at, v)) = newest else { continue };
            let Some(x) = timeline::column(*at, self.from, self.to, plot.width.into()) else {
                continue;
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and the height of the plot"
            )]
            let up = (v.clamp(0.0, top) / top * f64::from(plot.height - 1)).round() as u16;
            let (symbol, role) = look(*n);
            let x = plot.x + u16::try_from(x).unwrap_or(0);
            buf.set_string(
                x,
                (plot.bottom() - 1).saturating_sub(up),
                symbol,
                styles.get(role),
            );
        }
    }
}

fn draw_text(area: Rect, buf: &mut Buffer, words: &str, style: Style) {
    if area.width > 0 && area.height > 0 {
        buf.set_string(area.x, area.y, text::fit(words, area.width.into()), style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::theme::Theme;
    use crate::domain::ids::InstanceId;
    use crate::tui::style::Depth;

    fn nightly(skip: &[i64]) -> Series {
        let start: DateTime<Utc> = "2026-10-21T02:00:00Z".parse().unwrap();
        let points = (0..30)
            .filter(|n| !skip.contains(n))
            .map(|n| (start + Duration::days(n), 400.0))
            .collect();
        Series {
            metric: Metric::FreezeDuration,
            server: InstanceId::from_api("i-0"),
            drive: "/dev/sdf".into(),
            period_s: 3600,
            points,
        }
    }

    #[test]
    fn one_missed_night_is_a_gap_and_jitter_is_none() {
        assert_eq!(segments(&nightly(&[])).len(), 1);
        let lengths = |skip: &[i64]| {
            segments(&nightly(skip))
                .iter()
                .map(|s| s.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(lengths(&[10]), [10, 19]);
        assert_eq!(lengths(&[10, 12]), [10, 1, 17]);
        let mut late = nightly(&[]);
        late.points[7].0 += Duration::hours(3);
        assert_eq!(segments(&late).len(), 1);
        late.points.clear();
        assert!(segments(&late).is_empty());
    }

    #[test]
    fn values_carry_their_unit() {
        assert_eq!(value(Metric::FreezeDuration, 412.4), "412 ms");
        assert_eq!(value(Metric::FreezeDuration, 12_300.0), "12.3 s");
        assert_eq!(value(Metric::ElapsedTime, 72.0), "72 s");
        assert_eq!(value(Metric::ElapsedTime, 1500.0), "25 min");
        assert_eq!(
            value(Metric::Size, 8.0 * 1024.0 * 1024.0 * 1024.0),
            "8.0 GiB"
        );
        assert_eq!(value(Metric::Errors, 1.0), "1");
        assert!((top(Metric::FreezeDuration, 412.0) - 500.0).abs() < 1e-9);
        assert!((top(Metric::Errors, 0.0) - 1.0).abs() < 1e-9);
        assert!(top(Metric::Errors, f64::INFINITY).is_finite());
    }

    #[test]
    fn the_gap_is_empty_on_screen_at_every_size() {
        let styles = Styles::new(Theme::builtin("freezeframe").unwrap(), Depth::None);
        let series = nightly(&[13, 14, 15, 16]);
        let all = [(0, &series)];
        let plot = Plot {
            metric: Metric::FreezeDuration,
            series: &all,
            from: "2026-10-21T00:00:00Z".parse().unwrap(),
            to: "2026-11-20T00:00:00Z".parse().unwrap(),
        };
        for (w, h) in [(0, 0), (1, 1), (3, 40), (40, 2), (12, 5), (80, 12)] {
            let area = Rect::new(0, 0, w, h);
            plot.draw(area, &mut Buffer::empty(area), &styles);
        }
        let area = Rect::new(0, 0, 70, 9);
        let mut buf = Buffer::empty(area);
        plot.draw(area, &mut buf, &styles);
        let line = |x: u16, y: u16| {
            buf[(x, y)]
                .symbol()
                .chars()
                .any(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
        };
        let drawn: Vec<u16> = (0..70).filter(|x| (0..9).any(|y| line(*x, y))).collect();
        let widest = drawn.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        assert!(widest > 7, "no gap in {drawn:?}");
        assert_eq!(
            drawn.windows(2).filter(|w| w[1] - w[0] > 1).count(),
            1,
            "{drawn:?}"
        );
    }
}

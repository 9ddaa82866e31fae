//! The figures of a chart in words, for each drive: drives are not comparable, so no value stands for all of them.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use ratatui::text::{Line, Span};

use crate::config::theme::Role;
use crate::domain::metrics::{Metric, Series};
use crate::tui::contract::ScreenContext;
use crate::tui::style;
use crate::tui::widget::{chart, text};

/// What one drive's series comes to over the range that is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct DriveFigures {
    /// Number of the drive: decides its symbol and colour.
    number: usize,
    drive: String,
    /// The newest value and its time.
    last: (DateTime<Utc>, f64),
    max: f64,
    sum: f64,
}

impl DriveFigures {
    /// The figures of a series since `from`; `None` where it has no point there.
    pub fn of(number: usize, series: &Series, from: DateTime<Utc>) -> Option<Self> {
        let points = || series.points.iter().filter(|(at, _)| *at >= from);
        Some(Self {
            number,
            drive: series.drive.clone(),
            last: points().max_by_key(|(at, _)| *at).copied()?,
            max: points().map(|(_, v)| *v).fold(0.0, f64::max),
            sum: points().map(|(_, v)| *v).sum(),
        })
    }

    /// What the drives are ordered by: errors in all, else the newest value.
    fn weight(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Errors => self.sum,
            _ => self.last.1,
        }
    }

    fn summary(&self, metric: Metric) -> String {
        let last = chart::value(metric, self.last.1);
        match metric {
            Metric::Errors => format!("last {last}, in all {}", chart::value(metric, self.sum)),
            _ => format!("last {last}, max {}", chart::value(metric, self.max)),
        }
    }

    /// The line of this drive below the title of a chart that has the screen to itself.
    pub fn line(&self, metric: Metric, cx: &ScreenContext<'_>) -> Line<'static> {
        let (symbol, role) = chart::look(self.number);
        let age = style::ago(self.last.0, cx.now);
        let words = format!("{} ({age})", self.summary(metric));
        Line::from(vec![
            Span::styled(format!("  {symbol} {}  ", self.drive), cx.styles.get(role)),
            Span::styled(words, cx.styles.get(Role::Muted)),
        ])
    }
}

/// Below this width the title leaves out the word `last`: the newest value stands first.
const NARROW: usize = 50;

/// Puts the drives behind a chart's title, the worst first, as many as fit in `cells`; says how many do not.
pub fn title(
    title: &mut Vec<Span<'static>>,
    metric: Metric,
    drives: &[DriveFigures],
    cells: usize,
    cx: &ScreenContext<'_>,
) {
    let mut worst: Vec<&DriveFigures> = drives.iter().collect();
    worst.sort_by(|a, b| {
        let by_weight = b.weight(metric).partial_cmp(&a.weight(metric));
        by_weight.unwrap_or(Ordering::Equal)
    });
    let mut used: usize = title.iter().map(|span| text::width(&span.content)).sum();
    for (told, drive) in worst.iter().enumerate() {
        let (symbol, role) = chart::look(drive.number);
        // The legend says which drive the symbol stands for; in a narrow chart every cell counts.
        let summary = drive.summary(metric);
        let summary = summary
            .strip_prefix("last ")
            .filter(|_| cells < NARROW)
            .unwrap_or(&summary);
        let words = format!(" {symbol} {summary}");
        let left = worst.len() - told - 1;
        // Room for the count of those that do not fit.
        let more = if left > 0 { " +99".len() } else { 0 };
        if told > 0 && used + text::width(&words) + more > cells {
            let hidden = format!(" +{}", worst.len() - told);
            title.push(Span::styled(hidden, cx.styles.get(Role::Muted)));
            return;
        }
        used += text::width(&words);
        title.push(Span::styled(words, cx.styles.get(role)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::InstanceId;

    #[test]
    fn each_drive_has_its_own_last_and_max() {
        let at = |minutes: i64| DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minutes);
        let series = |drive: &str, points: &[(i64, f64)]| Series {
            metric: Metric::FreezeDuration,
            server: InstanceId::from_api("i-0"),
            drive: drive.into(),
            period_s: 60,
            points: points.iter().map(|(m, v)| (at(*m), *v)).collect(),
        };
        let slow = series("/dev/sdf", &[(0, 5000.0), (10, 901.0), (20, 877.0)]);
        let quick = series("/dev/sdg", &[(10, 300.0), (21, 575.0)]);
        let slow = DriveFigures::of(0, &slow, at(5)).unwrap();
        let quick = DriveFigures::of(1, &quick, at(5)).unwrap();
        assert_eq!(
            slow.summary(Metric::FreezeDuration),
            "last 877 ms, max 901 ms"
        );
        assert_eq!(
            quick.summary(Metric::FreezeDuration),
            "last 575 ms, max 575 ms"
        );
        let empty = series("/dev/sdh", &[(0, 1.0)]);
        assert_eq!(DriveFigures::of(2, &empty, at(5)), None);
    }
}

//! What is or may be frozen, told where everybody sees it: in the lines above every screen, and at the rows of instances
//! and volumes.

use chrono::{DateTime, Utc};
use ratatui::style::Modifier;
use ratatui::text::Span;

use super::table::Cell;
use super::{lane, text};
use crate::config::theme::Role;
use crate::domain::held::Held;
use crate::domain::ids::InstanceId;
use crate::domain::job::JobView;
use crate::tui::app::world::World;
use crate::tui::style::Styles;

/// The colour of what is held. The words differ too.
fn role(held: Held) -> Role {
    match held {
        Held::Nothing => Role::Text,
        Held::MayBeFrozen { .. } => Role::Warn,
        Held::Frozen { .. } => Role::Frozen,
        Held::ThawUncertain { .. } => Role::Error,
    }
}

/// One kind of what is held, as the alarm names it.
fn part(mark: &str, jobs: &[&JobView], now: DateTime<Utc>) -> Option<(String, Role)> {
    let worst = jobs
        .iter()
        .map(|job| job.held())
        .reduce(|a, b| if b.since() < a.since() { b } else { a })?;
    let overdue = jobs.iter().any(|job| lane::is_overdue(job, now));
    let role = if overdue { Role::Error } else { role(worst) };
    let many = match jobs.len() {
        1 => String::new(),
        n => format!("{n} "),
    };
    let who = match jobs {
        [one] => format!(" {}", text::fit(&one.spec.instance_name, 24)),
        _ => String::new(),
    };
    let short = worst.short(now);
    let long = short
        .strip_prefix(worst.word())
        .unwrap_or_default()
        .to_owned();
    Some((format!("{mark} {many}{}{who}{long}", worst.word()), role))
}

/// What is or may be frozen anywhere in reach, worst first; empty where nothing is.
pub fn alarm(world: &World, now: DateTime<Utc>) -> Vec<(String, Role)> {
    let (mut uncertain, mut may, mut frozen) = (Vec::new(), Vec::new(), Vec::new());
    for job in world.holding() {
        match job.held() {
            Held::Nothing => {}
            Held::ThawUncertain { .. } => uncertain.push(job),
            Held::MayBeFrozen { .. } => may.push(job),
            Held::Frozen { .. } => frozen.push(job),
        }
    }
    [("!!!", uncertain), ("❄?", may), ("❄", frozen)]
        .into_iter()
        .filter_map(|(mark, jobs)| part(mark, &jobs, now))
        .collect()
}

/// The alarm in at most so many cells. What does not fit is counted by its word alone.
pub fn spans(parts: &[(String, Role)], cells: usize, styles: &Styles) -> Vec<Span<'static>> {
    let mut out = Vec::new();
    let mut left = cells;
    for (n, (words, role)) in parts.iter().enumerate() {
        // Each of those that follow keeps room for a word.
        let others = parts.len() - n - 1;
        let shown = text::fit(&format!(" {words} "), left.saturating_sub(others * 10));
        left = left.saturating_sub(text::width(&shown));
        let look = styles
            .get(*role)
            .add_modifier(Modifier::REVERSED | Modifier::BOLD);
        out.push(Span::styled(shown, look));
    }
    out
}

/// How many cells it takes whole.
pub fn width(parts: &[(String, Role)]) -> usize {
    parts.iter().map(|(words, _)| text::width(words) + 2).sum()
}

/// The cell of a row whose instance holds something, in place of what stands there else.
pub fn cell(world: &World, instance: &InstanceId, now: DateTime<Utc>) -> Option<Cell> {
    let held = world.held_on(instance);
    held.is_something()
        .then(|| Cell::styled(held.short(now), role(held)))
}

/// The line of details about an instance that holds something.
pub fn sentence(
    world: &World,
    instance: &InstanceId,
    now: DateTime<Utc>,
) -> Option<(String, Role)> {
    let held = world.held_on(instance);
    held.is_something().then(|| (held.words(now), role(held)))
}

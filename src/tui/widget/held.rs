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
use crate::tui::model::Model;
use crate::tui::style::Styles;

/// The colour of what is held. The words differ too.
fn role(held: Held) -> Role {
    match held {
        Held::Nothing => Role::Text,
        Held::MayBeFrozen { .. } => Role::Warn,
        Held::Frozen { .. } => Role::Frozen,
        Held::ThawUnconfirmed { .. } => Role::Error,
    }
}

/// One kind of what is held.
pub struct Part {
    /// With the name of the instance, where it is one.
    named: String,
    /// Without.
    bare: String,
    role: Role,
}

impl Part {
    fn of(mark: &str, jobs: &[&JobView], model: &Model, now: DateTime<Utc>) -> Option<Self> {
        let longest = jobs
            .iter()
            .map(|job| job.held())
            .reduce(|a, b| if b.since() < a.since() { b } else { a })?;
        let overdue = jobs.iter().any(|job| lane::is_overdue(job, now));
        let role = if overdue { Role::Error } else { role(longest) };
        let word = longest.word();
        // The word comes first in it.
        let short = longest.short(now);
        let ago = short.get(word.len()..).unwrap_or_default();
        let (named, bare) = match jobs {
            [one] => {
                let name = text::fit(&model.named_of(one), 32);
                (
                    format!(" {mark} {word} {name}{ago} "),
                    format!(" {mark} {word}{ago} "),
                )
            }
            many => {
                let words = format!(" {mark} {} {word}{ago} ", many.len());
                (words.clone(), words)
            }
        };
        Some(Self { named, bare, role })
    }

    fn words(&self, named: bool) -> &str {
        if named { &self.named } else { &self.bare }
    }
}

/// What is or may be frozen anywhere in reach, worst first; empty where nothing is.
pub fn alarm(model: &Model, now: DateTime<Utc>) -> Vec<Part> {
    let (mut unconfirmed, mut may, mut frozen) = (Vec::new(), Vec::new(), Vec::new());
    for job in model.holding() {
        match job.held() {
            Held::Nothing => {}
            Held::ThawUnconfirmed { .. } => unconfirmed.push(job),
            Held::MayBeFrozen { .. } => may.push(job),
            Held::Frozen { .. } => frozen.push(job),
        }
    }
    [("!!!", unconfirmed), ("❄?", may), ("❄", frozen)]
        .into_iter()
        .filter_map(|(mark, jobs)| Part::of(mark, &jobs, model, now))
        .collect()
}

/// The alarm in at most so many cells, without names where they do not fit.
pub fn spans(parts: &[Part], cells: usize, styles: &Styles) -> Vec<Span<'static>> {
    let named = width(parts, true) <= cells;
    let mut out = Vec::new();
    let mut left = cells;
    for part in parts {
        let shown = text::fit(part.words(named), left);
        left = left.saturating_sub(text::width(&shown));
        let look = styles
            .get(part.role)
            .add_modifier(Modifier::REVERSED | Modifier::BOLD);
        out.push(Span::styled(shown, look));
    }
    out
}

/// How many cells it takes, with the names or without.
pub fn width(parts: &[Part], named: bool) -> usize {
    parts
        .iter()
        .map(|part| text::width(part.words(named)))
        .sum()
}

/// The cell of a row whose instance holds something, in place of what stands there else.
pub fn cell(model: &Model, instance: &InstanceId, now: DateTime<Utc>) -> Option<Cell> {
    let held = model.held_on(instance);
    held.is_something()
        .then(|| Cell::styled(held.short(now), role(held)))
}

/// The line of details about an instance that holds something.
pub fn sentence(
    model: &Model,
    instance: &InstanceId,
    now: DateTime<Utc>,
) -> Option<(String, Role)> {
    let held = model.held_on(instance);
    held.is_something().then(|| (held.words(now), role(held)))
}

//! Prunes and restores that are on record, newest first.

use ratatui::text::Line;

use crate::config::theme::Role;
use crate::domain::prune::{PruneRecord, count};
use crate::domain::restore::{RestoreView, StepState};
use crate::tui::contract::ScreenContext;
use crate::tui::message::Past;
use crate::tui::style;
use crate::tui::widget::text;

/// Everything on record, with what came of it.
pub fn lines(past: &Past, width: usize, cx: &ScreenContext<'_>) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut say = |words: String, role: Role| {
        lines.extend(
            text::wrap(&words, width)
                .into_iter()
                .map(|line| Line::styled(line, cx.styles.get(role))),
        );
    };
    say(count(past.prunes.len(), "prune"), Role::Muted);
    for prune in &past.prunes {
        let (words, role) = prune_words(prune);
        say(words, role);
        let rules = prune.rules.join(" · ");
        say(
            format!("    {}; {rules}; by {}", prune.of, prune.who),
            Role::Muted,
        );
        if let Some(why) = &prune.stopped {
            say(format!("    stopped: {why}"), Role::Warn);
        }
        for skipped in &prune.skipped {
            say(
                format!("    not deleted: {}: {}", skipped.snapshot, skipped.reason),
                Role::Text,
            );
        }
    }
    say(String::new(), Role::Text);
    say(count(past.restores.len(), "restore"), Role::Muted);
    for (started, restore) in &past.restores {
        let (symbol, state, role) = restore_state(restore);
        let done = restore
            .items
            .iter()
            .filter(|i| i.state == StepState::Done)
            .count();
        let plan = &restore.plan;
        say(
            format!(
                "{symbol} {} {state}: {done} of {} to {} ({})",
                style::moment(*started),
                count(restore.items.len(), "volume"),
                plan.target_name,
                plan.target
            ),
            role,
        );
        say(
            format!("    of set {}; restore {}", plan.set, plan.id),
            Role::Muted,
        );
    }
    lines
}

fn prune_words(prune: &PruneRecord) -> (String, Role) {
    let (symbol, role) = match (prune.state(), prune.skipped.is_empty()) {
        ("finished", true) => ("✔", Role::Ok),
        ("finished", false) => ("✘", Role::Error),
        ("stopped", _) => ("■", Role::Warn),
        _ => ("▶", Role::Accent),
    };
    let words = format!(
        "{symbol} {} {}: {}",
        style::moment(prune.begun),
        prune.state(),
        prune.tally()
    );
    (words, role)
}

fn restore_state(restore: &RestoreView) -> (&'static str, &'static str, Role) {
    match restore.state() {
        state @ "done" => ("✔", state, Role::Ok),
        state @ "failed" => ("✘", state, Role::Error),
        state => ("▶", state, Role::Accent),
    }
}

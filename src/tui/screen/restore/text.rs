//! Steps 3 and 4 in words: the calls before they are made, and how they go.

use ratatui::text::{Line, Span};

use crate::config::theme::Role;
use crate::domain::naming;
use crate::domain::restore::{RestorePlan, RestoreView, StepState};
use crate::domain::text::{counted, visible};
use crate::tui::contract::ScreenContext;
use crate::tui::style;
use crate::tui::widget::{lane, text};

const INDENT: &str = "   ";

fn wrapped(
    words: &str,
    width: usize,
    indent: &str,
    role: Role,
    cx: &ScreenContext<'_>,
) -> Vec<Line<'static>> {
    text::wrap(words, width.saturating_sub(indent.len()))
        .into_iter()
        .map(|line| Line::styled(format!("{indent}{line}"), cx.styles.get(role)))
        .collect()
}

/// `1 volume`, `2 volumes`.
pub fn volumes(n: usize) -> String {
    counted(n, "volume")
}

/// A line for a shell, with a prompt.
fn shell(line: &str, width: usize, cx: &ScreenContext<'_>) -> Vec<Line<'static>> {
    let room = width.saturating_sub(INDENT.len() + 2).max(1);
    text::wrap(line, room)
        .into_iter()
        .enumerate()
        .map(|(n, row)| {
            let prompt = if n == 0 { "$ " } else { "  " };
            Line::styled(format!("{INDENT}{prompt}{row}"), cx.styles.get(Role::Muted))
        })
        .collect()
}

/// The plan for review: what comes back, warnings, each call in words and as a line for a shell.
pub fn plan(plan: &RestorePlan, width: usize, cx: &ScreenContext<'_>) -> Vec<Line<'static>> {
    let mut lines = wrapped(
        &format!(
            "{} as of {} ({}), beside the data of {}",
            volumes(plan.items.len()),
            style::moment(plan.point_in_time),
            style::ago(plan.point_in_time, cx.now),
            naming::full(Some(&plan.target_name), plan.target.as_str())
        ),
        width,
        "",
        Role::Title,
        cx,
    );
    lines.extend(wrapped(
        "Originals are untouched: nothing is detached, overwritten or deleted.",
        width,
        "",
        Role::Ok,
        cx,
    ));
    for warning in &plan.warnings {
        lines.extend(wrapped(&format!("▲ {warning}"), width, "", Role::Warn, cx));
    }
    for note in &plan.notes {
        lines.extend(wrapped(note, width, "", Role::Muted, cx));
    }
    lines.push(Line::default());
    for item in &plan.items {
        let (symbol, level, role) = style::level(Some(item.level));
        let unproven = if item.level.is_proven() {
            ""
        } else {
            " NOT PROVEN"
        };
        let mount = item
            .mount
            .as_ref()
            .map(|m| format!(", mounted at {m}"))
            .unwrap_or_default();
        lines.extend(wrapped(
            &format!(
                "{symbol} {} {level}{unproven} → {} GiB {} in {} as {}{mount}",
                item.snapshot, item.size_gib, item.volume_type, item.zone, item.device
            ),
            width,
            "",
            role,
            cx,
        ));
        let name = item
            .tags
            .name()
            .map_or(String::new(), |name| format!("\"{}\"; ", visible(name)));
        let made = format!("{name}{}, {}", item.performance(), item.encryption());
        lines.extend(wrapped(&made, width, INDENT, Role::Muted, cx));
    }
    lines.push(Line::default());
    for (n, call) in plan.calls.iter().enumerate() {
        lines.push(lane::fitted(
            vec![
                Span::styled(format!("{:>2}. ", n + 1), cx.styles.get(Role::Muted)),
                Span::styled(call.operation.clone(), cx.styles.get(Role::Accent)),
                Span::styled(format!("  {}", call.words), cx.styles.get(Role::Text)),
            ],
            width,
        ));
        lines.extend(shell(&call.cli, width, cx));
    }
    lines
}

/// All AWS CLI lines of a plan, one per line, hostile characters made visible.
pub fn cli(plan: &RestorePlan) -> String {
    plan.calls
        .iter()
        .map(|call| visible(&call.cli))
        .collect::<Vec<_>>()
        .join("\n")
}

fn look(state: StepState) -> (&'static str, &'static str, Role) {
    match state {
        StepState::Waiting => ("○", "waiting", Role::Muted),
        StepState::Creating => ("▶", "creating", Role::Accent),
        StepState::Attaching => ("▶", "attaching", Role::Accent),
        StepState::Mounting => ("▶", "mounting", Role::Accent),
        StepState::Done => ("✔", "done", Role::Ok),
        StepState::Failed => ("✘", "failed", Role::Error),
    }
}

/// How a restore goes, or went.
pub fn status(view: &RestoreView, width: usize, cx: &ScreenContext<'_>) -> Vec<Line<'static>> {
    let count = |state| view.items.iter().filter(|item| item.state == state).count();
    let (done, failed, all) = (
        count(StepState::Done),
        count(StepState::Failed),
        view.items.len(),
    );
    let (head, role) = match (view.finished, failed) {
        (false, _) => (
            format!("▶ restoring: {done} of {all} done, {failed} failed"),
            Role::Accent,
        ),
        (true, 0) if done == all => (format!("✔ restored: {}, all there", volumes(all)), Role::Ok),
        (true, _) => (
            format!("✘ ended: {done} of {all} done, {failed} failed"),
            Role::Error,
        ),
    };
    let plan = &view.plan;
    let mut lines = wrapped(&head, width, "", role, cx);
    lines.extend(wrapped(
        &format!(
            "to {}, data of {}",
            naming::full(Some(&plan.target_name), plan.target.as_str()),
            style::moment(plan.point_in_time)
        ),
        width,
        "",
        Role::Text,
        cx,
    ));
    lines.extend(wrapped(
        "Originals are untouched: nothing was detached, overwritten or deleted.",
        width,
        "",
        Role::Ok,
        cx,
    ));
    lines.push(Line::default());
    for item in &view.items {
        let (symbol, word, role) = look(item.state);
        let planned = plan.items.iter().find(|p| p.snapshot == item.snapshot);
        let place = planned.map_or(String::new(), |p| match &p.mount {
            Some(mount) => format!(" → {} at {mount}", p.device),
            None => format!(" → {}", p.device),
        });
        let volume = item
            .volume
            .as_ref()
            .map(|v| format!(" {v}"))
            .unwrap_or_default();
        lines.push(lane::fitted(
            vec![
                Span::styled(
                    format!("{symbol} {}", text::pad(word, 10, false)),
                    cx.styles.get(role),
                ),
                Span::styled(item.snapshot.to_string(), cx.styles.get(Role::Text)),
                Span::styled(volume, cx.styles.get(Role::Accent)),
                Span::styled(place, cx.styles.get(Role::Muted)),
            ],
            width,
        ));
        if !item.note.is_empty() {
            let role = if item.state == StepState::Failed {
                Role::Error
            } else {
                Role::Muted
            };
            lines.extend(wrapped(&item.note, width, INDENT, role, cx));
        }
    }
    lines
}

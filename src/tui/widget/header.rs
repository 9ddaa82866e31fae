//! The top lines: whose account this is, and where one can go.

use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{held, text};
use crate::config::theme::Role;
use crate::domain::credentials::role_of;
use crate::tui::message::Identity;
use crate::tui::model::Model;
use crate::tui::style::{Styles, ago};

/// When the oldest part of the fleet was read; `None` until every part was.
pub fn read_at(model: &Model) -> Option<DateTime<Utc>> {
    let parts = [
        model.instances.read_at,
        model.volumes.read_at,
        model.snapshots.read_at,
    ];
    parts
        .into_iter()
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .min()
}

/// Draws the first line. What matters most stays longest when it gets narrow: where we are, that
/// nothing can be written, that this is the lab. `alarm`: what is or may be frozen, where no other line tells it.
pub fn view_identity(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    alarm: &[held::Part],
    styles: &Styles,
    now: DateTime<Utc>,
) {
    let whole = usize::from(area.width);
    let alarm = held::spans(alarm, held::width(alarm, true).min(whole), styles);
    let taken: usize = alarm.iter().map(|s| text::width(&s.content)).sum();
    let whole = whole - taken;
    // Each part with its priority: the highest number goes first.
    let mut parts: Vec<(u8, String, Role)> = vec![(6, "freezeframe".to_owned(), Role::Muted)];
    match &model.identity.data {
        Some(identity) => parts.extend(identity_parts(identity)),
        None if model.identity.error.is_some() => {
            parts.push((0, "no identity".to_owned(), Role::Error));
        }
        None => parts.push((0, "asking who we are…".to_owned(), Role::Muted)),
    }
    let loading = model.instances.loading || model.volumes.loading || model.snapshots.loading;
    let data = match (read_at(model), loading) {
        (_, true) => "reading…".to_owned(),
        (Some(at), false) => format!("read {}", ago(at, now)),
        (None, false) => "nothing read".to_owned(),
    };
    parts.push((3, data, Role::Muted));
    let width = |parts: &[(u8, String, Role)]| {
        parts
            .iter()
            .map(|(_, t, _)| text::width(t) + 2)
            .sum::<usize>()
    };
    while width(&parts) > whole && parts.len() > 1 {
        let Some(worst) = (0..parts.len()).max_by_key(|i| parts[*i].0) else {
            break;
        };
        if parts[worst].0 == 0 {
            break;
        }
        parts.remove(worst);
    }
    let mut spans = alarm;
    for (_, part, role) in parts {
        let shown = text::fit(&part, whole.saturating_sub(2));
        spans.push(Span::styled(format!(" {shown} "), styles.get(role)));
    }
    frame.render_widget(Line::from(spans), area);
}

fn identity_parts(identity: &Identity) -> Vec<(u8, String, Role)> {
    let mut parts = Vec::new();
    if let Some(lab) = &identity.lab {
        parts.push((0, format!("LAB·{lab}"), Role::Lab));
    }
    if identity.read_only {
        parts.push((0, "READ-ONLY".to_owned(), Role::Warn));
    }
    parts.push((1, identity.scope.account.to_string(), Role::Header));
    parts.push((0, identity.scope.region.to_string(), Role::Header));
    if let Some(short) = identity.source.short() {
        parts.push((4, short, Role::Text));
    }
    parts.push((5, format!("role {}", role_of(&identity.arn)), Role::Text));
    parts
}

/// Draws the second line: the screens with their keys, the current one in brackets, and what is or may be frozen, which
/// is to be seen from every screen. `jobs` run.
pub fn view_tabs(
    frame: &mut Frame<'_>,
    area: Rect,
    tabs: &[(String, String, bool)],
    jobs: usize,
    alarm: &[held::Part],
    styles: &Styles,
) {
    let running = if jobs > 0 {
        format!("({jobs})")
    } else {
        String::new()
    };
    let width = usize::from(area.width);
    let long: usize = tabs
        .iter()
        .map(|(key, name, _)| text::width(key) + text::width(name) + 4)
        .sum();
    let short = long + text::width(&running) + held::width(alarm, true) > width;
    let mut spans = Vec::new();
    for (key, title, here) in tabs {
        let jobs = title == "Jobs";
        let name = if *here || !short || jobs {
            title.as_str()
        } else {
            ""
        };
        let running = if jobs { running.as_str() } else { "" };
        let (open, close, role) = if *here {
            ("[", "]", Role::Accent)
        } else {
            (" ", " ", Role::Muted)
        };
        spans.push(Span::styled(open, styles.get(role)));
        spans.push(Span::styled(key.clone(), styles.get(Role::Key)));
        let gap = if name.is_empty() { "" } else { " " };
        spans.push(Span::styled(
            format!("{gap}{name}{running}{close}"),
            styles.get(role),
        ));
    }
    // Where there is too little room for both, where one could go gives way.
    let wanted = held::width(alarm, false).min(width);
    let mut used: usize = spans.iter().map(|s| text::width(&s.content)).sum();
    while used + wanted > width {
        let Some(last) = spans.pop() else { break };
        used -= text::width(&last.content);
    }
    spans.extend(held::spans(alarm, width - used, styles));
    frame.render_widget(Line::from(spans), area);
}

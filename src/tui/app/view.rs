//! The whole picture: two lines above, the screen, one line that tells, one line of keys.

use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{App, Notice};
use crate::config::theme::Role;
use crate::tui::action::Action;
use crate::tui::contract::ScreenId;
use crate::tui::keymap;
use crate::tui::widget::{header, held, text};

/// Most lines that a notice may take.
const NOTICE_LINES: usize = 3;
/// From this height on there is a line for the screens.
const TABS_FROM: u16 = 12;

/// Draws the app as it is at `now`. Pure but for what tables remember of their height.
pub fn draw(frame: &mut Frame<'_>, app: &App, now: DateTime<Utc>) {
    let area = frame.area();
    let mut body = area;
    let alarm = held::alarm(&app.model, now);
    // With too little height the screen itself comes first, then where we are, then the keys.
    if area.height >= 3 {
        let at = take_top(&mut body);
        let told = if area.height < TABS_FROM {
            &alarm[..]
        } else {
            &[]
        };
        header::view_identity(frame, at, &app.model, told, &app.styles, now);
    }
    if area.height >= TABS_FROM {
        let at = take_top(&mut body);
        let jobs = app.model.running().count();
        header::view_tabs(frame, at, &tabs(app), jobs, &alarm, &app.styles);
    }
    if area.height >= 5 {
        let at = take_bottom(&mut body, 1);
        view_keys(frame, at, app, now);
    }
    if let Some(notice) = &app.notice {
        let lines = notice_lines(notice, usize::from(area.width));
        let height = u16::try_from(lines.len())
            .unwrap_or(1)
            .min(body.height.saturating_sub(1).max(1));
        let at = take_bottom(&mut body, height);
        let role = match notice {
            Notice::Info(_) => Role::Accent,
            Notice::Problem(_) => Role::Error,
        };
        for (line, row) in lines.into_iter().zip(at.rows()) {
            frame.render_widget(Line::styled(line, app.styles.get(role)), row);
        }
    }
    let cx = app.cx(now);
    // Pages cover everything below them; dialogs leave it visible.
    let first = app.overlays.iter().rposition(|o| !o.is_dialog());
    if first.is_none() {
        app.screens.get(app.current).view(frame, body, &cx);
    }
    for overlay in app.overlays.iter().skip(first.unwrap_or(0)) {
        overlay.view(frame, body, &cx);
    }
}

fn take_top(body: &mut Rect) -> Rect {
    let at = Rect {
        height: body.height.min(1),
        ..*body
    };
    body.y += at.height;
    body.height -= at.height;
    at
}

fn take_bottom(body: &mut Rect, lines: u16) -> Rect {
    let height = body.height.min(lines);
    body.height -= height;
    Rect {
        y: body.bottom(),
        height,
        ..*body
    }
}

fn tabs(app: &App) -> Vec<(String, String, bool)> {
    let screens = [
        (Action::Fleet, ScreenId::Fleet),
        (Action::Volumes, ScreenId::Volumes),
        (Action::Snapshots, ScreenId::Snapshots),
        (Action::Jobs, ScreenId::Jobs),
        (Action::MetricsScreen, ScreenId::Metrics),
        (Action::Retention, ScreenId::Retention),
    ];
    screens
        .into_iter()
        .map(|(action, id)| {
            let key = keymap::key_of(action).map(keymap::Key::label);
            let key = key.unwrap_or_default();
            (key, id.to_string(), app.current == id)
        })
        .collect()
}

fn notice_lines(notice: &Notice, cells: usize) -> Vec<String> {
    let words = match notice {
        Notice::Info(words) => words.clone(),
        Notice::Problem(problem) => format!("! {problem} → {}", problem.hint),
    };
    let mut lines = text::wrap(&words, cells.max(1));
    if lines.len() > NOTICE_LINES {
        lines.truncate(NOTICE_LINES);
        if let Some(last) = lines.last_mut() {
            *last = text::fit(&format!("{last} …"), cells);
        }
    }
    lines
}

/// The keys that work, as many as fit; the rest is behind `?`, which is always shown where it works.
fn view_keys(frame: &mut Frame<'_>, area: Rect, app: &App, now: DateTime<Utc>) {
    let shown = app.shown_keys(now);
    let cx = app.cx(now);
    let refused = app.model.writes_refused().is_some();
    let label = |entry: &(Vec<keymap::Key>, Action)| {
        let key = entry.0.first().map(|key| key.label()).unwrap_or_default();
        let word = match entry.1 {
            action if app.top().says(action, &cx).is_some() => {
                app.top().says(action, &cx).map_or("", |(word, _)| word)
            }
            Action::Open if app.top().is_dialog() || app.top().typing() => "ok",
            action => action.word(),
        };
        (key, word.to_owned(), entry.1.writes() && refused)
    };
    let last = shown
        .iter()
        .find(|(_, action)| *action == Action::Help)
        .map(label);
    let cells = |(key, word, _): &(String, String, bool)| text::width(key) + text::width(word) + 3;
    let mut room = usize::from(area.width).saturating_sub(last.as_ref().map_or(0, cells));
    let mut spans = Vec::new();
    let mut put = |(key, word, dim): (String, String, bool)| {
        let role = if dim { Role::Muted } else { Role::Text };
        spans.push(Span::styled(format!(" {key}"), app.styles.get(Role::Key)));
        spans.push(Span::styled(format!(" {word} "), app.styles.get(role)));
    };
    for entry in shown
        .iter()
        .filter(|(_, action)| *action != Action::Help && !is_tab(*action))
    {
        let entry = label(entry);
        if cells(&entry) > room {
            break;
        }
        room -= cells(&entry);
        put(entry);
    }
    if let Some(last) = last {
        put(last);
    }
    frame.render_widget(Line::from(spans), area);
}

/// Keys that the line of tabs shows already.
fn is_tab(action: Action) -> bool {
    matches!(
        action,
        Action::Fleet
            | Action::Volumes
            | Action::Snapshots
            | Action::Jobs
            | Action::MetricsScreen
            | Action::Retention
    )
}

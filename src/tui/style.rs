//! From roles to what the terminal can show.

use chrono::{DateTime, Utc};
use ratatui::style::{Color, Modifier, Style};

use crate::config::theme::{Ansi, Attribute, Rgb, Role, Theme};
use crate::domain::level::Level;

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// 24 bits.
    Truecolor,
    /// The sixteen.
    Sixteen,
    /// None (`NO_COLOR`, `TERM=dumb`): attributes only.
    None,
}

impl Depth {
    /// What the environment says: `NO_COLOR`, then `COLORTERM`, then `TERM`. `get` reads a variable.
    pub fn detect(get: impl Fn(&str) -> Option<String>) -> Self {
        let term = get("TERM").unwrap_or_default();
        if get("NO_COLOR").is_some_and(|v| !v.is_empty()) || term == "dumb" {
            return Self::None;
        }
        let colorterm = get("COLORTERM").unwrap_or_default();
        if matches!(colorterm.as_str(), "truecolor" | "24bit") || term.ends_with("-direct") {
            Self::Truecolor
        } else {
            Self::Sixteen
        }
    }
}

/// A theme as this terminal shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Styles {
    theme: Theme,
    depth: Depth,
}

impl Styles {
    /// A theme on a terminal of that depth.
    pub fn new(theme: Theme, depth: Depth) -> Self {
        Self { theme, depth }
    }

    /// The style of a role.
    pub fn get(&self, role: Role) -> Style {
        let paint = self.theme.paint(role);
        let mut style = Style::new();
        match self.depth {
            Depth::Truecolor => {
                style.fg = paint.fg.map(rgb);
                style.bg = paint.bg.map(rgb);
            }
            Depth::Sixteen => {
                style.fg = paint.ansi.map(ansi);
                style.bg = paint.ansi_bg.map(ansi);
            }
            Depth::None => {}
        }
        for attribute in &paint.attributes {
            style = style.add_modifier(match attribute {
                Attribute::Bold => Modifier::BOLD,
                Attribute::Dim => Modifier::DIM,
                Attribute::Italic => Modifier::ITALIC,
                Attribute::Underlined => Modifier::UNDERLINED,
                // Where a background colour exists, reversing would undo it.
                Attribute::Reversed if style.bg.is_some() => Modifier::empty(),
                Attribute::Reversed => Modifier::REVERSED,
            });
        }
        style
    }
}

fn rgb(Rgb(r, g, b): Rgb) -> Color {
    Color::Rgb(r, g, b)
}

fn ansi(name: Ansi) -> Color {
    match name {
        Ansi::Black => Color::Black,
        Ansi::Red => Color::Red,
        Ansi::Green => Color::Green,
        Ansi::Yellow => Color::Yellow,
        Ansi::Blue => Color::Blue,
        Ansi::Magenta => Color::Magenta,
        Ansi::Cyan => Color::Cyan,
        Ansi::Gray => Color::Gray,
        Ansi::DarkGray => Color::DarkGray,
        Ansi::LightRed => Color::LightRed,
        Ansi::LightGreen => Color::LightGreen,
        Ansi::LightYellow => Color::LightYellow,
        Ansi::LightBlue => Color::LightBlue,
        Ansi::LightMagenta => Color::LightMagenta,
        Ansi::LightCyan => Color::LightCyan,
        Ansi::White => Color::White,
    }
}

/// Symbol, word and role of a level; `None` is a snapshot that is not ours.
pub fn level(level: Option<Level>) -> (&'static str, &'static str, Role) {
    match level {
        Some(Level::Application) => ("●", "application", Role::LevelApplication),
        Some(Level::Filesystem) => ("◐", "filesystem", Role::LevelFilesystem),
        Some(Level::Crash) => ("○", "crash", Role::LevelCrash),
        Some(Level::Pending) => ("?", "pending", Role::LevelPending),
        None => ("·", "not ours", Role::Muted),
    }
}

/// How long ago, in at most four characters: `12s`, `5m`, `3h`, `12d`, `340d`; `now` for the future.
pub fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - since).num_seconds();
    match seconds {
        ..=0 => "now".to_owned(),
        1..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m", seconds / 60),
        3600..=86_399 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago, as the end of a phrase: `5m ago`, `just now`.
pub fn ago(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match age(since, now).as_str() {
        "now" => "just now".to_owned(),
        age => format!("{age} ago"),
    }
}

/// A moment for people: `2026-11-20 14:03:09Z`.
pub fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn ages_are_short() {
        let now: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
        for (seconds, short) in [
            (-5, "now"),
            (0, "now"),
            (1, "1s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3600, "1h"),
            (86_399, "23h"),
            (86_400, "1d"),
            (86_400 * 400, "400d"),
        ] {
            assert_eq!(age(now - TimeDelta::seconds(seconds), now), short);
        }
        assert_eq!(ago(now, now), "just now");
        assert_eq!(ago(now - TimeDelta::seconds(61), now), "1m ago");
    }

    #[test]
    fn the_environment_decides_about_colours() {
        let with = |pairs: &[(&str, &str)]| {
            Depth::detect(|name| {
                pairs
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| (*v).to_owned())
            })
        };
        assert_eq!(
            with(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]),
            Depth::Truecolor
        );
        assert_eq!(with(&[("TERM", "xterm-direct")]), Depth::Truecolor);
        assert_eq!(with(&[("TERM", "screen")]), Depth::Sixteen);
        assert_eq!(
            with(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]),
            Depth::None
        );
        assert_eq!(
            with(&[("COLORTERM", "truecolor"), ("NO_COLOR", "")]),
            Depth::Truecolor
        );
        assert_eq!(
            with(&[("TERM", "dumb"), ("COLORTERM", "24bit")]),
            Depth::None
        );
    }
}

//! Colours by role: what a theme file says. How a terminal shows them is the console's affair.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::Error as _;

use crate::domain::problem::{Kind, Problem};

const DARK: &str = include_str!("../../themes/freezeframe.toml");
const LIGHT: &str = include_str!("../../themes/freezeframe-light.toml");

/// What a colour is for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    strum::Display,
    strum::EnumIter,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Role {
    /// Plain text.
    Text,
    /// Less important text.
    Muted,
    /// What should catch the eye.
    Accent,
    /// Titles of panes and columns.
    Title,
    /// The row under the cursor.
    Selected,
    /// Marked rows.
    Marked,
    /// Good.
    Ok,
    /// Look here.
    Warn,
    /// Bad.
    Error,
    /// Frozen right now.
    Frozen,
    /// The lab answers, not AWS.
    Lab,
    /// The top line.
    Header,
    /// Borders of panes.
    Border,
    /// Keys in the footer and in menus.
    Key,
    /// The text field or button that has the focus.
    Focus,
    /// Application-consistent.
    LevelApplication,
    /// Filesystem-consistent.
    LevelFilesystem,
    /// Crash-consistent.
    LevelCrash,
    /// Not proven yet.
    LevelPending,
}

/// The sixteen colours that every terminal has, by the names of crossterm and ratatui.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Ansi {
    Black,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    Gray,
    DarkGray,
    LightRed,
    LightGreen,
    LightYellow,
    LightBlue,
    LightMagenta,
    LightCyan,
    White,
}

/// A colour in truecolour: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl<'de> Deserialize<'de> for Rgb {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = |hex: &str| {
            if hex.len() != 6 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            let n = u32::from_str_radix(hex, 16).ok()?;
            let [_, r, g, b] = n.to_be_bytes();
            Some(Self(r, g, b))
        };
        text.strip_prefix('#').and_then(parse).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a colour: write it as #rrggbb"))
        })
    }
}

/// Modifiers that survive without colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute {
    /// Bold.
    Bold,
    /// Dim.
    Dim,
    /// Italic.
    Italic,
    /// Underlined.
    Underlined,
    /// Foreground and background exchanged.
    Reversed,
}

/// How one role looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Paint {
    /// Foreground in truecolour.
    pub fg: Option<Rgb>,
    /// Background in truecolour.
    pub bg: Option<Rgb>,
    /// Foreground on a terminal of 16 colours.
    pub ansi: Option<Ansi>,
    /// Background on a terminal of 16 colours.
    pub ansi_bg: Option<Ansi>,
    /// With or without colours.
    pub attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    roles: BTreeMap<Role, Paint>,
}

/// A theme: a paint for each role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    roles: BTreeMap<Role, Paint>,
}

impl Theme {
    /// Reads a theme; roles that it leaves out look as in the dark theme.
    ///
    /// # Errors
    /// Unknown roles, names and colours, naming file and line.
    pub fn parse(text: &str, file: &str) -> Result<Self, Problem> {
        let theme = Self::parse_alone(text, file)?;
        let mut base = Self::parse_alone(DARK, "freezeframe.toml")?;
        base.roles.extend(theme.roles);
        Ok(base)
    }

    /// A theme by its name, or from a file when the name says where one lies.
    ///
    /// # Errors
    /// A name that is none, a file that cannot be read or understood.
    pub fn load(name: &str) -> Result<Self, Problem> {
        if !name.contains('/') && !name.ends_with(".toml") {
            return Self::builtin(name);
        }
        let path = super::paths::given(std::path::Path::new(name), "theme")?;
        let text = super::small_file::read_text(&path).map_err(|e| {
            Problem::new(
                Kind::Usage,
                format!("read the theme {name}"),
                e.to_string(),
                "name an existing file, or a theme that is built in (freezeframe, freezeframe-light)",
            )
        })?;
        Self::parse(&text, name)
    }

    /// A theme that comes with the program: `freezeframe` (dark) or `freezeframe-light`.
    ///
    /// # Errors
    /// Any other name.
    pub fn builtin(name: &str) -> Result<Self, Problem> {
        match name {
            "freezeframe" => Self::parse_alone(DARK, "freezeframe.toml"),
            "freezeframe-light" => Self::parse_alone(LIGHT, "freezeframe-light.toml"),
            other => {
                let known = "use `freezeframe`, `freezeframe-light`, or the path of a theme file";
                let near = super::nearest(other, &["freezeframe", "freezeframe-light"]);
                Err(Problem::new(
                    Kind::Usage,
                    format!("use theme `{other}`"),
                    "there is no theme of that name",
                    match near {
                        Some(near) => format!("did you mean `{near}`? {known}"),
                        None => known.to_owned(),
                    },
                ))
            }
        }
    }

    /// How a role looks.
    pub fn paint(&self, role: Role) -> Paint {
        self.roles.get(&role).cloned().unwrap_or_default()
    }

    fn parse_alone(text: &str, file: &str) -> Result<Self, Problem> {
        let parsed: File = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
            Problem::new(
                Kind::Usage,
                format!("read theme {file}, line {line}"),
                error.message(),
                format!("hint line {line}: roles look like text = {{ fg = \"#d0d7de\", ansi = \"white\" }}"),
            )
        })?;
        Ok(Self {
            roles: parsed.roles,
        })
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn built_in_themes_paint_every_role_on_every_terminal() {
        for name in ["freezeframe", "freezeframe-light"] {
            let theme = Theme::builtin(name).unwrap();
            for role in Role::iter() {
                let paint = theme.paint(role);
                assert!(paint.fg.is_some() && paint.ansi.is_some(), "{name}: {role}");
            }
        }
        assert!(
            Theme::builtin("solarized")
                .unwrap_err()
                .hint
                .contains("freezeframe-light")
        );
    }

    #[test]
    fn mistakes_name_file_line_and_mend() {
        for (text, line, cause) in [
            ("[roles]\ntext = { fg = \"red\" }\n", "line 2", "#rrggbb"),
            (
                "[roles]\n\nfrobnicate = { fg = \"#000000\" }\n",
                "line 3",
                "frobnicate",
            ),
            (
                "[roles]\ntext = { foreground = \"#000000\" }\n",
                "line 2",
                "foreground",
            ),
            ("[roles]\nok = { ansi = \"lime\" }\n", "line 2", "lime"),
            ("[colours]\n", "line 1", "colours"),
        ] {
            let problem = Theme::parse(text, "mine.toml").unwrap_err();
            assert!(
                problem.what.contains("mine.toml") && problem.what.contains(line),
                "{problem:?}"
            );
            assert!(problem.cause.contains(cause), "{problem:?}");
            assert!(!problem.hint.is_empty());
        }
    }

    #[test]
    fn what_a_theme_leaves_out_looks_as_in_the_dark_one() {
        let theme = Theme::parse("[roles]\nok = { fg = \"#00ff00\" }\n", "x").unwrap();
        assert_eq!(theme.paint(Role::Ok).fg, Some(Rgb(0, 255, 0)));
        assert_eq!(
            theme.paint(Role::Error),
            Theme::builtin("freezeframe").unwrap().paint(Role::Error)
        );
    }
}

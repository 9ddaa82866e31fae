//! The `/` line of every list: a filter expression being typed, the rows that it lets pass, and what is wrong with it.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use tui_input::Input;

use super::{form, text};
use crate::config::theme::Role;
use crate::domain::filter::{Filter, RowKind};
use crate::domain::problem::Problem;
use crate::tui::action::Action;
use crate::tui::style::Styles;

/// Most lines that an error takes; at 80 columns every error of the parser fits.
const ERROR_LINES: usize = 4;

/// What the `/` line is for, as its help says it.
pub const PURPOSE: &str =
    "Narrows the rows while you type. Terms stand apart by blanks, and all of them must hold.";

/// What the rows of a list are narrowed by.
#[derive(Debug)]
pub struct FilterLine {
    kind: RowKind,
    input: Input,
    typing: bool,
    /// What `Back` brings again while typing.
    before: String,
    /// The last expression that could be read; it stays while a new one is half typed.
    filter: Filter,
    /// The same without its last word, where that may become a key: `level` on its way to `level=crash`.
    half: Option<Filter>,
    error: Option<Problem>,
}

impl FilterLine {
    /// An empty line for rows of that kind.
    pub fn new(kind: RowKind) -> Self {
        Self {
            kind,
            input: Input::default(),
            typing: false,
            before: String::new(),
            filter: Filter::default(),
            half: None,
            error: None,
        }
    }

    /// Whether keys go to the line.
    pub fn typing(&self) -> bool {
        self.typing
    }

    /// Whether the line is to be shown.
    pub fn is_active(&self) -> bool {
        self.typing || !self.input.value().is_empty()
    }

    /// The expression that holds; `any` says whether any row passes it. A key that is half typed empties no list.
    pub fn filter(&self, any: impl FnOnce(&Filter) -> bool) -> &Filter {
        match &self.half {
            Some(half) if self.typing && !any(&self.filter) => half,
            _ => &self.filter,
        }
    }

    fn begin(&mut self) {
        self.typing = true;
        self.before = self.input.value().to_owned();
    }

    /// Lets every row through again.
    pub fn clear(&mut self) {
        self.typing = false;
        self.set(String::new());
    }

    /// Whether [`FilterLine::act`] has a use for the action now. While the line has the keys, nothing else of the
    /// screen should.
    pub fn handles(&self, action: Action) -> bool {
        match action {
            _ if self.typing => matches!(action, Action::Open | Action::Back),
            Action::Filter => true,
            Action::Back | Action::Leave => self.is_active(),
            _ => false,
        }
    }

    /// Carries out what it handles: `Filter` gives it the keys, `Open` keeps what was typed, `Back` brings again what
    /// was there before, and clears a line that has not the keys. Says whether the action was the line's; then the
    /// rows must be worked out again.
    pub fn act(&mut self, action: Action) -> bool {
        if !self.handles(action) {
            return false;
        }
        match action {
            Action::Filter => self.begin(),
            Action::Open => {
                self.typing = false;
                self.read();
            }
            _ if self.typing => {
                self.typing = false;
                let before = std::mem::take(&mut self.before);
                self.set(before);
            }
            _ => self.clear(),
        }
        true
    }

    /// Types a key into the filter line.
    pub fn type_key(&mut self, key: KeyEvent) {
        form::type_into(&mut self.input, key);
        self.read();
    }

    /// Types pasted text into the filter line.
    pub fn paste(&mut self, pasted: &str) {
        form::paste_into(&mut self.input, pasted);
        self.read();
    }

    /// The language, for the help of a screen whose `/` line has the keys.
    pub fn explained(&self) -> &'static [&'static str] {
        language(self.kind)
    }

    fn set(&mut self, typed: String) {
        self.input = Input::new(typed);
        self.read();
    }

    fn read(&mut self) {
        let typed = self.input.value();
        let mut read = Filter::parse(typed, self.kind);
        if read.is_err() && self.typing && !typed.ends_with(['*', '=', '!', ':', '"']) {
            // On its way to a word that is known: `state=run`.
            read = Filter::parse(&format!("{typed}*"), self.kind).or(read);
        }
        match read {
            Ok(filter) => {
                self.filter = filter;
                self.half = self.without_half_a_key();
                self.error = None;
            }
            Err(problem) => self.error = Some(problem),
        }
    }

    fn without_half_a_key(&self) -> Option<Filter> {
        let typed = self.input.value();
        let at = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let (others, last) = typed.split_at_checked(at)?;
        let begins = |key: &str| !last.is_empty() && key.starts_with(last);
        let keys = self.kind.keys().iter().map(ToString::to_string);
        let half = keys.chain(["tag:".to_owned()]).any(|key| begins(&key));
        half.then(|| Filter::parse(others, self.kind).ok())
            .flatten()
    }

    fn errors(&self, cells: usize) -> Vec<String> {
        let Some(problem) = &self.error else {
            return Vec::new();
        };
        let words = format!("! {}; {}", problem.cause, problem.hint);
        let mut lines = text::wrap(&words, cells);
        lines.truncate(ERROR_LINES);
        lines
    }

    /// Draws it at the bottom of `area` while there is something to show, and leaves the rest of `area`: what is
    /// typed with its cursor, then what is wrong with it.
    pub fn view(&self, frame: &mut Frame<'_>, area: &mut Rect, styles: &Styles) {
        if !self.is_active() {
            return;
        }
        let errors = self.errors(area.width.into());
        let height = u16::try_from(errors.len() + 1)
            .unwrap_or(1)
            .min(area.height);
        area.height -= height;
        let below = Rect {
            y: area.bottom(),
            height,
            ..*area
        };
        let mut rows = below.rows();
        let Some(first) = rows.next() else { return };
        frame.render_widget(Span::styled("/", styles.get(Role::Key)), first);
        let field = Rect {
            x: first.x + first.width.min(1),
            width: first.width.saturating_sub(1),
            ..first
        };
        form::view_input(frame, field, &self.input, self.typing, styles);
        for (line, row) in errors.into_iter().zip(rows) {
            frame.render_widget(Line::styled(line, styles.get(Role::Error)), row);
        }
    }
}

/// The language of filters of those rows, for a help.
pub fn language(kind: RowKind) -> &'static [&'static str] {
    match kind {
        RowKind::Instances => LANGUAGE_OF_INSTANCES,
        RowKind::Volumes => LANGUAGE_OF_VOLUMES,
        RowKind::Snapshots => LANGUAGE_OF_SNAPSHOTS,
        RowKind::Sets => LANGUAGE_OF_SETS,
        RowKind::Jobs => LANGUAGE_OF_JOBS,
        RowKind::Records => LANGUAGE_OF_RECORDS,
    }
}

/// The lines of the help that are the same for every kind of row, after the keys of the kind.
macro_rules! language {
    ($keys:literal) => {
        &[
            $keys,
            "web finds rows with it in any value; in names and tags the letters may stand apart. shop-* wants a whole \
             value; * is any text.",
            "key=value, key!=value, tag:Env=prod, tag:Env!=prod, tag:Env (the tag is there), !term (not). Quotes make \
             blanks, = and * plain text.",
        ]
    };
}

const LANGUAGE_OF_INSTANCES: &[&str] = language!(
    "Keys here: name id state level recipe agent az type platform volume, tag:KEY; level is that of the newest proven \
     set, or never."
);
const LANGUAGE_OF_VOLUMES: &[&str] = language!(
    "Keys here: name id state level instance type az, tag:KEY; level is that of the newest snapshot, or never."
);
const LANGUAGE_OF_SNAPSHOTS: &[&str] =
    language!("Keys here: name id state level origin instance volume recipe set tier, tag:KEY.");
const LANGUAGE_OF_SETS: &[&str] = language!(
    "Keys here: name id state level instance recipe snapshot agent az type, tag:KEY; name, agent, az, type and tags are \
     the instance's."
);
const LANGUAGE_OF_RECORDS: &[&str] = language!("Keys here: id state instance, tag:KEY.");
const LANGUAGE_OF_JOBS: &[&str] = language!(
    "Keys here: name id state verdict level instance recipe mode volume snapshot run group, tag:KEY; name and tags \
     are the instance's."
);

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn the_help_names_the_keys_of_its_rows() {
        for kind in RowKind::iter() {
            let keys: Vec<String> = kind.keys().iter().map(ToString::to_string).collect();
            let told = FilterLine::new(kind).explained().concat();
            assert!(
                told.contains(&format!(" {}, tag:KEY", keys.join(" "))),
                "{kind}: {told}"
            );
        }
    }

    #[test]
    fn every_hint_about_a_key_fits_at_80_columns() {
        for kind in RowKind::iter() {
            let mut line = FilterLine::new(kind);
            line.begin();
            line.paste("tag:Env=prod verdicd=failed");
            let shown = line.errors(78);
            assert!(shown.join(" ").ends_with("with = in quotes"), "{shown:?}");
        }
    }

    #[test]
    fn back_brings_again_what_was_there_and_a_half_typed_term_keeps_the_last() {
        let mut line = FilterLine::new(RowKind::Jobs);
        let held_by = |line: &FilterLine| line.filter(|_| true).clone();
        assert!(line.act(Action::Filter) && line.typing());
        line.paste("failed");
        assert!(line.act(Action::Open) && !line.typing());
        let held = held_by(&line);
        assert!(!held.is_empty());
        line.act(Action::Filter);
        line.paste(" bogus=");
        let said = line.errors(80).join(" ");
        assert!(said.contains("bogus") && said.contains("known: "), "{said}");
        assert_eq!(held_by(&line), held);
        assert!(line.act(Action::Back));
        assert_eq!((held_by(&line), line.input.value()), (held, "failed"));
        assert!(line.act(Action::Leave), "it lets every row through again");
        assert!(held_by(&line).is_empty() && !line.is_active());
        assert!(!line.act(Action::Back), "nothing is left to undo");
    }

    #[test]
    fn a_key_that_is_half_typed_empties_no_list() {
        let mut line = FilterLine::new(RowKind::Instances);
        line.act(Action::Filter);
        let half = |line: &FilterLine| line.filter(|_| false).clone();
        line.paste("web");
        let web = half(&line);
        for typed in [" l", "eve", "l"] {
            line.paste(typed);
            assert_eq!(half(&line), web, "{}", line.input.value());
            assert_ne!(line.filter(|_| true), &web, "what some rows have narrows");
        }
        line.paste("=crash");
        assert_ne!(half(&line), web);
        line.act(Action::Back);
        for (typed, narrows) in [("tag", false), ("tag:", false), ("nothing-like-it", true)] {
            line.act(Action::Filter);
            line.paste(typed);
            assert_eq!(!half(&line).is_empty(), narrows, "{typed}");
            line.act(Action::Back);
        }
        line.act(Action::Filter);
        line.paste("state=run");
        assert!(line.errors(80).is_empty(), "it may become running");
        line.act(Action::Open);
        assert!(!line.errors(80).is_empty(), "and it has not");
        line.act(Action::Back);
        line.act(Action::Filter);
        line.paste("level");
        line.act(Action::Open);
        assert!(!half(&line).is_empty(), "what is no longer typed is a word");
    }
}

//! A problem in words: what failed and why, then what to do next.

use ratatui::text::Line;

use super::text;
use crate::config::theme::Role;
use crate::domain::problem::Problem;
use crate::tui::style::Styles;

/// The problem, wrapped to `cells`; marked with `✘` and `→`, so that colour is not needed.
pub fn lines(problem: &Problem, cells: usize, styles: &Styles) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    let mut say = |words: String, role: Role| {
        let style = styles.get(role);
        out.extend(
            text::wrap(&words, cells)
                .into_iter()
                .map(|line| Line::styled(line, style)),
        );
    };
    say(format!("✘ {problem}"), Role::Error);
    if problem.may_have_happened {
        say(
            "no answer came: it may have been carried out all the same".to_owned(),
            Role::Warn,
        );
    }
    say(format!("→ {}", problem.hint), Role::Accent);
    out
}

//! The `:` prompt: the screens and leaving, by name.

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Clear;
use tui_input::Input;

use crate::config::theme::Role;
use crate::tui::action::Action;
use crate::tui::contract::{Reaction, Request, Screen, ScreenContext, ScreenId, Subject};
use crate::tui::widget::{form, text};

/// What can be said at the prompt, with what it does.
const COMMANDS: &[(&str, Action)] = &[
    ("fleet", Action::Fleet),
    ("volumes", Action::Volumes),
    ("snapshots", Action::Snapshots),
    ("jobs", Action::Jobs),
    ("metrics", Action::MetricsScreen),
    ("retention", Action::Retention),
    ("refresh", Action::Refresh),
    ("help", Action::Help),
    ("q", Action::Interrupt),
    ("quit", Action::Interrupt),
];

/// The prompt.
#[derive(Debug, Default)]
pub struct Prompt {
    input: Input,
    error: Option<String>,
}

impl Prompt {
    fn matches(&self) -> Vec<(&'static str, Action)> {
        let typed = self.input.value().trim();
        if let Some(exact) = COMMANDS.iter().find(|(name, _)| *name == typed) {
            return vec![*exact];
        }
        COMMANDS
            .iter()
            .filter(|(name, _)| name.starts_with(typed))
            .copied()
            .collect()
    }

    fn run(&mut self) -> Vec<Request> {
        let matches = self.matches();
        let action = match matches.as_slice() {
            [] => {
                self.error = Some(format!("there is no `{}`", self.input.value().trim()));
                return Vec::new();
            }
            _ if self.input.value().trim().is_empty() => return vec![Request::Close],
            [(_, action)] => *action,
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
                self.error = Some(format!("which one: {}?", names.join(", ")));
                return Vec::new();
            }
        };
        let request = match action {
            Action::Fleet => Request::Go(ScreenId::Fleet, Subject::Anything),
            Action::Volumes => Request::Go(ScreenId::Volumes, Subject::Anything),
            Action::Snapshots => Request::Go(ScreenId::Snapshots, Subject::Anything),
            Action::Jobs => Request::Go(ScreenId::Jobs, Subject::Anything),
            Action::MetricsScreen => Request::Go(ScreenId::Metrics, Subject::Anything),
            Action::Retention => Request::Go(ScreenId::Retention, Subject::Anything),
            Action::Refresh => Request::Refresh,
            Action::Help => Request::Help,
            _ => Request::Leave,
        };
        let mut requests = vec![Request::Close];
        if action == Action::Refresh {
            requests.push(Request::RenewCredentials);
        }
        requests.push(request);
        requests
    }
}

impl Screen for Prompt {
    fn title(&self, _cx: &ScreenContext<'_>) -> String {
        "Command".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "Goes to a screen, or leaves freezeframe, by name: type the first letters, Enter."
    }

    fn handles(&self, action: Action, _cx: &ScreenContext<'_>) -> bool {
        matches!(action, Action::Open | Action::Back | Action::NextField)
    }

    fn act(&mut self, action: Action, _cx: &ScreenContext<'_>) -> Reaction {
        match action {
            Action::Open => Reaction::Done(self.run()),
            Action::Back => Reaction::ask(Request::Close),
            Action::NextField => {
                if let Some((name, _)) = self.matches().first() {
                    self.input = Input::new((*name).to_owned());
                }
                Reaction::done()
            }
            _ => Reaction::Ignored,
        }
    }

    fn typing(&self) -> bool {
        true
    }

    fn type_key(&mut self, key: KeyEvent, _cx: &ScreenContext<'_>) -> Vec<Request> {
        self.error = None;
        form::type_into(&mut self.input, key);
        Vec::new()
    }

    fn paste(&mut self, pasted: &str, _cx: &ScreenContext<'_>) {
        form::paste_into(&mut self.input, pasted);
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let at = Rect {
            y: area.bottom().saturating_sub(1),
            height: area.height.min(1),
            ..area
        };
        frame.render_widget(Clear, at);
        frame.render_widget(Line::styled(":", cx.styles.get(Role::Key)), at);
        let field = Rect {
            x: at.x + 1.min(at.width),
            width: at.width.saturating_sub(1).min(24),
            ..at
        };
        form::view_input(frame, field, &self.input, true, cx.styles);
        let rest = Rect {
            x: field.right(),
            width: at.right().saturating_sub(field.right()),
            ..at
        };
        let (words, role) = match &self.error {
            Some(error) => (error.clone(), Role::Error),
            None => {
                let names: Vec<&str> = self.matches().iter().map(|(name, _)| *name).collect();
                (names.join(" "), Role::Muted)
            }
        };
        let words = text::fit(&words, usize::from(rest.width));
        frame.render_widget(Line::styled(words, cx.styles.get(role)), rest);
    }

    fn is_dialog(&self) -> bool {
        true
    }
}

//! Which key means what. One list: what is bound here and handled by the screen is shown, and
//! nothing else works.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::Action;

/// A key as bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

impl Key {
    /// The key of an event. Shift is dropped where the character already tells.
    pub fn of(event: KeyEvent) -> Self {
        let mut modifiers = event.modifiers;
        if matches!(event.code, KeyCode::Char(_) | KeyCode::BackTab) {
            modifiers.remove(KeyModifiers::SHIFT);
        }
        Self {
            code: event.code,
            modifiers,
        }
    }

    /// Whether pressing it in a text field writes a character.
    pub fn is_text(self) -> bool {
        matches!(self.code, KeyCode::Char(_)) && self.modifiers.is_empty()
    }

    /// An event that presses it.
    pub fn event(self) -> KeyEvent {
        KeyEvent::new(self.code, self.modifiers)
    }

    /// As shown in the footer and the help.
    pub fn label(self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "space".to_owned(),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::Enter => "Enter".to_owned(),
            KeyCode::Esc => "Esc".to_owned(),
            KeyCode::Tab => "Tab".to_owned(),
            KeyCode::BackTab => "shift-Tab".to_owned(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "←".to_owned(),
            KeyCode::Right => "→".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::Home => "Home".to_owned(),
            KeyCode::End => "End".to_owned(),
            KeyCode::F(n) => format!("F{n}"),
            other => format!("{other:?}"),
        };
        if self.modifiers.contains(KeyModifiers::CONTROL) {
            format!("ctrl-{name}")
        } else {
            name
        }
    }
}

const fn ch(c: char) -> Key {
    Key {
        code: KeyCode::Char(c),
        modifiers: KeyModifiers::NONE,
    }
}

const fn ctrl(c: char) -> Key {
    Key {
        code: KeyCode::Char(c),
        modifiers: KeyModifiers::CONTROL,
    }
}

const fn named(code: KeyCode) -> Key {
    Key {
        code,
        modifiers: KeyModifiers::NONE,
    }
}

/// Keys of one action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Any of these.
    pub keys: &'static [Key],
    /// What they mean where the action is handled.
    pub action: Action,
}

const fn bind(action: Action, keys: &'static [Key]) -> Binding {
    Binding { keys, action }
}

/// Every binding, in the order in which the footer offers them. Each key stands here once: it means one thing, on
/// every screen, in every menu and dialog (a test holds this). `ctrl-d` stays unbound: other consoles delete with it.
pub const BINDINGS: &[Binding] = &[
    bind(Action::Open, &[named(KeyCode::Enter)]),
    bind(Action::Menu, &[ch('a')]),
    bind(Action::Snapshot, &[ch('s')]),
    bind(Action::Plan, &[ch('p')]),
    bind(Action::Run, &[ch('R')]),
    bind(Action::Edit, &[ch('e')]),
    bind(Action::CancelJob, &[ch('x')]),
    bind(Action::CancelAll, &[ch('X')]),
    bind(Action::ThawAgain, &[ch('t')]),
    bind(Action::NextField, &[named(KeyCode::Tab)]),
    bind(Action::Choose, &[ch(' ')]),
    bind(Action::Filter, &[ch('/')]),
    bind(Action::Describe, &[ch('d')]),
    bind(Action::Sort, &[ch('O')]),
    bind(Action::Restore, &[ch('r')]),
    bind(Action::Metrics, &[ch('m')]),
    bind(Action::ShowVolumes, &[ch('V')]),
    bind(Action::ShowSnapshots, &[ch('S')]),
    bind(Action::Evidence, &[ch('E')]),
    bind(Action::ShowSet, &[ch('o')]),
    bind(Action::Shorter, &[ch('-')]),
    bind(Action::Longer, &[ch('+')]),
    bind(Action::Range, &[ch('v')]),
    bind(Action::Unmark, &[ch('u')]),
    bind(Action::CopyId, &[ch('y')]),
    bind(Action::CopyArn, &[ch('Y')]),
    bind(Action::Refresh, &[ctrl('r')]),
    bind(Action::Back, &[named(KeyCode::Esc)]),
    bind(Action::Leave, &[ch('q')]),
    bind(Action::Prompt, &[ch(':')]),
    bind(Action::PreviousField, &[named(KeyCode::BackTab)]),
    bind(Action::Down, &[ch('j'), named(KeyCode::Down)]),
    bind(Action::Up, &[ch('k'), named(KeyCode::Up)]),
    bind(Action::Left, &[named(KeyCode::Left), ch('h')]),
    bind(Action::Right, &[named(KeyCode::Right), ch('l')]),
    bind(Action::Top, &[ch('g'), named(KeyCode::Home)]),
    bind(Action::Bottom, &[ch('G'), named(KeyCode::End)]),
    bind(Action::PageDown, &[ctrl('f'), named(KeyCode::PageDown)]),
    bind(Action::PageUp, &[ctrl('b'), named(KeyCode::PageUp)]),
    bind(Action::Fleet, &[ch('1')]),
    bind(Action::Volumes, &[ch('2')]),
    bind(Action::Snapshots, &[ch('3')]),
    bind(Action::Jobs, &[ch('4')]),
    bind(Action::MetricsScreen, &[ch('5')]),
    bind(Action::Retention, &[ch('7')]),
    bind(Action::Interrupt, &[ctrl('c')]),
    // `?` is a character in a text field.
    bind(Action::Help, &[ch('?'), named(KeyCode::F(1))]),
];

/// The key that is shown for an action, in menus and tabs too.
pub fn key_of(action: Action) -> Option<Key> {
    let binding = BINDINGS.iter().find(|binding| binding.action == action);
    binding.and_then(|binding| binding.keys.first().copied())
}

/// The meaning of a key where `handled` says what is handled. In a text field (`typing`) keys that
/// write a character mean nothing here.
pub fn lookup(key: Key, typing: bool, handled: impl Fn(Action) -> bool) -> Option<Action> {
    if typing && key.is_text() {
        return None;
    }
    BINDINGS
        .iter()
        .filter(|binding| binding.keys.contains(&key))
        .map(|binding| binding.action)
        .find(|action| handled(*action))
}

/// The bindings that work where `handled` says what is handled, with only the keys that work.
pub fn shown(typing: bool, handled: impl Fn(Action) -> bool) -> Vec<(Vec<Key>, Action)> {
    BINDINGS
        .iter()
        .filter(|binding| handled(binding.action))
        .filter_map(|binding| {
            let keys: Vec<Key> = binding
                .keys
                .iter()
                .copied()
                .filter(|key| lookup(*key, typing, &handled) == Some(binding.action))
                .collect();
            (!keys.is_empty()).then_some((keys, binding.action))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn every_key_means_one_thing_and_every_action_has_one_place() {
        let mut keys = HashSet::new();
        let mut actions = HashSet::new();
        for binding in BINDINGS {
            assert!(actions.insert(binding.action), "{} twice", binding.action);
            for key in binding.keys {
                assert!(
                    keys.insert(key.label()),
                    "{} means {} and something else",
                    key.label(),
                    binding.action
                );
            }
        }
        for action in Action::iter() {
            assert!(key_of(action).is_some(), "no key means {action}");
        }
        assert!(!keys.contains("ctrl-d"));
    }
}

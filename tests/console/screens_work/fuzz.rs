//! Whatever a terminal sends, on whatever screen, ends in no panic: keys, pastes, sizes, time that goes on, answers that
//! come when nobody waits for them, and what only the event loop sees (the mouse, focus, resizes).

use chrono::TimeDelta;
use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyEventState, KeyModifiers, MouseButton, MouseEvent,
    MouseEventKind,
};
use freezeframe::tui::app::Input;
use freezeframe::tui::event_loop::{Signal, run_with};
use freezeframe::tui::message::Part;
use freezeframe::tui::style::Depth;
use futures::{StreamExt as _, stream};
use proptest::prelude::*;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

use crate::screens_work::every_state;
use crate::support::{Hands, instances, problem, volumes};

/// What happens to a console.
#[derive(Debug, Clone)]
enum Happening {
    Key(KeyEvent),
    Paste(String),
    Redraw,
    /// So many seconds pass.
    Time(i64),
    /// The fleet is read again, or cannot be.
    Read(bool),
    /// It is drawn at that size.
    Draw(u16, u16),
}

fn code() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        // What the screens listen to, mostly.
        12 => "[a-zA-Z0-9 /:?.-]".prop_map(|c| KeyCode::Char(c.chars().next().unwrap_or(' '))),
        1 => any::<char>().prop_map(KeyCode::Char),
        2 => (0_u8..30).prop_map(KeyCode::F),
        12 => prop::sample::select(vec![
            KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::BackTab, KeyCode::Backspace, KeyCode::Delete,
            KeyCode::Insert, KeyCode::Left, KeyCode::Right, KeyCode::Up, KeyCode::Down, KeyCode::Home, KeyCode::End,
            KeyCode::PageUp, KeyCode::PageDown, KeyCode::Null, KeyCode::CapsLock, KeyCode::Menu, KeyCode::KeypadBegin,
        ]),
    ]
}

fn key() -> impl Strategy<Value = KeyEvent> {
    let modifiers = prop_oneof![
        6 => Just(KeyModifiers::NONE),
        2 => Just(KeyModifiers::CONTROL),
        1 => Just(KeyModifiers::SHIFT),
        1 => any::<u8>().prop_map(KeyModifiers::from_bits_truncate),
    ];
    let kind = prop_oneof![
        8 => Just(KeyEventKind::Press),
        1 => Just(KeyEventKind::Repeat),
        1 => Just(KeyEventKind::Release),
    ];
    (code(), modifiers, kind, any::<u8>()).prop_map(|(code, modifiers, kind, state)| KeyEvent {
        code,
        modifiers,
        kind,
        state: KeyEventState::from_bits_truncate(state),
    })
}

/// Text with whatever may stand in it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z0-9=!<>:*/~., -]{0,40}",
        2 => any::<String>(),
        1 => "[\\x00-\\x1f\\x7f-\\x9f\u{202e}\u{200b}\u{1f9ca}漢]{0,20}",
        1 => Just("x".repeat(70_000)),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let time = prop_oneof![
        4 => 0_i64..200,
        1 => -100_000_i64..100_000_000,
    ];
    let size = prop_oneof![
        3 => (1_u16..200, 1_u16..60),
        1 => (1_u16..5, 1_u16..5),
        1 => Just((500_u16, 2_u16)),
    ];
    prop_oneof![
        20 => key().prop_map(Happening::Key),
        2 => text().prop_map(Happening::Paste),
        1 => Just(Happening::Redraw),
        2 => time.prop_map(Happening::Time),
        1 => any::<bool>().prop_map(Happening::Read),
        4 => size.prop_map(|(w, h)| Happening::Draw(w, h)),
    ]
}

fn befall(hands: &mut Hands, happening: Happening) {
    match happening {
        Happening::Key(key) => drop(hands.input(Input::Key(key))),
        Happening::Paste(text) => drop(hands.input(Input::Paste(text))),
        Happening::Redraw => drop(hands.input(Input::Redraw)),
        Happening::Time(seconds) => {
            hands.now += TimeDelta::seconds(seconds);
            hands.input(Input::Tick);
        }
        Happening::Read(true) => {
            hands.part(Part::Instances(Ok(instances()
                .into_iter()
                .skip(1)
                .collect())));
            hands.part(Part::Volumes(Ok(volumes())));
        }
        Happening::Read(false) => hands.part(Part::Snapshots(Err(problem()))),
        Happening::Draw(width, height) => drop(hands.buffer(width, height)),
    }
}

/// Where it begins: the states of the screens that work, and those of the lists, the dialogs, the help, the prompts.
fn state(n: usize) -> (&'static str, Hands) {
    let mut states = every_state();
    let keys = [
        "1", "2", "3", "3d", "1d", "1/db", "1 jv j", "1a", "1as", "1as?", ":", ":res", "?", "3a",
        "5", "6",
    ];
    states.extend(keys.into_iter().map(|keys| {
        let mut hands = Hands::loaded();
        hands.press(keys);
        (keys, hands)
    }));
    states.push(("nothing yet", Hands::new(Depth::None)));
    let n = n % states.len();
    states.swap_remove(n)
}

fn mouse() -> impl Strategy<Value = Event> {
    let kind = prop::sample::select(vec![
        MouseEventKind::Down(MouseButton::Left),
        MouseEventKind::Up(MouseButton::Right),
        MouseEventKind::Drag(MouseButton::Middle),
        MouseEventKind::Moved,
        MouseEventKind::ScrollDown,
        MouseEventKind::ScrollUp,
        MouseEventKind::ScrollLeft,
    ]);
    (kind, any::<u16>(), any::<u16>(), any::<u8>()).prop_map(|(kind, column, row, modifiers)| {
        Event::Mouse(MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::from_bits_truncate(modifiers),
        })
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => key().prop_map(Event::Key),
        2 => mouse(),
        1 => text().prop_map(Event::Paste),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(w, h)| Event::Resize(w, h)),
        1 => Just(Event::FocusGained),
        1 => Just(Event::FocusLost),
    ]
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 128,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn p31_no_input_of_a_terminal_ends_in_a_panic(
        n in 0_usize..1_000,
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        let (_, mut hands) = state(n);
        for one in happenings {
            befall(&mut hands, one);
        }
        hands.buffer(80, 24);
    }

    #[test]
    fn p31_no_event_of_the_loop_ends_in_a_panic(
        n in 0_usize..1_000,
        events in prop::collection::vec(event(), 1..40),
    ) {
        let (_, mut hands) = state(n);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.map_err(|e| TestCaseError::fail(e.to_string()))?;
        let left = runtime.block_on(looped(&mut hands, events));
        prop_assert!(left.is_ok(), "{left:?}");
    }
}

/// The events through the loop, and then the terminal is gone.
async fn looped(hands: &mut Hands, events: Vec<Event>) -> std::io::Result<()> {
    let viewport = Viewport::Fixed(Rect::new(0, 0, 80, 24));
    let backend = CrosstermBackend::new(std::io::sink());
    let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport })?;
    let (effects, mut asked) = tokio::sync::mpsc::channel(64);
    let drain = tokio::spawn(async move { while asked.recv().await.is_some() {} });
    let (_messages, mut inbox) = tokio::sync::mpsc::channel(1);
    let now = hands.now;
    let events = stream::iter(events.into_iter().map(Ok));
    let signals = stream::pending::<Signal>().boxed();
    let left = run_with(
        &mut terminal,
        &mut hands.app,
        events,
        signals,
        effects,
        &mut inbox,
        move || now,
    )
    .await;
    drain.abort();
    left.map(drop)
}

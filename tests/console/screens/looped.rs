//! The event loop: keys and messages in, effects out, frames drawn only when something changed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "hands of tests")]

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use freezeframe::config::theme::Theme;
use freezeframe::domain::job::Phase;
use freezeframe::tui::app::App;
use freezeframe::tui::effect::Effect;
use freezeframe::tui::event_loop::{Outcome, Signal, run_with};
use freezeframe::tui::message::{Message, Part};
use freezeframe::tui::style::{Depth, Styles};
use futures::{Stream, StreamExt, stream};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use tokio::sync::mpsc;

use super::support::{RUN, identity, instances, job, noon};

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    fn terminal(&self) -> Terminal<CrosstermBackend<Self>> {
        let viewport = Viewport::Fixed(Rect::new(0, 0, 80, 24));
        Terminal::with_options(
            CrosstermBackend::new(self.clone()),
            TerminalOptions { viewport },
        )
        .unwrap()
    }
}

fn app() -> App {
    App::new(
        Styles::new(Theme::builtin("freezeframe").unwrap(), Depth::None),
        || RUN.to_owned(),
    )
}

fn key(c: char, modifiers: KeyModifiers) -> std::io::Result<Event> {
    Ok(Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers)))
}

/// Waits until the terminal was sent that text; gives up after a minute of the paused clock.
async fn wait_for(screen: &Screen, text: &str) {
    for _ in 0..6_000 {
        if screen.text().contains(text) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never saw {text:?} in {:?}", screen.text());
}

/// A source of keys that stays open.
fn open<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> + Unpin {
    stream::unfold(receiver, |mut r| async move {
        r.recv().await.map(|item| (item, r))
    })
    .chain(stream::pending())
    .boxed()
}

#[tokio::test(start_paused = true)]
async fn asks_first_draws_what_comes_and_leaves() {
    let screen = Screen::default();
    let (effects, mut asked) = mpsc::channel(8);
    let (say, mut messages) = mpsc::channel(8);
    let (press, keys) = mpsc::channel(8);
    let mut app = app();
    let mut terminal = screen.terminal();
    let console = run_with(
        &mut terminal,
        &mut app,
        open(keys),
        stream::pending(),
        effects,
        &mut messages,
        noon,
    );
    let person = async {
        let Some(Effect::LoadFleet(generation)) = asked.recv().await else {
            panic!("fleet first")
        };
        assert!(matches!(asked.recv().await, Some(Effect::LoadJobs(_))));
        let part = Part::Identity(Ok(identity()));
        say.send(Message::Fleet { generation, part }).await.unwrap();
        let part = Part::Instances(Ok(instances()));
        say.send(Message::Fleet { generation, part }).await.unwrap();
        press.send(key('/', KeyModifiers::NONE)).await.unwrap();
        for c in "db-primary".chars() {
            press.send(key(c, KeyModifiers::NONE)).await.unwrap();
        }
        press
            .send(Ok(Event::Key(KeyEvent::new(
                KeyCode::Enter,
                KeyModifiers::NONE,
            ))))
            .await
            .unwrap();
        press.send(key('y', KeyModifiers::NONE)).await.unwrap();
        wait_for(&screen, "\u{1b}]52;c;").await;
        press.send(key('c', KeyModifiers::CONTROL)).await.unwrap();
        assert_eq!(
            asked.recv().await,
            Some(Effect::Quit),
            "copying is not the executor's affair"
        );
    };
    let (outcome, ()) = tokio::join!(console, person);
    assert_eq!(outcome.unwrap(), Outcome::Quit);
    assert!(screen.text().contains("db-primary"));
}

#[tokio::test(start_paused = true)]
async fn signals_and_a_lost_terminal_end_it_in_their_own_ways() {
    for (signal, outcome) in [
        (Signal::Terminate, Outcome::Terminated),
        (Signal::HangUp, Outcome::Detached),
        (Signal::Interrupt, Outcome::Quit),
    ] {
        let screen = Screen::default();
        let (effects, _asked) = mpsc::channel(8);
        let (_say, mut messages) = mpsc::channel(8);
        let signals = stream::iter([signal]).chain(stream::pending());
        let ended = run_with(
            &mut screen.terminal(),
            &mut app(),
            stream::pending(),
            signals,
            effects,
            &mut messages,
            noon,
        )
        .await;
        assert_eq!(ended.unwrap(), outcome);
    }
    let (effects, _asked) = mpsc::channel(8);
    let (_say, mut messages) = mpsc::channel(8);
    let gone = stream::iter([Err(std::io::Error::other("EIO"))]);
    let screen = Screen::default();
    let ended = run_with(
        &mut screen.terminal(),
        &mut app(),
        gone,
        stream::pending(),
        effects,
        &mut messages,
        noon,
    )
    .await;
    assert_eq!(ended.unwrap(), Outcome::Detached);
}

#[tokio::test(start_paused = true)]
async fn cancelling_reaches_an_executor_that_was_slow() {
    let screen = Screen::default();
    // Room for one effect only: the first question fills it.
    let (effects, mut asked) = mpsc::channel(1);
    let (say, mut messages) = mpsc::channel(8);
    let (press, keys) = mpsc::channel(8);
    let mut app = app();
    let mut terminal = screen.terminal();
    let console = run_with(
        &mut terminal,
        &mut app,
        open(keys),
        stream::pending(),
        effects,
        &mut messages,
        noon,
    );
    let person = async {
        say.send(Message::Job(Box::new(job(Phase::Frozen))))
            .await
            .unwrap();
        // Only the cells that changed are written: the number of running jobs.
        wait_for(&screen, "(1)").await;
        press.send(key('c', KeyModifiers::CONTROL)).await.unwrap();
        press.send(key('c', KeyModifiers::CONTROL)).await.unwrap();
        let mut seen = Vec::new();
        while let Some(effect) = asked.recv().await {
            let last = effect == Effect::Quit;
            seen.push(effect);
            if last {
                break;
            }
        }
        seen
    };
    let (outcome, seen) = tokio::join!(console, person);
    assert_eq!(outcome.unwrap(), Outcome::Quit);
    assert!(
        matches!(
            seen[..],
            [
                Effect::LoadFleet(_),
                Effect::LoadJobs(_),
                Effect::StopAll { .. },
                Effect::Quit
            ]
        ),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_picture_stands_still_when_nothing_moves() {
    let screen = Screen::default();
    let (effects, mut asked) = mpsc::channel(8);
    let (say, mut messages) = mpsc::channel(8);
    let (press, keys) = mpsc::channel(8);
    let mut app = app();
    let mut terminal = screen.terminal();
    let calls = Arc::new(Mutex::new(0_u32));
    let clock = {
        let calls = calls.clone();
        move || {
            *calls.lock().unwrap() += 1;
            noon() + TimeDelta::zero()
        }
    };
    let console = run_with(
        &mut terminal,
        &mut app,
        open(keys),
        stream::pending(),
        effects,
        &mut messages,
        clock,
    );
    let person = async {
        asked.recv().await.unwrap();
        asked.recv().await.unwrap();
        say.send(Message::Job(Box::new(job(Phase::Done))))
            .await
            .unwrap();
        while !matches!(asked.recv().await, Some(Effect::LoadJobs(_))) {}
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let before = (screen.text().len(), *calls.lock().unwrap());
        // An hour of the paused clock: an idle console wakes up for nothing.
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        assert_eq!((screen.text().len(), *calls.lock().unwrap()), before);
        press.send(key('c', KeyModifiers::CONTROL)).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(console, person);
    assert_eq!(outcome.unwrap(), Outcome::Quit);
}

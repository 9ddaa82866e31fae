//! Keys, signals and messages in; effects and frames out. Nothing else in the console knows of time
//! passing or of the terminal.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use crossterm::clipboard::CopyToClipboard;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyModifiers};
use crossterm::execute;
use futures::{Stream, StreamExt, stream};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::process::Signal as Number;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::app::view::draw;
use super::app::{App, Input};
use super::effect::Effect;
use super::hangup::hang_up;
use super::message::Message;
use super::terminal;

/// Least time between two frames.
const FRAME: Duration = Duration::from_millis(10);
/// Most inputs taken in before a frame is drawn again.
const BATCH: usize = 256;
/// How long leaving waits for the last effects (cancelling above all) to be taken.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How the console was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The person left; nothing runs, or what ran is being stopped (`Effect::StopAll` was sent), or AWS only copies.
    Quit,
    /// The screen is gone or was left, running jobs are to finish: the terminal hung up, or the
    /// person chose so.
    Detached,
    /// `SIGTERM`: thaw and end.
    Terminated,
}

/// A signal that concerns the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`.
    Terminate,
    /// `SIGHUP`, or the terminal is gone.
    HangUp,
    /// `SIGINT` from elsewhere (in raw mode the key arrives as a key).
    Interrupt,
    /// `SIGTSTP`.
    Stop,
    /// `SIGCONT`.
    Continue,
}

/// Runs the console on the real terminal until it is left.
///
/// # Errors
/// Signals cannot be handled, the terminal cannot be watched, or it cannot be drawn on.
pub async fn run<W: Write>(
    terminal: &mut Terminal<CrosstermBackend<W>>,
    app: &mut App,
    effects: mpsc::Sender<Effect>,
    messages: &mut mpsc::Receiver<Message>,
    clock: impl Fn() -> DateTime<Utc>,
) -> io::Result<Outcome> {
    run_with(
        terminal,
        app,
        EventStream::new(),
        signals()?,
        effects,
        messages,
        clock,
    )
    .await
}

fn signals() -> io::Result<impl Stream<Item = Signal> + Unpin> {
    let one = |number: Number, meaning: Signal| -> io::Result<_> {
        let mut source = signal(SignalKind::from_raw(number.as_raw()))?;
        Ok(stream::poll_fn(move |cx| source.poll_recv(cx))
            .map(move |()| meaning)
            .boxed())
    };
    Ok(stream::select_all([
        one(Number::TERM, Signal::Terminate)?,
        one(Number::HUP, Signal::HangUp)?,
        one(Number::INT, Signal::Interrupt)?,
        one(Number::TSTP, Signal::Stop)?,
        one(Number::CONT, Signal::Continue)?,
        stream::once(hang_up()?).map(|()| Signal::HangUp).boxed(),
    ]))
}

/// The loop itself, with keys and signals from anywhere.
///
/// # Errors
/// The terminal cannot be drawn on.
pub async fn run_with<W: Write>(
    terminal: &mut Terminal<CrosstermBackend<W>>,
    app: &mut App,
    mut keys: impl Stream<Item = io::Result<Event>> + Unpin,
    mut signals: impl Stream<Item = Signal> + Unpin,
    effects: mpsc::Sender<Effect>,
    messages: &mut mpsc::Receiver<Message>,
    clock: impl Fn() -> DateTime<Utc>,
) -> io::Result<Outcome> {
    let mut pending: VecDeque<Effect> = app.start().into();
    let mut last_frame: Option<Instant> = None;
    let mut answering = true;
    let mut wants_frame = false;
    loop {
        if let Some(outcome) = send(terminal, &mut pending, &effects).await? {
            return Ok(outcome);
        }
        wants_frame |= app.take_dirty();
        let next_frame = last_frame
            .map(|at| at + FRAME)
            .filter(|at| *at > Instant::now());
        if wants_frame && next_frame.is_none() {
            let drawn = terminal.draw(|frame| draw(frame, app, clock())).map(drop);
            match drawn {
                // It was there: it has gone, and jobs go on as after a hang-up.
                Err(error) if last_frame.is_some() => {
                    tracing::warn!(%error, "the terminal is gone");
                    return Ok(Outcome::Detached);
                }
                other => other?,
            }
            last_frame = Some(Instant::now());
            wants_frame = false;
        }
        let tick = app.next_tick(clock());
        let input = tokio::select! {
            biased;
            Some(signal) = signals.next() => match signal {
                Signal::Terminate => return Ok(Outcome::Terminated),
                Signal::HangUp => return Ok(Outcome::Detached),
                Signal::Interrupt => {
                    Some(Input::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)))
                }
                // A hang-up brings SIGCONT along: what cannot be drawn on any more is gone, not broken.
                Signal::Stop => match again(terminal, terminal::stop_and_continue) {
                    Ok(input) => Some(input),
                    Err(_) => return Ok(Outcome::Detached),
                },
                Signal::Continue => match again(terminal, terminal::enter) {
                    Ok(input) => Some(input),
                    Err(_) => return Ok(Outcome::Detached),
                },
            },
            event = keys.next() => match event {
                Some(Ok(event)) => from_terminal(event),
                // The terminal is gone: the same as hanging up.
                Some(Err(_)) | None => return Ok(Outcome::Detached),
            },
            message = messages.recv(), if answering => {
                answering = message.is_some();
                message.map(|message| Input::Message(Box::new(message)))
            }
            permit = effects.reserve(), if !pending.is_empty() => {
                if let (Ok(permit), Some(effect)) = (permit, pending.pop_front()) {
                    permit.send(effect);
                }
                None
            }
            () = wait_until(next_frame), if wants_frame => None,
            () = sleep(tick.unwrap_or_default()), if !wants_frame && tick.is_some() => Some(Input::Tick),
        };
        let Some(input) = input else { continue };
        pending.extend(app.update(input, clock()));
        // What has arrived meanwhile belongs to the same frame. Leaving is looked at first.
        for _ in 0..BATCH {
            if pending
                .iter()
                .any(|effect| matches!(effect, Effect::Quit | Effect::Detach))
            {
                break;
            }
            // Keys are not taken here: looking at crossterm's stream without waiting would leave it with
            // a waker that wakes nobody, and the next key would lie there until something else happened.
            let Ok(message) = messages.try_recv() else {
                break;
            };
            pending.extend(app.update(Input::Message(Box::new(message)), clock()));
        }
    }
}

/// Takes the terminal again and has everything drawn anew.
fn again<W: Write>(
    terminal: &mut Terminal<CrosstermBackend<W>>,
    take: impl FnOnce() -> io::Result<()>,
) -> io::Result<Input> {
    take()?;
    terminal.clear()?;
    Ok(Input::Redraw)
}

async fn wait_until(at: Option<Instant>) {
    if let Some(at) = at {
        sleep_until(at).await;
    }
}

fn from_terminal(event: Event) -> Option<Input> {
    match event {
        Event::Key(key) => Some(Input::Key(key)),
        Event::Paste(text) => Some(Input::Paste(text)),
        Event::Resize(_, _) => Some(Input::Redraw),
        Event::FocusGained | Event::FocusLost | Event::Mouse(_) => None,
    }
}

/// Hands effects on as far as the queue takes them, never waiting while the console stays. Copying is
/// the terminal's own affair and happens here.
async fn send<W: Write>(
    terminal: &mut Terminal<CrosstermBackend<W>>,
    pending: &mut VecDeque<Effect>,
    effects: &mpsc::Sender<Effect>,
) -> io::Result<Option<Outcome>> {
    let leaving = pending.iter().find_map(|effect| match effect {
        Effect::Quit => Some(Outcome::Quit),
        Effect::Detach => Some(Outcome::Detached),
        _ => None,
    });
    if let Some(outcome) = leaving {
        // Nobody may be listening any more, or be stuck: leaving does not depend on it.
        let all = async {
            for effect in pending.drain(..) {
                if effects.send(effect).await.is_err() {
                    break;
                }
            }
        };
        let _ = timeout(LAST_WORDS, all).await;
        return Ok(Some(outcome));
    }
    while let Some(effect) = pending.pop_front() {
        if let Effect::Copy(text) = effect {
            execute!(
                terminal.backend_mut(),
                CopyToClipboard::to_clipboard_from(text)
            )?;
            continue;
        }
        match effects.try_send(effect) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(effect)) => {
                pending.push_front(effect);
                break;
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }
    Ok(None)
}

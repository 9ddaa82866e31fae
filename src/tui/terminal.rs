//! The terminal taken and given back, exactly once each, whatever happens in between.

use std::io::{self, Stdout, Write, stdin, stdout};
use std::os::fd::{AsFd as _, IntoRawFd as _};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Whether the terminal is ours now. Process-wide, because the panic hook needs it too.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal that the console draws on.
pub type Tui = Terminal<CrosstermBackend<Stdout>>;

/// Gives the terminal back when dropped.
#[derive(Debug)]
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

/// Takes the terminal: raw mode, alternate screen, bracketed paste; the mouse stays the terminal's
/// own. A panic gives it back before its message is printed.
///
/// # Errors
/// Standard output is no terminal, or went away.
pub fn take() -> io::Result<(Tui, Guard)> {
    HOOK.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            earlier(info);
        }));
    });
    let guard = Guard(());
    enter()?;
    let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
    Ok((terminal, guard))
}

/// Takes the terminal again, after having been stopped.
///
/// # Errors
/// The terminal went away.
pub fn enter() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(
        stdout(),
        EnterAlternateScreen,
        EnableBracketedPaste,
        cursor::Hide
    )
}

/// Gives the terminal back if it is ours. Errors are of no use here: the terminal may be gone.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(
            stdout(),
            DisableBracketedPaste,
            LeaveAlternateScreen,
            cursor::Show
        );
        let _ = disable_raw_mode();
        let _ = stdout().flush();
    }
}

/// Returns when the terminal on standard input has hung up. `SIGHUP` need not come (a session of its own, `nohup`)
/// or come first, and crossterm reads a terminal that is gone for ever: from then on standard input is an empty pipe,
/// which ends that, too. To be run in a task of its own: whoever reads keys may be in that loop already.
///
/// # Errors
/// Standard input cannot be watched, or not be exchanged.
pub async fn hung_up() -> io::Result<()> {
    let watched = stdin().as_fd().try_clone_to_owned()?;
    #[expect(
        deprecated,
        reason = "the descriptor is owned, and stays what it is as long as it is watched; the newer function is unsafe"
    )]
    let watched = AsyncFd::with_interest(watched, Interest::READABLE.add(Interest::ERROR))?;
    loop {
        let mut guard = watched
            .ready(Interest::READABLE.add(Interest::ERROR))
            .await?;
        let ready = guard.ready();
        if ready.is_read_closed() || ready.is_error() {
            break;
        }
        guard.clear_ready();
    }
    let (empty, end) = io::pipe()?;
    rustix::io::ioctl_fionbio(&empty, true)?;
    rustix::stdio::dup2_stdin(&empty)?;
    // Left open: a pipe that has ended is read for ever as well.
    let _ = end.into_raw_fd();
    Ok(())
}

/// Gives the terminal back, stops this process as the shell's job control expects, and takes the
/// terminal again once continued.
///
/// # Errors
/// The terminal went away meanwhile.
pub fn stop_and_continue() -> io::Result<()> {
    restore();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
    enter()
}

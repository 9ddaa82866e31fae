//! Signals of a run without a screen. A terminal that hangs up is no reason to stop; `SIGTERM` is, and
//! so is `ctrl-c`: at once where nobody looks on, the second time where somebody does.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::output;
use crate::domain::problem::{Kind, Problem};

/// A second `ctrl-c` within this time means it.
const AGAIN: Duration = Duration::from_secs(2);

fn listen(kind: SignalKind) -> Result<Signal, Problem> {
    signal(kind).map_err(|e| {
        Problem::new(
            Kind::Local,
            "listen for signals",
            e.to_string(),
            "check the limits of this process; without it a job could not be stopped safely",
        )
    })
}

/// From now on a hang-up (a dropped SSH session) does not end this process: what it has begun goes on, and its
/// results are in the journal.
///
/// # Errors
/// Signals cannot be handled.
pub(super) fn survive_hangup() -> Result<(), Problem> {
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("the terminal hung up; going on without it");
        }
    });
    Ok(())
}

/// Cancels `stop` when the person or the system wants this process to end, and says so. Goes on
/// answering signals afterwards, because a thaw that is under way is not to be cut short.
///
/// # Errors
/// Signals cannot be handled.
pub(super) fn stop_on_signals(
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, Problem> {
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let watched = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    Ok(tokio::spawn(async move {
        let mut asked: Option<Instant> = None;
        loop {
            let meant = tokio::select! {
                Some(()) = interrupt.recv() => {
                    !watched || asked.is_some_and(|at| at.elapsed() <= AGAIN)
                }
                Some(()) = terminate.recv() => true,
                else => return,
            };
            if stop.is_cancelled() {
                output::note("still thawing; it ends by itself");
            } else if meant {
                output::note("stopping: thawing every instance first");
                stop.cancel();
            } else {
                asked = Some(Instant::now());
                output::note(
                    "jobs are under way; ctrl-c again within 2 s thaws and stops them all",
                );
            }
        }
    }))
}

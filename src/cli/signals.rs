//! Signals of a run without a screen. A terminal that hangs up is no reason to stop; `SIGTERM` is, and
//! so is `ctrl-c`: at once where nobody looks on, the second time where somebody does.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// What is said when a signal comes, by what is under way.
pub(super) trait Words: Send + 'static {
    /// What a first signal says: which jobs stop, and what that means.
    fn stopping(&self) -> &'static str;
    /// What a repeated signal says: the stop is under way.
    fn still(&self) -> &'static str;
    /// The first `ctrl-c` of a person who looks on; `None`: it stops at once, nothing is lost by it.
    fn asking(&self) -> Option<&'static str>;
}

/// The words of a run: whether something may be frozen is told by whoever follows its jobs.
pub(super) struct OfJobs(pub(super) Arc<AtomicBool>);

impl OfJobs {
    /// Nobody follows the jobs: something may be frozen.
    pub(super) fn unseen() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    fn may_be_frozen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Words for OfJobs {
    fn stopping(&self) -> &'static str {
        if self.may_be_frozen() {
            "stopping: thawing every instance first"
        } else {
            "stopping: nothing is frozen; snapshots that were begun stay, and AWS finishes the copy"
        }
    }

    fn still(&self) -> &'static str {
        if self.may_be_frozen() {
            "still thawing; it ends by itself"
        } else {
            "still stopping; it ends by itself"
        }
    }

    fn asking(&self) -> Option<&'static str> {
        Some(if self.may_be_frozen() {
            "jobs are under way; ctrl-c again within 2 s thaws and stops them all"
        } else {
            "jobs are under way, nothing is frozen; ctrl-c again within 2 s stops them all"
        })
    }
}

/// The words of something that ends at its next safe point.
pub(super) struct AtSafePoint {
    /// Said when it stops.
    pub(super) stopping: &'static str,
    /// Said to a person who pressed `ctrl-c` once.
    pub(super) asking: &'static str,
}

impl Words for AtSafePoint {
    fn stopping(&self) -> &'static str {
        self.stopping
    }

    fn still(&self) -> &'static str {
        "still at what was begun; it ends by itself after it"
    }

    fn asking(&self) -> Option<&'static str> {
        Some(self.asking)
    }
}

/// The words of something that stops at the first signal.
pub(super) struct AtOnce {
    /// Said when it stops.
    pub(super) stopping: &'static str,
}

impl Words for AtOnce {
    fn stopping(&self) -> &'static str {
        self.stopping
    }

    fn still(&self) -> &'static str {
        "still at the calls under way; it ends by itself after them"
    }

    fn asking(&self) -> Option<&'static str> {
        None
    }
}

/// Cancels `stop` when the person or the system wants this process to end, and says so in these words. Goes
/// on answering signals afterwards, because a thaw that is under way is not to be cut short.
///
/// # Errors
/// Signals cannot be handled.
pub(super) fn stop_on_signals(
    stop: CancellationToken,
    words: impl Words,
) -> Result<tokio::task::JoinHandle<()>, Problem> {
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let watched = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    Ok(tokio::spawn(async move {
        let mut asked: Option<Instant> = None;
        loop {
            let meant = tokio::select! {
                Some(()) = interrupt.recv() => {
                    !watched
                        || words.asking().is_none()
                        || asked.is_some_and(|at| at.elapsed() <= AGAIN)
                }
                Some(()) = terminate.recv() => true,
                else => return,
            };
            if stop.is_cancelled() {
                output::note(words.still());
            } else if meant {
                output::note(words.stopping());
                stop.cancel();
            } else {
                asked = Some(Instant::now());
                output::note(words.asking().unwrap_or_default());
            }
        }
    }))
}

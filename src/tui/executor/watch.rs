//! What an open console does about jobs that it does not drive: it resumes those whose process has gone, and
//! shows what other processes write about theirs. Both read the journal only, unless something is left to do.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{HISTORY, Tokens};
use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Phase};
use crate::domain::problem::Problem;
use crate::jobs::journal::Seen;
use crate::ops::Ops;
use crate::ops::recover::{self, Open};
use crate::tui::message::Message;

/// Pause between two looks for what other processes have written.
const NEWS: Duration = Duration::from_secs(1);
/// Pause between two looks whether the process behind an open job still lives: it may hold a freeze.
const BESIDE: Duration = Duration::from_secs(3);
/// Pause before what could not be settled yet is asked about again, and before a journal that failed is.
const AGAIN: Duration = Duration::from_secs(20);
/// Pause between two looks while nothing is open.
const IDLE: Duration = Duration::from_secs(30);
/// Pause before what a job still owes after its end is tried again; doubles.
const PENDING: Duration = Duration::from_secs(60);
const PENDING_LONGEST: Duration = Duration::from_secs(30 * 60);

/// Resumes, thaw first, whatever nobody drives, until the console closes. Closing what one round resumed may take
/// minutes; what is left meanwhile is another's, so that no thaw waits for it. The journal hands each job to one of
/// them, and keeps it from the others while it is held.
pub(super) async fn resume(
    ops: Ops,
    messages: mpsc::Sender<Message>,
    own: Tokens,
    wake: Arc<Notify>,
    closing: CancellationToken,
) {
    let mut rounds = Rounds::default();
    let mut under_way = FuturesUnordered::new();
    let mut left = BTreeSet::new();
    loop {
        let pause = match recover::open(&ops) {
            Ok(open) => {
                tell_left(&open, &mut left, &messages).await;
                let (begins, pause) = rounds.look(&ops, &open, &own, under_way.is_empty());
                under_way.extend(begins.map(|first| round(&ops, &messages, first)));
                pause
            }
            Err(problem) => {
                rounds.tell(problem, &messages).await;
                AGAIN
            }
        };
        tokio::select! {
            biased;
            () = messages.closed() => break,
            () = closing.cancelled() => break,
            Some(ended) = under_way.next() => rounds.over(ended, &messages).await,
            () = wake.notified() => {}
            () = sleep(pause) => {}
        }
    }
    // What was resumed is brought to its end all the same.
    while under_way.next().await.is_some() {}
}

/// Tells which open jobs nobody drives, when that has changed.
async fn tell_left(open: &Open, told: &mut BTreeSet<JobId>, messages: &mpsc::Sender<Message>) {
    let left = open.gone.iter().filter(|view| view.phase != Phase::Done);
    let left: BTreeSet<JobId> = left.map(|view| view.spec.job.clone()).collect();
    if *told != left {
        told.clone_from(&left);
        let _ = messages.send(Message::Abandoned(left)).await;
    }
}

/// Takes up whatever nobody drives now. A start asks also for what may be left where nobody can look.
async fn round(ops: &Ops, messages: &mpsc::Sender<Message>, starts: bool) -> Result<(), Problem> {
    if starts {
        settle(ops, messages).await?;
    } else {
        let gone = async |updates| recover::settle_gone(ops, &updates).await;
        telling(messages, gone).await?;
    }
    Ok(())
}

/// What is left now is settled as at a start, once; its views are told.
///
/// # Errors
/// As [`recover::settle`].
pub(super) async fn settle(
    ops: &Ops,
    messages: &mpsc::Sender<Message>,
) -> Result<Vec<JobView>, Problem> {
    telling(messages, async |updates| {
        recover::settle(ops, &updates).await
    })
    .await
}

/// Does something whose views are told as they come.
pub(super) async fn telling<T>(
    messages: &mpsc::Sender<Message>,
    work: impl AsyncFnOnce(mpsc::Sender<JobView>) -> T,
) -> T {
    let (updates, inbox) = mpsc::channel(16);
    tokio::join!(work(updates), forward(inbox, messages.clone())).0
}

/// Tells views of jobs that this console settles.
async fn forward(mut inbox: mpsc::Receiver<JobView>, messages: mpsc::Sender<Message>) {
    while let Some(view) = inbox.recv().await {
        // The console may be gone; what was begun is done all the same.
        let _ = messages.send(Message::Settling(Box::new(view))).await;
    }
}

/// When what is tried again.
#[derive(Default)]
struct Rounds {
    /// There was a first round: the start.
    started: bool,
    /// Open jobs that were left at some round, and have been tried.
    tried: HashSet<JobId>,
    /// When those that are not over are tried again.
    again: Option<Instant>,
    /// When those that owe something are, and the pause before that.
    pending: Option<(Instant, Duration)>,
    /// The last try failed; a look that tries nothing does not make that good.
    failed: bool,
    /// What went wrong, and has been told.
    told: Option<Problem>,
}

impl Rounds {
    /// One look: whether a round begins, and whether that is the first; and the pause before the next look. `idle`:
    /// none is under way.
    fn look(
        &mut self,
        ops: &Ops,
        open: &Open,
        own: &Tokens,
        idle: bool,
    ) -> (Option<bool>, Duration) {
        // While a round is under way it has what is left.
        self.failed &= !idle || !open.gone.is_empty();
        self.told.take_if(|_| !self.failed);
        if ops.session.read_only() {
            return (None, IDLE);
        }
        let starts = !std::mem::replace(&mut self.started, true);
        let begins = self.is_due(open) || starts;
        let beside = open.alive.iter().any(|view| !own.has(&view.spec.job));
        let pause = if beside {
            BESIDE
        } else if open.gone.iter().any(|view| view.phase != Phase::Done) {
            AGAIN
        } else {
            IDLE
        };
        (begins.then_some(starts), pause)
    }

    /// Whether any of what is left is to be tried now; then it counts as tried. What is new is tried at once. What
    /// another process had at hand in between is not new.
    fn is_due(&mut self, open: &Open) -> bool {
        let now = Instant::now();
        let passed = |at: Instant| now >= at;
        let left = &open.gone;
        let new = left.iter().any(|view| !self.tried.contains(&view.spec.job));
        let all = || left.iter().chain(&open.alive).chain(&open.elsewhere);
        let jobs: HashSet<&JobId> = all().map(|view| &view.spec.job).collect();
        self.tried.retain(|job| jobs.contains(job));
        self.tried
            .extend(left.iter().map(|view| view.spec.job.clone()));
        let over = left.iter().any(|view| view.phase == Phase::Done);
        let open = left.iter().any(|view| view.phase != Phase::Done);
        let is_pending = over && self.pending.is_none_or(|(at, _)| passed(at));
        let due = new || is_pending || (open && self.again.is_none_or(passed));
        if !all().any(|view| view.phase == Phase::Done && self.tried.contains(&view.spec.job)) {
            self.pending = None;
        } else if due && over {
            let pause = self.pending.map_or(PENDING, |(_, pause)| pause * 2);
            self.pending = Some((now, pause.min(PENDING_LONGEST)));
        }
        if due {
            self.pauses();
        }
        due
    }

    /// From now on the pauses count.
    fn pauses(&mut self) {
        let now = Instant::now();
        self.again = Some(now + AGAIN);
        self.pending = self.pending.map(|(_, pause)| (now + pause, pause));
    }

    /// A round is over. What it left, or owes since, is not tried before its pause.
    async fn over(&mut self, ended: Result<(), Problem>, messages: &mpsc::Sender<Message>) {
        self.pending.get_or_insert((Instant::now(), PENDING));
        self.pauses();
        self.failed = ended.is_err();
        if let Err(problem) = ended {
            self.tell(problem, messages).await;
        }
    }

    /// Reports a problem of the watch once, however long it lasts.
    async fn tell(&mut self, problem: Problem, messages: &mpsc::Sender<Message>) {
        if self.told.as_ref() != Some(&problem) {
            self.told = Some(problem.clone());
            let _ = messages.send(Message::Notice(problem)).await;
        }
    }
}

/// Tells what other processes write about jobs, until the console closes. `seen` is what the journal had before
/// the console read its jobs first.
pub(super) async fn news(
    ops: Ops,
    messages: mpsc::Sender<Message>,
    own: Tokens,
    wake: Arc<Notify>,
    mut seen: Seen,
) {
    let mut failed = false;
    loop {
        tokio::select! {
            biased;
            () = messages.closed() => return,
            () = sleep(NEWS) => {}
        }
        let mut news = match ops.journal.news(ops.scope(), HISTORY, &mut seen) {
            Ok(news) => news,
            // Resuming meets the same, and tells it.
            Err(problem) => {
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(%problem, "what others write about their jobs cannot be read");
                }
                continue;
            }
        };
        failed = false;
        // Own jobs tell of themselves, and sooner.
        news.retain(|view| !own.has(&view.spec.job));
        if news.iter().any(|view| view.phase != Phase::Done) {
            wake.notify_one();
        }
        if !news.is_empty() && messages.send(Message::Others(news)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::view;

    fn left(views: Vec<JobView>) -> Open {
        Open {
            gone: views,
            ..Open::default()
        }
    }

    /// The seconds at which what is left is tried, of two hours of looks.
    fn tried(open: impl Fn(u64) -> Open, step: u64) -> Vec<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut rounds = Rounds::default();
            let mut tried = Vec::new();
            for at in (0..3_600 * 2).step_by(usize::try_from(step).unwrap()) {
                if rounds.is_due(&open(at)) {
                    tried.push(at);
                }
                sleep(Duration::from_secs(step)).await;
            }
            tried
        })
    }

    #[test]
    fn what_is_new_is_tried_at_once_and_what_is_owed_at_growing_pauses() {
        assert!(tried(|_| Open::default(), 3).is_empty());
        let open = tried(
            |at| left(vec![view("a", Phase::Frozen); usize::from(at < 60)]),
            10,
        );
        assert_eq!(open, [0, 20, 40]);
        let pending = tried(|_| left(vec![view("a", Phase::Done)]), 30);
        assert_eq!(pending, [0, 60, 180, 420, 900, 1_860, 3_660, 5_460]);
        // Another that is left is thawed at once, however long the pause is.
        let another = |at| {
            let mut views = vec![view("a", Phase::Done)];
            views.extend(
                (1_000..1_030)
                    .contains(&at)
                    .then(|| view("b", Phase::Frozen)),
            );
            left(views)
        };
        assert!(tried(another, 10).contains(&1_000));
    }

    /// Two consoles with one journal: what the other has at hand for a while, and lets go, is not new.
    #[test]
    fn what_another_console_had_in_between_is_tried_no_sooner_for_it() {
        let in_turn = |phase| {
            move |at: u64| {
                let views = vec![view("a", phase)];
                if at % 12 < 8 {
                    left(views)
                } else {
                    Open {
                        alive: views,
                        ..Open::default()
                    }
                }
            }
        };
        let pauses = |tried: &[u64]| -> Vec<u64> {
            tried.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        let open = tried(in_turn(Phase::Frozen), 4);
        assert!(open.len() > 100);
        assert!(pauses(&open).iter().all(|pause| *pause >= 20), "{open:?}");
        let pending = pauses(&tried(in_turn(Phase::Done), 4));
        assert_eq!(pending, [60, 120, 240, 480, 960, 1_800, 1_800]);
        // Nor is what a round of its own had, which may last longer than every pause.
        let held = |at: u64| match at % 120 {
            3..93 => Open {
                alive: vec![view("a", Phase::Frozen)],
                ..Open::default()
            },
            _ => left(vec![view("a", Phase::Frozen)]),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut rounds = Rounds::default();
            assert!(rounds.is_due(&held(0)));
            for at in (3..93).step_by(3) {
                sleep(Duration::from_secs(3)).await;
                assert!(!rounds.is_due(&held(at)));
            }
            let (says, _messages) = mpsc::channel(1);
            rounds.over(Ok(()), &says).await;
            assert!(!rounds.is_due(&held(93)));
            sleep(AGAIN).await;
            assert!(rounds.is_due(&held(113)));
            // It ended, and owes its labels.
            rounds.over(Ok(()), &says).await;
            let with_pending = left(vec![view("a", Phase::Done)]);
            assert!(!rounds.is_due(&with_pending));
            sleep(PENDING).await;
            assert!(rounds.is_due(&with_pending));
        });
        // When it was over in between it is new.
        let anew = |at| match at {
            0..30 | 36.. => left(vec![view("a", Phase::Frozen)]),
            _ => Open::default(),
        };
        assert_eq!(tried(anew, 6)[..4], [0, 24, 36, 60]);
    }
}

//! Where a job waits for its own side's turn: what it waits for, for whoever looks on, and time limits that
//! do not count it. Never used while anything is frozen.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::aws::pace::{Pace, Token};
use crate::domain::pace::Bucket;

/// What a job waits for now, in words; `None` while it waits for nobody. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Waits(watch::Sender<Option<String>>);

impl Default for Waits {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Waits {
    /// Waits, and says so meanwhile.
    pub(in crate::ops) async fn during<T>(
        &self,
        words: impl Into<String>,
        wait: impl Future<Output = T>,
    ) -> T {
        self.0.send_replace(Some(words.into()));
        let _over = Over(&self.0);
        wait.await
    }

    /// Takes a token, and waits until it may be used.
    pub(in crate::ops) async fn token(&self, pace: &Pace, bucket: Bucket) -> Token {
        let (token, wait) = pace.promise(bucket);
        self.turn(bucket, wait).await;
        token
    }

    /// Takes these tokens, and waits until all may be used.
    pub(in crate::ops) async fn tokens(
        &self,
        pace: &Pace,
        wanted: impl IntoIterator<Item = Bucket>,
    ) -> Vec<Token> {
        let promised = wanted.into_iter().map(|bucket| pace.promise(bucket));
        let (tokens, times): (Vec<Token>, Vec<Duration>) = promised.unzip();
        let slowest = tokens.iter().zip(times).max_by_key(|(_, wait)| *wait);
        if let Some((token, wait)) = slowest {
            self.turn(token.bucket(), wait).await;
        }
        tokens
    }

    async fn turn(&self, bucket: Bucket, wait: Duration) {
        if !wait.is_zero() {
            let words = format!("waits for its turn at AWS ({bucket})");
            self.during(words, tokio::time::sleep(wait)).await;
        }
    }

    /// For who wants to hear of it.
    pub(in crate::ops) fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.0.subscribe()
    }

    /// What it waits for now.
    pub(in crate::ops) fn now(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Returns after that time, not counting the time in which the job waits.
    pub(in crate::ops) async fn sleep_besides(&self, time: Duration) {
        let mut told = self.0.subscribe();
        let mut left = time;
        loop {
            let waiting = told.borrow_and_update().is_some();
            let begun = Instant::now();
            tokio::select! {
                biased;
                // The sender is ours: it cannot be gone.
                _ = told.changed() => {}
                () = tokio::time::sleep(left), if !waiting => return,
            }
            if !waiting {
                left = left.saturating_sub(begun.elapsed());
            }
        }
    }
}

struct Over<'a>(&'a watch::Sender<Option<String>>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

/// Tokens that a job has set aside before its freeze. What it does not use flows back when it is over.
#[derive(Debug, Clone, Default)]
pub(in crate::ops) struct Reserve(Arc<Mutex<Vec<Token>>>);

impl Reserve {
    pub(in crate::ops) fn keep(&self, tokens: Vec<Token>) {
        let mut kept = self.0.lock();
        kept.extend(tokens);
    }

    /// Which of these are not kept yet.
    pub(in crate::ops) fn lacks(&self, wanted: &[Bucket]) -> Vec<Bucket> {
        let kept = self.0.lock();
        let mut there: Vec<Bucket> = kept.iter().map(Token::bucket).collect();
        let mut lacking = wanted.to_vec();
        lacking.retain(
            |bucket| match there.iter().position(|kept| kept == bucket) {
                Some(at) => {
                    there.swap_remove(at);
                    false
                }
                None => true,
            },
        );
        lacking
    }

    /// A token of that bucket, if one is kept.
    pub(in crate::ops) fn take(&self, bucket: Bucket) -> Option<Token> {
        let mut kept = self.0.lock();
        let at = kept.iter().position(|token| token.bucket() == bucket)?;
        Some(kept.swap_remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_time_limit_stands_still_while_the_job_waits() {
        let waits = Waits::default();
        let begun = Instant::now();
        let limit = {
            let waits = waits.clone();
            tokio::spawn(async move { waits.sleep_besides(Duration::from_secs(10)).await })
        };
        tokio::time::sleep(Duration::from_secs(4)).await;
        let nap = tokio::time::sleep(Duration::from_secs(100));
        assert_eq!(waits.now(), None);
        waits.during("waits for somebody", nap).await;
        assert_eq!(waits.now(), None);
        assert!(!limit.is_finished());
        limit.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 110);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_stops_waiting_leaves_the_queue() {
        let waits = Waits::default();
        let told = waits.subscribe();
        let never = waits.during("waits for ever", std::future::pending::<()>());
        let gone = tokio::time::timeout(Duration::from_secs(1), never).await;
        assert!(gone.is_err());
        assert!(told.has_changed().unwrap());
        assert_eq!(waits.now(), None);
        let pace = Pace::default();
        let reserve = Reserve::default();
        let wanted = [Bucket::SendCommand, Bucket::CreateSnapshots];
        reserve.keep(waits.tokens(&pace, wanted).await);
        assert!(reserve.take(Bucket::SendCommand).is_some());
        assert!(reserve.take(Bucket::SendCommand).is_none());
        let twice = [
            Bucket::CreateSnapshots,
            Bucket::SendCommand,
            Bucket::CreateSnapshots,
        ];
        assert_eq!(reserve.lacks(&twice), twice[1..]);
        assert!(reserve.take(Bucket::CreateSnapshots).is_some());
    }
}

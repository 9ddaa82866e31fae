//! What EC2 has said that this session may do, so that a run of many instances does not ask for each what it has asked
//! for one of their kind: a dry run counts against EC2's limits like the call itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::MutexGuard;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::domain::problem::{Kind, Problem};

/// So long an answer is believed.
const BELIEVED: Duration = Duration::from_secs(300);

/// The kinds of calls that EC2 would have made, and since when. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Allowed(Arc<parking_lot::Mutex<Kinds>>);

/// Each kind with a lock of its own: who asks for one holds up nobody who asks for another.
type Kinds = BTreeMap<String, Arc<Mutex<Option<Instant>>>>;

impl Allowed {
    /// Asks, unless EC2 has said yes to one of this kind lately. Of several that want to know at once one asks. A no is
    /// of the one that asked: another may be answered otherwise.
    pub(super) async fn or_ask(
        &self,
        kind: &str,
        ask: impl Future<Output = Result<(), Problem>>,
    ) -> Result<(), Problem> {
        let said = Arc::clone(self.kinds().entry(kind.to_owned()).or_default());
        let mut said = said.lock().await;
        let now = Instant::now();
        if said.is_some_and(|at| now.duration_since(at) < BELIEVED) {
            return Ok(());
        }
        ask.await?;
        *said = Some(Instant::now());
        Ok(())
    }

    /// A call was refused after all: what was believed is asked for again.
    pub(super) fn learn<T>(&self, result: &Result<T, Problem>) {
        let refused = |problem: &Problem| matches!(problem.kind, Kind::Denied | Kind::Credentials);
        if result.as_ref().is_err_and(refused) {
            self.kinds().clear();
        }
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_kind_is_asked_for_once_and_a_refusal_makes_it_asked_for_again() {
        let allowed = Allowed::default();
        let asked = std::cell::Cell::new(0);
        let no = || Problem::new(Kind::Denied, "ask", "no", "allow it");
        let ask = |answer: Result<(), Problem>| {
            let asked = &asked;
            async move {
                asked.set(asked.get() + 1);
                answer
            }
        };
        assert!(allowed.or_ask("a", ask(Err(no()))).await.is_err());
        assert!(allowed.or_ask("a", ask(Ok(()))).await.is_ok());
        assert!(allowed.or_ask("a", ask(Err(no()))).await.is_ok());
        assert_eq!(asked.get(), 2);
        assert!(allowed.or_ask("b", ask(Err(no()))).await.is_err());
        tokio::time::advance(BELIEVED).await;
        assert!(allowed.or_ask("a", ask(Ok(()))).await.is_ok());
        assert_eq!(asked.get(), 4);
        allowed.learn::<()>(&Err(no()));
        assert!(allowed.or_ask("a", ask(Err(no()))).await.is_err());
    }
}

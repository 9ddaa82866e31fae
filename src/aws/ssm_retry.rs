//! Questions to Systems Manager, which publishes no rates: each attempt takes a token of its own, and being
//! told to slow down slows down everyone on the session. The SDK's own retries would do neither.

use std::time::Duration;

use super::session::Session;
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};

/// Attempts at one question.
const ATTEMPTS: u32 = 6;
/// Pause before the second attempt, doubling. The bucket's own waiting comes on top.
const PAUSE: Duration = Duration::from_millis(500);

impl Session {
    /// Asks something that changes nothing, again where the answer was lost or AWS was too busy for one.
    ///
    /// # Errors
    /// The last attempt's.
    pub(super) async fn ask<T, F>(
        &self,
        bucket: Bucket,
        question: impl Fn() -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let mut attempt = 0;
        loop {
            self.pace.take(bucket).await;
            let answer = self.pace.learn(bucket, question().await);
            match answer {
                Err(problem) if attempt + 1 < ATTEMPTS && may_pass(&problem) => {
                    tracing::debug!(%problem, %bucket, "asking again");
                }
                answer => return answer,
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
            attempt += 1;
        }
    }
}

/// What another attempt may cure: throttling, a failure on AWS's side, an answer that was lost.
fn may_pass(problem: &Problem) -> bool {
    problem.may_have_happened || matches!(problem.kind, Kind::Throttled | Kind::Network)
}

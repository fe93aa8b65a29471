//! Waiting for a condition, and for nothing else: a test that sleeps in place of one is either slow or wrong.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Asks `probe` again and again until it answers `Ok`; after `timeout` fails with its last error, and with `what` was waited for.
/// The probe is asked at least once and again after the time is up, so a slow machine does not make a true condition fail.
pub async fn eventually<T, Fut>(what: &str, timeout: Duration, mut probe: impl FnMut() -> Fut) -> Result<T>
where
    Fut: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + timeout;
    let mut pause = FIRST_PAUSE;
    loop {
        let late = Instant::now() >= deadline;
        match probe().await {
            Ok(value) => return Ok(value),
            Err(last) if late => return Err(anyhow!("after {timeout:?} still no {what}: {last:#}")),
            Err(_) => sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// `Ok` when the condition holds; made for the end of a probe.
pub fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    condition.then_some(()).ok_or_else(|| anyhow!(otherwise()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_error_is_told() {
        let mut asked = 0;
        let outcome = eventually("third answer", Duration::from_millis(50), || {
            asked += 1;
            async move { holds(false, || format!("answer {asked}")) }
        });
        let error = outcome.await.unwrap_err().to_string();
        assert!(error.starts_with("after 50ms still no third answer: answer "), "{error}");
    }

    #[tokio::test]
    async fn a_condition_that_comes_true_ends_the_wait() {
        let mut asked = 0;
        let answer = eventually("third answer", Duration::from_secs(60), || {
            asked += 1;
            async move { if asked < 3 { Err(anyhow!("not yet")) } else { Ok(asked) } }
        });
        assert_eq!(answer.await.unwrap(), 3);
    }
}

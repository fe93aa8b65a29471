//! How long a watch waits before it tries again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);

/// Less than the usual half minute: an API server that is back is caught up with in seconds, and there are only ten
/// watches in a mesh.
const LONGEST: Duration = Duration::from_secs(3);

/// Doubles with each failure in a row.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    /// Whether there was a good event since the last failure. One alone means nothing: each new try is announced by
    /// one, before the server is asked.
    is_announced: bool,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST, is_announced: false }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.next;
        *self = Self { next: (now * 2).min(LONGEST), is_announced: false };
        Some(now)
    }
}

impl kube_runtime::utils::Backoff for Backoff {
    fn reset(&mut self) {
        if std::mem::replace(&mut self.is_announced, true) {
            self.next = FIRST;
        }
    }
}

#[cfg(test)]
mod tests {
    use kube_runtime::utils::Backoff as _;

    use super::*;

    #[test]
    fn a_lost_api_server_is_asked_for_every_few_seconds_for_ever() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(), Some(FIRST));
        assert_eq!(backoff.nth(100), Some(LONGEST));
        backoff.reset();
        backoff.reset();
        assert_eq!(backoff.next(), Some(FIRST));
    }

    #[test]
    fn the_announcement_of_a_try_is_no_success() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next();
            backoff.reset();
        }
        assert_eq!(backoff.next(), Some(LONGEST));
    }
}

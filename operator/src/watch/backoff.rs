//! How long a watch waits before it tries again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);

/// Less than the usual half minute: an API server that is back is caught up with in seconds, and there are only ten
/// watches in a mesh.
const LONGEST: Duration = Duration::from_secs(3);

/// Doubles with each failure in a row.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.0;
        self.0 = (now * 2).min(LONGEST);
        Some(now)
    }
}

impl kube_runtime::utils::Backoff for Backoff {
    fn reset(&mut self) {
        *self = Self::default();
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
        assert_eq!(backoff.next(), Some(FIRST));
    }
}

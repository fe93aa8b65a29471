//! What the webhook counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the webhook has done since it started.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) admissions: AtomicU64,
    pub(super) injected: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) converted: AtomicU64,
    pub(super) validated: AtomicU64,
    pub(super) invalid: AtomicU64,
}

impl Counters {
    /// Name, meaning and value of each.
    pub fn read(&self) -> [(&'static str, &'static str, u64); 7] {
        [
            ("admissions", "Pods that were judged.", self.admissions.load(Relaxed)),
            ("injected", "Pods that were patched.", self.injected.load(Relaxed)),
            ("refused", "Pods that were refused, for what they are.", self.refused.load(Relaxed)),
            ("failed", "Requests that could not be judged.", self.failed.load(Relaxed)),
            ("converted", "Objects that were converted into another version.", self.converted.load(Relaxed)),
            ("validated", "Objects that were judged before they were stored.", self.validated.load(Relaxed)),
            ("invalid", "Objects that were refused, because they could never work.", self.invalid.load(Relaxed)),
        ]
    }

    pub(super) fn count(counter: &AtomicU64) {
        Self::add(counter, 1);
    }

    pub(super) fn add(counter: &AtomicU64, number: usize) {
        counter.fetch_add(number as u64, Relaxed);
    }
}

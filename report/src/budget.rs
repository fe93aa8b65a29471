//! How often statuses may be written: a few times a second per object, and so many a second for all of them.
//!
//! The budget holds no status, only who waits: the writer writes what is so at the moment when it may. So whatever
//! happens in between, the last state is always written, and what has become nothing costs nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use smidge_compiler::ObjectRef;

use crate::Difference;

/// How urgent a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Counts or messages alone have changed.
    Counts,
    /// A condition says something else now.
    Verdict,
}

impl Urgency {
    /// The urgency of a difference; `None`: there is nothing to write.
    pub fn of(difference: Difference) -> Option<Self> {
        match difference {
            Difference::Nothing => None,
            Difference::Counts => Some(Self::Counts),
            Difference::Verdict => Some(Self::Verdict),
        }
    }
}

/// The limits of a [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The least time between two writes of one object.
    pub spacing: Duration,
    /// The least time between a write of an object and one that changes its counts alone.
    pub counts_spacing: Duration,
    /// The least time between two writes of any objects, once the burst is used up.
    pub pace: Duration,
    /// How many writes may follow each other at once after a quiet time.
    pub burst: u32,
}

impl Default for Limits {
    /// 2 a second per object, counts every 3 s, 100 a second in all after 200 at once.
    fn default() -> Self {
        Self {
            spacing: Duration::from_millis(500),
            counts_spacing: Duration::from_secs(3),
            pace: Duration::from_millis(10),
            burst: 200,
        }
    }
}

/// Who waits to be written. Times are durations since any fixed moment, and never go back.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    /// When each waiting object may be written, as far as it alone goes.
    waiting: BTreeMap<ObjectRef, Duration>,
    /// The same, the first to come first.
    queue: BTreeSet<(Duration, ObjectRef)>,
    written: BTreeMap<ObjectRef, Duration>,
    /// When the burst will be whole again.
    whole_at: Duration,
}

impl Budget {
    /// A budget that was never used.
    pub fn new(limits: Limits) -> Self {
        let (waiting, queue, written) = Default::default();
        Self { limits, waiting, queue, written, whole_at: Duration::ZERO }
    }

    /// An object has something to be written. Whoever waits already is not put off.
    pub fn want(&mut self, object: &ObjectRef, urgency: Urgency, now: Duration) {
        let spacing = match urgency {
            Urgency::Counts => self.limits.counts_spacing,
            Urgency::Verdict => self.limits.spacing,
        };
        let at = self.written.get(object).map_or(now, |last| now.max(*last + spacing));
        let before = self.waiting.get(object).copied();
        if before.is_none_or(|before| at < before) {
            self.cancel(object);
            self.waiting.insert(object.clone(), at);
            self.queue.insert((at, object.clone()));
        }
    }

    /// There is nothing to write of an object any more.
    pub fn cancel(&mut self, object: &ObjectRef) {
        if let Some(at) = self.waiting.remove(object) {
            self.queue.remove(&(at, object.clone()));
        }
    }

    /// An object is gone.
    pub fn forget(&mut self, object: &ObjectRef) {
        self.cancel(object);
        self.written.remove(object);
    }

    /// Who is to be written now; counts as written. A write that fails is to be wanted again.
    pub fn due(&mut self, now: Duration) -> Vec<ObjectRef> {
        let mut due = Vec::new();
        while self.next_due().is_some_and(|at| at <= now) {
            let Some((_, object)) = self.queue.pop_first() else { break };
            self.waiting.remove(&object);
            self.written.insert(object.clone(), now);
            self.whole_at = self.whole_at.max(now) + self.limits.pace;
            due.push(object);
        }
        due
    }

    /// When [`due`](Self::due) is worth the next call; `None`: nobody waits.
    pub fn next_due(&self) -> Option<Duration> {
        let slack = self.limits.pace * self.limits.burst.saturating_sub(1);
        self.queue.first().map(|(at, _)| (*at).max(self.whole_at.saturating_sub(slack)))
    }
}

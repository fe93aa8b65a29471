//! Counts of how calls ended, kept apart for each state of the policy.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    policy::{Outcome, Policy},
    record::Record,
};

/// After an edit, calls are not counted for this long: some were decided by the old policy.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);
/// What is shown as the present rate is the mean over this long.
const RECENT: Duration = Duration::from_secs(2);

/// App → outcome → calls.
pub(crate) type Counts = BTreeMap<String, BTreeMap<Outcome, u64>>;

/// What was counted while the policy was the same.
#[derive(Debug)]
pub(crate) struct Period {
    pub(crate) policy: Policy,
    pub(crate) counts: Counts,
    /// When counting begins.
    pub(crate) from: Instant,
    /// When it ended.
    pub(crate) to: Instant,
}

/// All that was counted.
#[derive(Debug)]
pub(crate) struct Tally {
    /// The last one is the present.
    periods: Vec<Period>,
    recent: VecDeque<(Instant, String, Outcome)>,
    /// When the first book was sold.
    pub(crate) first_sale: Option<Instant>,
}

impl Tally {
    pub(crate) fn new(policy: Policy, now: Instant) -> Self {
        let first = Period { policy, counts: Counts::new(), from: now, to: now };
        Self { periods: vec![first], recent: VecDeque::new(), first_sale: None }
    }

    /// Takes note of the policy as it stands; a new one begins a new period.
    pub(crate) fn stands(&mut self, policy: Policy, now: Instant) {
        if self.present().policy != policy {
            self.periods.push(Period { policy, counts: Counts::new(), from: now + SETTLE, to: now + SETTLE });
        }
    }

    /// Counts one call of `app`.
    pub(crate) fn add(&mut self, app: &str, record: Record, now: Instant) {
        let outcome = outcome(record);
        if matches!(outcome, Outcome::Served(_)) {
            self.first_sale.get_or_insert(now);
        }
        self.recent.push_back((now, app.to_string(), outcome.clone()));
        if let Some(period) = self.periods.last_mut().filter(|period| period.from <= now) {
            *period.counts.entry(app.to_string()).or_default().entry(outcome).or_default() += 1;
            period.to = now;
        }
    }

    /// The period that counts now.
    pub(crate) fn present(&self) -> &Period {
        // Never empty: `new` makes the first, and none is ever taken away.
        &self.periods[self.periods.len() - 1]
    }

    /// Every state of the policy that there was.
    pub(crate) fn periods(&self) -> &[Period] {
        &self.periods
    }

    /// Calls per second of each app by outcome, over the last moments.
    pub(crate) fn rates(&mut self, now: Instant) -> BTreeMap<String, BTreeMap<Outcome, f64>> {
        while self.recent.front().is_some_and(|(at, ..)| *at + RECENT < now) {
            self.recent.pop_front();
        }
        let mut rates: BTreeMap<String, BTreeMap<Outcome, f64>> = BTreeMap::new();
        for (_, app, outcome) in &self.recent {
            *rates.entry(app.clone()).or_default().entry(outcome.clone()).or_default() += 1.0 / RECENT.as_secs_f64();
        }
        rates
    }
}

fn outcome(record: Record) -> Outcome {
    match record.status {
        200 => Outcome::Served(record.by),
        // An app's own 403 is not the mesh's: no app of this example gives one.
        403 if record.by.is_empty() => Outcome::Denied,
        status => Outcome::Failed(status),
    }
}

//! Does what was counted fit what was expected?
//!
//! Envoy draws a backend for each request by chance, so a share is a binomial sample: it fits unless chance would be
//! as far off less than once in 100,000 demos. What is never or always expected allows no exception.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{policy::Outcome, tally::Period};

/// Chance may fail a good demo this often, for each end of each share.
const CHANCE: f64 = 1e-5;
/// A period shorter than this says nothing about a customer who was not heard of.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// One outcome of one app's calls, as expected and as seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) app: String,
    pub(crate) outcome: Outcome,
    pub(crate) expected: f64,
    pub(crate) seen: u64,
    pub(crate) of: u64,
    pub(crate) fits: bool,
}

/// Judges all apps of one period.
pub(crate) fn judge(period: &Period, apps: &[String]) -> Vec<Finding> {
    let heard_long_enough = period.to - period.from >= LONG_ENOUGH;
    let mut findings = Vec::new();
    for app in apps {
        let empty = BTreeMap::new();
        let seen = period.counts.get(app).unwrap_or(&empty);
        let expected = period.policy.expected(app);
        let of: u64 = seen.values().sum();
        let may_be_silent = !heard_long_enough || !period.policy.is_customer(app);
        for outcome in seen.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
            let (expected, seen) = (*expected.get(outcome).unwrap_or(&0.0), *seen.get(outcome).unwrap_or(&0));
            let fits = if of == 0 { may_be_silent } else { is_plausible(expected, seen, of) };
            findings.push(Finding { app: app.clone(), outcome: outcome.clone(), expected, seen, of, fits });
        }
    }
    findings
}

/// True if `seen` of `of` draws with this probability are no rarer than [`CHANCE`], on the side on which they lie.
fn is_plausible(probability: f64, seen: u64, of: u64) -> bool {
    if probability <= 0.0 || probability >= 1.0 {
        return seen == if probability <= 0.0 { 0 } else { of };
    }
    at_least(probability, seen, of) > CHANCE && at_least(1.0 - probability, of - seen, of) > CHANCE
}

/// The probability of `k` or more of `n`.
fn at_least(probability: f64, k: u64, n: u64) -> f64 {
    let odds = probability / (1.0 - probability);
    let mut term = binomial(probability, k, n);
    let mut sum = 0.0;
    for k in k..=n {
        sum += term;
        term *= odds * (n - k) as f64 / (k + 1) as f64;
    }
    sum
}

/// The probability of exactly `k` of `n`.
fn binomial(probability: f64, k: u64, n: u64) -> f64 {
    // In logarithms: the factors are beyond what a float holds long before their product is.
    let choose: f64 = (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum();
    (choose + k as f64 * probability.ln() + (n - k) as f64 * (1.0 - probability).ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_near_the_weights_fit_and_others_do_not() {
        for (probability, seen, of, fits) in [
            (0.9, 360, 400, true),
            (0.9, 340, 400, true),
            (0.9, 300, 400, false),
            (0.1, 10, 100, true),
            (0.1, 45, 100, false),
            (0.5, 5, 10, true),
        ] {
            assert_eq!(is_plausible(probability, seen, of), fits, "{seen} of {of} at {probability}");
        }
    }

    #[test]
    fn never_and_always_allow_no_exception() {
        assert!(is_plausible(0.0, 0, 500) && !is_plausible(0.0, 1, 500));
        assert!(is_plausible(1.0, 500, 500) && !is_plausible(1.0, 499, 500));
    }

    #[test]
    fn the_probabilities_of_all_counts_add_up_to_one() {
        let sum: f64 = at_least(0.3, 400, 2000) + at_least(0.7, 1601, 2000);
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }
}

//! The status that an object should have, and whether that is worth a write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use smidge_crds::{Proxies, Status};
use smidge_engine::Effect;

use crate::{
    Tally, View,
    judge::{Verdict, accepted, programmed, resolved_refs},
};

/// The status that an object should have now. `observed` is the one that it has: a condition whose status stays keeps
/// the time of its last transition. While the view is partial, what was true of this generation stays as it is, so
/// that a restart of the control plane changes no status.
pub fn desired(effect: &Effect, tally: &Tally, view: View, observed: &Status, now: &Time) -> Status {
    let verdicts = [accepted(&effect.diagnostics), resolved_refs(&effect.diagnostics), programmed(effect, tally, view)];
    let mut proxies = Some(Proxies { total: tally.total, acknowledged: tally.acknowledged, rejected: tally.rejected });
    let conditions = verdicts.into_iter().map(|verdict| {
        let old = observed.conditions.iter().find(|condition| condition.type_ == verdict.type_);
        match old.filter(|old| verdict.status == "Unknown" && old.observed_generation == Some(effect.generation)) {
            Some(old) => {
                proxies = observed.proxies;
                old.clone()
            }
            None => dated(verdict, effect.generation, old, now),
        }
    });
    let conditions = conditions.collect();
    Status { conditions, proxies }
}

fn dated(verdict: Verdict, generation: i64, old: Option<&Condition>, now: &Time) -> Condition {
    let since = old.filter(|old| old.status == verdict.status).map_or(now, |old| &old.last_transition_time);
    Condition {
        type_: verdict.type_.to_owned(),
        status: verdict.status.to_owned(),
        reason: verdict.reason.to_owned(),
        message: verdict.message,
        observed_generation: Some(generation),
        last_transition_time: since.clone(),
    }
}

/// How two statuses differ. Times do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Not at all.
    Nothing,
    /// In counts and messages alone: worth a write every few seconds at most.
    Counts,
    /// In a condition's status, reason or generation.
    Verdict,
}

/// How the status that an object should have differs from the one that it has.
pub fn difference(observed: &Status, desired: &Status) -> Difference {
    let said = |status: &Status| -> Vec<_> { status.conditions.iter().map(verdict_of).collect() };
    let messages = |status: &Status| -> Vec<_> { status.conditions.iter().map(|c| c.message.clone()).collect() };
    if said(observed) != said(desired) {
        Difference::Verdict
    } else if observed.proxies != desired.proxies || messages(observed) != messages(desired) {
        Difference::Counts
    } else {
        Difference::Nothing
    }
}

/// Whether there is anything to write.
pub fn needs_write(observed: &Status, desired: &Status) -> bool {
    difference(observed, desired) != Difference::Nothing
}

fn verdict_of(condition: &Condition) -> (String, String, String, Option<i64>) {
    let Condition { type_, status, reason, observed_generation, .. } = condition;
    (type_.clone(), status.clone(), reason.clone(), *observed_generation)
}

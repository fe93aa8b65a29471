//! The budget keeps its limits, and the last state is always written.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use smidge_compiler::{Kind, ObjectRef};
use smidge_report::{Budget, Limits, Urgency};

fn object(number: u8) -> ObjectRef {
    ObjectRef::new(Kind::TrafficSplit, "ns", format!("split-{number}"))
}

const LIMITS: Limits = Limits {
    spacing: Duration::from_millis(500),
    counts_spacing: Duration::from_millis(3000),
    pace: Duration::from_millis(100),
    burst: 3,
};

/// Calls `due` whenever it says that it is worth it, until `end`.
fn run(budget: &mut Budget, end: Duration, writes: &mut Vec<(Duration, ObjectRef)>, now: &mut Duration) {
    while let Some(at) = budget.next_due().filter(|at| *at <= end) {
        *now = at.max(*now);
        let due = budget.due(*now);
        assert!(!due.is_empty(), "woken at {now:?} for nothing");
        writes.extend(due.into_iter().map(|object| (*now, object)));
    }
    *now = end;
}

#[test]
fn a_first_write_waits_for_nothing() {
    let mut budget = Budget::new(LIMITS);
    budget.want(&object(1), Urgency::Counts, Duration::from_secs(9));
    assert_eq!(budget.due(Duration::from_secs(9)), [object(1)]);
    assert_eq!(budget.next_due(), None);
}

#[test]
fn a_verdict_does_not_wait_as_long_as_counts_do() {
    let mut budget = Budget::new(LIMITS);
    budget.want(&object(1), Urgency::Verdict, Duration::ZERO);
    budget.due(Duration::ZERO);
    budget.want(&object(1), Urgency::Counts, Duration::ZERO);
    assert_eq!(budget.next_due(), Some(LIMITS.counts_spacing));
    budget.want(&object(1), Urgency::Verdict, Duration::ZERO);
    assert_eq!(budget.next_due(), Some(LIMITS.spacing));
    budget.want(&object(1), Urgency::Counts, Duration::ZERO);
    assert_eq!(budget.next_due(), Some(LIMITS.spacing), "not put off again");
}

#[test]
fn what_has_become_nothing_is_not_written() {
    let mut budget = Budget::new(LIMITS);
    budget.want(&object(1), Urgency::Verdict, Duration::ZERO);
    budget.cancel(&object(1));
    assert_eq!(budget.due(Duration::from_secs(60)), []);
}

proptest! {
    #[test]
    fn the_last_state_is_always_written_and_no_window_holds_more_than_its_share(
        wants in proptest::collection::vec((0..5u8, any::<bool>(), 0..400u64), 0..80),
    ) {
        let (mut budget, mut now, mut writes) = (Budget::new(LIMITS), Duration::ZERO, Vec::new());
        let mut wanted: BTreeMap<ObjectRef, Duration> = BTreeMap::new();
        for (number, is_verdict, wait) in wants {
            let until = now + Duration::from_millis(wait);
            run(&mut budget, until, &mut writes, &mut now);
            let urgency = if is_verdict { Urgency::Verdict } else { Urgency::Counts };
            budget.want(&object(number), urgency, now);
            wanted.insert(object(number), now);
        }
        run(&mut budget, Duration::from_secs(3600), &mut writes, &mut now);
        for (object, at) in wanted {
            let last = writes.iter().rfind(|(_, written)| *written == object).map(|(at, _)| *at);
            prop_assert!(last.is_some_and(|last| last >= at), "{} wanted at {:?}, written at {:?}", object, at, last);
        }
        for (index, (from, object)) in writes.iter().enumerate() {
            for (count, (to, other)) in (2u32..).zip(&writes[index + 1..]) {
                prop_assert!(count <= LIMITS.burst || *to - *from >= LIMITS.pace * (count - LIMITS.burst));
                prop_assert!(object != other || *to - *from >= LIMITS.spacing);
            }
        }
    }
}

//! What a change costs, in counters: what it touches and nothing else.

use smidge_compiler::{Event, Kind};
use smidge_engine::{Counters, Engine};

use crate::world::{event, slots};

fn world() -> Engine {
    let mut engine = Engine::default();
    engine.apply(slots().into_iter().map(|slot| event(slot, Some(0))));
    engine
}

/// What the counters gain by some events, all in one batch.
fn cost(engine: &mut Engine, events: Vec<Event>) -> Counters {
    let before = engine.counters();
    engine.apply(events);
    let after = engine.counters();
    Counters {
        events: after.events - before.events,
        equal_facts: after.equal_facts - before.equal_facts,
        compiled: after.compiled - before.compiled,
        equal_values: after.equal_values - before.equal_values,
        translated: after.translated - before.translated,
        same_versions: after.same_versions - before.same_versions,
        changed_resources: after.changed_resources - before.changed_resources,
        publications: after.publications - before.publications,
        drift: after.drift - before.drift,
    }
}

#[test]
fn an_endpoint_change_recompiles_no_more_than_the_services_that_have_it() {
    let mut engine = world();
    let cost = cost(&mut engine, vec![event((Kind::EndpointSlice, "a", 2), Some(1))]);
    assert!((1..=8).contains(&cost.compiled), "{cost:?}");
    assert!((1..=4).contains(&cost.changed_resources), "{cost:?}");
}

#[test]
fn a_batch_compiles_each_key_once_however_many_events_touch_it() {
    let flapping = |times: u8| -> Vec<Event> {
        (0..times).map(|time| event((Kind::EndpointSlice, "a", 2), Some(1 + time % 2))).collect()
    };
    let (once, often) = (cost(&mut world(), flapping(1)), cost(&mut world(), flapping(99)));
    assert_eq!((once.compiled, often.compiled), (once.compiled, once.compiled));
    assert_eq!(often.publications, 1);
}

#[test]
fn what_comes_and_goes_within_a_batch_is_not_published() {
    let slot = (Kind::EndpointSlice, "a", 2);
    let cost = cost(&mut world(), vec![event(slot, Some(1)), event(slot, Some(0))]);
    assert_eq!((cost.publications, cost.changed_resources), (0, 0));
    assert_eq!(cost.compiled, cost.equal_values, "{cost:?}");
}

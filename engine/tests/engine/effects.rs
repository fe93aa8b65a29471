//! When an object's epoch moves, whom it concerns, and what carries it.

use smidge_compiler::{Event, Kind};
use smidge_engine::{Audience, Engine};
use smidge_xds::{Epoch, TypeUrl};

use crate::world::{Slot, event, object, slots};

const SPLIT: Slot = (Kind::TrafficSplit, "a", 0);
const TARGET: Slot = (Kind::TrafficTarget, "a", 0);
const ROUTES: Slot = (Kind::HttpRouteGroup, "a", 0);
const SLICE: Slot = (Kind::EndpointSlice, "a", 1);
const POD: Slot = (Kind::Pod, "a", 1);

const INGRESS: Slot = (Kind::IngressBackend, "b", 0);
/// Of the Service whose pods [`INGRESS`] lets in, in its form 1.
const GUESTS: Slot = (Kind::EndpointSlice, "b", 2);

/// A world without compound splits: one split, one target with its routes, and all the rest.
fn world() -> Engine {
    let mut engine = Engine::default();
    let is_rival = |slot: &Slot| match slot.0 {
        Kind::TrafficSplit => *slot != SPLIT,
        Kind::TrafficTarget => *slot != TARGET,
        _ => false,
    };
    let mut events: Vec<Event> =
        slots().into_iter().filter(|slot| !is_rival(slot)).map(|slot| event(slot, Some(0))).collect();
    events.push(event(POD, Some(1)));
    engine.apply(events);
    engine
}

fn epoch_of(engine: &Engine, slot: Slot) -> Epoch {
    engine.effect(&object(slot)).expect("it is in the world").epoch
}

/// Whether the object's epoch is the one of the publication that the event causes.
#[track_caller]
fn moves(slot: Slot, happening: Event) -> bool {
    let mut engine = world();
    let before = epoch_of(&engine, slot);
    let step = engine.apply([happening]);
    assert!(!step.update.is_empty(), "nothing was published: the test would say nothing");
    let after = epoch_of(&engine, slot);
    assert!(after == before || after == step.update.epoch);
    after != before
}

#[test]
fn an_epoch_moves_with_the_objects_own_change() {
    assert!(moves(SPLIT, event(SPLIT, Some(1))));
    assert!(moves(TARGET, event(TARGET, Some(1))));
}

#[test]
fn an_epoch_moves_with_what_the_object_refers_to() {
    assert!(moves(TARGET, event(ROUTES, Some(1))));
    assert!(moves(ROUTES, event(ROUTES, Some(1))));
}

#[test]
fn endpoint_churn_moves_no_epoch() {
    assert!(!moves(SPLIT, event(SLICE, Some(1))));
    assert!(!moves(TARGET, event(SLICE, Some(1))));
}

#[test]
fn the_pods_of_a_source_come_and_go_without_moving_an_epoch() {
    let mut engine = world();
    engine.apply([event(INGRESS, Some(1))]);
    let before = epoch_of(&engine, INGRESS);
    let step = engine.apply([event(GUESTS, Some(2))]);
    assert!(!step.update.workloads.is_empty(), "nothing about callers was published: the test would say nothing");
    assert_eq!(epoch_of(&engine, INGRESS), before);
    assert!(moves(INGRESS, event(INGRESS, Some(2))));
}

#[test]
fn a_pod_that_goes_moves_no_epoch() {
    assert!(!moves(SPLIT, event((Kind::Pod, "a", 3), None)));
    assert!(!moves(TARGET, event((Kind::Pod, "a", 3), None)));
}

#[test]
fn a_policy_for_others_moves_no_epoch() {
    assert!(!moves(SPLIT, event(TARGET, Some(1))));
    assert!(!moves(TARGET, event(SPLIT, Some(1))));
}

#[test]
fn a_split_concerns_every_pod_and_a_target_those_of_its_destination() {
    let engine = world();
    assert_eq!(engine.effect(&object(SPLIT)).map(|effect| effect.audience), Some(Audience::Everyone));
    let Some(Audience::Workloads(layers)) = engine.effect(&object(TARGET)).map(|effect| effect.audience) else {
        panic!("a target concerns its destination alone");
    };
    assert_eq!(layers.len(), 1);
}

#[test]
fn an_audience_that_shrinks_with_its_last_pod_is_told() {
    let mut engine = world();
    let step = engine.apply([event(POD, None)]);
    assert!(step.objects.contains(&object(TARGET)));
    assert_eq!(engine.effect(&object(TARGET)).map(|effect| effect.audience), Some(Audience::Workloads([].into())));
}

#[test]
fn a_target_whose_routes_are_missing_concerns_nobody() {
    let mut engine = world();
    engine.apply([event(ROUTES, None)]);
    assert_eq!(engine.effect(&object(TARGET)).map(|effect| effect.audience), Some(Audience::Nobody));
}

#[test]
fn a_split_is_carried_by_the_routes_of_its_root_and_a_target_by_its_layer() {
    let engine = world();
    let carriers = engine.carriers(&object(SPLIT));
    assert!(
        carriers.iter().any(|c| c.workload.is_none() && c.type_url == TypeUrl::Route && c.name.as_str() == "a/s0/80")
    );
    let carriers = engine.carriers(&object(TARGET));
    assert!(!carriers.is_empty() && carriers.iter().all(|c| c.workload.is_some()));
}

#[test]
fn an_object_that_is_gone_is_told_and_has_no_effect() {
    let mut engine = world();
    let step = engine.apply([event(SPLIT, None)]);
    assert!(step.objects.contains(&object(SPLIT)));
    assert_eq!(engine.effect(&object(SPLIT)), None);
}

//! Invariant 6: whatever the order of events, what is served is what a fresh engine makes of the final objects.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::Index};
use smidge_compiler::{Diagnostic, Kind, ObjectRef};
use smidge_engine::{Audience, Engine, Expected};
use smidge_xds::{Epoch, Version};

use crate::world::{FORMS, Listener, Slot, event, served, slots};

type Happening = (Slot, Option<u8>);

fn happenings() -> impl Strategy<Value = Vec<Vec<Happening>>> {
    let form = proptest::option::weighted(0.8, 0..FORMS);
    let happening = (any::<Index>(), form).prop_map(|(index, form)| (*index.get(&slots()), form));
    let batch = proptest::collection::vec(happening, 1..12);
    proptest::collection::vec(batch, 1..24)
}

/// Everything there is, each object in form 0: the world that random events then disturb.
fn whole() -> Vec<Happening> {
    slots().into_iter().map(|slot| (slot, Some(0))).collect()
}

fn apply(engine: &mut Engine, batch: &[Happening]) -> smidge_engine::Step {
    engine.apply(batch.iter().map(|(slot, form)| event(*slot, *form)))
}

/// What is said of each object, what it does, and how many layers it concerns: their ids depend on history.
fn said(engine: &Engine) -> BTreeMap<ObjectRef, (i64, Vec<Diagnostic>, Version, String)> {
    let line = |object: &ObjectRef| {
        let effect = engine.effect(object).expect("it is listed");
        let layers = match effect.audience {
            Audience::Everyone => "everyone".to_owned(),
            Audience::Workloads(workloads) => format!("{} layers", workloads.len()),
            Audience::Nobody => "nobody".to_owned(),
        };
        (object.clone(), (effect.generation, effect.diagnostics.to_vec(), effect.version, layers))
    };
    engine.objects().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_events_give_what_a_fresh_engine_makes_of_the_final_objects(batches in happenings()) {
        let (mut engine, mut listener, mut last) = (Engine::default(), Listener::default(), BTreeMap::new());
        for batch in std::iter::once(whole()).chain(batches) {
            let step = apply(&mut engine, &batch);
            listener.hear(&step.update);
            last.extend(batch);
            prop_assert_eq!(listener.view(), served(&engine), "the updates tell all");
        }
        let mut fresh = Engine::default();
        let finally: Vec<Happening> = last.into_iter().rev().collect();
        apply(&mut fresh, &finally);
        prop_assert_eq!(served(&engine), served(&fresh));
        prop_assert_eq!(said(&engine), said(&fresh));
        prop_assert_eq!(engine.verify().keys, Vec::<String>::new());
        // So many events that they are taken in as a whole.
        let mut whole_again = Engine::default();
        apply(&mut whole_again, &whole());
        apply(&mut whole_again, &finally.repeat(256_usize.div_ceil(finally.len())));
        prop_assert_eq!(served(&whole_again), served(&fresh));
        prop_assert_eq!(said(&whole_again), said(&fresh));
    }

    #[test]
    fn a_full_compile_of_facts_that_have_changed_since_finds_no_drift(batches in happenings()) {
        let mut engine = Engine::default();
        for batch in std::iter::once(whole()).chain(batches) {
            let expected = Expected::of(&engine.begin_verify());
            apply(&mut engine, &batch);
            prop_assert_eq!(engine.conclude_verify(&expected).keys, Vec::<String>::new());
        }
    }

    #[test]
    fn an_object_moves_only_with_a_publication_and_what_moved_is_told(batches in happenings()) {
        let mut engine = Engine::default();
        let mut known: BTreeMap<ObjectRef, smidge_engine::Effect> = BTreeMap::new();
        for batch in std::iter::once(whole()).chain(batches) {
            let step = apply(&mut engine, &batch);
            let now: BTreeMap<_, _> =
                engine.objects().map(|object| (object.clone(), engine.effect(object).expect("it is listed"))).collect();
            let all: BTreeSet<&ObjectRef> = known.keys().chain(now.keys()).collect();
            let changed: BTreeSet<ObjectRef> =
                all.into_iter().filter(|object| known.get(*object) != now.get(*object)).cloned().collect();
            prop_assert!(changed.is_subset(&step.objects), "{:?} but told {:?}", changed, step.objects);
            for (object, effect) in &now {
                let before = known.get(object).map_or(Epoch(0), |before| before.epoch);
                let moved = effect.epoch != before;
                let published = !step.update.is_empty() && effect.epoch == step.update.epoch;
                prop_assert!(!moved || published, "{} moved to {} without a publication", object, effect.epoch);
                let is_same = known.get(object).is_some_and(|before| before.version == effect.version);
                // The others also move with what changes beside them.
                let has_own = matches!(object.kind, Kind::TrafficSplit | Kind::TrafficTarget | Kind::IngressBackend);
                let is_judged = has_own && effect.audience != Audience::Workloads([].into());
                prop_assert!(!(moved && is_judged && is_same), "{} moved and is called as before", object);
            }
            known = now;
        }
    }

    #[test]
    fn the_same_events_twice_change_nothing(batch in happenings()) {
        let mut engine = Engine::default();
        let all: Vec<Happening> = batch.concat().into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        apply(&mut engine, &all);
        let before = engine.counters();
        let step = apply(&mut engine, &all);
        prop_assert!(step.update.is_empty() && step.objects.is_empty() && step.placements.is_empty());
        let after = engine.counters();
        prop_assert_eq!(after.equal_facts - before.equal_facts, all.len() as u64);
        prop_assert_eq!((after.compiled, after.publications), (before.compiled, before.publications));
    }
}

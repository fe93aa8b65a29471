//! The property that carries the engine: after any events, in any order, the values that were compiled again only where
//! `affected` said so are those of a full compile.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use smidge_compiler::{
    Diagnostic, Dirty, Event, ObjectRef, Reach, Snapshot, affected, compile, compile_endpoints, compile_inbound,
    compile_peers, compile_service, diagnose, reach, testing, workload_key,
};
use smidge_mesh::{Mesh, ServiceAccountName, WorkloadKey};

/// What an engine remembers, at its simplest.
#[derive(Default)]
struct Remembered {
    snapshot: Snapshot,
    mesh: Mesh,
    told: BTreeMap<ObjectRef, (Vec<Diagnostic>, Reach)>,
}

impl Remembered {
    fn take_in(&mut self, event: Event) {
        let before = self.snapshot.clone();
        let Some(change) = self.snapshot.apply(event) else { return };
        let dirty = affected(&before, &change, &self.snapshot);
        self.compile(&dirty);
        for object in &dirty.objects {
            self.told.remove(object);
            if self.snapshot.fact(object).is_some() {
                self.told.insert(object.clone(), told(&self.snapshot, object));
            }
        }
    }

    fn compile(&mut self, dirty: &Dirty) {
        let Self { snapshot, mesh, .. } = self;
        for name in &dirty.services {
            renew(&mut mesh.services, name, compile_service(snapshot, name));
        }
        for name in &dirty.endpoints {
            renew(&mut mesh.endpoints, name, compile_endpoints(snapshot, name));
        }
        for name in &dirty.peers {
            renew(&mut mesh.peers, name, compile_peers(snapshot, name));
        }
        for pod in &dirty.workloads {
            renew(&mut mesh.workloads, pod, workload_key(snapshot, pod));
        }
        let used: BTreeSet<_> = mesh.workloads.values().cloned().collect();
        mesh.inbound.retain(|key, _| used.contains(key));
        for key in used {
            if dirty.inbound.contains(&account(&key)) || !mesh.inbound.contains_key(&key) {
                mesh.inbound.insert(key.clone(), compile_inbound(snapshot, &key));
            }
        }
    }
}

fn renew<K: Ord + Clone, V>(values: &mut BTreeMap<K, V>, key: &K, value: Option<V>) {
    match value {
        Some(value) => values.insert(key.clone(), value),
        None => values.remove(key),
    };
}

fn account(key: &WorkloadKey) -> ServiceAccountName {
    ServiceAccountName::new(key.identity.namespace.clone(), key.identity.service_account.clone())
}

fn told(snapshot: &Snapshot, object: &ObjectRef) -> (Vec<Diagnostic>, Reach) {
    (diagnose(snapshot, object), reach(snapshot, object))
}

fn all_told(snapshot: &Snapshot) -> BTreeMap<ObjectRef, (Vec<Diagnostic>, Reach)> {
    snapshot.objects_with_status().map(|object| (object.clone(), told(snapshot, object))).collect()
}

/// `PROPTEST_CASES` scales it.
fn settings() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases / 4, failure_persistence: None, ..default }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..60 * testing::BYTES_OF_AN_EVENT);
    bytes.prop_map(|bytes| testing::events(&bytes))
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn incremental_equals_full_after_every_event(events in events()) {
        let mut remembered = Remembered::default();
        for event in events {
            remembered.take_in(event.clone());
            let full = compile(&remembered.snapshot);
            prop_assert_eq!(&remembered.mesh, &full, "after {:?}", event);
            prop_assert_eq!(&remembered.told, &all_told(&remembered.snapshot), "after {:?}", event);
        }
    }

    #[test]
    fn the_order_of_events_that_end_in_the_same_objects_does_not_matter(events in events()) {
        let mut forwards = Snapshot::default();
        for event in &events {
            forwards.apply(event.clone());
        }
        // Only the last word on each object counts; said in another order, it gives the same.
        let objects: Vec<_> = forwards.objects().collect();
        let mut backwards = Snapshot::default();
        for fact in objects.iter().rev().filter_map(|object| forwards.fact(object)) {
            backwards.apply(Event::Apply(fact.clone()));
        }
        backwards.apply(Event::TrustBundle(forwards.trust_bundle().clone()));
        prop_assert_eq!(compile(&backwards), compile(&forwards));
        prop_assert_eq!(all_told(&backwards), all_told(&forwards));
    }

    #[test]
    fn an_event_that_repeats_what_is_known_changes_nothing(events in events()) {
        let mut snapshot = Snapshot::default();
        for event in events {
            snapshot.apply(event.clone());
            prop_assert!(snapshot.apply(event).is_none());
        }
    }
}

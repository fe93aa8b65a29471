//! The loop's state and its one step.

use std::{collections::BTreeSet, sync::Arc};

use smidge_compiler::{
    Change, Dirty, Event, ObjectRef, Snapshot, affected, compile_endpoints, compile_inbound, compile_peers,
    compile_service,
};
use smidge_mesh::{Base, Endpoints, Peers, PodName, Service, ServiceName, WorkloadKey};
use smidge_translator::{translate_base, translate_endpoints, translate_peers, translate_service};
use smidge_xds::{Epoch, LayerChange, ProxyChange, Resource, Update};

use crate::{
    Carrier, Counters, Effect, Step,
    cache::{Cache, Refreshed},
    effects::{Effects, Moment, State, Touched},
    layer::{Layer, Owner, key_of},
    stages,
    verify::{self, Expected},
    workloads::{Placed, Workloads},
};

/// From how many events on a batch may be compiled as a whole, as the first one of a cluster is. (A list that comes again
/// is large too, but says little that is new.)
const LARGE: usize = 256;

/// What is remembered between events.
#[derive(Debug)]
pub struct Engine {
    snapshot: Snapshot,
    base: Cache<(), Base>,
    services: Cache<ServiceName, Service>,
    endpoints: Cache<ServiceName, Endpoints>,
    peers: Cache<ServiceName, Peers>,
    workloads: Workloads,
    shared: Layer,
    effects: Effects,
    counters: Counters,
    epoch: Epoch,
    /// What was touched since a verification began; `None`: there is none.
    since: Option<Dirty>,
}

/// Where the cached state was not what a full compile says. Empty unless there is a bug.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    /// The keys, for the log.
    pub keys: Vec<String>,
    /// What mends it.
    pub mending: Step,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            snapshot: Snapshot::default(),
            base: Cache::new(|()| Owner::Base, translate_base),
            services: Cache::new(Owner::Service, translate_service),
            endpoints: Cache::new(Owner::Endpoints, translate_endpoints),
            peers: Cache::new(Owner::Peers, translate_peers),
            workloads: Workloads::default(),
            shared: Layer::default(),
            effects: Effects::default(),
            counters: Counters::default(),
            epoch: Epoch::default(),
            since: None,
        }
    }
}

impl Engine {
    /// Takes a batch of events in. However many they are, each key that they touch is compiled once.
    pub fn apply(&mut self, events: impl IntoIterator<Item = Event>) -> Step {
        let events: Vec<Event> = events.into_iter().collect();
        let mut dirty = Dirty::default();
        if events.len() >= LARGE && events.len() > 2 * self.snapshot.len() {
            self.take_in_all(events, &mut dirty);
        } else {
            events.into_iter().for_each(|event| self.take_in(event, &mut dirty));
        }
        if let Some(since) = &mut self.since {
            stages::merge(since, dirty.clone());
        }
        self.settle(&dirty)
    }

    /// Compiles everything and compares it with what is cached; mends what differs.
    pub fn verify(&mut self) -> Drift {
        let expected = Expected::of(&self.begin_verify());
        self.conclude_verify(&expected)
    }

    /// The facts of which to make what is [expected](Expected::of), and then to
    /// [conclude](Self::conclude_verify). Events may come meanwhile: what they touch is not compared.
    pub fn begin_verify(&mut self) -> Snapshot {
        self.since = Some(Dirty::default());
        self.snapshot.clone()
    }

    /// Compares what is cached with a full compile of the facts as they were at the
    /// [beginning](Self::begin_verify), mends what differs. What was not begun finds nothing.
    pub fn conclude_verify(&mut self, expected: &Expected) -> Drift {
        let Some(since) = self.since.take() else { return Drift::default() };
        let dirty = verify::unchanged(self.differing(expected), &since);
        let keys = verify::describe(&dirty);
        self.counters.drift += keys.len() as u64;
        Drift { keys, mending: self.settle(&dirty) }
    }

    /// The facts at present.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Totals since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The number of the last publication.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Everything that the proxy of a pod gets, but for its own certificate; `None`: it is not meshed.
    pub fn resources_of(&self, pod: &PodName) -> Option<Vec<Arc<Resource>>> {
        let own = self.workloads.layer_of(pod)?;
        Some(self.shared.resources().chain(&own.resources).cloned().collect())
    }

    /// Every object with a status.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.effects.objects()
    }

    /// What an object does; `None`: there is no such object, or it has no status.
    pub fn effect(&self, object: &ObjectRef) -> Option<Effect> {
        let state = self.effects.state(object)?;
        let State { generation, diagnostics, epoch, version, audience, .. } = state.clone();
        Some(Effect { generation, diagnostics, epoch, version, audience })
    }

    /// The resources that carry an object's effect.
    pub fn carriers(&self, object: &ObjectRef) -> BTreeSet<Carrier> {
        let Some(state) = self.effects.state(object) else { return BTreeSet::new() };
        let shared = state.reach.services.iter().flat_map(|name| {
            let parts = [self.services.resources(name), self.endpoints.resources(name), self.peers.resources(name)];
            parts.into_iter().flatten().map(|resource| (None, resource))
        });
        let own = self
            .workloads
            .reached(&state.reach)
            .flat_map(|layer| layer.resources.iter().map(|resource| (Some(layer.id), resource)));
        let carrier = |(workload, resource): (_, &Arc<Resource>)| {
            let (type_url, name) = key_of(resource);
            Carrier { workload, type_url, name }
        };
        shared.chain(own).map(carrier).collect()
    }

    fn take_in(&mut self, event: Event, dirty: &mut Dirty) {
        let before = self.snapshot.clone();
        if let Some(change) = self.index(event) {
            stages::merge(dirty, affected(&before, &change, &self.snapshot));
        }
    }

    /// Whom so much news concerns: everybody. To ask for each event would cost more than it spares.
    fn take_in_all(&mut self, events: Vec<Event>, dirty: &mut Dirty) {
        stages::merge(dirty, Dirty::everything(&self.snapshot));
        for event in events {
            self.index(event);
        }
        stages::merge(dirty, Dirty::everything(&self.snapshot));
    }

    /// Enters an event into the facts; `None`: it says nothing new.
    fn index(&mut self, event: Event) -> Option<Change> {
        self.counters.events += 1;
        let change = self.snapshot.apply(event);
        self.counters.equal_facts += u64::from(change.is_none());
        change
    }

    /// The keys of which the cache says something else than a full compile.
    fn differing(&self, expected: &Expected) -> Dirty {
        let mesh = &expected.mesh;
        Dirty {
            services: verify::differing(self.services.iter(), &mesh.services),
            endpoints: verify::differing(self.endpoints.iter(), &mesh.endpoints),
            peers: verify::differing(self.peers.iter(), &mesh.peers),
            workloads: verify::misplaced(&self.workloads, expected),
            inbound: verify::misjudged(&self.workloads, mesh),
            objects: verify::misread(&self.effects, expected),
        }
    }

    /// Compiles what is dirty and collects what that changes.
    fn settle(&mut self, dirty: &Dirty) -> Step {
        let next = self.epoch.next();
        let mut touched = Touched::default();
        let placed = self.place_pods(dirty, next);
        let layers = self.compile_workloads(dirty, &placed, &mut touched);
        self.compile_base();
        self.compile_services(dirty, &mut touched);
        let update = self.collect(next, &layers, &placed);
        if !update.is_empty() {
            self.epoch = next;
            self.counters.publications += 1;
        }
        touched.conclude(self.workloads.take_reshaped(), !update.is_empty());
        let Self { snapshot, workloads, services, endpoints, epoch, .. } = self;
        let (dirty, touched, epoch) = (&dirty.objects, &touched, *epoch);
        let moment = Moment { snapshot, workloads, services, endpoints, dirty, touched, epoch };
        let objects = self.effects.refresh(&moment);
        Step { update, objects, placements: placed.iter().map(Placed::placement).collect() }
    }

    fn place_pods(&mut self, dirty: &Dirty, epoch: Epoch) -> Vec<Placed> {
        let Self { snapshot, workloads, counters, .. } = self;
        let place = |pod| {
            let seat = stages::seat(snapshot, pod);
            workloads.place(pod, seat, epoch, counters, |key| compile_inbound(snapshot, key))
        };
        dirty.workloads.iter().filter_map(place).collect()
    }

    /// Returns the keys of the layers that may have changed.
    fn compile_workloads(&mut self, dirty: &Dirty, placed: &[Placed], touched: &mut Touched) -> BTreeSet<WorkloadKey> {
        let keys: BTreeSet<_> = dirty.inbound.iter().flat_map(|account| self.workloads.keys_of(account)).collect();
        for key in &keys {
            let inbound = compile_inbound(&self.snapshot, key);
            let before = self.workloads.refresh(inbound, &mut self.counters);
            if let (Some(before), Some(layer)) = (before, self.workloads.layer(key)) {
                touched.inbound(&before, &layer.inbound);
            }
        }
        let joined = placed.iter().filter_map(|placed| self.workloads.key_of(placed.workload()?)).cloned();
        keys.into_iter().chain(joined).collect()
    }

    /// What holds for the whole mesh is three words: it is looked at in each step.
    fn compile_base(&mut self) {
        let base = stages::base(&self.snapshot);
        if self.base.value(&()) != Some(&base) {
            self.base.refresh(&(), Some(base), &mut self.shared, &mut self.counters);
        }
    }

    fn compile_services(&mut self, dirty: &Dirty, touched: &mut Touched) {
        let Self { snapshot, services, endpoints, peers, shared, counters, .. } = self;
        for name in &dirty.services {
            if let Refreshed::Changed(old) = services.refresh(name, compile_service(snapshot, name), shared, counters) {
                touched.service(name, old.as_ref(), services.value(name));
            }
        }
        for name in &dirty.endpoints {
            let value = compile_endpoints(snapshot, name);
            if let Refreshed::Changed(old) = endpoints.refresh(name, value, shared, counters) {
                touched.endpoints(name, old.as_ref(), endpoints.value(name));
            }
        }
        for name in &dirty.peers {
            peers.refresh(name, compile_peers(snapshot, name), shared, counters);
        }
    }

    fn collect(&mut self, epoch: Epoch, layers: &BTreeSet<WorkloadKey>, placed: &[Placed]) -> Update {
        let proxies: Vec<ProxyChange> = placed.iter().filter_map(Placed::proxy_change).collect();
        let update = Update {
            epoch,
            shared: self.shared.take_changes(),
            workloads: self.workloads.take_changes(layers),
            proxies,
        };
        let of_layer = |(_, change): &(_, LayerChange)| match change {
            LayerChange::Resources(changes) => changes.len(),
            LayerChange::Gone => 0,
        };
        let changed = update.shared.len() + update.workloads.iter().map(of_layer).sum::<usize>();
        self.counters.changed_resources += changed as u64;
        update
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Namespace, Service};
    use serde_json::json;
    use smidge_compiler::{Digest, Kind};

    use super::*;

    fn shop() -> [Event; 2] {
        let namespace = json!({"metadata": {"name": "shop", "labels": {"smidge.dev/inject": "enabled"}}});
        let spec = json!({"clusterIP": "10.0.0.1", "ports": [{"port": 80}]});
        let service = json!({"metadata": {"namespace": "shop", "name": "cart"}, "spec": spec});
        let namespace: Namespace = serde_json::from_value(namespace).expect("a Namespace");
        let service: Service = serde_json::from_value(service).expect("a Service");
        [namespace.digest(), service.digest()].map(Event::Apply)
    }

    #[test]
    fn drift_is_told_counted_and_mended() {
        let mut engine = Engine::default();
        engine.apply(shop());
        assert_eq!(engine.verify().keys, Vec::<String>::new());
        // What must not happen: the facts change behind the cache's back.
        engine.snapshot.apply(Event::Delete(ObjectRef::new(Kind::Service, "shop", "cart")));
        let drift = engine.verify();
        assert_eq!(drift.keys, ["service cart.shop", "endpoints cart.shop", "peers cart.shop"]);
        assert_eq!(engine.counters().drift, 3);
        assert!(!drift.mending.update.shared.is_empty(), "what is too much is withdrawn");
        assert_eq!(engine.verify().keys, Vec::<String>::new());
    }

    #[test]
    fn what_changes_during_a_full_compile_is_no_drift_and_the_rest_is_compared() {
        let mut engine = Engine::default();
        engine.apply(shop());
        let cart = Event::Delete(ObjectRef::new(Kind::Service, "shop", "cart"));
        let expected = Expected::of(&engine.begin_verify());
        engine.apply([cart]);
        assert_eq!(engine.conclude_verify(&expected).keys, Vec::<String>::new());
        // What must not happen: the cache was not told.
        let [_, cart] = shop();
        engine.snapshot.apply(cart);
        let expected = Expected::of(&engine.begin_verify());
        engine.apply([Event::Delete(ObjectRef::new(Kind::Service, "shop", "other"))]);
        assert_eq!(engine.conclude_verify(&expected).keys.len(), 3);
    }
}

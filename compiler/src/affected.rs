//! Which keys a change touches.
//!
//! Whatever depended on the object before the change is found in the snapshot before it, whatever depends on it now in
//! the one after it: the same functions are asked of both. Each knows one kind of object; together they mirror what the
//! `compile_*` functions read.

use std::{collections::BTreeSet, sync::Arc};

use smidge_mesh::{PodName, ServiceAccountName, ServiceName};

use crate::{
    Change, Fact, Kind, ObjectRef, Snapshot,
    compile::{services_with_address, splits, workload::services_of},
    facts::{Addressing, EndpointSliceFacts, IngressFacts, PodFacts, ServiceFacts, SplitFacts, TargetFacts},
    link::Link,
};

/// The keys to compile again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// For `compile_service`.
    pub services: BTreeSet<ServiceName>,
    /// For `compile_endpoints`.
    pub endpoints: BTreeSet<ServiceName>,
    /// For `compile_peers`.
    pub peers: BTreeSet<ServiceName>,
    /// Pods whose workload key may be another one now.
    pub workloads: BTreeSet<PodName>,
    /// For `compile_inbound`: every workload key of these service accounts.
    pub inbound: BTreeSet<ServiceAccountName>,
    /// For `diagnose` and `reach`: objects with a status. What is told of others is asked for by hand only.
    pub objects: BTreeSet<ObjectRef>,
}

/// What a change touches. May name too much, never too little.
pub fn affected(before: &Snapshot, change: &Change, after: &Snapshot) -> Dirty {
    let mut dirty = Dirty::default();
    match change {
        Change::TrustBundle => dirty.roots(after),
        Change::Object { object, before: old, after: new } => {
            if object.kind.has_status() {
                dirty.objects.insert(object.clone());
            }
            for (snapshot, fact) in [(before, old), (after, new)] {
                if let Some(fact) = fact {
                    dirty.fact(snapshot, fact);
                }
            }
        }
    }
    dirty
}

impl Dirty {
    /// Every key of a snapshot.
    pub fn everything(snapshot: &Snapshot) -> Self {
        let mut dirty = Self::default();
        dirty.all(snapshot);
        dirty
    }

    fn fact(&mut self, snapshot: &Snapshot, fact: &Fact) {
        match fact {
            Fact::Namespace(facts) => self.namespace(snapshot, &facts.origin.name),
            Fact::Service(facts) => self.service(snapshot, facts),
            Fact::EndpointSlice(facts) => self.slice(snapshot, facts),
            Fact::Pod(facts) => self.pod(snapshot, facts),
            Fact::TrafficSplit(facts) => self.split(snapshot, facts),
            Fact::TrafficTarget(facts) => self.target(snapshot, facts),
            Fact::HttpRouteGroup(_) | Fact::TcpRoute(_) | Fact::UdpRoute(_) => self.route(snapshot, &fact.object()),
            Fact::MeshConfig(_) => self.all(snapshot),
            Fact::IngressBackend(facts) => self.ingress(snapshot, facts),
        }
    }

    /// The trust bundle is in what clients and servers check each other by.
    fn roots(&mut self, snapshot: &Snapshot) {
        self.peers.extend(snapshot.services().map(ServiceFacts::name));
        self.inbound.extend(snapshot.pods().filter(|pod| pod.meshed).map(PodFacts::account));
    }

    fn all(&mut self, snapshot: &Snapshot) {
        self.roots(snapshot);
        self.services.extend(snapshot.services().map(ServiceFacts::name));
        self.endpoints.clone_from(&self.services);
        self.workloads.extend(snapshot.pods().map(PodFacts::name));
        self.objects.extend(snapshot.objects_with_status().cloned());
    }

    /// In or out of the mesh: whatever is in it.
    fn namespace(&mut self, snapshot: &Snapshot, namespace: &Arc<str>) {
        for fact in snapshot.of_kind(Kind::Service, Some(namespace)) {
            self.whole_service(&ServiceName::new(namespace.clone(), fact.origin().name.clone()));
            if let Fact::Service(facts) = fact {
                self.headless_neighbours(snapshot, facts);
            }
        }
        let pods = snapshot.of_kind(Kind::Pod, Some(namespace));
        self.workloads.extend(pods.map(|pod| PodName::new(namespace.clone(), pod.origin().name.clone())));
        for kind in [Kind::TrafficSplit, Kind::TrafficTarget, Kind::IngressBackend] {
            self.objects.extend(snapshot.of_kind(kind, Some(namespace)).map(Fact::object));
        }
        self.routes_named_in(snapshot, namespace);
    }

    fn service(&mut self, snapshot: &Snapshot, facts: &ServiceFacts) {
        let name = facts.name();
        self.whole_service(&name);
        for split in splits::with_backend(snapshot, &name) {
            self.root_of(split);
        }
        self.splits_of_root(snapshot, &name);
        for address in facts.addresses() {
            let others = snapshot.linked(&Link::Virtual(*address)).filter_map(|object| snapshot.service_at(object));
            self.services.extend(others.map(ServiceFacts::name));
        }
        self.headless_neighbours(snapshot, facts);
        self.pods_behind(snapshot, facts);
        self.ingress_of(snapshot, &name);
    }

    /// The Services that have the addresses of a headless one: which of them answers for those may change.
    fn headless_neighbours(&mut self, snapshot: &Snapshot, facts: &ServiceFacts) {
        if facts.addressing == Addressing::Headless {
            for slice in snapshot.linked(&Link::SliceOf(facts.name())).filter_map(|object| snapshot.slice_at(object)) {
                self.headless_at(snapshot, slice);
            }
        }
    }

    fn headless_at(&mut self, snapshot: &Snapshot, slice: &EndpointSliceFacts) {
        for endpoint in &slice.endpoints {
            let others = services_with_address(snapshot, endpoint.address).into_iter();
            let headless = others.filter(|other| other.addressing == Addressing::Headless);
            self.services.extend(headless.map(ServiceFacts::name));
        }
    }

    /// The pods that a Service sends traffic to take it by ports that it names.
    fn pods_behind(&mut self, snapshot: &Snapshot, facts: &ServiceFacts) {
        for pod in crate::compile::own_pods(snapshot, facts) {
            self.workloads.insert(pod.name());
            self.account(snapshot, &pod.account());
        }
    }

    fn slice(&mut self, snapshot: &Snapshot, slice: &EndpointSliceFacts) {
        let Some(name) = &slice.service else { return };
        self.endpoints_of(snapshot, name);
        let Some(facts) = snapshot.service(name) else { return };
        if facts.addressing == Addressing::Headless {
            self.headless_at(snapshot, slice);
        }
        // Where there is a selector, it says which ports of which pods are called.
        if facts.selector.is_empty() {
            self.pods_behind(snapshot, facts);
        }
    }

    fn pod(&mut self, snapshot: &Snapshot, pod: &PodFacts) {
        self.workloads.insert(pod.name());
        self.account(snapshot, &pod.account());
        for facts in services_of(snapshot, pod) {
            self.endpoints_of(snapshot, &facts.name());
        }
        let addresses = pod.addresses.iter().copied().map(Link::SliceAddress);
        let slices = addresses.chain([Link::SlicePod(pod.name())]).flat_map(|link| snapshot.linked(&link));
        for slice in slices.filter_map(|object| snapshot.slice_at(object)) {
            if let Some(name) = &slice.service {
                self.endpoints_of(snapshot, name);
            }
            self.headless_at(snapshot, slice);
        }
        for address in &pod.addresses {
            // Whose an address is may change with any pod that has it.
            let others = snapshot.linked(&Link::PodAddress(*address)).filter_map(|object| snapshot.pod_at(object));
            for other in others {
                self.workloads.insert(other.name());
                self.account(snapshot, &other.account());
            }
            let virtual_too =
                snapshot.linked(&Link::Virtual(*address)).filter_map(|object| snapshot.service_at(object));
            self.services.extend(virtual_too.map(ServiceFacts::name));
        }
    }

    fn split(&mut self, snapshot: &Snapshot, split: &SplitFacts) {
        self.root_of(split);
        if let Some(root) = &split.root {
            self.splits_of_root(snapshot, root);
        }
    }

    fn target(&mut self, snapshot: &Snapshot, target: &TargetFacts) {
        self.objects.insert(target.origin.object(Kind::TrafficTarget));
        self.objects.extend(target.rules.iter().map(|rule| target.object_of(rule)));
        if let Some(account) = &target.destination {
            self.inbound.insert(account.clone());
            // Which callers lack a target for a backend is told on the split.
            self.objects.extend(snapshot.of_kind(Kind::TrafficSplit, Some(&account.namespace)).map(Fact::object));
        }
    }

    fn route(&mut self, snapshot: &Snapshot, route: &ObjectRef) {
        self.objects.insert(route.clone());
        for object in snapshot.linked(&Link::Names(route.clone())) {
            match snapshot.fact(object) {
                Some(Fact::TrafficSplit(split)) => {
                    self.objects.insert(object.clone());
                    self.services.extend(split.root.clone());
                }
                Some(Fact::TrafficTarget(target)) => self.target(snapshot, target),
                Some(Fact::IngressBackend(ingress)) => self.ingress(snapshot, ingress),
                _ => {}
            }
        }
    }

    /// What an IngressBackend opens, and to whom.
    fn ingress(&mut self, snapshot: &Snapshot, ingress: &IngressFacts) {
        self.objects.insert(ingress.origin.object(Kind::IngressBackend));
        self.objects.extend(ingress.groups());
        for facts in ingress.backends.iter().filter_map(|backend| snapshot.service(&backend.service)) {
            for pod in crate::compile::own_pods(snapshot, facts) {
                self.workloads.insert(pod.name());
                self.inbound.insert(pod.account());
            }
        }
    }

    /// Where a Service is opened by IngressBackends, or its pods are let in.
    fn ingress_of(&mut self, snapshot: &Snapshot, name: &ServiceName) {
        let opening = snapshot.linked(&Link::Ingress(name.clone())).filter_map(|object| snapshot.ingress_at(object));
        for ingress in opening {
            self.objects.insert(ingress.origin.object(Kind::IngressBackend));
            self.objects.extend(ingress.groups());
        }
        let letting_in = snapshot.linked(&Link::Guests(name.clone())).filter_map(|object| snapshot.ingress_at(object));
        letting_in.for_each(|ingress| self.ingress(snapshot, ingress));
    }

    fn whole_service(&mut self, name: &ServiceName) {
        self.services.insert(name.clone());
        self.endpoints.insert(name.clone());
        self.peers.insert(name.clone());
    }

    /// What follows the endpoints and pods of a Service: its own values, and the TCP side of roots that share to it.
    fn endpoints_of(&mut self, snapshot: &Snapshot, name: &ServiceName) {
        // Whose callers lack a target depends on the pods behind root and backends.
        for link in [Link::Root(name.clone()), Link::Backend(name.clone())] {
            self.objects.extend(snapshot.linked(&link).cloned());
        }
        self.ingress_of(snapshot, name);
        let sharing = splits::with_backend(snapshot, name).filter_map(|split| split.root.clone());
        for service in sharing.chain([name.clone()]) {
            self.endpoints.insert(service.clone());
            self.peers.insert(service);
        }
        if snapshot.service(name).is_some_and(|facts| facts.addressing == Addressing::Headless) {
            self.services.insert(name.clone());
        }
    }

    fn root_of(&mut self, split: &SplitFacts) {
        self.split_object(split);
        if let Some(root) = &split.root {
            self.whole_service(root);
        }
    }

    fn splits_of_root(&mut self, snapshot: &Snapshot, root: &ServiceName) {
        for split in snapshot.linked(&Link::Root(root.clone())).filter_map(|object| snapshot.split_at(object)) {
            self.split_object(split);
        }
    }

    /// What routes reach is what the splits that name them reach.
    fn split_object(&mut self, split: &SplitFacts) {
        self.objects.insert(splits::object(split));
        self.objects.extend(split.group_objects());
    }

    /// What is told of the pods of a service account.
    fn account(&mut self, snapshot: &Snapshot, account: &ServiceAccountName) {
        self.objects.extend(snapshot.linked(&Link::Destination(account.clone())).cloned());
    }

    /// The reach of routes is that of the splits and targets that name them.
    fn routes_named_in(&mut self, snapshot: &Snapshot, namespace: &Arc<str>) {
        for kind in [Kind::HttpRouteGroup, Kind::TcpRoute, Kind::UdpRoute] {
            self.objects.extend(snapshot.of_kind(kind, Some(namespace)).map(Fact::object));
        }
    }
}

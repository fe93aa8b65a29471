//! What each object does at present, and in which publication that last changed.
//!
//! The epoch is sticky: it moves when a value that carries the object's effect changed in what the object has a say
//! in (routes, the shares of a TCP split, its own grants), and stays when endpoints, identities or certificates come
//! and go. So `Programmed` does not flap with every rollout, and still never says too early that proxies have it.
//!
//! Epochs are each process's own. What several processes can compare is the version: a hash of exactly that of which a
//! change moves the epoch.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use smidge_compiler::{Diagnostic, Fact, Kind, ObjectRef, Reach, Snapshot, diagnose, grantors, reach};
use smidge_mesh::{
    Endpoints, HttpRoute, Inbound, IngressGrant, Members, Protocol, Service, ServiceAccountName, ServiceName,
};
use smidge_xds::{Epoch, Version};

use crate::{
    Audience,
    cache::Cache,
    workloads::{Workloads, account_of},
};

/// What is remembered of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) generation: i64,
    pub(crate) diagnostics: Arc<[Diagnostic]>,
    pub(crate) reach: Reach,
    pub(crate) epoch: Epoch,
    pub(crate) version: Version,
    pub(crate) audience: Audience,
}

#[derive(Debug, Default)]
pub(crate) struct Effects {
    objects: BTreeMap<ObjectRef, State>,
    by_service: BTreeMap<ServiceName, BTreeSet<ObjectRef>>,
    by_account: BTreeMap<ServiceAccountName, BTreeSet<ObjectRef>>,
}

/// What there is to know at the end of a step.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) workloads: &'a Workloads,
    pub(crate) services: &'a Cache<ServiceName, Service>,
    pub(crate) endpoints: &'a Cache<ServiceName, Endpoints>,
    /// Objects that changed, or what they refer to.
    pub(crate) dirty: &'a BTreeSet<ObjectRef>,
    pub(crate) touched: &'a Touched,
    /// Of the step's publication.
    pub(crate) epoch: Epoch,
}

impl Moment<'_> {
    /// Of what an object has a say in. Which layers carry it does not count: who joins one has acknowledged nothing of it.
    fn version(&self, object: &ObjectRef, reach: &Reach) -> Version {
        let outbound = |name| {
            let shares = self.endpoints.value(name).map(shares_of).unwrap_or_default();
            (name, self.services.value(name).map(routes_of), shares)
        };
        let services: Vec<_> = reach.services.iter().map(outbound).collect();
        let grantors = grantors(self.snapshot, object);
        let (mut grants, mut ingress) = (BTreeSet::new(), BTreeSet::new());
        for layer in self.workloads.reached(reach) {
            let is_own = |kind, name: &str| granting(kind, name).is_some_and(|object| grantors.contains(&object));
            grants.extend(layer.inbound.grants.iter().filter(|grant| is_own(Kind::TrafficTarget, &grant.name)));
            let said = said_by_ingress(&layer.inbound).into_iter();
            ingress.extend(said.filter(|grant| is_own(Kind::IngressBackend, &grant.name)));
        }
        let config = match self.snapshot.fact(object) {
            Some(Fact::MeshConfig(config)) if reach.everyone => Some(config.said()),
            _ => None,
        };
        Version::of_value(&(services, grants, ingress, config))
    }
}

/// The parts of values that objects have a say in and that changed in one step.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    services: BTreeSet<ServiceName>,
    grants: BTreeMap<ServiceAccountName, BTreeSet<ObjectRef>>,
    /// Of which layers came or went.
    accounts: BTreeSet<ServiceAccountName>,
    /// Whether anything is published.
    is_published: bool,
}

impl Touched {
    /// A Service changed from `before`: its routes may have.
    pub(crate) fn service(&mut self, name: &ServiceName, before: Option<&Service>, after: Option<&Service>) {
        if before.map(routes_of) != after.map(routes_of) {
            self.services.insert(name.clone());
        }
    }

    /// Endpoints changed: the shares of a TCP split may have.
    pub(crate) fn endpoints(&mut self, name: &ServiceName, before: Option<&Endpoints>, after: Option<&Endpoints>) {
        if before.map(shares_of).unwrap_or_default() != after.map(shares_of).unwrap_or_default() {
            self.services.insert(name.clone());
        }
    }

    /// The inbound side of a layer changed: which grants did?
    pub(crate) fn inbound(&mut self, before: &Inbound, after: &Inbound) {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.grants.iter().collect(), after.grants.iter().collect());
        let targets = old.symmetric_difference(&new).filter_map(|grant| granting(Kind::TrafficTarget, &grant.name));
        let (old, new) = (said_by_ingress(before), said_by_ingress(after));
        let ingress = old.symmetric_difference(&new).filter_map(|grant| granting(Kind::IngressBackend, &grant.name));
        let objects: BTreeSet<_> = targets.chain(ingress).collect();
        if !objects.is_empty() {
            self.grants.entry(account_of(&after.key)).or_default().extend(objects);
        }
    }

    /// Layers of these accounts came or went, and the step publishes something or not.
    pub(crate) fn conclude(&mut self, accounts: BTreeSet<ServiceAccountName>, is_published: bool) {
        (self.accounts, self.is_published) = (accounts, is_published);
    }

    /// TrafficTargets and IngressBackends of which a grant changed.
    fn granting(&self) -> impl Iterator<Item = &ObjectRef> {
        self.grants.values().flatten()
    }

    /// Whether the effect of an object with this reach changed. `is_dirty`: the object, or what it refers to, did.
    fn moves(&self, object: &ObjectRef, reach: &Reach, is_dirty: bool) -> bool {
        let own = |objects: &BTreeSet<ObjectRef>| match object.kind {
            Kind::TrafficTarget | Kind::IngressBackend => objects.contains(object),
            _ => is_dirty,
        };
        reach.services.iter().any(|service| self.services.contains(service))
            || reach.accounts.iter().filter_map(|account| self.grants.get(account)).any(own)
            || (reach.everyone && is_dirty && self.is_published)
    }
}

impl Effects {
    pub(crate) fn state(&self, object: &ObjectRef) -> Option<&State> {
        self.objects.get(object)
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.objects.keys()
    }

    /// Looks at the objects again that are dirty or whose effect was touched. Returns those that changed or are gone.
    pub(crate) fn refresh(&mut self, moment: &Moment<'_>) -> BTreeSet<ObjectRef> {
        let mut objects = self.carried(moment.touched);
        objects.extend(moment.dirty.iter().filter(|object| object.kind.has_status()).cloned());
        objects.retain(|object| self.replace(object, self.renewed(moment, object)));
        objects
    }

    /// The objects that something touched carries.
    fn carried(&self, touched: &Touched) -> BTreeSet<ObjectRef> {
        let by_service = touched.services.iter().filter_map(|name| self.by_service.get(name)).flatten();
        let by_account = touched.accounts.iter().filter_map(|account| self.by_account.get(account)).flatten();
        let granting = touched.granting().filter(|object| self.objects.contains_key(*object));
        by_service.chain(by_account).chain(granting).cloned().collect()
    }

    fn renewed(&self, moment: &Moment<'_>, object: &ObjectRef) -> Option<State> {
        let Moment { snapshot, workloads, dirty, touched, epoch, .. } = *moment;
        let (before, is_dirty) = (self.objects.get(object), dirty.contains(object));
        // A folder's objects have no generation.
        let generation = snapshot.fact(object)?.origin().generation.unwrap_or_default();
        let (diagnostics, reach) = match before {
            Some(before) if !is_dirty => (before.diagnostics.clone(), before.reach.clone()),
            _ => (diagnose(snapshot, object).into(), reach(snapshot, object)),
        };
        let moved = touched.moves(object, &reach, is_dirty);
        let stays = before.map_or(Epoch::default(), |before| before.epoch);
        let (version, audience) = (moment.version(object, &reach), workloads.audience(&reach));
        Some(State { generation, diagnostics, reach, epoch: if moved { epoch } else { stays }, version, audience })
    }

    /// Whether this changes anything.
    fn replace(&mut self, object: &ObjectRef, state: Option<State>) -> bool {
        if self.objects.get(object) == state.as_ref() {
            return false;
        }
        if let Some(before) = self.objects.remove(object) {
            before.reach.services.iter().for_each(|service| unlink(&mut self.by_service, service, object));
            before.reach.accounts.iter().for_each(|account| unlink(&mut self.by_account, account, object));
        }
        if let Some(state) = state {
            for service in &state.reach.services {
                self.by_service.entry(service.clone()).or_default().insert(object.clone());
            }
            for account in &state.reach.accounts {
                self.by_account.entry(account.clone()).or_default().insert(object.clone());
            }
            self.objects.insert(object.clone(), state);
        }
        true
    }
}

fn unlink<K: Ord>(index: &mut BTreeMap<K, BTreeSet<ObjectRef>>, key: &K, object: &ObjectRef) {
    if let Some(objects) = index.get_mut(key) {
        objects.remove(object);
        if objects.is_empty() {
            index.remove(key);
        }
    }
}

/// The object of a kind that a grant is named after.
fn granting(kind: Kind, name: &str) -> Option<ObjectRef> {
    let (namespace, name) = name.split_once('/')?;
    Some(ObjectRef::new(kind, namespace, name))
}

/// The part of an inbound side that IngressBackends have a say in: not which pods their Services have.
fn said_by_ingress(inbound: &Inbound) -> BTreeSet<IngressGrant> {
    let said = |grant: &IngressGrant| IngressGrant { members: Members::default(), ..grant.clone() };
    inbound.ingress.iter().map(said).collect()
}

/// The part of a Service that splits have a say in.
fn routes_of(service: &Service) -> Vec<(u16, Protocol, &[HttpRoute])> {
    service.ports.iter().map(|(number, port)| (*number, port.protocol, &*port.routes)).collect()
}

/// The part of endpoints that splits have a say in.
fn shares_of(endpoints: &Endpoints) -> Vec<(u16, &ServiceName, u32)> {
    let shared = endpoints.ports.iter().flat_map(|(number, port)| port.tcp.iter().flatten().map(move |s| (number, s)));
    shared.map(|(number, share)| (*number, &share.service, share.weight)).collect()
}

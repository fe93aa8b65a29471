//! Which pod is in which workload layer, and what is in the layers.
//!
//! Pods with one workload key share one layer. A layer comes with its first pod and goes with its last; its id is
//! never used again.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use smidge_compiler::Reach;
use smidge_mesh::{Inbound, PodName, ServiceAccountName, WorkloadKey};
use smidge_translator::translate_inbound;
use smidge_xds::{Epoch, LayerChange, ProxyChange, ProxyId, Resource, Version, WorkloadId};

use crate::{
    Audience, Counters, Placement,
    cache::is_same,
    layer::{Layer, Owner},
    stages,
};

/// The layer of one workload key.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) id: WorkloadId,
    /// Of its key.
    version: Version,
    pub(crate) inbound: Inbound,
    pub(crate) resources: Vec<Arc<Resource>>,
    layer: Layer,
    pods: usize,
    /// Whether the hub knows of it.
    is_told: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Workloads {
    pods: BTreeMap<PodName, Placement>,
    keys: BTreeMap<WorkloadId, WorkloadKey>,
    layers: BTreeMap<WorkloadKey, Workload>,
    by_account: BTreeMap<ServiceAccountName, BTreeSet<WorkloadKey>>,
    ids: u32,
    /// Layers whose last pod left in this step, unless another one joined since.
    left: BTreeSet<WorkloadId>,
    /// Service accounts of which a layer came or went, since it was last asked.
    reshaped: BTreeSet<ServiceAccountName>,
}

impl Workloads {
    pub(crate) fn layer(&self, key: &WorkloadKey) -> Option<&Workload> {
        self.layers.get(key)
    }

    pub(crate) fn layers(&self) -> impl Iterator<Item = (&WorkloadKey, &Workload)> {
        self.layers.iter()
    }

    pub(crate) fn pods(&self) -> impl Iterator<Item = (&PodName, &WorkloadKey)> {
        self.pods.iter().filter_map(|(pod, placement)| Some((pod, self.keys.get(&placement.workload)?)))
    }

    /// The layers of the service accounts that an object reaches.
    pub(crate) fn reached(&self, reach: &Reach) -> impl Iterator<Item = &Workload> {
        let keys = reach.accounts.iter().filter_map(|account| self.by_account.get(account)).flatten();
        keys.filter_map(|key| self.layers.get(key))
    }

    /// Whom an object concerns. A MeshConfig concerns the whole mesh, and so does what clients carry.
    pub(crate) fn audience(&self, reach: &Reach) -> Audience {
        if reach.everyone || !reach.services.is_empty() {
            return Audience::Everyone;
        }
        if reach.accounts.is_empty() {
            return Audience::Nobody;
        }
        Audience::Workloads(self.reached(reach).map(|workload| workload.id).collect())
    }

    /// Service accounts of which a layer came or went since the last call.
    pub(crate) fn take_reshaped(&mut self) -> BTreeSet<ServiceAccountName> {
        mem::take(&mut self.reshaped)
    }

    /// Whether each pod counts as Ready.
    pub(crate) fn ready(&self) -> impl Iterator<Item = (&PodName, bool)> {
        self.pods.iter().map(|(pod, placement)| (pod, placement.ready))
    }

    pub(crate) fn key_of(&self, id: WorkloadId) -> Option<&WorkloadKey> {
        self.keys.get(&id)
    }

    pub(crate) fn layer_of(&self, pod: &PodName) -> Option<&Workload> {
        self.layers.get(self.keys.get(&self.pods.get(pod)?.workload)?)
    }

    /// The keys whose identity stands for a service account.
    pub(crate) fn keys_of(&self, account: &ServiceAccountName) -> Vec<WorkloadKey> {
        self.by_account.get(account).into_iter().flatten().cloned().collect()
    }

    /// Puts a pod where it belongs now (`None`: it is no proxy any more). `inbound` compiles the value of a new
    /// layer. Returns what to tell when that is anything new.
    pub(crate) fn place(
        &mut self,
        pod: &PodName,
        seat: Option<stages::Seat>,
        epoch: Epoch,
        counters: &mut Counters,
        inbound: impl FnOnce(&WorkloadKey) -> Inbound,
    ) -> Option<Placed> {
        let before = self.pods.get(pod).copied();
        let after = seat.map(|seat| {
            let (workload, key) = self.layer_for(&seat.key, counters, inbound);
            let since = before.filter(|old| old.workload == workload).map_or(epoch, |old| old.since);
            Placement { workload, key, ready: seat.ready, since }
        });
        if before == after {
            return None;
        }
        if before.map(|p| p.workload) != after.map(|p| p.workload) {
            before.inspect(|old| self.leave(old.workload));
            after.inspect(|new| self.join(new.workload));
        }
        match after {
            Some(placement) => self.pods.insert(pod.clone(), placement),
            None => self.pods.remove(pod),
        };
        Some(Placed { pod: pod.clone(), before, after })
    }

    /// Takes the inbound value of a key that was compiled just now; returns the old one when a resource changed.
    pub(crate) fn refresh(&mut self, inbound: Inbound, counters: &mut Counters) -> Option<Inbound> {
        counters.compiled += 1;
        let workload = self.layers.get_mut(&inbound.key)?;
        if workload.inbound == inbound {
            counters.equal_values += 1;
            return None;
        }
        let translated = translate_inbound(&inbound);
        let resources = workload.layer.replace(&Owner::Inbound, &workload.resources, translated, counters);
        let same = is_same(&workload.resources, &resources);
        workload.resources = resources;
        let before = mem::replace(&mut workload.inbound, inbound);
        (!same).then_some(before)
    }

    /// What has changed in the layers of these keys, and which layers are gone.
    pub(crate) fn take_changes(&mut self, touched: &BTreeSet<WorkloadKey>) -> Vec<(WorkloadId, LayerChange)> {
        let gone: Vec<_> = mem::take(&mut self.left).into_iter().filter(|id| self.close(*id)).collect();
        let changed = touched.iter().filter_map(|key| {
            let workload = self.layers.get_mut(key)?;
            let changes = workload.layer.take_changes();
            let is_news = !mem::replace(&mut workload.is_told, true) || !changes.is_empty();
            is_news.then_some((workload.id, LayerChange::Resources(changes)))
        });
        let mut changes: Vec<_> = changed.collect();
        changes.sort_by_key(|(id, _)| *id);
        changes.extend(gone.into_iter().map(|id| (id, LayerChange::Gone)));
        changes
    }

    fn layer_for(
        &mut self,
        key: &WorkloadKey,
        counters: &mut Counters,
        inbound: impl FnOnce(&WorkloadKey) -> Inbound,
    ) -> (WorkloadId, Version) {
        if let Some(workload) = self.layers.get(key) {
            return (workload.id, workload.version);
        }
        counters.compiled += 1;
        let (id, inbound, mut layer) = (WorkloadId(self.ids), inbound(key), Layer::default());
        let version = Version::of_value(key);
        self.ids += 1;
        let resources = layer.replace(&Owner::Inbound, &[], translate_inbound(&inbound), counters);
        self.keys.insert(id, key.clone());
        self.reshaped.insert(account_of(key));
        self.by_account.entry(account_of(key)).or_default().insert(key.clone());
        self.layers.insert(key.clone(), Workload { id, version, inbound, resources, layer, pods: 0, is_told: false });
        (id, version)
    }

    fn join(&mut self, id: WorkloadId) {
        self.left.remove(&id);
        if let Some(workload) = self.keys.get(&id).and_then(|key| self.layers.get_mut(key)) {
            workload.pods += 1;
        }
    }

    fn leave(&mut self, id: WorkloadId) {
        if let Some(workload) = self.keys.get(&id).and_then(|key| self.layers.get_mut(key)) {
            workload.pods -= 1;
            if workload.pods == 0 {
                self.left.insert(id);
            }
        }
    }

    /// Drops a layer that nobody is in; false: there is none.
    fn close(&mut self, id: WorkloadId) -> bool {
        let Some(key) = self.keys.remove(&id) else { return false };
        self.layers.remove(&key);
        let account = account_of(&key);
        if let Some(keys) = self.by_account.get_mut(&account) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_account.remove(&account);
            }
        }
        self.reshaped.insert(account);
        true
    }
}

/// What became of a pod's placement. `before` and `after` differ.
#[derive(Debug)]
pub(crate) struct Placed {
    pod: PodName,
    before: Option<Placement>,
    after: Option<Placement>,
}

impl Placed {
    /// For the report.
    pub(crate) fn placement(&self) -> (ProxyId, Option<Placement>) {
        (proxy_id(&self.pod), self.after)
    }

    /// The layer it is in now.
    pub(crate) fn workload(&self) -> Option<WorkloadId> {
        self.after.map(|placement| placement.workload)
    }

    /// For the hub; `None` when only readiness changed.
    pub(crate) fn proxy_change(&self) -> Option<ProxyChange> {
        match (self.before, self.after) {
            (Some(before), Some(after)) if before.workload == after.workload => None,
            (_, Some(after)) => Some(ProxyChange::Set(proxy_id(&self.pod), after.workload)),
            (_, None) => Some(ProxyChange::Remove(proxy_id(&self.pod))),
        }
    }
}

fn proxy_id(pod: &PodName) -> ProxyId {
    pod.to_string().into()
}

/// The service account that a key's identity stands for.
pub(crate) fn account_of(key: &WorkloadKey) -> ServiceAccountName {
    ServiceAccountName::new(key.identity.namespace.clone(), key.identity.service_account.clone())
}

#[cfg(test)]
mod tests {
    use smidge_mesh::{Identity, Mode, Mtls, Telemetry, TrustBundle, TrustDomain};

    use super::*;

    fn seat(account: &str, ready: bool) -> Option<stages::Seat> {
        let identity =
            Identity { trust_domain: TrustDomain::default(), namespace: "ns".into(), service_account: account.into() };
        let key = WorkloadKey {
            identity,
            ports: BTreeMap::new(),
            mode: Mode::Deny,
            mtls: Mtls::Strict,
            openings: BTreeSet::new(),
        };
        Some(stages::Seat { key, ready })
    }

    fn inbound(key: &WorkloadKey) -> Inbound {
        let (grants, trust_bundle) = (Vec::new(), TrustBundle::default());
        Inbound { key: key.clone(), grants, ingress: Vec::new(), trust_bundle, telemetry: Telemetry::default() }
    }

    /// Places pods in one step and tells what the hub and the report hear, layers by id.
    fn step(workloads: &mut Workloads, epoch: u64, moves: &[(&str, Option<stages::Seat>)]) -> Vec<String> {
        let mut counters = Counters::default();
        let mut touched = BTreeSet::new();
        let mut told = Vec::new();
        for (pod, seat) in moves {
            touched.extend(seat.iter().map(|seat| seat.key.clone()));
            let pod = PodName::new("ns", *pod);
            if let Some(placed) = workloads.place(&pod, seat.clone(), Epoch(epoch), &mut counters, inbound) {
                let after = placed.placement().1.map(|p| (p.workload.0, p.ready, p.since.0));
                told.push(format!("{pod} {after:?} hub {}", placed.proxy_change().is_some()));
            }
        }
        let layers = workloads.take_changes(&touched).into_iter();
        told.extend(layers.map(|(id, change)| format!("layer {} gone {}", id.0, change == LayerChange::Gone)));
        told
    }

    #[test]
    fn pods_with_one_key_share_a_layer_that_goes_with_the_last_of_them() {
        let mut workloads = Workloads::default();
        let both = [("p", seat("web", true)), ("q", seat("web", true))];
        let expected = ["p.ns Some((0, true, 1)) hub true", "q.ns Some((0, true, 1)) hub true", "layer 0 gone false"];
        assert_eq!(step(&mut workloads, 1, &both), expected);
        assert_eq!(step(&mut workloads, 2, &[("p", None)]), ["p.ns None hub true"]);
        assert_eq!(step(&mut workloads, 3, &[("q", None)]), ["q.ns None hub true", "layer 0 gone true"]);
        let again = ["q.ns Some((1, true, 4)) hub true", "layer 1 gone false"];
        assert_eq!(step(&mut workloads, 4, &[("q", seat("web", true))]), again, "an id is never used again");
    }

    #[test]
    fn readiness_alone_is_no_news_for_the_hub_and_keeps_the_time_of_joining() {
        let mut workloads = Workloads::default();
        step(&mut workloads, 1, &[("p", seat("web", false))]);
        assert_eq!(step(&mut workloads, 2, &[("p", seat("web", true))]), ["p.ns Some((0, true, 1)) hub false"]);
        assert_eq!(step(&mut workloads, 3, &[("p", seat("web", true))]), Vec::<String>::new());
    }

    #[test]
    fn a_layer_that_is_left_and_joined_in_one_step_stays() {
        let mut workloads = Workloads::default();
        step(&mut workloads, 1, &[("p", seat("web", true))]);
        let swap = [("p", seat("api", true)), ("q", seat("web", true))];
        let expected = ["p.ns Some((1, true, 2)) hub true", "q.ns Some((0, true, 2)) hub true", "layer 1 gone false"];
        assert_eq!(step(&mut workloads, 2, &swap), expected);
    }
}

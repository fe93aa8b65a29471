//! What is published in the exercise: a few clusters, endpoints, routes that name a cluster, listeners that name a
//! route, and a workload layer. Every state is consistent: a route names a cluster that is there.

use std::collections::{BTreeMap, BTreeSet};

use smidge_xds::{Change, Epoch, LayerChange, Name, ProxyChange, ProxyId, Resource, TypeUrl, Update, WorkloadId};
use std::sync::Arc;

/// Type and name.
pub(super) type Key = (TypeUrl, Name);
/// `good <version>` or `bad <version>`, then what it names.
pub(super) type Body = String;
/// One layer, or what a proxy sees.
pub(super) type State = BTreeMap<Key, Body>;

const SERVICES: u8 = 5;
const WORKLOADS: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct World {
    shared: State,
    layers: BTreeMap<WorkloadId, State>,
    proxies: BTreeMap<ProxyId, WorkloadId>,
    epoch: Epoch,
    version: u32,
    bad: BTreeSet<Key>,
}

fn key(type_url: TypeUrl, name: &str) -> Key {
    (type_url, Name::from(name))
}

impl World {
    pub(super) fn proxy(n: usize) -> ProxyId {
        ProxyId::from(format!("proxy-{n}"))
    }

    /// The first publication: one service, all proxies.
    pub(super) fn first(&mut self, proxies: usize) -> Update {
        let mut next = self.shared.clone();
        self.set_service(&mut next, 0, 0, "good");
        let workloads = (0..WORKLOADS).map(|w| (WorkloadId(w), self.layer(w)));
        let layers: BTreeMap<_, _> = workloads.collect();
        let placed = (0..proxies).map(|n| (Self::proxy(n), WorkloadId(n as u32 % WORKLOADS))).collect();
        self.publish(next, layers, placed)
    }

    /// One change, chosen by two bytes.
    pub(super) fn change(&mut self, action: u8, argument: u8) -> Update {
        self.version += 1;
        let service = argument % SERVICES;
        let mut next = self.shared.clone();
        let (mut layers, mut proxies) = (self.layers.clone(), self.proxies.clone());
        match action / 8 % 8 {
            0 | 1 => self.set_service(&mut next, service, argument / SERVICES % SERVICES, "good"),
            2 => Self::remove_service(&mut next, service),
            3 => self.touch(&mut next, TypeUrl::Endpoints, service),
            4 => self.touch(&mut next, TypeUrl::Cluster, service),
            5 => self.spoil(&mut next, argument),
            6 => {
                let proxy = Self::proxy(usize::from(argument) % proxies.len());
                proxies.insert(proxy, WorkloadId(u32::from(argument) / 8 % WORKLOADS));
            }
            _ => {
                let workload = u32::from(argument) % WORKLOADS;
                layers.insert(WorkloadId(workload), self.layer(workload));
            }
        }
        self.publish(next, layers, proxies)
    }

    /// A service and the route to it, which leads to another service's cluster if that is there.
    fn set_service(&self, state: &mut State, service: u8, target: u8, quality: &str) {
        let v = self.version;
        let name = format!("service-{service}");
        state.entry(key(TypeUrl::Cluster, &name)).or_insert(format!("good {v}"));
        state.entry(key(TypeUrl::Endpoints, &name)).or_insert(format!("good {v}"));
        let target = key(TypeUrl::Cluster, &format!("service-{target}"));
        let cluster = if state.contains_key(&target) { target.1.to_string() } else { name.clone() };
        state.insert(key(TypeUrl::Route, &name), format!("{quality} {v} {cluster}"));
        state.entry(key(TypeUrl::Listener, &name)).or_insert(format!("good {v} {name}"));
    }

    /// Routes that lead to it are led back to their own service first. The first service stays.
    fn remove_service(state: &mut State, service: u8) {
        if service == 0 {
            return;
        }
        let name = format!("service-{service}");
        state.retain(|(_, other), _| other.as_str() != name);
        for ((type_url, own), body) in state.iter_mut() {
            if *type_url == TypeUrl::Route && names(body) == Some(&name) {
                *body = format!("good moved {own}");
            }
        }
    }

    fn touch(&self, state: &mut State, type_url: TypeUrl, service: u8) {
        if let Some(body) = state.get_mut(&key(type_url, &format!("service-{service}"))) {
            *body = format!("good {}", self.version);
        }
    }

    /// A resource that clients reject. Endpoints cannot be bad.
    fn spoil(&mut self, state: &mut State, argument: u8) {
        let type_url = [TypeUrl::Cluster, TypeUrl::Route, TypeUrl::Listener][usize::from(argument) / 8 % 3];
        let key = key(type_url, &format!("service-{}", argument % SERVICES));
        if let Some(body) = state.get_mut(&key) {
            let named = names(body).unwrap_or_default().to_owned();
            *body = format!("bad {} {named}", self.version);
            self.bad.insert(key);
        }
    }

    fn layer(&self, workload: u32) -> State {
        let v = self.version;
        [
            (key(TypeUrl::Listener, "inbound"), "good 0 inbound".to_owned()),
            (key(TypeUrl::Route, "inbound"), format!("good {workload}-{v} service-0")),
        ]
        .into()
    }

    fn publish(
        &mut self,
        shared: State,
        layers: BTreeMap<WorkloadId, State>,
        proxies: BTreeMap<ProxyId, WorkloadId>,
    ) -> Update {
        self.epoch = self.epoch.next();
        let empty = State::new();
        let of = |layer: &State, workload: &WorkloadId| changes(self.layers.get(workload).unwrap_or(&empty), layer);
        let workloads = layers.iter().map(|(w, layer)| (*w, LayerChange::Resources(of(layer, w))));
        let moved = proxies.iter().filter(|(proxy, workload)| self.proxies.get(*proxy) != Some(*workload));
        let update = Update {
            epoch: self.epoch,
            shared: changes(&self.shared, &shared),
            workloads: workloads.collect(),
            proxies: moved.map(|(proxy, workload)| ProxyChange::Set(proxy.clone(), *workload)).collect(),
        };
        (self.shared, self.layers, self.proxies) = (shared, layers, proxies);
        update
    }

    /// Everything that a proxy may see.
    pub(super) fn visible(&self, proxy: &ProxyId) -> State {
        let mut state = self.shared.clone();
        state.extend(self.proxies.get(proxy).and_then(|w| self.layers.get(w)).cloned().unwrap_or_default());
        state
    }

    /// Whether any version of it was bad, so that a client may not have it.
    pub(super) fn was_bad(&self, type_url: TypeUrl, name: &str) -> bool {
        self.bad.contains(&key(type_url, name))
    }

    pub(super) fn ever_bad(&self) -> bool {
        !self.bad.is_empty()
    }
}

/// What a resource names: a route its cluster, a listener its route.
pub(super) fn names(body: &str) -> Option<&str> {
    body.split(' ').nth(2).filter(|name| !name.is_empty())
}

pub(super) fn is_bad(body: &str) -> bool {
    body.starts_with("bad")
}

fn changes(old: &State, new: &State) -> Vec<Change> {
    let set = new
        .iter()
        .filter(|(key, body)| old.get(*key) != Some(*body))
        .map(|((type_url, name), body)| Change::Set(Arc::new(Resource::new(*type_url, name.clone(), body))));
    let removed = old.keys().filter(|key| !new.contains_key(*key)).map(|(t, name)| Change::Remove(*t, name.clone()));
    set.chain(removed).collect()
}

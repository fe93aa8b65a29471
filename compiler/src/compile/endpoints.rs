//! The addresses behind a Service, as far as they are surely its own.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use smidge_mesh::{Endpoint, Endpoints, PodName, PortEndpoints, Protocol, ServiceName, Share, WeightedBackend};

use super::{protocol_of, service::meshed_service, splits};
use crate::{
    Snapshot,
    facts::{EndpointFacts, EndpointSliceFacts, PodFacts, ServiceFacts, ServicePortFacts},
    link::Link,
};

/// The addresses behind a Service.
pub fn compile_endpoints(snapshot: &Snapshot, name: &ServiceName) -> Option<Endpoints> {
    let facts = meshed_service(snapshot, name)?;
    let split = splits::plain_in_force(snapshot, name);
    let port = |(number, port): (&u16, &ServicePortFacts)| {
        let takes_tcp = matches!(protocol_of(*number, port, snapshot.config()), Protocol::Tcp | Protocol::Detect);
        let tcp = split.filter(|_| takes_tcp).and_then(|split| {
            let mut usable = splits::shares(snapshot, split, *number).peekable();
            usable.peek()?;
            Some(usable.filter_map(|backend| share(snapshot, backend)).collect())
        });
        (*number, PortEndpoints { own: own_endpoints(snapshot, facts, port), tcp })
    };
    Some(Endpoints { service: name.clone(), ports: facts.ports.iter().map(port).collect() })
}

/// A backend's share of the connections; none while it has no endpoint.
fn share(snapshot: &Snapshot, backend: WeightedBackend) -> Option<Share> {
    let facts = snapshot.service(&backend.service)?;
    let endpoints = own_endpoints(snapshot, facts, facts.ports.get(&backend.port)?);
    (!endpoints.is_empty()).then_some(Share { service: backend.service, weight: backend.weight, endpoints })
}

/// The endpoints of one port, each address once, the healthiest report of it.
pub(crate) fn own_endpoints(snapshot: &Snapshot, facts: &ServiceFacts, port: &ServicePortFacts) -> Vec<Endpoint> {
    let mut endpoints: BTreeMap<SocketAddr, Endpoint> = BTreeMap::new();
    for slice in slices_of(snapshot, &facts.name()) {
        for number in slice.ports.iter().filter(|p| p.name == port.name).map(|p| p.number) {
            for endpoint in slice.endpoints.iter().filter_map(|endpoint| usable(snapshot, facts, endpoint, number)) {
                let known = endpoints.entry(endpoint.address).or_insert_with(|| endpoint.clone());
                if (endpoint.health, &endpoint.zone) < (known.health, &known.zone) {
                    *known = endpoint;
                }
            }
        }
    }
    endpoints.into_values().collect()
}

fn usable(snapshot: &Snapshot, facts: &ServiceFacts, endpoint: &EndpointFacts, port: u16) -> Option<Endpoint> {
    let meshed = match claim(snapshot, &facts.origin.namespace, endpoint) {
        Claim::Pod(pod) => pod.meshed,
        Claim::Outside => false,
        Claim::Foreign(_) | Claim::Gone => return None,
    };
    let address = SocketAddr::new(endpoint.address, port);
    Some(Endpoint { address, zone: endpoint.zone.clone(), health: endpoint.health, meshed })
}

/// Whose an address in an EndpointSlice really is: a slice alone claims nothing.
pub(crate) enum Claim<'a> {
    /// A pod of the slice's namespace.
    Pod(&'a PodFacts),
    /// No pod's, and not said to be one's: something outside, or on a node.
    Outside,
    /// A pod of another namespace.
    Foreign(&'a PodFacts),
    /// Said to be a pod's that is not there (any more, or yet).
    Gone,
}

/// Looks up whose an address in a slice of a namespace is.
pub(crate) fn claim<'a>(snapshot: &'a Snapshot, namespace: &Arc<str>, endpoint: &EndpointFacts) -> Claim<'a> {
    match pod_with_address(snapshot, endpoint.address) {
        Some(pod) if pod.origin.namespace == *namespace => Claim::Pod(pod),
        Some(pod) => Claim::Foreign(pod),
        None if endpoint.pod.as_ref().is_some_and(|pod| !is_on_host(snapshot, pod)) => Claim::Gone,
        None => Claim::Outside,
    }
}

fn is_on_host(snapshot: &Snapshot, pod: &PodName) -> bool {
    snapshot.pod(pod).is_some_and(|pod| pod.on_host)
}

/// The pod that has an address: addresses are used again, so one that is not being deleted, and the youngest.
pub(super) fn pod_with_address(snapshot: &Snapshot, address: IpAddr) -> Option<&PodFacts> {
    let pods = snapshot.linked(&Link::PodAddress(address)).filter_map(|object| snapshot.pod_at(object));
    pods.min_by(|a, b| {
        let youngest = b.origin.created.cmp(&a.origin.created);
        a.terminating.cmp(&b.terminating).then(youngest).then(a.origin.cmp(&b.origin))
    })
}

/// The slices of a Service.
pub(super) fn slices_of<'a>(
    snapshot: &'a Snapshot,
    service: &ServiceName,
) -> impl Iterator<Item = &'a EndpointSliceFacts> + use<'a> {
    snapshot.linked(&Link::SliceOf(service.clone())).filter_map(|object| snapshot.slice_at(object))
}

/// The Services whose slices hold an address, each once.
pub(crate) fn services_with_address(snapshot: &Snapshot, address: IpAddr) -> Vec<&ServiceFacts> {
    let slices = snapshot.linked(&Link::SliceAddress(address)).filter_map(|object| snapshot.slice_at(object));
    let mut names: Vec<&ServiceName> = slices.filter_map(|slice| slice.service.as_ref()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter_map(|name| snapshot.service(name)).collect()
}

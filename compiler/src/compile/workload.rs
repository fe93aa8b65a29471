//! What a pod's inbound side is compiled for.

use std::{collections::BTreeMap, net::IpAddr};

use smidge_mesh::{Identity, Mtls, PodName, Protocol, WorkloadKey};

use super::{
    endpoints::{pod_with_address, slices_of},
    ingress, protocol_of, services_with_address,
};
use crate::{
    Snapshot,
    facts::{PodFacts, ServiceFacts, ServicePortFacts, TargetPort},
    link::Link,
};

/// What the pod's inbound side is compiled for; `None`: the pod is not there or not in the mesh.
pub fn workload_key(snapshot: &Snapshot, pod: &PodName) -> Option<WorkloadKey> {
    let pod = snapshot.pod(pod).filter(|pod| pod.meshed)?;
    let namespace = snapshot.namespace(&pod.origin.namespace);
    let mode = namespace.and_then(|facts| facts.mode).unwrap_or(snapshot.config().mode);
    let said = namespace.and_then(|facts| facts.mtls).or(snapshot.config().mtls);
    let services = services_of(snapshot, pod);
    let mut ports = BTreeMap::new();
    for (port, protocol) in ports_among(snapshot, pod, &services) {
        ports.entry(port).and_modify(|known| *known = both(*known, protocol)).or_insert(protocol);
    }
    let mtls = said.unwrap_or_else(|| Mtls::of(mode));
    let openings = ingress::openings(snapshot, pod, &services);
    Some(WorkloadKey { identity: identity(snapshot, pod), ports, mode, mtls, openings })
}

/// Who a pod is.
pub(super) fn identity(snapshot: &Snapshot, pod: &PodFacts) -> Identity {
    Identity {
        trust_domain: snapshot.config().trust_domain.clone(),
        namespace: pod.origin.namespace.clone(),
        service_account: pod.service_account.clone(),
    }
}

/// What a port speaks to which Services send two protocols: the server's side has to find out.
fn both(one: Protocol, other: Protocol) -> Protocol {
    match (one, other) {
        (one, other) if one == other => one,
        (Protocol::Http | Protocol::Http2, Protocol::Http | Protocol::Http2) => Protocol::Http,
        _ => Protocol::Detect,
    }
}

/// The ports of a pod that Services send traffic to, with what those say of them.
pub(crate) fn inbound_ports(snapshot: &Snapshot, pod: &PodFacts) -> Vec<(u16, Protocol)> {
    ports_among(snapshot, pod, &services_of(snapshot, pod))
}

fn ports_among(snapshot: &Snapshot, pod: &PodFacts, services: &[&ServiceFacts]) -> Vec<(u16, Protocol)> {
    let mut ports = Vec::new();
    for facts in services {
        for (number, port) in &facts.ports {
            let protocol = protocol_of(*number, port, snapshot.config());
            ports.extend(pod_ports(snapshot, facts, port, pod).into_iter().map(|target| (target, protocol)));
        }
    }
    ports
}

/// The Services that send traffic to a pod: those that select it, and those without a selector that list it.
pub fn services_of<'a>(snapshot: &'a Snapshot, pod: &PodFacts) -> Vec<&'a ServiceFacts> {
    let namespace = &pod.origin.namespace;
    let labels = pod.labels.iter().map(|(key, value)| Link::Selector(namespace.clone(), key.clone(), value.clone()));
    let selecting = labels.flat_map(|label| snapshot.linked(&label)).filter_map(|object| snapshot.service_at(object));
    let mut services: Vec<_> = selecting.filter(|facts| facts.selects(&pod.labels)).collect();
    let is_own =
        |address: &&IpAddr| pod_with_address(snapshot, **address).is_some_and(|owner| owner.origin == pod.origin);
    for address in pod.addresses.iter().filter(is_own) {
        let listing = services_with_address(snapshot, *address).into_iter();
        services.extend(listing.filter(|facts| facts.selector.is_empty() && facts.origin.namespace == *namespace));
    }
    services.sort_unstable_by_key(|facts| &facts.origin);
    services.dedup_by_key(|facts| &facts.origin);
    services
}

/// Which ports of a pod a Service's port means there.
pub(crate) fn pod_ports(
    snapshot: &Snapshot,
    facts: &ServiceFacts,
    port: &ServicePortFacts,
    pod: &PodFacts,
) -> Vec<u16> {
    if facts.selector.is_empty() {
        let slices = slices_of(snapshot, &facts.name());
        let listing = slices.filter(|slice| slice.endpoints.iter().any(|e| pod.addresses.contains(&e.address)));
        return listing.flat_map(|slice| &slice.ports).filter(|p| p.name == port.name).map(|p| p.number).collect();
    }
    match &port.target {
        TargetPort::Number(number) => vec![*number],
        TargetPort::Name(name) => pod.named_ports.get(name).copied().into_iter().collect(),
    }
}

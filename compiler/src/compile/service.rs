//! A Service as its clients see it: addresses, ports, routes.

use std::net::IpAddr;

use smidge_mesh::{DirectAddress, Protocol, Service, ServiceName, ServicePort};

use super::{
    endpoints::{own_endpoints, pod_with_address, slices_of},
    is_meshed, protocol_of, services_with_address, splits,
};
use crate::{
    Snapshot,
    facts::{Addressing, ServiceFacts, ServicePortFacts},
    link::Link,
};

/// A Service's ports and routes; `None`: there is no such Service in the mesh.
pub fn compile_service(snapshot: &Snapshot, name: &ServiceName) -> Option<Service> {
    let facts = meshed_service(snapshot, name)?;
    let config = snapshot.config();
    let owned =
        |address: &&IpAddr| address_owner(snapshot, **address).is_some_and(|owner| owner.origin == facts.origin);
    let port = |(number, port): (&u16, &ServicePortFacts)| {
        let protocol = protocol_of(*number, port, config);
        let routes = match protocol {
            Protocol::Tcp => Vec::new(),
            Protocol::Http | Protocol::Http2 | Protocol::Detect => splits::routes(snapshot, name, *number),
        };
        (*number, ServicePort { protocol, direct: direct(snapshot, facts, port), routes })
    };
    Some(Service {
        name: name.clone(),
        addresses: facts.addresses().iter().filter(owned).copied().collect(),
        ports: facts.ports.iter().map(port).collect(),
        telemetry: config.telemetry,
    })
}

/// The facts about a Service of the mesh that has endpoints.
pub(super) fn meshed_service<'a>(snapshot: &'a Snapshot, name: &ServiceName) -> Option<&'a ServiceFacts> {
    let facts = snapshot.service(name).filter(|facts| splits::has_endpoints(facts))?;
    is_meshed(snapshot, &name.namespace).then_some(facts)
}

/// Whose a cluster IP is: the oldest Service that has it. No pod's address is one.
pub(crate) fn address_owner(snapshot: &Snapshot, address: IpAddr) -> Option<&ServiceFacts> {
    if snapshot.count_linked(&Link::PodAddress(address)) > 0 {
        return None;
    }
    let having = snapshot.linked(&Link::Virtual(address)).filter_map(|object| snapshot.service_at(object));
    having.min_by_key(|facts| &facts.origin)
}

/// The pods that a headless Service's clients call one by one.
fn direct(snapshot: &Snapshot, facts: &ServiceFacts, port: &ServicePortFacts) -> Vec<DirectAddress> {
    if facts.addressing != Addressing::Headless {
        return Vec::new();
    }
    let meshed = own_endpoints(snapshot, facts, port).into_iter().filter(|endpoint| endpoint.meshed);
    let addresses = meshed.map(|endpoint| DirectAddress { ip: endpoint.address.ip(), port: endpoint.address.port() });
    addresses
        .filter(|address| direct_owner(snapshot, *address).is_some_and(|owner| owner.origin == facts.origin))
        .collect()
}

/// Which headless Service answers for a pod's port that is called by the pod's own address: the oldest that has it.
pub(crate) fn direct_owner(snapshot: &Snapshot, address: DirectAddress) -> Option<&ServiceFacts> {
    let pod = pod_with_address(snapshot, address.ip)?;
    services_with_address(snapshot, address.ip)
        .into_iter()
        .filter(|facts| facts.origin.namespace == pod.origin.namespace)
        .filter(|facts| facts.addressing == Addressing::Headless && is_meshed(snapshot, &facts.origin.namespace))
        .filter(|facts| facts.ports.values().any(|port| has_port(snapshot, facts, port, address)))
        .min_by_key(|facts| &facts.origin)
}

fn has_port(snapshot: &Snapshot, facts: &ServiceFacts, port: &ServicePortFacts, address: DirectAddress) -> bool {
    slices_of(snapshot, &facts.name()).any(|slice| {
        slice.ports.iter().any(|p| p.name == port.name && p.number == address.port)
            && slice.endpoints.iter().any(|endpoint| endpoint.address == address.ip)
    })
}

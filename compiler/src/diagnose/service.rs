//! What is told of Services and EndpointSlices.

use smidge_mesh::DirectAddress;

use super::Told;
use crate::{
    codes,
    compile::{
        Claim, address_owner, claim, direct_owner, own_endpoints, own_pods, protocol_of, said_by_app_protocol,
        workload::{inbound_ports, pod_ports},
    },
    facts::{Addressing, EndpointSliceFacts, ServiceFacts, ServicePortFacts, shown},
};

/// How many pods of a Service are looked at: they are much the same.
const MOST_PODS: usize = 16;

pub(super) fn tell(told: &mut Told<'_>, facts: &ServiceFacts) {
    taken_addresses(told, facts);
    for (number, port) in &facts.ports {
        unknown_app_protocol(told, *number, port);
        taken_direct_addresses(told, facts, *number, port);
        disagreeing_protocols(told, facts, *number, port);
    }
}

fn taken_addresses(told: &mut Told<'_>, facts: &ServiceFacts) {
    for address in facts.addresses() {
        match address_owner(told.snapshot, *address) {
            Some(owner) if owner.origin == facts.origin => {}
            Some(owner) => {
                let message = format!("{address} is the cluster IP of the older Service {}", owner.name());
                told.add(codes::ADDRESS_TAKEN, "spec.clusterIP", message);
            }
            None => told.add(codes::ADDRESS_TAKEN, "spec.clusterIP", format!("{address} is a pod's address")),
        }
    }
}

fn unknown_app_protocol(told: &mut Told<'_>, number: u16, port: &ServicePortFacts) {
    if let Some(text) = port.app_protocol.as_deref().filter(|text| said_by_app_protocol(text).is_none()) {
        let message =
            format!("port {number}: {} is unknown: the port's name and the mesh's default decide", shown(text));
        told.add(codes::UNKNOWN_APP_PROTOCOL, "spec.ports.appProtocol", message);
    }
}

fn taken_direct_addresses(told: &mut Told<'_>, facts: &ServiceFacts, number: u16, port: &ServicePortFacts) {
    if facts.addressing != Addressing::Headless {
        return;
    }
    for endpoint in own_endpoints(told.snapshot, facts, port).into_iter().filter(|endpoint| endpoint.meshed) {
        let address = DirectAddress { ip: endpoint.address.ip(), port: endpoint.address.port() };
        if let Some(owner) = direct_owner(told.snapshot, address).filter(|owner| owner.origin != facts.origin) {
            let message =
                format!("port {number}: {} is called as the older Service {}", endpoint.address, owner.name());
            told.add(codes::DIRECT_ADDRESS_TAKEN, "spec.ports", message);
            return;
        }
    }
}

fn disagreeing_protocols(told: &mut Told<'_>, facts: &ServiceFacts, number: u16, port: &ServicePortFacts) {
    let snapshot = told.snapshot;
    let own = protocol_of(number, port, snapshot.config());
    for pod in own_pods(snapshot, facts).into_iter().take(MOST_PODS) {
        let targets = pod_ports(snapshot, facts, port, pod);
        let others = inbound_ports(snapshot, pod);
        let other = others.iter().find(|(target, protocol)| targets.contains(target) && *protocol != own);
        if let Some((target, protocol)) = other {
            let message = format!(
                "port {number} speaks {own:?}, another Service says that {target} of the pods speaks {protocol:?}"
            );
            told.add(codes::PROTOCOLS_DISAGREE, "spec.ports", message);
            return;
        }
    }
}

pub(super) fn tell_slice(told: &mut Told<'_>, slice: &EndpointSliceFacts) {
    for endpoint in &slice.endpoints {
        if let Claim::Foreign(pod) = claim(told.snapshot, &slice.origin.namespace, endpoint) {
            let message = format!("{} is the address of pod {}: it is left out", endpoint.address, pod.name());
            told.add(codes::FOREIGN_ENDPOINT, "endpoints", message);
        }
    }
}

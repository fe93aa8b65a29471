//! What Kubernetes' controllers would add: the EndpointSlices of Services that select pods.

use std::{collections::BTreeSet, sync::Arc};

use smidge_mesh::Health;

use crate::{
    Fact,
    facts::{
        Addressing, EndpointFacts, EndpointSliceFacts, PodFacts, ServiceFacts, ServicePortFacts, SlicePort, TargetPort,
    },
};

/// The slices of the Services that have none of their author's: one for each pod.
pub(super) fn endpoint_slices<'a>(facts: impl Iterator<Item = &'a Fact> + Clone) -> Vec<Fact> {
    let authored: BTreeSet<_> = facts.clone().filter_map(slice).filter_map(|slice| slice.service.clone()).collect();
    let pods: Vec<&PodFacts> = facts.clone().filter_map(pod).collect();
    let services = facts.filter_map(service).filter(|service| !authored.contains(&service.name()));
    services.flat_map(|service| pods.iter().filter_map(|pod| slice_for(service, pod))).collect()
}

fn slice(fact: &Fact) -> Option<&EndpointSliceFacts> {
    if let Fact::EndpointSlice(slice) = fact { Some(slice) } else { None }
}

fn pod(fact: &Fact) -> Option<&PodFacts> {
    if let Fact::Pod(pod) = fact { Some(pod) } else { None }
}

fn service(fact: &Fact) -> Option<&ServiceFacts> {
    if let Fact::Service(service) = fact { Some(service) } else { None }
}

fn slice_for(service: &ServiceFacts, pod: &PodFacts) -> Option<Fact> {
    let is_selected = service.origin.namespace == pod.origin.namespace
        && !matches!(service.addressing, Addressing::External)
        && !service.selector.is_empty()
        && service.selects(&pod.labels);
    let health = match (pod.ready || service.publishes_unready, pod.terminating) {
        (true, false) => Health::Ready,
        (true, true) => Health::Draining,
        (false, _) => return None,
    };
    let endpoint = |&address| EndpointFacts { address, health, zone: None, pod: Some(pod.name()) };
    let mut origin = service.origin.clone();
    origin.name = format!("{}-{}", service.origin.name, pod.origin.name).into();
    is_selected.then(|| {
        Fact::EndpointSlice(Arc::new(EndpointSliceFacts {
            origin,
            service: Some(service.name()),
            ports: ports(service, pod),
            endpoints: pod.addresses.iter().map(endpoint).collect(),
        }))
    })
}

fn ports(service: &ServiceFacts, pod: &PodFacts) -> Vec<SlicePort> {
    let number = |target: &TargetPort| match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => pod.named_ports.get(name).copied(),
    };
    let port = |port: &ServicePortFacts| Some(SlicePort { name: port.name.clone(), number: number(&port.target)? });
    service.ports.values().filter_map(port).collect()
}

//! What a workload lets in from outside the mesh: IngressBackends, with the Services and routes that they name.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use smidge_mesh::{HttpMatch, IngressGrant, Members, Opening, Principal, ServiceName, WorkloadKey};

use super::{
    endpoints::{Claim, claim, slices_of},
    inbound::selected_matches,
    own_pods,
    workload::{identity, pod_ports},
};
use crate::{
    Kind, ObjectRef, Snapshot,
    facts::{IngressBackendFacts, IngressFacts, IngressSource, PodFacts, ServiceFacts},
    link::Link,
};

/// What IngressBackends open at a pod behind these Services. In the workload key, because pods that are otherwise alike
/// may be behind different ones.
pub(super) fn openings(snapshot: &Snapshot, pod: &PodFacts, services: &[&ServiceFacts]) -> BTreeSet<Opening> {
    let mut openings = BTreeSet::new();
    for facts in services {
        let name = facts.name();
        let naming = snapshot.linked(&Link::Ingress(name.clone())).filter_map(|object| snapshot.ingress_at(object));
        for ingress in naming {
            for backend in ingress.backends.iter().filter(|backend| backend.service == name) {
                let Some(port) = facts.ports.get(&backend.port) else { continue };
                openings.extend(pod_ports(snapshot, facts, port, pod).into_iter().map(|port| Opening {
                    port,
                    ingress: ingress.origin.name.clone(),
                    backend: backend.position,
                }));
            }
        }
    }
    openings
}

/// What is permitted by what is opened.
pub(super) fn grants(snapshot: &Snapshot, key: &WorkloadKey) -> Vec<IngressGrant> {
    let mut members = BTreeMap::new();
    let grant = |opening: &Opening| {
        let object = ObjectRef::new(Kind::IngressBackend, key.identity.namespace.clone(), opening.ingress.clone());
        let facts = snapshot.ingress_at(&object)?;
        let backend = facts.backends.iter().find(|backend| backend.position == opening.backend)?;
        let members = members.entry(opening.ingress.clone()).or_insert_with(|| all_guests(snapshot, facts)).clone();
        Some(permission(snapshot, facts, backend, opening.port, members))
    };
    key.openings.iter().filter_map(grant).collect()
}

fn permission(
    snapshot: &Snapshot,
    facts: &IngressFacts,
    backend: &IngressBackendFacts,
    port: u16,
    members: Members,
) -> IngressGrant {
    let (mut ranges, mut principals) = (BTreeSet::<IpNet>::new(), BTreeSet::<Principal>::new());
    for source in &facts.sources {
        match &source.source {
            IngressSource::Range(range) => drop(ranges.insert(*range)),
            IngressSource::Principal(principal) => drop(principals.insert(principal.clone())),
            IngressSource::Service(_) => {}
        }
    }
    let requests = backend.routes.as_ref().map(|rules| {
        let all = rules.iter().flat_map(|rule| selected_matches(snapshot, &facts.origin.namespace, rule));
        all.map(|named| named.request.clone()).collect::<BTreeSet<HttpMatch>>().into_iter().collect()
    });
    let name = format!("{}/{}", facts.origin.namespace, facts.origin.name).into();
    IngressGrant { name, backend: backend.position, port, ranges, principals, members, requests }
}

fn all_guests(snapshot: &Snapshot, facts: &IngressFacts) -> Members {
    let mut all = Members::default();
    for service in facts.services() {
        let Members { addresses, identities } = guests(snapshot, service);
        all.addresses.extend(addresses);
        all.identities.extend(identities);
    }
    all
}

/// The pods of a Service, as callers: their addresses as far as they are surely its own; of pods in the mesh, which
/// call by mTLS, their identities.
pub(crate) fn guests(snapshot: &Snapshot, service: &ServiceName) -> Members {
    let mut members = Members::default();
    if snapshot.service(service).is_none() {
        return members;
    }
    for endpoint in slices_of(snapshot, service).flat_map(|slice| &slice.endpoints) {
        match claim(snapshot, &service.namespace, endpoint) {
            Claim::Pod(pod) if pod.meshed => drop(members.identities.insert(identity(snapshot, pod))),
            Claim::Pod(_) | Claim::Outside => drop(members.addresses.insert(endpoint.address)),
            Claim::Foreign(_) | Claim::Gone => {}
        }
    }
    members
}

/// The pods behind a backend, with those of their ports that it means.
pub(crate) fn ports_behind<'a>(snapshot: &'a Snapshot, backend: &IngressBackendFacts) -> Vec<(&'a PodFacts, Vec<u16>)> {
    let facts = snapshot.service(&backend.service);
    let Some((facts, port)) = facts.and_then(|facts| Some((facts, facts.ports.get(&backend.port)?))) else {
        return Vec::new();
    };
    own_pods(snapshot, facts).into_iter().map(|pod| (pod, pod_ports(snapshot, facts, port, pod))).collect()
}

//! The identities behind a Service.

use std::collections::BTreeSet;

use smidge_mesh::{Identity, Peers, ServiceName};

use super::{
    endpoints::{Claim, claim, slices_of},
    service::meshed_service,
    splits,
    workload::identity,
};
use crate::{
    Snapshot,
    facts::{PodFacts, ServiceFacts},
    link::Link,
};

/// The identities behind a Service.
pub fn compile_peers(snapshot: &Snapshot, name: &ServiceName) -> Option<Peers> {
    let facts = meshed_service(snapshot, name)?;
    let own = identities(snapshot, facts);
    let backends = splits::plain_in_force(snapshot, name).into_iter().flat_map(|split| &split.backends);
    let others = backends.filter_map(|backend| snapshot.service(&backend.service));
    let tcp = others.flat_map(|facts| identities(snapshot, facts)).chain(own.iter().cloned()).collect();
    Some(Peers { service: name.clone(), own, tcp, trust_bundle: snapshot.trust_bundle().clone() })
}

fn identities(snapshot: &Snapshot, facts: &ServiceFacts) -> BTreeSet<Identity> {
    let pods = own_pods(snapshot, facts).into_iter().filter(|pod| pod.meshed);
    pods.map(|pod| identity(snapshot, pod)).collect()
}

/// The pods behind a Service: those that it selects, ready or not, and those that its slices hold. So they are there
/// before they are endpoints and go after them.
pub fn own_pods<'a>(snapshot: &'a Snapshot, facts: &ServiceFacts) -> Vec<&'a PodFacts> {
    let listed =
        slices_of(snapshot, &facts.name()).flat_map(|slice| &slice.endpoints).filter_map(|endpoint| {
            match claim(snapshot, &facts.origin.namespace, endpoint) {
                Claim::Pod(pod) => Some(pod),
                Claim::Outside | Claim::Foreign(_) | Claim::Gone => None,
            }
        });
    let mut pods: Vec<_> = selected(snapshot, facts).into_iter().chain(listed).collect();
    pods.sort_unstable_by_key(|pod| &pod.origin.name);
    pods.dedup_by_key(|pod| &pod.origin.name);
    pods
}

/// The pods that a Service selects, found by the label that fewest have.
fn selected<'a>(snapshot: &'a Snapshot, facts: &ServiceFacts) -> Vec<&'a PodFacts> {
    let namespace = &facts.origin.namespace;
    let labels = facts.selector.iter().map(|(key, value)| Link::Label(namespace.clone(), key.clone(), value.clone()));
    let Some(rarest) = labels.min_by_key(|label| snapshot.count_linked(label)) else { return Vec::new() };
    let pods = snapshot.linked(&rarest).filter_map(|object| snapshot.pod_at(object));
    pods.filter(|pod| facts.selects(&pod.labels)).collect()
}

//! The functions per key, and all of them together.

mod endpoints;
mod inbound;
mod ingress;
mod peers;
mod protocol;
mod service;
pub(crate) mod splits;
pub(crate) mod workload;

use std::sync::Arc;

use smidge_mesh::Mesh;

use crate::{Snapshot, facts::PodFacts};

pub use endpoints::compile_endpoints;
pub(crate) use endpoints::{Claim, claim, own_endpoints, services_with_address};
pub use inbound::{compile_inbound, opened_ports, permission, selected_matches};
pub(crate) use ingress::{guests, ports_behind};
pub use peers::compile_peers;
pub use peers::own_pods;
pub use protocol::protocol_of;
pub(crate) use protocol::said_by_app_protocol;
pub use service::compile_service;
pub(crate) use service::{address_owner, direct_owner};
pub use workload::{services_of, workload_key};

/// Whether a namespace's Services are in the mesh.
pub(crate) fn is_meshed(snapshot: &Snapshot, namespace: &Arc<str>) -> bool {
    snapshot.namespace(namespace).is_some_and(|facts| facts.meshed)
}

/// The pods of the mesh: each runs a sidecar.
pub fn meshed_pods(snapshot: &Snapshot) -> impl Iterator<Item = &PodFacts> {
    snapshot.pods().filter(|pod| pod.meshed)
}

/// All of it: the specification, and the oracle of the tests.
pub fn compile(snapshot: &Snapshot) -> Mesh {
    let mut mesh = Mesh::default();
    for facts in snapshot.services() {
        let name = facts.name();
        mesh.services.extend(compile_service(snapshot, &name).map(|value| (name.clone(), value)));
        mesh.endpoints.extend(compile_endpoints(snapshot, &name).map(|value| (name.clone(), value)));
        mesh.peers.extend(compile_peers(snapshot, &name).map(|value| (name, value)));
    }
    for pod in meshed_pods(snapshot).map(PodFacts::name) {
        let Some(key) = workload_key(snapshot, &pod) else { continue };
        mesh.inbound.entry(key.clone()).or_insert_with(|| compile_inbound(snapshot, &key));
        mesh.workloads.insert(pod, key);
    }
    mesh
}

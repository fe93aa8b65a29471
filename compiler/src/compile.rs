//! The functions per key, and all of them together.

use smidge_mesh as mesh;

use crate::{Snapshot, facts::PodFacts};

/// A Service's ports and routes; `None`: there is no such Service in the mesh.
pub fn compile_service(_: &Snapshot, _: &mesh::ServiceName) -> Option<mesh::Service> {
    None
}

/// The addresses behind a Service.
pub fn compile_endpoints(_: &Snapshot, _: &mesh::ServiceName) -> Option<mesh::Endpoints> {
    None
}

/// The identities behind a Service.
pub fn compile_peers(_: &Snapshot, _: &mesh::ServiceName) -> Option<mesh::Peers> {
    None
}

/// The inbound side of the workloads that share a key.
pub fn compile_inbound(_: &Snapshot, key: &mesh::WorkloadKey) -> mesh::Inbound {
    mesh::Inbound {
        key: key.clone(),
        grants: Vec::new(),
        trust_bundle: mesh::TrustBundle::default(),
        telemetry: mesh::Telemetry::default(),
    }
}

/// What the pod's inbound side is compiled for; `None`: the pod is not there or not in the mesh.
pub fn workload_key(_: &Snapshot, _: &mesh::PodName) -> Option<mesh::WorkloadKey> {
    None
}

/// The pods of the mesh: each runs a sidecar.
pub fn meshed_pods(snapshot: &Snapshot) -> impl Iterator<Item = &PodFacts> {
    snapshot.pods().filter(|pod| pod.meshed)
}

/// All of it: the specification, and the oracle of the tests.
pub fn compile(_: &Snapshot) -> mesh::Mesh {
    mesh::Mesh::default()
}

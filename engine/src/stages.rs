//! The one place that calls the compiler for pods, objects and the mesh itself.

use smidge_compiler::{Dirty, Snapshot, workload_key};
use smidge_mesh::{Base, PodName, WorkloadKey};

/// Where a meshed pod belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// What its inbound side is made of.
    pub(crate) key: WorkloadKey,
    /// Whether it is Ready.
    pub(crate) ready: bool,
}

/// The seat of a pod; `None`: it is not meshed.
pub(crate) fn seat(snapshot: &Snapshot, pod: &PodName) -> Option<Seat> {
    let key = workload_key(snapshot, pod)?;
    Some(Seat { key, ready: snapshot.pod(pod).is_some_and(|facts| facts.ready) })
}

/// What holds for the whole mesh.
pub(crate) fn base(snapshot: &Snapshot) -> Base {
    let config = snapshot.config();
    Base {
        trust_domain: config.trust_domain.clone(),
        trust_bundle: snapshot.trust_bundle().clone(),
        telemetry: config.telemetry,
    }
}

/// Adds what one change touches to what others do.
pub(crate) fn merge(dirty: &mut Dirty, more: Dirty) {
    dirty.services.extend(more.services);
    dirty.endpoints.extend(more.endpoints);
    dirty.peers.extend(more.peers);
    dirty.workloads.extend(more.workloads);
    dirty.inbound.extend(more.inbound);
    dirty.objects.extend(more.objects);
}

//! The one place that calls the compiler for pods and objects, and the translator.

use smidge_compiler::{Dirty, ObjectRef, Snapshot};
use smidge_mesh::{Endpoints, Inbound, Peers, PodName, Service, WorkloadKey};
use smidge_xds::Resource;

/// Where a meshed pod belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// What its inbound side is made of.
    pub(crate) key: WorkloadKey,
    /// Whether it is Ready.
    pub(crate) ready: bool,
}

/// The seat of a pod; `None`: it is not meshed.
pub(crate) fn seat(_: &Snapshot, _: &PodName) -> Option<Seat> {
    None
}

/// The generation of an object; `None`: there is no such object.
pub(crate) fn generation(_: &Snapshot, _: &ObjectRef) -> Option<i64> {
    None
}

/// Every object with a status.
pub(crate) fn objects(_: &Snapshot) -> Vec<ObjectRef> {
    Vec::new()
}

pub(crate) fn translate_service(_: &Service) -> Vec<Resource> {
    Vec::new()
}

pub(crate) fn translate_endpoints(_: &Endpoints) -> Vec<Resource> {
    Vec::new()
}

pub(crate) fn translate_peers(_: &Peers) -> Vec<Resource> {
    Vec::new()
}

pub(crate) fn translate_inbound(_: &Inbound) -> Vec<Resource> {
    Vec::new()
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

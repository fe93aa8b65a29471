//! Which keys a change touches.

use std::collections::BTreeSet;

use smidge_mesh::{PodName, ServiceAccountName, ServiceName};

use crate::{Change, ObjectRef, Snapshot};

/// The keys to compile again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// For `compile_service`.
    pub services: BTreeSet<ServiceName>,
    /// For `compile_endpoints`.
    pub endpoints: BTreeSet<ServiceName>,
    /// For `compile_peers`.
    pub peers: BTreeSet<ServiceName>,
    /// Pods whose workload key may be another one now.
    pub workloads: BTreeSet<PodName>,
    /// For `compile_inbound`: every workload key of these service accounts.
    pub inbound: BTreeSet<ServiceAccountName>,
    /// For `diagnose` and `reach`.
    pub objects: BTreeSet<ObjectRef>,
}

/// What a change touches. May name too much, never too little.
pub fn affected(_before: &Snapshot, _change: &Change, _after: &Snapshot) -> Dirty {
    Dirty::default()
}

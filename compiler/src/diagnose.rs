//! What to tell the author of an object, and whom the object concerns.

use std::collections::BTreeSet;

use smidge_mesh::{ServiceAccountName, ServiceName};

use crate::{Diagnostic, ObjectRef, Snapshot};

/// Everything there is to say about an object, errors first; empty: all is well (or there is no such object).
pub fn diagnose(_: &Snapshot, _: &ObjectRef) -> Vec<Diagnostic> {
    Vec::new()
}

/// Where an object takes effect: the keys whose values carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Services whose clients' outbound side carries it: every meshed pod is a client.
    pub services: BTreeSet<ServiceName>,
    /// Service accounts whose pods' inbound side carries it: every workload key of theirs.
    pub accounts: BTreeSet<ServiceAccountName>,
}

/// Where an object takes effect. Empty while it is not in force.
pub fn reach(_: &Snapshot, _: &ObjectRef) -> Reach {
    Reach::default()
}

//! The intermediate representation: what the mesh shall do, in the mesh's own words.
//!
//! The compiler makes these values from Kubernetes and SMI objects, the translator makes Envoy resources from them.
//! Each value is small, ordered and comparable, because equality is what stops work that need not be done: a value
//! equal to the old one is not translated again. Nothing here knows Kubernetes, SMI objects, Envoy, time or I/O.

mod base;
mod endpoints;
mod http;
mod identity;
mod inbound;
mod ingress;
mod mode;
mod name;
mod service;

use std::collections::BTreeMap;

use serde::Serialize;

pub use base::Base;
pub use endpoints::{Endpoint, Endpoints, Health, Peers, PortEndpoints, Share, TrustBundle};
pub use http::{HeaderName, HttpMatch, Method, PathPattern, ValuePattern};
pub use identity::{Identity, InvalidTrustDomain, TrustDomain};
pub use inbound::{Grant, Inbound, PortSet, Protocols, WorkloadKey};
pub use ingress::{IngressGrant, Members, Opening, Principal};
pub use mode::{Mode, Mtls, Telemetry};
pub use name::{PodName, ServiceAccountName, ServiceName};
pub use service::{DirectAddress, HttpRoute, Protocol, RouteName, Service, ServicePort, WeightedBackend};

/// All of it: what the whole mesh shall do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mesh {
    /// Every Service of the meshed namespaces.
    pub services: BTreeMap<ServiceName, Service>,
    /// The addresses behind each.
    pub endpoints: BTreeMap<ServiceName, Endpoints>,
    /// The identities behind each.
    pub peers: BTreeMap<ServiceName, Peers>,
    /// The inbound side of each kind of workload.
    pub inbound: BTreeMap<WorkloadKey, Inbound>,
    /// The workload key of each meshed pod.
    pub workloads: BTreeMap<PodName, WorkloadKey>,
}

//! What is behind a Service: its addresses and the identities that may answer for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use serde::Serialize;

use crate::{Identity, ServiceName};

/// The addresses behind a Service, by Service port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoints {
    /// Whose.
    pub service: ServiceName,
    /// By port number of the Service.
    pub ports: BTreeMap<u16, PortEndpoints>,
}

/// The addresses behind one port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PortEndpoints {
    /// The Service's own endpoints: what HTTP routes name, sorted.
    pub own: Vec<Endpoint>,
    /// Where TCP connections to this port go when a split is in force; `None`: to `own`.
    /// A TCP split lives here, not in a listener, so that changing it closes nothing.
    pub tcp: Option<Vec<Share>>,
}

/// A share of the TCP connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Whose endpoints these are.
    pub service: ServiceName,
    /// Relative to the other shares; above 0.
    pub weight: u32,
    /// Never empty.
    pub endpoints: Vec<Endpoint>,
}

/// One address that answers for a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its zone, from the EndpointSlice.
    pub zone: Option<Arc<str>>,
    /// Whether new requests may go there.
    pub health: Health,
    /// Whether it is a pod in the mesh, so that it is called by mTLS.
    pub meshed: bool,
}

/// Whether new requests may go to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Ready.
    Ready,
    /// Terminating but still serving: takes new requests only where no endpoint is ready.
    Draining,
}

/// The identities behind a Service: who may prove to be its server. Made from the pods that it selects, ready or not,
/// so that it grows before the endpoints do and shrinks after them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Peers {
    /// Whose.
    pub service: ServiceName,
    /// Of its own pods.
    pub own: BTreeSet<Identity>,
    /// Of all pods that its TCP connections may reach: its own and those of a split's backends.
    pub tcp: BTreeSet<Identity>,
    /// The roots that vouch for them.
    pub trust_bundle: TrustBundle,
}

/// The certificates of the roots that are trusted, in PEM. Public material.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TrustBundle(pub Arc<str>);

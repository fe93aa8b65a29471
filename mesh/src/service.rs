//! What a client's side does with calls to a Service.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde::Serialize;

use crate::{HttpMatch, ServiceName, Telemetry};

/// What a port speaks, as far as the mesh has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/2, whichever the client speaks; upgrades (WebSocket) included.
    Http,
    /// gRPC or HTTP/2 with prior knowledge.
    Http2,
    /// Anything over TCP that is not to be looked into: opaque, server-first, or the app's own TLS.
    Tcp,
    /// Found out by the first bytes of each connection: HTTP if it looks like it, else TCP.
    Detect,
}

/// A Service: where its clients' outbound listeners stand, and where its requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Addresses that are surely its own: its ClusterIPs. Empty for a headless one.
    pub addresses: Vec<IpAddr>,
    /// By port number. TCP only: UDP passes untouched.
    pub ports: BTreeMap<u16, ServicePort>,
    /// What its clients' sidecars log.
    pub telemetry: Telemetry,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServicePort {
    /// What it speaks.
    pub protocol: Protocol,
    /// For a headless Service: the pods that are called one by one, by their own address. Only pods of the Service's
    /// own namespace that have the address and are in the mesh; all others are reached without a listener.
    pub direct: Vec<DirectAddress>,
    /// Tried in order; a request that none matches goes to the Service's own endpoints.
    /// Without effect on TCP connections, whose shares are in [`crate::PortEndpoints::tcp`].
    pub routes: Vec<HttpRoute>,
}

/// One pod's port behind a headless Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DirectAddress {
    /// The pod's address.
    pub ip: IpAddr,
    /// The port that the pod listens on.
    pub port: u16,
}

/// Which rule of which object a request took; goes to statistics and logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RouteName(pub Arc<str>);

/// One HTTP rule: requests that fit any of `matches` are spread over `backends`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct HttpRoute {
    /// `split/<name>` or `split/<name>/<group>`.
    pub name: RouteName,
    /// OR-ed; empty: every request.
    pub matches: Vec<HttpMatch>,
    /// Never empty, never all zero, the sum below 2³².
    pub backends: Vec<WeightedBackend>,
}

/// A share of the requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct WeightedBackend {
    /// Whose own endpoints get it. The root itself means the root's own endpoints, never the split again.
    pub service: ServiceName,
    /// The backend's port number that stands for the root's.
    pub port: u16,
    /// Relative to the others; above 0.
    pub weight: u32,
}

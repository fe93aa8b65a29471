//! Names of resources, as ARCHITECTURE.md lists them. Names of clusters and routes never hold an address.

use std::{fmt, net::IpAddr};

use smidge_mesh::ServiceName;

/// The name, in ARCHITECTURE.md, of one of a kind.
pub(crate) const OUTBOUND: &str = "outbound";
pub(crate) const INBOUND: &str = "inbound";
pub(crate) const PASSTHROUGH: &str = "passthrough";
pub(crate) const TRUST: &str = "trust";
pub(crate) const WORKLOAD: &str = "workload";

/// `<namespace>/<service>/<port>`: a route configuration, and the stem of the clusters' names.
pub(crate) fn service_port(service: &ServiceName, port: u16) -> String {
    format!("{}/{}/{port}", service.namespace, service.name)
}

/// The cluster of a Service's own endpoints, for HTTP.
pub(crate) fn http(service: &ServiceName, port: u16) -> String {
    service_port(service, port) + "/http"
}

/// The cluster that TCP connections to a Service go to.
pub(crate) fn tcp(service: &ServiceName, port: u16) -> String {
    service_port(service, port) + "/tcp"
}

/// The clusters of the pods of a headless Service, called one by one.
pub(crate) fn direct_http(service: &ServiceName, port: u16) -> String {
    service_port(service, port) + "/direct/http"
}

/// As [`direct_http`], for TCP.
pub(crate) fn direct_tcp(service: &ServiceName, port: u16) -> String {
    service_port(service, port) + "/direct/tcp"
}

/// Who may answer HTTP requests for a Service.
pub(crate) fn peers(service: &ServiceName) -> String {
    format!("peers/{}/{}", service.namespace, service.name)
}

/// Who may answer TCP connections for a Service.
pub(crate) fn peers_tcp(service: &ServiceName) -> String {
    peers(service) + "/tcp"
}

/// The outbound listener of one address.
pub(crate) fn outbound(ip: IpAddr, port: u16) -> String {
    format!("{OUTBOUND}/{ip}_{port}")
}

/// A port of a pod, as its inbound resources are named: those that Services know, and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InboundPort {
    Declared(u16),
    Other,
}

impl InboundPort {
    pub(crate) fn route(self) -> String {
        format!("{INBOUND}/{self}")
    }

    pub(crate) fn callers(self) -> String {
        format!("callers/{self}")
    }

    pub(crate) fn guests(self) -> String {
        format!("guests/{self}")
    }

    pub(crate) fn audit(self) -> String {
        format!("audit/{self}")
    }
}

impl fmt::Display for InboundPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared(port) => port.fmt(f),
            Self::Other => f.write_str("other"),
        }
    }
}

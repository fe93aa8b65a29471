//! The API types: every kind of the Service Mesh Interface in every version, and our own `MeshConfig` and `IngressBackend`.
//!
//! ```text
//!   Rust types ──→ all() ──→ manifests/crds/*.yaml ──→ API server, which refuses what can never work
//!       └────────→ serde ──→ compiler, report
//!   object in any version ──→ convert() ──→ the same object in any other, nothing lost
//! ```
//!
//! One module per group, in it one per kind and version. The versions that are stored are re-exported here:
//! they are the only ones that the rest of Smidge knows.
//!
//! Not here: clients, files, time, and any rule that needs a second object to decide.

#![allow(unreachable_pub, reason = "kube's KubeSchema derive copies each struct into a function body")]

pub mod access;
mod conversion;
mod lenient;
mod manifests;
mod schema;
pub mod smidge;
pub mod specs;
pub mod split;
mod status;

pub use access::v1alpha3::{TrafficTarget, TrafficTargetSpec};
pub use conversion::convert;
pub use manifests::{CONTROL_PLANE, CONVERT, WEBHOOK_SERVICE, all, converted, file_name, stored_version, to_yaml};
pub use smidge::v1alpha1::{IngressBackend, IngressBackendSpec, MeshConfig, MeshConfigSpec};
pub use specs::http_route_group::v1alpha4::{
    HttpRouteGroup as HTTPRouteGroup, HttpRouteGroupSpec as HTTPRouteGroupSpec,
};
pub use specs::tcp_route::v1alpha4::{TcpRoute as TCPRoute, TcpRouteSpec as TCPRouteSpec};
pub use specs::udp_route::v1alpha4::{UdpRoute as UDPRoute, UdpRouteSpec as UDPRouteSpec};
pub use split::v1alpha4::{TrafficSplit, TrafficSplitSpec};
pub use status::{Proxies, Status};

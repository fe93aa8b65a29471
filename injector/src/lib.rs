//! How pods join the mesh: Pod → JSON patch, the Envoy bootstrap, the redirect rules. Values in, values out; no I/O.

mod bootstrap;
mod inject;
mod pod_security;
mod probe;
mod redirect;
mod resources;
mod settings;
mod trust;
mod undo;

pub use bootstrap::{Bootstrap, bootstrap};
pub use inject::{Misspelt, Namespace, Outcome, Verdict, asks_to_join, bypass, inject, is_exempt, misspelt};
pub use pod_security::{PodSecurityConflict, PodSecurityMode, pod_security};
pub use redirect::{Redirect, redirect_rules};
pub use resources::Resources;
pub use settings::{CONTROL_PLANE, PROXY_IMAGE, Settings, XDS_SERVICE};
pub use smidge_crds::smidge::INJECT;
pub use trust::{
    CLUSTER_TRUST_BUNDLE, TOKEN, TOKEN_AUDIENCE, TOKEN_SECONDS, TRUST_BUNDLE, TRUST_CONFIG_MAP, TrustFrom, VOLUME,
    VOLUME_PATH, trust_files,
};
pub use undo::{UNDO, UndoError, patch_undoably, undo};

/// Where the redirected outbound connections arrive.
pub const OUTBOUND_PORT: u16 = 15001;
/// Where the redirected inbound connections arrive.
pub const INBOUND_PORT: u16 = 15006;
/// Envoy's admin interface on loopback; in a cluster what of it is for reading.
pub const ADMIN_PORT: u16 = 15000;
/// The volume that only the sidecar mounts, at [`ADMIN_PATH`]: its admin interface is a socket there, which no app can reach.
pub const ADMIN_VOLUME: &str = "smidge-admin";
/// Where the sidecar has the folder of its admin interface's socket.
pub const ADMIN_PATH: &str = "/run/smidge-admin";
/// The user that Envoy runs as; its own connections are not redirected to it again.
pub const PROXY_UID: u32 = 1337;
/// The mark (DSCP) of Envoy's own calls to its app, which are not redirected; the translator's cluster `inbound` sets it.
pub const APP_DSCP: u8 = 3;
/// Prometheus' metrics, at [`METRICS_PATH`] and nowhere else.
pub const METRICS_PORT: u16 = 15020;
/// Where the proxy's metrics are.
pub const METRICS_PATH: &str = "/stats/prometheus";
/// Whether the proxy has its configuration: `/ready` and nothing else.
pub const READY_PORT: u16 = 15021;
/// Where the kubelet's HTTP, HTTPS and TCP probes and lifecycle hooks of the apps are answered.
pub const PROBE_PORT: u16 = 15022;
/// Where gRPC probes are answered: this port for the first port of the apps, and those after it for more.
pub const GRPC_PROBE_PORT: u16 = 15023;
/// The port of the xDS Service.
pub const XDS_PORT: u16 = 15010;
/// The sidecar.
pub const PROXY: &str = "smidge-proxy";
/// The init container before it that sets the redirect rules.
pub const REDIRECT: &str = "smidge-redirect";
/// Envoy's log levels.
pub const LOG_LEVELS: [&str; 7] = ["trace", "debug", "info", "warning", "error", "critical", "off"];

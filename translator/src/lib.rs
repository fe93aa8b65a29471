//! Mesh → encoded Envoy resources: pure functions, each of whose arguments is its cache key.
//!
//! ```text
//! Base      → passthrough, inbound (CDS), outbound (LDS), trust (SDS)            ┐
//! Service   → outbound/<ip>_<port> (LDS), <ns>/<svc>/<port>… (CDS, RDS)          │ the same bytes
//! Endpoints → <ns>/<svc>/<port>/{http,tcp} (EDS)                                 │ for every proxy
//! Peers     → peers/<ns>/<svc>{,/tcp} (SDS)                                      ┘
//! Inbound   → inbound (LDS), inbound/<port> (RDS), callers/<port>, guests/<port> (SDS), audit/<port> (ECDS)   per WorkloadKey
//! ```
//!
//! What an edit of an SMI object changes lives in routes, secrets, endpoints and extensions only: a changed listener
//! would close its connections. What an IngressBackend changes in the listener is what Envoy updates in place. No Kubernetes, no SMI objects, no I/O; the only state is the argument.

mod access_log;
mod base;
mod cluster;
mod endpoints;
mod envoy;
mod http;
mod inbound;
mod inbound_chains;
mod inbound_http;
mod inbound_listener;
mod listener;
mod matching;
mod metrics;
mod name;
mod rbac;
mod secret;
mod selector;
mod service;
mod tcp;
mod tls;

pub use base::translate_base;
pub use endpoints::translate_endpoints;
pub use inbound::translate_inbound;
pub use secret::{translate_peers, workload_certificate};
pub use service::translate_service;

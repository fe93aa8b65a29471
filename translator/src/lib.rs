//! Mesh → encoded Envoy resources: pure functions, one per cache key.

mod base;
mod endpoints;
mod inbound;
mod secret;
mod service;

pub use base::translate_base;
pub use endpoints::translate_endpoints;
pub use inbound::translate_inbound;
pub use secret::{translate_peers, workload_certificate};
pub use service::translate_service;

//! What the end-to-end tests stand on: a real API server, real Envoys in network namespaces as pods, real traffic.
//!
//! Programs come from the cache that `make tools` fills, or from the user's own by environment variables ([`Tool`]).

use std::path::Path;

mod api_server;
mod daemon;
pub mod faults;
pub mod image;
mod kubectl;
pub mod load;
pub mod node;
pub mod objects;
mod pki;
pub mod proxies;
mod rest;
pub mod secure;
mod tokens;
mod wait;
pub mod webhooks;
pub mod world;

pub use api_server::{ApiServer, TRUST_BUNDLES, free_port};
pub use daemon::Daemon;
pub use faults::{Fault, Faults};
pub use kubectl::PortForward;
pub use load::Load;
pub use node::Node;
pub use rest::Rest;
pub use smidge_sandbox::Tool;
pub use wait::{eventually, holds};

/// The root of the checkout.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

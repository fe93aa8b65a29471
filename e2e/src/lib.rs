//! What the end-to-end tests stand on: a real API server, real Envoys in network namespaces as pods, real traffic.
//!
//! Programs come from the cache that `make tools` fills, or from the user's own by environment variables (`tool`).

mod api_server;
mod daemon;
mod kubectl;
pub mod objects;
mod pki;
mod tool;
mod wait;
pub mod world;

pub use api_server::ApiServer;
pub use daemon::Daemon;
pub use tool::{Tool, cache, repository};
pub use wait::{eventually, holds};

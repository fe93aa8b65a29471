//! The thin shell around the engine: watches or a folder in, a Unix socket and statuses out.
//!
//! ```text
//! watch (API server) ─┐ Message            Update
//! folder ─────────────┴───────→ Control ──────────→ Hub ──→ proxies, on the Unix socket
//!                               │  ▲  └──Identities──→ Certificates (each stream's own)
//!                        Order  ▼  │ Reported
//!                             Statuses ──→ writer: API server, or the table and file of standalone mode
//! ```
//! Of several replicas of a cluster, those that do not lead tell the leader's loop what their proxies acknowledge (`replicas`).
//! No rule of SMI or of Envoy is here. One task owns the engine; what is shared between tasks are messages, and the
//! small map of who a proxy is.

mod admission;
pub mod cluster;
mod control;
pub mod custody;
mod endpoint;
pub mod identity;
pub mod leader;
mod message;
mod metrics;
mod plane;
pub mod proxies;
mod replicas;
mod socket;
pub mod standalone;
mod statuses;
pub mod tls;
mod watch;
pub mod webhook;

pub use plane::{PlaneConfig, PlaneError};
pub use socket::{Error as SocketError, Socket};
pub use watch::list::{ListError, Listing, Scope, list};

//! Delta ADS: hands published resources to stock Envoys and tells back what each of them has acknowledged.
//!
//! ```text
//!             Update                     wake                     DeltaDiscoveryResponse
//!  engine ──────────────→ Hub ─────────────────────→ one stream task ───────────────────────→ Envoy
//!             Reports      │ protocol::Machine             ▲  receive    DeltaDiscoveryRequest  │
//!  operator ←──────────────┘ (rules, no I/O)               └────────────────────────────────────┘
//! ```
//!
//! ```ignore
//! let hub = Hub::new(Limits::default(), resolver);          // Arc<Hub>; resolver: Arc<dyn Resolve>
//! hub.publish(update);                                      // Update; its epoch must grow
//! let reported: Reported = hub.reported().await;            // what changed since the last call; one reader
//! hub.counters().read();
//! serve(hub, Arc::new(NodeId), UnixListenerStream, shutdown).await?;   // until `shutdown` (CancellationToken)
//! ```
//!
//! [`protocol`] holds every rule of the protocol and does no I/O; [`Hub`] puts it behind one lock and wakes streams;
//! [`serve`] is a thin tonic shell. This crate knows neither Kubernetes nor SMI nor the mesh: a proxy is an opaque
//! [`xds::ProxyId`], a resource opaque bytes with a name. State-of-the-world ADS and on-demand discovery are not in it.

mod body;
mod connected;
mod connection;
mod counters;
#[cfg(any(test, feature = "exercise"))]
pub mod exercise;
mod hub;
mod identify;
mod inbound;
mod limits;
pub mod protocol;
mod report;
mod resolve;
mod serve;
mod session;

pub use connected::Connected;
pub use counters::Counters;
pub use hub::Hub;
pub use identify::{Admitted, Identify, NodeId, Peer};
pub use limits::Limits;
pub use report::{ProxyReport, Rejected, Reported};
pub use resolve::{NoResolver, Resolve};
pub use serve::serve;
pub use smidge_xds as xds;

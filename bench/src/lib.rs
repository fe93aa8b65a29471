//! What `make bench` is made of: a cluster's objects on a real API server, the measured operator, and the load clients; and
//! [`sidecar`], which measures requests through real Envoys.
//!
//! The load clients read only what they need of a response (type, nonce, names and versions), so that 2,000 fit one core.

pub mod client;
pub mod cluster;
pub mod interests;
pub mod operator;
pub mod sidecar;
pub mod wire;

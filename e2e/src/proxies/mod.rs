//! Simulated proxies by the hundred: delta ADS streams over HTTP/2, on the operator's socket, or by TLS with a pod's token.
//!
//! They read only what they need of a response (type, nonce, names and versions), so that 2,000 fit one core.

mod client;
mod interests;
mod stream;
mod wire;

pub use client::{Event, Expected, Load, scout};
pub use interests::Interests;
pub use stream::{Door, Responses, Stream};
pub use wire::Response;

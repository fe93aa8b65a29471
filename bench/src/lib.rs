//! The load client: many delta ADS streams that subscribe and acknowledge as Envoy does, in one process.
//!
//! It reads only what it needs of a response (type, nonce, names and versions), so that 2,000 clients fit one core.

pub mod client;
pub mod interests;
pub mod wire;

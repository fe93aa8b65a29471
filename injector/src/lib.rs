//! What a pod's sidecar starts with: the Envoy bootstrap and the redirect rules. Values in, text out; no I/O.

mod bootstrap;
mod redirect;

pub use bootstrap::{Bootstrap, bootstrap};
pub use redirect::{Redirect, redirect_rules};

/// Where the redirected outbound connections arrive.
pub const OUTBOUND_PORT: u16 = 15001;
/// Where the redirected inbound connections arrive.
pub const INBOUND_PORT: u16 = 15006;
/// Envoy's admin interface, on loopback.
pub const ADMIN_PORT: u16 = 15000;
/// The user that Envoy runs as; its own connections are not redirected to it again.
pub const PROXY_UID: u32 = 1337;
/// The mark (DSCP) of Envoy's own calls to its app, which are not redirected; the translator's cluster `inbound` sets it.
pub const APP_DSCP: u8 = 3;

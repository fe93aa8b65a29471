//! What a namespace does with traffic that no policy permits.

use serde::Serialize;

/// The enforcement mode of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What no TrafficTarget permits is refused, and so is plaintext (the SMI spec's default).
    #[default]
    Deny,
    /// Everything is let in; what `Deny` would refuse is logged and counted.
    Audit,
    /// Everything is let in.
    Allow,
}

/// What the sidecars tell about the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Telemetry {
    /// Whether each request and connection is written to the access log.
    pub access_log: bool,
}

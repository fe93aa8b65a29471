//! What a namespace does with traffic that no policy permits.

use serde::Serialize;

/// The enforcement mode of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What no TrafficTarget permits is refused, and by default so is plaintext (the SMI spec's default).
    #[default]
    Deny,
    /// Everything is let in; what `Deny` would refuse is logged and counted.
    Audit,
    /// Everything is let in.
    Allow,
}

/// Whether connections without mTLS are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mtls {
    /// Only those of callers that an IngressBackend names by address.
    Strict,
    /// Everybody's, as of callers without an identity.
    Permissive,
}

impl Mtls {
    /// What holds where nothing is said.
    pub fn of(mode: Mode) -> Self {
        match mode {
            Mode::Deny => Self::Strict,
            Mode::Audit | Mode::Allow => Self::Permissive,
        }
    }
}

/// What the sidecars tell about the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Telemetry {
    /// Whether each request and connection is written to the access log.
    pub access_log: bool,
}

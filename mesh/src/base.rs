//! What every proxy of the mesh gets, whatever it calls.

use serde::Serialize;

use crate::{Telemetry, TrustBundle, TrustDomain};

/// The mesh itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Base {
    /// Who vouches for the identities of the mesh.
    pub trust_domain: TrustDomain,
    /// The roots that vouch for callers.
    pub trust_bundle: TrustBundle,
    /// What the sidecars log of connections that leave the mesh.
    pub telemetry: Telemetry,
}

//! What a server's side lets in.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Serialize, Serializer};

use crate::{HttpMatch, Identity, IngressGrant, Mode, Mtls, Opening, Protocol, Telemetry, TrustBundle};

/// What makes two pods' inbound sides the same; pods that share it share the bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadKey {
    /// Who the workload is.
    pub identity: Identity,
    /// The TCP ports that Services send traffic to, with what they speak. Other ports are let in as `Detect`.
    pub ports: BTreeMap<u16, Protocol>,
    /// The mode of its namespace.
    pub mode: Mode,
    /// Whether it accepts connections without mTLS.
    pub mtls: Mtls,
    /// What IngressBackends say about it: those that name a Service of its pods.
    pub openings: BTreeSet<Opening>,
}

impl Serialize for WorkloadKey {
    /// One line, so that it can be a key: `spiffe://… deny 80=http 5432=tcp 80<web[0]`; of mTLS what is not the default.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ports: String = self.ports.iter().map(|(n, p)| format!(" {n}={p:?}").to_lowercase()).collect();
        let mtls = if self.mtls == Mtls::of(self.mode) { String::new() } else { format!("+{:?}", self.mtls) };
        let opening = |o: &Opening| format!(" {}<{}[{}]", o.port, o.ingress, o.backend);
        let openings: String = self.openings.iter().map(opening).collect();
        serializer.serialize_str(&format!("{} {:?}{mtls}{ports}{openings}", self.identity, self.mode))
    }
}

/// The inbound side of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inbound {
    /// Whose.
    pub key: WorkloadKey,
    /// Everything that is permitted. Access is additive: any grant that fits lets the call in.
    pub grants: Vec<Grant>,
    /// What is permitted to callers outside the mesh.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<IngressGrant>,
    /// The roots that vouch for callers.
    pub trust_bundle: TrustBundle,
    /// What the sidecar logs.
    pub telemetry: Telemetry,
}

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Grant {
    /// The TrafficTarget that says so: `<namespace>/<name>`; unique within an [`Inbound`].
    pub name: Arc<str>,
    /// Who may call. Never empty.
    pub sources: BTreeSet<Identity>,
    /// On which ports of the pod.
    pub ports: PortSet,
    /// What.
    pub protocols: Protocols,
}

/// A set of the pod's ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PortSet {
    /// Every port.
    All,
    /// These.
    Only(BTreeSet<u16>),
}

impl PortSet {
    /// Whether a port is in it.
    pub fn permits(&self, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Only(ports) => ports.contains(&port),
        }
    }
}

/// What a grant permits on its ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocols {
    /// Any protocol, HTTP included, and every request (a TCPRoute alone).
    Any,
    /// HTTP requests that fit any of these, and nothing else. Never empty.
    Http(Vec<HttpMatch>),
}

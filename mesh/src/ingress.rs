//! What callers outside the mesh may do at a server's side.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde::Serialize;

use crate::{HttpMatch, Identity};

/// A part of an IngressBackend that is about a port of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opening {
    /// The port of the pod.
    pub port: u16,
    /// The IngressBackend, of the workload's own namespace.
    pub ingress: Arc<str>,
    /// Where the backend stands in it.
    pub backend: usize,
}

/// What a part of an IngressBackend permits on a port of the pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct IngressGrant {
    /// The IngressBackend: `<namespace>/<name>`.
    pub name: Arc<str>,
    /// Where the backend stands in it; unique together with name and port.
    pub backend: usize,
    /// The port.
    pub port: u16,
    /// From where calls are let in that come without a certificate.
    pub ranges: BTreeSet<IpNet>,
    /// Who else may call.
    pub principals: BTreeSet<Principal>,
    /// And the pods of which Services.
    pub members: Members,
    /// Which requests; `None`: everything, TCP too.
    pub requests: Option<Vec<HttpMatch>>,
}

impl IngressGrant {
    /// From where calls are let in that come without a certificate, pods of Services included.
    pub fn addresses(&self) -> BTreeSet<IpNet> {
        self.ranges.iter().copied().chain(self.members.addresses.iter().copied().map(IpNet::from)).collect()
    }

    /// Who may call by certificate, pods of Services included.
    pub fn certified(&self) -> BTreeSet<Principal> {
        self.principals.iter().cloned().chain(self.members.identities.iter().map(Principal::from)).collect()
    }
}

/// The pods of Services that may call. They come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Members {
    /// The addresses of those outside the mesh.
    pub addresses: BTreeSet<IpAddr>,
    /// The identities of those in the mesh, which call by mTLS.
    pub identities: BTreeSet<Identity>,
}

/// A name in a certificate that the mesh's root vouches for: a URI such as a SPIFFE id, or a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Principal(Arc<str>);

impl Principal {
    /// Takes a text that the compiler has checked.
    pub fn from_checked(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a URI; else it is a DNS name.
    pub fn is_uri(&self) -> bool {
        self.0.contains("://")
    }
}

impl From<&Identity> for Principal {
    fn from(identity: &Identity) -> Self {
        Self(identity.to_string().into())
    }
}

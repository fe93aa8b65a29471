//! What callers outside the mesh may do at a server's side.

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

use serde::{Serialize, Serializer};

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
    pub ranges: BTreeSet<Cidr>,
    /// Who else may call.
    pub principals: BTreeSet<Principal>,
    /// And the pods of which Services.
    pub members: Members,
    /// Which requests; `None`: everything, TCP too.
    pub requests: Option<Vec<HttpMatch>>,
}

impl IngressGrant {
    /// From where calls are let in that come without a certificate, pods of Services included.
    pub fn addresses(&self) -> BTreeSet<Cidr> {
        self.ranges.iter().copied().chain(self.members.addresses.iter().copied().map(Cidr::from)).collect()
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

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    ip: IpAddr,
    length: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8`. Bits behind the length are dropped; `None`: it is no range.
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, length) = text.split_once('/')?;
        let (ip, length): (IpAddr, u8) = (ip.parse().ok()?, length.parse().ok()?);
        let ip = match ip {
            IpAddr::V4(ip) if length <= 32 => {
                IpAddr::from((ip.to_bits() & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)).to_be_bytes())
            }
            IpAddr::V6(ip) if length <= 128 => {
                IpAddr::from((ip.to_bits() & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)).to_be_bytes())
            }
            _ => return None,
        };
        Some(Self { ip, length })
    }

    /// The first address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// How many bits of it count.
    pub fn length(&self) -> u8 {
        self.length
    }
}

impl From<IpAddr> for Cidr {
    fn from(ip: IpAddr) -> Self {
        Self { ip, length: if ip.is_ipv4() { 32 } else { 128 } }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.length)
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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

#[cfg(test)]
mod tests {
    use super::Cidr;

    #[test]
    fn a_range_has_an_address_and_a_length_that_fits_it() {
        let read = |text| Cidr::parse(text).map(|cidr| cidr.to_string());
        assert_eq!(read("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(read("10.1.2.3/32").as_deref(), Some("10.1.2.3/32"));
        assert_eq!(read("0.0.0.0/0").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(read("fd00::1:2/112").as_deref(), Some("fd00::1:0/112"));
        assert_eq!(read("::1/0").as_deref(), Some("::/0"));
        for text in ["10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "x/8", "/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

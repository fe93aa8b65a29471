//! Who a workload is: SPIFFE identities (<https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md>).

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};

/// The name of the authority that vouches for identities, such as `cluster.local`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

/// A text that cannot be a trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTrustDomain(pub String);

impl fmt::Display for InvalidTrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trust domain {:?} must be 1 to 255 characters of a-z, 0-9, '.', '-' and '_'", self.0)
    }
}

impl std::error::Error for InvalidTrustDomain {}

impl TrustDomain {
    /// Reads a trust domain (SPIFFE-ID §2.1).
    ///
    /// # Errors
    /// When the text is empty, longer than 255 bytes or has other characters than the standard admits.
    pub fn parse(text: &str) -> Result<Self, InvalidTrustDomain> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
        if (1..=255).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTrustDomain(text.to_owned()))
        }
    }

    /// The domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for TrustDomain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Default for TrustDomain {
    fn default() -> Self {
        Self("cluster.local".into())
    }
}

/// The identity of a workload: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Who vouches for it.
    pub trust_domain: TrustDomain,
    /// The namespace of the service account.
    pub namespace: Arc<str>,
    /// The name of the service account.
    pub service_account: Arc<str>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain.0, self.namespace, self.service_account)
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

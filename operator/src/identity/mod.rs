//! Who vouches for workloads: certificates with SPIFFE identities, and their way to the proxies.
//!
//! ```text
//! Roots: Root, kept in a Secret or a file; which signs, which are trusted, how a rotation goes on
//!    │ follow
//! Authority ──implements──▶ Issuer (trait)
//!    │ issue_server            │ issue
//! Serving: our servers'     Certificates ──Resolve──→ xds-server: each stream gets its own key, renewed at two thirds
//! own certificates             ▲
//!                           Identities: which proxy is who, written by the loop
//! ```
//! `callers` says which proxy has opened a stream.

mod authority;
pub mod callers;
mod certificates;
mod identities;
mod private_key;
mod root;
pub mod roots;
mod serving;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use smidge_mesh::{Identity, TrustBundle};
use tokio::sync::watch;

pub use authority::Authority;
pub use certificates::Certificates;
pub use identities::Identities;
pub use private_key::PrivateKey;
pub use root::{Error as RootError, Root, Unusable};
pub use serving::Serving;

/// Which root has signed something.
pub type SignerId = Arc<str>;

/// What the loop, the streams and the keeper of the roots share: who signs, which proxy is who, which pods there are. A
/// clone is another handle to the same.
#[derive(Clone, Default)]
pub struct Shared {
    /// Who signs.
    pub authority: Arc<Authority>,
    /// Which proxy is who.
    pub identities: Identities,
    /// Which pods the watch has shown.
    pub pods: callers::Pods,
}

impl Shared {
    /// With an authority that has its root.
    pub fn with(authority: Authority) -> Self {
        Self { authority: Arc::new(authority), ..Self::default() }
    }
}

/// How long a workload's certificate is good unless another time is asked for.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Who signs certificates. The place for other authorities.
pub trait Issuer: Send + Sync + 'static {
    /// Makes a new key and a certificate for a workload.
    fn issue<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Credential, IssueError>>;

    /// The roots that vouch for what it signs.
    fn trust_bundle(&self) -> TrustBundle;

    /// Who signs now. When that changes, what others have signed is replaced at once.
    fn signer(&self) -> watch::Receiver<SignerId>;
}

/// No certificate for this workload: the old one stays in force, and it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("no certificate for {identity}")]
pub struct IssueError {
    /// For whom.
    pub identity: Identity,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What a workload proves its identity with.
#[derive(Debug)]
pub struct Credential {
    /// The certificate and what links it to a root, in PEM.
    pub chain: String,
    /// Its key.
    pub key: PrivateKey,
    /// Until when it counts.
    pub not_after: SystemTime,
    /// Who has signed it.
    pub signer: SignerId,
}

impl Credential {
    /// When to ask for the next one: after two thirds of the life that it has left. What lies before now says nothing,
    /// since issuers date certificates back.
    pub fn renewal(&self, now: SystemTime) -> SystemTime {
        now + self.not_after.duration_since(now).unwrap_or_default() * 2 / 3
    }
}

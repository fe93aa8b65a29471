//! The authority in this process: signs with one root and vouches with all that are trusted; both may change while it runs.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use smidge_mesh::{Identity, TrustBundle};
use tokio::sync::watch;

use super::{Credential, IssueError, Issuer, Root, SignerId};

/// Signs with what it was given last; before that, who asks waits.
pub struct Authority {
    roots: watch::Sender<Option<Arc<Standing>>>,
    signer: watch::Sender<SignerId>,
}

/// What holds at present.
struct Standing {
    root: Root,
    trust_bundle: TrustBundle,
}

impl Default for Authority {
    /// Without a root yet.
    fn default() -> Self {
        Self { roots: watch::Sender::new(None), signer: watch::Sender::new("".into()) }
    }
}

impl Authority {
    /// With this root alone.
    pub fn with(root: Root) -> Self {
        let (authority, trust_bundle) = (Self::default(), TrustBundle(root.certificate().into()));
        authority.follow(root, trust_bundle);
        authority
    }

    /// From now on signs with this root; `trust_bundle` vouches.
    pub fn follow(&self, root: Root, trust_bundle: TrustBundle) {
        let signer = root.id().clone();
        self.roots.send_replace(Some(Arc::new(Standing { root, trust_bundle })));
        self.signer.send_if_modified(|now| {
            let is_news = *now != signer;
            *now = signer;
            is_news
        });
    }

    /// A certificate for a server of ours.
    pub(super) async fn issue_server(&self, names: &[String]) -> Result<Credential, rcgen::Error> {
        self.standing().await.root.issue_server(names)
    }

    /// What holds, once there is something.
    async fn standing(&self) -> Arc<Standing> {
        let mut roots = self.roots.subscribe();
        loop {
            if let Some(standing) = roots.borrow_and_update().clone() {
                return standing;
            }
            // The sender is in `self`: this does not fail, it waits.
            let _ = roots.changed().await;
        }
    }
}

impl Issuer for Authority {
    fn issue<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Credential, IssueError>> {
        async move {
            let issued = self.standing().await.root.issue(identity);
            issued.map_err(|error| IssueError { identity: identity.clone(), source: error.into() })
        }
        .boxed()
    }

    fn trust_bundle(&self) -> TrustBundle {
        self.roots.borrow().as_ref().map(|standing| standing.trust_bundle.clone()).unwrap_or_default()
    }

    fn signer(&self) -> watch::Receiver<SignerId> {
        self.signer.subscribe()
    }
}

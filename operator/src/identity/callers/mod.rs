//! Who is calling: a pod, by the projected token that its Envoy sends, on the API server's word and no other.
//!
//! ```text
//! authorization: Bearer … ─→ Claims ─→ Reviews ─TokenReview─→ API server ─→ Caller
//!                                                                             │ must be in Pods, as the watch shows them
//!                      ended when the pod is gone, or the token nearly is ←── Admitted
//! ```

mod claims;
mod pods;
mod refusal;
mod review;
mod reviews;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::future::{BoxFuture, FutureExt};
use smidge_injector::TOKEN_AUDIENCE as AUDIENCE;
use smidge_xds::ProxyId;
use smidge_xds_server::{Admitted, Identify, Peer};
use tokio::{sync::Semaphore, time::sleep};
use tonic::{Status, metadata::MetadataMap};

use super::Identities;
use claims::Claims;
use pods::Seen;
use reviews::Reviews;

pub use pods::Pods;
pub use refusal::{Refusal, Refusals};
pub use review::{ApiServerReview, Caller, Review, Verdict};

/// How long the watch may take to show a pod whose Envoy runs already.
const WATCH_PATIENCE: Duration = Duration::from_secs(10);

/// How many streams may wait for their pod to be shown.
const WAITING: usize = 10_000;

/// Says which proxy has opened a stream, by its token.
pub struct ByToken {
    reviews: Arc<Reviews>,
    pods: Pods,
    identities: Identities,
    refusals: Arc<Refusals>,
    waiting: Semaphore,
}

impl ByToken {
    /// Reviewed by this reviewer; `pods` and `identities` are what the watch shows.
    pub fn new(reviewer: Arc<dyn Review>, pods: Pods, identities: Identities, refusals: Arc<Refusals>) -> Self {
        let reviews = Reviews::new(reviewer, AUDIENCE);
        Self { reviews, pods, identities, refusals, waiting: Semaphore::new(WAITING) }
    }

    async fn admit(&self, metadata: &MetadataMap, node: &str) -> Result<Admitted, Refusal> {
        let token = bearer(metadata)?;
        let claims = Claims::read(token)?;
        claims.check(AUDIENCE, node, SystemTime::now())?;
        let caller = self.reviews.verdict(token, claims.left(SystemTime::now())).await?;
        if node != format!("{}.{}", caller.pod, caller.namespace) {
            return Err(Refusal::OtherNode);
        }
        let proxy = ProxyId::from(node);
        let seen = self.see(&proxy, &caller).await?;
        self.check_account(&proxy, &caller)?;
        let time = claims.stream_time(SystemTime::now(), spread(&caller.uid));
        Ok(Admitted { proxy, ended: ended(seen, time).boxed() })
    }

    async fn see(&self, proxy: &ProxyId, caller: &Caller) -> Result<Seen, Refusal> {
        let _place = self.waiting.try_acquire().map_err(|_| Refusal::Busy)?;
        self.pods.see(proxy, &caller.uid, WATCH_PATIENCE).await.ok_or(Refusal::UnknownPod)
    }

    /// What is issued on the stream is of the identity that the loop has found for the pod: it must be that of the token.
    /// A pod without an identity is none of the mesh, which the hub tells it.
    fn check_account(&self, proxy: &ProxyId, caller: &Caller) -> Result<(), Refusal> {
        let Some(identity) = self.identities.watch(proxy) else { return Ok(()) };
        let identity = identity.borrow();
        let is_same = identity.namespace == caller.namespace && identity.service_account == caller.service_account;
        is_same.then_some(()).ok_or(Refusal::OtherAccount)
    }
}

impl Identify for ByToken {
    fn identify<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, Result<Admitted, Status>> {
        async move {
            self.admit(peer.metadata, &peer.node.id).await.map_err(|refusal| {
                self.refusals.count(refusal);
                // What it says of itself is hostile text, and long at will.
                let node: String = peer.node.id.chars().take(100).collect();
                tracing::warn!(?node, reason = refusal.as_str(), "a proxy was refused");
                refusal.status()
            })
        }
        .boxed()
    }
}

fn bearer(metadata: &MetadataMap) -> Result<&str, Refusal> {
    let header = metadata.get("authorization").ok_or(Refusal::NoToken)?;
    let token = header.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
    token.map(str::trim).filter(|token| !token.is_empty()).ok_or(Refusal::NoToken)
}

async fn ended(seen: Seen, time: Duration) -> Status {
    tokio::select! {
        () = seen.gone() => Refusal::UnknownPod.status(),
        () = sleep(time) => Status::unauthenticated("the token expires soon; Envoy will come back with the next"),
    }
}

/// From 0 to 1, evenly, and always the same for one pod.
fn spread(uid: &str) -> f64 {
    let sum = uid.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    f64::from(sum.wrapping_mul(0x9E37_79B9)) / f64::from(u32::MAX)
}

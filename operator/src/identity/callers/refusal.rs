//! Why a proxy is refused: told to it, logged, and counted by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tonic::{Code, Status};

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident: $label:literal, $code:ident, $message:literal,)+) => {
        /// Why a proxy is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Refusal {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Refusal {
            /// All of them.
            pub const ALL: [Self; [$(Self::$name),+].len()] = [$(Self::$name),+];

            /// The label in metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// What the proxy is told.
            pub(super) fn status(self) -> Status {
                match self { $(Self::$name => Status::new(Code::$code, $message),)+ }
            }
        }
    };
}

refusals! {
    /// It has sent none.
    NoToken: "no_token", Unauthenticated, "no bearer token in the header authorization: see the bootstrap's credential injector",
    /// What it has sent is none.
    NotAToken: "not_a_token", Unauthenticated, "the bearer token is not a service account's token",
    /// The token is meant for somebody else.
    WrongAudience: "wrong_audience", Unauthenticated, "the token is for another audience than smidge-xds",
    /// The token is of a service account, but of no pod.
    NotOfAPod: "not_of_a_pod", Unauthenticated, "the token is not bound to a pod: only projected tokens count",
    /// The token's time is over.
    Expired: "expired", Unauthenticated, "the token has expired; the kubelet should have written a new one",
    /// The API server does not vouch for it: forged, or its pod or account is deleted.
    NotVouchedFor: "not_vouched_for", Unauthenticated, "the API server does not accept the token",
    /// The node id names another pod than the token.
    OtherNode: "other_node", PermissionDenied, "node.id is not the <pod>.<namespace> of the token",
    /// The pod is not, or not any more, in the watch.
    UnknownPod: "unknown_pod", PermissionDenied, "the token's pod is not there: deleted, or replaced by another of its name",
    /// The pod that is watched runs as another service account.
    OtherAccount: "other_account", PermissionDenied, "the token is of another service account than the pod runs as",
    /// No review came in time.
    ReviewAway: "review_away", Unavailable, "the API server does not review tokens at present; Envoy will try again",
    /// Too many wait already.
    Busy: "busy", Unavailable, "too many proxies wait for the review of their tokens; Envoy will try again",
}

/// How many were refused, by reason. They only grow.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; Refusal::ALL.len()]);

impl Refusals {
    pub(super) fn count(&self, refusal: Refusal) {
        self.0[refusal as usize].fetch_add(1, Relaxed);
    }

    /// The label of each reason, and how many were refused for it.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.into_iter().zip(&self.0).map(|(refusal, count)| (refusal.as_str(), count.load(Relaxed)))
    }
}

//! Which type may be sent now: make before break.
//!
//! <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations>

use smidge_xds::TypeUrl::{self, Cluster, Endpoints, Extension, Listener, Route, Secret};

use super::stream::Kinds;

/// The order of removals: what names others goes first.
pub(super) const REMOVALS: [TypeUrl; 6] = [Listener, Route, Extension, Cluster, Endpoints, Secret];

/// Whether additions and changes of a type may be sent.
///
/// - Secrets come first: a validation context grows before the endpoints that need it appear.
/// - Clusters and endpoints never wait for each other's acknowledgement: Envoy withholds that of a cluster until its
///   endpoints are there, and asks for none after a change.
/// - Listeners, their filters and routes may name a new cluster only when it is warm, that is, acknowledged.
pub(super) fn may_set(kinds: &Kinds, type_url: TypeUrl) -> bool {
    let waits = |other: TypeUrl| !kinds[other].sets.is_empty();
    match type_url {
        Secret => true,
        Cluster | Endpoints => !waits(Secret),
        Extension | Route => !waits(Secret) && is_warm(kinds),
        Listener => !waits(Secret) && !waits(Extension) && is_warm(kinds),
    }
}

/// Whether removals of a type may be sent: its additions are sent, and everything that may still name it has been
/// sent and acknowledged.
pub(super) fn may_remove(kinds: &Kinds, type_url: TypeUrl) -> bool {
    let named = named_by(type_url);
    kinds[type_url].sets.is_empty()
        && named.iter().all(|other| kinds[*other].is_idle())
        && (!named.contains(&Listener) || has_told_its_listeners(kinds))
}

/// Whether a client that reconnects has come to its listeners and routes: its clusters it names first.
fn has_told_its_listeners(kinds: &Kinds) -> bool {
    kinds[Listener].asked && (kinds[Route].asked || !kinds[Listener].resumed)
}

/// Whether every cluster that was added or changed is acknowledged.
fn is_warm(kinds: &Kinds) -> bool {
    let clusters = &kinds[Cluster];
    clusters.sets.is_empty() && clusters.in_flight.as_ref().is_none_or(|f| f.removes)
}

/// The types whose resources name resources of this one.
fn named_by(type_url: TypeUrl) -> &'static [TypeUrl] {
    match type_url {
        Secret => &[Cluster, Listener],
        Cluster => &[Extension, Listener, Route],
        Endpoints => &[Cluster],
        Extension | Route => &[Listener],
        Listener => &[],
    }
}

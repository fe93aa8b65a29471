//! Which TrafficSplits are in force for a root service, and for which shares.

use smidge_mesh::{HttpMatch, HttpRoute, RouteName, ServiceName, WeightedBackend};

use super::is_meshed;
use crate::{
    Kind, ObjectRef, Snapshot,
    facts::{Addressing, ServiceFacts, SplitFacts},
    link::Link,
};

/// The splits in force for a root: those with `matches`, the oldest first, then the oldest one without (smi.md §3.1).
pub(crate) fn in_force<'a>(snapshot: &'a Snapshot, root: &ServiceName) -> Vec<&'a SplitFacts> {
    let mut splits = fit(snapshot, root);
    splits.sort_by_key(|split| (split.groups.is_none(), &split.origin));
    if let Some(first_plain) = splits.iter().position(|split| split.groups.is_none()) {
        splits.truncate(first_plain + 1);
    }
    splits
}

/// The split that spreads every request and connection that no other one chooses.
pub(crate) fn plain_in_force<'a>(snapshot: &'a Snapshot, root: &ServiceName) -> Option<&'a SplitFacts> {
    fit(snapshot, root).into_iter().filter(|split| split.groups.is_none()).min_by_key(|split| &split.origin)
}

fn fit<'a>(snapshot: &'a Snapshot, root: &ServiceName) -> Vec<&'a SplitFacts> {
    if !is_meshed(snapshot, &root.namespace) {
        return Vec::new();
    }
    let splits = snapshot.linked(&Link::Root(root.clone())).filter_map(|object| snapshot.split_at(object));
    splits.filter(|split| split.is_fit).collect()
}

/// The HTTP routes of a root's port.
pub(crate) fn routes(snapshot: &Snapshot, root: &ServiceName, port: u16) -> Vec<HttpRoute> {
    let splits = in_force(snapshot, root);
    splits.into_iter().flat_map(|split| routes_of(snapshot, split, port)).collect()
}

/// The HTTP routes that a split makes for a port of its root, if it is in force.
pub(crate) fn routes_of(snapshot: &Snapshot, split: &SplitFacts, port: u16) -> Vec<HttpRoute> {
    let backends: Vec<_> = shares(snapshot, split, port).collect();
    if backends.is_empty() {
        return Vec::new();
    }
    let name = &split.origin.name;
    let Some(groups) = &split.groups else {
        return vec![HttpRoute { name: RouteName(format!("split/{name}").into()), matches: Vec::new(), backends }];
    };
    let route = |(group, object): (&_, ObjectRef)| {
        let matches = requests_of(snapshot, &object);
        let name = RouteName(format!("split/{name}/{group}").into());
        // A route without matches would take every request.
        (!matches.is_empty()).then(|| HttpRoute { name, matches, backends: backends.clone() })
    };
    groups.iter().zip(split.group_objects()).filter_map(route).collect()
}

fn requests_of(snapshot: &Snapshot, group: &ObjectRef) -> Vec<HttpMatch> {
    let group = snapshot.route_group_at(group);
    group.into_iter().flat_map(|facts| &facts.matches).map(|named| named.request.clone()).collect()
}

/// The backends of a split that get something of a port's traffic. Those that lack the port, or do not exist yet,
/// leave their share to the others.
pub(crate) fn shares(snapshot: &Snapshot, split: &SplitFacts, port: u16) -> impl Iterator<Item = WeightedBackend> {
    let weighty = split.backends.iter().filter(|backend| backend.weight > 0);
    weighty.filter(move |backend| is_usable(snapshot, &backend.service, port)).map(move |backend| WeightedBackend {
        service: backend.service.clone(),
        port,
        weight: backend.weight,
    })
}

fn is_usable(snapshot: &Snapshot, service: &ServiceName, port: u16) -> bool {
    snapshot.service(service).is_some_and(|facts| has_endpoints(facts) && facts.ports.contains_key(&port))
}

/// Whether a Service is one that can have endpoints.
pub(crate) fn has_endpoints(facts: &ServiceFacts) -> bool {
    facts.addressing != Addressing::External
}

/// The splits that name a Service as their backend.
pub(crate) fn with_backend<'a>(
    snapshot: &'a Snapshot,
    service: &ServiceName,
) -> impl Iterator<Item = &'a SplitFacts> + use<'a> {
    snapshot.linked(&Link::Backend(service.clone())).filter_map(|object| snapshot.split_at(object))
}

/// The object of a split.
pub(crate) fn object(split: &SplitFacts) -> ObjectRef {
    split.origin.object(Kind::TrafficSplit)
}

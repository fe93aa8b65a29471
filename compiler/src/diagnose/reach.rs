//! Where an object takes effect.

use std::collections::BTreeSet;

use smidge_mesh::{Protocol, ServiceAccountName, ServiceName};

use crate::{
    Fact, Kind, ObjectRef, Snapshot,
    compile::{permission, ports_behind, protocol_of, splits},
    facts::{IngressFacts, SplitFacts, TargetFacts},
    link::Link,
};

/// Where an object takes effect: the keys whose values carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Services whose clients' outbound side carries it: every meshed pod is a client.
    pub services: BTreeSet<ServiceName>,
    /// Service accounts whose pods' inbound side carries it: every workload key of theirs.
    pub accounts: BTreeSet<ServiceAccountName>,
    /// Whether every meshed pod carries it, whatever Services and accounts there are (MeshConfig).
    pub everyone: bool,
}

/// Where an object takes effect. Empty while it is not in force.
pub fn reach(snapshot: &Snapshot, object: &ObjectRef) -> Reach {
    match snapshot.fact(object) {
        Some(Fact::TrafficSplit(split)) => of_split(snapshot, split),
        Some(Fact::TrafficTarget(target)) => of_target(snapshot, target),
        Some(Fact::HttpRouteGroup(_) | Fact::TcpRoute(_)) => of_route(snapshot, object),
        Some(Fact::IngressBackend(ingress)) => of_ingress(snapshot, ingress),
        Some(Fact::MeshConfig(facts)) if facts.origin == snapshot.config().origin => {
            Reach { everyone: true, ..Reach::default() }
        }
        _ => Reach::default(),
    }
}

fn of_split(snapshot: &Snapshot, split: &SplitFacts) -> Reach {
    let root = split.root.as_ref().filter(|root| takes_effect(snapshot, split, root));
    Reach { services: root.cloned().into_iter().collect(), ..Reach::default() }
}

fn takes_effect(snapshot: &Snapshot, split: &SplitFacts, root: &ServiceName) -> bool {
    let is_in_force = splits::in_force(snapshot, root).iter().any(|other| other.origin == split.origin);
    let facts = snapshot.service(root).filter(|facts| splits::has_endpoints(facts));
    // TCP connections have no routes: only weights apply to them (smi.md §3.12).
    let is_for = |number, port| split.groups.is_none() || protocol_of(number, port, snapshot.config()) != Protocol::Tcp;
    let mut ports = facts.into_iter().flat_map(|facts| &facts.ports).filter(|(number, port)| is_for(**number, port));
    is_in_force && ports.any(|(number, _)| !splits::routes_of(snapshot, split, *number).is_empty())
}

fn of_target(snapshot: &Snapshot, target: &TargetFacts) -> Reach {
    let destination = permission(snapshot, target).and(target.destination.clone());
    Reach { accounts: destination.into_iter().collect(), ..Reach::default() }
}

/// The service accounts of the pods that it opens.
fn of_ingress(snapshot: &Snapshot, ingress: &IngressFacts) -> Reach {
    let pods = ingress.backends.iter().flat_map(|backend| ports_behind(snapshot, backend));
    let opened = pods.filter(|(pod, ports)| pod.meshed && !ports.is_empty() && !ingress.sources.is_empty());
    Reach { accounts: opened.map(|(pod, _)| pod.account()).collect(), ..Reach::default() }
}

/// The objects by whose grants an object takes effect at a server's side: its own, or those of who names it.
pub fn grantors(snapshot: &Snapshot, object: &ObjectRef) -> BTreeSet<ObjectRef> {
    match object.kind {
        Kind::TrafficTarget | Kind::IngressBackend => [object.clone()].into(),
        Kind::HttpRouteGroup | Kind::TcpRoute => snapshot.linked(&Link::Names(object.clone())).cloned().collect(),
        _ => BTreeSet::new(),
    }
}

/// Routes reach what those reach that name them.
fn of_route(snapshot: &Snapshot, route: &ObjectRef) -> Reach {
    let mut all = Reach::default();
    for object in snapshot.linked(&Link::Names(route.clone())) {
        let Reach { services, accounts, .. } = reach(snapshot, object);
        all.services.extend(services);
        all.accounts.extend(accounts);
    }
    all
}

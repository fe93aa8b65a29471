//! What a workload lets in: TrafficTargets, with the routes that they name.

use std::{collections::BTreeSet, sync::Arc};

use smidge_mesh::{Grant, HttpMatch, Identity, Inbound, PortSet, Protocols, ServiceAccountName, WorkloadKey};

use super::ingress;
use crate::{
    Snapshot,
    facts::{NamedMatch, Rule, RuleKind, TargetFacts},
    link::Link,
};

/// The inbound side of the workloads that share a key.
pub fn compile_inbound(snapshot: &Snapshot, key: &WorkloadKey) -> Inbound {
    let account = ServiceAccountName::new(key.identity.namespace.clone(), key.identity.service_account.clone());
    let targets = snapshot.linked(&Link::Destination(account)).filter_map(|object| snapshot.target_at(object));
    Inbound {
        key: key.clone(),
        grants: targets.filter_map(|target| grant(snapshot, target)).collect(),
        ingress: ingress::grants(snapshot, key),
        trust_bundle: snapshot.trust_bundle().clone(),
        telemetry: snapshot.config().telemetry,
    }
}

/// What a target grants; `None`: nothing.
fn grant(snapshot: &Snapshot, target: &TargetFacts) -> Option<Grant> {
    let (ports, protocols) = permission(snapshot, target)?;
    let trust_domain = &snapshot.config().trust_domain;
    let identity = |source: &ServiceAccountName| Identity {
        trust_domain: trust_domain.clone(),
        namespace: source.namespace.clone(),
        service_account: source.name.clone(),
    };
    let name = format!("{}/{}", target.origin.namespace, target.origin.name).into();
    Some(Grant { name, sources: target.sources.iter().map(identity).collect(), ports, protocols })
}

/// The ports and requests that a target opens to its sources; `None`: nothing.
///
/// smi.md §3.3: routes and ports are AND-ed; ports alone open any protocol, routes alone every port. A route that is
/// missing stays a restriction: what it would have opened is not opened by the absence of its half.
pub fn permission(snapshot: &Snapshot, target: &TargetFacts) -> Option<(PortSet, Protocols)> {
    if target.sources.is_empty() || target.destination.is_none() {
        return None;
    }
    let of_kind = |kind| target.rules.iter().filter(move |rule| rule.kind == kind);
    let mut http = of_kind(RuleKind::HttpRouteGroup).peekable();
    let mut tcp = of_kind(RuleKind::TcpRoute).peekable();
    let (has_http, has_tcp) = (http.peek().is_some(), tcp.peek().is_some());
    let ports = match has_tcp {
        true => union(tcp.filter_map(|rule| opened_ports(snapshot, target, rule)))?,
        false => PortSet::All,
    };
    let ports = narrowed(ports, target.port)?;
    match (has_http, has_tcp) {
        (true, _) => Some((ports, Protocols::Http(requests(snapshot, target, http)?))),
        (false, true) => Some((ports, Protocols::Any)),
        (false, false) => None,
    }
}

fn requests<'a>(
    snapshot: &Snapshot,
    target: &TargetFacts,
    rules: impl Iterator<Item = &'a Rule>,
) -> Option<Vec<HttpMatch>> {
    let named = rules.flat_map(|rule| selected_matches(snapshot, &target.origin.namespace, rule));
    let requests: BTreeSet<_> = named.map(|named| named.request.clone()).collect();
    (!requests.is_empty()).then(|| requests.into_iter().collect())
}

/// The requests that a rule means: every match of its group, or those that it names.
pub fn selected_matches<'a>(
    snapshot: &'a Snapshot,
    namespace: &Arc<str>,
    rule: &'a Rule,
) -> impl Iterator<Item = &'a NamedMatch> + use<'a> {
    let group = snapshot.route_group_at(&rule.object_in(namespace));
    let named = group.into_iter().flat_map(|facts| &facts.matches);
    named.filter(|named| is_selected(rule, &named.name))
}

fn is_selected(rule: &Rule, name: &Arc<str>) -> bool {
    rule.matches.as_ref().is_none_or(|names| names.contains(name))
}

/// The ports that a rule means; `None`: its route is missing, or has not the match that the rule names.
pub fn opened_ports<'a>(snapshot: &'a Snapshot, target: &TargetFacts, rule: &Rule) -> Option<&'a PortSet> {
    let route = snapshot.tcp_route_at(&target.object_of(rule))?;
    let is_meant = match &route.match_name {
        Some(name) => is_selected(rule, name),
        None => rule.matches.is_none(),
    };
    is_meant.then_some(&route.ports)
}

/// `None`: no port at all.
fn union<'a>(sets: impl Iterator<Item = &'a PortSet>) -> Option<PortSet> {
    let mut ports = BTreeSet::new();
    for set in sets {
        match set {
            PortSet::All => return Some(PortSet::All),
            PortSet::Only(some) => ports.extend(some),
        }
    }
    (!ports.is_empty()).then_some(PortSet::Only(ports))
}

/// Of the ports the one that an older version of SMI said, if it said one.
fn narrowed(ports: PortSet, only: Option<u16>) -> Option<PortSet> {
    match only {
        None => Some(ports),
        Some(port) => ports.permits(port).then(|| PortSet::Only([port].into())),
    }
}

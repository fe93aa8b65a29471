//! What is told of TrafficTargets beyond what is wrong in themselves.

use std::{collections::BTreeSet, sync::Arc};

use smidge_mesh::{PortSet, ServiceAccountName};

use super::Told;
use crate::{
    Fact, codes,
    compile::{
        opened_ports, permission,
        workload::{pod_ports, services_of},
    },
    facts::{PodFacts, Rule, RuleKind, TargetFacts, shown},
};

/// How many pods of a destination are looked at: they are much the same.
const MOST_PODS: usize = 16;

pub(super) fn tell(told: &mut Told<'_>, target: &TargetFacts) {
    for rule in &target.rules {
        absent_route(told, target, rule);
    }
    let is_whole = target.destination.is_some() && !target.sources.is_empty() && !target.rules.is_empty();
    let only_udp = target.rules.iter().all(|rule| rule.kind == RuleKind::UdpRoute);
    let is_explained = told.has(&[codes::ROUTE_NOT_FOUND, codes::MATCH_NOT_FOUND]);
    if is_whole && !only_udp && !is_explained && permission(told.snapshot, target).is_none() {
        told.add(codes::OPENS_NOTHING, "spec.rules", "nothing usable is left of what the rules name");
    }
    if let Some(account) = &target.destination {
        pods(told, target, account);
    }
}

fn absent_route(told: &mut Told<'_>, target: &TargetFacts, rule: &Rule) {
    let field = format!("spec.rules[{}]", rule.position);
    let object = target.object_of(rule);
    let Some(fact) = told.snapshot.fact(&object) else {
        told.add(codes::ROUTE_NOT_FOUND, field + ".name", format!("{object} does not exist: it opens nothing"));
        return;
    };
    if rule.kind == RuleKind::UdpRoute {
        told.add(codes::UDP_NOT_ENFORCED, field, format!("{object}: UDP passes untouched, neither opened nor closed"));
        return;
    }
    let known = |name: &Arc<str>| match fact {
        Fact::HttpRouteGroup(group) => group.matches.iter().any(|named| named.name == *name),
        Fact::TcpRoute(route) => route.match_name.as_ref() == Some(name),
        _ => true,
    };
    for name in rule.matches.iter().flatten().filter(|name| !known(name)) {
        let message = format!("{object} has no usable match {}: it opens nothing", shown(name));
        told.add(codes::MATCH_NOT_FOUND, field.clone() + ".matches", message);
    }
}

fn pods(told: &mut Told<'_>, target: &TargetFacts, account: &ServiceAccountName) {
    let pods: Vec<_> = told.snapshot.pods_of(account).take(MOST_PODS).collect();
    if pods.is_empty() {
        told.add(codes::DESTINATION_HAS_NO_PODS, "spec.destination", format!("no pod runs as {account}"));
    }
    if let Some(pod) = pods.iter().find(|pod| !pod.meshed) {
        let message = format!("pod {} has no sidecar: nothing is enforced there", pod.name());
        told.add(codes::DESTINATION_NOT_MESHED, "spec.destination", message);
    }
    for rule in target.rules.iter().filter(|rule| rule.kind == RuleKind::TcpRoute) {
        if let Some(PortSet::Only(ports)) = opened_ports(told.snapshot, target, rule).cloned() {
            service_ports(told, &target.object_of(rule).to_string(), &ports, &pods);
        }
    }
}

/// smi.md §3.7: the port of a TCPRoute is the pod's. One that is only a Service's is likely meant otherwise.
fn service_ports(told: &mut Told<'_>, route: &str, ports: &BTreeSet<u16>, pods: &[&PodFacts]) {
    for pod in pods {
        let services = services_of(told.snapshot, pod);
        let mapped =
            services.iter().flat_map(|facts| facts.ports.iter().map(move |(number, port)| (*facts, number, port)));
        let mapped: Vec<_> =
            mapped.map(|(f, number, port)| (f, number, pod_ports(told.snapshot, f, port, pod))).collect();
        let is_target = |port| mapped.iter().any(|(_, _, targets)| targets.contains(port));
        for port in ports.iter().filter(|port| !is_target(port)) {
            if let Some((facts, _, targets)) = mapped.iter().find(|(_, number, _)| *number == port) {
                let message =
                    format!("{route}: port {port} of Service {} is port {targets:?} of the pods", facts.name());
                told.add(codes::NOT_A_POD_PORT, "spec.rules", message);
            }
        }
    }
}

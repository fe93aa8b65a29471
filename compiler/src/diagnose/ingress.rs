//! What is told of IngressBackends beyond what is wrong in themselves.

use std::sync::Arc;

use smidge_mesh::{Members, Protocol, ServiceName};

use super::Told;
use crate::{
    codes,
    compile::{guests, ports_behind, protocol_of},
    facts::{IngressBackendFacts, IngressFacts, IngressSource, Rule, shown},
};

pub(super) fn tell(told: &mut Told<'_>, facts: &IngressFacts) {
    for backend in &facts.backends {
        tell_backend(told, backend);
        for rule in backend.routes.iter().flatten() {
            absent_route(told, &facts.origin.namespace, backend, rule);
        }
    }
    for source in &facts.sources {
        let field = format!("spec.sources[{}]", source.position);
        match &source.source {
            IngressSource::Range(range) if range.prefix_len() == 0 => {
                told.add(codes::OPEN_TO_EVERYBODY, field + ".cidr", format!("{range} is every address"));
            }
            IngressSource::Service(service) => tell_source(told, field, service),
            IngressSource::Range(_) | IngressSource::Principal(_) => {}
        }
    }
}

fn tell_backend(told: &mut Told<'_>, backend: &IngressBackendFacts) {
    let (field, service) = (format!("spec.backends[{}]", backend.position), &backend.service);
    let Some(facts) = told.snapshot.service(service) else {
        let message = format!("Service {service} does not exist: nothing is opened by it");
        return told.add(codes::INGRESS_SERVICE_NOT_FOUND, field + ".name", message);
    };
    let Some(port) = facts.ports.get(&backend.port) else {
        let message = format!("Service {service} has no TCP port {}: nothing is opened by it", backend.port);
        return told.add(codes::INGRESS_PORT_NOT_FOUND, field + ".port.number", message);
    };
    if backend.routes.is_some() && protocol_of(backend.port, port, told.snapshot.config()) == Protocol::Tcp {
        let message =
            format!("port {} of Service {service} is plain TCP to the mesh: routes open nothing", backend.port);
        told.add(codes::INGRESS_ROUTES_ON_TCP, field.clone() + ".routes", message);
    }
    let pods = ports_behind(told.snapshot, backend);
    if pods.is_empty() {
        told.add(codes::INGRESS_HAS_NO_PODS, field.clone(), format!("no pod is behind Service {service}"));
    }
    if let Some((pod, _)) = pods.iter().find(|(pod, _)| !pod.meshed) {
        let message = format!("pod {} has no sidecar: nothing is enforced there", pod.name());
        told.add(codes::INGRESS_NOT_MESHED, field, message);
    }
}

fn absent_route(told: &mut Told<'_>, namespace: &Arc<str>, backend: &IngressBackendFacts, rule: &Rule) {
    let field = format!("spec.backends[{}].routes[{}]", backend.position, rule.position);
    let object = rule.object_in(namespace);
    let Some(group) = told.snapshot.route_group_at(&object) else {
        let message = format!("{object} does not exist: it opens nothing");
        return told.add(codes::INGRESS_ROUTE_NOT_FOUND, field + ".name", message);
    };
    for name in rule.matches.iter().flatten().filter(|name| group.matches.iter().all(|named| named.name != **name)) {
        let message = format!("{object} has no usable match {}: it opens nothing", shown(name));
        told.add(codes::INGRESS_MATCH_NOT_FOUND, field.clone() + ".matches", message);
    }
}

fn tell_source(told: &mut Told<'_>, field: String, service: &ServiceName) {
    if told.snapshot.service(service).is_none() {
        let message = format!("Service {service} does not exist: its pods stay locked out");
        told.add(codes::SOURCE_NOT_FOUND, field + ".name", message);
    } else if guests(told.snapshot, service) == Members::default() {
        told.add(codes::SOURCE_HAS_NO_PODS, field, format!("Service {service} has no endpoint at present"));
    }
}

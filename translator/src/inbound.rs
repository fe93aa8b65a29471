//! The server's side of a workload: what it lets in.
//!
//! The listener depends on the `WorkloadKey` and telemetry alone; who may do what stands in routes (HTTP), validation
//! contexts (TCP) and extensions (an audit of TCP), so that a change of policy closes no connection.

use std::collections::BTreeSet;

use smidge_mesh::{self as mesh, Grant, Inbound, Mode, PortSet, Protocol, Protocols};
use smidge_xds::{Resource, TypeUrl};

use envoy_types::pb::envoy::config::{
    core::v3::TypedExtensionConfig,
    route::v3::{VirtualHost, route_action::ClusterSpecifier},
};

use crate::{
    http, inbound_listener, listener, matching,
    name::{self, InboundPort},
    rbac::{self, Verdict},
    secret,
};

/// `inbound`, and for each declared port and for all others `inbound/<port>`, `callers/<port>`, `audit/<port>`.
pub fn translate_inbound(inbound: &Inbound) -> Vec<Resource> {
    let listener = listener::resource(&inbound_listener::inbound(&inbound.key, inbound.telemetry));
    let of_ports = ports(&inbound.key).into_iter().flat_map(|(port, protocol)| match inbound.key.mode {
        Mode::Deny => vec![route(inbound, port, protocol), callers(inbound, port)],
        Mode::Audit => vec![route(inbound, port, protocol), audit(inbound, port)],
        Mode::Allow => vec![route(inbound, port, protocol)],
    });
    [listener].into_iter().chain(of_ports).collect()
}

/// The declared ports, and the rest, of which nothing is known.
pub(crate) fn ports(key: &mesh::WorkloadKey) -> Vec<(InboundPort, Protocol)> {
    let declared = key.ports.iter().map(|(&port, &protocol)| (InboundPort::Declared(port), protocol));
    declared.chain([(InboundPort::Other, Protocol::Detect)]).collect()
}

/// What a mode does with what nothing permits.
pub(crate) fn verdict(mode: Mode) -> Option<Verdict> {
    match mode {
        Mode::Deny => Some(Verdict::Enforce),
        Mode::Audit => Some(Verdict::Shadow),
        Mode::Allow => None,
    }
}

fn route(inbound: &Inbound, port: InboundPort, protocol: Protocol) -> Resource {
    let to_the_app = ClusterSpecifier::Cluster(name::INBOUND.to_owned());
    let permitted = inbound.grants.iter().filter(|grant| is_about_http(grant, port, protocol));
    let policy = verdict(inbound.key.mode).map(|verdict| rbac::per_route(verdict, rbac::rules(port, permitted)));
    http::route_configuration(VirtualHost {
        name: port.route(),
        routes: vec![http::route("app", matching::every_request(), to_the_app)],
        typed_per_filter_config: policy.into_iter().map(|policy| (rbac::HTTP_FILTER.to_owned(), policy)).collect(),
        ..Default::default()
    })
}

/// Routes of an HTTPRouteGroup open HTTP ports only; an opaque port takes a grant for any protocol.
fn is_about_http(grant: &Grant, port: InboundPort, protocol: Protocol) -> bool {
    is_about(&grant.ports, port) && (grant.protocols == Protocols::Any || protocol != Protocol::Tcp)
}

fn is_about(ports: &PortSet, port: InboundPort) -> bool {
    match port {
        InboundPort::Declared(port) => ports.permits(port),
        InboundPort::Other => true,
    }
}

/// Who may open TCP connections. A handshake does not know the port, so that of the undeclared ones only those are
/// opened that a grant for all ports opens.
fn callers(inbound: &Inbound, port: InboundPort) -> Resource {
    let opens = |grant: &&Grant| {
        grant.protocols == Protocols::Any
            && is_about(&grant.ports, port)
            && (port != InboundPort::Other || grant.ports == PortSet::All)
    };
    let identities: BTreeSet<_> =
        inbound.grants.iter().filter(opens).flat_map(|grant| grant.sources.iter().cloned()).collect();
    secret::any_of(port.callers(), &identities, &inbound.trust_bundle)
}

fn audit(inbound: &Inbound, port: InboundPort) -> Resource {
    let permitted =
        inbound.grants.iter().filter(|grant| grant.protocols == Protocols::Any && is_about(&grant.ports, port));
    let name = port.audit();
    let config = TypedExtensionConfig {
        name: name.clone(),
        typed_config: Some(rbac::network_audit(rbac::rules(port, permitted))),
    };
    Resource::new(TypeUrl::Extension, name, &config)
}

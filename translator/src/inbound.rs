//! The server's side of a workload: what it lets in.
//!
//! The listener depends on the `WorkloadKey`, telemetry and callers outside the mesh alone; who in it may do what, and what
//! the mode makes of that, stands in routes (HTTP), validation contexts (TCP) and extensions (an audit of TCP), so that a
//! change of policy closes no connection and holds for the next request of those that are open.

use std::collections::BTreeSet;

use smidge_mesh::{self as mesh, Grant, Inbound, IngressGrant, Mode, PortSet, Principal, Protocol, Protocols};
use smidge_xds::{Resource, TypeUrl};

use envoy_types::pb::envoy::config::{
    core::v3::TypedExtensionConfig,
    route::v3::{VirtualHost, route_action::ClusterSpecifier},
};

use crate::{
    http,
    inbound_chains::{self, Guests},
    inbound_listener, listener, matching,
    name::{self, InboundPort},
    rbac::{self, Verdict},
    secret,
};

/// `inbound`, and for each declared port and for all others `inbound/<port>`, `callers/<port>`, `guests/<port>`,
/// `audit/<port>`.
pub fn translate_inbound(inbound: &Inbound) -> Vec<Resource> {
    let listener = listener::resource(&inbound_listener::inbound(inbound));
    let of_ports = ports(&inbound.key).into_iter().flat_map(|(port, protocol)| {
        let of_all = [route(inbound, port, protocol), callers(inbound, port), audit(inbound, port)];
        of_all.into_iter().chain(guests(inbound, port, protocol))
    });
    [listener].into_iter().chain(of_ports).collect()
}

/// The declared ports, and the rest, of which nothing is known.
pub(crate) fn ports(key: &mesh::WorkloadKey) -> Vec<(InboundPort, Protocol)> {
    let declared = key.ports.iter().map(|(&port, &protocol)| (InboundPort::Declared(port), protocol));
    declared.chain([(InboundPort::Other, Protocol::Detect)]).collect()
}

/// What a mode does with what nothing permits.
fn verdict(mode: Mode) -> Option<Verdict> {
    match mode {
        Mode::Deny => Some(Verdict::Enforce),
        Mode::Audit => Some(Verdict::Shadow),
        Mode::Allow => None,
    }
}

fn route(inbound: &Inbound, port: InboundPort, protocol: Protocol) -> Resource {
    let to_the_app = ClusterSpecifier::Cluster(name::INBOUND.to_owned());
    let permitted = inbound.grants.iter().filter(|grant| is_about_http(grant, port, protocol));
    let ingress = inbound_chains::grants(inbound, port);
    let policy = rbac::per_route(verdict(inbound.key.mode), rbac::rules(port, permitted, ingress));
    http::route_configuration(VirtualHost {
        name: port.route(),
        routes: vec![http::route("app", matching::every_request(), to_the_app)],
        typed_per_filter_config: [(rbac::HTTP_FILTER.to_owned(), policy)].into(),
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

/// Who may open TCP connections: in mode deny those that a grant names, else every identity. A handshake does not know the port, so that of the undeclared ones only those are
/// opened that a grant for all ports opens.
fn callers(inbound: &Inbound, port: InboundPort) -> Resource {
    if inbound.key.mode != Mode::Deny {
        return secret::anybody(port.callers(), &inbound.key.identity.trust_domain, &inbound.trust_bundle);
    }
    let opens = |grant: &&Grant| {
        grant.protocols == Protocols::Any
            && is_about(&grant.ports, port)
            && (port != InboundPort::Other || grant.ports == PortSet::All)
    };
    let identities = inbound.grants.iter().filter(opens).flat_map(|grant| grant.sources.iter().map(Principal::from));
    let callers: BTreeSet<Principal> = identities.chain(certified(inbound, port, Protocol::Tcp)).collect();
    secret::any_of(port.callers(), callers.into_iter(), &inbound.trust_bundle)
}

/// Who outside the mesh may call by certificate; `None`: nobody is named.
fn guests(inbound: &Inbound, port: InboundPort, protocol: Protocol) -> Option<Resource> {
    let guests = certified(inbound, port, protocol);
    let is_named = Guests::of(inbound, port).by_certificate();
    is_named.then(|| secret::any_of(port.guests(), guests.into_iter(), &inbound.trust_bundle))
}

/// Whom IngressBackends name by certificate. Of TCP connections there are no requests to restrict.
fn certified(inbound: &Inbound, port: InboundPort, protocol: Protocol) -> BTreeSet<Principal> {
    let opens = |grant: &&IngressGrant| protocol != Protocol::Tcp || grant.requests.is_none();
    inbound_chains::grants(inbound, port).filter(opens).flat_map(IngressGrant::certified).collect()
}

/// The network filter that finds what enforcement would refuse; outside mode audit it looks for nothing.
fn audit(inbound: &Inbound, port: InboundPort) -> Resource {
    let is_audited = inbound.key.mode == Mode::Audit;
    let permitted =
        inbound.grants.iter().filter(|grant| grant.protocols == Protocols::Any && is_about(&grant.ports, port));
    let ingress = inbound_chains::grants(inbound, port).filter(|grant| grant.requests.is_none());
    let name = port.audit();
    let rules = is_audited.then(|| rbac::rules(port, permitted, ingress));
    let config = TypedExtensionConfig { name: name.clone(), typed_config: Some(rbac::network_audit(rules)) };
    Resource::new(TypeUrl::Extension, name, &config)
}

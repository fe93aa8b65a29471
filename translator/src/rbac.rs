//! RBAC: who may do what on a port, for HTTP in routes, for TCP only as an audit.

use std::collections::BTreeMap;

use envoy_types::pb::{
    envoy::{
        config::rbac::v3::{
            Permission, Policy, Principal,
            permission::{Rule, Set},
            principal::{self, Authenticated, Identifier},
            rbac::Action,
        },
        extensions::filters::{
            http::rbac::v3::{Rbac as HttpRbac, RbacPerRoute},
            network::rbac::v3::Rbac as NetworkRbac,
        },
    },
    google::protobuf::Any,
};
use smidge_mesh::{Grant, Identity, IngressGrant, PortSet, Principal as San, Protocols};

use crate::{
    envoy::{exactly, pack_mirror, range},
    matching,
    name::InboundPort,
};

/// The name of the HTTP filter.
pub(crate) const HTTP_FILTER: &str = "envoy.filters.http.rbac";
/// The name under which the network filter writes what it found.
pub(crate) const NETWORK_FILTER: &str = "envoy.filters.network.rbac";

/// What is done with what no policy permits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// It is refused.
    Enforce,
    /// It is let through, counted and marked for the access log.
    Shadow,
}

/// What one route permits. Without a verdict nothing is looked at.
pub(crate) fn per_route(verdict: Option<Verdict>, rules: Rules) -> Any {
    let rbac = verdict.map(|verdict| match verdict {
        Verdict::Enforce => FilterMirror { rules: Some(rules), shadow_rules: None },
        Verdict::Shadow => FilterMirror { rules: None, shadow_rules: Some(rules) },
    });
    pack_mirror::<RbacPerRoute>(&PerRouteMirror { rbac })
}

/// What holds where a route says nothing: nothing is permitted.
pub(crate) fn nothing_permitted() -> Any {
    pack_mirror::<HttpRbac>(&FilterMirror { rules: Some(Rules::default()), shadow_rules: None })
}

/// What an audit of TCP connections finds; without rules there is none.
pub(crate) fn network_audit(rules: Option<Rules>) -> Any {
    pack_mirror::<NetworkRbac>(&NetworkMirror { shadow_rules: rules, stat_prefix: "inbound".to_owned() })
}

/// What the grants permit on a port: a policy per grant, named after its TrafficTarget or IngressBackend.
pub(crate) fn rules<'a>(
    port: InboundPort,
    grants: impl Iterator<Item = &'a Grant>,
    ingress: impl Iterator<Item = &'a IngressGrant>,
) -> Rules {
    let policies = grants.map(|grant| (grant.name.to_string(), policy(port, grant)));
    let of_guests = ingress.filter_map(|grant| {
        let name = format!("IngressBackend/{}[{}]", grant.name, grant.backend);
        Some((name, ingress_policy(grant)?))
    });
    Rules { action: Action::Allow.into(), policies: policies.chain(of_guests).collect() }
}

/// `None`: there is nobody whom it lets in.
fn ingress_policy(grant: &IngressGrant) -> Option<Policy> {
    let what = match &grant.requests {
        None => matching::all(Vec::new()),
        Some(matches) => any(matches.iter().map(matching::permission).collect()),
    };
    let addresses = unidentified(grant);
    let principals: Vec<_> = addresses.into_iter().chain(grant.certified().iter().map(certified)).collect();
    (!principals.is_empty()).then(|| Policy { permissions: vec![what], principals, ..Default::default() })
}

/// Callers without a certificate at the grant's addresses: whoever has proved an identity is judged by that.
fn unidentified(grant: &IngressGrant) -> Option<Principal> {
    let addresses: Vec<_> =
        grant.addresses().iter().map(|cidr| identified_by(Identifier::DirectRemoteIp(range(cidr)))).collect();
    if addresses.is_empty() {
        return None;
    }
    let anybody = identified_by(Identifier::Authenticated(Authenticated { principal_name: None }));
    let from = identified_by(Identifier::OrIds(principal::Set { ids: addresses }));
    let unknown = identified_by(Identifier::NotId(Box::new(anybody)));
    Some(identified_by(Identifier::AndIds(principal::Set { ids: vec![from, unknown] })))
}

fn identified_by(identifier: Identifier) -> Principal {
    Principal { identifier: Some(identifier) }
}

fn policy(port: InboundPort, grant: &Grant) -> Policy {
    let what = match &grant.protocols {
        Protocols::Any => matching::all(Vec::new()),
        Protocols::Http(matches) => any(matches.iter().map(matching::permission).collect()),
    };
    let where_to = if port == InboundPort::Other { ports(&grant.ports) } else { None };
    Policy {
        permissions: vec![matching::all(where_to.into_iter().chain([what]).collect())],
        principals: grant.sources.iter().map(identity).collect(),
        ..Default::default()
    }
}

/// Undeclared ports share their route, so that the policy itself has to look at the port.
fn ports(ports: &PortSet) -> Option<Permission> {
    let port = |&port: &u16| Permission { rule: Some(Rule::DestinationPort(port.into())) };
    match ports {
        PortSet::All => None,
        PortSet::Only(ports) => Some(any(ports.iter().map(port).collect())),
    }
}

/// Any of these; of none, nothing.
fn any(mut permissions: Vec<Permission>) -> Permission {
    match permissions.len() {
        0 => {
            let everything = Permission { rule: Some(Rule::Any(true)) };
            Permission { rule: Some(Rule::NotRule(Box::new(everything))) }
        }
        1 => permissions.remove(0),
        _ => Permission { rule: Some(Rule::OrRules(Set { rules: permissions })) },
    }
}

fn identity(identity: &Identity) -> Principal {
    certified(&identity.into())
}

fn certified(san: &San) -> Principal {
    identified_by(Identifier::Authenticated(Authenticated { principal_name: Some(exactly(san.as_str())) }))
}

/// `envoy.config.rbac.v3.RBAC`. It and its wrappers are mirrored, because the generated one holds a `HashMap`, which
/// encodes in any order.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Rules {
    #[prost(enumeration = "Action", tag = "1")]
    action: i32,
    #[prost(btree_map = "string, message", tag = "2")]
    policies: BTreeMap<String, Policy>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FilterMirror {
    #[prost(message, optional, tag = "1")]
    rules: Option<Rules>,
    #[prost(message, optional, tag = "2")]
    shadow_rules: Option<Rules>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PerRouteMirror {
    #[prost(message, optional, tag = "2")]
    rbac: Option<FilterMirror>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NetworkMirror {
    #[prost(message, optional, tag = "2")]
    shadow_rules: Option<Rules>,
    #[prost(string, tag = "3")]
    stat_prefix: String,
}

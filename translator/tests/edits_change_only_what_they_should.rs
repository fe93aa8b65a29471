//! What an edit of an SMI object changes: never a listener, never a cluster (envoy.md, "What an update does to
//! traffic"). And what must not open: an empty set of identities, an opaque port, a port that nobody declared.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use smidge_mesh::{
    Endpoint, Endpoints, Grant, Health, HttpMatch, HttpRoute, Identity, Inbound, IngressGrant, Members, Mode, Mtls,
    Peers, PortEndpoints, PortSet, Protocol, Protocols, RouteName, Service, ServiceName, ServicePort, Share, Telemetry,
    TrustBundle, TrustDomain, WeightedBackend, WorkloadKey,
};
use smidge_printer::print;
use smidge_translator::{translate_endpoints, translate_inbound, translate_peers, translate_service};
use smidge_xds::{Resource, TypeUrl};

fn identity(account: &str) -> Identity {
    let trust_domain = TrustDomain::default();
    Identity { trust_domain, namespace: "shop".into(), service_account: account.into() }
}

fn service(routes: Vec<HttpRoute>) -> Vec<Resource> {
    let port = ServicePort { protocol: Protocol::Detect, direct: Vec::new(), routes };
    translate_service(&Service {
        name: ServiceName::new("shop", "cart"),
        addresses: vec![[10, 0, 0, 1].into()],
        ports: BTreeMap::from([(80, port)]),
        telemetry: Telemetry::default(),
    })
}

fn inbound(mode: Mode, grants: Vec<Grant>) -> Vec<Resource> {
    let ports = BTreeMap::from([(80, Protocol::Http), (5432, Protocol::Tcp)]);
    translate_inbound(&Inbound {
        key: WorkloadKey { identity: identity("cart"), ports, mode, mtls: Mtls::of(mode), openings: BTreeSet::new() },
        grants,
        ingress: Vec::new(),
        trust_bundle: TrustBundle("PEM".into()),
        telemetry: Telemetry::default(),
    })
}

fn grant(ports: PortSet, protocols: Protocols) -> Grant {
    Grant { name: "shop/target".into(), sources: BTreeSet::from([identity("front")]), ports, protocols }
}

/// The resources of other types than these, which an edit may not touch.
fn beside(resources: &[Resource], may_change: &[TypeUrl]) -> Vec<Resource> {
    resources.iter().filter(|resource| !may_change.contains(&resource.type_url)).cloned().collect()
}

fn printed(resources: &[Resource], name: &str) -> Value {
    print(resources.iter().find(|resource| resource.name.as_str() == name).unwrap()).unwrap()
}

/// The only SAN matchers of a validation context.
fn permitted(resources: &[Resource], name: &str) -> Vec<String> {
    let secret = printed(resources, name);
    let matchers = secret["validationContext"]["matchTypedSubjectAltNames"].as_array().unwrap();
    matchers.iter().map(|matcher| matcher["matcher"]["exact"].as_str().unwrap().to_owned()).collect()
}

fn policies(resources: &[Resource], route: &str) -> Value {
    let route = printed(resources, route);
    route["virtualHosts"][0]["typedPerFilterConfig"]["envoy.filters.http.rbac"]["rbac"]["rules"]["policies"].clone()
}

#[test]
fn a_split_changes_routes_only() {
    let backends = vec![WeightedBackend { service: ServiceName::new("shop", "v2"), port: 80, weight: 1 }];
    let split = HttpRoute { name: RouteName("split/x".into()), matches: Vec::new(), backends };
    let (before, after) = (service(Vec::new()), service(vec![split]));
    assert_ne!(before, after);
    assert_eq!(beside(&before, &[TypeUrl::Route]), beside(&after, &[TypeUrl::Route]));
}

#[test]
fn a_target_changes_routes_secrets_and_extensions_only() {
    for mode in [Mode::Deny, Mode::Audit] {
        let (before, after) = (inbound(mode, Vec::new()), inbound(mode, vec![grant(PortSet::All, Protocols::Any)]));
        assert_ne!(before, after);
        let may_change = [TypeUrl::Route, TypeUrl::Secret, TypeUrl::Extension];
        assert_eq!(beside(&before, &may_change), beside(&after, &may_change));
    }
}

/// An inbound side with one grant to callers outside the mesh on its HTTP port.
fn with_guests(mode: Mode, guests: Option<IngressGrant>) -> Vec<Resource> {
    let ports = BTreeMap::from([(80, Protocol::Http), (5432, Protocol::Tcp)]);
    translate_inbound(&Inbound {
        key: WorkloadKey { identity: identity("cart"), ports, mode, mtls: Mtls::of(mode), openings: BTreeSet::new() },
        grants: Vec::new(),
        ingress: guests.into_iter().collect(),
        trust_bundle: TrustBundle("PEM".into()),
        telemetry: Telemetry::default(),
    })
}

fn guests(ranges: &[&str], requests: Option<Vec<HttpMatch>>) -> IngressGrant {
    IngressGrant {
        name: "shop/edge".into(),
        backend: 0,
        port: 80,
        ranges: ranges.iter().map(|text| text.parse().unwrap()).collect(),
        principals: BTreeSet::new(),
        members: Members::default(),
        requests,
    }
}

/// The chains of the inbound listener, and the rest of it.
fn chains_and_rest(resources: &[Resource]) -> (Vec<Value>, Value) {
    let mut listener = printed(resources, "inbound");
    let listener = listener.as_object_mut().unwrap();
    let chains = listener.remove("filterChains").unwrap().as_array().unwrap().clone();
    listener.remove("filterChainMatcher").unwrap();
    (chains, json!(listener))
}

/// Envoy updates in place what differs in chains and matcher alone, and drains the connections of chains that are gone.
#[test]
fn an_ingress_backend_changes_no_chain_that_is_there_and_nothing_else_of_the_listener() {
    for mode in [Mode::Deny, Mode::Audit, Mode::Allow] {
        let none = with_guests(mode, None);
        let some = with_guests(mode, Some(guests(&["10.0.0.0/8"], Some(vec![HttpMatch::default()]))));
        let more = with_guests(mode, Some(guests(&["10.0.0.0/8", "fd00::/8"], None)));
        for (before, after) in [(&none, &some), (&some, &more)] {
            let ((before, rest), (after, rest_after)) = (chains_and_rest(before), chains_and_rest(after));
            assert_eq!(rest, rest_after);
            assert!(before.iter().all(|chain| after.contains(chain)), "{mode:?}: a chain has changed");
        }
    }
}

/// So it holds for the next request of every connection that is open, and closes none.
#[test]
fn a_mode_changes_no_chain_that_is_there_and_nothing_else_of_the_listener() {
    for guest in [None, Some(guests(&["10.0.0.0/8"], None))] {
        let [(deny, rest), (audit, rest_of_audit), (allow, rest_of_allow)] =
            [Mode::Deny, Mode::Audit, Mode::Allow].map(|mode| chains_and_rest(&with_guests(mode, guest.clone())));
        assert_eq!([&rest_of_audit, &rest_of_allow], [&rest, &rest]);
        assert!(deny.iter().all(|chain| audit.contains(chain)), "{deny:?} became {audit:?}");
        assert_eq!(audit, allow);
    }
}

/// Else an edit of an HTTPRouteGroup would change a listener.
#[test]
fn which_requests_are_opened_does_not_change_who_may_connect() {
    let opening = |requests| with_guests(Mode::Deny, Some(guests(&["10.0.0.0/8"], Some(requests))));
    let (before, after) = (opening(Vec::new()), opening(vec![HttpMatch::default()]));
    assert_ne!(before, after);
    assert_eq!(beside(&before, &[TypeUrl::Route]), beside(&after, &[TypeUrl::Route]));
}

#[test]
fn an_empty_set_of_identities_matches_nobody() {
    let service = ServiceName::new("shop", "cart");
    let trust_bundle = TrustBundle("PEM".into());
    let peers = translate_peers(&Peers { service, own: BTreeSet::new(), tcp: BTreeSet::new(), trust_bundle });
    assert_eq!(permitted(&peers, "peers/shop/cart"), ["smidge:nobody"]);
    assert_eq!(permitted(&peers, "peers/shop/cart/tcp"), ["smidge:nobody"]);
    let inbound = inbound(Mode::Deny, Vec::new());
    for name in ["callers/80", "callers/5432", "callers/other"] {
        assert_eq!(permitted(&inbound, name), ["smidge:nobody"]);
    }
}

#[test]
fn smi_3_3_a_tcp_route_opens_its_ports_for_any_protocol() {
    let inbound = inbound(Mode::Deny, vec![grant(PortSet::Only([80].into()), Protocols::Any)]);
    assert_eq!(permitted(&inbound, "callers/80"), ["spiffe://cluster.local/ns/shop/sa/front"]);
    assert_eq!(permitted(&inbound, "callers/5432"), ["smidge:nobody"]);
    assert_eq!(permitted(&inbound, "callers/other"), ["smidge:nobody"]);
    assert_eq!(policies(&inbound, "inbound/80")["shop/target"]["permissions"], json!([{"any": true}]));
}

#[test]
fn smi_3_3_an_http_route_group_opens_http_ports_only() {
    let routes = Protocols::Http(vec![HttpMatch::default()]);
    let inbound = inbound(Mode::Deny, vec![grant(PortSet::All, routes)]);
    assert_eq!(permitted(&inbound, "callers/80"), ["smidge:nobody"]);
    assert!(policies(&inbound, "inbound/80").get("shop/target").is_some());
    assert!(policies(&inbound, "inbound/other").get("shop/target").is_some());
    assert_eq!(policies(&inbound, "inbound/5432"), Value::Null);
}

#[test]
fn a_port_that_nobody_declared_is_opened_for_http_alone() {
    let inbound = inbound(Mode::Deny, vec![grant(PortSet::Only([9000].into()), Protocols::Any)]);
    let expected = json!([{"andRules": {"rules": [{"destinationPort": 9000}, {"any": true}]}}]);
    assert_eq!(policies(&inbound, "inbound/other")["shop/target"]["permissions"], expected);
    assert_eq!(permitted(&inbound, "callers/other"), ["smidge:nobody"]);
}

fn endpoint(host: u8, health: Health) -> Endpoint {
    Endpoint { address: ([10, 1, 0, host], 80).into(), zone: None, health, meshed: false }
}

/// Localities as `sub zone: weight, hosts`.
fn localities(ports: PortEndpoints) -> Vec<String> {
    let service = ServiceName::new("shop", "cart");
    let resources = translate_endpoints(&Endpoints { service, ports: BTreeMap::from([(80, ports)]) });
    let assignment = printed(&resources, "shop/cart/80/tcp");
    let text = |locality: &Value| {
        let hosts: Vec<_> = locality["lbEndpoints"].as_array().unwrap().iter().map(host).collect();
        let sub_zone = locality["locality"]["subZone"].as_str().unwrap_or_default();
        format!("{sub_zone}: {}, {}", locality["loadBalancingWeight"], hosts.join(" "))
    };
    assignment["endpoints"].as_array().unwrap().iter().map(text).collect()
}

fn host(endpoint: &Value) -> String {
    let address = &endpoint["endpoint"]["address"]["socketAddress"]["address"];
    address.as_str().unwrap().rsplit('.').next().unwrap().to_owned()
}

fn share(name: &str, weight: u32, hosts: &[u8]) -> Share {
    let endpoints = hosts.iter().map(|&host| endpoint(host, Health::Ready)).collect();
    Share { service: ServiceName::new("shop", name), weight, endpoints }
}

#[test]
fn the_shares_of_a_tcp_split_are_weighted_localities() {
    let tcp = Some(vec![share("v1", 90, &[1, 2]), share("v2", 10, &[3])]);
    let ports = PortEndpoints { own: Vec::new(), tcp };
    assert_eq!(localities(ports), ["shop/v1: 90, 1 2", "shop/v2: 10, 3"]);
}

#[test]
fn smi_3_2_an_endpoint_of_root_and_backend_gets_its_part_of_both_shares() {
    let tcp = Some(vec![share("root", 50, &[1, 2]), share("v2", 50, &[2])]);
    let ports = PortEndpoints { own: Vec::new(), tcp };
    assert_eq!(localities(ports), ["shop/root: 25, 1", "shop/root+shop/v2: 75, 2"]);
}

#[test]
fn draining_endpoints_take_part_only_where_none_is_ready() {
    let (ready, draining) = (endpoint(1, Health::Ready), endpoint(2, Health::Draining));
    let both = PortEndpoints { own: vec![ready, draining.clone()], tcp: None };
    assert_eq!(localities(both), [": 1, 1"]);
    assert_eq!(localities(PortEndpoints { own: vec![draining], tcp: None }), [": 1, 2"]);
}

#[test]
fn weights_up_to_the_greatest_sum_stay_within_32_bits() {
    let tcp = Some(vec![share("a", u32::MAX - 1, &[1]), share("b", 1, &[2])]);
    let localities = localities(PortEndpoints { own: Vec::new(), tcp });
    let weight = |text: &String| text.split(' ').nth(1).unwrap().trim_end_matches(',').parse::<u64>().unwrap();
    let sum: u64 = localities.iter().map(weight).sum();
    assert!(sum <= u64::from(u32::MAX) && localities.iter().all(|text| weight(text) > 0), "{localities:?}");
}

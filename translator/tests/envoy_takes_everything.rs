//! Every kind of resource in every form that the mesh can ask for, loaded by a stock Envoy.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

mod envoy;

use std::collections::{BTreeMap, BTreeSet};

use smidge_mesh::{
    Base, DirectAddress, Endpoint, Endpoints, Grant, HeaderName, Health, HttpMatch, HttpRoute, Identity, Inbound,
    Method, Mode, Mtls, PathPattern, Peers, PortEndpoints, PortSet, Protocol, Protocols, RouteName, Service,
    ServiceName, ServicePort, Share, Telemetry, TrustBundle, TrustDomain, ValuePattern, WeightedBackend, WorkloadKey,
};
use smidge_translator::{translate_base, translate_endpoints, translate_inbound, translate_peers, translate_service};
use smidge_xds::Resource;

fn bundle() -> TrustBundle {
    TrustBundle(envoy::trust_bundle().into())
}

fn base(bundle: &TrustBundle, access_log: bool) -> Vec<Resource> {
    translate_base(&Base {
        trust_domain: TrustDomain::default(),
        trust_bundle: bundle.clone(),
        telemetry: Telemetry { access_log },
    })
}

fn identity(account: &str) -> Identity {
    Identity { trust_domain: TrustDomain::default(), namespace: "shop".into(), service_account: account.into() }
}

fn a_match() -> HttpMatch {
    HttpMatch {
        path: Some(PathPattern::from_checked("/orders/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}(/items/[0-9]+)?")),
        methods: ["GET", "M-SEARCH"].map(Method::from_checked).into(),
        headers: BTreeMap::from([(HeaderName::from_checked("x-user"), ValuePattern::from_checked("^a.*|b$"))]),
    }
}

fn service(protocol: Protocol, routes: Vec<HttpRoute>, direct: Vec<DirectAddress>) -> Service {
    let addresses = ["10.0.0.1", "fd00::1"].map(|ip| ip.parse().unwrap());
    Service {
        name: ServiceName::new("shop", "cart"),
        addresses: if direct.is_empty() { addresses.into() } else { Vec::new() },
        ports: BTreeMap::from([(80, ServicePort { protocol, direct, routes })]),
        telemetry: Telemetry { access_log: true },
    }
}

fn backend(name: &str, weight: u32) -> WeightedBackend {
    WeightedBackend { service: ServiceName::new("shop", name), port: 80, weight }
}

fn endpoint(address: &str, health: Health, meshed: bool) -> Endpoint {
    Endpoint { address: address.parse().unwrap(), zone: Some("z".into()), health, meshed }
}

fn endpoints(tcp: Option<Vec<Share>>) -> Vec<Resource> {
    let own = vec![
        endpoint("10.1.0.1:8080", Health::Ready, true),
        endpoint("10.1.0.2:8080", Health::Draining, false),
        endpoint("[fd01::3]:8080", Health::Ready, false),
    ];
    let ports = BTreeMap::from([(80, PortEndpoints { own, tcp })]);
    translate_endpoints(&Endpoints { service: ServiceName::new("shop", "cart"), ports })
}

fn peers(bundle: &TrustBundle) -> Vec<Resource> {
    let own = BTreeSet::from([identity("cart"), identity("cart-v2")]);
    let service = ServiceName::new("shop", "cart");
    translate_peers(&Peers { service, own, tcp: BTreeSet::new(), trust_bundle: bundle.clone() })
}

fn check(resources: &[Vec<Resource>]) {
    if let Err(why) = envoy::load(&resources.concat()) {
        panic!("{why}");
    }
}

#[test]
fn a_service_of_each_protocol() {
    for protocol in [Protocol::Http, Protocol::Http2, Protocol::Tcp, Protocol::Detect] {
        let bundle = bundle();
        let service = translate_service(&service(protocol, Vec::new(), Vec::new()));
        check(&[base(&bundle, false), service, endpoints(None), peers(&bundle)]);
    }
}

#[test]
fn splits_by_match_and_by_weight_up_to_the_greatest_sum() {
    let bundle = bundle();
    let routes = vec![
        HttpRoute {
            name: RouteName("split/ab/group".into()),
            matches: vec![a_match(), HttpMatch::default()],
            backends: vec![backend("cart-v2", 7)],
        },
        HttpRoute {
            name: RouteName("split/canary".into()),
            matches: Vec::new(),
            backends: vec![backend("cart", u32::MAX - 1), backend("cart-v2", 1)],
        },
    ];
    let shares = [("cart", u32::MAX - 1), ("cart-v2", 1)].map(|(name, weight)| Share {
        service: ServiceName::new("shop", name),
        weight,
        endpoints: vec![
            endpoint(&format!("10.1.1.{weight}:80", weight = weight % 250), Health::Ready, true),
            endpoint("10.1.1.9:80", Health::Ready, true),
        ],
    });
    let service = translate_service(&service(Protocol::Detect, routes, Vec::new()));
    check(&[base(&bundle, true), service, endpoints(Some(shares.into())), peers(&bundle)]);
}

#[test]
fn a_headless_service_of_each_protocol() {
    for protocol in [Protocol::Http, Protocol::Tcp, Protocol::Detect] {
        let bundle = bundle();
        let direct = ["10.1.0.1", "fd01::3"].map(|ip| DirectAddress { ip: ip.parse().unwrap(), port: 8080 });
        let service = translate_service(&service(protocol, Vec::new(), direct.into()));
        check(&[base(&bundle, true), service, endpoints(None), peers(&bundle)]);
    }
}

#[test]
fn a_workload_of_each_mode_with_ports_of_each_protocol() {
    for (mode, access_log) in
        [(Mode::Deny, false), (Mode::Audit, false), (Mode::Allow, false), (Mode::Deny, true), (Mode::Audit, true)]
    {
        let bundle = bundle();
        let inbound = translate_inbound(&inbound(mode, access_log, &bundle));
        check(&[base(&bundle, access_log), inbound]);
    }
}

fn inbound(mode: Mode, access_log: bool, bundle: &TrustBundle) -> Inbound {
    let protocols = [Protocol::Http, Protocol::Http2, Protocol::Tcp, Protocol::Detect];
    let ports = (1u16..).map(|n| n * 1000).zip(protocols).collect();
    let grant = |name: &str, ports, protocols| Grant {
        name: name.into(),
        sources: BTreeSet::from([identity("front"), identity("back")]),
        ports,
        protocols,
    };
    Inbound {
        key: WorkloadKey { identity: identity("cart"), ports, mode, mtls: Mtls::of(mode), openings: BTreeSet::new() },
        grants: vec![
            grant("shop/tcp", PortSet::Only(BTreeSet::from([3000, 9999])), Protocols::Any),
            grant("shop/http", PortSet::All, Protocols::Http(vec![a_match(), HttpMatch::default()])),
            grant("shop/all", PortSet::All, Protocols::Any),
        ],
        ingress: Vec::new(),
        trust_bundle: bundle.clone(),
        telemetry: Telemetry { access_log },
    }
}

#[test]
fn a_workload_without_ports_and_grants() {
    let bundle = bundle();
    let key = WorkloadKey {
        identity: identity("cart"),
        ports: BTreeMap::new(),
        mode: Mode::Deny,
        mtls: Mtls::Strict,
        openings: BTreeSet::new(),
    };
    let telemetry = Telemetry::default();
    let inbound = Inbound { key, grants: Vec::new(), ingress: Vec::new(), trust_bundle: bundle.clone(), telemetry };
    check(&[base(&bundle, false), translate_inbound(&inbound)]);
}

#[test]
fn the_judge_sees_a_route_that_envoy_refuses() {
    let bundle = bundle();
    let broken = HttpMatch { path: Some(PathPattern::from_checked("/(")), ..HttpMatch::default() };
    let route =
        HttpRoute { name: RouteName("split/x".into()), matches: vec![broken], backends: vec![backend("cart", 1)] };
    let service = translate_service(&service(Protocol::Http, vec![route], Vec::new()));
    let why = envoy::load(&[base(&bundle, false), service, endpoints(None), peers(&bundle)].concat()).unwrap_err();
    assert!(why.contains("rds.shop/cart/80.update_rejected: 1"), "{why}");
}

//! Versions depend on content alone: equal in every build of the same value, and in every process.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    process::Command,
};

use smidge_mesh::{
    Base, DirectAddress, Endpoint, Endpoints, Grant, Health, HttpMatch, HttpRoute, Identity, Inbound, Method, Mode,
    Mtls, PathPattern, PortEndpoints, PortSet, Protocol, Protocols, RouteName, Service, ServiceName, ServicePort,
    Telemetry, TrustBundle, TrustDomain, WeightedBackend, WorkloadKey,
};
use smidge_translator::{translate_base, translate_endpoints, translate_inbound, translate_service};
use smidge_xds::Resource;

const LOGGED: Telemetry = Telemetry { access_log: true };

fn identity(account: &str) -> Identity {
    let trust_domain = TrustDomain::default();
    Identity { trust_domain, namespace: "shop".into(), service_account: account.into() }
}

fn matching(path: &str) -> HttpMatch {
    HttpMatch {
        path: Some(PathPattern::from_checked(path)),
        methods: ["GET", "PUT"].map(Method::from_checked).into(),
        ..HttpMatch::default()
    }
}

fn service() -> Service {
    let backends =
        ["a", "b"].map(|name| WeightedBackend { service: ServiceName::new("shop", name), port: 80, weight: 1 });
    let routes =
        vec![HttpRoute { name: RouteName("split/x".into()), matches: vec![matching("/")], backends: backends.into() }];
    let direct = vec![DirectAddress { ip: [10, 1, 0, 1].into(), port: 80 }];
    let detected = ServicePort { protocol: Protocol::Detect, direct: Vec::new(), routes };
    let headless = ServicePort { protocol: Protocol::Http, direct, routes: Vec::new() };
    Service {
        name: ServiceName::new("shop", "cart"),
        addresses: vec![[10, 0, 0, 1].into()],
        ports: BTreeMap::from([(80, detected), (81, headless)]),
        telemetry: LOGGED,
    }
}

fn endpoints() -> Endpoints {
    let own = ["a", "b", "c"].map(|zone| Endpoint {
        address: "10.1.0.1:80".parse().unwrap(),
        zone: Some(zone.into()),
        health: Health::Ready,
        meshed: true,
    });
    let ports = BTreeMap::from([(80, PortEndpoints { own: own.into(), tcp: None })]);
    Endpoints { service: ServiceName::new("shop", "cart"), ports }
}

fn inbound(mode: Mode, grants: u32) -> Inbound {
    let grant = |n| Grant {
        name: format!("shop/target-{n}").into(),
        sources: BTreeSet::from([identity("front"), identity("back")]),
        ports: PortSet::All,
        protocols: if n % 2 == 0 { Protocols::Any } else { Protocols::Http(vec![matching("/a"), matching("/b")]) },
    };
    Inbound {
        key: WorkloadKey {
            identity: identity("cart"),
            ports: BTreeMap::from([(80, Protocol::Http)]),
            mode,
            mtls: Mtls::of(mode),
            openings: BTreeSet::new(),
        },
        grants: (0..grants).map(grant).collect(),
        ingress: Vec::new(),
        trust_bundle: TrustBundle("PEM".into()),
        telemetry: LOGGED,
    }
}

fn translate() -> Vec<Resource> {
    let bundle = TrustBundle("PEM".into());
    let base = Base { trust_domain: TrustDomain::default(), trust_bundle: bundle, telemetry: LOGGED };
    [
        translate_base(&base),
        translate_service(&service()),
        translate_endpoints(&endpoints()),
        translate_inbound(&inbound(Mode::Deny, 9)),
        translate_inbound(&inbound(Mode::Audit, 9)),
    ]
    .concat()
}

fn versions() -> String {
    translate().iter().map(|resource| format!("version-of {} {}\n", resource.name, resource.version)).collect()
}

#[test]
fn a_value_translates_to_the_same_versions_every_time() {
    let first = versions();
    for _ in 0..200 {
        assert_eq!(versions(), first);
    }
}

/// Prints the versions for the test below, which runs it in a process of its own.
#[test]
fn versions_are_printed() {
    print!("\n{}", versions());
}

#[test]
fn a_value_translates_to_the_same_versions_in_another_process() {
    let other = Command::new(env::current_exe().unwrap())
        .args(["--exact", "versions_are_printed", "--nocapture"])
        .output()
        .unwrap();
    let printed = String::from_utf8(other.stdout).unwrap();
    let theirs: String =
        printed.lines().filter(|line| line.starts_with("version-of ")).map(|line| format!("{line}\n")).collect();
    assert_eq!(theirs, versions());
}

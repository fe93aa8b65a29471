//! throwaway
#![allow(warnings)]
#[path = "../tests/envoy/mod.rs"]
mod envoy;
use smidge_mesh::*;
use smidge_translator::*;
use std::{collections::*, fs, path::Path};
fn id(a: &str) -> Identity {
    Identity { trust_domain: TrustDomain::default(), namespace: "shop".into(), service_account: a.into() }
}
fn main() {
    let out = std::env::args().nth(1).unwrap();
    let mode = match std::env::args().nth(2).unwrap().as_str() {
        "deny" => Mode::Deny,
        "audit" => Mode::Audit,
        _ => Mode::Allow,
    };
    let tcp_ok = std::env::args().nth(3).is_some();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut p = rcgen::CertificateParams::new(Vec::new()).unwrap();
    p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    p.distinguished_name.push(rcgen::DnType::CommonName, "root");
    let ca = p.clone().self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(p, &key);
    let bundle = TrustBundle(ca.pem().into());
    let cert = |a: &str| {
        let k = rcgen::KeyPair::generate().unwrap();
        let mut p = rcgen::CertificateParams::new(Vec::new()).unwrap();
        p.subject_alt_names.push(rcgen::SanType::URI(id(a).to_string().try_into().unwrap()));
        let c = p.signed_by(&k, &issuer).unwrap();
        workload_certificate(&c.pem(), &k.serialize_pem())
    };
    let t = Telemetry { access_log: true };
    let mut shared =
        translate_base(&Base { trust_domain: TrustDomain::default(), trust_bundle: bundle.clone(), telemetry: t });
    let svc = |name: &str, ip: &str, ip6: &str, port: u16, protocol, target: u16| {
        let n = ServiceName::new("shop", name);
        let mut r = translate_service(&Service {
            name: n.clone(),
            addresses: vec![ip.parse().unwrap(), ip6.parse().unwrap()],
            ports: BTreeMap::from([(port, ServicePort { protocol, direct: vec![], routes: vec![] })]),
            telemetry: t,
        });
        let own = vec![Endpoint {
            address: format!("10.77.0.2:{target}").parse().unwrap(),
            zone: None,
            health: Health::Ready,
            meshed: true,
        }];
        r.extend(translate_endpoints(&Endpoints {
            service: n.clone(),
            ports: BTreeMap::from([(port, PortEndpoints { own, tcp: None })]),
        }));
        r.extend(translate_peers(&Peers {
            service: n,
            own: [id("web")].into(),
            tcp: [id("web")].into(),
            trust_bundle: bundle.clone(),
        }));
        r
    };
    shared.extend(svc("web", "10.88.0.1", "fd88::1", 80, Protocol::Http, 8080));
    shared.extend(svc("db", "10.88.0.2", "fd88::2", 5432, Protocol::Tcp, 9000));
    shared.extend(svc("any", "10.88.0.3", "fd88::3", 70, Protocol::Detect, 8081));
    // IPv6 endpoint
    let n = ServiceName::new("shop", "six");
    shared.extend(translate_service(&Service {
        name: n.clone(),
        addresses: vec!["fd88::6".parse().unwrap()],
        ports: BTreeMap::from([(80, ServicePort { protocol: Protocol::Http, direct: vec![], routes: vec![] })]),
        telemetry: t,
    }));
    shared.extend(translate_endpoints(&Endpoints {
        service: n.clone(),
        ports: BTreeMap::from([(
            80,
            PortEndpoints {
                own: vec![Endpoint {
                    address: "[fd77::2]:8080".parse().unwrap(),
                    zone: None,
                    health: Health::Ready,
                    meshed: true,
                }],
                tcp: None,
            },
        )]),
    }));
    shared.extend(translate_peers(&Peers {
        service: n,
        own: [id("web")].into(),
        tcp: [id("web")].into(),
        trust_bundle: bundle.clone(),
    }));
    // a service whose pod is not who it should be
    let n = ServiceName::new("shop", "forged");
    shared.extend(translate_service(&Service {
        name: n.clone(),
        addresses: vec!["10.88.0.9".parse().unwrap()],
        ports: BTreeMap::from([(80, ServicePort { protocol: Protocol::Http, direct: vec![], routes: vec![] })]),
        telemetry: t,
    }));
    shared.extend(translate_endpoints(&Endpoints {
        service: n.clone(),
        ports: BTreeMap::from([(
            80,
            PortEndpoints {
                own: vec![Endpoint {
                    address: "10.77.0.2:8080".parse().unwrap(),
                    zone: None,
                    health: Health::Ready,
                    meshed: true,
                }],
                tcp: None,
            },
        )]),
    }));
    shared.extend(translate_peers(&Peers { service: n, own: [].into(), tcp: [].into(), trust_bundle: bundle.clone() }));
    // headless
    let n = ServiceName::new("shop", "head");
    shared.extend(translate_service(&Service {
        name: n.clone(),
        addresses: vec![],
        ports: BTreeMap::from([(
            8082,
            ServicePort {
                protocol: Protocol::Detect,
                direct: vec![DirectAddress { ip: "10.77.0.2".parse().unwrap(), port: 8082 }],
                routes: vec![],
            },
        )]),
        telemetry: t,
    }));
    shared.extend(translate_endpoints(&Endpoints {
        service: n.clone(),
        ports: BTreeMap::from([(8082, PortEndpoints { own: vec![], tcp: None })]),
    }));
    shared.extend(translate_peers(&Peers {
        service: n,
        own: [id("web")].into(),
        tcp: [id("web")].into(),
        trust_bundle: bundle.clone(),
    }));

    let m = |p: &str, meth: &str| HttpMatch {
        path: Some(PathPattern::from_checked(p)),
        methods: [Method::from_checked(meth)].into(),
        headers: Default::default(),
    };
    let mut grants = vec![Grant {
        name: "shop/http".into(),
        sources: [id("front"), id("web")].into(),
        ports: PortSet::All,
        protocols: Protocols::Http(vec![m("/ok", "GET")]),
    }];
    if tcp_ok {
        grants.push(Grant {
            name: "shop/tcp".into(),
            sources: [id("front")].into(),
            ports: PortSet::Only([9000].into()),
            protocols: Protocols::Any,
        });
    }
    let ib = |a: &str, ports: BTreeMap<u16, Protocol>| {
        translate_inbound(&Inbound {
            key: WorkloadKey { identity: id(a), ports, mode },
            grants: grants.clone(),
            trust_bundle: bundle.clone(),
            telemetry: t,
        })
    };
    for (pod, account, ports) in [
        ("a", "front", BTreeMap::new()),
        ("b", "web", BTreeMap::from([(8080, Protocol::Http), (9000, Protocol::Tcp), (8081, Protocol::Detect)])),
    ] {
        let dir = Path::new(&out).join(pod);
        fs::create_dir_all(&dir).unwrap();
        let all = [shared.clone(), ib(account, ports)].concat();
        envoy::write(&dir, &all, &cert(account));
    }
    fs::write(Path::new(&out).join("rules.nft"), smidge_injector::redirect_rules(&Default::default())).unwrap();
}

//! Generators of events for property tests: objects of every kind over a handful of names and addresses, so that they
//! refer to each other, take each other's place and address, and are unfit now and then.

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};
use smidge_mesh::TrustBundle;

use crate::{Event, Fact, manifest::Document};

const NAMESPACES: &[&str] = &["a", "b"];
const SERVICES: &[&str] = &["s", "t", "u"];
const ACCOUNTS: &[&str] = &["x", "y"];
const ROUTES: &[&str] = &["g", "h"];
const MATCHES: &[&str] = &["m", "n"];
const ADDRESSES: &[&str] = &["10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00::1"];
const TIMES: &[&str] = &["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"];

/// Events in any order: objects that come, change and go, and new roots.
pub fn events() -> impl Strategy<Value = Vec<Event>> {
    vec(event(), 0..60)
}

/// One event.
pub fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => fact().prop_map(Event::Apply),
        3 => fact().prop_map(|fact| Event::Delete(fact.object())),
        1 => select(vec!["one", "two"]).prop_map(|pem| Event::TrustBundle(TrustBundle(pem.into()))),
    ]
}

/// The facts about one object.
pub fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        2 => namespace(),
        4 => service(),
        4 => endpoint_slice(),
        4 => pod(),
        4 => split(),
        4 => target(),
        2 => group(),
        2 => port_route(),
        1 => config(),
    ]
    .prop_map(|object| fact_of(&object))
}

fn fact_of(object: &Value) -> Fact {
    let text = object.to_string();
    let read = Document { line: 1, text: &text }.read();
    read.ok().flatten().unwrap_or_else(|| panic!("a generator made no object: {text}")).fact
}

fn one(of: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(of)
}

fn meta() -> impl Strategy<Value = Value> {
    named(SERVICES)
}

fn named(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    (one(NAMESPACES), one(names), option::of(one(TIMES)), 1..4).prop_map(|(namespace, name, created, generation)| {
        json!({"namespace": namespace, "name": name, "creationTimestamp": created, "generation": generation})
    })
}

fn object(version: &str, kind: &str, metadata: &Value, spec: &Value) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
}

fn namespace() -> BoxedStrategy<Value> {
    let labels =
        (select(vec!["enabled", "enabled", "disabled"]), option::of(select(vec!["deny", "audit", "allow", "?"])));
    let object = |(name, (inject, mode)): (_, (_, Option<&str>))| {
        let mut labels = json!({"smidge.dev/inject": inject});
        if let Some(mode) = mode {
            labels["smidge.dev/mode"] = json!(mode);
        }
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    };
    (one(NAMESPACES), labels).prop_map(object).boxed()
}

fn service_port() -> impl Strategy<Value = Value> {
    let target = prop_oneof![Just(json!(8080)), Just(json!("named")), Just(json!(null))];
    let protocol = option::of(select(vec!["http", "tcp", "grpc", "odd"]));
    (select(vec![80, 81, 5432]), target, protocol).prop_map(
        |(port, target, protocol)| json!({"name": format!("p{port}"), "port": port, "targetPort": target, "appProtocol": protocol}),
    )
}

fn service() -> BoxedStrategy<Value> {
    let kind = select(vec!["10.0.0.1", "10.0.0.2", "10.1.0.1", "None", "None", "external"]);
    let selector = option::weighted(0.8, one(SERVICES));
    let object = |(meta, kind, selector, ports): (Value, &str, Option<&str>, Vec<Value>)| {
        let mut spec = match kind {
            "external" => json!({"type": "ExternalName", "externalName": "example.com", "ports": ports}),
            ip => json!({"clusterIP": ip, "ports": ports}),
        };
        if let Some(app) = selector {
            spec["selector"] = json!({"app": app});
        }
        object("v1", "Service", &meta, &spec)
    };
    (meta(), kind, selector, vec(service_port(), 0..3)).prop_map(object).boxed()
}

fn endpoint_slice() -> BoxedStrategy<Value> {
    let endpoint = (one(ADDRESSES), any::<bool>(), option::of(one(SERVICES))).prop_map(|(address, ready, pod)| {
        let target = pod.map(|pod| json!({"kind": "Pod", "name": pod}));
        json!({"addresses": [address], "conditions": {"ready": ready}, "targetRef": target})
    });
    let port = select(vec![80, 81, 5432]).prop_map(|port| json!({"name": format!("p{port}"), "port": port + 8000}));
    (meta(), one(SERVICES), vec(endpoint, 0..4), vec(port, 0..3))
        .prop_map(|(mut metadata, service, endpoints, ports)| {
            metadata["labels"] = json!({"kubernetes.io/service-name": service});
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
                "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
            })
        })
        .boxed()
}

fn pod() -> BoxedStrategy<Value> {
    let sidecar = select(vec!["smidge-proxy", "smidge-proxy", "app"]);
    let flags = (any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (meta(), one(SERVICES), one(ACCOUNTS), one(ADDRESSES), sidecar, flags)
        .prop_map(|(mut metadata, app, account, address, container, (ready, on_host, ended))| {
            metadata["labels"] = json!({"app": app});
            metadata["annotations"] = json!({"smidge.dev/inject": "disabled"});
            let ready = if ready { "True" } else { "False" };
            let ports = json!([{"name": "named", "containerPort": 8080}]);
            let spec = json!({
                "serviceAccountName": account, "hostNetwork": on_host,
                "containers": [{"name": container, "ports": ports}],
            });
            let mut pod = object("v1", "Pod", &metadata, &spec);
            pod["status"] = json!({
                "podIP": address, "phase": if ended { "Failed" } else { "Running" },
                "conditions": [{"type": "Ready", "status": ready}],
            });
            pod
        })
        .boxed()
}

fn split() -> BoxedStrategy<Value> {
    let backend = (one(SERVICES), 0..3_u32).prop_map(|(service, weight)| json!({"service": service, "weight": weight}));
    let root = prop_oneof![8 => one(SERVICES).prop_map(str::to_owned), 1 => Just("s.b".to_owned())];
    let matches = one(ROUTES).prop_map(|name| json!({"kind": "HTTPRouteGroup", "name": name}));
    (meta(), root, vec(backend, 0..3), vec(matches, 0..2))
        .prop_map(|(meta, root, backends, matches)| {
            let spec = json!({"service": root, "backends": backends, "matches": matches});
            object("split.smi-spec.io/v1alpha4", "TrafficSplit", &meta, &spec)
        })
        .boxed()
}

fn subject() -> impl Strategy<Value = Value> {
    let kind = select(vec!["ServiceAccount", "ServiceAccount", "ServiceAccount", "Group"]);
    (kind, one(ACCOUNTS), option::weighted(0.3, one(NAMESPACES)))
        .prop_map(|(kind, name, namespace)| json!({"kind": kind, "name": name, "namespace": namespace}))
}

fn target() -> BoxedStrategy<Value> {
    let kind = select(vec!["HTTPRouteGroup", "HTTPRouteGroup", "TCPRoute", "UDPRoute"]);
    let rule = (kind, one(ROUTES), vec(one(MATCHES), 0..2))
        .prop_map(|(kind, name, matches)| json!({"kind": kind, "name": name, "matches": matches}));
    (meta(), subject(), vec(rule, 0..3), vec(subject(), 0..3))
        .prop_map(|(meta, destination, rules, sources)| {
            let spec = json!({"destination": destination, "rules": rules, "sources": sources});
            object("access.smi-spec.io/v1alpha3", "TrafficTarget", &meta, &spec)
        })
        .boxed()
}

fn group() -> BoxedStrategy<Value> {
    let regex = select(vec!["/a", "/b/[0-9]+", "(", ""]);
    let route = (one(MATCHES), regex, option::of(select(vec!["GET", "*"])), option::of(select(vec!["1", "["]))).prop_map(
        |(name, regex, method, value)| {
            let headers: Vec<_> = value.into_iter().map(|value| json!({"x-version": value})).collect();
            json!({"name": name, "pathRegex": regex, "methods": method.into_iter().collect::<Vec<_>>(), "headers": headers})
        },
    );
    let object = |(meta, matches): (Value, Vec<Value>)| {
        object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", &meta, &json!({"matches": matches}))
    };
    (named(ROUTES), vec(route, 0..3)).prop_map(object).boxed()
}

fn port_route() -> BoxedStrategy<Value> {
    let kind = select(vec!["TCPRoute", "TCPRoute", "UDPRoute"]);
    let ports = vec(select(vec![0, 80, 8080, 13432]), 0..3);
    (named(ROUTES), kind, option::of(one(MATCHES)), ports)
        .prop_map(|(meta, kind, name, ports)| {
            let spec = json!({"matches": {"name": name, "ports": ports}});
            object("specs.smi-spec.io/v1alpha4", kind, &meta, &spec)
        })
        .boxed()
}

fn config() -> BoxedStrategy<Value> {
    let spec =
        (select(vec!["deny", "audit", "allow"]), select(vec!["cluster.local", "example.org", "?"]), any::<bool>());
    (select(vec!["default", "default", "other"]), spec)
        .prop_map(|(name, (mode, domain, access_log))| {
            let spec = json!({"mode": mode, "trustDomain": domain, "accessLog": access_log, "opaquePorts": [80]});
            object("smidge.dev/v1alpha1", "MeshConfig", &json!({"name": name}), &spec)
        })
        .boxed()
}

//! Events made of bytes, for property tests and fuzzing: objects of every kind over a handful of names and addresses, so
//! that they refer to each other, take each other's place and address, and are unfit now and then.
//!
//! Any bytes make events, and fewer or smaller bytes make simpler ones: whoever shrinks the bytes shrinks the events.

use serde_json::{Value, json};
use smidge_mesh::TrustBundle;

use crate::{Event, Fact, manifest::Document};

const NAMESPACES: &[&str] = &["a", "b"];
const NAMES: &[&str] = &["s", "t", "u"];
const ACCOUNTS: &[&str] = &["x", "y"];
const ROUTES: &[&str] = &["g", "h"];
const MATCHES: &[&str] = &["m", "n"];
const ADDRESSES: &[&str] = &["10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00::1"];
const PORTS: &[u16] = &[80, 81, 5432];

/// How many bytes decide on one event, at most.
pub const BYTES_OF_AN_EVENT: usize = 32;

/// The events that the bytes decide on.
pub fn events(bytes: &[u8]) -> Vec<Event> {
    bytes.chunks(BYTES_OF_AN_EVENT).map(|bytes| Choices(bytes).event()).collect()
}

/// Bytes that are still to decide; when they are at their end, each decision is the first one.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % bound
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn maybe<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (self.below(2) == 1).then(|| self.one(of))
    }

    fn list<T>(&mut self, most: usize, item: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| item(self)).collect()
    }

    fn event(&mut self) -> Event {
        match self.below(16) {
            0..12 => Event::Apply(self.fact()),
            12..15 => Event::Delete(self.fact().object()),
            _ => Event::TrustBundle(TrustBundle(self.one(&["one", "two"]).into())),
        }
    }

    fn fact(&mut self) -> Fact {
        let object = match self.below(29) {
            0..2 => self.namespace(),
            2..6 => self.service(),
            6..10 => self.endpoint_slice(),
            10..14 => self.pod(),
            14..18 => self.split(),
            18..21 => self.target(),
            21..23 => self.group(),
            23..25 => self.port_route(),
            25..28 => self.ingress(),
            _ => self.config(),
        };
        let text = object.to_string();
        let read = Document { line: 1, text: &text }.read().pop();
        read.and_then(|entry| entry.read.ok().flatten()).unwrap_or_else(|| panic!("no object was made: {text}")).fact
    }

    fn meta(&mut self, names: &[&str]) -> Value {
        let (namespace, name) = (self.one(NAMESPACES), self.one(names));
        let created = self.maybe(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]);
        json!({"namespace": namespace, "name": name, "creationTimestamp": created, "generation": self.below(3) + 1})
    }

    fn namespace(&mut self) -> Value {
        let mut labels = json!({"smidge.dev/inject": self.one(&["enabled", "enabled", "disabled"])});
        if let Some(mode) = self.maybe(&["deny", "audit", "allow", "?"]) {
            labels["smidge.dev/mode"] = json!(mode);
        }
        if let Some(mtls) = self.maybe(&["strict", "permissive", "?"]) {
            labels["smidge.dev/mtls"] = json!(mtls);
        }
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.one(NAMESPACES), "labels": labels}})
    }

    fn service(&mut self) -> Value {
        let meta = self.meta(NAMES);
        let ports = self.list(2, |choices| {
            let (port, named) = (choices.one(PORTS), choices.below(2) == 1);
            let protocol = choices.maybe(&["http", "tcp", "grpc", "odd"]);
            let target = if named { json!("named") } else { json!(8080) };
            json!({"name": format!("p{port}"), "port": port, "targetPort": target, "appProtocol": protocol})
        });
        let mut spec = match self.one(&["10.0.0.1", "10.0.0.2", "10.1.0.1", "None", "None", "external"]) {
            "external" => json!({"type": "ExternalName", "externalName": "example.com", "ports": ports}),
            ip => json!({"clusterIP": ip, "ports": ports}),
        };
        if let Some(app) = self.maybe(NAMES) {
            spec["selector"] = json!({"app": app});
        }
        object("v1", "Service", &meta, &spec)
    }

    fn endpoint_slice(&mut self) -> Value {
        let mut metadata = self.meta(NAMES);
        metadata["labels"] = json!({"kubernetes.io/service-name": self.one(NAMES)});
        let endpoints = self.list(3, |choices| {
            let target = choices.maybe(NAMES).map(|pod| json!({"kind": "Pod", "name": pod}));
            let conditions =
                json!({"ready": choices.below(3) > 0, "terminating": true, "serving": choices.below(2) > 0});
            json!({"addresses": [choices.one(ADDRESSES)], "conditions": conditions, "targetRef": target})
        });
        let ports = self.list(2, |choices| {
            let port = choices.one(PORTS);
            json!({"name": format!("p{port}"), "port": port + 8000})
        });
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
            "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
        })
    }

    fn pod(&mut self) -> Value {
        let mut metadata = self.meta(NAMES);
        metadata["labels"] = json!({"app": self.one(NAMES)});
        // The reader would add a sidecar otherwise.
        metadata["annotations"] = json!({"smidge.dev/inject": "disabled"});
        let container = self.one(&["smidge-proxy", "smidge-proxy", "app"]);
        let ports = json!([{"name": "named", "containerPort": self.one(&[8080, 9090])}]);
        let spec = json!({
            "serviceAccountName": self.one(ACCOUNTS), "hostNetwork": self.below(8) == 1,
            "containers": [{"name": container, "ports": ports}],
        });
        let mut pod = object("v1", "Pod", &metadata, &spec);
        let phase = if self.below(8) == 1 { "Failed" } else { "Running" };
        let ready = json!([{"type": "Ready", "status": self.one(&["True", "False"])}]);
        pod["status"] = json!({"podIP": self.one(ADDRESSES), "phase": phase, "conditions": ready});
        pod
    }

    fn split(&mut self) -> Value {
        let meta = self.meta(NAMES);
        let root = self.one(&["s", "t", "u", "s.b"]);
        let backends =
            self.list(3, |choices| json!({"service": choices.one(NAMES), "weight": choices.one(&[0, 1, 2, u32::MAX])}));
        let matches = self.list(1, |choices| json!({"kind": "HTTPRouteGroup", "name": choices.one(ROUTES)}));
        let spec = json!({"service": root, "backends": backends, "matches": matches});
        object("split.smi-spec.io/v1alpha4", "TrafficSplit", &meta, &spec)
    }

    fn subject(&mut self) -> Value {
        let kind = self.one(&["ServiceAccount", "ServiceAccount", "ServiceAccount", "Group"]);
        json!({"kind": kind, "name": self.one(ACCOUNTS), "namespace": self.maybe(NAMESPACES)})
    }

    fn target(&mut self) -> Value {
        let (meta, destination) = (self.meta(NAMES), self.subject());
        let rules = self.list(2, |choices| {
            let kind = choices.one(&["HTTPRouteGroup", "HTTPRouteGroup", "TCPRoute", "UDPRoute"]);
            let name = choices.one(ROUTES);
            json!({"kind": kind, "name": name, "matches": choices.list(1, |choices| choices.one(MATCHES))})
        });
        let spec = json!({"destination": destination, "rules": rules, "sources": self.list(2, Self::subject)});
        object("access.smi-spec.io/v1alpha3", "TrafficTarget", &meta, &spec)
    }

    fn group(&mut self) -> Value {
        let meta = self.meta(ROUTES);
        let matches = self.list(2, |choices| {
            let headers = choices.list(1, |choices| json!({"x-version": choices.one(&["1", "["])}));
            let methods = choices.list(1, |choices| choices.one(&["GET", "*"]));
            let regex = choices.one(&["/a", "/b/[0-9]+", "(", ""]);
            json!({"name": choices.one(MATCHES), "pathRegex": regex, "methods": methods, "headers": headers})
        });
        object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", &meta, &json!({"matches": matches}))
    }

    fn port_route(&mut self) -> Value {
        let (meta, kind) = (self.meta(ROUTES), self.one(&["TCPRoute", "TCPRoute", "UDPRoute"]));
        let ports = self.list(2, |choices| choices.one(&[0, 80, 8080, 13432]));
        let spec = json!({"matches": {"name": self.maybe(MATCHES), "ports": ports}});
        object("specs.smi-spec.io/v1alpha4", kind, &meta, &spec)
    }

    fn ingress(&mut self) -> Value {
        let meta = self.meta(NAMES);
        let backends = self.list(2, |choices| {
            let (name, port) = (choices.one(NAMES), choices.one(PORTS));
            let routes = choices.list(1, |choices| {
                json!({"name": choices.one(ROUTES), "matches": choices.list(1, |choices| choices.one(MATCHES))})
            });
            json!({"name": name, "port": {"number": port}, "routes": routes})
        });
        let sources = self.list(2, |choices| match choices.below(4) {
            0 => json!({"kind": "IPRange", "cidr": choices.one(&["10.1.0.0/16", "0.0.0.0/0", "10.1.0.0/40"])}),
            1 => json!({"kind": "AuthenticatedPrincipal", "name": choices.one(&["spiffe://x/y", "a b"])}),
            _ => json!({"kind": "Service", "name": choices.one(NAMES), "namespace": choices.maybe(NAMESPACES)}),
        });
        object("smidge.dev/v1alpha1", "IngressBackend", &meta, &json!({"backends": backends, "sources": sources}))
    }

    fn config(&mut self) -> Value {
        let (mode, domain) = (self.one(&["deny", "audit", "allow"]), self.one(&["cluster.local", "example.org", "?"]));
        let mtls = self.maybe(&["strict", "permissive"]);
        let spec = json!({"mode": mode, "mtls": mtls, "trustDomain": domain, "accessLog": self.below(2) == 1, "opaquePorts": [80]});
        object("smidge.dev/v1alpha1", "MeshConfig", &json!({"name": self.one(&["default", "default", "other"])}), &spec)
    }
}

fn object(version: &str, kind: &str, metadata: &Value, spec: &Value) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
}

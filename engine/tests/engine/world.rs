//! A small world of objects, each in a few forms, and a proxy's view of what the engine publishes.
//!
//! Everything in it has something to do with everything else: two meshed namespaces, Services that share pods, splits
//! that compete for a root, targets that share routes. So random events meet each other's consequences.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{Namespace, Pod, Service},
    discovery::v1::EndpointSlice,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use smidge_compiler::{Digest, Event, Fact, Kind, ObjectRef};
use smidge_crds::{HTTPRouteGroup, IngressBackend, MeshConfig, TCPRoute, TrafficSplit, TrafficTarget};
use smidge_engine::Engine;
use smidge_mesh::PodName;
use smidge_xds::{Change, LayerChange, Name, ProxyChange, ProxyId, TypeUrl, Update, Version, WorkloadId};

/// Names and versions.
pub(crate) type Versions = BTreeMap<(TypeUrl, Name), Version>;

/// Where an object may stand.
pub(crate) type Slot = (Kind, &'static str, u8);

/// How many forms each object has.
pub(crate) const FORMS: u8 = 4;

/// Every place for an object.
pub(crate) fn slots() -> Vec<Slot> {
    let cluster = [(Kind::Namespace, "", 0), (Kind::Namespace, "", 1), (Kind::MeshConfig, "", 0)];
    let kinds = [
        (Kind::Service, 3),
        (Kind::EndpointSlice, 3),
        (Kind::Pod, 4),
        (Kind::TrafficSplit, 3),
        (Kind::TrafficTarget, 2),
        (Kind::HttpRouteGroup, 2),
        (Kind::TcpRoute, 1),
        (Kind::IngressBackend, 2),
    ];
    let of = |namespace| kinds.into_iter().flat_map(move |(kind, n)| (0..n).map(move |i| (kind, namespace, i)));
    cluster.into_iter().chain(of("a")).chain(of("b")).collect()
}

/// The object of a slot.
pub(crate) fn object(slot: Slot) -> ObjectRef {
    ObjectRef::new(slot.0, slot.1, name(slot))
}

/// The slot's object in one of its forms, or its removal.
pub(crate) fn event(slot: Slot, form: Option<u8>) -> Event {
    match form {
        Some(form) => Event::Apply(fact(slot, form)),
        None => Event::Delete(object(slot)),
    }
}

/// The facts about a slot's object in one of its forms.
pub(crate) fn fact(slot: Slot, form: u8) -> Fact {
    let mut value = json!({"metadata": {"name": name(slot), "generation": i64::from(form) + 1}});
    if !slot.1.is_empty() {
        value["metadata"]["namespace"] = slot.1.into();
    }
    let (_, namespace, number) = slot;
    match slot.0 {
        Kind::Namespace => digest::<Namespace>(value, with_labels(form)),
        Kind::MeshConfig => digest::<MeshConfig>(value, json!({"spec": mesh_config(form)})),
        Kind::Service => digest::<Service>(value, service(namespace, number, form)),
        Kind::EndpointSlice => digest::<EndpointSlice>(value, slice(namespace, number, form)),
        Kind::Pod => digest::<Pod>(value, pod(namespace, number, form)),
        Kind::TrafficSplit => digest::<TrafficSplit>(value, json!({"spec": split(number, form)})),
        Kind::IngressBackend => digest::<IngressBackend>(value, json!({"spec": ingress(number, form)})),
        Kind::TrafficTarget => digest::<TrafficTarget>(value, json!({"spec": target(namespace, form)})),
        Kind::HttpRouteGroup => digest::<HTTPRouteGroup>(value, json!({"spec": routes(form)})),
        Kind::TcpRoute | Kind::UdpRoute => {
            let ports = [json!([5432]), json!([80, 5432]), json!([]), json!([9000])];
            digest::<TCPRoute>(value, json!({"spec": {"matches": {"name": "m", "ports": ports[usize::from(form)]}}}))
        }
    }
}

fn name((kind, _, number): Slot) -> String {
    match kind {
        Kind::Namespace => ["a", "b"][usize::from(number)].to_owned(),
        Kind::MeshConfig => "default".to_owned(),
        Kind::Service => format!("s{number}"),
        Kind::Pod => format!("p{number}"),
        _ => format!("x{number}"),
    }
}

fn digest<T: DeserializeOwned + Digest>(mut object: Value, more: Value) -> Fact {
    merge(&mut object, more);
    serde_json::from_value::<T>(object.clone()).unwrap_or_else(|error| panic!("{error} in {object}")).digest()
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            more.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, more) => *into = more,
    }
}

fn with_labels(form: u8) -> Value {
    let mode = ["deny", "audit", "allow", "nonsense"][usize::from(form)];
    let mtls = ["", "strict", "permissive", "permissive"][usize::from(form)];
    json!({"metadata": {"labels": {
        "smidge.dev/inject": "enabled", "smidge.dev/mode": mode, "smidge.dev/mtls": mtls,
    }}})
}

fn mesh_config(form: u8) -> Value {
    [json!({}), json!({"enforcementMode": "audit"}), json!({"enforcementMode": "allow"}), json!({"accessLog": true})]
        [usize::from(form)]
    .clone()
}

fn number_of(namespace: &str) -> u8 {
    u8::from(namespace == "b")
}

fn service(namespace: &str, number: u8, form: u8) -> Value {
    let http = json!({"name": "http", "port": 80, "targetPort": 8080});
    let tcp = json!({"name": "tcp-db", "port": 5432});
    let ports = [json!([http]), json!([http, tcp]), json!([tcp]), json!([http])];
    let ip = match form {
        3 => "None".to_owned(),
        _ => format!("10.9.{}.{}", number_of(namespace), number + 1),
    };
    // Two of the Services may select the same pods.
    let app = format!("s{}", number % 2);
    json!({"spec": {"clusterIP": ip, "clusterIPs": [ip], "selector": {"app": app}, "ports": ports[usize::from(form)]}})
}

fn address(namespace: &str, pod: u8) -> String {
    format!("10.1.{}.{}", number_of(namespace), pod + 1)
}

fn slice(namespace: &str, number: u8, form: u8) -> Value {
    let endpoint = |pod: u8| {
        let target = json!({"kind": "Pod", "namespace": namespace, "name": format!("p{pod}")});
        json!({"addresses": [address(namespace, pod)], "conditions": {"ready": pod % 3 != form % 3}, "targetRef": target})
    };
    let endpoints: Vec<Value> = (0..=form).map(endpoint).collect();
    json!({
        "metadata": {"labels": {"kubernetes.io/service-name": format!("s{number}")}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "tcp-db", "port": 5432, "protocol": "TCP"}],
    })
}

fn pod(namespace: &str, number: u8, form: u8) -> Value {
    let (app, account) = (format!("s{}", number % 2), ["default", "web"][usize::from(form % 2)]);
    let ip = address(namespace, number);
    let sidecar = if form == 3 { "other" } else { "smidge-proxy" };
    let ready = if form == 2 { "False" } else { "True" };
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"serviceAccountName": account, "containers": [{"name": "app"}, {"name": sidecar}]},
        "status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": ready}],
        },
    })
}

fn split(number: u8, form: u8) -> Value {
    let backends = [
        json!([{"service": "s1", "weight": 9}, {"service": "s2", "weight": 1}]),
        json!([{"service": "s1", "weight": 1}, {"service": "s2", "weight": 9}]),
        json!([{"service": "s0", "weight": 1}, {"service": "missing", "weight": 1}]),
        json!([{"service": "s1", "weight": 0}]),
    ];
    let mut split = json!({"service": "s0", "backends": backends[usize::from(form)]});
    if number == 2 {
        split["matches"] = json!([{"kind": "HTTPRouteGroup", "name": "x0"}]);
    }
    split
}

fn target(namespace: &str, form: u8) -> Value {
    let rules = [
        json!([{"kind": "HTTPRouteGroup", "name": "x0"}]),
        json!([{"kind": "HTTPRouteGroup", "name": "x1", "matches": ["m"]}, {"kind": "TCPRoute", "name": "x0"}]),
        json!([{"kind": "TCPRoute", "name": "x0"}]),
        json!([{"kind": "HTTPRouteGroup", "name": "missing"}]),
    ];
    let destination = ["web", "default"][usize::from(form / 2)];
    json!({
        "destination": {"kind": "ServiceAccount", "name": destination, "namespace": namespace},
        "rules": rules[usize::from(form)],
        "sources": [{"kind": "ServiceAccount", "name": "web", "namespace": "a"}],
    })
}

fn ingress(number: u8, form: u8) -> Value {
    let backend = |service: &str, port: u16| json!({"name": service, "port": {"number": port}});
    let mut routed = backend("s1", 80);
    routed["routes"] = json!([{"name": "x0"}]);
    let sources = [
        json!([{"kind": "IPRange", "cidr": format!("10.{number}.0.0/16")}]),
        json!([{"kind": "Service", "name": "s2", "namespace": "b"}, {"kind": "Service", "name": "missing"}]),
        json!([{"kind": "AuthenticatedPrincipal", "name": "spiffe://x/y"}]),
        json!([{"kind": "IPRange", "cidr": "fd00::/8"}, {"kind": "Service", "name": "s0"}]),
    ];
    json!({"backends": [backend("s0", 5432), routed], "sources": sources[usize::from(form)]})
}

fn routes(form: u8) -> Value {
    let path = ["/buy", "/sell", "/(", ".*"][usize::from(form)];
    json!({"matches": [{"name": "m", "pathRegex": path, "methods": ["GET"]}]})
}

/// Every pod of the world.
pub(crate) fn pods() -> Vec<PodName> {
    let pods = slots().into_iter().filter(|slot| slot.0 == Kind::Pod);
    pods.map(|slot| PodName::new(slot.1, name(slot))).collect()
}

/// What an engine would give to each pod's proxy.
pub(crate) fn served(engine: &Engine) -> BTreeMap<PodName, Versions> {
    let versions = |pod: PodName| {
        let resources = engine.resources_of(&pod)?;
        Some((pod, resources.iter().map(|r| ((r.type_url, r.name.clone()), r.version)).collect()))
    };
    pods().into_iter().filter_map(versions).collect()
}

/// What one gets who hears of updates alone, as the hub does.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    shared: Versions,
    layers: BTreeMap<WorkloadId, Versions>,
    proxies: BTreeMap<ProxyId, WorkloadId>,
}

impl Listener {
    /// Takes an update in, and holds it to what it promises.
    pub(crate) fn hear(&mut self, update: &Update) {
        update.shared.iter().for_each(|change| hear_one(&mut self.shared, change));
        for (id, change) in &update.workloads {
            match change {
                LayerChange::Resources(changes) => {
                    let layer = self.layers.entry(*id).or_default();
                    changes.iter().for_each(|change| hear_one(layer, change));
                }
                LayerChange::Gone => assert!(self.layers.remove(id).is_some(), "{id:?} was never there"),
            }
        }
        for change in &update.proxies {
            match change {
                ProxyChange::Set(proxy, id) => {
                    let before = self.proxies.insert(proxy.clone(), *id);
                    assert_ne!(before, Some(*id), "{proxy} was told to stay");
                }
                ProxyChange::Remove(proxy) => assert!(self.proxies.remove(proxy).is_some(), "{proxy} was never there"),
            }
        }
        assert!(self.proxies.values().all(|id| self.layers.contains_key(id)), "a proxy without its layer");
        assert!(self.layers.keys().all(|id| self.proxies.values().any(|of| of == id)), "a layer without a proxy");
    }

    /// What each pod's proxy would have.
    pub(crate) fn view(&self) -> BTreeMap<PodName, Versions> {
        let view = |pod: PodName| {
            let own = &self.layers[self.proxies.get(pod.to_string().as_str())?];
            let all = self.shared.iter().chain(own).map(|(key, version)| (key.clone(), *version));
            Some((pod, all.collect()))
        };
        pods().into_iter().filter_map(view).collect()
    }
}

fn hear_one(layer: &mut Versions, change: &Change) {
    match change {
        Change::Set(resource) => {
            let before = layer.insert((resource.type_url, resource.name.clone()), resource.version);
            assert_ne!(before, Some(resource.version), "{} has not changed", resource.name);
        }
        Change::Remove(type_url, name) => {
            assert!(layer.remove(&(*type_url, name.clone())).is_some(), "{name} was never there");
        }
    }
}

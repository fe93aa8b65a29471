//! How long a full build takes, and one change: `cargo run --release -p smidge-engine --example build_time [services] [endpoints]`.
//!
//! Facts are made beforehand: what is timed is the engine's own work, from facts to encoded resources.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    core::v1::{Namespace, Pod, Service},
    discovery::v1::EndpointSlice,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use smidge_compiler::{Digest, Event, compile, compile_endpoints, compile_peers, compile_service};
use smidge_engine::Engine;
use smidge_mesh::ServiceName;

fn main() {
    let mut sizes = std::env::args().skip(1).map(|size| size.parse().expect("a number"));
    let services: u32 = sizes.next().unwrap_or(10_000);
    let endpoints: u32 = sizes.next().unwrap_or(10);
    let mut engine = Engine::default();

    let events = world(services, endpoints);
    println!("{services} services with {endpoints} endpoints each: {} events", events.len());
    let start = Instant::now();
    let step = engine.apply(events);
    println!("full build: {:?}, {} resources", start.elapsed(), step.update.shared.len());
    println!("{:?}", engine.counters());
    compile_alone(&engine, services);

    let changes =
        (0..1_000).map(|round| slice(round % services, endpoints, (round / services).is_multiple_of(2))).collect();
    report("an endpoint change", &mut engine, changes);
    let changes = (0..1_000).map(|round| split(round % services, round % 99 + 1)).collect();
    report("a split's weight", &mut engine, changes);

    let start = Instant::now();
    let drift = engine.verify();
    println!("verify: {:?}, {} keys drifted", start.elapsed(), drift.keys.len());
}

/// From facts to the mesh: what the compiler does, without index, translation and cache.
fn compile_alone(engine: &Engine, services: u32) {
    let start = Instant::now();
    let mesh = compile(engine.snapshot());
    println!("compile: {:?} for {} services, {} pods", start.elapsed(), mesh.services.len(), mesh.workloads.len());
    let names = (0..1_000).map(|round| ServiceName::new("shop", format!("s{}", round * 7 % services)));
    let one = |name: ServiceName| {
        let start = Instant::now();
        let snapshot = engine.snapshot();
        black_box((
            compile_service(snapshot, &name),
            compile_endpoints(snapshot, &name),
            compile_peers(snapshot, &name),
        ));
        start.elapsed()
    };
    quantiles("compile of one service", names.map(one).collect());
}

fn report(what: &str, engine: &mut Engine, events: Vec<Event>) {
    quantiles(what, events.into_iter().map(|event| timed(engine, event)).collect());
}

fn quantiles(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("{what}: median {:?}, 99 % within {:?}", at(50), at(99));
}

fn timed(engine: &mut Engine, event: Event) -> Duration {
    let start = Instant::now();
    engine.apply([event]);
    start.elapsed()
}

fn world(services: u32, endpoints: u32) -> Vec<Event> {
    let meshed = json!({"metadata": {"name": "shop", "labels": {"smidge.dev/inject": "enabled"}}});
    let mut events = vec![digest::<Namespace>(meshed)];
    for number in 0..services {
        events.push(service(number));
        events.extend((0..endpoints).map(|index| pod(number, index, endpoints)));
        events.push(slice(number, endpoints, false));
    }
    events
}

fn digest<T: DeserializeOwned + Digest>(object: Value) -> Event {
    Event::Apply(serde_json::from_value::<T>(object).expect("a well-formed object").digest())
}

/// The address of a number, in 10.0.0.0/8 for pods and 172.16.0.0/12 for Services.
fn address(base: u32, number: u32) -> String {
    std::net::Ipv4Addr::from(base + number + 1).to_string()
}

fn service(number: u32) -> Event {
    let ip = address(0xAC10_0000, number);
    digest::<Service>(json!({
        "metadata": {"namespace": "shop", "name": format!("s{number}")},
        "spec": {
            "clusterIP": ip, "clusterIPs": [ip], "selector": {"app": format!("s{number}")},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
        },
    }))
}

fn pod(number: u32, index: u32, endpoints: u32) -> Event {
    let ip = address(0x0A00_0000, number * endpoints + index);
    digest::<Pod>(json!({
        "metadata": {"namespace": "shop", "name": format!("s{number}-{index}"), "labels": {"app": format!("s{number}")}},
        "spec": {"serviceAccountName": format!("s{number}"), "containers": [{"name": "smidge-proxy"}]},
        "status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }))
}

/// The endpoints of a Service; `short`: one of them is not ready.
fn slice(number: u32, endpoints: u32, short: bool) -> Event {
    let endpoint = |index: u32| {
        let ready = !(short && index == 0);
        let target = json!({"kind": "Pod", "namespace": "shop", "name": format!("s{number}-{index}")});
        let ip = address(0x0A00_0000, number * endpoints + index);
        json!({"addresses": [ip], "conditions": {"ready": ready}, "targetRef": target})
    };
    digest::<EndpointSlice>(json!({
        "metadata": {
            "namespace": "shop", "name": format!("s{number}-x"),
            "labels": {"kubernetes.io/service-name": format!("s{number}")},
        },
        "addressType": "IPv4",
        "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }))
}

fn split(number: u32, weight: u32) -> Event {
    let name = format!("s{number}");
    let backends = json!([{"service": name, "weight": 100 - weight}, {"service": "s0", "weight": weight}]);
    digest::<smidge_crds::TrafficSplit>(json!({
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"service": name, "backends": backends},
    }))
}

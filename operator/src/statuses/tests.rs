//! Statuses over a small mesh: no API server, no proxy, the time as the test wants it.

use smidge_compiler::{Event, Kind};
use smidge_engine::Step;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::standalone::Manifests;

const MESH: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {smidge.dev/inject: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: web, namespace: shop}
spec: {service: web, backends: [{service: web, weight: 1}]}
";

const POD: &str = "---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
spec: {containers: [{name: app}]}
status: {podIPs: [{ip: 10.1.0.1}], conditions: [{type: Ready, status: 'True'}]}
";

struct Mesh {
    engine: Engine,
    statuses: Statuses,
    orders: UnboundedReceiver<Order>,
    split: ObjectRef,
}

fn events(text: &str) -> Vec<Event> {
    let mut manifests = Manifests::default();
    manifests.replace_text(text);
    assert_eq!(manifests.problems(), []);
    manifests.events()
}

impl Mesh {
    /// The mesh without proxies, its split as in the API server with no status yet.
    fn new() -> Self {
        let (orders, ordered) = unbounded_channel();
        let split = ObjectRef::new(Kind::TrafficSplit, "shop", "web");
        let statuses = Statuses::new(Limits::default(), orders);
        let mut mesh = Self { engine: Engine::default(), statuses, orders: ordered, split };
        mesh.statuses.observe(mesh.split.clone(), Observed::default());
        mesh.apply(events(MESH));
        mesh
    }

    fn apply(&mut self, events: Vec<Event>) {
        let Step { objects, placements, .. } = self.engine.apply(events);
        for (proxy, placement) in placements {
            self.statuses.place(&proxy, placement);
        }
        self.statuses.publish();
        self.statuses.touch(objects);
        self.statuses.settle(&self.engine);
    }

    fn add_pod(&mut self) {
        self.apply(events(&format!("{MESH}{POD}")));
    }

    /// Lets time pass until nothing is due, and says what was written of the split: `Programmed` and its reason.
    async fn written(&mut self) -> Vec<String> {
        let mut written = Vec::new();
        for _ in 0..20 {
            while let Ok(order) = self.orders.try_recv() {
                let Order::Write(write) = order else { panic!("{order:?}") };
                let programmed = write.status.conditions.iter().find(|c| c.type_ == "Programmed").unwrap();
                written.push(format!("{} {}", programmed.status, programmed.reason));
                self.statuses.conclude(write.object, Outcome::Done(write.status));
            }
            let Some(due) = self.statuses.next_due() else { break };
            tokio::time::sleep_until(due).await;
            self.statuses.settle(&self.engine);
        }
        written
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_concerns_nobody_is_programmed_and_written_once() {
    let mut mesh = Mesh::new();
    assert_eq!(mesh.written().await, ["True NoProxies"]);
    mesh.statuses.touch([mesh.split.clone()]);
    assert_eq!(mesh.written().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_ready_pod_whose_proxy_has_not_come_takes_programmed_back() {
    let mut mesh = Mesh::new();
    assert_eq!(mesh.written().await, ["True NoProxies"]);
    mesh.add_pod();
    assert_eq!(mesh.written().await, ["False Pending"]);
}

#[tokio::test(start_paused = true)]
async fn programmed_is_true_when_the_proxy_has_acknowledged() {
    let mut mesh = Mesh::new();
    mesh.add_pod();
    let report = ProxyReport { connected: true, ..ProxyReport::default() };
    let reported = Reported { epoch: mesh.engine.epoch(), proxies: vec![("client.shop".into(), Some(report))] };
    mesh.statuses.report(reported);
    assert_eq!(mesh.written().await.last().map(String::as_str), Some("True Programmed"));
}

#[tokio::test(start_paused = true)]
async fn what_everyone_has_is_not_taken_back_when_pods_get_another_layer() {
    let mut mesh = Mesh::new();
    mesh.add_pod();
    let report = |mesh: &mut Mesh, behind_since| {
        let report = ProxyReport { connected: true, behind_since, ..ProxyReport::default() };
        let proxies = vec![("client.shop".into(), Some(report))];
        mesh.statuses.report(Reported { epoch: mesh.engine.epoch(), proxies });
    };
    report(&mut mesh, None);
    assert_eq!(mesh.written().await.last().map(String::as_str), Some("True Programmed"));

    let before = mesh.engine.epoch();
    mesh.apply(events(&format!("{MESH}{POD}").replace("enabled}", "enabled, smidge.dev/mode: audit}")));
    assert!(mesh.engine.epoch() > before, "the pod is in another layer");
    assert_eq!(mesh.written().await, [""; 0]);
    let behind = Some(mesh.engine.epoch());
    report(&mut mesh, behind);
    assert_eq!(mesh.written().await, [""; 0], "its new layer is on its way");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_nothing_is_taken_back_before_proxies_had_their_time() {
    let mut before = Mesh::new();
    before.add_pod();
    let report = ProxyReport { connected: true, ..ProxyReport::default() };
    before
        .statuses
        .report(Reported { epoch: before.engine.epoch(), proxies: vec![("client.shop".into(), Some(report))] });
    before.written().await;
    let observed = before.statuses.observed[&before.split].clone();

    // Who finds its own name in the Lease leads before it has listed anything.
    for leads_first in [false, true] {
        let (orders, ordered) = unbounded_channel();
        let statuses = Statuses::new(Limits::default(), orders);
        let mut mesh = Mesh { engine: Engine::default(), statuses, orders: ordered, split: before.split.clone() };
        if leads_first {
            mesh.statuses.lead(false, &mesh.engine);
            mesh.statuses.lead(true, &mesh.engine);
            assert_eq!(mesh.written().await, [""; 0]);
        }
        mesh.statuses.observe(mesh.split.clone(), observed.clone());
        let restarted = Instant::now();
        mesh.add_pod();
        assert_eq!(mesh.written().await, ["False Pending"]);
        assert!(restarted.elapsed() >= Duration::from_secs(10), "{leads_first}: {:?}", restarted.elapsed());
    }
}

/// It once was forgotten when the lists took longer than the first look, and its status then stood still.
#[tokio::test(start_paused = true)]
async fn a_status_that_is_seen_before_its_object_is_kept() {
    let (orders, ordered) = unbounded_channel();
    let split = ObjectRef::new(Kind::TrafficSplit, "shop", "web");
    let statuses = Statuses::new(Limits::default(), orders);
    let mut mesh = Mesh { engine: Engine::default(), statuses, orders: ordered, split };
    mesh.statuses.observe(mesh.split.clone(), Observed::default());
    assert_eq!(mesh.written().await, [""; 0]);
    mesh.apply(events(MESH));
    assert_eq!(mesh.written().await, ["True NoProxies"]);
}

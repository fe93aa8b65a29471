//! A mesh with one server, `store`, and callers; nobody may call anything until a test permits it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    eventually, holds, objects,
    world::{AppPod, PodOptions, SOON, World},
};
use smidge_sandbox::Process;

/// The store, two callers with identities, and one without a sidecar.
pub(crate) struct Shop {
    pub(crate) world: World,
    pub(crate) store: AppPod,
    pub(crate) buyer: AppPod,
    pub(crate) thief: AppPod,
    pub(crate) stranger: AppPod,
    /// The Service `store`.
    pub(crate) service: IpAddr,
}

impl Shop {
    /// Opens it in a namespace of this name; the store is known to every caller's Envoy.
    pub(crate) async fn open(namespace: &str) -> Result<Self> {
        let world = World::start(namespace, &[]).await?;
        let outside = PodOptions { app: "stranger", service_account: "stranger", meshed: false };
        let (store, buyer, thief, stranger) = tokio::try_join!(
            world.pod("store"),
            world.pod("buyer"),
            world.pod("thief"),
            world.pod_with("stranger", outside)
        )?;
        let service = world.service("store", "store", &[&store]).await?[0];
        let shop = Self { world, store, buyer, thief, stranger, service };
        for caller in [&shop.buyer, &shop.thief] {
            shop.reached(caller).await?;
        }
        Ok(shop)
    }

    /// Waits until the store answers this caller, in whatever way.
    pub(crate) async fn reached(&self, caller: &AppPod) -> Result<()> {
        eventually("answer of the store", SOON, async || {
            let answer = caller.call(self.service, 80, &[]).await?;
            holds(answer["status"] == 403 || answer["status"] == 200, || answer.to_string())
        })
        .await
    }

    /// Where the store itself listens.
    pub(crate) fn store_ip(&self) -> IpAddr {
        self.store.pod.ips()[0]
    }

    /// One call of the store's Service that must be answered with `status`.
    pub(crate) async fn expect(&self, caller: &AppPod, port: u16, arguments: &[&str], status: u16) -> Result<Value> {
        let answer = caller.call(self.service, port, arguments).await?;
        ensure!(
            answer["status"] == status,
            "{} calls port {port} with {arguments:?}: {status} wanted, got {answer}",
            caller.name
        );
        Ok(answer)
    }

    /// What a TCP client gets that sends a text.
    pub(crate) async fn tcp(&self, caller: &AppPod, to: (IpAddr, u16), send: &str) -> Result<Value> {
        let address = SocketAddr::from(to).to_string();
        caller.client(&["tcp", &address, "--send", send, "--wait-ms", "3000"]).await
    }

    /// A TCP client that receives not one byte, and is closed once it has said something.
    pub(crate) async fn expect_nothing(&self, caller: &AppPod, to: (IpAddr, u16), send: &str) -> Result<()> {
        let end = self.tcp(caller, to, send).await?;
        // Who says nothing is closed later: Envoy waits for a first byte that could prove an identity.
        let is_over = end["closed"] == true || send.is_empty();
        ensure!(end["bytes"] == 0 && is_over, "{} at {to:?} got {end}", caller.name);
        Ok(())
    }

    /// Applies the target `name` to the store and waits until every Envoy concerned has it.
    pub(crate) async fn target(&self, name: &str, sources: &[&str], rules: &[(&str, &str)]) -> Result<()> {
        self.world.apply(&self.target_object(name, sources, rules)).await?;
        self.programmed(name).await
    }

    pub(crate) fn target_object(&self, name: &str, sources: &[&str], rules: &[(&str, &str)]) -> Value {
        objects::target(&self.world.namespace, name, "store", sources, rules)
    }

    pub(crate) async fn programmed(&self, target: &str) -> Result<()> {
        let object = format!("traffictarget/{target}");
        let waited = self.world.wait_for("Programmed", &object).await;
        waited.with_context(|| self.world.operator_log())
    }

    /// Deletes a target. Nothing is left to ask whether the Envoys know, so what must come of it is waited for.
    pub(crate) async fn delete_target(&self, name: &str) -> Result<()> {
        self.world.delete(&self.target_object(name, &[], &[])).await
    }

    /// Lets callers outside the mesh in at the store's banner port and at `/open`, and waits until every Envoy has it.
    pub(crate) async fn let_in(&self, sources: Value) -> Result<()> {
        let http = json!({"name": "store", "port": {"number": 80}, "routes": [{"name": "open"}]});
        let banner = json!({"name": "store", "port": {"number": 91}});
        let ingress = objects::ingress(&self.world.namespace, "edge", &json!([http, banner]), &sources);
        self.world.apply(&ingress).await?;
        self.world.wait_for("Programmed", "ingressbackend/edge").await.with_context(|| self.world.operator_log())
    }

    /// A pod without a sidecar.
    pub(crate) async fn outsider(&self, name: &str) -> Result<AppPod> {
        self.world.pod_with(name, PodOptions { app: name, service_account: name, meshed: false }).await
    }

    /// One call of the store's own address, round its Service, as from outside the mesh.
    pub(crate) async fn call_from_outside(&self, caller: &AppPod, path: &str) -> Result<Value> {
        caller.call(self.store_ip(), 8080, &[path]).await
    }

    /// Applies an HTTPRouteGroup.
    pub(crate) async fn routes(&self, name: &str, matches: Value) -> Result<()> {
        self.world.apply(&objects::route_group(&self.world.namespace, name, &matches)).await
    }

    /// Applies a TCPRoute of the pod's ports.
    pub(crate) async fn ports(&self, name: &str, ports: &[u16]) -> Result<()> {
        self.world.apply(&objects::tcp_route(&self.world.namespace, name, ports)).await
    }

    /// Applies the MeshConfig.
    pub(crate) async fn configure(&self, spec: Value) -> Result<()> {
        let config = json!({
            "apiVersion": "smidge.dev/v1alpha1", "kind": "MeshConfig",
            "metadata": {"name": "default"}, "spec": spec,
        });
        self.world.apply(&config).await
    }

    /// The sum of the store's Envoy's counters whose names match.
    pub(crate) async fn counted(&self, filter: &str) -> Result<u64> {
        let stats = self.store.pod.admin("GET", &format!("/stats?filter={filter}")).await?;
        Ok(stats.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum())
    }

    /// The lines of the store's Envoy's access log, which is JSON among what else it writes.
    pub(crate) fn access_log(&self) -> Result<Vec<Value>> {
        let log = self.store.pod.envoy().map(Process::log)?;
        Ok(log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

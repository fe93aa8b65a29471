//! TrafficSplit on a real API server with real Envoys: measured traffic decides.

use anyhow::Result;
use serde_json::Value;
use smidge_e2e::{
    eventually, holds, objects,
    world::{AppPod, SOON, World, end, last_line},
};

/// A client and two versions of a store behind a root Service, everything permitted.
struct Stores {
    world: World,
    buyer: AppPod,
    root: std::net::IpAddr,
    _pods: [AppPod; 2],
}

async fn stores(namespace: &str) -> Result<Stores> {
    let world = World::start(namespace, &[]).await?;
    let (buyer, v1, v2) = (world.pod("buyer").await?, world.pod("v1").await?, world.pod("v2").await?);
    world.permit(&["buyer"], &["v1", "v2"]).await?;
    world.service("v1", "v1", &[&v1]).await?;
    world.service("v2", "v2", &[&v2]).await?;
    let root = world.service("store", "none", &[]).await?[0];
    Ok(Stores { world, buyer, root, _pods: [v1, v2] })
}

impl Stores {
    async fn split(&self, v1: u32, v2: u32) -> Result<()> {
        let split = objects::split(&self.world.namespace, "store", "store", &[("v1", v1), ("v2", v2)]);
        self.world.apply(&split).await?;
        self.world.wait_for("Programmed", "trafficsplit/store").await
    }
}

fn count(summary: &Value, server: &str) -> f64 {
    summary["by_server"][server].as_f64().unwrap_or_default()
}

/// The share of `v1` among the answers between two sums.
fn share(before: &Value, after: &Value) -> f64 {
    let [v1, v2] = ["v1", "v2"].map(|server| count(after, server) - count(before, server));
    v1 / (v1 + v2)
}

#[tokio::test]
async fn from_90_10_to_10_90_under_load_without_a_failed_request() -> Result<()> {
    let stores = stores("canary").await?;
    stores.split(90, 10).await?;
    let address = std::net::SocketAddr::new(stores.root, 80).to_string();
    eventually("first answer", SOON, async || {
        let answer = stores.buyer.call(stores.root, 80, &[]).await?;
        holds(answer["status"] == 200, || answer.to_string())
    })
    .await?;

    let load = stores.buyer.start(&["load", &address, "--rate", "300"])?;
    let enough = async |least: f64| {
        eventually("enough answers", SOON, async || {
            let sum = last_line(&load)?;
            holds(sum["sent"].as_f64() > Some(least), || sum.to_string()).map(|()| sum)
        })
        .await
    };
    let first = enough(600.0).await?;
    stores.split(10, 90).await?;
    let turned = last_line(&load)?;
    let sent = turned["sent"].as_f64().unwrap_or_default();
    // What was under way when the status turned true may still be on the old shares.
    let settled = enough(sent + 100.0).await?;
    enough(sent + 700.0).await?;
    let last = end(load).await?;

    let (before, after) = (share(&Value::Null, &first), share(&settled, &last));
    assert!((0.84..0.96).contains(&before), "90 % wanted, {before} measured: {first}");
    assert!((0.04..0.16).contains(&after), "10 % wanted, {after} measured: {last}");
    assert_eq!(last["failed"], 0, "{last}");
    Ok(())
}

//! TrafficSplit on a real API server with real Envoys: measured traffic decides.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use anyhow::Result;
use serde_json::{Value, json};
use smidge_e2e::{
    eventually, holds, objects,
    world::{AppPod, SOON, World, end, last_line},
};

/// A client and two versions of a store behind a root Service, everything permitted. The root's own pods are those of `v1`.
struct Stores {
    world: World,
    buyer: AppPod,
    root: IpAddr,
    v1: AppPod,
    _v2: AppPod,
}

async fn stores(namespace: &str) -> Result<Stores> {
    let world = World::start(namespace, &[]).await?;
    let (buyer, v1, v2) = tokio::try_join!(world.pod("buyer"), world.pod("v1"), world.pod("v2"))?;
    world.permit(&["buyer"], &["v1", "v2", "v3"]).await?;
    world.service("v1", "v1", &[&v1]).await?;
    world.service("v2", "v2", &[&v2]).await?;
    let root = world.service("store", "v1", &[&v1]).await?[0];
    Ok(Stores { world, buyer, root, v1, _v2: v2 })
}

impl Stores {
    /// Applies the split of the whole root and returns once every Envoy has it.
    async fn split(&self, backends: &[(&str, u32)]) -> Result<()> {
        self.world.apply(&objects::split(&self.world.namespace, "store", "store", backends)).await?;
        self.world.wait_for("Programmed", "trafficsplit/store").await
    }

    /// Applies a split for what the HTTPRouteGroup of the same name matches.
    async fn split_for_group(&self, name: &str, backends: &[(&str, u32)]) -> Result<()> {
        let mut split = objects::split(&self.world.namespace, name, "store", backends);
        split["spec"]["matches"] = json!([{"kind": "HTTPRouteGroup", "name": name}]);
        self.world.apply(&split).await?;
        self.world.wait_for("Programmed", &format!("trafficsplit/{name}")).await
    }

    fn address(&self, port: u16) -> String {
        SocketAddr::new(self.root, port).to_string()
    }

    /// Who answers how often of at least so many requests, all of which succeed.
    async fn answers(&self, requests: u32, more: &[&str]) -> Result<Value> {
        let (address, requests) = (self.address(80), requests.to_string());
        let load = [&["load", &address, "--rate", "500", "--requests", &requests], more].concat();
        let mut load = self.buyer.start(&load)?;
        load.wait().await?;
        let sum = last_line(&load)?;
        assert_eq!((&sum["failed"], &sum["done"]), (&json!(0), &json!(true)), "{sum}");
        Ok(sum)
    }
}

fn count(summary: &Value, server: &str) -> f64 {
    summary["by_server"][server].as_f64().unwrap_or_default()
}

/// The share of `server` among the answers between two sums.
fn share(server: &str, before: &Value, after: &Value) -> f64 {
    let answers = |sum: &Value| ["v1", "v2", "v3"].map(|server| count(sum, server)).iter().sum::<f64>();
    (count(after, server) - count(before, server)) / (answers(after) - answers(before))
}

/// The sum of a load that goes on, once it has sent more than so many requests.
async fn sent(load: &smidge_sandbox::Process, least: f64) -> Result<Value> {
    eventually("enough answers", SOON, async || {
        let sum = last_line(load)?;
        holds(sum["sent"].as_f64() > Some(least), || sum.to_string()).map(|()| sum)
    })
    .await
}

#[tokio::test]
async fn from_90_10_to_10_90_under_load_without_a_failed_request() -> Result<()> {
    let stores = stores("canary").await?;
    stores.split(&[("v1", 90), ("v2", 10)]).await?;
    stores.buyer.call_until(200, stores.root, 80, &[]).await?;

    let load = stores.buyer.start(&["load", &stores.address(80), "--rate", "300"])?;
    let first = sent(&load, 600.0).await?;
    stores.split(&[("v1", 10), ("v2", 90)]).await?;
    let turned = last_line(&load)?["sent"].as_f64().unwrap_or_default();
    // What was under way when the status turned true may still be on the old shares.
    let settled = sent(&load, turned + 100.0).await?;
    sent(&load, turned + 700.0).await?;
    let last = end(load).await?;

    let (before, after) = (share("v1", &Value::Null, &first), share("v1", &settled, &last));
    assert!((0.84..0.96).contains(&before), "90 % wanted, {before} measured: {first}");
    assert!((0.04..0.16).contains(&after), "10 % wanted, {after} measured: {last}");
    assert_eq!(last["failed"], 0, "{last}");
    a_backend_without_pods_is_named(&stores).await
}

/// It keeps its share, so that who gets a 503 has to know of whom.
async fn a_backend_without_pods_is_named(stores: &Stores) -> Result<()> {
    stores.world.service("v3", "v3", &[]).await?;
    stores.split(&[("v3", 100)]).await?;
    let answer = stores.buyer.call_until(503, stores.root, 80, &[]).await?;
    let body = answer["body"].as_str().unwrap_or_default();
    assert!(body.contains("no pod behind canary/v3/80/http is ready") && body.ends_with('\n'), "{answer}");
    Ok(())
}

/// Point 1 of the open points: a split with matches is tried before the one without.
#[tokio::test]
async fn headers_choose_a_version_weights_share_the_rest_and_late_backends_join() -> Result<()> {
    let stores = stores("experiment").await?;
    stores.buyer.call_until(200, stores.root, 80, &[]).await?;
    headers_alone(&stores).await?;
    headers_and_weights(&stores).await?;
    the_root_among_its_backends(&stores).await?;
    a_late_backend(&stores).await
}

/// What no group matches goes to the root's own pods.
async fn headers_alone(stores: &Stores) -> Result<()> {
    let beta = json!([{"name": "beta", "headers": [{"x-user": "beta-.*"}]}]);
    stores.world.apply(&objects::route_group(&stores.world.namespace, "beta", &beta)).await?;
    stores.split_for_group("beta", &[("v2", 1)]).await?;
    let beta = stores.answers(50, &["-H", "x-user: beta-7"]).await?;
    assert_eq!(share("v2", &Value::Null, &beta), 1.0, "{beta}");
    for other in ["x-user: alpha", "x-user: a-beta-7", "x-other: beta-7"] {
        let sum = stores.answers(20, &["-H", other]).await?;
        assert_eq!(share("v1", &Value::Null, &sum), 1.0, "{other}: {sum}");
    }
    Ok(())
}

async fn headers_and_weights(stores: &Stores) -> Result<()> {
    stores.split_for_group("beta", &[("v1", 30), ("v2", 70)]).await?;
    stores.split(&[("v1", 80), ("v2", 20)]).await?;
    let (beta, rest) = tokio::try_join!(stores.answers(600, &["-H", "x-user: beta-7"]), stores.answers(600, &[]))?;
    let (beta, rest) = (share("v2", &Value::Null, &beta), share("v2", &Value::Null, &rest));
    assert!((0.60..0.80).contains(&beta), "70 % of those with the header wanted, {beta} measured");
    assert!((0.13..0.27).contains(&rest), "20 % of the others wanted, {rest} measured");
    Ok(())
}

/// Point 2: it means the root's own endpoints, never the split again; for connections as for requests.
async fn the_root_among_its_backends(stores: &Stores) -> Result<()> {
    stores.split(&[("store", 50), ("v2", 50)]).await?;
    let sum = stores.answers(300, &[]).await?;
    let canary = share("v2", &Value::Null, &sum);
    assert!((0.37..0.63).contains(&canary), "50 % wanted, {canary} measured: {sum}");
    let (address, mut seen) = (stores.address(90), BTreeSet::new());
    // That one of two equal shares gets none of 20 is as likely as one in a million.
    for _ in 0..20 {
        let answer = stores.buyer.client(&["tcp", &address, "--send", "ping", "--bytes", "7"]).await?;
        seen.insert(answer["received"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(seen, BTreeSet::from(["v1:ping", "v2:ping"].map(str::to_owned)));
    Ok(())
}

/// A split may name Services that do not exist yet: their share goes to the others until they do.
async fn a_late_backend(stores: &Stores) -> Result<()> {
    stores.split(&[("v1", 50), ("v3", 50)]).await?;
    let unresolved = stores.world.field("trafficsplit/store", "{.status.conditions[?(@.type=='ResolvedRefs')].status}");
    assert_eq!(unresolved.await?, "False");
    let load = stores.buyer.start(&["load", &stores.address(80), "--rate", "200"])?;
    let without = sent(&load, 200.0).await?;
    assert_eq!(share("v1", &Value::Null, &without), 1.0, "{without}");

    // Its pod is ready first: a Service that is there gets its share, with pods or without.
    let v3 = stores.world.pod("v3").await?;
    stores.world.endpoints("v3", &[&v3]).await?;
    stores.world.service("v3", "v3", &[&v3]).await?;
    stores.world.wait_for("ResolvedRefs", "trafficsplit/store").await?;
    let first = eventually("answer of the late backend", SOON, async || {
        let sum = last_line(&load)?;
        holds(count(&sum, "v3") > 0.0, || sum.to_string()).map(|()| sum)
    })
    .await?;
    sent(&load, first["sent"].as_f64().unwrap_or_default() + 400.0).await?;
    let last = end(load).await?;
    let joined = share("v3", &first, &last);
    assert!((0.40..0.60).contains(&joined), "50 % wanted, {joined} measured: {last}");
    assert_eq!(last["failed"], 0, "{last}");
    Ok(())
}

/// A TCP connection, a WebSocket and a stream of gRPC messages that were open before: what is new goes elsewhere.
#[tokio::test]
async fn what_is_open_stays_open_while_its_split_changes_ten_times() -> Result<()> {
    let stores = stores("database").await?;
    let [web, echo, grpc] = [80, 90, 93].map(|port| stores.address(port));
    stores.split(&[("v1", 1), ("v2", 0)]).await?;
    stores.buyer.call_until(200, stores.root, 80, &[]).await?;
    let mut held = Vec::new();
    for line in [&["hold", &echo][..], &["hold", &web, "--web-socket"], &["hold", &grpc, "--grpc"]] {
        held.push(stores.buyer.start(line)?);
    }
    echoes(&held, 1).await?;
    for turn in 1..=10 {
        let (weights, server) = if turn % 2 == 1 { ([0, 1], "v2") } else { ([1, 0], "v1") };
        stores.split(&[("v1", weights[0]), ("v2", weights[1])]).await?;
        let answer = stores.buyer.client(&["tcp", &echo, "--send", "ping", "--bytes", "7"]).await?;
        assert_eq!(answer["received"], format!("{server}:ping"), "change {turn}: {answer}");
        for line in [&["web-socket", &web][..], &["call", &grpc, "--grpc"]] {
            let answer = stores.buyer.client(line).await?;
            assert_eq!(answer["server"], server, "change {turn}: {answer}");
        }
    }
    // Twice the drain time of the Envoys, at 20 echoes a second: what drains would be closed by now.
    echoes(&held, 80).await?;
    for held in held {
        let held = end(held).await?;
        assert_eq!((&held["broken"], &held["server"]), (&Value::Null, &json!(stores.v1.name)), "{held}");
    }
    Ok(())
}

/// Waits for so many more echoes on everything that is held open.
async fn echoes(held: &[smidge_sandbox::Process], more: u64) -> Result<()> {
    let count = |held| anyhow::Ok(last_line(held)?["echoes"].as_u64().unwrap_or_default());
    let counts = async || held.iter().map(count).collect::<Result<Vec<_>>>();
    let before = eventually("echo", SOON, counts).await?;
    eventually("echoes on what is open", SOON, async || {
        let now = counts().await?;
        holds(now.iter().zip(&before).all(|(now, before)| *now >= before + more), || format!("{before:?} → {now:?}"))
    })
    .await
}

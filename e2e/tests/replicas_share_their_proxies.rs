//! Two operators that serve a proxy each: what both acknowledge is counted, and when either dies no status is taken back.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    eventually, holds, objects,
    world::{AppPod, SOON, World, end},
};

/// The Lease's time, a reconnect and what a busy machine adds.
const TAKEOVER: Duration = Duration::from_secs(60);

const SPLIT: &str = "trafficsplit/late";

/// The leader, which serves `early`, and a follower, which serves `late`.
struct Pair {
    early: AppPod,
    late: AppPod,
    /// Of the Service `late`.
    ip: IpAddr,
    follower: smidge_e2e::Daemon,
    /// Of the follower's metrics.
    port: u16,
    /// Ends last: a program that was paused once holds up the end of its sandbox.
    world: World,
}

impl Pair {
    async fn start(namespace: &str) -> Result<Self> {
        let world = World::start_secure(namespace, &[("smidge.dev/mode", "allow")], &[]).await?;
        let early = world.pod("early").await?;
        let (follower, port) = world.start_replica("operator-1").await?;
        eventually("a follower", SOON, async || {
            let metrics = world.metrics().await?;
            holds(metrics.contains("smidge_replicas_connected 1\n"), || world.operator_log())
        })
        .await?;
        eventually("a ready follower", SOON, async || {
            let log = std::fs::read_to_string(world.log_of("operator-1"))?;
            holds(log.contains("the mesh's roots"), || log.clone())
        })
        .await?;
        let late = world.pod("late").await?;
        let ip = world.service("late", "late", &[&late]).await?[0];
        world.service("early", "late", &[&late]).await?;
        let pair = Self { world, early, late, ip, follower, port };
        pair.until_served(pair.port, 1).await?;
        pair.until_served(pair.world.metrics_port(), 1).await?;
        pair.split(1).await?;
        pair.world.wait_for("Programmed", SPLIT).await?;
        let told = pair.programmed().await?;
        ensure!(told["message"].as_str().unwrap_or_default().starts_with("2 of 2 proxies"), "{told}");
        Ok(pair)
    }

    async fn until_served(&self, port: u16, streams: usize) -> Result<()> {
        eventually("streams", TAKEOVER, async || {
            let metrics = self.world.metrics_at(port).await?;
            holds(metrics.contains(&format!("smidge_xds_streams {streams}\n")), || metrics.clone())
        })
        .await
    }

    /// Another share each time is another effect.
    async fn split(&self, share: u32) -> Result<()> {
        let backends = [("late", share), ("early", 1)];
        self.world.apply(&objects::split(&self.world.namespace, "late", "late", &backends)).await
    }

    async fn programmed(&self) -> Result<Value> {
        let told = self.world.field(SPLIT, "{.status.conditions[?(@.type=='Programmed')]}").await?;
        Ok(serde_json::from_str(&told)?)
    }

    async fn until_told(&self, parts: &[&str]) -> Result<()> {
        eventually("word in the status", SOON, async || {
            let told = self.programmed().await?.to_string();
            holds(parts.iter().all(|part| told.contains(part)), || told.clone())
        })
        .await
    }

    /// Whether the follower says of itself that it follows, and this of the one proxy that it serves.
    async fn follower_tells(&self, what: &str, holds_of: impl Fn(&Value) -> bool) -> Result<()> {
        eventually(what, SOON, async || {
            let answer = self.world.answer_at(self.port, "/proxies").await?;
            let body = answer.split_once("\r\n\r\n").context("no body")?.1;
            let told: Value = serde_json::from_str(body)?;
            let proxy = &told["proxies"][0];
            let is_late = told["leads"] == false && proxy["pod"] == "late" && proxy["envoy"] == "1.40.0";
            holds(is_late && holds_of(proxy), || told.to_string())
        })
        .await
    }

    /// Nothing is written of what has not changed, up to now: what is written after all else has been looked at says so.
    async fn version(&self, barrier: &str) -> Result<String> {
        let (world, namespace) = (&self.world, &self.world.namespace);
        world.service(barrier, "early", &[&self.early]).await?;
        world.apply(&objects::split(namespace, barrier, barrier, &[("early", 1)])).await?;
        let object = format!("trafficsplit/{barrier}");
        eventually("word of whoever leads", TAKEOVER, async || {
            let status = world.field(&object, "{.status.conditions[?(@.type=='Programmed')].status}").await?;
            holds(status == "True", || format!("{status:?}; {}", world.operator_log()))
        })
        .await?;
        world.field(SPLIT, "{.metadata.resourceVersion}").await
    }
}

#[tokio::test]
async fn what_proxies_of_any_replica_acknowledge_is_programmed() -> Result<()> {
    let pair = Pair::start("replicas").await?;
    let world = &pair.world;

    // The follower's Envoy holds back what the leader's has.
    let envoy = pair.late.pod.envoy()?;
    envoy.pause()?;
    pair.split(2).await?;
    let held_back = pair.until_told(&["\"Pending\"", "1 of 2 proxies", "\"observedGeneration\":2"]).await;
    let told = pair.follower_tells("a proxy that is behind", |proxy| proxy["behind"].as_u64() > Some(0)).await;
    envoy.resume()?;
    held_back.with_context(|| world.operator_log())?;
    told?;
    world.wait_for("Programmed", SPLIT).await?;

    // What it refuses is told with its own words. (It is given a bound of its own: no object is known that a stock Envoy refuses.)
    pair.late.pod.admin("POST", "/runtime_modify?re2.max_program_size.error_level=100").await?;
    let route = |user: &str| {
        objects::route_group(&world.namespace, "some", &json!([{"name": "x", "headers": [{"x-user": user}]}]))
    };
    world.apply(&route("x{150}")).await?;
    let mut split = objects::split(&world.namespace, "late", "late", &[("early", 1)]);
    split["spec"]["matches"] = json!([{"kind": "HTTPRouteGroup", "name": "some"}]);
    world.apply(&split).await?;
    pair.until_told(&["\"Rejected\"", "1 of 2 proxies", "late.replicas says", "max program size"]).await?;
    let is_told = |proxy: &Value| {
        let rejected = &proxy["rejected"][0];
        let words = rejected["words"].as_str().unwrap_or_default();
        proxy["rejections"].as_u64() > Some(0)
            && rejected["type"] == "RouteConfiguration"
            && words.contains("max program size")
    };
    pair.follower_tells("a rejection", is_told).await?;
    world.apply(&route("x+")).await?;
    world.wait_for("Programmed", SPLIT).await?;
    let is_in_step = |proxy: &Value| proxy["behind"] == 0 && proxy["rejections"] == 0;
    pair.follower_tells("a proxy in step", is_in_step).await
}

#[tokio::test]
async fn when_the_leader_dies_nothing_is_taken_back_and_the_other_goes_on() -> Result<()> {
    let pair = Pair::start("leaderless").await?;
    let load = pair.early.start(&["load", &SocketAddr::new(pair.ip, 80).to_string(), "--rate", "50"])?;
    let before = pair.version("before").await?;
    pair.world.kill_operator().await?;
    pair.until_served(pair.port, 2).await?;
    let after = pair.version("after").await?;
    ensure!(before == after, "the status was written: {}", pair.programmed().await?);
    pair.split(3).await?;
    pair.until_told(&["\"True\"", "2 of 2 proxies", "\"observedGeneration\":2"]).await?;
    let sum = end(load).await?;
    ensure!(sum["failed"] == 0, "{sum}");
    Ok(())
}

/// Of the name that stands in the Lease it leads at once, whatever it has listed by then.
#[tokio::test]
async fn when_the_leader_is_killed_and_started_again_nothing_is_taken_back() -> Result<()> {
    let pair = Pair::start("restarted").await?;
    let before = pair.version("before").await?;
    pair.world.kill_operator().await?;
    pair.world.start_operator().await?;
    let after = pair.version("after").await?;
    ensure!(before == after, "the status was written: {}", pair.programmed().await?);
    pair.split(3).await?;
    pair.until_told(&["\"True\"", "2 of 2 proxies", "\"observedGeneration\":2"]).await
}

#[tokio::test]
async fn when_a_follower_dies_nothing_is_taken_back() -> Result<()> {
    let mut pair = Pair::start("followerless").await?;
    let before = pair.version("before").await?;
    pair.follower.kill()?;
    let leader = pair.world.metrics_port();
    pair.until_served(leader, 2).await?;
    let after = pair.version("after").await?;
    ensure!(before == after, "the status was written: {}", pair.programmed().await?);
    pair.split(3).await?;
    pair.until_told(&["\"True\"", "2 of 2 proxies", "\"observedGeneration\":2"]).await?;
    let metrics = pair.world.metrics().await?;
    ensure!(metrics.contains("smidge_replicas_connected 0\n"), "{metrics}");
    Ok(())
}

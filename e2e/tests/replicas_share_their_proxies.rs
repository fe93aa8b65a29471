//! Two operators: the proxies of both are counted, whichever of them they reach, and when the leader dies the other has them.

use std::time::Duration;

use anyhow::Result;
use smidge_e2e::{
    eventually, holds, objects,
    world::{SOON, World, end},
};

/// The Lease's time, a reconnect and what a busy machine adds.
const TAKEOVER: Duration = Duration::from_secs(60);

async fn until_served(world: &World, port: u16, streams: usize) -> Result<()> {
    eventually("streams", TAKEOVER, async || {
        let metrics = world.metrics_at(port).await?;
        holds(metrics.contains(&format!("smidge_xds_streams {streams}\n")), || metrics.clone())
    })
    .await
}

#[tokio::test]
async fn what_proxies_of_any_replica_acknowledge_is_programmed() -> Result<()> {
    let world = World::start_secure("replicas", &[("smidge.dev/mode", "allow")], &[]).await?;
    let early = world.pod("early").await?;
    let (_second, metrics) = world.start_replica("operator-1").await?;
    eventually("a ready second replica", SOON, async || {
        let log = std::fs::read_to_string(world.log_of("operator-1"))?;
        holds(log.contains("leader=\"operator-0\"") && log.contains("the mesh's roots"), || log.clone())
    })
    .await?;
    // It reaches the second one, which passes it on.
    let late = world.pod("late").await?;
    let ip = world.service("late", "late", &[&late]).await?[0];
    world.apply(&objects::split(&world.namespace, "late", "late", &[("late", 1)])).await?;
    world.wait_for("Programmed", "trafficsplit/late").await?;
    let all = world.field("trafficsplit/late", "{.status.conditions[?(@.type=='Programmed')].message}").await?;
    anyhow::ensure!(all.starts_with("2 of 2 proxies"), "{all}");
    until_served(&world, metrics, 0).await?;

    let load = early.start(&["load", &std::net::SocketAddr::new(ip, 80).to_string(), "--rate", "50"])?;
    world.kill_operator().await?;
    until_served(&world, metrics, 2).await?;
    world.apply(&objects::split(&world.namespace, "late", "late", &[("late", 2), ("early", 0)])).await?;
    eventually("word of the new leader", TAKEOVER, async || {
        let generation = world.field("trafficsplit/late", "{.metadata.generation}").await?;
        let path = "{.status.conditions[?(@.type=='Programmed')].observedGeneration}";
        let programmed = world.field("trafficsplit/late", path).await?;
        holds(generation == programmed, || format!("generation {generation}, told of {programmed}"))
    })
    .await?;
    world.wait_for("Programmed", "trafficsplit/late").await?;
    let sum = end(load).await?;
    anyhow::ensure!(sum["failed"] == 0, "{sum}");
    Ok(())
}

//! Scaling under load, on a real API server with real Envoys: one pod, three, one again, and no request fails.

use anyhow::Result;
use serde_json::Value;
use smidge_e2e::{
    eventually, holds,
    world::{AppPod, PodOptions, SOON, World, end, last_line},
};
use smidge_sandbox::Process;

const STORE: PodOptions<'static> = PodOptions { app: "store", service_account: "store", meshed: true };

#[tokio::test]
async fn endpoints_come_and_go_without_a_failed_request() -> Result<()> {
    let world = World::start("scaling", &[]).await?;
    let (buyer, first) = tokio::try_join!(world.pod("buyer"), world.pod_with("first", STORE))?;
    world.permit(&["buyer"], &["store"]).await?;
    let ip = world.service("store", "store", &[&first]).await?[0];
    buyer.call_until(200, ip, 80, &[]).await?;
    let load = buyer.start(&["load", &std::net::SocketAddr::new(ip, 80).to_string(), "--rate", "200"])?;

    for names in [["second", "third"], ["fourth", "fifth"]] {
        let (second, third) = tokio::try_join!(world.pod_with(names[0], STORE), world.pod_with(names[1], STORE))?;
        world.endpoints("store", &[&first, &second, &third]).await?;
        for pod in [&first, &second, &third] {
            more_answers(&load, &pod.name).await?;
        }
        world.endpoints("store", &[&first]).await?;
        for pod in [second, third] {
            withdrawn(&buyer, &pod).await?;
            remove(&world, pod).await?;
        }
    }
    let answered = last_line(&load)?;
    more_answers(&load, "first").await?;
    let last = end(load).await?;
    assert_eq!(last["failed"], 0, "{last}");
    assert!(count(&last, "first") > count(&answered, "first"), "{last}");
    Ok(())
}

fn count(sum: &Value, server: &str) -> u64 {
    sum["by_server"][server].as_u64().unwrap_or_default()
}

/// Waits until a server has answered some more requests.
async fn more_answers(load: &Process, server: &str) -> Result<()> {
    let before = count(&last_line(load)?, server);
    eventually("more answers", SOON, async || {
        let sum = last_line(load)?;
        holds(count(&sum, server) > before + 20, || format!("of {server}: {sum}"))
    })
    .await
}

/// Waits until no endpoint of the caller's Envoy has an address of this pod: what a preStop hook's sleep is for.
async fn withdrawn(caller: &AppPod, pod: &AppPod) -> Result<()> {
    eventually("withdrawal", SOON, async || {
        let clusters = caller.pod.admin("GET", "/clusters").await?;
        let of_pod = |line: &&str| pod.pod.ips().iter().any(|ip| line.contains(&ip.to_string()));
        holds(!clusters.lines().any(|line| of_pod(&line)), || clusters.lines().find(of_pod).unwrap_or_default().into())
    })
    .await
}

/// Ends a pod: its app, its Envoy, then its object.
async fn remove(world: &World, mut pod: AppPod) -> Result<()> {
    world.set_ready(&pod, false).await?;
    pod.server.terminate().await?;
    pod.pod.envoy_mut()?.terminate().await?;
    let object = format!("pod/{}", pod.name);
    world.api.kubectl(&["delete", "-n", &world.namespace, &object, "--now", "--wait=true"]).await.map(drop)
}

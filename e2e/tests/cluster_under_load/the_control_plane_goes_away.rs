//! Replicas of the operator end, one after the other and all at once: who has a configuration goes on, who has none waits.

use std::time::Duration;

use anyhow::{Result, ensure};
use smidge_e2e::{Node, eventually, holds, node::app};

use crate::scene::{SYSTEM, Scene, operator_is_rolled_out, pods};

const WITHIN: Duration = Duration::from_secs(120);

async fn replicas(node: &Node) -> Result<Vec<String>> {
    pods(node, SYSTEM, "app.kubernetes.io/name=smidge-operator").await
}

async fn scale(node: &Node, replicas: &str) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    node.api.kubectl(&["scale", "-n", SYSTEM, "deployment/smidge-operator", &replicas]).await.map(drop)
}

/// For how many seconds nobody serves. `SMIDGE_AWAY_SECONDS=60` is what releases are tested with.
fn away() -> Result<u64> {
    Ok(std::env::var("SMIDGE_AWAY_SECONDS").map_or(Ok(20), |seconds| seconds.parse())?)
}

#[tokio::test]
async fn each_replica_may_be_restarted_and_all_be_away_without_a_failed_request() -> Result<()> {
    let scene = Scene::begin("replicas", 2).await?;
    let node = scene.node;
    for replica in replicas(node).await? {
        node.api.kubectl(&["delete", "-n", SYSTEM, &replica]).await?;
        operator_is_rolled_out(node).await?;
        scene.a_pod_may_join().await?;
        scene.nobody_noticed(&format!("restart of {replica}")).await?;
    }
    scale(node, "0").await?;
    eventually("end of all replicas", WITHIN, async || {
        let left = replicas(node).await?;
        holds(left.is_empty(), || left.join(", "))
    })
    .await?;
    node.api.apply(&app(&scene.namespace, "late", 1)).await?;
    scene.goes_on_for(away()?).await?;
    ensure!(scene.pods("late").await? == 0, "no pod starts unprotected");
    scene.nobody_noticed("no control plane").await?;
    scale(node, "2").await?;
    operator_is_rolled_out(node).await?;
    node.api.wait(&scene.namespace, "deployment/late", "condition=Available").await?;
    scene.nobody_noticed("return of the control plane").await?;
    scene.end().await
}

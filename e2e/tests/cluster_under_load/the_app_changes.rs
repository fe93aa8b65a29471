//! What teams do every day: a new version, more replicas, fewer; and the node's containerd is restarted below it all.

use std::time::Duration;

use anyhow::Result;
use smidge_e2e::{eventually, holds};

use crate::scene::{Scene, rolled_out};

/// How long pods may take to be gone.
const GONE: Duration = Duration::from_secs(120);

/// Waits until there are as many pods as there should be: the others have ended.
async fn settled(scene: &Scene, replicas: usize) -> Result<()> {
    rolled_out(scene.node, &scene.namespace, "web").await?;
    eventually("end of the other pods", GONE, async || {
        let pods = scene.pods("web").await?;
        holds(pods == replicas, || format!("{pods} pods"))
    })
    .await
}

#[tokio::test]
async fn a_rolling_update_scaling_and_a_restart_of_containerd_cost_no_request() -> Result<()> {
    let scene = Scene::begin("app", 2).await?;
    scene.kubectl(&["rollout", "restart", "deployment/web"]).await?;
    settled(&scene, 2).await?;
    scene.nobody_noticed("rolling update").await?;
    for replicas in [1, 10, 1] {
        scene.kubectl(&["scale", "deployment/web", &format!("--replicas={replicas}")]).await?;
        settled(&scene, replicas).await?;
        scene.nobody_noticed(&format!("scaling to {replicas}")).await?;
    }
    if scene.node.is_own() {
        scene.node.restart_containerd().await?;
        scene.nobody_noticed("restart of containerd").await?;
    }
    scene.end().await
}

//! From the version before to this one and back, replica by replica, under load: docs/upgrades.md says what is promised. The
//! program of the version before comes in by `SMIDGE_BEFORE`; `make chaos` builds it.

use std::{env, path::PathBuf};

use anyhow::{Result, ensure};
use smidge_e2e::{eventually, holds, world::SOON};

use crate::{is_full, it_is_ended::leads, scene::Scene, storm::Storm};

#[tokio::test]
async fn from_the_version_before_to_this_one_and_back() -> Result<()> {
    let Some(before) = env::var_os("SMIDGE_BEFORE").map(PathBuf::from) else {
        ensure!(!is_full(), "no SMIDGE_BEFORE: run it by `make chaos`");
        return Ok(());
    };
    let scene = Scene::begin_with("upgrade", Some(before.clone())).await?;
    // As `smidge upgrade` does it: first what the API server has to know, then those who use it.
    scene.world.api.install_crds().await?;
    scene.settles("the CRDs of this version, the control plane of the one before").await?;
    rolls_to(&scene, None, "operator-1").await?;
    scene.settles("this version").await?;
    rolls_to(&scene, Some(before), "operator-2").await?;
    scene.settles("the version before again").await?;
    rolls_to(&scene, None, "operator-3").await?;
    scene.settles("this version again").await?;
    scene.end().await
}

/// As a Deployment rolls: for a while there are replicas of both versions, and each of them leads.
async fn rolls_to(scene: &Scene, program: Option<PathBuf>, first: &str) -> Result<()> {
    let world = &scene.world;
    world.operators.lock().await.program = program;
    let (mut replica, _) = world.start_replica(first).await?;
    eventually("a replica of the other version", SOON, async || {
        holds(world.metric("smidge_replicas_connected").await? == 1, || world.operator_log())
    })
    .await?;
    let storm = Storm::begin(scene);
    storm.goes_on(10).await?;
    let status = world.stop_operator().await?;
    ensure!(status.success(), "{status}");
    leads(scene, first).await?;
    storm.goes_on(10).await?;
    world.start_operator().await?;
    scene.nobody_noticed("replicas of both versions").await?;
    replica.stop()?;
    leads(scene, "operator-0").await?;
    drop(storm);
    scene.serves(scene.proxies()).await
}

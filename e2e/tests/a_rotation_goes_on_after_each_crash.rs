//! The operator is killed in each step of a rotation: what is in the Secret is enough for the next one to go on where it was, and
//! no step is taken twice.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smidge_e2e::{
    eventually, holds,
    secure::{CONTROL_PLANE, roots, trust},
    world::{SOON, World, beside_this_test},
};
use tokio::process::Command;

/// What the leader writes comes into the pods, as by their kubelet.
async fn sync(world: &World) -> Result<()> {
    let secure = world.secure.as_ref().context("the world is not secure")?;
    for pod in ["web", "caller"] {
        secure.sync_trust(&world.api, &world.namespace, pod).await?;
    }
    Ok(())
}

/// Waits for a step.
async fn step(world: &World, phase: &str) -> Result<Value> {
    let reached = eventually(phase, SOON * 2, async || {
        sync(world).await?;
        let state = roots(&world.api).await?;
        holds(state["phase"] == phase, || state.to_string())?;
        Ok(state)
    });
    reached.await.with_context(|| world.operator_log())
}

async fn crash(world: &World) -> Result<()> {
    world.kill_operator().await?;
    world.start_operator().await
}

#[tokio::test]
async fn each_step_survives_the_end_of_its_leader() -> Result<()> {
    let world = World::start_secure("steps", &[("smidge.dev/mode", "allow")], &["--trust-propagation", "3s"]).await?;
    let (web, caller) = tokio::try_join!(world.pod("web"), world.pod("caller"))?;
    let ip = world.service("web", "web", &[&web]).await?[0];
    caller.call_until(200, ip, 80, &[]).await?;
    let old = roots(&world.api).await?["signer"].clone();

    let mut rotate = Command::new(beside_this_test("smidge")?);
    rotate.args(["rotate", "root", "--namespace", CONTROL_PLANE, "--no-wait"]);
    let asked = rotate.env("KUBECONFIG", world.api.kubeconfig()).output().await?;
    ensure!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    // It may end before it has read the wish, too.
    crash(&world).await?;
    let introduced = step(&world, "introduced").await?;
    ensure!(introduced["signer"] == old && introduced["roots"][0] == old, "the old one signs: {introduced}");
    crash(&world).await?;
    let signing = step(&world, "signing").await?;
    ensure!(signing["roots"] == introduced["roots"] && signing["signer"] == introduced["roots"][1], "{signing}");
    crash(&world).await?;
    let settled = step(&world, "settled").await?;
    ensure!(settled["roots"] == serde_json::json!([signing["signer"]]), "the new one alone: {settled}");
    crash(&world).await?;

    sync(&world).await?;
    eventually("streams to the last operator", SOON, async || {
        let metrics = world.metrics().await?;
        holds(metrics.contains("smidge_xds_streams 2"), || world.operator_log())
    })
    .await?;
    let trusted = trust(&world.api, "steps").await?;
    let count = trusted["ca.crt"].as_str().unwrap_or_default().matches("BEGIN CERTIFICATE").count();
    ensure!(count == 1, "{trusted}");
    caller.call_until(200, ip, 80, &[]).await?;
    ensure!(roots(&world.api).await? == settled, "nothing begins anew");
    Ok(())
}

//! A new root on real Envoys under load: each step of the rotation waits for those who have to follow, and nobody notices.

use std::{net::SocketAddr, process::Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smidge_e2e::{
    eventually, holds,
    secure::{CONTROL_PLANE, trust},
    world::{AppPod, World, beside_this_test, end},
};
use tokio::process::Command;

/// What the test's kubelet needs at most to bring a ConfigMap into the pods.
const ARGUMENTS: [&str; 2] = ["--trust-propagation", "3s"];
const WITHIN: std::time::Duration = std::time::Duration::from_secs(120);

#[tokio::test]
async fn a_new_root_replaces_the_old_one_without_a_failed_request() -> Result<()> {
    let world = World::start_secure("rotation", &[("smidge.dev/mode", "deny")], &ARGUMENTS).await?;
    let (buyer, store) = tokio::try_join!(world.pod("buyer"), world.pod("store"))?;
    world.permit(&["buyer"], &["store"]).await?;
    let ip = world.service("store", "store", &[&store]).await?[0];
    buyer.call_until(200, ip, 80, &[]).await?;
    let (web, echo) = (SocketAddr::new(ip, 80).to_string(), SocketAddr::new(ip, 90).to_string());
    let before = [serial(&buyer).await?, serial(&store).await?];
    let old = trust(&world.api, "rotation").await?["ca.crt"].clone();

    let load = buyer.start(&["load", &web, "--rate", "100"])?;
    let held = buyer.start(&["hold", &echo])?;
    let rotated = followed(&world, asked_twice(&world).await?);
    let kubelet = async {
        loop {
            for pod in ["buyer", "store"] {
                let secure = world.secure.as_ref().context("the world is not secure")?;
                secure.sync_trust(&world.api, "rotation", pod).await?;
            }
            // Every connection is a handshake of its own.
            let answer = buyer.client(&["tcp", &echo, "--send", "ping", "--bytes", "10"]).await?;
            ensure!(answer["received"] == "store:ping", "{answer}");
        }
        #[allow(unreachable_code, reason = "says what the block fails with")]
        anyhow::Ok(())
    };
    let rotated = tokio::select! {
        rotated = tokio::time::timeout(WITHIN, rotated) => rotated.with_context(|| world.operator_log())??,
        broken = kubelet => return broken.with_context(|| world.operator_log()),
    };
    let told = String::from_utf8_lossy(&rotated.stdout).into_owned();
    ensure!(rotated.status.success(), "{told}{}", String::from_utf8_lossy(&rotated.stderr));
    for step in ["introduced", "signs", "retired"] {
        ensure!(told.contains(step), "no word of {step}: {told}");
    }

    let new = trust(&world.api, "rotation").await?["ca.crt"].clone();
    let one = |pem: &Value| pem.as_str().unwrap_or_default().matches("BEGIN CERTIFICATE").count() == 1;
    ensure!(one(&old) && one(&new) && old != new, "the old root is retired: {new}");
    for (pod, before) in [&buyer, &store].into_iter().zip(&before) {
        ensure!(serial(pod).await? != *before, "{} has its certificate by the new root", pod.name);
    }
    for pod in ["buyer", "store"] {
        world.secure.as_ref().context("the world is not secure")?.sync_trust(&world.api, "rotation", pod).await?;
    }
    // The xDS connection too trusts the new root alone.
    world.stop_operator().await?;
    world.start_operator().await?;
    eventually("streams to the new operator", WITHIN, async || {
        let metrics = world.metrics().await?;
        holds(metrics.contains("smidge_xds_streams 2"), || world.operator_log())
    })
    .await?;
    let held = end(held).await?;
    ensure!(held["broken"] == Value::Null, "{held}");
    let sum = end(load).await?;
    ensure!(sum["failed"] == 0 && sum["sent"].as_u64() > Some(300), "{sum}");
    Ok(())
}

/// Asks for a rotation; what comes back asks again, and so follows that one and does not hold it up.
async fn asked_twice(world: &World) -> Result<Command> {
    let rotate = || {
        let mut rotate = Command::new(beside_this_test("smidge")?);
        rotate.args(["rotate", "root", "--namespace", CONTROL_PLANE]).env("KUBECONFIG", world.api.kubeconfig());
        rotate.kill_on_drop(true);
        anyhow::Ok(rotate)
    };
    let asked = rotate()?.arg("--no-wait").output().await?;
    ensure!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    rotate()
}

/// What a rotation that is under way is told as, and what `again` says once it is done.
async fn followed(world: &World, mut again: Command) -> Result<Output> {
    the_step_is_told(world).await?;
    Ok(again.output().await?)
}

/// While it is under way whoever asks hears how far it is, and what it waits for.
async fn the_step_is_told(world: &World) -> Result<()> {
    eventually("a word on the rotation", WITHIN, async || {
        let mut status = Command::new(beside_this_test("smidge")?);
        status.args(["rotate", "status", "--namespace", CONTROL_PLANE]).env("KUBECONFIG", world.api.kubeconfig());
        let told = String::from_utf8_lossy(&status.kill_on_drop(true).output().await?.stdout).into_owned();
        holds(told.contains("✓ since 2") && told.contains("\n… waiting for "), || told)
    })
    .await?;
    let metrics = world.metrics().await?;
    let step = ["smidge_root_rotation_step 1\n", "smidge_root_rotation_step 2\n"];
    ensure!(step.iter().any(|step| metrics.contains(step)), "{metrics}");
    Ok(())
}

/// The serial number of the certificate that a pod's Envoy uses now.
async fn serial(pod: &AppPod) -> Result<String> {
    let told: Value = serde_json::from_str(&pod.pod.admin("GET", "/certs").await?)?;
    let chains = told["certificates"].as_array().into_iter().flatten();
    let spiffe = |of: &&Value| of["cert_chain"].to_string().contains("spiffe://");
    let chain = chains.filter(spiffe).find_map(|of| of["cert_chain"][0]["serial_number"].as_str());
    chain.map(str::to_owned).with_context(|| told.to_string())
}

//! Certificates are renewed, and the root is replaced while streams are cut; pods may join all the time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smidge_e2e::{Node, eventually, holds};
use tokio::time::timeout;

use crate::scene::{SYSTEM, Scene, operator_is_rolled_out, rolled_out, with_argument};

const WITHIN: Duration = Duration::from_secs(120);
/// Two kubelet periods, of which each may have to be waited for again by a new leader.
const ROTATION: Duration = Duration::from_secs(240);

/// The serial number of the certificate that the load's Envoy shows now.
async fn serial(scene: &Scene) -> Result<String> {
    let asked = ["testapp", "call", "127.0.0.1:15000", "/certs"];
    let answer: Value = serde_json::from_str(&scene.node.api.exec(&scene.namespace, "client", "app", &asked).await?)?;
    let told: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())?;
    let chains = told["certificates"].as_array().into_iter().flatten().flat_map(|of| of["cert_chain"].as_array());
    let own = chains.flatten().find(|of| of.to_string().contains("spiffe://"));
    own.and_then(|of| Some(of["serial_number"].as_str()?.to_owned())).with_context(|| told.to_string())
}

/// Waits for a certificate that is not this one.
async fn next_serial(scene: &Scene, before: &str) -> Result<String> {
    eventually("another certificate", WITHIN, async || {
        let now = serial(scene).await?;
        holds(now != before, || now.clone())?;
        Ok(now)
    })
    .await
}

/// Asks for pods, again and again; comes back only when one is refused.
async fn pods_join(scene: &Scene) -> Result<()> {
    loop {
        scene.a_pod_may_join().await?;
        scene.goes_on_for(1).await?;
    }
}

async fn leader(node: &Node) -> Result<String> {
    let holder = "-ojsonpath={.spec.holderIdentity}";
    node.api.kubectl(&["get", "lease", "-n", SYSTEM, "smidge-leader", holder]).await
}

/// Which roots the namespace trusts.
async fn trusted(scene: &Scene) -> Result<usize> {
    let bundle = scene.kubectl(&["get", "configmap", "smidge-trust", "-ojsonpath={.data.ca\\.crt}"]).await?;
    Ok(bundle.matches("BEGIN CERTIFICATE").count())
}

/// Cuts every stream twice: when the new root is introduced, and when it signs.
async fn cut_streams(scene: &Scene) -> Result<()> {
    let before = serial(scene).await?;
    eventually("introduction of a root", WITHIN, async || {
        let roots = trusted(scene).await?;
        holds(roots == 2, || format!("{roots} roots"))
    })
    .await?;
    end_leader(scene).await?;
    next_serial(scene, &before).await?;
    end_leader(scene).await
}

async fn end_leader(scene: &Scene) -> Result<()> {
    let leader = leader(scene.node).await?;
    scene.node.api.kubectl(&["delete", "pod", "-n", SYSTEM, &leader]).await?;
    operator_is_rolled_out(scene.node).await
}

#[tokio::test]
async fn certificates_are_renewed_without_a_failed_request() -> Result<()> {
    let scene = Scene::begin("renewal", 2).await?;
    with_argument(scene.node, "--certificate-lifetime=30s").await?;
    let renewed = async {
        let mut last = serial(&scene).await?;
        for _ in 0..3 {
            last = next_serial(&scene, &last).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        renewed = renewed => renewed?,
        refused = pods_join(&scene) => refused?,
    }
    scene.nobody_noticed("renewal of certificates").await?;
    scene.node.api.kubectl(&["rollout", "undo", "-n", SYSTEM, "deployment/smidge-operator"]).await?;
    operator_is_rolled_out(scene.node).await?;
    scene.nobody_noticed("return to long certificates").await?;
    scene.end().await
}

#[tokio::test]
async fn the_root_is_rotated_and_streams_cut_without_a_failed_request() -> Result<()> {
    let scene = Scene::begin("rotation", 2).await?;
    let rotated = async { timeout(ROTATION, scene.node.smidge(&["rotate", "root"])).await? };
    let (said, ()) = tokio::select! {
        done = async { tokio::try_join!(rotated, cut_streams(&scene)) } => done?,
        refused = pods_join(&scene) => return refused,
    };
    ensure!(said.contains("retired"), "{said}");
    ensure!(trusted(&scene).await? == 1, "the old root is retired");
    scene.nobody_noticed("rotation of the root").await?;
    // Connections to the control plane and between pods are made anew, by the new root alone.
    end_leader(&scene).await?;
    scene.kubectl(&["rollout", "restart", "deployment/web"]).await?;
    rolled_out(scene.node, &scene.namespace, "web").await?;
    scene.a_pod_may_join().await?;
    scene.nobody_noticed("new pods by the new root").await?;
    scene.end().await
}

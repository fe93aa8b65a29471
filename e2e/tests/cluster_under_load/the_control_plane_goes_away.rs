//! Replicas of the operator end, one after the other and all at once: who has a configuration goes on, who has none waits.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    Node, eventually, holds,
    node::{Namespace, app},
};

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

/// A pod that nobody may schedule yet, as the webhook has made it.
async fn admit(scene: &Scene, name: &str) -> Result<()> {
    let mut pod = pod(name, &scene.namespace);
    pod["spec"]["schedulingGates"] = json!([{"name": "smidge.dev/e2e"}]);
    scene.node.api.apply(&pod.to_string()).await?;
    let names = "-ojsonpath={.spec.initContainers[*].name}";
    let names = scene.kubectl(&["get", "pod", name, names]).await?;
    ensure!(names.contains("smidge-proxy"), "{name} has {names:?}");
    Ok(())
}

fn pod(name: &str, namespace: &str) -> Value {
    let container = json!({
        "name": "app", "image": Node::image("testapp"), "imagePullPolicy": "IfNotPresent",
        "command": ["testapp", "serve", "--name", name, "--http", "8080"],
    });
    let metadata = json!({"name": name, "namespace": namespace});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// Pods outside of the mesh start without a control plane, the cluster's own among them.
async fn others_start(node: &Node, outside: &Namespace) -> Result<()> {
    for namespace in [outside, "kube-system"] {
        // The one name that nobody else has there.
        node.api.apply(&pod(outside, namespace).to_string()).await?;
        node.api.wait(namespace, &format!("pod/{outside}"), "condition=Ready").await?;
        node.api.kubectl(&["delete", "pod", "-n", namespace, outside, "--wait=false"]).await?;
    }
    Ok(())
}

/// Its sidecar runs and has got nothing; so its app has not been started.
async fn waits_for_its_sidecar(scene: &Scene, name: &str) -> Result<()> {
    let status: Value = serde_json::from_str(&scene.kubectl(&["get", "pod", name, "-ojsonpath={.status}"]).await?)?;
    let proxy = status["initContainerStatuses"].as_array().into_iter().flatten();
    let proxy = proxy.into_iter().find(|of| of["name"] == "smidge-proxy");
    let has_begun = proxy.is_some_and(|of| of["state"]["running"].is_object() && of["started"] == false);
    let app = &status["containerStatuses"][0]["state"]["waiting"]["reason"];
    ensure!(has_begun && app == "PodInitializing", "{status}");
    Ok(())
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
    let outside = node.namespace("outside", &[]).await?;
    admit(&scene, "admitted").await?;
    scale(node, "0").await?;
    eventually("end of all replicas", WITHIN, async || {
        let left = replicas(node).await?;
        holds(left.is_empty(), || left.join(", "))
    })
    .await?;
    node.api.apply(&app(&scene.namespace, "late", 1)).await?;
    let ungate = r#"[{"op": "remove", "path": "/spec/schedulingGates"}]"#;
    scene.kubectl(&["patch", "pod", "admitted", "--type=json", "-p", ungate]).await?;
    others_start(node, &outside).await?;
    scene.goes_on_for(away()?).await?;
    ensure!(scene.pods("late").await? == 0, "no pod starts unprotected");
    waits_for_its_sidecar(&scene, "admitted").await?;
    scene.nobody_noticed("no control plane").await?;
    scale(node, "2").await?;
    operator_is_rolled_out(node).await?;
    node.api.wait(&scene.namespace, "deployment/late", "condition=Available").await?;
    node.api.wait(&scene.namespace, "pod/admitted", "condition=Ready").await?;
    scene.nobody_noticed("return of the control plane").await?;
    scene.end().await
}

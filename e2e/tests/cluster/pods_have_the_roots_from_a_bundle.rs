//! On a node whose API server and kubelet have ClusterTrustBundles: pods by ConfigMap and pods by bundle side by side.

use anyhow::{Result, ensure};
use smidge_e2e::{
    Node, eventually, holds,
    node::{Namespace, app},
    world::SOON,
};

const WISH: &str = "{apiVersion: smidge.dev/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {sidecar: \
                    {trustFrom: clustertrustbundle}}}";

/// From where a Deployment's pods have `ca.crt`.
async fn source(node: &Node, namespace: &Namespace, name: &str) -> Result<String> {
    let path = "-ojsonpath={.items[*].spec.volumes[?(@.name=='smidge')].projected.sources[*].clusterTrustBundle.name}";
    node.api.kubectl(&["get", "pods", "-n", namespace, "-l", &format!("app={name}"), path]).await
}

async fn deploy(node: &Node, namespace: &Namespace, name: &str) -> Result<()> {
    node.api.apply(&app(namespace, name, 1)).await?;
    node.api.wait(namespace, &format!("deployment/{name}"), "condition=Available").await
}

#[tokio::test]
async fn pods_of_both_kinds_call_each_other() -> Result<()> {
    let node = Node::start_with_trust_bundles().await?;
    node.install().await?;
    let namespace = node.namespace("bundle", &["smidge.dev/inject=enabled", "smidge.dev/mode=allow"]).await?;
    let bundle = ["get", "clustertrustbundle", "smidge-trust"];
    eventually("the bundle", SOON, async || node.api.kubectl(&bundle).await).await?;
    // That the API server has bundles says nothing of kubelets: without the owner's word it is the ConfigMap.
    deploy(&node, &namespace, "web").await?;
    ensure!(source(&node, &namespace, "web").await?.is_empty(), "a bundle that nobody asked for");

    node.api.apply(WISH).await?;
    eventually("a pod by bundle", SOON, async || {
        let dry = ["run", "dry", "-n", &namespace, "--image=x", "--dry-run=server", "-ojson"];
        let pod = node.api.kubectl(&dry).await?;
        holds(pod.contains("clusterTrustBundle"), || pod)
    })
    .await?;
    deploy(&node, &namespace, "client").await?;
    ensure!(source(&node, &namespace, "client").await? == "smidge-trust", "the ConfigMap still");
    for (from, to) in [("client", "web:80"), ("web", "client:80")] {
        let call = ["testapp", "call", to, "/"];
        eventually("answer by mTLS", SOON, async || {
            let answer = node.api.exec(&namespace, &format!("deployment/{from}"), "app", &call).await?;
            holds(answer.contains("spiffe://"), || answer)
        })
        .await?;
    }
    let check = node.smidge(&["check"]).await?;
    ensure!(check.contains("✓ ClusterTrustBundle smidge-trust has the mesh's roots"), "{check}");
    Ok(())
}

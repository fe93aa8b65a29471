//! The whole path on the real node, by what a user types alone: `smidge install`, a label, `kubectl apply`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smidge_e2e::{
    Node, eventually, holds,
    node::{Namespace, app, permission},
};

/// How long a rule may take from `kubectl apply` to the sidecars, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// What the client's app gets of `web`.
async fn call(node: &Node, namespace: &Namespace, path: &str) -> Result<Value> {
    let program = ["testapp", "call", "web:80", path];
    let answer = node.api.exec(namespace, "deployment/client", "app", &program).await?;
    serde_json::from_str(&answer).with_context(|| answer)
}

async fn is_answered(node: &Node, namespace: &Namespace, path: &str, status: u16) -> Result<Value> {
    eventually(&format!("{status} on {path}"), SOON, async || {
        let answer = call(node, namespace, path).await?;
        holds(answer["status"] == status, || answer.to_string())?;
        Ok(answer)
    })
    .await
}

#[tokio::test]
async fn calls_are_denied_until_a_traffic_target_opens_their_route() -> Result<()> {
    let node = Node::meshed().await?;
    let namespace = node.namespace("shop", &["smidge.dev/inject=enabled", "smidge.dev/mode=deny"]).await?;
    for name in ["web", "client"] {
        node.api.apply(&app(&namespace, name, 1)).await?;
    }
    for name in ["deployment/web", "deployment/client"] {
        node.api.wait(&namespace, name, "condition=Available").await?;
    }
    is_answered(node, &namespace, "/books", 403).await?;
    let books = "{matches: [{name: read, pathRegex: /books, methods: [GET]}]}";
    node.api.apply(&permission(&namespace, "client", "web", "HTTPRouteGroup", books)).await?;
    let answer = is_answered(node, &namespace, "/books", 200).await?;
    let caller = format!("spiffe://cluster.local/ns/{namespace}/sa/client");
    ensure!(answer["body"].as_str().is_some_and(|body| body.contains(&caller)), "{answer}");
    is_answered(node, &namespace, "/other", 403).await?;
    a_sidecar_is_asked_for_what_is_its_own(node, &namespace).await
}

/// Whoever calls a port of another pod's sidecar gets that sidecar's answer, never that of the caller's own.
async fn a_sidecar_is_asked_for_what_is_its_own(node: &Node, namespace: &Namespace) -> Result<()> {
    let ask = async |address: &str| {
        let url = format!("http://{address}:15021/ready");
        node.api.exec(namespace, "deployment/client", "app", &["curl", "-sf", "--max-time", "3", &url]).await
    };
    let ip = "-ojsonpath={.items[0].status.podIP}";
    let web = node.api.kubectl(&["get", "pods", "-n", namespace, "-l", "app=web", ip]).await?;
    ensure!(ask(&web).await?.trim() == "LIVE", "the sidecar of web is ready");
    // An address for documentation: nobody is there.
    ensure!(ask("192.0.2.1").await.is_err(), "an answer from where nobody is");
    Ok(())
}

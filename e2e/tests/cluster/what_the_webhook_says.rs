//! What a user hears of the webhook by kubectl: refusals, warnings, and nothing where it is not asked.

use std::process::Stdio;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{Node, Tool};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::shop::Shop;

/// What `kubectl create --dry-run=server` prints on standard output and beside it.
async fn tried(node: &Node, namespace: &str, pod: &Value) -> Result<(String, String)> {
    let mut kubectl = Command::new(Tool::Kubectl.path()?);
    kubectl.arg("--kubeconfig").arg(node.api.kubeconfig());
    kubectl.args(["create", "-n", namespace, "--dry-run=server", "-ojson", "-f", "-"]).kill_on_drop(true);
    let pipes = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(pod.to_string().as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    let [said, beside] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok((said, beside))
}

/// A pod whose one container has these fields, too.
fn pod(fields: &Value) -> Value {
    let mut container = json!({"name": "app", "image": Node::image("testapp"), "command": ["sleep", "3600"]});
    for (name, value) in fields.as_object().into_iter().flatten() {
        container[name] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {"containers": [container]}})
}

#[tokio::test]
async fn pods_that_could_go_round_the_mesh_are_refused_and_odd_ones_warned_of() -> Result<()> {
    let shop = Shop::open("hook").await?;
    let (made, said) = tried(shop.node, &shop.namespace, &pod(&json!({}))).await?;
    ensure!(made.contains("smidge-proxy") && said.is_empty(), "{said}");
    for (security, what) in [
        (json!({"runAsUser": 1337}), "runs as user 1337"),
        (json!({"capabilities": {"add": ["NET_ADMIN"]}}), "adds the capability NET_ADMIN"),
        (json!({"privileged": true}), "is privileged"),
    ] {
        let (made, said) = tried(shop.node, &shop.namespace, &pod(&json!({"securityContext": security}))).await?;
        ensure!(made.is_empty() && said.contains(what) && said.contains("smidge.dev/inject: disabled"), "{made}{said}");
    }
    for (port, what) in [
        (json!({"containerPort": 53, "protocol": "UDP"}), "port 53: UDP passes outside the mesh"),
        (json!({"containerPort": 80, "hostPort": 8099}), "callers by hostPort are outside the mesh"),
        (json!({"containerPort": 15001}), "the sidecar listens there"),
    ] {
        let (made, said) = tried(shop.node, &shop.namespace, &pod(&json!({"ports": [port]}))).await?;
        ensure!(made.contains("smidge-proxy") && said.contains("Warning: Smidge:") && said.contains(what), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn where_no_label_is_pods_stay_as_they_are() -> Result<()> {
    let node = Node::meshed().await?;
    let plain = node.namespace("plain", &[]).await?;
    for namespace in [&*plain, "kube-system", "smidge-system"] {
        let bypass = pod(&json!({"securityContext": {"runAsUser": 1337}}));
        let (made, said) = tried(node, namespace, &bypass).await?;
        // Our own namespace has its own word on such pods: Pod Security's, not the webhook's.
        ensure!(!made.contains("smidge-proxy") && !said.contains("Smidge"), "{namespace}: {made}{said}");
        ensure!(namespace == "smidge-system" || !made.is_empty(), "{namespace}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_debugger_may_not_open_the_network_of_a_meshed_pod() -> Result<()> {
    let shop = Shop::open("debugged").await?;
    shop.deploy(&["web"]).await?;
    let name = shop.field("pods", "{.items[0].metadata.name}").await?;
    let image = format!("--image={}", Node::image("testapp"));
    let debug = async |profile: &str| {
        let profile = format!("--profile={profile}");
        let fixed = ["debug", "-n", &shop.namespace, &name, &image, &profile, "--image-pull-policy=IfNotPresent"];
        shop.node.api.kubectl(&[&fixed[..], &["--", "sleep", "1"]].concat()).await
    };
    let refused = debug("netadmin").await.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(refused.contains("adds the capability NET_ADMIN"), "{refused:?}");
    let refused = debug("sysadmin").await.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(refused.contains("is privileged"), "{refused:?}");
    debug("general").await.map(drop)
}

//! How long it takes from the creation of a pod to its first answered request: with sidecars on both sides, by mTLS, and without any.
//! Beside this one test the node has nothing to do; the figures are printed, since a busy machine makes them what it likes.

use std::fs;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use smidge_e2e::{
    Node,
    node::{Namespace, app},
};

use crate::scene::{access, turn};

const ROUNDS: usize = 7;

/// Calls until it is answered; then prints the clock of the machine, which is this test's too, and the answer.
const CALL: &str = r#"
until answer=$(testapp call web:80) && case $answer in *'"status":200'*) true ;; *) false ;; esac; do :; done
cat /proc/uptime
echo "$answer"
"#;

fn pod(name: &str) -> Value {
    let container = json!({
        "name": "app", "image": Node::image("testapp"), "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", CALL],
    });
    json!({
        "metadata": {"name": name},
        "spec": {"serviceAccountName": "client", "restartPolicy": "Never", "containers": [container]},
    })
}

/// What the machine's clock in this text says, in milliseconds.
fn milliseconds(uptime: &str) -> Result<u64> {
    let seconds: f64 = uptime.split_whitespace().next().context("no clock")?.parse()?;
    Ok((seconds * 1000.0) as u64)
}

/// Creates the pod and waits for its end: milliseconds from one to its answer, and the answer.
async fn first_call(node: &Node, namespace: &Namespace, name: &str) -> Result<(u64, String)> {
    let pods: Api<Pod> = Api::namespaced(node.api.client().await?, namespace);
    let pod = serde_json::from_value(pod(name))?;
    let begun = milliseconds(&fs::read_to_string("/proc/uptime")?)?;
    pods.create(&PostParams::default(), &pod).await?;
    node.api.wait(namespace, &format!("pod/{name}"), "jsonpath={.status.phase}=Succeeded").await?;
    let said = node.api.logs(namespace, name, "app").await?;
    Ok((milliseconds(&said)?.saturating_sub(begun), said))
}

/// A namespace with a server that `client` may call.
async fn place(node: &Node, name: &str, labels: &[&str]) -> Result<Namespace> {
    let namespace = node.namespace(name, labels).await?;
    node.api.apply(&app(&namespace, "web", 1)).await?;
    node.api.apply(&access(&namespace)).await?;
    node.api.wait(&namespace, "deployment/web", "condition=Available").await?;
    Ok(namespace)
}

#[tokio::test]
async fn its_first_call_is_answered_soon() -> Result<()> {
    let _turn = turn().await;
    let node = Node::meshed().await?;
    if !node.is_own() {
        return Ok(());
    }
    let meshed = place(node, "joins", &["smidge.dev/inject=enabled", "smidge.dev/mode=deny"]).await?;
    let plain = place(node, "joins-plain", &[]).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let name = format!("caller-{round}");
        let (took, answer) = first_call(node, &meshed, &name).await?;
        ensure!(answer.contains(&format!("spiffe://cluster.local/ns/{meshed}/sa/client")), "no mTLS: {answer}");
        with.push(took);
        without.push(first_call(node, &plain, &name).await?.0);
    }
    for (what, mut took) in [("through both sidecars by mTLS", with), ("without sidecars", without)] {
        took.sort_unstable();
        println!("from a pod's creation to its first answered request, {what}: {} ms ({took:?})", took[ROUNDS / 2]);
    }
    Ok(())
}

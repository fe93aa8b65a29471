//! A meshed namespace with apps in it, and calls between them.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use smidge_e2e::{
    Node, eventually, holds,
    node::{Namespace, app, every_route, permission},
};

/// How long a rule may take from `kubectl apply` to the sidecars, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A namespace in `deny` mode on the node that has Smidge.
pub(crate) struct Shop {
    pub(crate) node: &'static Node,
    pub(crate) namespace: Namespace,
}

impl Shop {
    pub(crate) async fn open(name: &str) -> Result<Self> {
        let node = Node::meshed().await?;
        let namespace = node.namespace(name, &["smidge.dev/inject=enabled", "smidge.dev/mode=deny"]).await?;
        // The operator hears of a new namespace a moment after the API server asks about its first pod, which is refused then.
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: first, namespace: {namespace}}}, \
             spec: {{containers: [{{name: app, image: app}}]}}}}"
        );
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(&file, pod)?;
        let file = file.path().to_string_lossy().into_owned();
        let first = ["create", "--dry-run=server", "-f", &file];
        eventually("webhook that knows the namespace", SOON, async || node.api.kubectl(&first).await).await?;
        Ok(Self { node, namespace })
    }

    /// Deploys the tests' app under each of these names and waits until all are available.
    pub(crate) async fn deploy(&self, names: &[&str]) -> Result<()> {
        deploy(self.node, &self.namespace, names).await
    }

    pub(crate) async fn apply(&self, yaml: &str) -> Result<()> {
        self.node.api.apply(&yaml.replace("{namespace}", &self.namespace)).await.map(drop)
    }

    /// The answer of `kubectl get <arguments> -o jsonpath=<path>` here.
    pub(crate) async fn field(&self, object: &str, path: &str) -> Result<String> {
        let path = format!("-ojsonpath={path}");
        self.node.api.kubectl(&["get", "-n", &self.namespace, object, &path]).await
    }

    /// What `testapp <arguments>` in the pods of `from` prints.
    pub(crate) async fn run(&self, from: &str, arguments: &[&str]) -> Result<Value> {
        run(self.node, &self.namespace, from, arguments).await
    }

    /// The first answer to `testapp call <arguments>` that has this status.
    pub(crate) async fn answered(&self, from: &str, arguments: &[&str], status: u16) -> Result<Value> {
        eventually(&format!("{status} for {from} on {arguments:?}"), SOON, async || {
            let answer = self.run(from, &[&["call"], arguments].concat()).await?;
            holds(answer["status"] == status, || answer.to_string())?;
            Ok(answer)
        })
        .await
    }

    /// Lets the service account `source` call `destination` by HTTP, on every path.
    pub(crate) async fn allow(&self, source: &str, destination: &str) -> Result<()> {
        self.apply(&every_route(&self.namespace, source, destination)).await
    }

    /// Lets it speak TCP to these ports of the pods. A target of its own: beside HTTP routes, a TCPRoute would narrow them.
    pub(crate) async fn allow_tcp(&self, source: &str, destination: &str, ports: &[u16]) -> Result<()> {
        let spec = format!("{{matches: {{ports: {ports:?}}}}}");
        self.apply(&permission(&self.namespace, source, destination, "TCPRoute", &spec)).await
    }
}

pub(crate) async fn deploy(node: &Node, namespace: &str, names: &[&str]) -> Result<()> {
    for name in names {
        node.api.apply(&app(namespace, name, 1)).await?;
    }
    for name in names {
        node.api.wait(namespace, &format!("deployment/{name}"), "condition=Available").await?;
    }
    Ok(())
}

pub(crate) async fn run(node: &Node, namespace: &str, from: &str, arguments: &[&str]) -> Result<Value> {
    let program = [&["testapp"], arguments].concat();
    let from = if from.contains('/') { from.to_owned() } else { format!("deployment/{from}") };
    let answer = node.api.exec(namespace, &from, "app", &program).await?;
    serde_json::from_str(&answer).with_context(|| answer)
}

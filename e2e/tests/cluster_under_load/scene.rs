//! A meshed namespace in deny mode where one service account may call `web`, and a pod of that account does so all the time.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smidge_e2e::{
    Load, Node,
    load::Summary,
    node::{Namespace, app, every_route},
};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// Where the control plane is.
pub(crate) const SYSTEM: &str = "smidge-system";
/// How long a ConfigMap takes into the pods of the tests' node at most, as told to the operator: its kubelet looks every 10 s,
/// half as long again by its jitter.
const PROPAGATION: &str = "--trust-propagation=20s";
const RATE: u64 = 200;

/// The node for one test alone, with the load running.
pub(crate) struct Scene {
    pub(crate) node: &'static Node,
    pub(crate) namespace: Namespace,
    load: Load<'static>,
    began: Instant,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    /// Waits for its turn; the load has got its first answer when it comes back.
    pub(crate) async fn begin(name: &str, replicas: u32) -> Result<Self> {
        let _turn = turn().await;
        let node = prepared().await?;
        let namespace = node.namespace(name, &["smidge.dev/inject=enabled", "smidge.dev/mode=deny"]).await?;
        node.api.apply(&app(&namespace, "web", replicas)).await?;
        node.api.apply(&access(&namespace)).await?;
        node.api.wait(&namespace, "deployment/web", "condition=Available").await?;
        let rate = RATE.to_string();
        let arguments = ["web:80", "/", "--rate", &rate, "--connections", "8"];
        let load = Load::start(&node.api, &namespace, "client", "client", &arguments).await?;
        Ok(Self { node, namespace, load, began: Instant::now(), _turn })
    }

    /// Waits while so many seconds' worth of requests are answered; none has failed until then.
    pub(crate) async fn goes_on_for(&self, seconds: u64) -> Result<Summary> {
        for _ in 0..seconds {
            self.load.wait_for_more(RATE).await?.must_not_have_failed()?;
        }
        self.load.summary().await
    }

    /// What was done has harmed nobody, then and a moment later.
    pub(crate) async fn nobody_noticed(&self, what: &str) -> Result<()> {
        let seen = self.goes_on_for(3).await.with_context(|| what.to_owned())?;
        println!("{what}: none of {} requests failed after {:?}", seen.sent, self.began.elapsed());
        Ok(())
    }

    /// Ends the load, which has had no failure. How heavy it was depends on what else the machine has to do.
    pub(crate) async fn end(self) -> Result<()> {
        let seen = self.load.stop().await?;
        seen.must_not_have_failed()?;
        println!("{} requests per second", seen.sent / self.began.elapsed().as_secs().max(1));
        Ok(())
    }

    /// kubectl in the test's namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.node.api.kubectl(&[&["-n", &self.namespace], arguments].concat()).await
    }

    /// How many pods of an app there are, also those that are about to go.
    pub(crate) async fn pods(&self, name: &str) -> Result<usize> {
        pods(self.node, &self.namespace, &format!("app={name}")).await.map(|pods| pods.len())
    }

    /// Asks for a pod without creating it: it would get its sidecar.
    pub(crate) async fn a_pod_may_join(&self) -> Result<()> {
        let image = format!("--image={}", Node::image("testapp"));
        let answer = self.kubectl(&["run", "asked", &image, "--dry-run=server", "-ojson"]).await?;
        let pod: Value = serde_json::from_str(&answer)?;
        let of = pod["spec"]["initContainers"].as_array().into_iter().flatten();
        ensure!(of.into_iter().any(|container| container["name"] == "smidge-proxy"), "no sidecar: {answer}");
        Ok(())
    }
}

/// The node for one test alone.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// Smidge as it is installed, with what it has to know about this node's kubelet.
async fn prepared() -> Result<&'static Node> {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let node = Node::meshed().await?;
    PREPARED.get_or_try_init(|| with_argument(node, PROPAGATION)).await?;
    Ok(node)
}

/// Gives the operator one more argument; comes back when all of its replicas run with it.
pub(crate) async fn with_argument(node: &Node, argument: &str) -> Result<()> {
    let patch = format!(r#"[{{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"{argument}"}}]"#);
    node.api.kubectl(&["patch", "-n", SYSTEM, "deployment/smidge-operator", "--type=json", "-p", &patch]).await?;
    operator_is_rolled_out(node).await
}

pub(crate) async fn operator_is_rolled_out(node: &Node) -> Result<()> {
    rolled_out(node, SYSTEM, "smidge-operator").await
}

/// Waits until all replicas are the new ones, and available.
pub(crate) async fn rolled_out(node: &Node, namespace: &str, name: &str) -> Result<()> {
    let name = format!("deployment/{name}");
    node.api.kubectl(&["rollout", "status", "-n", namespace, &name, "--timeout=180s"]).await.map(drop)
}

/// The names of the pods with a label.
pub(crate) async fn pods(node: &Node, namespace: &str, label: &str) -> Result<Vec<String>> {
    let names = node.api.kubectl(&["get", "pods", "-n", namespace, "-l", label, "-oname"]).await?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// The service account `client` may call `web`.
pub(crate) fn access(namespace: &Namespace) -> String {
    let account =
        format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: client, namespace: {namespace}}}}}");
    format!("{account}\n---{}", every_route(namespace, "client", "web"))
}

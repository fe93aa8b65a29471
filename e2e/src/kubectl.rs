//! What a user types: kubectl against the tests' API server. The tests apply YAML as users do and read what users would see.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::{ApiServer, eventually};
use crate::{Tool, repository};

/// How long a cluster may take to come to what is waited for.
const WAIT: Duration = Duration::from_secs(120);

/// A way from this machine to a pod, by way of the API server and the kubelet.
#[derive(Debug)]
pub struct PortForward {
    /// Where it begins.
    pub address: SocketAddr,
    // kubectl would end if it could not print any more.
    _lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl ApiServer {
    /// Runs kubectl; the answer is what it printed, the error what it complained about.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with_input(arguments, "").await
    }

    /// `kubectl apply --server-side -f -`.
    pub async fn apply(&self, yaml: &str) -> Result<String> {
        self.kubectl_with_input(&["apply", "--server-side", "--force-conflicts", "-f", "-"], yaml).await
    }

    /// `kubectl create -f -`, for what is asked by creating (reviews); the answer is the object as JSON.
    pub async fn create(&self, yaml: &str) -> Result<String> {
        self.kubectl_with_input(&["create", "-o", "json", "-f", "-"], yaml).await
    }

    /// `kubectl delete -f -`; returns without waiting for finalizers.
    pub async fn delete(&self, yaml: &str) -> Result<String> {
        self.kubectl_with_input(&["delete", "--ignore-not-found", "--wait=false", "-f", "-"], yaml).await
    }

    /// Creates a namespace with labels (`smidge.dev/inject=enabled`). Names are up to the test: one that no other test has.
    pub async fn create_namespace(&self, name: &str, labels: &[&str]) -> Result<()> {
        self.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")).await?;
        if !labels.is_empty() {
            self.kubectl(&[&["label", "--overwrite", "namespace", name], labels].concat()).await?;
        }
        Ok(())
    }

    /// Merges `patch` (JSON) into the status of an object, as a controller or kubelet would.
    pub async fn patch_status(&self, namespace: &str, object: &str, patch: &str) -> Result<()> {
        let patch = format!("{{\"status\": {patch}}}");
        let arguments = ["patch", "-n", namespace, object, "--subresource=status", "--type=merge", "-p", &patch];
        self.kubectl(&arguments).await.map(drop)
    }

    /// Applies `manifests/crds/` and waits until the API server serves them. May be called by every test.
    pub async fn install_crds(&self) -> Result<()> {
        let folder = repository().join("manifests/crds");
        let folder = folder.to_str().context("the checkout's path is not UTF-8")?;
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", folder]).await?;
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", folder]).await?;
        self.discovers_them().await
    }

    /// Established is said a moment before discovery knows them.
    async fn discovers_them(&self) -> Result<()> {
        eventually("discovery of the new kinds", Duration::from_secs(30), async || {
            self.kubectl(&["get", "trafficsplits,traffictargets,httproutegroups,meshconfigs", "-A"]).await
        })
        .await
        .map(drop)
    }

    /// The same with those that a `smidge` has built in.
    pub(crate) async fn install_crds_of(&self, program: &Path) -> Result<()> {
        let printed = Command::new(program).arg("crds").output().await?;
        self.apply(&String::from_utf8(printed.stdout)?).await?;
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crds", "--all"]).await?;
        self.discovers_them().await
    }

    /// Waits for what `kubectl wait --for` can say of objects (`pod/web`, `condition=Ready`); they may not exist yet.
    /// The error tells what the namespace's pods and events say.
    pub async fn wait(&self, namespace: &str, object: &str, condition: &str) -> Result<()> {
        let condition = format!("--for={condition}");
        let arguments = ["wait", "-n", namespace, object, &condition, "--timeout=5s"];
        let waited =
            eventually(&format!("{condition} of {object}"), WAIT, async || self.kubectl(&arguments).await).await;
        let Err(error) = waited else { return Ok(()) };
        let seen = self.kubectl(&["get", "pods,events", "-n", namespace, "-o", "wide"]).await.unwrap_or_default();
        Err(error.context(seen))
    }

    /// Runs a program in a container, without a shell; the answer is its standard output.
    pub async fn exec(&self, namespace: &str, pod: &str, container: &str, program: &[&str]) -> Result<String> {
        self.kubectl(&[&["exec", "-n", namespace, pod, "-c", container, "--"], program].concat()).await
    }

    /// What a container has printed so far.
    pub async fn logs(&self, namespace: &str, pod: &str, container: &str) -> Result<String> {
        self.kubectl(&["logs", "-n", namespace, pod, "-c", container]).await
    }

    /// Opens a port of this machine that leads to `port` of a pod or Service, until the answer is dropped.
    pub async fn port_forward(&self, namespace: &str, object: &str, port: u16) -> Result<PortForward> {
        let mut command = Command::new(Tool::Kubectl.path()?);
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(["port-forward", "-n", namespace, object]);
        let mut child = command.arg(format!(":{port}")).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("kubectl has no output")?).lines();
        let line = lines.next_line().await?.context("kubectl port-forward ended")?;
        let address = line.split_whitespace().nth(2).context("kubectl names no address")?.parse()?;
        Ok(PortForward { address, _lines: lines, _child: child })
    }

    async fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(Tool::Kubectl.path()?);
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments).kill_on_drop(true);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
        let feed = async move {
            // kubectl may end before it has read all; its own message says why.
            let _ = stdin.write_all(input.as_bytes()).await;
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        let output = output?;
        if !output.status.success() {
            bail!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

//! What a user types: kubectl against the tests' API server. The tests apply YAML as users do and read what users would see.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{ApiServer, eventually};
use crate::{Tool, repository};

impl ApiServer {
    /// Runs kubectl; the answer is what it printed, the error what it complained about.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with_input(arguments, "").await
    }

    /// `kubectl apply --server-side -f -`.
    pub async fn apply(&self, yaml: &str) -> Result<String> {
        self.kubectl_with_input(&["apply", "--server-side", "--force-conflicts", "-f", "-"], yaml).await
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
        // Established is said a moment before discovery knows them.
        eventually("discovery of the new kinds", Duration::from_secs(30), async || {
            self.kubectl(&["get", "trafficsplits,traffictargets,httproutegroups,meshconfigs", "-A"]).await
        })
        .await
        .map(drop)
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

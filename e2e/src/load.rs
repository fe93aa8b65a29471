//! A constant rate of requests from a pod of the cluster, each answer counted: how a test knows that not one has failed.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{ApiServer, Node, eventually, holds};

const PATIENCE: Duration = Duration::from_secs(60);

/// A pod that sends requests, until it is told to stop.
#[derive(Debug)]
pub struct Load<'a> {
    api: &'a ApiServer,
    namespace: String,
    pod: String,
}

/// What the load has seen.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Summary {
    /// Requests that have ended.
    pub sent: u64,
    /// Answers that were not 2xx, and requests that got none.
    pub failed: u64,
    /// Answers by the name of the pod that gave them.
    pub by_server: BTreeMap<String, u64>,
    /// Answers by status.
    pub by_status: BTreeMap<String, u64>,
    /// A few of the failures, in words.
    pub failures: Vec<String>,
    done: bool,
}

impl<'a> Load<'a> {
    /// Starts the pod `name`, running as the service account `account`, which must exist, and waits for its first answer.
    /// `arguments` are those of `testapp load`: the address (`web:80`), the path, `--rate 200`, `--connections 8`.
    /// In a meshed namespace it gets a sidecar like any pod.
    pub async fn start(
        api: &'a ApiServer,
        namespace: &str,
        name: &str,
        account: &str,
        arguments: &[&str],
    ) -> Result<Self> {
        api.apply(&pod(namespace, name, account, arguments)).await?;
        let load = Self { api, namespace: namespace.to_owned(), pod: name.to_owned() };
        load.wait_for("first request", |seen| seen.sent > 0).await?;
        Ok(load)
    }

    /// What it has seen so far.
    pub async fn summary(&self) -> Result<Summary> {
        self.wait_for("word of the load", |_| true).await
    }

    /// While containerd is away, its log cannot be read.
    async fn read(&self) -> Result<Summary> {
        let arguments = ["logs", "-n", &self.namespace, &self.pod, "-c", "app", "--tail=1"];
        let line = self.api.kubectl(&arguments).await?;
        serde_json::from_str(&line).with_context(|| format!("the load prints {line:?}"))
    }

    /// Waits until so many more requests have ended.
    pub async fn wait_for_more(&self, requests: u64) -> Result<Summary> {
        let until = self.summary().await?.sent + requests;
        self.wait_for("more requests", |seen| seen.sent >= until).await
    }

    /// Waits until what it has seen fulfils the condition.
    pub async fn wait_for(&self, what: &str, condition: impl Fn(&Summary) -> bool) -> Result<Summary> {
        eventually(what, PATIENCE, async || {
            let seen = self.read().await?;
            holds(condition(&seen), || format!("{seen:?}"))?;
            Ok(seen)
        })
        .await
    }

    /// Lets the requests that are out end, and says what it has seen in all.
    pub async fn stop(self) -> Result<Summary> {
        self.api.exec(&self.namespace, &self.pod, "app", &["sh", "-c", "kill -TERM 1"]).await?;
        let seen = self.wait_for("end of the load", |seen| seen.done).await?;
        let arguments = ["delete", "pod", "-n", &self.namespace, &self.pod, "--wait=false"];
        self.api.kubectl(&arguments).await?;
        Ok(seen)
    }
}

impl Summary {
    /// # Errors
    /// When one request has failed, with what is known of it.
    pub fn must_not_have_failed(&self) -> Result<()> {
        ensure!(self.sent > 0, "no request was sent");
        ensure!(self.failed == 0, "{} of {} requests failed: {:#?}", self.failed, self.sent, self.failures);
        Ok(())
    }
}

fn pod(namespace: &str, name: &str, account: &str, arguments: &[&str]) -> String {
    let image = Node::image("testapp");
    let command = [&["testapp", "load"], arguments].concat();
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}, spec: {{\
         serviceAccountName: {account}, restartPolicy: Never, terminationGracePeriodSeconds: 5, containers: [{{\
         name: app, image: \"{image}\", imagePullPolicy: IfNotPresent, command: {command:?}}}]}}}}"
    )
}

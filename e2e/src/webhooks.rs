//! The way from a real API server to the webhooks of an operator that runs beside it. No Service has an address that leads
//! anywhere here, so the Service is one of type ExternalName, and what is asked by it goes to a port of this machine. Certificates
//! and `caBundle` are those of a cluster.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    ApiServer, Daemon, eventually, repository,
    secure::{CONTROL_PLANE, account},
    world::{SOON, beside_this_test},
};

/// An operator that answers the API server, and serves nobody else.
#[derive(Debug)]
pub struct Answering {
    /// Its process.
    pub daemon: Daemon,
    /// Where it answers.
    pub port: u16,
}

impl Answering {
    /// Starts one with the rights that the manifests give it, and waits until the API server has objects converted by it. The
    /// kinds are installed already; `folder` is for its log and kubeconfig.
    pub async fn start(api: &ApiServer, folder: &Path) -> Result<Self> {
        let port = crate::free_port()?;
        let kubeconfig = account(api, folder).await?;
        lead_to(api, port).await?;
        let answering = Self { daemon: Self::run(&kubeconfig, port, folder)?, port };
        converts(api).await.with_context(|| answering.daemon.log_end())?;
        Ok(answering)
    }

    /// Starts it again after its end.
    pub async fn again(&mut self, api: &ApiServer, folder: &Path) -> Result<()> {
        self.daemon = Self::run(&folder.join("operator.kubeconfig"), self.port, folder)?;
        converts(api).await.with_context(|| self.daemon.log_end())
    }

    fn run(kubeconfig: &Path, port: u16, folder: &Path) -> Result<Daemon> {
        let mut command = Command::new(beside_this_test("smidge")?);
        command.args(["operator", "--xds-address", "127.0.0.1:0", "--replica-address", "127.0.0.1:0"]);
        command.args(["--webhook-address", &format!("127.0.0.1:{port}")]);
        command.env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info,smidge=debug");
        command.env("POD_NAMESPACE", CONTROL_PLANE).env("POD_NAME", "operator-0");
        Daemon::start("smidge operator", &command, &folder.join("operator.log"))
    }
}

/// From now on what the API server asks of the Service `smidge-webhook` goes to this port: conversions, and the webhooks of
/// those configurations that are there. The control plane's namespace has to be there.
pub async fn lead_to(api: &ApiServer, port: u16) -> Result<()> {
    let name = smidge_crds::WEBHOOK_SERVICE;
    // One with an address cannot become one without.
    api.kubectl(&["delete", "service", "-n", CONTROL_PLANE, name, "--ignore-not-found"]).await?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": CONTROL_PLANE},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    });
    api.apply(&service.to_string()).await?;
    for crd in smidge_crds::converted() {
        let patch =
            json!([{"op": "replace", "path": "/spec/conversion/webhook/clientConfig/service/port", "value": port}]);
        let crd = format!("crd/{}", crd.metadata.name.unwrap_or_default());
        api.kubectl(&["patch", &crd, "--type=json", "-p", &patch.to_string()]).await?;
    }
    for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        lead_configurations(api, kind, port).await?;
    }
    Ok(())
}

async fn lead_configurations(api: &ApiServer, kind: &str, port: u16) -> Result<()> {
    let all: Value = serde_json::from_str(&api.kubectl(&["get", kind, "-ojson"]).await?)?;
    for configuration in all["items"].as_array().into_iter().flatten() {
        let webhooks = configuration["webhooks"].as_array().map_or(0, Vec::len);
        let path = |at| format!("/webhooks/{at}/clientConfig/service/port");
        let patch: Vec<_> = (0..webhooks).map(|at| json!({"op": "add", "path": path(at), "value": port})).collect();
        let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
        api.kubectl(&["patch", kind, name, "--type=json", "-p", &json!(patch).to_string()]).await?;
    }
    Ok(())
}

/// Applies `manifests/webhook.yaml`, with a Service that leads to this port.
pub async fn install_webhooks(api: &ApiServer, port: u16) -> Result<()> {
    api.apply(&std::fs::read_to_string(repository().join("manifests/webhook.yaml"))?).await?;
    lead_to(api, port).await
}

/// Waits until the API server has an object converted: from the form in which it is written to that in which it is stored.
pub async fn converts(api: &ApiServer) -> Result<()> {
    let old = "{apiVersion: specs.smi-spec.io/v1alpha1, kind: TCPRoute, metadata: {name: conversion-probe, namespace: default}}";
    eventually("conversions", SOON, async || api.apply(old).await).await?;
    api.kubectl(&["delete", "tcproute", "-n", "default", "conversion-probe"]).await.map(drop)
}

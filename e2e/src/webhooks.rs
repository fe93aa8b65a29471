//! The way from a real API server to the webhooks of an operator that runs beside it. No Service has an address that leads
//! anywhere here, so the Service is one of type ExternalName, and what is asked by it goes to an address of this machine alone.
//! Certificates and `caBundle` are those of a cluster.

use std::{net::Ipv4Addr, path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    ApiServer, Daemon, eventually,
    secure::{CONTROL_PLANE, account},
    world::{SOON, beside_this_test},
};

/// An operator that answers the API server, and serves nobody else.
#[derive(Debug)]
pub struct Answering {
    /// Its process.
    pub daemon: Daemon,
    /// Where it answers, on port 443.
    pub address: Ipv4Addr,
}

impl Answering {
    /// Starts one with the rights that the manifests give it, and waits until the API server has objects converted by it. The
    /// kinds are installed already; `folder` is for its log and kubeconfig.
    pub async fn start(api: &ApiServer, folder: &Path) -> Result<Self> {
        let address = own_address()?;
        let kubeconfig = account(api, folder).await?;
        lead_to(api, address).await?;
        let answering = Self { daemon: Self::run(&kubeconfig, address, folder)?, address };
        converts(api).await.with_context(|| answering.daemon.log_end())?;
        Ok(answering)
    }

    /// Starts it again after its end.
    pub async fn again(&mut self, api: &ApiServer, folder: &Path) -> Result<()> {
        self.daemon = Self::run(&folder.join("operator.kubeconfig"), self.address, folder)?;
        converts(api).await.with_context(|| self.daemon.log_end())
    }

    fn run(kubeconfig: &Path, address: Ipv4Addr, folder: &Path) -> Result<Daemon> {
        let mut command = Command::new(beside_this_test("smidge")?);
        command.args(["operator", "--xds-address", "127.0.0.1:0", "--replica-address", "127.0.0.1:0"]);
        command.args(["--webhook-address", &format!("{address}:443")]);
        command.env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info,smidge=debug");
        command.env("POD_NAMESPACE", CONTROL_PLANE).env("POD_NAME", "operator-0");
        Daemon::start("smidge operator", &command, &folder.join("operator.log"))
    }
}

/// An address of this machine that no other test has, for webhooks on the port that the manifests name: 443.
pub fn own_address() -> Result<Ipv4Addr> {
    let [high, low] = crate::free_port()?.to_be_bytes();
    Ok(Ipv4Addr::new(127, high, low, 1))
}

/// From now on what the API server asks of the Service `smidge-webhook` goes to this address. The control plane's namespace has to
/// be there.
pub async fn lead_to(api: &ApiServer, address: Ipv4Addr) -> Result<()> {
    let name = smidge_crds::WEBHOOK_SERVICE;
    // One with an address cannot become one without.
    api.kubectl(&["delete", "service", "-n", CONTROL_PLANE, name, "--ignore-not-found"]).await?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": CONTROL_PLANE},
        "spec": {"type": "ExternalName", "externalName": address},
    });
    api.apply(&service.to_string()).await.map(drop)
}

/// Waits until the API server has an object converted: from the form in which it is written to that in which it is stored.
pub async fn converts(api: &ApiServer) -> Result<()> {
    let old = "{apiVersion: specs.smi-spec.io/v1alpha1, kind: TCPRoute, metadata: {name: conversion-probe, namespace: default}}";
    eventually("conversions", SOON, async || api.apply(old).await).await?;
    api.kubectl(&["delete", "tcproute", "-n", "default", "conversion-probe"]).await.map(drop)
}

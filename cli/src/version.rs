//! `smidge version`: of this program, and of the control plane on a cluster.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use serde::Serialize;
use smidge_installer::OPERATOR;
use smidge_operator::cluster::connect;

use crate::{
    args::{Shape, Version},
    paint::out,
    seen::runtime,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    /// Of this program.
    client: &'static str,
    /// What the cluster runs; absent: nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    control_plane: Option<ControlPlane>,
}

#[derive(Serialize)]
struct ControlPlane {
    namespace: String,
    /// The image of its pods: its tag is its version.
    image: String,
    /// How many replicas are available.
    available: i32,
    /// How many there should be.
    replicas: i32,
}

pub(crate) fn run(args: &Version) -> anyhow::Result<ExitCode> {
    let control_plane = match args.cluster {
        true => Some(runtime()?.block_on(async {
            let (client, _) = connect().await?;
            control_plane(&client, &args.namespace).await
        })?),
        false => None,
    };
    let versions = Versions { client: env!("CARGO_PKG_VERSION"), control_plane };
    match args.output {
        Shape::Json => writeln!(out(), "{}", serde_json::to_string_pretty(&versions)?)?,
        Shape::Text => write!(out(), "{}", text(&versions))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(versions: &Versions) -> String {
    let own = format!("smidge {}\n", versions.client);
    let plane = versions.control_plane.as_ref().map(|plane| {
        let ControlPlane { namespace, image, available, replicas } = plane;
        format!("control plane in {namespace}: {image} ({available} of {replicas} replicas available)\n")
    });
    own + &plane.unwrap_or_default()
}

async fn control_plane(client: &Client, namespace: &str) -> anyhow::Result<ControlPlane> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found =
        api.get_opt(OPERATOR).await.with_context(|| format!("cannot read Deployment {namespace}/{OPERATOR}"))?;
    let deployment = found.with_context(|| {
        format!("no control plane in namespace {namespace}: `smidge install` makes one, -n names another namespace")
    })?;
    let spec = deployment.spec.unwrap_or_default();
    let replicas = spec.replicas.unwrap_or(1);
    let image = spec.template.spec.and_then(|pod| pod.containers.into_iter().next()?.image).unwrap_or_default();
    let available = deployment.status.and_then(|status| status.available_replicas).unwrap_or(0);
    Ok(ControlPlane { namespace: namespace.to_owned(), image, available, replicas })
}

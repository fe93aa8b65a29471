//! `smidge mode`: what happens to calls that nothing allows, for a namespace or the whole mesh. Old → new, and what that means.

use std::process::ExitCode;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use smidge_crds::{
    MeshConfig,
    smidge::{INJECT, MODE, v1alpha1::NAME},
};
use smidge_operator::cluster::connect;

use crate::{
    args::reads::{Mode, Wanted},
    seen::runtime,
};

/// Under which name the label and the field are written.
const FIELD_MANAGER: &str = "smidge-mode";

pub(crate) fn run(args: &Mode) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let (client, _) = connect().await?;
        match &args.namespace {
            Some(namespace) => of_namespace(&client, namespace, args.mode).await?,
            None => of_mesh(&client, args.mode).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn of_namespace(client: &Client, name: &str, wanted: Wanted) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let cannot = |what| format!("cannot {what} namespace {name}");
    let Some(namespace) = namespaces.get_opt(name).await.with_context(|| cannot("read"))? else {
        bail!("there is no namespace {name}");
    };
    let label = namespace.labels().get(MODE).cloned();
    let before = match &label {
        Some(own) => own.clone(),
        None => format!("{} (the mesh's)", mesh_mode(client).await?),
    };
    if label.as_deref() == Some(wanted.as_str()) {
        println!("✓ namespace {name}: {before} already; nothing is changed");
    } else {
        let patch = json!({"metadata": {"labels": {MODE: wanted.as_str()}}});
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        namespaces.patch(name, &parameters, &Patch::Merge(patch)).await.with_context(|| cannot("label"))?;
        println!("✓ namespace {name}: {before} → {}", wanted.as_str());
    }
    println!("  {}", meaning(wanted));
    if namespace.labels().get(INJECT).is_none_or(|value| value != "enabled") {
        println!(
            "! it is not in the mesh, so nothing is enforced yet: kubectl label namespace {name} {INJECT}=enabled"
        );
    }
    Ok(())
}

async fn of_mesh(client: &Client, wanted: Wanted) -> anyhow::Result<()> {
    let configs: Api<MeshConfig> = Api::all(client.clone());
    let before = mesh_mode(client).await?;
    if before == wanted.as_str() {
        println!("✓ the mesh: {before} already; nothing is changed");
    } else {
        write(&configs, wanted).await.with_context(|| format!("cannot write MeshConfig {NAME}"))?;
        println!("✓ the mesh: {before} → {}", wanted.as_str());
    }
    println!("  {}", meaning(wanted));
    let others = Api::<Namespace>::all(client.clone()).list(&ListParams::default().labels(MODE)).await;
    for namespace in others.context("cannot list the namespaces that have a mode of their own")? {
        let own = namespace.labels().get(MODE).map_or("", String::as_str);
        println!("• namespace {} has its own: {own}", namespace.name_any());
    }
    Ok(())
}

/// By server-side apply: only this field is written, whether the object is there or not.
async fn write(configs: &Api<MeshConfig>, wanted: Wanted) -> kube::Result<()> {
    let config = json!({
        "apiVersion": MeshConfig::api_version(&()),
        "kind": MeshConfig::kind(&()),
        "metadata": {"name": NAME},
        "spec": {"mode": wanted.as_str()},
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    configs.patch(NAME, &parameters, &Patch::Apply(config)).await.map(drop)
}

/// What holds where no namespace says otherwise.
async fn mesh_mode(client: &Client) -> anyhow::Result<String> {
    let configs: Api<MeshConfig> = Api::all(client.clone());
    let config = configs.get_opt(NAME).await.with_context(|| {
        format!("cannot read MeshConfig {NAME}: is Smidge installed (smidge check), and may you read it?")
    })?;
    let mode = config.map(|config| config.spec.mode).unwrap_or_default();
    Ok(json!(mode).as_str().unwrap_or_default().to_owned())
}

fn meaning(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Deny => {
            "what no TrafficTarget or IngressBackend allows is refused: HTTP with 403, TCP at the next connection; without a word on \
             mtls callers outside the mesh are closed"
        }
        Wanted::Audit => {
            "every call of the mesh is served; what deny would refuse is counted (envoy_smidge_audit_refusals_total) and logged \
             (smidge proxy logs POD)"
        }
        Wanted::Allow => "every call is served, and none is looked at",
    }
}

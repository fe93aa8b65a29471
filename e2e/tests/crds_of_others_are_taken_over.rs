//! `smidge install` over CRDs that something else has installed: no object is lost, each can be read in every version, and in the end
//! all are stored in the newest.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    ApiServer, eventually, repository,
    secure::CONTROL_PLANE,
    webhooks::Answering,
    world::{SOON, beside_this_test},
};

/// Objects that both CRDs take.
const OBJECTS: &str = "
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: web, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: web, namespace: shop}
  sources: [{kind: ServiceAccount, name: buyer, namespace: shop}]
  rules: [{kind: HTTPRouteGroup, name: all, matches: [get]}]
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: all, namespace: shop}
spec: {matches: [{name: get, methods: [GET], headers: [{cookie: beta}]}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: all, namespace: shop}
spec: {matches: {ports: [80]}}
";

const TESTED: &str = "{service: web, backends: [{service: v1, weight: 90}, {service: v2, weight: 10}]}";
/// Their CRDs have a number as weight; ours do not take this one.
const FRACTION: &str = "{service: other, backends: [{service: v1, weight: 0.5}]}";

fn split(version: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: split.smi-spec.io/{version}, kind: TrafficSplit, metadata: {{name: {name}, namespace: shop}}, spec: {spec}}}"
    )
}

fn smidge(api: &ApiServer, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(beside_this_test("smidge")?);
    command.args(arguments).env("KUBECONFIG", api.kubeconfig()).env_remove("RUST_LOG");
    command.output().context("smidge")
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A cluster on which these CRDs are in use, their splits in this version.
async fn cluster(crds: &str, version: &str) -> Result<ApiServer> {
    let api = ApiServer::start().await?;
    api.apply(&std::fs::read_to_string(repository().join("testdata/foreign").join(crds))?).await?;
    api.create_namespace("shop", &[]).await?;
    for object in [OBJECTS, &split(version, "tested", TESTED), &split(version, "fraction", FRACTION)] {
        eventually("objects of others", SOON, async || api.apply(object).await).await?;
    }
    Ok(api)
}

/// `smidge install`, with an operator of which the Deployment here can only say that it is there.
async fn install(api: &ApiServer, folder: &std::path::Path) -> Result<(Answering, String)> {
    let installed = smidge(api, &["install", "--no-wait"])?;
    ensure!(installed.status.success(), "{}", printed(&installed));
    let operator = Answering::start(api, folder).await?;
    let there = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2});
    api.patch_status(CONTROL_PLANE, "deployment/smidge-operator", &there.to_string()).await?;
    let before = printed(&smidge(api, &["check"])?);
    Ok((operator, before))
}

async fn object(api: &ApiServer, resource: &str, name: &str) -> Result<Value> {
    let json = api.kubectl(&["get", "-n", "shop", resource, name, "-ojson"]).await?;
    Ok(serde_json::from_str(&json)?)
}

async fn stored(api: &ApiServer) -> Result<String> {
    api.kubectl(&["get", "crd", "-o", "jsonpath={range .items[*]}{.spec.names.kind}={.status.storedVersions} {end}"])
        .await
}

#[tokio::test]
async fn splits_that_osm_has_stored_as_v1alpha2_are_stored_anew() -> Result<()> {
    let api = cluster("osm.yaml", "v1alpha2").await?;
    let uid = object(&api, "trafficsplits", "tested").await?["metadata"]["uid"].clone();
    let before = printed(&smidge(&api, &["check"])?);
    let expected = "trafficsplits.split.smi-spec.io is there already: smidge install takes it over, and no object is lost: objects that \
                    are stored as v1alpha2 are stored as v1alpha4; v1alpha4, v1alpha3, v1alpha1 are served too; objects get a status";
    ensure!(before.contains(expected), "{before}");

    let folder = tempfile::tempdir()?;
    let (mut operator, unmigrated) = install(&api, folder.path()).await?;
    let expected = "! no object is stored in an older version: TrafficSplit as v1alpha2 may be";
    ensure!(unmigrated.contains(expected), "{unmigrated}");
    // One that our CRD does not take stays as it is, and is named, until somebody mends it.
    let refused = smidge(&api, &["install", "--timeout", "30s"])?;
    let expected = "objects of TrafficSplit are still stored in an older version (1), since they cannot be written as they are: shop/fraction: ";
    ensure!(!refused.status.success() && printed(&refused).contains(expected), "{}", printed(&refused));
    ensure!(object(&api, "trafficsplits", "fraction").await?["spec"]["backends"][0]["weight"] == 0.5);
    let mended = json!({"spec": {"backends": [{"service": "v1", "weight": 1}]}}).to_string();
    api.kubectl(&["patch", "-n", "shop", "trafficsplits", "fraction", "--type=merge", "-p", &mended]).await?;
    let installed = smidge(&api, &["install", "--timeout", "30s"])?;
    let expected = "✓ objects of TrafficSplit (2) are stored as v1alpha4, none as v1alpha2";
    ensure!(installed.status.success() && printed(&installed).contains(expected), "{}", printed(&installed));
    let all = stored(&api).await?;
    ensure!(all.contains("TrafficSplit=[\"v1alpha4\"]") && all.matches("\",").count() == 0, "{all}");
    let after = printed(&smidge(&api, &["check"])?);
    ensure!(!after.contains("older version"), "{after}");

    for (version, weight) in
        [("v1alpha1", json!("90")), ("v1alpha2", json!(90)), ("v1alpha3", json!(90)), ("v1alpha4", json!(90))]
    {
        let split = object(&api, &format!("trafficsplits.{version}.split.smi-spec.io"), "tested").await?;
        ensure!(
            split["spec"]["backends"][0]["weight"] == weight && split["metadata"]["uid"] == uid,
            "{version}: {split}"
        );
    }
    // What is stored needs nobody to be read.
    operator.daemon.kill()?;
    ensure!(object(&api, "trafficsplits", "fraction").await?["spec"]["service"] == "other");
    ensure!(object(&api, "trafficsplits", "tested").await?["spec"]["backends"][1]["weight"] == 10);
    Ok(())
}

#[tokio::test]
async fn smis_own_crds_are_taken_over_with_all_their_objects() -> Result<()> {
    let api = cluster("official.yaml", "v1alpha4").await?;
    let kinds =
        [("traffictargets", "web"), ("httproutegroups", "all"), ("tcproutes", "all"), ("trafficsplits", "tested")];
    let mut before = Vec::new();
    for (kind, name) in kinds {
        before.push(object(&api, kind, name).await?);
    }
    let folder = tempfile::tempdir()?;
    let (_operator, checked) = install(&api, folder.path()).await?;
    ensure!(!checked.contains("older version"), "{checked}");
    for ((kind, name), before) in kinds.into_iter().zip(before) {
        let now = object(&api, kind, name).await?;
        ensure!((&now["spec"], &now["metadata"]["uid"]) == (&before["spec"], &before["metadata"]["uid"]), "{now}");
    }
    // Statuses are written now, and old versions are served.
    api.wait("shop", "traffictarget/web", "jsonpath={.status.conditions[0].type}").await?;
    let old = object(&api, "httproutegroups.v1alpha1.specs.smi-spec.io", "all").await?;
    ensure!(old["matches"][0]["name"] == "get" && old["matches"][0]["headers"].is_null(), "{old}");
    Ok(())
}

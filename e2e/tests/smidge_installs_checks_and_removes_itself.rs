//! `smidge install`, `check` and `uninstall` against a real API server. No kubelet is here: that pods come up is for the
//! tests on a whole cluster.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use smidge_e2e::{ApiServer, objects, world::beside_this_test};

fn smidge(api: &ApiServer, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(beside_this_test("smidge")?);
    command.args(arguments).env("KUBECONFIG", api.kubeconfig()).env_remove("RUST_LOG");
    command.output().context("smidge")
}

const MESHED: &str = "{apiVersion: v1, kind: Pod, metadata: {name: meshed, namespace: typo}, \
                      spec: {containers: [{name: a, image: a}], initContainers: [{name: smidge-proxy, image: a}]}}";
const ALONE: &str = "{apiVersion: v1, kind: Pod, metadata: {name: alone, namespace: joins, annotations: \
                     {smidge.dev/proxy-cpu-limits: \"1\"}}, spec: {containers: [{name: a, image: a}]}}";
const BROKEN: &str = "{apiVersion: access.smi-spec.io/v1alpha3, kind: TrafficTarget, metadata: {name: web, namespace: joins}, \
                      spec: {destination: {kind: ServiceAccount, name: web}, sources: [{kind: ServiceAccount, name: web}], \
                      rules: [{kind: HTTPRouteGroup, name: none}]}}";
const ROUTE_NOT_FOUND: &str = r#"{"status": {"conditions": [{"type": "ResolvedRefs", "status": "False", "reason": "RouteNotFound",
    "message": "HTTPRouteGroup/joins/none does not exist", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}"#;

/// What it printed, with its exit code as expected.
fn told(output: &Output, code: i32) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(code), "{output:?}");
    Ok(text)
}

fn finds(text: &str, line: &str) -> Result<()> {
    ensure!(text.lines().any(|found| found.starts_with(line)), "no line `{line}` in\n{text}");
    Ok(())
}

#[tokio::test]
async fn onto_a_cluster_and_off_it() -> Result<()> {
    let api = ApiServer::start().await?;
    let before = told(&smidge(&api, &["check"])?, 0)?;
    finds(&before, "✓ Kubernetes v1.")?;
    finds(&before, "✓ not installed")?;
    finds(&before, "✓ you may install")?;

    let printed = told(&smidge(&api, &["install", "--dry-run", "--image", "own/smidge:1"])?, 0)?;
    assert!(printed.contains("image: own/smidge:1"), "{printed}");
    ensure!(api.kubectl(&["get", "namespace", "smidge-system"]).await.is_err(), "a dry run has written");

    let folder = smidge_e2e::repository().join("manifests");
    let folder = folder.to_str().context("the checkout's path is not UTF-8")?;
    // What kustomize applies is installed, and an installation may follow it.
    api.kubectl(&["apply", "--server-side", "-k", folder]).await?;
    for _ in 0..2 {
        let installed = told(&smidge(&api, &["install", "--no-wait"])?, 0)?;
        finds(&installed, "✓ Deployment smidge-operator")?;
    }
    api.apply(&printed).await.context("what is printed can be applied")?;
    the_control_plane_is_missed(&api).await?;

    let late = smidge(&api, &["install", "--timeout", "1s"])?;
    assert!(String::from_utf8_lossy(&late.stderr).contains("is not available after 1 s"), "{late:?}");

    let trust = "{apiVersion: v1, kind: ConfigMap, metadata: {name: smidge-trust, namespace: joins, labels: {app.kubernetes.io/managed-by: smidge}}}";
    api.apply(trust).await?;
    it_goes_and_says_what_stays(&api).await
}

/// Nobody here ends a namespace that is being deleted, so it is waited for until the test does.
async fn it_goes_and_says_what_stays(api: &ApiServer) -> Result<()> {
    let removed = smidge(api, &["uninstall", "--timeout", "1s"])?;
    let late = String::from_utf8_lossy(&removed.stderr).into_owned();
    ensure!(
        late.contains("Namespace smidge-system (Terminating: waits for kubernetes) is still there after 1 s"),
        "{late}"
    );
    let removed = told(&removed, 1)?;
    finds(&removed, "✓ deleted ConfigMap smidge-trust in joins")?;
    finds(&removed, "✓ deleted MutatingWebhookConfiguration smidge-injector")?;
    finds(&removed, "✓ deleted ValidatingWebhookConfiguration smidge-validator")?;
    finds(&removed, "… waiting until Namespace smidge-system is gone (Terminating)")?;
    finds(&removed, "• kept CustomResourceDefinition trafficsplits.split.smi-spec.io")?;

    let path = "-ojsonpath={.spec.conversion} {.spec.versions[?(@.served==true)].name}";
    let rests = api.kubectl(&["get", "crd", "trafficsplits.split.smi-spec.io", path]).await?;
    ensure!(rests == "{\"strategy\":\"None\"} v1alpha4", "nobody converts any more: {rests}");

    end_namespace(api, "smidge-system").await?;
    api.apply(MESHED).await?;
    let again = told(&smidge(api, &["uninstall"])?, 0)?;
    finds(&again, "✓ not there Namespace smidge-system")?;
    let now = told(&smidge(api, &["check"])?, 0)?;
    for text in [again, now] {
        finds(
            &text,
            "! pods of typo still have sidecars: meshed go on with what they have until their certificates end",
        )?;
        finds(&text, "! statuses of SMI objects (1): no control plane keeps them true")?;
    }
    let rotated = smidge(api, &["rotate", "root"])?;
    let why = String::from_utf8_lossy(&rotated.stderr).into_owned();
    ensure!(!rotated.status.success() && why.contains("the control plane is not installed (smidge check"), "{why}");

    let all = told(&smidge(api, &["uninstall", "--crds"])?, 0)?;
    finds(&all, "✓ deleted CustomResourceDefinition trafficsplits.split.smi-spec.io")?;
    ensure!(api.kubectl(&["get", "crds", "-o", "name"]).await?.is_empty(), "they are not gone yet");
    finds(&told(&smidge(api, &["uninstall", "--crds"])?, 0)?, "✓ not there CustomResourceDefinition trafficsplits")
}

/// What the controller of namespaces does at last.
async fn end_namespace(api: &ApiServer, name: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("namespace.json");
    let body = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}});
    std::fs::write(&file, body.to_string())?;
    let path = format!("/api/v1/namespaces/{name}/finalize");
    let file = file.to_str().context("the folder's path is not UTF-8")?;
    api.kubectl(&["replace", "--raw", &path, "-f", file]).await.map(drop)
}

/// Nobody runs the Deployment's pods here, so every check that needs them says what is wrong.
async fn the_control_plane_is_missed(api: &ApiServer) -> Result<()> {
    let first = told(&smidge(api, &["check"])?, 1)?;
    finds(&first, "! no namespace is in the mesh")?;
    ensure!(!first.contains("ClusterTrustBundle"), "{first}");
    let config = "{apiVersion: smidge.dev/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {sidecar: \
                  {trustFrom: clustertrustbundle}}}";
    api.apply(config).await?;
    let wishing = told(&smidge(api, &["check"])?, 1)?;
    finds(&wishing, "! ClusterTrustBundle smidge-trust has the mesh's roots: it is not there")?;
    // Before the label: nobody answers for the webhook here.
    api.kubectl(&["create", "namespace", "joins"]).await?;
    api.apply(ALONE).await?;
    let labels = [("smidge.dev/inject", "enabled"), ("pod-security.kubernetes.io/enforce", "restricted")];
    api.apply(&objects::namespace("joins", &labels).to_string()).await?;
    api.kubectl(&["create", "namespace", "typo"]).await?;
    api.kubectl(&["label", "namespace", "typo", "smidge.dev/inject=true"]).await?;
    api.apply(BROKEN).await?;
    api.kubectl(&[
        "patch",
        "-n",
        "joins",
        "traffictarget/web",
        "--subresource=status",
        "--type=merge",
        "-p",
        ROUTE_NOT_FOUND,
    ])
    .await?;
    let after = told(&smidge(api, &["check"])?, 1)?;
    finds(&after, "! 1 of 2 objects are in force: the others are told below")?;
    finds(
        &after,
        "! TrafficTarget joins/web ResolvedRefs=False RouteNotFound: HTTPRouteGroup/joins/none does not exist",
    )?;
    finds(
        &after,
        "! every pod of joins that should have a sidecar has one: alone were created before: alone have no controller",
    )?;
    finds(
        &after,
        "! every key smidge.dev/… of pods of joins means something: pod/alone: annotation smidge.dev/proxy-cpu-limits is \
         unknown and means nothing: do you mean smidge.dev/proxy-cpu-limit?",
    )?;
    finds(&after, "✗ smidge.dev/inject=true of namespace typo: it is taken for none: write one of enabled, disabled")?;
    finds(&after, "✗ 0 of 2 replicas of the control plane are available")?;
    finds(&after, "✗ the leader is nobody")?;
    finds(&after, "✓ all ")?;
    finds(&after, "✗ pods that join the mesh are injected: the webhook has no caBundle yet")?;
    finds(&after, "! SMI objects that can never work are refused: webhook smidge-validator has no caBundle yet")?;
    finds(&after, "✗ every version of SMI can be read and written: traffictargets.access.smi-spec.io, ")?;
    finds(&after, "✗ namespace joins has the mesh's roots")?;
    finds(&after, "✗ pods may be injected in joins: pod-security.kubernetes.io/enforce=restricted refuses")
}

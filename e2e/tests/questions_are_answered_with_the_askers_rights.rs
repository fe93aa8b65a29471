//! `smidge authz` and `describe` against a real API server: they see all of it, as far as the asker may, and say which right is missing.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, PostParams},
};
use serde_json::{Value, json};
use smidge_crds::TCPRoute;
use smidge_e2e::{ApiServer, objects, repository, world::beside_this_test};

/// More than an answer of the API server holds.
const MANY: usize = 510;

const MESH: &str = "
{apiVersion: v1, kind: Service, metadata: {name: orders, namespace: shop}, spec: {selector: {app: orders}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: orders, namespace: shop, labels: {app: orders}}, spec: {serviceAccountName: orders, containers: [{name: app, image: a}], initContainers: [{name: smidge-proxy, image: a}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {name: api, namespace: shop}, spec: {matches: [{name: read, pathRegex: /orders, methods: [GET]}]}}
---
{apiVersion: access.smi-spec.io/v1alpha3, kind: TrafficTarget, metadata: {name: reads, namespace: shop}, spec: {destination: {kind: ServiceAccount, name: orders}, rules: [{kind: HTTPRouteGroup, name: api}], sources: [{kind: ServiceAccount, name: web}, {kind: ServiceAccount, name: desk, namespace: office}]}}
";

/// Whoever may view a namespace: what Kubernetes has and what `manifests/readers.yaml` adds, of which a cluster's controllers make `view`.
const VIEWER: &str = "
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: keeper, namespace: shop}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:aggregate-to-view'}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: keeper}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: keeper-of-smi, namespace: shop}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: smidge-view}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: keeper}]}
";

const ACKNOWLEDGED: &str = r#"{"proxies": {"total": 3, "acknowledged": 2, "rejected": 1}, "conditions": [{"type": "Programmed",
    "status": "False", "reason": "Rejected", "message": "one says no", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}"#;

fn smidge(kubeconfig: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(beside_this_test("smidge")?);
    command.args(arguments).env("KUBECONFIG", kubeconfig).output().context("smidge")
}

/// What it says, on either stream, with its exit code as expected.
fn says(kubeconfig: &Path, arguments: &[&str], code: i32, words: &[&str]) -> Result<()> {
    let output = smidge(kubeconfig, arguments)?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{arguments:?}: {output:?}");
    for words in words {
        ensure!(said.contains(words), "{arguments:?}: no {words:?} in\n{said}");
    }
    Ok(())
}

#[tokio::test]
async fn what_the_asker_may_see_is_said_and_what_not_is_told() -> Result<()> {
    let api = ApiServer::start().await?;
    let admin = api.kubeconfig();
    api.apply(&objects::namespace("shop", &[]).to_string()).await?;
    // Kinds that are not installed have no objects.
    says(admin, &["authz", "shop/web", "shop/orders"], 1, &["denied: ", "no TrafficTarget in namespace shop"])?;

    api.install_crds().await?;
    api.apply(&objects::service_account("shop", "orders").to_string()).await?;
    api.apply(MESH).await?;
    api.patch_status("shop", "traffictarget/reads", ACKNOWLEDGED).await?;
    everything_is_seen(&api).await?;

    let folder = tempfile::tempdir()?;
    let keeper = folder.path().join("keeper.json");
    impersonate(admin, "keeper", &keeper)?;
    rights_are_named(&api, &keeper).await
}

async fn everything_is_seen(api: &ApiServer) -> Result<()> {
    let admin = api.kubeconfig();
    let request = ["authz", "shop/web", "shop/orders", "--path", "/orders/1", "--port", "8080"];
    let by = "by TrafficTarget/shop/reads (HTTPRouteGroup/shop/api match read)";
    says(admin, &request, 0, &["allowed: shop/web may GET /orders/1 at shop/orders on port 8080 (http)", by])?;
    let status = ["Programmed: False (Rejected) one says no", "2 of 3 proxies have acknowledged it, 1 reject it"];
    says(admin, &["describe", "tt/reads", "-n", "shop"], 0, &status)?;
    let output = smidge(admin, &["describe", "tt/reads", "-n", "shop", "-o", "json"])?;
    let told: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(told["proxies"]["acknowledged"] == 2 && told["conditions"][0]["reason"] == "Rejected", "{told}");

    many_routes(&api.client().await?).await?;
    let last = format!("tr/route-{}", MANY - 1);
    says(admin, &["describe", &last, "-n", "shop"], 0, &["port 8080 of the destination's pods"])?;
    says(admin, &["describe", "tr/none", "-n", "shop"], 1, &["there is no TCPRoute/shop/none; there are: route-0, "])
}

async fn many_routes(client: &Client) -> Result<()> {
    let routes: Api<DynamicObject> = Api::namespaced_with(client.clone(), "shop", &ApiResource::erase::<TCPRoute>(&()));
    let create = |number: usize| {
        let route = objects::tcp_route("shop", &format!("route-{number}"), &[8080]);
        let routes = routes.clone();
        async move {
            routes.create(&PostParams::default(), &serde_json::from_value(route)?).await?;
            anyhow::Ok(())
        }
    };
    stream::iter(0..MANY).map(create).buffer_unordered(32).try_collect::<()>().await
}

/// The administrator's kubeconfig, acting as another user.
fn impersonate(admin: &Path, user: &str, to: &Path) -> Result<()> {
    let mut config: Value = serde_yaml::from_str(&fs::read_to_string(admin)?)?;
    config["users"][0]["user"]["as"] = json!(user);
    Ok(fs::write(to, config.to_string())?)
}

async fn rights_are_named(api: &ApiServer, keeper: &Path) -> Result<()> {
    let question = ["authz", "shop/web", "shop/orders"];
    says(keeper, &question, 1, &["error: cannot look at the cluster https://", "you may not ", "kubectl auth can-i "])?;
    let (readers, mesh_config) = readers()?;
    api.apply(&format!("{readers}---{VIEWER}")).await?;
    let of_none = ["you may not list meshconfigs.smidge.dev in all namespaces", "so -n does not help"];
    says(keeper, &question, 1, &of_none)?;
    says(keeper, &["describe", "tt/reads", "-n", "shop"], 1, &of_none)?;
    api.apply(&mesh_config).await?;
    says(keeper, &question, 0, &["allowed: shop/web may call shop/orders on port 8080"])?;
    let elsewhere = ["authz", "office/desk", "shop/orders"];
    says(keeper, &elsewhere, 1, &["in namespace office", "ask for that right in the namespace"])?;
    let only = ["you may not list ", "nothing is said of other namespaces than shop", "shop/web (no pod)"];
    says(keeper, &["describe", "tt/reads", "-n", "shop"], 0, &only)
}

/// The manifest's first part, and what concerns the MeshConfig.
fn readers() -> Result<(String, String)> {
    let text = fs::read_to_string(repository().join("manifests/readers.yaml"))?;
    let (first, rest) = text.split_once("---").context("readers.yaml has one document")?;
    Ok((first.to_owned(), rest.to_owned()))
}

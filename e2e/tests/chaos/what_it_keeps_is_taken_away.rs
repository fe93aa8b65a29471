//! What the leader keeps for the mesh is deleted or edited by hand: it is put right, and told.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{eventually, holds, secure::CONTROL_PLANE, world::SOON};

use crate::scene::Scene;

const INJECTOR: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

pub(crate) async fn one_after_the_other(scene: &Scene) -> Result<()> {
    the_roots_secret(scene).await?;
    the_config_map(scene).await?;
    the_webhook(scene).await?;
    the_secret_while_nobody_looks(scene).await
}

async fn data(scene: &Scene, path: &str) -> Result<Value> {
    Ok(scene.rest.read(path).await?["data"].take())
}

async fn comes_back(scene: &Scene, path: &str, what: &str, expected: &Value) -> Result<()> {
    eventually(what, SOON, async || {
        let now = data(scene, path).await?;
        holds(now == *expected, || format!("{what} is another one"))
    })
    .await
}

fn secret() -> String {
    format!("/api/v1/namespaces/{CONTROL_PLANE}/secrets/smidge-root")
}

async fn the_roots_secret(scene: &Scene) -> Result<()> {
    let before = data(scene, &secret()).await?;
    scene.rest.delete(&secret()).await?;
    comes_back(scene, &secret(), "Secret", &before).await?;
    scene.told("Secret smidge-root was deleted: writing it back", 1).await?;
    scene.settles("the root's Secret deleted").await
}

async fn the_config_map(scene: &Scene) -> Result<()> {
    let path = format!("/api/v1/namespaces/{}/configmaps/smidge-trust", scene.namespace());
    let before = data(scene, &path).await?;
    scene.rest.delete(&path).await?;
    comes_back(scene, &path, "ConfigMap", &before).await?;
    scene.rest.merge(&path, &json!({"data": {"ca.crt": "mine", "more": "mine"}})).await?;
    eventually("ConfigMap put right", SOON, async || {
        let now = data(scene, &path).await?;
        holds(now["ca.crt"] == before["ca.crt"], || "it is still edited".into())
    })
    .await?;
    scene.settles("the trust's ConfigMap deleted and edited").await
}

/// What the leader keeps of it; nobody else asks the webhook here.
async fn the_webhook(scene: &Scene) -> Result<()> {
    let hooks = include_str!("../../../manifests/webhook.yaml");
    scene.world.api.apply(hooks).await?;
    let path = format!("{INJECTOR}/smidge-injector");
    let bundles = async || {
        let hooks = scene.rest.read(&path).await?;
        let of =
            hooks["webhooks"].as_array().into_iter().flatten().map(|hook| hook["clientConfig"]["caBundle"].clone());
        anyhow::Ok(of.collect::<Vec<_>>())
    };
    let trusts = async || holds(bundles().await?.iter().all(|of| !of.is_null()), || "no caBundle".into());
    eventually("caBundle", SOON, trusts).await?;
    let right = bundles().await?;
    let mut edited = scene.rest.read(&path).await?;
    for hook in edited["webhooks"].as_array_mut().into_iter().flatten() {
        hook["clientConfig"].as_object_mut().map(|of| of.remove("caBundle"));
    }
    scene.rest.merge(&path, &json!({"webhooks": edited["webhooks"]})).await?;
    eventually("caBundle again", SOON, async || holds(bundles().await? == right, || "it is still edited".into()))
        .await?;
    scene.world.api.delete(hooks).await?;
    scene.settles("the webhook's configuration edited").await
}

/// A control plane that starts without the Secret on which the mesh stands makes no other: it says what to do, and that is done.
async fn the_secret_while_nobody_looks(scene: &Scene) -> Result<()> {
    let mut backup = scene.rest.read(&secret()).await?;
    scene.world.kill_operator().await?;
    scene.rest.delete(&secret()).await?;
    scene.world.start_operator().await?;
    scene.told("restore it from a backup", 1).await?;
    scene.nobody_noticed("no Secret, and no control plane that knows what it held").await?;
    ensure!(scene.rest.read(&secret()).await.is_err(), "another root was made");
    for field in ["resourceVersion", "uid", "creationTimestamp", "managedFields"] {
        backup["metadata"].as_object_mut().map(|of| of.remove(field));
    }
    scene.rest.create(&format!("/api/v1/namespaces/{CONTROL_PLANE}/secrets"), &backup).await?;
    scene.serves(scene.proxies()).await?;
    scene.settles("the Secret restored from a backup").await
}

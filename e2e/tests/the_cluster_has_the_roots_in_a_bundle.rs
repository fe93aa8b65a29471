//! A real API server that gets ClusterTrustBundles while the operator runs: the leader writes the mesh's, keeps it true, and a
//! rotation brings the new root into it as into the ConfigMaps.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    TRUST_BUNDLES, eventually, holds,
    secure::{CONTROL_PLANE, roots, trust},
    world::{SOON, World, beside_this_test},
};
use tokio::process::Command;

const CERTIFICATE: &str = "BEGIN CERTIFICATE";
const BUNDLE: [&str; 2] = ["clustertrustbundle", "smidge-trust"];

async fn bundle(world: &World) -> Result<String> {
    world.api.kubectl(&[&["get"], &BUNDLE[..], &["-ojsonpath={.spec.trustBundle}"]].concat()).await
}

/// Both hold the same roots; returns them.
async fn agreed(world: &World) -> Result<String> {
    eventually("bundle that is true", SOON, async || {
        let map = trust(&world.api, &world.namespace).await?;
        let (map, bundle) = (map["ca.crt"].as_str().context("no roots")?.to_owned(), bundle(world).await?);
        holds(map == bundle, || format!("{map}\n{bundle}"))?;
        Ok(bundle)
    })
    .await
    .with_context(|| world.operator_log())
}

/// `smidge rotate root`; one that is under way is followed to its end.
async fn rotate(world: &World, more: &[&str]) -> Result<()> {
    let mut rotate = Command::new(beside_this_test("smidge")?);
    rotate.args(["rotate", "root", "--namespace", CONTROL_PLANE]).args(more).kill_on_drop(true);
    let rotated = tokio::time::timeout(SOON * 2, rotate.env("KUBECONFIG", world.api.kubeconfig()).output()).await;
    let rotated = rotated.with_context(|| world.operator_log())??;
    ensure!(rotated.status.success(), "{rotated:?}");
    Ok(())
}

/// Takes the right from the operator's account, or gives it back.
async fn may_write_bundles(world: &World, may: bool) -> Result<()> {
    let rules = world.api.kubectl(&["get", "clusterrole", "smidge-operator", "-ojsonpath={.rules}"]).await?;
    let rules: Vec<Value> = serde_json::from_str(&rules)?;
    let place = rules.iter().position(|rule| rule["resources"] == json!(["clustertrustbundles"]));
    let verbs = if may { json!(["create", "list", "patch", "watch"]) } else { json!(["list", "watch"]) };
    let path = format!("/rules/{}/verbs", place.context("no rule for bundles")?);
    let patch = json!([{"op": "replace", "path": path, "value": verbs}]).to_string();
    world.api.kubectl(&["patch", "clusterrole", "smidge-operator", "--type=json", "-p", &patch]).await.map(drop)
}

#[tokio::test]
async fn it_is_written_once_the_api_server_has_such_kept_true_and_rotated() -> Result<()> {
    let world = World::start_secure("bundle", &[], &["--trust-propagation", "1s"]).await?;
    // A cluster without them is held up by nothing.
    eventually("ConfigMap with the roots", SOON, async || trust(&world.api, "bundle").await).await?;
    ensure!(bundle(&world).await.is_err(), "the API server has ClusterTrustBundles by default now: simplify this test");
    world.api.stop().await?;
    world.api.resume_with(&TRUST_BUNDLES).await?;
    let old = agreed(&world).await?;

    world.api.kubectl(&[&["delete"], &BUNDLE[..]].concat()).await?;
    ensure!(agreed(&world).await? == old, "another root after a deletion");

    // As long as the bundle cannot be written, the new root does not sign.
    may_write_bundles(&world, false).await?;
    rotate(&world, &["--no-wait"]).await?;
    let told = "Forbidden";
    let refused = world.operator_log().matches(told).count();
    eventually("a bundle that is refused again and again", SOON, async || {
        let log = world.operator_log();
        holds(log.matches(told).count() > refused + 4, || log.clone())
    })
    .await?;
    let map = trust(&world.api, "bundle").await?;
    ensure!(map["ca.crt"].as_str().is_some_and(|map| map.matches(CERTIFICATE).count() == 2), "{map}");
    ensure!(bundle(&world).await? == old, "the bundle was written");
    let state = roots(&world.api).await?;
    ensure!(state["phase"] == "introduced", "{state}");

    may_write_bundles(&world, true).await?;
    rotate(&world, &[]).await?;
    let new = agreed(&world).await?;
    ensure!(new != old && new.matches(CERTIFICATE).count() == 1, "{new}");

    // What the bundle says is not what the operator knows: another's edit does not last.
    let edit = json!({"spec": {"trustBundle": old}}).to_string();
    world.api.kubectl(&[&["patch"], &BUNDLE[..], &["--type=merge", "-p", &edit]].concat()).await?;
    ensure!(agreed(&world).await? == new, "the old root is trusted again");

    // Nobody here ends the control plane's namespace, so it says that this is still there; the roots are gone by then.
    world.stop_operator().await?;
    let mut uninstall = Command::new(beside_this_test("smidge")?);
    uninstall.args(["uninstall", "--timeout", "1s"]).env("KUBECONFIG", world.api.kubeconfig());
    let told = String::from_utf8_lossy(&uninstall.kill_on_drop(true).output().await?.stdout).into_owned();
    ensure!(told.contains("✓ deleted ClusterTrustBundle smidge-trust"), "{told}");
    ensure!(bundle(&world).await.is_err(), "it is still there");
    Ok(())
}

//! A real API server that gets ClusterTrustBundles while the operator runs: the leader writes the mesh's, keeps it true, and a
//! rotation brings the new root into it as into the ConfigMaps.

use anyhow::{Context, Result, ensure};
use smidge_e2e::{
    TRUST_BUNDLES, eventually, holds,
    secure::{CONTROL_PLANE, trust},
    world::{SOON, World, beside_this_test},
};
use tokio::process::Command;

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

    let mut rotate = Command::new(beside_this_test("smidge")?);
    rotate.args(["rotate", "root", "--namespace", CONTROL_PLANE]).env("KUBECONFIG", world.api.kubeconfig());
    let rotated = tokio::time::timeout(SOON * 2, rotate.kill_on_drop(true).output()).await;
    let rotated = rotated.with_context(|| world.operator_log())??;
    ensure!(rotated.status.success(), "{rotated:?}");
    let new = agreed(&world).await?;
    ensure!(new != old && new.matches("BEGIN CERTIFICATE").count() == 1, "{new}");

    // What the bundle says is not what the operator knows: another's edit does not last.
    let edit = serde_json::json!({"spec": {"trustBundle": old}}).to_string();
    world.api.kubectl(&[&["patch"], &BUNDLE[..], &["--type=merge", "-p", &edit]].concat()).await?;
    ensure!(agreed(&world).await? == new, "the old root is trusted again");
    Ok(())
}

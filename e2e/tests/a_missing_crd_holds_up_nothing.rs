//! A cluster in which one CRD is not installed: everything else works, and its kind takes effect once it is there.

use anyhow::Result;
use smidge_e2e::{
    eventually, holds, objects,
    world::{SOON, World},
};

const CRD: &str = "crd/trafficsplits.split.smi-spec.io";

#[tokio::test]
async fn traffic_flows_without_the_crd_and_splits_once_it_is_installed() -> Result<()> {
    let world = World::start("incomplete", &[]).await?;
    world.kill_operator().await?;
    world.api.kubectl(&["delete", "--wait", CRD]).await?;
    world.start_operator().await?;

    let (buyer, v1, v2) = tokio::try_join!(world.pod("buyer"), world.pod("v1"), world.pod("v2"))?;
    world.permit(&["buyer"], &["v1", "v2"]).await?;
    world.service("v2", "v2", &[&v2]).await?;
    let root = world.service("v1", "v1", &[&v1]).await?[0];
    assert_eq!(buyer.call_until(200, root, 80, &[]).await?["server"], "v1");
    let log = world.operator_log();
    assert!(log.contains("does not know this kind") && log.contains("kind=\"TrafficSplit\""), "{log}");

    world.api.install_crds().await?;
    world.apply(&objects::split(&world.namespace, "v1", "v1", &[("v2", 1)])).await?;
    world.wait_for("Programmed", "trafficsplit/v1").await?;
    eventually("answer of v2", SOON, async || {
        let answer = buyer.call(root, 80, &[]).await?;
        holds(answer["server"] == "v2", || format!("{answer}\n{}", world.operator_log()))
    })
    .await
}

//! The status of SMI objects, on a real API server: true only when every Envoy concerned has acknowledged it.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    eventually, holds, objects,
    world::{AppPod, SOON, World},
};

/// A caller and two versions of a store behind a root Service.
struct Stores {
    world: World,
    buyer: AppPod,
    v1: AppPod,
    _v2: AppPod,
}

#[tokio::test]
async fn an_object_is_programmed_when_every_envoy_has_it_and_says_what_is_wrong_until_then() -> Result<()> {
    let stores = stores().await?;
    a_split_is_programmed_when_the_last_envoy_has_it(&stores).await?;
    a_target_waits_for_the_envoys_of_its_destination_alone(&stores).await?;
    a_reference_to_nothing_is_told_until_it_is_there(&stores).await?;
    the_younger_of_two_splits_is_told_which_one_is_in_force(&stores).await?;
    nothing_is_written_when_nothing_changed(&stores).await
}

async fn stores() -> Result<Stores> {
    let world = World::start("told", &[]).await?;
    let (buyer, v1, v2) = tokio::try_join!(world.pod("buyer"), world.pod("v1"), world.pod("v2"))?;
    world.permit(&["buyer"], &["v1", "v2"]).await?;
    world.service("v1", "v1", &[&v1]).await?;
    world.service("v2", "v2", &[&v2]).await?;
    world.service("store", "none", &[]).await?;
    Ok(Stores { world, buyer, v1, _v2: v2 })
}

impl Stores {
    async fn split(&self, name: &str, v1: u32, v2: u32) -> Result<()> {
        self.world.apply(&objects::split(&self.world.namespace, name, "store", &[("v1", v1), ("v2", v2)])).await
    }

    async fn object(&self, object: &str) -> Result<Value> {
        let text = self.world.api.kubectl(&["get", "-n", &self.world.namespace, object, "-ojson"]).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until a condition of this generation of the object has this status and reason.
    async fn told(&self, object: &str, condition: &str, status: &str, reason: &str) -> Result<Value> {
        eventually(&format!("{condition}={status} of {object}"), SOON, async || {
            let found = self.object(object).await?;
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let told = conditions.iter().find(|told| told["type"] == condition).cloned().unwrap_or_default();
            let generation = &found["metadata"]["generation"];
            let is_so =
                told["status"] == status && told["reason"] == reason && &told["observedGeneration"] == generation;
            holds(is_so, || found.to_string()).map(|()| told)
        })
        .await
    }

    /// Waits until so many proxies of so many have an object.
    async fn counted(&self, object: &str, acknowledged: u32, total: u32) -> Result<()> {
        eventually("count of proxies", SOON, async || {
            let proxies = self.object(object).await?["status"]["proxies"].clone();
            let wanted =
                proxies["acknowledged"] == acknowledged && proxies["total"] == total && proxies["rejected"] == 0;
            holds(wanted, || format!("{acknowledged} of {total} wanted: {proxies}"))
        })
        .await
    }
}

/// `kubectl wait` comes back when the Envoy that was held back has acknowledged, and not before.
async fn a_split_is_programmed_when_the_last_envoy_has_it(stores: &Stores) -> Result<()> {
    let split = "trafficsplit/store";
    stores.split("store", 90, 10).await?;
    stores.world.wait_for("Programmed", split).await?;
    stores.counted(split, 3, 3).await?;

    let envoy = stores.buyer.pod.envoy()?;
    envoy.pause()?;
    stores.split("store", 10, 90).await?;
    let told = stores.told(split, "Programmed", "False", "Pending").await?;
    let message = told["message"].as_str().unwrap_or_default();
    stores.counted(split, 2, 3).await?;
    ensure!(message.contains("of 3 proxies have it"), "{told}");
    let namespace = &stores.world.namespace;
    let waiting = ["wait", "-n", namespace, "--for=condition=Programmed", "--timeout=2s", split];
    let waited = stores.world.api.kubectl(&waiting).await;
    ensure!(waited.is_err(), "it returned while one Envoy was held back");

    envoy.resume()?;
    stores.world.wait_for("Programmed", split).await?;
    stores.counted(split, 3, 3).await
}

async fn a_target_waits_for_the_envoys_of_its_destination_alone(stores: &Stores) -> Result<()> {
    let target = |ports| async move {
        let (world, name) = (&stores.world, "narrow");
        world.apply(&objects::tcp_route(&world.namespace, name, ports)).await?;
        world.apply(&objects::target(&world.namespace, name, "v1", &["buyer"], &[("TCPRoute", name)])).await
    };
    let (caller, server) = (stores.buyer.pod.envoy()?, stores.v1.pod.envoy()?);
    caller.pause()?;
    target(&[8080]).await?;
    stores.world.wait_for("Programmed", "traffictarget/narrow").await?;
    stores.counted("traffictarget/narrow", 1, 1).await?;
    caller.resume()?;

    // The target itself stays as it is; what it opens changes with its route.
    server.pause()?;
    target(&[8081]).await?;
    stores.told("traffictarget/narrow", "Programmed", "False", "Pending").await?;
    stores.counted("traffictarget/narrow", 0, 1).await?;
    server.resume()?;
    stores.told("traffictarget/narrow", "Programmed", "True", "Programmed").await.map(drop)
}

async fn a_reference_to_nothing_is_told_until_it_is_there(stores: &Stores) -> Result<()> {
    let (world, target) = (&stores.world, "traffictarget/early");
    let rules = [("HTTPRouteGroup", "late")];
    world.apply(&objects::target(&world.namespace, "early", "v1", &["buyer"], &rules)).await?;
    let told = stores.told(target, "ResolvedRefs", "False", "RouteNotFound").await?;
    let message = told["message"].as_str().unwrap_or_default();
    ensure!(message.contains("SMI0206") && message.contains("late"), "{told}");

    world.apply(&objects::route_group(&world.namespace, "late", &json!([{"name": "all"}]))).await?;
    stores.told(target, "ResolvedRefs", "True", "ResolvedRefs").await?;
    world.wait_for("Programmed", target).await
}

async fn the_younger_of_two_splits_is_told_which_one_is_in_force(stores: &Stores) -> Result<()> {
    let split = "trafficsplit/younger";
    // Ages are whole seconds; of two of the same age the name would decide, and does the same way.
    stores.split("younger", 50, 50).await?;
    let told = stores.told(split, "Accepted", "False", "Conflicted").await?;
    let message = told["message"].as_str().unwrap_or_default();
    ensure!(message.contains("SMI0107") && message.contains("store"), "{told}");
    stores.told(split, "Programmed", "False", "NotAccepted").await?;
    stores.told("trafficsplit/store", "Accepted", "True", "Accepted").await?;
    eventually("event", SOON, async || {
        let about = "--field-selector=involvedObject.name=younger";
        let events = stores.world.api.kubectl(&["get", "events", "-n", &stores.world.namespace, about]).await?;
        holds(events.contains("Conflicted"), || events.clone())
    })
    .await?;

    let winner = objects::split(&stores.world.namespace, "store", "store", &[]);
    stores.world.delete(&winner).await?;
    stores.world.wait_for("Programmed", split).await
}

async fn nothing_is_written_when_nothing_changed(stores: &Stores) -> Result<()> {
    let watched = ["trafficsplit/younger", "traffictarget/narrow", "traffictarget/early", "httproutegroup/late"];
    let versions = async || {
        let mut versions = Vec::new();
        for object in watched {
            versions.push(stores.object(object).await?["metadata"]["resourceVersion"].clone());
        }
        anyhow::Ok(versions)
    };
    let before = versions().await?;
    let (world, namespace) = (&stores.world, &stores.world.namespace);
    stores.split("younger", 50, 50).await?;
    world.api.kubectl(&["annotate", "-n", namespace, "pod/v1", "looked-at=yes"]).await?;
    world.api.kubectl(&["label", "namespace", namespace, "looked-at=yes"]).await?;
    world.endpoints("v1", &[&stores.v1]).await?;
    world.apply(&objects::service_account(namespace, "unrelated")).await?;
    // What is written after all that has been seen comes after all that would have been written because of it.
    world.service("other", "v1", &[&stores.v1]).await?;
    let other = objects::split(namespace, "other", "other", &[("v1", 1)]);
    world.apply(&other).await?;
    world.wait_for("Programmed", "trafficsplit/other").await?;
    let after = versions().await?;
    ensure!(before == after, "the versions of {watched:?} went from {before:?} to {after:?}");
    Ok(())
}

//! A storm of edits of one split, on a real API server with real Envoys: few writes of its status, and the last one right.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::StreamExt;
use kube::{
    Api, Client, Error,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use smidge_e2e::{
    objects,
    world::{SOON, World, last_line},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{interval, timeout},
};

const EDITS: usize = 200;
/// The time from one edit to the next; a busy machine takes longer.
const PACE: Duration = Duration::from_millis(20);
/// The least time between two writes of one object's status.
const SPACING: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_storm_of_edits_costs_few_status_writes() -> Result<()> {
    let world = World::start("storm", &[]).await?;
    let (buyer, v1, v2) = tokio::try_join!(world.pod("buyer"), world.pod("v1"), world.pod("v2"))?;
    world.permit(&["buyer"], &["v1", "v2"]).await?;
    world.service("v1", "v1", &[&v1]).await?;
    world.service("v2", "v2", &[&v2]).await?;
    let root = world.service("store", "v1", &[&v1]).await?[0];
    world.apply(&objects::split("storm", "store", "store", &[("v1", 1), ("v2", 0)])).await?;
    world.wait_for("Programmed", "trafficsplit/store").await?;
    buyer.call_until(200, root, 80, &[]).await?;

    let splits = splits(world.api.client().await?);
    let (begin, mut versions) = (Instant::now(), Versions::watch(&splits).await?);
    let mut ticks = interval(PACE);
    for edit in 1..=EDITS {
        ticks.tick().await;
        // The last one turns all of the traffic.
        let weights = if edit == EDITS { [0, 1] } else { [edit, 1] };
        edit_split(&splits, weights).await?;
    }
    let last = versions.until_settled().await?;
    let elapsed = begin.elapsed();

    let (edits, writes) = versions.edits_and_writes();
    let allowed = (elapsed.as_secs_f64() / SPACING.as_secs_f64()).ceil() + 1.0;
    assert_eq!(edits, EDITS);
    assert!(writes as f64 <= allowed, "{writes} writes of the status in {elapsed:?}, {allowed} allowed");
    assert_eq!(last["proxies"], json!({"total": 3, "acknowledged": 3, "rejected": 0}), "{last}");
    let mut load = buyer.start(&["load", &SocketAddr::new(root, 80).to_string(), "--requests", "20"])?;
    load.wait().await?;
    let sum = last_line(&load)?;
    assert_eq!(sum["by_server"], json!({"v2": sum["sent"]}), "{sum}");
    Ok(())
}

fn splits(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("split.smi-spec.io", "v1alpha4", "TrafficSplit");
    Api::namespaced_with(client, "storm", &ApiResource::from_gvk_with_plural(&kind, "trafficsplits"))
}

/// GET and PUT, as the tools that move weights do it: a write in between is a conflict, and they try again.
async fn edit_split(splits: &Api<DynamicObject>, [v1, v2]: [usize; 2]) -> Result<()> {
    loop {
        let mut split = splits.get("store").await?;
        split.data["spec"]["backends"] = json!([{"service": "v1", "weight": v1}, {"service": "v2", "weight": v2}]);
        match splits.replace("store", &PostParams::default(), &split).await {
            Ok(_) => return Ok(()),
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Every version that the split has had since the watch began.
struct Versions {
    seen: Vec<DynamicObject>,
    coming: UnboundedReceiver<DynamicObject>,
}

impl Versions {
    /// Watches from what there is now, which is the first version.
    async fn watch(splits: &Api<DynamicObject>) -> Result<Self> {
        let now = splits.get("store").await?;
        let version = now.metadata.resource_version.clone().context("an object has a version")?;
        let mut events = splits.watch(&WatchParams::default(), &version).await?.boxed();
        let (sender, coming) = unbounded_channel();
        tokio::spawn(async move {
            // Whatever else comes ends the watch, and with it the test.
            while let Some(Ok(WatchEvent::Modified(split))) = events.next().await {
                let _ = sender.send(split);
            }
        });
        Ok(Self { seen: vec![now], coming })
    }

    /// Waits for the last status: that of the last edit, true in all.
    async fn until_settled(&mut self) -> Result<Value> {
        loop {
            let next = timeout(SOON, self.coming.recv()).await;
            let last = serde_json::to_value(self.seen.last())?;
            let next = next.with_context(|| format!("no other version after {last}"))?;
            let next = next.context("the watch has ended")?;
            let status = next.data["status"].clone();
            let generation = json!(next.metadata.generation);
            self.seen.push(next);
            let conditions = status["conditions"].as_array().context("no conditions")?;
            let is_true = |c: &Value| c["status"] == "True" && c["observedGeneration"] == generation;
            if self.edits_and_writes().0 == EDITS && conditions.iter().all(is_true) {
                return Ok(status);
            }
        }
    }

    /// How many versions were edits, which raise the generation, and how many were writes of the status.
    fn edits_and_writes(&self) -> (usize, usize) {
        let generations = self.seen.windows(2).map(|pair| (&pair[0].metadata.generation, &pair[1].metadata.generation));
        let (edits, writes): (Vec<_>, Vec<_>) = generations.partition(|(before, after)| before != after);
        (edits.len(), writes.len())
    }
}

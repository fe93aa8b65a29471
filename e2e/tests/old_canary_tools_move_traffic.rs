//! Canary tools write old versions of TrafficSplit, as they have always done: quantities in v1alpha1, whole weights in v1alpha2 and
//! v1alpha3, by PUT or by JSON merge patch, owned by their rollout, the root among its own backends. A real API server, a real
//! operator that converts, real Envoys under load: no request fails, and the measured shares follow.

use std::{
    net::SocketAddr,
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use smidge_e2e::{
    eventually, holds, webhooks,
    world::{AppPod, PodOptions, SOON, World, end, last_line},
};
use smidge_sandbox::Process;

/// What a rollout marks its pods by.
const HASH: &str = "rollouts-pod-template-hash";
/// Requests a second, of which so many may go by until the shares have to be the new ones: 0.6 s; and of so many shares are
/// taken, to the end of the second.
const RATE: f64 = 400.0;
const SETTLING: f64 = 240.0;
const MEASURED: f64 = 160.0;

/// That takes a second where nothing else runs; half of the steps have to be done by then.
const SOON_ENOUGH: Duration = Duration::from_secs(2);

/// A tool that moves traffic.
struct Tool {
    version: &'static str,
    /// How it writes a weight of so many per cent.
    weight: fn(u32) -> Value,
    /// Whether it sends what has changed only, or all that it knows.
    patches: bool,
}

/// A rollout from one version of a store to another, while somebody buys.
struct Rollout {
    world: World,
    splits: kube::Client,
    load: Process,
    _buyer: AppPod,
    old: AppPod,
    new: AppPod,
}

impl Rollout {
    async fn begin(namespace: &str) -> Result<Self> {
        let address = webhooks::own_address()?;
        let world = World::start_secure(namespace, &[], &["--webhook-address", &format!("{address}:443")]).await?;
        webhooks::lead_to(&world.api, address).await?;
        webhooks::converts(&world.api).await.with_context(|| world.operator_log())?;
        let (buyer, old, new) = tokio::try_join!(world.pod("buyer"), store(&world, "old"), store(&world, "new"))?;
        world.permit(&["buyer"], &["old", "new"]).await?;
        for (pod, hash) in [("old", "6cf5"), ("new", "b79d")] {
            world.api.kubectl(&["label", "pod", "-n", namespace, pod, &format!("{HASH}={hash}")]).await?;
        }
        let splits = world.api.client().await?;
        world.service("canary", "store", &[&new]).await?;
        let stable = world.service("stable", "store", &[&old]).await?[0];
        buyer.call_until(200, stable, 80, &[]).await?;
        let load = buyer.start(&["load", &SocketAddr::new(stable, 80).to_string(), "--rate", &RATE.to_string()])?;
        let rollout = Self { world, splits, load, _buyer: buyer, old, new };
        rollout.select("stable", "6cf5", &rollout.old).await?;
        rollout.select("canary", "b79d", &rollout.new).await?;
        Ok(rollout)
    }

    /// Lets a Service select the pods of a hash, and its endpoints follow, as the cluster's controller would have them do.
    async fn select(&self, service: &str, hash: &str, pod: &AppPod) -> Result<()> {
        let selector = json!({"spec": {"selector": {"app": "store", (HASH): hash}}}).to_string();
        let namespace = &self.world.namespace;
        self.world
            .api
            .kubectl(&["patch", "service", "-n", namespace, service, "--type=merge", "-p", &selector])
            .await?;
        self.world.endpoints(service, &[pod]).await
    }

    fn splits(&self, version: &str) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: "split.smi-spec.io".to_owned(),
            version: version.to_owned(),
            api_version: format!("split.smi-spec.io/{version}"),
            kind: "TrafficSplit".to_owned(),
            plural: "trafficsplits".to_owned(),
        };
        Api::namespaced_with(self.splits.clone(), &self.world.namespace, &resource)
    }

    /// The split as the tool creates it: the root is the stable Service, which is also a backend.
    async fn create(&self, tool: &Tool) -> Result<()> {
        let split = json!({
            "apiVersion": format!("split.smi-spec.io/{}", tool.version), "kind": "TrafficSplit",
            "metadata": {"name": "store", "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "store", "controller": true,
                "blockOwnerDeletion": true, "uid": "0a0b0c0d-0000-4000-8000-000000000000",
            }]},
            "spec": {"service": "stable", "backends": backends(tool, 0)},
        });
        self.splits(tool.version).create(&PostParams::default(), &serde_json::from_value(split)?).await?;
        let programmed = self.world.wait_for("Programmed", "trafficsplit/store").await;
        programmed.with_context(|| self.world.operator_log())
    }

    async fn set(&self, tool: &Tool, canary: u32) -> Result<()> {
        let splits = self.splits(tool.version);
        if tool.patches {
            let patch = json!({"spec": {"backends": backends(tool, canary)}});
            splits.patch("store", &PatchParams::default(), &Patch::Merge(patch)).await?;
            return Ok(());
        }
        // A status may come between: tools try again.
        eventually("the new weights", SOON, async || {
            let mut split = splits.get("store").await?;
            split.data["spec"]["backends"] = backends(tool, canary);
            Ok(splits.replace("store", &PostParams::default(), &split).await.map(drop)?)
        })
        .await
    }

    /// Sets the weights, and takes the new version's share in the rest of the second.
    async fn share_at(&self, tool: &Tool, canary: u32) -> Result<(f64, Duration)> {
        self.set(tool, canary).await?;
        let set_at = Instant::now();
        let begun = last_line(&self.load)?["sent"].as_f64().unwrap_or_default();
        let before = self.sent(begun + SETTLING).await?;
        let after = self.sent(begun + SETTLING + MEASURED).await?;
        let answers = |server: &str| {
            let count = |sum: &Value| sum["by_server"][server].as_f64().unwrap_or_default();
            count(&after) - count(&before)
        };
        Ok((answers("new") / (answers("new") + answers("old")), set_at.elapsed()))
    }

    async fn sent(&self, least: f64) -> Result<Value> {
        eventually("enough answers", SOON, async || {
            let sum = last_line(&self.load)?;
            holds(sum["sent"].as_f64() > Some(least), || sum.to_string()).map(|()| sum)
        })
        .await
    }

    /// Goes through the percentages in turn. One measurement is of few requests, so it is held to little; all of them together
    /// would tell if shares were behind by a step.
    async fn go(&self, tool: &Tool, percentages: impl Iterator<Item = u32>) -> Result<()> {
        let (mut behind, mut took) = (Vec::new(), Vec::new());
        for canary in percentages {
            let (measured, until_then) = self.share_at(tool, canary).await?;
            let wanted = f64::from(canary) / 100.0;
            took.push(until_then);
            ensure!((wanted - measured).abs() < 0.18, "{} {canary} %: {measured} measured", tool.version);
            behind.push(wanted - measured);
        }
        let mean = behind.iter().sum::<f64>() / behind.len() as f64;
        // Four standard deviations at the most: of twenty steps 0.03, of four 0.07, each less than a step.
        let most = 0.135 / (behind.len() as f64).sqrt();
        ensure!(mean.abs() < most, "{}: behind by {mean} at the mean: {behind:?}", tool.version);
        took.sort();
        let median = took[took.len() / 2];
        println!("{}: from a weight to the end of what was measured {median:?}", tool.version);
        ensure!(median < SOON_ENOUGH, "the load is too slow on this machine: {took:?}");
        Ok(())
    }

    /// The new version becomes the stable one: its Service selects other pods, and then the weights go back.
    async fn promote(&self, tool: &Tool) -> Result<()> {
        self.select("stable", "b79d", &self.new).await?;
        let (share, _) = self.share_at(tool, 0).await?;
        ensure!(share == 1.0, "{share} of the answers are the new version's, behind both Services");
        self.select("canary", "6cf5", &self.old).await
    }

    /// Every Envoy has the last weights, and not one request has failed.
    async fn end(self) -> Result<()> {
        self.world.wait_for("Programmed", "trafficsplit/store").await?;
        let sum = end(self.load).await?;
        ensure!(sum["failed"] == 0, "{sum}\n{}", self.world.operator_log());
        Ok(())
    }
}

async fn store(world: &World, name: &str) -> Result<AppPod> {
    world.pod_with(name, PodOptions { app: "store", service_account: name, meshed: true }).await
}

fn backends(tool: &Tool, canary: u32) -> Value {
    let backend = |(service, weight)| json!({"service": service, "weight": (tool.weight)(weight)});
    [("canary", canary), ("stable", 100 - canary)].map(backend).into()
}

fn quantity(percent: u32) -> Value {
    percent.to_string().into()
}

fn thousandths(percent: u32) -> Value {
    if percent == 100 { "1".into() } else { format!("{}m", percent * 10).into() }
}

/// From nothing to all in steps of five, and from all to nothing.
const STEPS: Range<u32> = 1..21;

#[tokio::test]
async fn a_tool_that_patches_quantities_rolls_out_and_back() -> Result<()> {
    let tool = Tool { version: "v1alpha1", weight: quantity, patches: true };
    let rollout = Rollout::begin("patching").await?;
    rollout.create(&tool).await?;
    rollout.go(&tool, STEPS.map(|step| step * 5)).await?;
    rollout.go(&tool, STEPS.rev().map(|step| (step - 1) * 5)).await?;
    let owner = rollout.world.field("trafficsplit/store", "{.metadata.ownerReferences[0].kind}").await?;
    ensure!(owner == "Rollout", "{owner}");
    rollout.end().await
}

#[tokio::test]
async fn tools_that_put_whole_weights_roll_out_and_promote() -> Result<()> {
    let put = |version, weight| Tool { version, weight, patches: false };
    let rollout = Rollout::begin("putting").await?;
    let first = put("v1alpha2", Value::from as fn(u32) -> Value);
    rollout.create(&first).await?;
    rollout.go(&first, STEPS.map(|step| step * 5)).await?;
    rollout.go(&put("v1alpha3", Value::from), STEPS.rev().map(|step| (step - 1) * 5)).await?;
    rollout.go(&put("v1alpha1", thousandths), [25, 50, 75, 100].into_iter()).await?;
    rollout.promote(&put("v1alpha1", thousandths)).await?;
    rollout.end().await
}

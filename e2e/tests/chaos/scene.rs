//! A client and two versions of a store behind a root Service, everything permitted, under load; and splits of Services that
//! nobody calls, by the dozen, so that there are objects to lose.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    Rest, eventually, holds, objects,
    world::{APP_PORTS, AppPod, SOON, World, end, last_line},
};
use smidge_sandbox::Process;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use crate::amount;

/// Requests a second of the load.
const RATE: u64 = 50;
/// How long the world may take to be what was written, after a failure is over: a Lease's time, reconnects, a busy machine.
const SETTLED: Duration = Duration::from_secs(90);

/// Where the objects are, by kind.
const KINDS: [&str; 3] = [
    "split.smi-spec.io/v1alpha4/namespaces/{}/trafficsplits",
    "access.smi-spec.io/v1alpha3/namespaces/{}/traffictargets",
    "specs.smi-spec.io/v1alpha4/namespaces/{}/tcproutes",
];
/// A route and two targets, by which everything is permitted, and the store's split.
const OBJECTS: usize = 4;

/// A mesh at work.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) rest: Rest,
    pub(crate) buyer: AppPod,
    v1: AppPod,
    v2: AppPod,
    root: IpAddr,
    load: Process,
    /// Which version gets all of the traffic.
    turned: Mutex<&'static str>,
    _place: SemaphorePermit<'static>,
}

impl Scene {
    /// All is well when it comes back. Three are at work at a time: they keep a machine busy.
    pub(crate) async fn begin(namespace: &str) -> Result<Self> {
        Self::begin_with(namespace, None).await
    }

    /// The same with this program for the control plane, and its CRDs.
    pub(crate) async fn begin_with(namespace: &str, program: Option<PathBuf>) -> Result<Self> {
        static PLACES: Semaphore = Semaphore::const_new(3);
        let _place = PLACES.acquire().await?;
        let world = match program {
            None => World::start_secure(namespace, &[], &[]).await?,
            Some(program) => World::start_secure_by(namespace, program).await?,
        };
        let (buyer, v1, v2) = tokio::try_join!(world.pod("buyer"), world.pod("v1"), world.pod("v2"))?;
        world.permit(&["buyer"], &["v1", "v2"]).await?;
        world.service("v1", "v1", &[&v1]).await?;
        world.service("v2", "v2", &[&v2]).await?;
        let root = world.service("store", "v1", &[&v1]).await?[0];
        world.apply(&objects::split(namespace, "store", "store", &[("v1", 1), ("v2", 0)])).await?;
        let rest = Rest::new(world.api.client().await?);
        for n in 0..splits() {
            let (name, path) = (idle(n), format!("/api/v1/namespaces/{namespace}/services"));
            rest.create(&path, &objects::service(namespace, &name, "v1", &APP_PORTS[..1], None)).await?;
            let split = objects::split(namespace, &name, &name, &[("v1", 1), ("v2", 1)]);
            rest.create(&splits_path(namespace), &split).await?;
        }
        buyer.call_until(200, root, 80, &[]).await?;
        let (address, rate) = (SocketAddr::new(root, 80).to_string(), RATE.to_string());
        let load = buyer.start(&["load", &address, "--rate", &rate, "--connections", "4"])?;
        let scene = Self { world, rest, buyer, v1, v2, root, load, turned: Mutex::new("v1"), _place };
        scene.settles("the beginning").await?;
        Ok(scene)
    }

    /// The namespace of everything.
    pub(crate) fn namespace(&self) -> &str {
        &self.world.namespace
    }

    /// The path of a split.
    pub(crate) fn split(&self, name: &str) -> String {
        format!("{}/{name}", splits_path(self.namespace()))
    }

    /// Sends all of the store's traffic to the other version: so it is written; it is in force when the scene settles.
    pub(crate) async fn turn(&self) -> Result<()> {
        let mut turned = self.turned.lock().await;
        let (to, weights) = if *turned == "v1" { ("v2", [0, 1]) } else { ("v1", [1, 0]) };
        let backends = json!([{"service": "v1", "weight": weights[0]}, {"service": "v2", "weight": weights[1]}]);
        self.rest.merge(&self.split("store"), &json!({"spec": {"backends": backends}})).await?;
        *turned = to;
        Ok(())
    }

    /// The end of a failure: a last change is in force, every object is there and its status true, and nobody noticed.
    pub(crate) async fn settles(&self, what: &str) -> Result<()> {
        self.turn().await?;
        self.all_is_true().await.with_context(|| format!("{what}\n{}", self.log_end()))?;
        self.answers_are_of_whom_it_was_turned_to().await.with_context(|| what.to_owned())?;
        self.nobody_noticed(what).await
    }

    /// Every object is there, and its status says of what is written now that it is in force.
    pub(crate) async fn all_is_true(&self) -> Result<()> {
        eventually("statuses that are true", SETTLED, async || {
            let mut objects = Vec::new();
            for kind in KINDS {
                objects.extend(self.rest.list(&format!("/apis/{}", kind.replace("{}", self.namespace()))).await?);
            }
            ensure!(objects.len() == OBJECTS + splits(), "{} objects are left", objects.len());
            let untrue: Vec<_> = objects.iter().filter(|object| !is_true(object)).map(told).collect();
            holds(untrue.is_empty(), || format!("{} are not: {}", untrue.len(), untrue[0]))
        })
        .await
    }

    async fn answers_are_of_whom_it_was_turned_to(&self) -> Result<()> {
        let address = SocketAddr::new(self.root, 80).to_string();
        let mut load = self.buyer.start(&["load", &address, "--rate", "200", "--requests", "20"])?;
        load.wait().await?;
        let sum = last_line(&load)?;
        let expected = json!({*self.turned.lock().await: sum["sent"]});
        ensure!(sum["by_server"] == expected && sum["failed"] == 0, "{sum}, and not {expected}");
        Ok(())
    }

    /// The load goes on for so many seconds' worth of requests.
    pub(crate) async fn goes_on_for(&self, seconds: u64) -> Result<()> {
        let sent = || Ok::<_, anyhow::Error>(last_line(&self.load)?["sent"].as_u64().unwrap_or_default());
        let least = eventually("load", SOON, async || sent()).await? + seconds * RATE;
        eventually("requests", SOON + Duration::from_secs(2 * seconds), async || {
            let sent = sent()?;
            holds(sent >= least, || format!("{sent} of {least}"))
        })
        .await
    }

    /// Not one request has failed, until now and for a moment more.
    pub(crate) async fn nobody_noticed(&self, what: &str) -> Result<()> {
        self.goes_on_for(1).await?;
        let sum = last_line(&self.load)?;
        ensure!(sum["failed"] == 0, "{what}: {sum}\n{}", self.log_end());
        println!("{what}: none of {} requests failed", sum["sent"]);
        Ok(())
    }

    /// Something was said in the operator's log, so often at least.
    pub(crate) async fn told(&self, words: &str, times: usize) -> Result<()> {
        eventually(words, SOON, async || {
            let log = self.world.operator_log();
            holds(log.matches(words).count() >= times, || self.log_end())
        })
        .await
    }

    /// Waits until the operator serves so many proxies.
    pub(crate) async fn serves(&self, proxies: u64) -> Result<()> {
        eventually("streams", SETTLED, async || {
            let streams = self.world.metric("smidge_xds_streams").await?;
            holds(streams == proxies, || format!("{streams} of {proxies}; {}", self.log_end()))
        })
        .await
    }

    /// The operator anew, as it is to be started from now on.
    pub(crate) async fn restart(&self) -> Result<()> {
        self.world.kill_operator().await?;
        self.world.start_operator().await
    }

    /// Its own proxies.
    pub(crate) fn proxies(&self) -> u64 {
        [&self.buyer, &self.v1, &self.v2].len() as u64
    }

    /// Ends the load, of which not one request has failed.
    pub(crate) async fn end(self) -> Result<()> {
        let sum = end(self.load).await?;
        ensure!(sum["failed"] == 0, "{sum}");
        Ok(())
    }

    fn log_end(&self) -> String {
        let log = self.world.operator_log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// How many splits nobody's traffic goes by.
pub(crate) fn splits() -> usize {
    amount(12, 60)
}

/// The name of such a split, and of its root Service.
pub(crate) fn idle(n: usize) -> String {
    format!("idle-{n}")
}

fn splits_path(namespace: &str) -> String {
    format!("/apis/split.smi-spec.io/v1alpha4/namespaces/{namespace}/trafficsplits")
}

fn is_true(object: &Value) -> bool {
    let generation = &object["metadata"]["generation"];
    let conditions = object["status"]["conditions"].as_array();
    let holds = |condition: &Value| condition["status"] == "True" && condition["observedGeneration"] == *generation;
    conditions.is_some_and(|conditions| !conditions.is_empty() && conditions.iter().all(holds))
}

fn told(object: &Value) -> String {
    format!("{} {} {}", object["metadata"]["name"], object["metadata"]["generation"], object["status"])
}

/// How long something took, said with what it was.
pub(crate) fn took(what: &str, begun: Instant) {
    println!("{what}: {:.1} s", begun.elapsed().as_secs_f64());
}

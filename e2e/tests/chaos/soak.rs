//! Pods come and go all the time, twenty a second, each with a proxy; SMI objects change, ten a second; a few real Envoys carry a
//! load. What the operator holds stays what it was. `make soak` does it for an hour (`SOAK_SECONDS`), without it is a moment.

use std::{
    fs,
    net::Ipv4Addr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use smidge_e2e::{
    Rest, eventually, holds, objects,
    proxies::{Door, Event, Expected, Load, scout},
    secure::{CONTROL_PLANE, trust},
    world::SOON,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};

use crate::scene::{Scene, idle, splits};

const ACCOUNT: &str = "churn";
/// From the begin of one pod to that of the next.
const PODS: Duration = Duration::from_millis(50);
/// How long a pod lives once its proxy has everything.
const LIFE: Duration = Duration::from_secs(2);
/// How many live at a time at most, on a machine that is slower than they come.
const PLACES: usize = 100;
/// From one change of an SMI object to the next.
const CHANGES: Duration = Duration::from_millis(100);
/// From one look at what the operator holds to the next.
const LOOKS: Duration = Duration::from_millis(500);
/// By how much of itself any of it may grow over the second half, beside twice what it goes up and down by anyway.
const GROWTH: f64 = 0.1;
/// How many more files and tasks there may be at the end than at the beginning: of connections to the API server that are kept for
/// a while, as many as there were reviews of tokens at once.
const KEPT: f64 = 40.0;

#[tokio::test]
async fn a_mesh_in_which_pods_come_and_go_costs_no_more_than_at_first() -> Result<()> {
    let seconds = std::env::var("SOAK_SECONDS").map_or(Ok(20), |seconds| seconds.parse())?;
    let scene = Scene::begin("soak").await?;
    let churn = Arc::new(Churn::of(&scene).await?);
    scene.serves(scene.proxies()).await?;
    let before = look(&scene, Instant::now()).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&churn).pods());
    tasks.spawn(changes(scene.rest.clone(), scene.namespace().to_owned()));
    let samples = watch(&scene, Duration::from_secs(seconds)).await?;
    tasks.shutdown().await;
    println!(
        "{} pods in {seconds} s, {} of them with everything",
        churn.begun.load(Relaxed),
        churn.served.load(Relaxed)
    );
    all_were_served(&churn, seconds)?;
    is_flat("MiB of memory", &samples, |sample| sample.memory)?;
    // In less time than that the numbers say how busy the machine is, and nothing else.
    if seconds >= 300 {
        is_flat("open files of each stream", &samples, |sample| sample.files / sample.streams)?;
        is_flat("tasks of each stream", &samples, |sample| sample.tasks / sample.streams)?;
    }
    churn.is_over(&scene).await?;
    nothing_is_left(&scene, &before).await?;
    ensure!(scene.world.metric("smidge_drift_total").await? == 0, "drift");
    scene.settles("pods that came and went").await?;
    scene.end().await
}

/// A busy machine makes fewer; each that it makes has everything in the end.
fn all_were_served(churn: &Churn, seconds: u64) -> Result<()> {
    let [served, lost] = [&churn.served, &churn.lost].map(|of| of.load(Relaxed));
    ensure!(served >= seconds && lost == 0, "{served} pods in {seconds} s had everything, {lost} never had");
    Ok(())
}

struct Churn {
    rest: Rest,
    namespace: String,
    door: Door,
    expected: Expected,
    begun: AtomicU64,
    served: AtomicU64,
    lost: AtomicU64,
    places: Semaphore,
}

impl Churn {
    async fn of(scene: &Scene) -> Result<Self> {
        let roots = trust(&scene.world.api, scene.namespace()).await?;
        let name = format!("smidge-xds.{CONTROL_PLANE}.svc");
        let door = Door::tls(scene.world.xds_address(), &name, roots["ca.crt"].as_str().context("no roots")?)?;
        let (rest, namespace) = (scene.rest.clone(), scene.namespace().to_owned());
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        rest.create(&accounts, &objects::service_account(&namespace, ACCOUNT)).await?;
        let token = rest.add_proxy(&namespace, "scout", ACCOUNT, Ipv4Addr::new(10, 127, 0, 1).into()).await?;
        let expected = scout(&door, &format!("scout.{namespace}"), Some(&token)).await?;
        rest.delete(&format!("/api/v1/namespaces/{namespace}/pods/scout")).await?;
        let [begun, served, lost] = Default::default();
        Ok(Self { rest, namespace, door, expected, begun, served, lost, places: Semaphore::new(PLACES) })
    }

    async fn pods(self: Arc<Self>) {
        let mut ticks = interval(PODS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut living = JoinSet::new();
        loop {
            ticks.tick().await;
            if self.places.available_permits() == 0 {
                continue;
            }
            living.spawn(Arc::clone(&self).one_pod(self.begun.fetch_add(1, Relaxed)));
            while living.try_join_next().is_some() {}
        }
    }

    /// Comes, is served, and goes.
    async fn one_pod(self: Arc<Self>, n: u64) {
        let Ok(_place) = self.places.acquire().await else { return };
        let name = format!("churn-{n}");
        // Addresses are used again, as a cluster does.
        let ip = Ipv4Addr::from(0x0A80_0001 + u32::try_from(n % 65_536).unwrap_or_default());
        if let Ok(token) = self.rest.add_proxy(&self.namespace, &name, ACCOUNT, ip.into()).await {
            let had_everything = self.lives(&format!("{name}.{}", self.namespace), &token).await;
            let count = if had_everything { &self.served } else { &self.lost };
            count.fetch_add(1, Relaxed);
        }
        let _ = self.rest.delete(&format!("/api/v1/namespaces/{}/pods/{name}", self.namespace)).await;
    }

    /// Lives on for a while once it has everything; comes again where it is not let in at once. Whether it ever had everything.
    async fn lives(&self, node: &str, token: &str) -> bool {
        let (events, mut told) = mpsc::unbounded_channel();
        let load = Load::new(self.expected.clone(), events);
        let deadline = Instant::now() + SOON;
        while Instant::now() < deadline {
            let mut stream = pin!(load.clone().run(&self.door, node, Some(token)));
            let served = timeout_at(deadline, told.recv());
            let is_served = tokio::select! {
                _ = &mut stream => false,
                event = served => matches!(event, Ok(Some(Event::Served(_)))),
            };
            if is_served {
                let _ = timeout(LIFE, stream).await;
                return true;
            }
        }
        false
    }

    /// Takes away what was cut off, and waits until the operator knows.
    async fn is_over(&self, scene: &Scene) -> Result<()> {
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        for pod in self.rest.list(&format!("{path}?labelSelector=app={ACCOUNT}")).await? {
            let name = pod["metadata"]["name"].as_str().context("a pod has a name")?.to_owned();
            self.rest.delete(&format!("{path}/{name}")).await?;
        }
        scene.serves(scene.proxies()).await
    }
}

/// Splits and targets in turn.
async fn changes(rest: Rest, namespace: String) {
    let mut ticks = interval(CHANGES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for edit in 0_usize.. {
        ticks.tick().await;
        let sources =
            ["buyer", "auditor"].map(|name| json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
        let (path, spec) = match edit % 5 {
            0 => ("access.smi-spec.io/v1alpha3", json!({"sources": sources[..1 + edit / 5 % 2]})),
            _ => {
                let backends = json!([{"service": "v1", "weight": edit + 2}, {"service": "v2", "weight": 1}]);
                ("split.smi-spec.io/v1alpha4", json!({"backends": backends}))
            }
        };
        let object = match edit % 5 {
            0 => "traffictargets/to-v2".to_owned(),
            _ => format!("trafficsplits/{}", idle(edit % splits())),
        };
        let _ = rest.merge(&format!("/apis/{path}/namespaces/{namespace}/{object}"), &json!({"spec": spec})).await;
    }
}

/// What the operator holds at a time.
#[derive(Debug)]
struct Sample {
    /// Since the first one, in seconds.
    at: f64,
    memory: f64,
    files: f64,
    tasks: f64,
    /// Of proxies: more and less of them are there from moment to moment.
    streams: f64,
}

async fn watch(scene: &Scene, time: Duration) -> Result<Vec<Sample>> {
    let (begun, mut ticks, mut samples) = (Instant::now(), interval(LOOKS), Vec::new());
    while begun.elapsed() < time {
        ticks.tick().await;
        samples.push(look(scene, begun).await?);
    }
    Ok(samples)
}

async fn look(scene: &Scene, begun: Instant) -> Result<Sample> {
    let pid = scene.world.operator_pid().await?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc/…/status")?;
    let kib: f64 = rss.trim().trim_end_matches(" kB").parse()?;
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as f64;
    let tasks = scene.world.metric("smidge_tasks").await? as f64;
    let streams = scene.world.metric("smidge_xds_streams").await? as f64;
    Ok(Sample { at: begun.elapsed().as_secs_f64(), memory: kib / 1024.0, files, tasks, streams })
}

/// Of hundreds of proxies that were there, nothing is left but a few connections to the API server.
async fn nothing_is_left(scene: &Scene, before: &Sample) -> Result<()> {
    let then = look(scene, Instant::now()).await?;
    println!("before: {before:.0?}; after: {then:.0?}");
    eventually("an end of what proxies took", SOON, async || {
        let now = look(scene, Instant::now()).await?;
        let left = [now.files - before.files, now.tasks - before.tasks];
        holds(left.iter().all(|left| *left <= KEPT), || format!("{left:?} files and tasks are left"))
    })
    .await
}

/// A line through the second half hardly rises.
fn is_flat(what: &str, samples: &[Sample], of: fn(&Sample) -> f64) -> Result<()> {
    let half = &samples[samples.len() / 2..];
    let points: Vec<_> = half.iter().map(|sample| (sample.at, of(sample))).collect();
    let Line { mean, slope, noise } = line(&points);
    let span = half.last().map_or(0.0, |last| last.at) - half.first().map_or(0.0, |first| first.at);
    let growth = slope * span;
    println!("{what}: {mean:.1} ± {noise:.1} in the second half, growing by {growth:+.1} in {span:.0} s");
    ensure!(growth <= mean * GROWTH + 2.0 * noise, "{what} grew by {growth:.1} from {mean:.1} ± {noise:.1}");
    Ok(())
}

/// The least-squares line through points.
struct Line {
    mean: f64,
    slope: f64,
    /// The standard deviation from it.
    noise: f64,
}

fn line(points: &[(f64, f64)]) -> Line {
    let count = points.len().max(1) as f64;
    let (x, mean) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (rise, run) = points.iter().fold((0.0, 0.0), |(rise, run), point| {
        let away = point.0 - x;
        (rise + away * (point.1 - mean), run + away * away)
    });
    let slope = if run > 0.0 { rise / run } else { 0.0 };
    let squares: f64 = points.iter().map(|point| (point.1 - mean - slope * (point.0 - x)).powi(2)).sum();
    Line { mean, slope, noise: (squares / count).sqrt() }
}

#[test]
fn a_line_through_points_on_a_line_is_that_line() {
    let points: Vec<_> = (0..10).map(|n| (f64::from(n), 3.0 + 0.5 * f64::from(n))).collect();
    let Line { mean, slope, noise } = line(&points);
    assert!((mean - 5.25).abs() < 1e-9 && (slope - 0.5).abs() < 1e-9 && noise < 1e-9, "{mean} {slope} {noise}");
}

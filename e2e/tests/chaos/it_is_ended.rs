//! Operators that end: killed again and again, in whatever they are at; the leader, while everybody's statuses are written; and
//! one that has nowhere to log to.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use smidge_e2e::{Daemon, eventually, holds, secure::CONTROL_PLANE, world::SOON};
use tokio::net::TcpStream;

use crate::{amount, is_full, scene::Scene, storm::Storm};

/// The Lease's time, and what a busy machine adds.
const TAKEOVER: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_control_plane_that_ends_again_and_again_harms_nobody() -> Result<()> {
    let scene = Scene::begin("endings").await?;
    killed_in_a_loop(&scene).await?;
    led_by_another_in_a_storm(&scene).await?;
    logging_to_a_full_disk(&scene).await?;
    scene.end().await
}

/// What an operator has come to when it is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Started,
    Listens,
    Reads,
    Serves,
    Writes,
}

const MOMENTS: [Moment; 5] = [Moment::Started, Moment::Listens, Moment::Reads, Moment::Serves, Moment::Writes];

async fn killed_in_a_loop(scene: &Scene) -> Result<()> {
    let storm = Storm::begin(scene);
    for moment in MOMENTS.iter().cycle().take(amount(5, 30)) {
        comes_to(scene, *moment).await?;
        scene.restart().await?;
    }
    drop(storm);
    scene.settles("kill -9 in a loop").await
}

async fn comes_to(scene: &Scene, moment: Moment) -> Result<()> {
    let world = &scene.world;
    match moment {
        Moment::Started => Ok(()),
        Moment::Listens => {
            eventually("open port", SOON, async || Ok(TcpStream::connect(world.xds_address()).await.map(drop)?)).await
        }
        Moment::Reads => {
            eventually("published objects", SOON, async || {
                let publications = world.metric("smidge_publications_total").await?;
                holds(publications > 0, || world.operator_log())
            })
            .await
        }
        Moment::Serves => scene.serves(scene.proxies()).await,
        Moment::Writes => {
            scene.turn().await?;
            scene.turn().await
        }
    }
}

/// Waits until this replica holds the Lease.
pub(crate) async fn leads(scene: &Scene, name: &str) -> Result<()> {
    eventually(&format!("lead of {name}"), TAKEOVER, async || {
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{CONTROL_PLANE}/leases/smidge-leader");
        let lease = scene.rest.read(&lease).await?;
        holds(lease["spec"]["holderIdentity"] == name, || lease["spec"].to_string())
    })
    .await
}

/// The leader gives its Lease back; in full it is also stopped where it is, and killed.
async fn led_by_another_in_a_storm(scene: &Scene) -> Result<()> {
    scene.serves(scene.proxies()).await?;
    leads(scene, "operator-0").await?;
    let (mut other, port) = scene.world.start_replica("operator-1").await?;
    eventually("a follower", SOON, async || {
        holds(scene.world.metric("smidge_replicas_connected").await? == 1, || scene.world.operator_log())
    })
    .await?;
    let storm = Storm::begin(scene);
    storm.goes_on(20).await?;
    let status = scene.world.stop_operator().await?;
    ensure!(status.success(), "{status}");
    leads(scene, "operator-1").await?;
    storm.goes_on(20).await?;
    scene.world.start_operator().await?;
    if is_full() {
        suspended(scene, &other, port).await?;
        scene.world.kill_operator().await?;
        leads(scene, "operator-1").await?;
        storm.goes_on(20).await?;
        scene.world.start_operator().await?;
    }
    other.stop()?;
    leads(scene, "operator-0").await?;
    drop(storm);
    scene.serves(scene.proxies()).await?;
    scene.settles("the leader lost in a storm of statuses").await
}

/// A leader that does not run for longer than its Lease lasts still believes that it leads when it runs again.
async fn suspended(scene: &Scene, leader: &Daemon, port: u16) -> Result<()> {
    leader.signal(Signal::SIGSTOP)?;
    leads(scene, "operator-0").await?;
    leader.signal(Signal::SIGCONT)?;
    eventually("a follower that was the leader", TAKEOVER, async || {
        let metrics = scene.world.metrics_at(port).await?;
        holds(metrics.contains("smidge_replicas_connected 0\n"), || metrics.clone())?;
        holds(scene.world.metric("smidge_replicas_connected").await? == 1, || scene.world.operator_log())
    })
    .await?;
    leads(scene, "operator-0").await
}

/// Nobody reads what it says; its metrics go on telling.
async fn logging_to_a_full_disk(scene: &Scene) -> Result<()> {
    scene.world.operators.lock().await.log = Some(PathBuf::from("/dev/full"));
    scene.restart().await?;
    scene.serves(scene.proxies()).await?;
    scene.settles("no room for the log").await?;
    scene.world.operators.lock().await.log = None;
    scene.restart().await?;
    scene.serves(scene.proxies()).await?;
    scene.settles("room for the log again").await
}

//! Retries that nobody asked for: a request that no server has seen goes to another endpoint; one that a server may have
//! acted on is never sent twice.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use anyhow::{Result, ensure};
use smidge_e2e::world::{AppPod, PodOptions, World};
use tokio::{io::AsyncReadExt, net::TcpListener};

#[tokio::test]
async fn only_what_was_never_delivered_is_sent_again() -> Result<()> {
    let world = World::start("retries", &[]).await?;
    let outside = |app| PodOptions { app, service_account: app, meshed: false };
    let (buyer, alive, mut dead, mut greedy) = tokio::try_join!(
        world.pod("buyer"),
        world.pod_with("alive", outside("store")),
        world.pod_with("dead", outside("store")),
        world.pod_with("greedy", outside("greedy"))
    )?;
    let store = world.service("store", "store", &[&alive, &dead]).await?[0];
    let lost = world.service("greedy", "greedy", &[&greedy]).await?[0];
    buyer.call_until(200, store, 80, &[]).await?;
    buyer.call_until(200, lost, 80, &[]).await?;

    dead.server.terminate().await?;
    for _ in 0..20 {
        let answer = buyer.call(store, 80, &[]).await?;
        ensure!(answer["status"] == 200 && answer["server"] == "alive", "{answer}");
    }
    ensure!(retried(&buyer, "retries/store/80/http").await? > 0, "nothing was retried: the test says nothing");

    greedy.server.terminate().await?;
    let taken = Arc::new(AtomicU64::new(0));
    tokio::spawn(take(greedy.pod.listen(SocketAddr::new(greedy.pod.ips()[0], 8080))?, taken.clone()));
    for sent in 1..=3 {
        let answer = buyer.call(lost, 80, &["--method", "POST"]).await?;
        ensure!(answer["status"] == 503, "{answer}");
        ensure!(taken.load(SeqCst) == sent, "{sent} sent, {} taken", taken.load(SeqCst));
    }
    Ok(())
}

/// Takes requests and closes their connections without an answer.
async fn take(listener: TcpListener, taken: Arc<AtomicU64>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 4096];
        if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
            taken.fetch_add(1, SeqCst);
        }
    }
}

async fn retried(caller: &AppPod, cluster: &str) -> Result<u64> {
    let stats = caller.pod.admin("GET", "/stats?filter=upstream_rq_retry$").await?;
    let of_cluster = stats.lines().filter(|line| line.starts_with(&format!("cluster.{cluster}.")));
    Ok(of_cluster.filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum())
}

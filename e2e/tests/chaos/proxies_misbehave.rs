//! Two hundred proxies that come back at once; and among them one that never reads, one that rejects everything and one that asks
//! for everything, over and over. The others get every change all the same.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use smidge_e2e::{
    eventually, holds, objects,
    proxies::{Door, Event, Load, Stream, scout},
    secure::{CONTROL_PLANE, trust},
    world::SOON,
};
use smidge_xds::TypeUrl;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    amount, is_full,
    scene::{Scene, took},
};

const CROWD: usize = 200;
const ACCOUNT: &str = "crowd";
/// Longer than this nobody waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the server lets a client ask for beside its answers: at once, and per second after that.
const ASKED_AT_ONCE: u64 = 10_000;
const ASKED_PER_SECOND: u64 = 500;

#[tokio::test]
async fn proxies_by_the_hundred_and_proxies_that_misbehave_harm_nobody() -> Result<()> {
    let scene = Scene::begin("crowded").await?;
    let mut crowd = Crowd::gather(&scene).await?;
    crowd.comes_back_at_once(&scene).await?;
    misbehaviour(&scene, &mut crowd).await?;
    crowd.leaves(&scene).await?;
    scene.end().await
}

/// Simulated proxies, which come back when their streams end.
struct Crowd {
    door: Door,
    told: mpsc::UnboundedReceiver<Event>,
    load: Arc<Load>,
    tasks: JoinSet<()>,
}

impl Crowd {
    async fn gather(scene: &Scene) -> Result<Self> {
        let roots = trust(&scene.world.api, scene.namespace()).await?;
        let name = format!("smidge-xds.{CONTROL_PLANE}.svc");
        let door = Door::tls(scene.world.xds_address(), &name, roots["ca.crt"].as_str().context("no roots")?)?;
        let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", scene.namespace());
        scene.rest.create(&accounts, &objects::service_account(scene.namespace(), ACCOUNT)).await?;
        let begun = std::time::Instant::now();
        let tokens = stream::iter(0..CROWD).map(|n| async move { add(scene, &format!("crowd-{n}"), n).await });
        let tokens: Vec<_> = tokens.buffered(8).try_collect().await?;
        took("pods of the crowd", begun);
        let (node, token) = &tokens[0];
        let expected = scout(&door, node, Some(token)).await?;
        let (events, told) = mpsc::unbounded_channel();
        let mut crowd = Self { load: Load::new(expected, events), door, told, tasks: JoinSet::new() };
        for (node, token) in tokens {
            crowd.tasks.spawn(comes_back(Arc::clone(&crowd.load), crowd.door.clone(), node, token));
        }
        crowd.is_served().await?;
        scene.serves(scene.proxies() + CROWD as u64).await?;
        scene.settles("a crowd").await?;
        Ok(crowd)
    }

    /// Each has everything, since the last time.
    async fn is_served(&mut self) -> Result<()> {
        self.each(|event| matches!(event, Event::Served(_)).then(Vec::new)).await.map(drop)
    }

    /// Each has seen the awaited resource, in one and the same version.
    async fn sees_one_version(&mut self) -> Result<()> {
        let versions = self.each(|event| match event {
            Event::Arrived(_, version) => Some(version.to_vec()),
            _ => None,
        });
        let versions = versions.await?;
        ensure!(versions.len() == 1, "{} versions", versions.len());
        Ok(())
    }

    async fn each(&mut self, is_it: impl Fn(Event) -> Option<Vec<u8>>) -> Result<BTreeSet<Vec<u8>>> {
        let (mut seen, mut count) = (BTreeSet::new(), 0);
        let all = async {
            while count < CROWD {
                let event = self.told.recv().await.context("the crowd is gone")?;
                if let Some(what) = is_it(event) {
                    seen.insert(what);
                    count += 1;
                }
            }
            anyhow::Ok(())
        };
        let all = timeout(PATIENCE, all).await;
        match all {
            Ok(done) => done.map(|()| seen),
            Err(_) => bail!("{count} of {CROWD}"),
        }
    }

    /// A change of the store's split reaches all of them.
    async fn gets_a_change(&mut self, scene: &Scene) -> Result<()> {
        self.load.await_resource(TypeUrl::Route, &format!("{}/store/80", scene.namespace()));
        scene.turn().await?;
        self.sees_one_version().await
    }

    async fn comes_back_at_once(&mut self, scene: &Scene) -> Result<()> {
        for _ in 0..amount(1, 5) {
            let begun = std::time::Instant::now();
            scene.restart().await?;
            self.is_served().await?;
            took(&format!("{CROWD} proxies back, from the start of the operator on"), begun);
            scene.serves(scene.proxies() + CROWD as u64).await?;
            let opened = scene.world.metric("smidge_xds_streams_opened_total").await?;
            // Some are back before their old stream is known to be dead; none comes again and again.
            ensure!(opened <= 2 * (scene.proxies() + CROWD as u64), "{opened} streams were opened");
        }
        scene.settles("two hundred proxies that came back at once").await
    }

    async fn leaves(mut self, scene: &Scene) -> Result<()> {
        self.tasks.shutdown().await;
        scene.serves(scene.proxies()).await?;
        let delete = |n| async move { remove(scene, &format!("crowd-{n}")).await };
        stream::iter(0..CROWD).map(delete).buffer_unordered(8).try_collect::<()>().await?;
        scene.settles("a crowd that has gone").await
    }
}

/// A pod of its own for a proxy: what the proxy calls itself, and its token.
async fn add(scene: &Scene, name: &str, n: usize) -> Result<(String, String)> {
    let ip = Ipv4Addr::from(0x0A80_0001 + u32::try_from(n)?).into();
    let token = scene.rest.add_proxy(scene.namespace(), name, ACCOUNT, ip).await?;
    Ok((format!("{name}.{}", scene.namespace()), token))
}

async fn remove(scene: &Scene, name: &str) -> Result<()> {
    scene.rest.delete(&format!("/api/v1/namespaces/{}/pods/{name}", scene.namespace())).await
}

async fn comes_back(load: Arc<Load>, door: Door, node: String, token: String) {
    loop {
        // How it ended does not matter; Envoy waits for longer.
        let _ = load.clone().run(&door, &node, Some(&token)).await;
        let _ = timeout(Duration::from_millis(200), std::future::pending::<()>()).await;
    }
}

/// What a proxy does that means no good.
#[derive(Clone, Copy, Debug)]
enum Manner {
    NeverReads,
    RejectsAll,
    AsksAgain,
}

const MANNERS: [(&str, Manner); 3] =
    [("mute", Manner::NeverReads), ("naysayer", Manner::RejectsAll), ("greedy", Manner::AsksAgain)];

async fn misbehaviour(scene: &Scene, crowd: &mut Crowd) -> Result<()> {
    let before = scene.world.metric("smidge_xds_requests_total").await?;
    let (begun, mut tasks) = (Instant::now(), JoinSet::new());
    for (n, (name, manner)) in MANNERS.into_iter().enumerate() {
        let (node, token) = add(scene, name, CROWD + n).await?;
        let door = crowd.door.clone();
        tasks.spawn(async move {
            loop {
                let _ = misbehave(&door, &node, &token, manner).await;
                let _ = timeout(Duration::from_millis(200), std::future::pending::<()>()).await;
            }
        });
    }
    scene.serves(scene.proxies() + CROWD as u64 + 3).await?;
    let changes = amount(10, 100);
    let first = std::time::Instant::now();
    for _ in 0..changes {
        crowd.gets_a_change(scene).await.context("a change beside proxies that misbehave")?;
    }
    took(&format!("{changes} changes to {CROWD} proxies beside three that misbehave"), first);
    scene.nobody_noticed("proxies that misbehave").await?;
    let requests = scene.world.metric("smidge_xds_requests_total").await? - before;
    let answers = scene.world.metric("smidge_xds_responses_total").await?;
    let allowed = ASKED_AT_ONCE + ASKED_PER_SECOND * (begun.elapsed().as_secs() + 1) + answers;
    println!("{requests} requests, {allowed} allowed");
    ensure!(requests > 100 && requests <= 2 * allowed, "{requests} requests, {allowed} allowed");
    they_are_told_of(scene).await?;
    if is_full() {
        eventually("an end of the one that never reads", PATIENCE, async || {
            let unanswered = scene.world.metric("smidge_xds_unanswered_total").await?;
            holds(unanswered > 0, || "it is still waited for".into())
        })
        .await?;
    }
    tasks.shutdown().await;
    for (name, _) in MANNERS {
        remove(scene, name).await?;
    }
    scene.serves(scene.proxies() + CROWD as u64).await?;
    scene.settles("the end of those that misbehaved").await
}

/// In the status of what they hold up, and in the log and metrics.
async fn they_are_told_of(scene: &Scene) -> Result<()> {
    eventually("word of the rejection", SOON, async || {
        let split = scene.rest.read(&scene.split("store")).await?;
        let told = split["status"]["conditions"].to_string();
        let parts = ["\"Rejected\"", "naysayer.crowded says", "I will not"];
        holds(parts.iter().all(|part| told.contains(part)), || told.clone())
    })
    .await?;
    ensure!(scene.world.metric("smidge_xds_nacks_total").await? > 0, "no NACK was counted");
    scene.told("I will not", 1).await
}

async fn misbehave(door: &Door, node: &str, token: &str, manner: Manner) -> Result<()> {
    match manner {
        Manner::NeverReads => {
            let (mut stream, mut responses) = Stream::open_with(door, node, Some(token), 1024).await?;
            stream.subscribe(TypeUrl::Cluster, [])?;
            responses.until_accepted().await?;
            responses.until_ended().await
        }
        Manner::RejectsAll => {
            let (mut stream, mut responses) = Stream::open(door, node, Some(token)).await?;
            for type_url in [TypeUrl::Cluster, TypeUrl::Listener] {
                stream.subscribe(type_url, [])?;
            }
            let route = format!("{}/store/80", node.split_once('.').context("a node")?.1);
            stream.subscribe(TypeUrl::Route, [route])?;
            loop {
                let response = responses.next().await?;
                stream.reject(&response, "I will not")?;
            }
        }
        Manner::AsksAgain => {
            let (mut stream, mut responses) = Stream::open(door, node, Some(token)).await?;
            loop {
                stream.subscribe(TypeUrl::Cluster, ["*".to_owned()])?;
                stream.room().await?;
                while let Ok(response) = timeout(Duration::ZERO, responses.next()).await {
                    stream.acknowledge(&response?)?;
                }
            }
        }
    }
}

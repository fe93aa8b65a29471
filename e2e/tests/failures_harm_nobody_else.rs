//! What breaks, or is meant to break something, harms nobody else: real failures under real traffic.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use smidge_e2e::{
    eventually, holds, objects,
    world::{APP_PORTS, AppPod, SOON, World, end, last_line},
};
use smidge_sandbox::Process;

/// Requests a second of the load that must never notice anything.
const RATE: f64 = 200.0;
/// How long the API server is away, in seconds.
const ABSENCE: f64 = 30.0;
/// How long an operator may take to stop: less than its grace for connections that do not close.
const STOPPED: Duration = Duration::from_secs(4);

/// A client and two versions of a store behind a root Service, everything permitted, under load.
struct Shop {
    world: World,
    buyer: AppPod,
    root: IpAddr,
    v1: AppPod,
    v2: AppPod,
    load: Process,
}

async fn shop(namespace: &str) -> Result<Shop> {
    let world = World::start(namespace, &[]).await?;
    let (buyer, v1, v2) = tokio::try_join!(world.pod("buyer"), world.pod("v1"), world.pod("v2"))?;
    world.permit(&["buyer"], &["v1", "v2"]).await?;
    world.service("v1", "v1", &[&v1]).await?;
    world.service("v2", "v2", &[&v2]).await?;
    let root = world.service("store", "v1", &[&v1]).await?[0];
    world.apply(&objects::split(namespace, "store", "store", &[("v1", 1), ("v2", 0)])).await?;
    world.wait_for("Programmed", "trafficsplit/store").await?;
    buyer.call_until(200, root, 80, &[]).await?;
    let (address, rate) = (SocketAddr::new(root, 80).to_string(), RATE.to_string());
    let load = buyer.start(&["load", &address, "--rate", &rate])?;
    let shop = Shop { world, buyer, root, v1, v2, load };
    shop.goes_on(RATE).await?;
    Ok(shop)
}

impl Shop {
    /// Returns once the load has sent so many more requests.
    async fn goes_on(&self, requests: f64) -> Result<()> {
        let sent = async || Ok::<_, anyhow::Error>(last_line(&self.load)?["sent"].as_f64().unwrap_or_default());
        let least = eventually("load", SOON, sent).await? + requests;
        let patience = SOON + Duration::from_secs_f64(2.0 * requests / RATE);
        eventually("requests", patience, async || {
            let sent = sent().await?;
            holds(sent >= least, || format!("{sent} of {least}"))
        })
        .await
    }

    /// Sends all of the store's traffic to `v2`: the status says so, and new requests go there.
    async fn turn_to_v2(&self) -> Result<()> {
        self.world.apply(&objects::split(&self.world.namespace, "store", "store", &[("v1", 0), ("v2", 1)])).await?;
        self.world.wait_for("Programmed", "trafficsplit/store").await.with_context(|| self.world.operator_log())?;
        self.answered_by("v2", self.root).await
    }

    /// At least twenty answers in a row come from this server.
    async fn answered_by(&self, server: &str, ip: IpAddr) -> Result<()> {
        let address = SocketAddr::new(ip, 80).to_string();
        let sum = self.buyer.start(&["load", &address, "--rate", "200", "--requests", "20"])?;
        let sum = finished(sum).await?;
        assert_eq!((&sum["by_server"], &sum["failed"]), (&json!({server: sum["sent"]}), &json!(0)), "{sum}");
        Ok(())
    }

    /// SIGTERM: it ends the streams and then itself, soon and well.
    async fn stop_operator(&self) -> Result<()> {
        let begin = Instant::now();
        let status = self.world.stop_operator().await?;
        assert!(status.success() && begin.elapsed() < STOPPED, "{status} after {:?}", begin.elapsed());
        Ok(())
    }

    /// Ends the load, of which not one request has failed.
    async fn unharmed(self) -> Result<()> {
        let sum = end(self.load).await?;
        assert_eq!(sum["failed"], 0, "{sum}");
        Ok(())
    }

    fn pods(&self) -> [&AppPod; 3] {
        [&self.buyer, &self.v1, &self.v2]
    }
}

async fn finished(mut load: Process) -> Result<Value> {
    load.wait().await?;
    last_line(&load)
}

/// How many updates of each kind and name an Envoy has taken over.
async fn updates(pod: &AppPod) -> Result<BTreeMap<String, u64>> {
    let stats = pod.pod.admin("GET", "/stats?filter=update_success").await?;
    let row = |line: &str| line.split_once(": ").and_then(|(name, count)| Some((name.to_owned(), count.parse().ok()?)));
    Ok(stats.lines().filter_map(row).collect())
}

/// What of `after` is not as `before`, secrets left out.
fn resent(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<String> {
    let changed = after.iter().filter(|(name, count)| before.get(*name) != Some(count) && !name.contains("sds."));
    changed.map(|(name, count)| format!("{name}: {:?} → {count}", before.get(name))).collect()
}

fn certificates(updates: &BTreeMap<String, u64>) -> Option<u64> {
    updates.iter().find(|(name, _)| name.ends_with("sds.workload.update_success")).map(|(_, count)| *count)
}

/// How an operator ends.
enum Ending {
    Killed,
    Stopped,
}

#[tokio::test]
async fn an_operator_killed_under_load_comes_back_and_resends_nothing_but_certificates() -> Result<()> {
    an_operator_ends_and_comes_back("phoenix", Ending::Killed).await
}

#[tokio::test]
async fn an_operator_stopped_under_load_comes_back_and_resends_nothing_but_certificates() -> Result<()> {
    an_operator_ends_and_comes_back("rollout", Ending::Stopped).await
}

async fn an_operator_ends_and_comes_back(namespace: &str, ending: Ending) -> Result<()> {
    let shop = shop(namespace).await?;
    let mut before = Vec::new();
    for pod in shop.pods() {
        before.push(updates(pod).await?);
    }
    match ending {
        Ending::Killed => shop.world.kill_operator().await?,
        Ending::Stopped => shop.stop_operator().await?,
    }
    shop.goes_on(2.0 * RATE).await?;
    shop.world.start_operator().await?;
    for (pod, before) in shop.pods().into_iter().zip(&before) {
        // Its key lived in the dead process only, so a new certificate shows that this Envoy is back.
        let after = eventually("new certificate", SOON, async || {
            let after = updates(pod).await?;
            holds(certificates(&after) > certificates(before), || format!("{after:?}")).map(|()| after)
        });
        assert_eq!(resent(before, &after.await?), [""; 0], "{}", pod.name);
    }
    shop.turn_to_v2().await?;
    for (pod, before) in shop.pods().into_iter().zip(&before) {
        let resent = resent(before, &updates(pod).await?);
        let (of_split, others): (Vec<_>, Vec<_>) =
            resent.into_iter().partition(|row| row.contains(&format!("{namespace}/store/")));
        assert_eq!(others, [""; 0], "{}: what has nothing to do with the split", pod.name);
        assert!(!of_split.is_empty(), "{} has got the split", pod.name);
    }
    shop.unharmed().await
}

#[tokio::test]
async fn traffic_goes_on_without_the_api_server_and_changes_catch_up_after_it() -> Result<()> {
    let shop = shop("blackout").await?;
    shop.world.api.stop().await?;
    shop.goes_on(ABSENCE * RATE).await?;
    shop.world.api.resume().await?;
    shop.turn_to_v2().await?;
    shop.unharmed().await
}

#[tokio::test]
async fn what_an_envoy_refuses_and_what_malice_writes_stays_with_its_author() -> Result<()> {
    let shop = shop("fortress").await?;
    let other = shop.world.service("other", "v1", &[&shop.v1]).await?[0];
    a_refusal(&shop, other).await?;
    malice(&shop, other).await?;
    shop.turn_to_v2().await?;
    shop.unharmed().await
}

/// No object is known that the compiler takes and a stock Envoy refuses. So one Envoy is given a bound of its own for
/// expressions, tighter than the bootstrap's, and refuses what the others take: a real refusal of a real object.
async fn a_refusal(shop: &Shop, other: IpAddr) -> Result<()> {
    let (world, namespace) = (&shop.world, &shop.world.namespace);
    shop.buyer.pod.admin("POST", "/runtime_modify?re2.max_program_size.error_level=100").await?;
    beta(world, "x{150}").await?;
    let mut split = objects::split(namespace, "beta", "store", &[("v2", 1)]);
    split["spec"]["matches"] = json!([{"kind": "HTTPRouteGroup", "name": "beta"}]);
    world.apply(&split).await?;
    eventually("refusal in the status", SOON, async || {
        let told = world.field("trafficsplit/beta", "{.status.conditions[?(@.type=='Programmed')]}").await?;
        let is_told = ["\"Rejected\"", "1 of 3 proxies", "buyer.fortress says", "max program size"];
        holds(is_told.iter().all(|part| told.contains(part)), || told.clone())
    })
    .await?;

    world.apply(&objects::split(namespace, "other", "other", &[("v2", 1)])).await?;
    world.wait_for("Programmed", "trafficsplit/other").await?;
    shop.answered_by("v2", other).await?;
    shop.answered_by("v1", shop.root).await?;

    beta(world, "x+").await?;
    world.wait_for("Programmed", "trafficsplit/beta").await?;
    let answer = shop.buyer.call(shop.root, 80, &["-H", "x-user: xxx"]).await?;
    assert_eq!(answer["server"], "v2", "{answer}");
    shop.buyer.pod.admin("POST", "/runtime_modify?re2.max_program_size.error_level=").await.map(drop)?;
    Ok(())
}

async fn beta(world: &World, user: &str) -> Result<()> {
    let matches = json!([{"name": "beta", "headers": [{"x-user": user}]}]);
    world.apply(&objects::route_group(&world.namespace, "beta", &matches)).await
}

/// Somebody fills a namespace of their own with the largest expressions that can be written, fit and unfit, in every
/// Envoy's routes by a split and in policy by a target.
async fn malice(shop: &Shop, other: IpAddr) -> Result<()> {
    let (world, mallory) = (&shop.world, "mallory");
    world.apply(&objects::namespace(mallory, &[])).await?;
    for service in ["trap", "bait"] {
        world.apply(&objects::service(mallory, service, service, &APP_PORTS, None)).await?;
    }
    let expression = |n: usize| match n % 4 {
        0 => format!("/{n}/[a-z]{{90}}"),
        1 => format!("/{n}/({}){{1000}}", "(a{100}){100}|".repeat(60)),
        2 => format!("/{n}/{}", "(".repeat(900)),
        _ => format!("/{n}/{}", "a*".repeat(450)),
    };
    let matches: Vec<_> = (0..300).map(|n| json!({"name": format!("m{n}"), "pathRegex": expression(n)})).collect();
    world.apply(&objects::route_group(mallory, "heap", &json!(matches))).await?;
    let mut split = objects::split(mallory, "trap", "trap", &[("bait", u32::MAX)]);
    split["spec"]["matches"] = json!([{"kind": "HTTPRouteGroup", "name": "heap"}]);
    world.apply(&split).await?;
    world.apply(&objects::target(mallory, "heap", "trap", &["trap"], &[("HTTPRouteGroup", "heap")])).await?;

    world.apply(&objects::split(&world.namespace, "other", "other", &[("v1", 1)])).await?;
    world.wait_for("Programmed", "trafficsplit/other").await?;
    shop.answered_by("v1", other).await?;
    let diagnosed = "-ojsonpath={.status.conditions[?(@.type=='Accepted')]}";
    eventually("diagnosis of malice", SOON, async || {
        let told = world.api.kubectl(&["get", "-n", mallory, "httproutegroup/heap", diagnosed]).await?;
        let is_told = ["\"False\"", "SMI0301", "SMI0302"];
        holds(is_told.iter().all(|part| told.contains(part)), || told.clone())
    })
    .await?;
    // What is fit of it is as large as can be, and every Envoy has taken it.
    world.api.kubectl(&["wait", "-n", mallory, "--for=condition=Programmed", "trafficsplit/trap"]).await?;
    let routes = shop.buyer.pod.admin("GET", "/config_dump?resource=dynamic_route_configs").await?;
    assert!(routes.contains("[a-z]{90}") && routes.contains("a*a*a*"), "the buyer's Envoy has Mallory's routes");
    Ok(())
}

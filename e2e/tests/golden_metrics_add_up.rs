//! Golden metrics as Prometheus reads them from real Envoys: both sides count what was sent, by caller, server, Service,
//! backend, route and class; an audit counts what it would refuse; and what a caller makes up makes no series.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use smidge_e2e::{
    eventually, holds, objects,
    world::{AppPod, SOON, World, last_line},
};
use tokio::io::AsyncWriteExt;

/// How many requests are sent through the split.
const REQUESTS: u64 = 400;

/// One line of Prometheus' text format.
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: u64,
}

/// The golden metrics of a pod's Envoy.
struct Metrics(Vec<Series>);

impl Metrics {
    async fn of(pod: &AppPod) -> Result<Self> {
        let text = pod.pod.admin("GET", "/stats/prometheus").await?;
        let ours = text.lines().filter(|line| line.starts_with("envoy_smidge_"));
        ours.map(|line| series(line).with_context(|| line.to_owned())).collect::<Result<_>>().map(Self)
    }

    /// The sum of the series of a name that have all these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let has = |series: &&Series| {
            labels.iter().all(|(label, value)| series.labels.get(*label).is_some_and(|known| known == value))
        };
        let named = self.0.iter().filter(|series| series.name == format!("envoy_smidge_{name}"));
        named.filter(has).map(|series| series.value).sum()
    }
}

fn series(line: &str) -> Option<Series> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    // No value of ours holds a comma or a quote.
    let labels = labels.split(',').filter_map(|label| label.split_once('='));
    let labels = labels.map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned())).collect();
    Some(Series { name: name.to_owned(), labels, value: value.parse::<f64>().ok()? as u64 })
}

#[tokio::test]
async fn golden_metrics_add_up() -> Result<()> {
    let world = World::start("golden", &[]).await?;
    let (buyer, v1, v2) = tokio::try_join!(world.pod("buyer"), world.pod("v1"), world.pod("v2"))?;
    world.permit(&["buyer"], &["v1"]).await?;
    world.apply(&objects::route_group("golden", "get", &json!([{"name": "get", "methods": ["GET"]}]))).await?;
    world.apply(&objects::target("golden", "get-v2", "v2", &["buyer"], &[("HTTPRouteGroup", "get")])).await?;
    let direct = world.service("v1", "v1", &[&v1]).await?[0];
    world.service("v2", "v2", &[&v2]).await?;
    let root = world.service("store", "v1", &[&v1]).await?[0];
    buyer.call_until(200, root, 80, &[]).await?;
    world.apply(&objects::split("golden", "store", "store", &[("v1", 90), ("v2", 10)])).await?;
    world.wait_for("Programmed", "trafficsplit/store").await?;

    let by_server = requests_are_counted_on_both_sides(&buyer, (&v1, &v2), SocketAddr::new(root, 80)).await?;
    ensure!(by_server["v1"] > by_server["v2"] && by_server["v2"] > 0, "no split: {by_server:?}");
    // Not by the split: of v2 nothing but GET is open, so a tenth of the connections would be refused.
    connections_are_counted_with_their_bytes(&buyer, &v1, SocketAddr::new(direct, 90)).await?;
    a_caller_who_goes_away_is_counted_as_such(&buyer, &v1, SocketAddr::new(direct, 80)).await?;
    what_a_caller_makes_up_makes_no_series(&buyer, (&v1, &v2), root).await?;
    an_audit_counts_what_it_would_refuse(&world, &buyer, &v2).await
}

async fn requests_are_counted_on_both_sides(
    buyer: &AppPod,
    (v1, v2): (&AppPod, &AppPod),
    to: SocketAddr,
) -> Result<BTreeMap<String, u64>> {
    // Of the requests before the split some are on the route `root`.
    let (to, count) = (to.to_string(), REQUESTS.to_string());
    let mut load = buyer.start(&["load", &to, "--rate", "200", "--requests", &count])?;
    load.wait().await?;
    let sum = last_line(&load)?;
    ensure!(sum["failed"] == 0 && sum["done"] == true, "{sum}");
    let split = [
        ("reporter", "source"),
        ("source", "spiffe://cluster.local/ns/golden/sa/buyer"),
        ("service", "golden/store/80"),
        ("route", "split/store"),
        ("response_class", "2xx"),
    ];
    eventually("count of every request", SOON, async || {
        let counted = Metrics::of(buyer).await?.sum("requests_total", &split);
        holds(counted == sum["sent"], || format!("{counted} counted, {sum}"))
    })
    .await?;
    let at_client = Metrics::of(buyer).await?;
    let mut by_server = BTreeMap::new();
    for (name, server) in [("v1", v1), ("v2", v2)] {
        let (backend, identity) =
            (format!("golden/{name}/80/http"), format!("spiffe://cluster.local/ns/golden/sa/{name}"));
        let both = [&split[..], &[("backend", &backend), ("destination", &identity)]].concat();
        let sent = at_client.sum("requests_total", &both);
        ensure!(sent == sum["by_server"][name], "{name}: {sent} counted, {sum}");
        let of_buyer = [
            ("reporter", "destination"),
            ("source", "spiffe://cluster.local/ns/golden/sa/buyer"),
            ("destination", &identity),
            ("port", "8080"),
        ];
        let at_server = Metrics::of(server).await?;
        let received = at_server.sum("requests_total", &of_buyer);
        // The pod behind the root has answered requests before there was a split.
        ensure!(received == sent || (name == "v1" && received > sent), "{name}: {sent} sent, {received} received");
        // Envoy adds its histograms up every five seconds.
        eventually("time of every request", SOON, async || {
            let metrics = Metrics::of(server).await?;
            let timed = metrics.sum("request_duration_us_count", &of_buyer);
            let in_time = metrics.sum("request_duration_us_bucket", &[&of_buyer[..], &[("le", "30000000")]].concat());
            holds((timed, in_time) == (received, received), || {
                format!("{name}: {received} received, {timed} timed, {in_time} of them within 30 s")
            })
        })
        .await?;
        by_server.insert(name.to_owned(), sent);
    }
    Ok(by_server)
}

async fn connections_are_counted_with_their_bytes(buyer: &AppPod, v1: &AppPod, to: SocketAddr) -> Result<()> {
    for _ in 0..3 {
        let echoed = buyer.client(&["tcp", &to.to_string(), "--send", "hello", "--wait-ms", "500"]).await?;
        ensure!(echoed["received"] == "v1:hello", "{echoed}");
    }
    for (pod, labels) in [(buyer, ("service", "golden/v1/90")), (v1, ("port", "9000"))] {
        eventually("three connections", SOON, async || {
            let metrics = Metrics::of(pod).await?;
            let sum = |name| metrics.sum(name, &[labels, ("source", "spiffe://cluster.local/ns/golden/sa/buyer")]);
            let counted =
                ["connections_total", "connection_received_bytes_total", "connection_sent_bytes_total"].map(sum);
            holds(counted == [3, 15, 24], || format!("{}: {counted:?}", pod.name))
        })
        .await?;
    }
    Ok(())
}

/// The server waits for a body that never comes, so that there is no response of any class.
async fn a_caller_who_goes_away_is_counted_as_such(buyer: &AppPod, v1: &AppPod, to: SocketAddr) -> Result<()> {
    let mut stream = buyer.pod.connect(to).await?;
    stream.write_all(b"POST /half HTTP/1.1\r\nhost: v1\r\ncontent-length: 10\r\n\r\n").await?;
    let arrived = async || {
        let begun = v1.pod.admin("GET", "/stats?filter=^http.inbound.downstream_rq_active$").await?;
        holds(!begun.ends_with(": 0\n"), || begun.clone())
    };
    eventually("half a request", SOON, arrived).await?;
    drop(stream);
    for pod in [buyer, v1] {
        eventually("request without a response", SOON, async || {
            let counted = Metrics::of(pod).await?.sum("requests_total", &[("response_class", "0xx")]);
            holds(counted == 1, || format!("{}: {counted}", pod.name))
        })
        .await?;
    }
    Ok(())
}

async fn what_a_caller_makes_up_makes_no_series(
    buyer: &AppPod,
    (v1, v2): (&AppPod, &AppPod),
    root: std::net::IpAddr,
) -> Result<()> {
    buyer.call(root, 80, &["/known"]).await?;
    let names = async || {
        let all = [Metrics::of(buyer).await?, Metrics::of(v1).await?, Metrics::of(v2).await?];
        let counters =
            all.iter().flat_map(|metrics| &metrics.0).filter(|series| series.name.ends_with("requests_total"));
        anyhow::Ok(counters.map(|series| format!("{:?}", series.labels)).collect::<std::collections::BTreeSet<_>>())
    };
    let before = names().await?;
    for number in 0..20 {
        let (path, host) = (format!("/made-up-{number}"), format!("host: made-up-{number}"));
        buyer.call(root, 80, &[&path, "-H", &host, "-H", "x-envoy-upstream-alt-stat-name: made-up"]).await?;
    }
    let after = names().await?;
    ensure!(before == after, "{before:?}\nbecame {after:?}");
    Ok(())
}

async fn an_audit_counts_what_it_would_refuse(world: &World, buyer: &AppPod, v2: &AppPod) -> Result<()> {
    world.api.kubectl(&["label", "namespace", &world.namespace, "smidge.dev/mode=audit"]).await?;
    let ip: std::net::IpAddr = world.field("service/v2", "{.spec.clusterIP}").await?.parse()?;
    let pair = [
        ("source", "spiffe://cluster.local/ns/golden/sa/buyer"),
        ("destination", "spiffe://cluster.local/ns/golden/sa/v2"),
    ];
    eventually("refusals that were none", SOON, async || {
        let answer = buyer.call(ip, 80, &["--method", "POST"]).await?;
        ensure!(answer["status"] == 200, "{answer}");
        buyer.client(&["tcp", &format!("{ip}:90"), "--send", "hello", "--wait-ms", "500"]).await?;
        let metrics = Metrics::of(v2).await?;
        let [http, tcp] =
            ["8080", "9000"].map(|port| metrics.sum("audit_refusals_total", &[&pair[..], &[("port", port)]].concat()));
        holds(http > 0 && tcp > 0, || format!("{http} requests, {tcp} connections"))
    })
    .await
}

//! A stock Envoy on the server's Unix socket: what it acknowledges, rejects and does with a request.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod support;

use std::{sync::Arc, time::Instant};

use smidge_xds::TypeUrl;
use smidge_xds_server::{Limits, NoResolver};
use support::{
    PROXY, TestServer, cluster, endpoints,
    envoy::{fetch, start_envoy},
    listener, remove, route,
};
use tokio::process::Child;

/// A server that has published one service, and an Envoy that has acknowledged it.
async fn start() -> (TestServer, Child) {
    let mut server = TestServer::start(Limits::default(), Arc::new(NoResolver));
    server.publish_proxy(PROXY);
    let socket = server.dir.path().join("web.sock");
    server.publish(vec![cluster("a", 1), endpoints("a"), route("web", Ok("first")), listener("web", &socket, "web")]);
    let envoy = start_envoy(server.dir.path());
    server.until_synced().await;
    (server, envoy)
}

#[tokio::test]
async fn envoy_acknowledges_what_it_serves() {
    let (mut server, _envoy) = start().await;
    let web = server.dir.path().join("web.sock");
    assert!(fetch(&web, "/").await.ends_with("first"));
    server.publish(vec![route("web", Ok("second"))]);
    server.until_synced().await;
    assert!(fetch(&web, "/").await.ends_with("second"));
}

#[tokio::test]
async fn a_changed_cluster_is_warm_at_once() {
    let (mut server, _envoy) = start().await;
    let began = Instant::now();
    server.publish(vec![cluster("a", 2), cluster("b", 2), endpoints("b"), route("web", Err("b"))]);
    server.until_synced().await;
    assert!(began.elapsed().as_secs() < 5, "Envoy waited for endpoints: {:?}", began.elapsed());
    let clusters = fetch(&server.dir.path().join("admin.sock"), "/clusters").await;
    assert!(clusters.contains("b::"), "{clusters}");
}

#[tokio::test]
async fn a_cluster_without_endpoints_is_acknowledged_too() {
    let (mut server, _envoy) = start().await;
    let began = Instant::now();
    server.publish(vec![cluster("b", 1)]);
    server.until_synced().await;
    assert!(began.elapsed().as_secs() < 5, "Envoy waited for endpoints: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_bad_cluster_is_kept_apart_and_the_others_go_through() {
    let (mut server, _envoy) = start().await;
    let good = ["b", "c", "d"].map(|name| [cluster(name, 1), endpoints(name)]);
    server.publish(good.into_iter().flatten().chain([cluster("bad", 0), route("web", Ok("second"))]).collect());
    let report = server.until_synced().await;
    let rejected: Vec<_> = report.rejected.iter().map(|((_, name), why)| (name.as_str(), &*why.message)).collect();
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0].0, "bad");
    assert!(rejected[0].1.contains("ConnectTimeout"), "Envoy's own words: {rejected:?}");
    let clusters = fetch(&server.dir.path().join("admin.sock"), "/clusters").await;
    assert!(["b::", "c::", "d::"].iter().all(|name| clusters.contains(name)), "{clusters}");
    assert!(fetch(&server.dir.path().join("web.sock"), "/").await.ends_with("second"));
    server.publish(vec![cluster("bad", 1), endpoints("bad")]);
    assert!(server.until_synced().await.rejected.is_empty());
}

#[tokio::test]
async fn a_removed_service_is_gone() {
    let (mut server, _envoy) = start().await;
    server.publish(vec![
        remove(TypeUrl::Cluster, "a"),
        remove(TypeUrl::Endpoints, "a"),
        remove(TypeUrl::Route, "web"),
        remove(TypeUrl::Listener, "web"),
    ]);
    server.until_synced().await;
    let dump = fetch(&server.dir.path().join("admin.sock"), "/config_dump?mask=dynamic_active_clusters").await;
    assert!(!dump.contains("\"name\": \"a\""), "{dump}");
}

//! A stock Envoy on the server's Unix socket: what it acknowledges, rejects and does with a request.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod support;

use std::{path::Path, process::Stdio, sync::Arc, time::Instant};

use smidge_sandbox::Tool;
use smidge_xds::TypeUrl;
use smidge_xds_server::{Limits, NoResolver};
use support::{PROXY, TestServer, cluster, endpoints, listener, remove, route};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
};

const BOOTSTRAP: &str = r#"
admin: {address: {pipe: {path: "DIR/admin.sock"}}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    load_assignment:
      cluster_name: xds
      endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: "DIR/xds.sock"}}}}]}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
"#;

/// Starts Envoy as `PROXY`; it is killed when dropped.
fn start_envoy(dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("envoy.log")).unwrap();
    Command::new(Tool::Envoy.path().unwrap_or_else(|error| panic!("{error}")))
        .args(["--config-yaml", &BOOTSTRAP.replace("DIR", dir.to_str().unwrap())])
        .args(["--service-node", PROXY, "--service-cluster", "test", "--use-dynamic-base-id"])
        .args(["--concurrency", "1", "--log-level", "warn"])
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn fetch(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

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

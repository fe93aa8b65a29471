//! The redirect rules and a stock Envoy with a bootstrap of the test's own: what an app sends and is sent passes Envoy.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, not what they share")]

use std::{net::SocketAddr, path::Path, time::Duration};

use smidge_sandbox::{Error, Pod, PodSpec, Sandbox, Sidecar};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpListener};

const READY: Duration = Duration::from_secs(20);

/// Passes everything on: outbound to the original destination, inbound to the app, marked so that it is not redirected.
const PASS_ON: &str = r#"
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
static_resources:
  listeners:
  - name: outbound
    address: {socket_address: {address: "::", port_value: 15001, ipv4_compat: true}}
    listener_filters: [{name: o, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}]
    filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: outbound, cluster: elsewhere}}]}]
  - name: inbound
    address: {socket_address: {address: "::", port_value: 15006, ipv4_compat: true}}
    listener_filters: [{name: o, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}}]
    filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: inbound, cluster: app}}]}]
  clusters:
  - {name: elsewhere, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED}
  - name: app
    type: ORIGINAL_DST
    lb_policy: CLUSTER_PROVIDED
    upstream_bind_config: {socket_options: [{level: 0, name: 1, int_value: 12, ip_version: SOCKET_IP_VERSION_IPV4}, {level: 41, name: 67, int_value: 12, ip_version: SOCKET_IP_VERSION_IPV6}]}
"#;

fn pod(sandbox: &Sandbox, name: &str, ips: [&str; 2]) -> Pod {
    let sidecar = Sidecar { bootstrap: Some(PASS_ON.into()), ..Sidecar::new("default", Path::new("/none")) };
    let ips = ips.map(|ip| ip.parse().unwrap()).to_vec();
    sandbox.pod(PodSpec { name: name.into(), namespace: "test".into(), ips, sidecar: Some(sidecar) }).unwrap()
}

fn answer(listener: TcpListener) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"here").await.unwrap();
        }
    });
}

/// Client and server, both with an Envoy that is ready.
async fn pair(name: &str) -> (Sandbox, Pod, Pod) {
    let sandbox = Sandbox::new(name).unwrap();
    let mut client = pod(&sandbox, "client", ["10.1.0.2", "fd01::2"]);
    let mut server = pod(&sandbox, "server", ["10.1.0.3", "fd01::3"]);
    client.wait_ready(READY).await.unwrap();
    server.wait_ready(READY).await.unwrap();
    (sandbox, client, server)
}

async fn connections(pod: &Pod, prefix: &str) -> u64 {
    let stats = pod.admin("GET", &format!("/stats?filter=^tcp.{prefix}.downstream_cx_total")).await.unwrap();
    stats.trim().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn of_both_families_on_both_sides() {
    let (_sandbox, client, server) = pair("redirect").await;
    for (done, ip) in server.ips().iter().enumerate() {
        let address = SocketAddr::new(*ip, 80);
        answer(server.listen(address).unwrap());
        let mut text = String::new();
        client.connect(address).await.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "here", "{address}");
        let passed = (connections(&client, "outbound").await, connections(&server, "inbound").await);
        assert_eq!(passed, (done as u64 + 1, done as u64 + 1), "{address}");
    }
}

#[tokio::test]
async fn and_envoy_has_its_own_user_and_no_capabilities() {
    let (_sandbox, client, _server) = pair("user").await;
    let pid = client.envoy().unwrap().pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["Uid:\t1337\t1337", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"] {
        assert!(status.contains(line), "{line} in:\n{status}");
    }
}

#[tokio::test]
async fn a_paused_envoy_answers_nobody_until_it_goes_on() {
    let (_sandbox, mut client, _server) = pair("pause").await;
    client.envoy().unwrap().pause().unwrap();
    assert!(matches!(client.admin("GET", "/ready").await, Err(Error::TooLate { .. })));
    client.envoy().unwrap().resume().unwrap();
    client.wait_ready(READY).await.unwrap();
}

#[tokio::test]
async fn a_killed_envoy_is_started_again_as_it_was() {
    let (_sandbox, mut client, _server) = pair("restart").await;
    client.envoy_mut().unwrap().kill().await.unwrap();
    assert!(!client.envoy_mut().unwrap().is_running());
    client.restart_envoy().await.unwrap();
    client.wait_ready(READY).await.unwrap();
}

#[tokio::test]
async fn an_envoy_that_refuses_its_bootstrap_is_told_with_its_words() {
    let sandbox = Sandbox::new("refused").unwrap();
    let sidecar = Sidecar { bootstrap: Some("nonsense: 1".into()), ..Sidecar::new("default", Path::new("/none")) };
    let ips = vec!["10.1.0.2".parse().unwrap()];
    let spec = PodSpec { name: "a".into(), namespace: "test".into(), ips, sidecar: Some(sidecar) };
    let error = sandbox.pod(spec).unwrap().wait_ready(READY).await.unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
}

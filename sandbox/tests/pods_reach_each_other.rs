//! Pods of a sandbox are neighbours in both families, and two sandboxes with the same addresses never meet.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, not what they share")]

use std::net::{IpAddr, SocketAddr};

use smidge_sandbox::{Command, Pod, PodSpec, ROOT_UID, Sandbox};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn pod(sandbox: &Sandbox, name: &str, ips: [&str; 2]) -> Pod {
    let ips = ips.map(|ip| ip.parse().unwrap()).to_vec();
    sandbox.pod(PodSpec { name: name.into(), namespace: "test".into(), ips, sidecar: None }).unwrap()
}

/// Answers every connection with this line.
fn answer(listener: TcpListener, line: &'static str) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(line.as_bytes()).await.unwrap();
        }
    });
}

async fn read(from: &Pod, to: SocketAddr) -> String {
    let mut text = String::new();
    from.connect(to).await.unwrap().read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn by_ipv4_and_by_ipv6_and_by_name() {
    let sandbox = Sandbox::new("families").unwrap();
    let client = pod(&sandbox, "client", ["10.1.0.2", "fd01::2"]);
    let server = pod(&sandbox, "server", ["192.168.9.3", "fd02::3"]);
    for ip in server.ips().to_vec() {
        let address = SocketAddr::new(ip, 80);
        answer(server.listen(address).unwrap(), "here\n");
        assert_eq!(read(&client, address).await, "here\n", "{address}");
    }
    sandbox.set_hosts(&[(server.ips()[0], "shop.test.svc".into())]).unwrap();
    let resolve = Command::new("getent").args(["hosts", "shop.test.svc"]);
    assert!(client.run(&resolve).await.unwrap().stdout.starts_with("192.168.9.3"));
}

#[tokio::test]
async fn two_sandboxes_with_the_same_addresses_never_meet() {
    let (left, right) = (Sandbox::new("left").unwrap(), Sandbox::new("right").unwrap());
    let address: SocketAddr = "10.1.0.3:80".parse().unwrap();
    for (sandbox, line) in [(&left, "left"), (&right, "right")] {
        let server = pod(sandbox, "server", ["10.1.0.3", "fd01::3"]);
        answer(server.listen(address).unwrap(), line);
        assert_eq!(read(&pod(sandbox, "client", ["10.1.0.2", "fd01::2"]), address).await, line);
    }
}

#[tokio::test]
async fn apps_have_no_capabilities_and_may_use_low_ports() {
    let sandbox = Sandbox::new("caps").unwrap();
    let pod = pod(&sandbox, "app", ["10.1.0.2", "fd01::2"]);
    let status = pod.run(&Command::new("cat").arg("/proc/self/status")).await.unwrap().stdout;
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t65534"] {
        assert!(status.contains(line), "{line} in:\n{status}");
    }
    let low = pod.run(&Command::new("cat").arg("/proc/sys/net/ipv4/ip_unprivileged_port_start")).await.unwrap();
    assert_eq!(low.stdout, "0\n");
    let root = pod.run(&Command::new("id").arg("-u").uid(ROOT_UID)).await.unwrap();
    assert_eq!(root.stdout, "0\n");
}

#[tokio::test]
async fn the_hosts_network_is_not_seen_by_a_pod() {
    let sandbox = Sandbox::new("apart").unwrap();
    let pod = pod(&sandbox, "app", ["10.1.0.2", "fd01::2"]);
    let links = pod.run(&Command::new("ip").args(["-o", "link"])).await.unwrap().stdout;
    let names: Vec<_> = links.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(names.iter().map(|name| name.split('@').next().unwrap()).collect::<Vec<_>>(), ["lo", "eth0"]);
    let loopback = std::net::TcpListener::bind((IpAddr::from([127, 0, 0, 1]), 0)).unwrap();
    let refused = pod.connect(loopback.local_addr().unwrap()).await;
    assert!(refused.is_err(), "the owner's loopback answered in a pod");
}

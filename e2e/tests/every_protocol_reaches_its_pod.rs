//! What apps speak, and whom they call, on a real API server with real Envoys: HTTP of both versions, gRPC, WebSocket,
//! TCP of both manners, over both IP families, to a split, to single pods, to oneself, and out of the mesh.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use anyhow::Result;
use serde_json::{Value, json};
use smidge_e2e::{
    objects::{self, Port},
    world::{AppPod, PodOptions, World},
};

/// Ports of which the Service does not say what they speak.
const UNSAID: [Port<'static>; 3] = [
    Port { name: "guess-http", port: 80, target: 8080 },
    Port { name: "guess-echo", port: 90, target: 9000 },
    Port { name: "guess-banner", port: 91, target: 9100 },
];

/// A caller, two pods behind one split, and a pod outside the mesh; in a namespace that denies what is not permitted, so
/// that an answer of a meshed pod proves that its caller's identity was verified.
struct Mesh {
    world: World,
    caller: AppPod,
    pods: [AppPod; 2],
    outside: AppPod,
}

#[tokio::test]
async fn every_protocol_reaches_its_pod() -> Result<()> {
    let world = World::start("protocols", &[("smidge.dev/mode", "deny")]).await?;
    let outside = PodOptions { app: "outside", service_account: "outside", meshed: false };
    let (caller, v1, v2, outside) =
        tokio::try_join!(world.pod("caller"), world.pod("v1"), world.pod("v2"), world.pod_with("outside", outside))?;
    world.permit(&["caller", "v1"], &["v1", "v2"]).await?;
    let mesh = Mesh { world, caller, pods: [v1, v2], outside };

    let split = mesh.split().await?;
    every_host_means_the_root(&mesh, split[0]).await?;
    for ip in split {
        http(&mesh, ip).await?;
        tcp(&mesh, SocketAddr::new(ip, 90), SocketAddr::new(ip, 91)).await?;
    }
    unsaid_protocols(&mesh).await?;
    a_call_to_oneself(&mesh).await?;
    pods_of_a_headless_service(&mesh).await?;
    out_of_the_mesh(&mesh).await
}

impl Mesh {
    /// The addresses of a root Service without pods, half of which each version gets.
    async fn split(&self) -> Result<Vec<IpAddr>> {
        let [v1, v2] = &self.pods;
        self.world.service("v1", "v1", &[v1]).await?;
        self.world.service("v2", "v2", &[v2]).await?;
        let root = self.world.service("root", "none", &[]).await?;
        let split = objects::split(&self.world.namespace, "root", "root", &[("v1", 1), ("v2", 1)]);
        self.world.apply(&split).await?;
        self.world.wait_for("Programmed", "trafficsplit/root").await?;
        self.caller.call_until(200, root[0], 80, &[]).await?;
        Ok(root)
    }

    /// Asks until both versions have answered; each answer is right.
    async fn both_answer(&self, ask: &[&str], server: impl Fn(&Value) -> Option<String>) -> Result<()> {
        let mut seen = BTreeSet::new();
        // That one of two equal shares gets none of 20 is as likely as one in a million.
        for _ in 0..20 {
            let answer = self.caller.client(ask).await?;
            let Some(server) = server(&answer) else { panic!("{ask:?} got {answer}") };
            seen.insert(server);
            if seen.len() == 2 {
                return Ok(());
            }
        }
        panic!("{ask:?} was always answered by {seen:?}");
    }
}

/// Who answered, if all is as it should be.
fn named(answer: &Value, is_right: bool) -> Option<String> {
    is_right.then(|| answer["server"].as_str().map(str::to_owned)).flatten()
}

async fn http(mesh: &Mesh, ip: IpAddr) -> Result<()> {
    let [http, any, grpc] = [80, 92, 93].map(|port| SocketAddr::new(ip, port).to_string());
    for address in [&http, &any] {
        mesh.both_answer(&["call", address], |answer| named(answer, answer["status"] == 200)).await?;
        mesh.both_answer(&["call", address, "--http2"], |answer| named(answer, answer["status"] == 200)).await?;
    }
    for address in [&any, &grpc] {
        let ask = ["call", address, "/store.Store/Buy", "--grpc"];
        mesh.both_answer(&ask, |answer| named(answer, answer["grpc_status"] == "0")).await?;
    }
    let is_upgraded = |answer: &Value| answer["status"] == 101 && answer["echoed"] == "hello";
    mesh.both_answer(&["web-socket", &http], |answer| named(answer, is_upgraded(answer))).await
}

/// Point 11 of the open points: the Host header chooses nothing and reaches the app unchanged.
async fn every_host_means_the_root(mesh: &Mesh, ip: IpAddr) -> Result<()> {
    for name in ["root", "root.protocols", "root.protocols.svc", "root.protocols.svc.cluster.local", "v9.elsewhere"] {
        for host in ["", ".", ":80"].map(|end| format!("{name}{end}")) {
            let answer = mesh.caller.call(ip, 80, &["--host", &host]).await?;
            let seen: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or_default();
            assert_eq!((&answer["status"], &seen["host"]), (&json!(200), &json!(host)), "{answer}");
        }
    }
    Ok(())
}

/// TCP where the client speaks first, and where the server does.
async fn tcp(mesh: &Mesh, echo: SocketAddr, banner: SocketAddr) -> Result<()> {
    let ask = ["tcp", &echo.to_string(), "--send", "ping", "--bytes", "7"];
    mesh.both_answer(&ask, |answer| Some(answer["received"].as_str()?.strip_suffix(":ping")?.to_owned())).await?;
    let ask = ["tcp", &banner.to_string(), "--bytes", "14", "--wait-ms", "10000"];
    let server = |answer: &Value| {
        Some(answer["received"].as_str()?.strip_prefix("220 ")?.strip_suffix(" ready\r\n")?.to_owned())
    };
    mesh.both_answer(&ask, server).await
}

/// Ports whose protocol nobody declared: the first bytes tell, and silence means TCP.
async fn unsaid_protocols(mesh: &Mesh) -> Result<()> {
    let namespace = &mesh.world.namespace;
    mesh.world.apply(&objects::service(namespace, "guess", "v1", &UNSAID, Some("10.96.77.77"))).await?;
    let ip: IpAddr = "10.96.77.77".parse()?;
    let endpoints: Vec<_> = mesh.pods.iter().map(|pod| (pod.name.as_str(), pod.pod.ips()[0])).collect();
    mesh.world.apply(&objects::endpoint_slice(namespace, "guess", &UNSAID, true, &endpoints)).await?;
    mesh.caller.call_until(200, ip, 80, &[]).await?;
    let http = SocketAddr::new(ip, 80).to_string();
    mesh.both_answer(&["call", &http], |answer| named(answer, answer["status"] == 200)).await?;
    mesh.both_answer(&["call", &http, "--grpc"], |answer| named(answer, answer["grpc_status"] == "0")).await?;
    tcp(mesh, SocketAddr::new(ip, 90), SocketAddr::new(ip, 91)).await
}

/// A pod that calls its own Service gets an answer of its own, through both sides of its sidecar.
async fn a_call_to_oneself(mesh: &Mesh) -> Result<()> {
    let [v1, _] = &mesh.pods;
    for ip in mesh.world.service("self", "v1", &[v1]).await? {
        let answer = v1.call_until(200, ip, 80, &[]).await?;
        assert_eq!(answer["server"], "v1", "{answer}");
        let echo = SocketAddr::new(ip, 90).to_string();
        let answer = v1.client(&["tcp", &echo, "--send", "ping", "--bytes", "7"]).await?;
        assert_eq!(answer["received"], "v1:ping", "{answer}");
    }
    Ok(())
}

/// Each pod is called by its own address, with mTLS; by then no other way into it is permitted.
async fn pods_of_a_headless_service(mesh: &Mesh) -> Result<()> {
    let [v1, v2] = &mesh.pods;
    let address = v1.pod.ips()[0];
    let plain = mesh.caller.call(address, 8080, &[]).await?;
    assert_ne!(plain["status"], 200, "a pod's own address is no way into a namespace that denies: {plain}");
    mesh.world.headless("peers", "none", &[v1, v2]).await?;
    for pod in [v1, v2] {
        for &ip in pod.pod.ips() {
            let answer = mesh.caller.call_until(200, ip, 8080, &[]).await?;
            assert_eq!(answer["server"], json!(pod.name), "{answer}");
            let echo = SocketAddr::new(ip, 9000).to_string();
            let answer = mesh.caller.client(&["tcp", &echo, "--send", "ping", "--bytes", "7"]).await?;
            assert_eq!(answer["received"], format!("{}:ping", pod.name), "{answer}");
        }
    }
    Ok(())
}

/// A pod without a sidecar is reached as it was before there was a mesh: by its own address and by its Service's.
async fn out_of_the_mesh(mesh: &Mesh) -> Result<()> {
    let service = mesh.world.service("outside", "outside", &[&mesh.outside]).await?;
    for &ip in mesh.outside.pod.ips() {
        let answer = mesh.caller.call_until(200, ip, 8080, &[]).await?;
        assert_eq!(answer["server"], "outside", "{answer}");
        let banner = SocketAddr::new(ip, 9100).to_string();
        let answer = mesh.caller.client(&["tcp", &banner, "--bytes", "19"]).await?;
        assert_eq!(answer["received"], "220 outside ready\r\n", "{answer}");
    }
    for ip in service {
        let answer = mesh.caller.call_until(200, ip, 80, &[]).await?;
        assert_eq!(answer["server"], "outside", "{answer}");
    }
    Ok(())
}

//! Services of every shape that Kubernetes knows, on a real API server with real Envoys: ports by name, endpoints by hand,
//! names of the outside, twins, endpoints that come to their end, and UDP.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use smidge_e2e::{
    eventually, holds,
    objects::{self, Port},
    world::{APP_PORTS, AppPod, PodOptions, SOON, World, end, last_line},
};
use tokio::{net::UdpSocket, time::timeout};

/// The one port of Services that need no more.
const HTTP: Port<'static> = Port { name: "http", port: 80, target: 8080 };

/// A caller and two pods, in a namespace that denies what is not permitted.
struct Mesh {
    world: World,
    caller: AppPod,
    pods: [AppPod; 2],
}

async fn mesh(namespace: &str) -> Result<Mesh> {
    let world = World::start(namespace, &[("smidge.dev/mode", "deny")]).await?;
    let (caller, v1, v2) = tokio::try_join!(world.pod("caller"), world.pod("v1"), world.pod("v2"))?;
    world.permit(&["caller"], &["v1", "v2"]).await?;
    Ok(Mesh { world, caller, pods: [v1, v2] })
}

#[tokio::test]
async fn services_of_every_shape_serve() -> Result<()> {
    let mesh = mesh("shapes").await?;
    named_target_ports(&mesh).await?;
    let far = endpoints_by_hand(&mesh).await?;
    names_of_the_outside(&mesh, &far).await?;
    twins(&mesh).await?;
    udp(&mesh).await?;
    nothing_was_refused(&mesh).await
}

impl Mesh {
    fn namespace(&self) -> &str {
        &self.world.namespace
    }

    /// Waits until requests to this address are answered by these servers and by no other, without a failure.
    async fn served_by(&self, ip: IpAddr, servers: &[&str]) -> Result<()> {
        let (address, wanted) = (SocketAddr::new(ip, 80).to_string(), BTreeSet::from_iter(servers.iter().copied()));
        eventually(&format!("answers of {servers:?} alone"), SOON, async || {
            // That one of two servers gets none of 40 requests is as good as impossible.
            let mut load = self.caller.start(&["load", &address, "--rate", "400", "--requests", "40"])?;
            load.wait().await?;
            let sum = last_line(&load)?;
            let answered = sum["by_server"].as_object().map(|by| by.keys().map(String::as_str).collect());
            holds(sum["failed"] == 0 && answered.as_ref() == Some(&wanted), || sum.to_string())
        })
        .await
        .with_context(|| self.world.operator_log())
    }

    async fn address_of(&self, service: &str) -> Result<IpAddr> {
        let ip = self.world.field(&format!("service/{service}"), "{.spec.clusterIP}").await?;
        ip.parse().with_context(|| format!("{service} has the address {ip:?}"))
    }
}

/// Each pod has another number for the name, so each is in a slice of its own; policy counts the pod's number.
async fn named_target_ports(mesh: &Mesh) -> Result<()> {
    let (world, namespace) = (&mesh.world, mesh.namespace());
    let mut service = objects::service(namespace, "named", "named", &[HTTP], None);
    service["spec"]["ports"][0]["targetPort"] = json!("web");
    world.apply(&service).await?;
    let mut pods = Vec::new();
    for (name, number) in [("low", 8080), ("high", 8082)] {
        let options = PodOptions { app: "named", service_account: name, meshed: true };
        let mut pod = world.unready_pod_with_ports(name, options, &[("web", number)]).await?;
        world.set_ready(&pod, true).await?;
        pod.pod.wait_ready(SOON).await?;
        let endpoint = [(name, pod.pod.ips()[0])];
        let ports = [Port { target: number, ..HTTP }];
        let mut slice = objects::endpoint_slice(namespace, "named", &ports, true, &endpoint);
        slice["metadata"]["name"] = json!(format!("named-{name}"));
        world.apply(&slice).await?;
        open(world, name, number).await?;
        pods.push(pod);
    }
    let ip = mesh.address_of("named").await?;
    mesh.served_by(ip, &["low", "high"]).await?;
    open(world, "high", 8080).await?;
    mesh.caller.call_until(403, ip, 80, &[]).await?;
    mesh.caller.call_until(200, ip, 80, &[]).await?;
    Ok(())
}

/// The caller may call this port of the pods of this service account, and no other.
async fn open(world: &World, account: &str, port: u16) -> Result<()> {
    let (namespace, name) = (&world.namespace, format!("only-{account}"));
    world.apply(&objects::tcp_route(namespace, &name, &[port])).await?;
    world.apply(&objects::target(namespace, &name, account, &["caller"], &[("TCPRoute", &name)])).await
}

/// A Service without a selector: its author says what is behind it, be it a pod or something that no cluster knows.
async fn endpoints_by_hand(mesh: &Mesh) -> Result<AppPod> {
    let (world, namespace) = (&mesh.world, mesh.namespace());
    let far = PodOptions { app: "far", service_account: "far", meshed: false };
    let far = world.pod_with("far", far).await?;
    world.api.kubectl(&["delete", "-n", namespace, "pod/far", "--now"]).await?;

    let mut service = objects::service(namespace, "by-hand", "", &[HTTP], None);
    service["spec"]["selector"] = Value::Null;
    world.apply(&service).await?;
    let endpoints = [("v1", mesh.pods[0].pod.ips()[0]), ("far", far.pod.ips()[0])];
    let mut slice = objects::endpoint_slice(namespace, "by-hand", &[HTTP], true, &endpoints);
    for endpoint in slice["endpoints"].as_array_mut().into_iter().flatten() {
        endpoint["targetRef"] = Value::Null;
    }
    world.apply(&slice).await?;
    // Names are no addresses: Envoy is told nothing of them.
    let mut names = objects::endpoint_slice(namespace, "by-hand", &[HTTP], true, &[]);
    names["metadata"]["name"] = json!("by-hand-names");
    names["addressType"] = json!("FQDN");
    names["endpoints"] = json!([{"addresses": ["far.example.com"]}]);
    world.apply(&names).await?;
    mesh.served_by(mesh.address_of("by-hand").await?, &["v1", "far"]).await?;
    Ok(far)
}

/// An ExternalName has no address of its own: what its name resolves to is called as if there were no such Service.
async fn names_of_the_outside(mesh: &Mesh, far: &AppPod) -> Result<()> {
    let (world, namespace) = (&mesh.world, mesh.namespace());
    let outside = |name: &str| {
        let mut service = objects::service(namespace, name, "", &[HTTP], None);
        service["spec"] = json!({"type": "ExternalName", "externalName": "far.example.com",
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
        service
    };
    world.apply(&outside("elsewhere")).await?;
    let [v1, _] = &mesh.pods;
    let ip = world.service("moving", "v1", &[v1]).await?[0];
    world.service("v1", "v1", &[v1]).await?;
    world.apply(&objects::split(namespace, "moving", "moving", &[("v1", 1), ("elsewhere", 1)])).await?;
    eventually("verdict on the backend", SOON, async || {
        let resolved = "{.status.conditions[?(@.type=='ResolvedRefs')]}";
        let told = world.field("trafficsplit/moving", resolved).await?;
        holds(told.contains("BackendExternal") && told.contains("\"False\""), || told.clone())
    })
    .await?;
    mesh.served_by(ip, &["v1"]).await?;
    let answer = mesh.caller.call_until(200, far.pod.ips()[0], 8080, &["--host", "far.example.com"]).await?;
    assert_eq!(answer["server"], "far", "{answer}");

    // A Service that becomes one gives its address up, and takes a new one when it comes back.
    world.apply(&outside("moving")).await?;
    let listeners = async || mesh.caller.pod.admin("GET", "/listeners").await;
    eventually("its listener to go", SOON, async || {
        let listeners = listeners().await?;
        holds(!listeners.contains(&format!("{ip}:80")), || listeners.clone())
    })
    .await?;
    world.apply(&objects::service(namespace, "moving", "v1", &APP_PORTS, None)).await?;
    mesh.served_by(mesh.address_of("moving").await?, &["v1"]).await
}

/// Two Services with the same pods and ports share nothing that one could spoil for the other.
async fn twins(mesh: &Mesh) -> Result<()> {
    let (world, [v1, v2]) = (&mesh.world, &mesh.pods);
    let first = world.service("castor", "both", &[v1, v2]).await?[0];
    let second = world.service("pollux", "both", &[v1, v2]).await?[0];
    for ip in [first, second] {
        mesh.served_by(ip, &["v1", "v2"]).await?;
    }
    world.apply(&objects::split(mesh.namespace(), "castor", "castor", &[("v1", 1)])).await?;
    mesh.served_by(first, &["v1"]).await?;
    mesh.served_by(second, &["v1", "v2"]).await?;
    world.delete(&objects::service(mesh.namespace(), "castor", "both", &APP_PORTS, None)).await?;
    eventually("the end of a twin", SOON, async || {
        let clusters = mesh.caller.pod.admin("GET", "/clusters").await?;
        holds(!clusters.contains("/castor/"), || "its clusters are still there".to_owned())
    })
    .await?;
    mesh.served_by(second, &["v1", "v2"]).await
}

/// Datagrams pass from pod to pod as they are; a UDPRoute says that it changes nothing about that.
async fn udp(mesh: &Mesh) -> Result<()> {
    let (world, namespace) = (&mesh.world, mesh.namespace());
    for index in [0, 1] {
        datagrams_pass(mesh, index).await?;
    }
    world
        .apply(&json!({
            "apiVersion": "specs.smi-spec.io/v1alpha4", "kind": "UDPRoute",
            "metadata": {"name": "names", "namespace": namespace}, "spec": {"matches": {"ports": [53]}},
        }))
        .await?;
    world.apply(&objects::target(namespace, "udp", "v1", &["v2"], &[("UDPRoute", "names")])).await?;
    for (object, code) in [("udproute/names", "SMI0308"), ("traffictarget/udp", "SMI0211")] {
        world.wait_for("Programmed", object).await?;
        let told = world.field(object, "{.status.conditions[?(@.type=='Accepted')]}").await?;
        assert!(told.contains(code) && told.contains("\"True\""), "{object}: {told}");
    }
    datagrams_pass(mesh, 0).await
}

/// There and back over one family, each with the other pod's own address as its sender.
async fn datagrams_pass(mesh: &Mesh, family: usize) -> Result<()> {
    let socket = |pod: &AppPod| {
        let address = SocketAddr::new(pod.pod.ips()[family], 5300);
        let socket = pod.pod.inside(move || {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })?;
        anyhow::Ok((UdpSocket::from_std(socket)?, address))
    };
    let ((client, client_address), (server, server_address)) = (socket(&mesh.caller)?, socket(&mesh.pods[0])?);
    for (from, sender, to, receiver) in
        [(&client, client_address, &server, server_address), (&server, server_address, &client, client_address)]
    {
        let (read, seen) = eventually("datagram", SOON, async || {
            // The network may lose one.
            from.send_to(b"ping", receiver).await?;
            Ok(timeout(Duration::from_secs(1), to.recv_from(&mut [0; 16])).await??)
        })
        .await?;
        assert_eq!((read, seen), (4, sender));
    }
    Ok(())
}

/// No Envoy has refused anything that these Services made.
async fn nothing_was_refused(mesh: &Mesh) -> Result<()> {
    for pod in [&mesh.caller, &mesh.pods[0], &mesh.pods[1]] {
        let stats = pod.pod.admin("GET", "/stats?usedonly&filter=update_rejected|listener_create_failure").await?;
        let refused: Vec<_> = stats.lines().filter(|line| !line.ends_with(": 0")).collect();
        assert!(refused.is_empty(), "{}: {refused:?}", pod.name);
    }
    Ok(())
}

/// What is `serving` and `terminating` gets nothing new while others are ready, keeps what it has, and is better than
/// nothing when all are.
#[tokio::test]
async fn a_terminating_endpoint_keeps_its_connections_and_serves_when_no_other_can() -> Result<()> {
    let mesh = mesh("farewell").await?;
    let [v1, v2] = &mesh.pods;
    let ip = mesh.world.service("store", "both", &[v1]).await?[0];
    mesh.served_by(ip, &["v1"]).await?;
    let held = mesh.caller.start(&["hold", &SocketAddr::new(ip, 90).to_string()])?;
    echoes(&held, 1).await?;

    mesh.world.endpoints("store", &[v1, v2]).await?;
    mesh.served_by(ip, &["v1", "v2"]).await?;
    // A load that must not notice anything, whatever is said about the endpoints.
    let load = mesh.caller.start(&["load", &SocketAddr::new(ip, 80).to_string(), "--rate", "100"])?;
    terminate(&mesh, "store", &["v1"]).await?;
    mesh.served_by(ip, &["v2"]).await?;
    echoes(&held, 100).await?;
    terminate(&mesh, "store", &["v1", "v2"]).await?;
    mesh.served_by(ip, &["v1", "v2"]).await?;
    mesh.world.endpoints("store", &[v1, v2]).await?;
    mesh.served_by(ip, &["v1", "v2"]).await?;

    let (load, held) = (end(load).await?, end(held).await?);
    assert_eq!(load["failed"], 0, "{load}");
    assert_eq!((&held["broken"], &held["server"]), (&Value::Null, &json!("v1")), "{held}");
    Ok(())
}

/// Writes that these pods are shutting down, as the cluster's controller does: they still serve, and are not ready.
async fn terminate(mesh: &Mesh, service: &str, going: &[&str]) -> Result<()> {
    for (index, is_v4) in [(0, true), (1, false)] {
        let pods: Vec<_> = mesh.pods.iter().map(|pod| (pod.name.as_str(), pod.pod.ips()[index])).collect();
        let mut slice = objects::endpoint_slice(mesh.namespace(), service, &APP_PORTS, is_v4, &pods);
        for (endpoint, (name, _)) in slice["endpoints"].as_array_mut().into_iter().flatten().zip(&pods) {
            if going.contains(name) {
                endpoint["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
            }
        }
        mesh.world.apply(&slice).await?;
    }
    Ok(())
}

/// Waits for so many more echoes on the connection that is held open.
async fn echoes(held: &smidge_sandbox::Process, more: u64) -> Result<()> {
    let count = async || anyhow::Ok(last_line(held)?["echoes"].as_u64().unwrap_or_default());
    let least = eventually("echo", SOON, count).await? + more;
    eventually("echoes on the open connection", SOON, async || {
        let count = count().await?;
        holds(count >= least, || format!("{count} of {least}: {}", last_line(held).unwrap_or_default()))
    })
    .await
}

//! The ways from a client's app to a server's: without a proxy, through the floor, through our sidecars.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use smidge_e2e::{eventually, holds, repository};
use smidge_sandbox::{Pod, PodSpec, Process, Sandbox, Sidecar};

use crate::sidecar::{
    app,
    floor::Floor,
    load::{self, Connection},
    table::Turn,
    usage::{self, Memory},
};

/// How long a step of the start may take.
const STEP: Duration = Duration::from_secs(30);
const NAMESPACE: &str = "bookstore";
/// The Service `bookstore-v1` of the bookstore, which has the pod of that name behind it.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 14, 2);

/// All of them, open at once. They end when dropped.
pub(super) struct Ways {
    pub(super) all: Vec<Way>,
    _control_plane: (Pod, Process),
}

/// From a client's pod to a server's.
pub(super) struct Way {
    pub(super) name: &'static str,
    connections: Vec<Connection>,
    pods: [Pod; 2],
}

/// A pod's name, service account and address.
type Place = (&'static str, &'static str, Ipv4Addr);

/// Neither side has a proxy.
const BARE: [Place; 2] = [
    ("bare-client", "default", Ipv4Addr::new(10, 244, 15, 1)),
    ("bare-server", "default", Ipv4Addr::new(10, 244, 15, 2)),
];
const FLOOR: [Place; 2] = [
    ("floor-client", "default", Ipv4Addr::new(10, 244, 15, 3)),
    ("floor-server", "default", Ipv4Addr::new(10, 244, 15, 4)),
];
/// Two pods of `examples/bookstore/pods.yaml`.
const OURS: [Place; 2] = [
    ("bookbuyer", "bookbuyer", Ipv4Addr::new(10, 244, 14, 1)),
    ("bookstore-v1", "bookstore-v1", Ipv4Addr::new(10, 244, 14, 3)),
];

impl Ways {
    /// Starts the control plane, the pods and the apps; each connection has had an answer.
    pub(super) async fn open(connections: u32) -> Result<Self> {
        let sandbox = Sandbox::new("bench")?;
        let socket = sandbox.folder().join("xds/xds.sock");
        let control_plane = control_plane(&sandbox, &socket).await?;
        let floor = Floor::new()?;
        let [at_client, at_server] = [floor.client(FLOOR[1].2)?, floor.server()?];
        let by_hand = |bootstrap| Some(Sidecar { bootstrap: Some(bootstrap), ..Sidecar::new("default", &socket) });
        let ours = |place: Place| Some(Sidecar::new(place.1, &socket));
        let all = vec![
            Way::open(&sandbox, "no proxy", BARE, [None, None], BARE[1].2, connections).await?,
            Way::open(&sandbox, "floor", FLOOR, [by_hand(at_client), by_hand(at_server)], FLOOR[1].2, connections)
                .await?,
            Way::open(&sandbox, "smidge", OURS, OURS.map(ours), SERVICE, connections).await?,
        ];
        Ok(Self { all, _control_plane: control_plane })
    }

    /// Of every Envoy, now.
    pub(super) fn memory(&self) -> Result<Vec<(&'static str, Memory)>> {
        let sidecars =
            [(1, FLOOR), (2, OURS)].into_iter().flat_map(|(way, places)| [(way, 0, places), (way, 1, places)]);
        sidecars.map(|(way, end, places)| Ok((places[end].0, usage::memory(&self.all[way].pods[end])?))).collect()
    }
}

impl Way {
    async fn open(
        sandbox: &Sandbox,
        name: &'static str,
        places: [Place; 2],
        sidecars: [Option<Sidecar>; 2],
        to: Ipv4Addr,
        connections: u32,
    ) -> Result<Self> {
        let [client, server] = places;
        let [at_client, at_server] = sidecars;
        let mut server = pod(sandbox, server, at_server).await?;
        app::serve(server.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, app::PORT)))?);
        let mut client = pod(sandbox, client, at_client).await?;
        for pod in [&mut client, &mut server] {
            if pod.envoy().is_ok() {
                pod.wait_ready(STEP).await?;
            }
        }
        let to = SocketAddr::from((to, app::PORT));
        // The first ones may come before the control plane has told everybody of everybody.
        eventually("answer", STEP, async || connect(&client, to)?.exchange()).await.context(name)?;
        let connections = (0..connections).map(|_| connect(&client, to)).collect::<Result<_>>()?;
        Ok(Self { name, connections, pods: [client, server] })
    }

    /// How long the answers took, and what they cost.
    pub(super) fn load(&mut self, rate: u32, lasting: Duration) -> Result<Turn> {
        let before = self.cpu()?;
        let took = load::steady(&mut self.connections, rate, lasting)?;
        Ok(Turn { took, cpu: self.cpu()? - before })
    }

    /// What both Envoys have used until now.
    fn cpu(&self) -> Result<Duration> {
        self.pods.iter().filter(|pod| pod.envoy().is_ok()).map(usage::cpu).sum()
    }
}

fn connect(client: &Pod, to: SocketAddr) -> Result<Connection> {
    Connection::new(client.inside(|| TcpStream::connect_timeout(&to, STEP))?)
}

async fn pod(sandbox: &Sandbox, (name, _, ip): Place, sidecar: Option<Sidecar>) -> Result<Pod> {
    let spec = PodSpec { name: name.into(), namespace: NAMESPACE.into(), ips: vec![IpAddr::V4(ip)], sidecar };
    Ok(sandbox.pod(spec)?)
}

/// `smidge run` with the bookstore: deny is its mode, and a TrafficTarget lets the buyer in.
async fn control_plane(sandbox: &Sandbox, socket: &Path) -> Result<(Pod, Process)> {
    let program = std::env::current_exe()?.with_file_name("smidge");
    let (home, process) = sandbox.control_plane(&program, &repository().join("examples/bookstore"), socket)?;
    eventually("control plane that serves", STEP, async || holds(socket.exists(), || process.log())).await?;
    Ok((home, process))
}

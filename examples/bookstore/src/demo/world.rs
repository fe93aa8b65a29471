//! What the demo starts: a control plane, the pods with their Envoys, and the apps.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{self, Container};
use smidge_sandbox::{Command, Pod, PodSpec, Process, Sandbox, Sidecar};
use tokio::{
    fs::File,
    io::AsyncReadExt,
    time::{sleep, timeout},
};

use crate::{manifests::Manifests, record::Record};

/// How long each step of the start may take.
const STEP: Duration = Duration::from_secs(15);
/// How often a step is looked at again.
const AGAIN: Duration = Duration::from_millis(10);

/// All that runs. Dropping it ends it.
pub(crate) struct World {
    apps: Vec<App>,
    control_plane: Process,
    /// Pods keep their network while their apps run.
    _pods: Vec<Pod>,
    sandbox: Sandbox,
}

/// One app and what was read of its log.
struct App {
    name: String,
    process: Process,
    log: File,
    /// The beginning of a line that is not yet written to its end.
    rest: Vec<u8>,
}

impl World {
    /// Starts everything; returns when the customers begin to buy.
    pub(crate) async fn start(folder: &Path, manifests: &Manifests) -> Result<Self> {
        let sandbox = Sandbox::new("bookstore")?;
        sandbox.set_hosts(&manifests.hosts())?;
        let socket = sandbox.folder().join("xds/xds.sock");
        let folder = folder.canonicalize()?;
        let (home, control_plane) = sandbox.control_plane(&sibling("smidge", "SMIDGE")?, &folder, &socket)?;
        let mut world = Self { apps: Vec::new(), control_plane, _pods: vec![home], sandbox };
        world.wait_for(&socket).await?;
        let mut pods = manifests.pods.iter().map(|pod| world.start_pod(pod, &socket)).collect::<Result<Vec<_>>>()?;
        try_join_all(pods.iter_mut().map(|(pod, _)| pod.wait_ready(STEP))).await?;
        // Servers first: a customer who comes too early would count a failure that no policy explains.
        pods.sort_by_key(|(_, container)| container.ports.is_none());
        let program = world.sandbox.program(&sibling("bookstore", "BOOKSTORE")?)?;
        for (pod, container) in pods {
            world.start_app(&pod, &container, &program).await?;
            world._pods.push(pod);
        }
        Ok(world)
    }

    /// The names of all apps.
    pub(crate) fn apps(&self) -> Vec<String> {
        self.apps.iter().map(|app| app.name.clone()).collect()
    }

    /// The calls that apps have made since the last time.
    pub(crate) async fn new_records(&mut self) -> Result<Vec<(String, Record)>> {
        if !self.control_plane.is_running() {
            bail!("the control plane has ended: {}", self.control_plane.log());
        }
        let mut records = Vec::new();
        for app in &mut self.apps {
            ensure!(app.process.is_running(), "{} has ended: {}", app.name, app.process.log());
            records.extend(app.new_records().await?.into_iter().map(|record| (app.name.clone(), record)));
        }
        Ok(records)
    }

    async fn wait_for(&mut self, socket: &Path) -> Result<()> {
        let wait = async {
            while !socket.exists() {
                ensure!(self.control_plane.is_running(), "the control plane has ended: {}", self.control_plane.log());
                sleep(AGAIN).await;
            }
            Ok(())
        };
        timeout(STEP, wait).await.context("the control plane does not serve")?
    }

    fn start_pod(&self, pod: &v1::Pod, socket: &Path) -> Result<(Pod, Container)> {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let spec = pod.spec.clone().with_context(|| format!("pod {name} has no spec"))?;
        let account = spec.service_account_name.unwrap_or_else(|| "default".into());
        let container = spec.containers.into_iter().next().with_context(|| format!("pod {name} has no container"))?;
        let sidecar = Some(Sidecar::new(&account, socket));
        let pod = self.sandbox.pod(PodSpec { ips: ips(pod)?, name, namespace, sidecar })?;
        Ok((pod, container))
    }

    async fn start_app(&mut self, pod: &Pod, container: &Container, program: &Path) -> Result<()> {
        let process = pod.spawn(&Command::new(program).args(container.args.clone().unwrap_or_default()))?;
        for port in container.ports.iter().flatten() {
            let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), u16::try_from(port.container_port)?);
            let wait = async {
                while pod.connect(address).await.is_err() {
                    sleep(AGAIN).await;
                }
            };
            timeout(STEP, wait)
                .await
                .with_context(|| format!("{} does not listen: {}", container.name, process.log()))?;
        }
        let log = File::open(process.log_path()).await?;
        self.apps.push(App { name: container.name.clone(), process, log, rest: Vec::new() });
        Ok(())
    }
}

impl App {
    async fn new_records(&mut self) -> Result<Vec<Record>> {
        self.log.read_to_end(&mut self.rest).await?;
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        // Other lines are what the app has to say to people.
        Ok(lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// A binary of this workspace: the variable's value, or the one that was built beside this program.
fn sibling(name: &str, variable: &str) -> Result<PathBuf> {
    let path = match env::var_os(variable) {
        Some(path) => path.into(),
        None => env::current_exe()?.with_file_name(name),
    };
    ensure!(
        path.is_file(),
        "{} is missing: build it with `cargo build --workspace --bin smidge --bin bookstore --bin bookstore-demo`",
        path.display()
    );
    Ok(path)
}

fn ips(pod: &v1::Pod) -> Result<Vec<IpAddr>> {
    let ips = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
    let ips: Vec<IpAddr> = ips.map(|ip| ip.ip.parse()).collect::<Result<_, _>>()?;
    ensure!(!ips.is_empty(), "pod {:?} has no status.podIPs", pod.metadata.name);
    Ok(ips)
}

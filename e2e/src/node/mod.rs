//! A real one-node Kubernetes: etcd, API server, controllers, scheduler, containerd, kubelet, kube-proxy (nftables) and CoreDNS,
//! from the programs and images of the cache. Pods get IPv4 and IPv6 addresses; admission, RBAC, tokens, probes are the real ones.
//!
//! ```text
//!  test process                        one set of namespaces: mount, net, pid, ipc, uts
//! ┌───────────────┐  stdin pipe   ┌──────────────────────────────────────────────────────────────┐
//! │ Node          ├──────────────→│ pid 1   etcd  kube-apiserver  …  kubelet  containerd         │
//! │ 127.0.0.1:n ──┼─ Forward ────→│ 127.0.0.1:6443     eth0 10.99.0.2     cni0 ── pods 10.244/16 │
//! └───────────────┘               └──────────────────────────────────────────────────────────────┘
//! ```
//! The network has no way out and no way in but [`Forward`], a thread of the test's process that makes its connections in
//! the node's network: so any number of nodes use the same addresses, and no interface, route, rule or setting of the machine
//! changes. Everything but the node's folder is read-only to it. Whatever ends the test, even `kill -9`, closes the pipe: all
//! processes end, then the shell that held them removes the node's cgroups and folder.
//!
//! With `KUBECONFIG` set, [`Node::shared`] is that cluster. Its images have to be there under the names of [`Node::image`]:
//! `$SMIDGE_IMAGES/<name>:e2e`, or `localhost/<name>:e2e` where `SMIDGE_IMAGES` is not set (`make images`
//! makes archives for `kind load image-archive`). What needs the node's own network or programs fails there and says so: see
//! [`Node::is_own`].

mod apps;
mod capture;
mod cgroups;
mod forward;
mod mesh;
mod namespace;
mod programs;

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command as Program,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::{Signal, kill};
use smidge_sandbox::{Command, Folder, Holder, Output, Process, ROOT_UID, program_of, remove_leftovers};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{Mutex, OnceCell},
};

use self::forward::Forward;
pub use self::{
    apps::{app, every_route, permission},
    capture::Capture,
    namespace::Namespace,
};
use crate::{
    ApiServer, Daemon, eventually, holds,
    image::{Image, USUAL},
    pki::Pki,
};

/// How long the node may take for anything on a busy machine.
const READY: Duration = Duration::from_secs(180);

/// A cluster with one node.
#[derive(Debug)]
pub struct Node {
    /// Its API server, with what a user does by kubectl.
    pub api: ApiServer,
    own: Option<Own>,
}

/// What this process runs. Dropped in the order of the fields: all processes, then what they used.
#[derive(Debug)]
struct Own {
    holder: Holder,
    containerd: Mutex<Option<Daemon>>,
    daemons: Mutex<Vec<Daemon>>,
    _forward: Forward,
    cgroups: Vec<PathBuf>,
    /// Images that were imported after the start.
    imported: Mutex<Vec<String>>,
    /// How many programs were started for tests.
    spawned: AtomicUsize,
    has_bundles: bool,
    pki: Pki,
    folder: Folder,
}

impl Node {
    /// Starts one for the caller alone; it ends when dropped. For tests that break it; others share [`Node::shared`].
    pub async fn start() -> Result<Node> {
        Self::begin(false).await
    }

    /// The same, with ClusterTrustBundles, which are off by default: the API server serves and the kubelet projects them.
    pub async fn start_with_trust_bundles() -> Result<Node> {
        Self::begin(true).await
    }

    async fn begin(has_bundles: bool) -> Result<Node> {
        let own = Own::begin(has_bundles).await?;
        let api = ApiServer::at(own.file("kubeconfig"));
        let node = Node { api, own: Some(own) };
        node.wait_ready().await?;
        Ok(node)
    }

    /// The one cluster of this test binary, started by whoever asks first, or the one that `KUBECONFIG` names. Tests keep
    /// apart by namespaces of their own. It ends with the process.
    pub async fn shared() -> Result<&'static Node> {
        static SHARED: OnceCell<Node> = OnceCell::const_new();
        let begin = async || match std::env::var_os("KUBECONFIG") {
            Some(theirs) => Ok(Node { api: ApiServer::at(theirs.into()), own: None }),
            None => Node::start().await,
        };
        SHARED.get_or_try_init(begin).await
    }

    /// The name by which pods refer to the image (`testapp`, `envoy`, `smidge`, `smidge-redirect`, `postgres`).
    pub fn image(name: &str) -> String {
        Image::reference(name)
    }

    /// Makes the image and brings it to the node, once. Needed for `postgres`; the others are there from the start.
    pub async fn import(&self, name: &str) -> Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        let mut imported = own.imported.lock().await;
        if !imported.iter().any(|there| there == name) {
            own.import(name).await?;
            imported.push(name.to_owned());
        }
        Ok(())
    }

    /// Runs a program in the node's network and file system to its end.
    pub async fn run(&self, command: &Command) -> Result<Output> {
        Ok(self.own()?.holder.output(command).await?)
    }

    /// Starts a program there, with a log of its own; dropping it ends it.
    pub fn spawn(&self, command: &Command) -> Result<Process> {
        let own = self.own()?;
        let number = own.spawned.fetch_add(1, Ordering::Relaxed);
        Ok(own.holder.spawn(command, &own.log(&format!("spawned-{number}")))?)
    }

    /// Makes a connection from the node: to a pod, a Service, a port of the node.
    pub async fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        let socket = || if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = self.own()?.holder.inside(socket)?;
        socket.connect(to).await.with_context(|| format!("connect from the node to {to}"))
    }

    /// Ends the node's containerd and starts it again; containers live on.
    pub async fn restart_containerd(&self) -> Result<()> {
        let own = self.own()?;
        let mut containerd = own.containerd.lock().await;
        let daemon = containerd.as_mut().context("containerd does not run")?;
        let program = program_of(daemon.pid())?.context("containerd has ended")?;
        kill(program, Signal::SIGKILL)?;
        daemon.wait()?;
        *containerd = Some(own.daemon("containerd", &programs::containerd(own.folder.path()))?);
        drop(containerd);
        own.answers().await
    }

    /// The process whose end is the end of the node.
    pub fn holder(&self) -> Result<u32> {
        Ok(self.own()?.holder.pid())
    }

    /// The node's folder and its cgroups: all that is of it outside of its namespaces.
    pub fn traces(&self) -> Result<Vec<PathBuf>> {
        let own = self.own()?;
        Ok([own.cgroups.clone(), vec![own.folder.path().to_owned()]].concat())
    }

    /// False where the cluster is the one that `KUBECONFIG` names: tests that need more of a node than its API leave it alone.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    fn own(&self) -> Result<&Own> {
        self.own.as_ref().context("this test needs a node of its own: run it without $KUBECONFIG")
    }

    async fn wait_ready(&self) -> Result<()> {
        let own = self.own()?;
        let images = async {
            own.answers().await?;
            for name in USUAL {
                own.import(name).await?;
            }
            Ok(())
        };
        let ready = async { tokio::try_join!(images, self.wait_pods_run()) };
        tokio::select! {
            ready = ready => ready.map(drop),
            error = own.ended() => Err(error),
        }
        .map_err(|error| own.explained(&error))
    }

    /// The API server answers, the others are started, and DNS, which is made of pods, serves.
    async fn wait_pods_run(&self) -> Result<()> {
        let own = self.own()?;
        self.api.ready().await?;
        own.start_rest().await?;
        self.api.apply(&programs::dns(own.folder.path())?).await?;
        eventually("serving DNS", READY, async || {
            let ready = "-ojsonpath={.status.readyReplicas}";
            let ready = self.api.kubectl(&["get", "deployment", "-n", "kube-system", "coredns", ready]).await?;
            holds(ready == "1", || format!("{ready:?} replicas of CoreDNS are ready"))
        })
        .await
    }
}

impl Own {
    /// Namespaces, settings, and the programs that wait for nobody.
    async fn begin(has_bundles: bool) -> Result<Self> {
        remove_leftovers();
        let folder = Folder::new("node")?;
        let name = folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (listener, port) = forward::listen()?;
        let pki = programs::write_settings(folder.path(), port)?;
        let holder = Holder::new(&folder.path().to_string_lossy(), include_str!("begin.sh"), include_str!("after.sh"))?;
        let cgroups = cgroups::make(&name)?;
        let forward = Forward::new(listener, holder.network()?, programs::API)?;
        let own = Own {
            holder,
            containerd: Mutex::default(),
            daemons: Mutex::default(),
            _forward: forward,
            cgroups,
            imported: Mutex::default(),
            spawned: AtomicUsize::new(0),
            has_bundles,
            pki,
            folder,
        };
        *own.containerd.lock().await = Some(own.daemon("containerd", &programs::containerd(own.folder.path()))?);
        own.start("etcd", &programs::etcd(own.folder.path())?).await?;
        own.start("kube-apiserver", &programs::api_server(&own.pki, has_bundles)?).await?;
        Ok(own)
    }

    /// The programs that would only wait, longer each time, while the API server is not there.
    async fn start_rest(&self) -> Result<()> {
        self.start("kubelet", &programs::kubelet(&self.pki, self.has_bundles)?).await?;
        self.start("kube-controller-manager", &programs::controllers(&self.pki)?).await?;
        self.start("kube-scheduler", &programs::scheduler(&self.pki)?).await?;
        self.start("kube-proxy", &programs::kube_proxy(self.folder.path())?).await
    }

    async fn start(&self, name: &str, command: &Program) -> Result<()> {
        let daemon = self.daemon(name, command)?;
        self.daemons.lock().await.push(daemon);
        Ok(())
    }

    /// A daemon in the node's namespaces, which finds the node's own programs before the machine's.
    fn daemon(&self, name: &str, command: &Program) -> Result<Daemon> {
        let mut inside = Program::new("nsenter");
        inside.args(self.holder.enter()).arg("--").arg(command.get_program()).args(command.get_args());
        inside.env("PATH", self.path()).env("TMPDIR", "/run");
        Daemon::start(name, &inside, &self.log(name))
    }

    fn path(&self) -> OsString {
        let mut path = self.file("bin").into_os_string();
        for more in [":", "/usr/sbin:/sbin:"].map(OsString::from).into_iter().chain(std::env::var_os("PATH")) {
            path.push(more);
        }
        path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.file("log").join(name)
    }

    /// Waits until containerd answers.
    async fn answers(&self) -> Result<()> {
        eventually("containerd that answers", READY, async || self.ctr(&["version".into()]).await).await
    }

    /// Makes the image if the cache lacks it, and imports it.
    async fn import(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        let archive = tokio::task::spawn_blocking(move || Image::named(&name)?.archive()).await??;
        self.ctr(&["images".into(), "import".into(), archive.into()]).await
    }

    async fn ctr(&self, arguments: &[OsString]) -> Result<()> {
        let ctr = Command::new(self.file("bin/ctr")).uid(ROOT_UID).args(["--namespace", "k8s.io"]);
        let output = self.holder.output(&ctr.args(arguments.to_vec())).await?;
        ensure!(output.status.success(), "ctr {arguments:?}: {}", output.stderr);
        Ok(())
    }

    /// Comes back when one of the programs has ended, which none should, and says how.
    async fn ended(&self) -> anyhow::Error {
        let ended = eventually("end of the start", READY, async || match self.check().await {
            Ok(()) => Err(anyhow!("all programs run")),
            Err(error) => Ok(error),
        });
        ended.await.unwrap_or_else(|late| late)
    }

    /// An error when one of the programs has ended.
    async fn check(&self) -> Result<()> {
        let mut containerd = self.containerd.lock().await;
        let mut daemons = self.daemons.lock().await;
        containerd.iter_mut().chain(daemons.iter_mut()).try_for_each(Daemon::check)
    }

    /// What to know when the node does not come up: the ends of the logs, which go away with it.
    fn explained(&self, error: &anyhow::Error) -> anyhow::Error {
        let mut text = format!("{error:#}");
        for log in std::fs::read_dir(self.file("log")).into_iter().flatten().flatten() {
            text += &format!("\n--- {}\n{}", log.file_name().display(), end_of(&log.path()));
        }
        anyhow!(text)
    }
}

/// The last lines of a log.
fn end_of(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

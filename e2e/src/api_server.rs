//! A real Kubernetes API server for tests: etcd and kube-apiserver of our own on loopback, or the cluster that `KUBECONFIG`
//! names. No other part of Kubernetes runs beside it, so a test writes what controllers and kubelets would: EndpointSlices,
//! the addresses of pods, service accounts.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::Tool;
use crate::daemon::Daemon;
use crate::pki::Pki;
use crate::wait::eventually;

const READY: Duration = Duration::from_secs(120);

/// What an API server is started with to have ClusterTrustBundles, which are off by default; kubelets need the first of them to
/// project one.
pub const TRUST_BUNDLES: [&str; 2] = [
    "--feature-gates=ClusterTrustBundle=true,ClusterTrustBundleProjection=true",
    "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true",
];

/// Which files every API server is started with.
pub(crate) const FILES: [(&str, &str); 5] = [
    ("client-ca-file", "ca.crt"),
    ("tls-cert-file", "apiserver.crt"),
    ("tls-private-key-file", "apiserver.key"),
    ("service-account-key-file", "accounts.pub"),
    ("service-account-signing-key-file", "accounts.key"),
];

/// An API server that answers.
#[derive(Debug)]
pub struct ApiServer {
    kubeconfig: PathBuf,
    own: Option<Own>,
}

/// The server that this process runs. Dropped in the order of the fields: the store after its client, the files last.
#[derive(Debug)]
struct Own {
    api: Mutex<Option<Daemon>>,
    etcd: Mutex<Daemon>,
    etcd_command: Command,
    command: Mutex<Command>,
    log: PathBuf,
    folder: TempDir,
}

impl ApiServer {
    /// Starts one for the caller alone; it ends when dropped. For tests that stop or pause it; others share [`ApiServer::shared`].
    pub async fn start() -> Result<ApiServer> {
        match std::env::var_os("KUBECONFIG") {
            Some(theirs) => Ok(Self::at(theirs.into())),
            None => Self::start_own().await,
        }
    }

    /// The one server of this test binary, started by whoever asks first. Tests keep apart by namespaces of their own.
    pub async fn shared() -> Result<&'static ApiServer> {
        static SHARED: OnceCell<ApiServer> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// One that runs already, and is somebody else's to end.
    pub(crate) fn at(kubeconfig: PathBuf) -> ApiServer {
        ApiServer { kubeconfig, own: None }
    }

    async fn start_own() -> Result<ApiServer> {
        let folder = tempfile::Builder::new().prefix("smidge-api-").tempdir()?;
        let [etcd_port, peer_port, api_port] = [free_port()?, free_port()?, free_port()?];
        let url = format!("https://127.0.0.1:{api_port}");
        let pki = Pki::write(folder.path(), &url, &["localhost", "kubernetes", "127.0.0.1"])?;
        let etcd_command = etcd_command(folder.path(), etcd_port, peer_port)?;
        let etcd = Daemon::start("etcd", &etcd_command, &folder.path().join("etcd.log"))?;
        let command = api_command(&pki, etcd_port, api_port)?;
        let log = folder.path().join("apiserver.log");
        let own = Own {
            api: Mutex::new(Some(Daemon::start("kube-apiserver", &command, &log)?)),
            etcd: Mutex::new(etcd),
            etcd_command,
            command: Mutex::new(command),
            log,
            folder,
        };
        let server = ApiServer { kubeconfig: pki.kubeconfig(), own: Some(own) };
        server.ready().await?;
        Ok(server)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// An administrator's client. It belongs to the runtime of the calling test, so every test asks for its own.
    pub async fn client(&self) -> Result<kube::Client> {
        let file = Kubeconfig::read_from(&self.kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Ends the server with `SIGKILL`; the store and all objects stay. Until [`ApiServer::resume`] nobody answers at its address.
    pub async fn stop(&self) -> Result<()> {
        let mut api = self.own()?.api.lock().await;
        api.take().context("the API server is stopped already")?.kill()
    }

    /// Starts a stopped server again, or wakes a paused one: same address, same objects.
    pub async fn resume(&self) -> Result<()> {
        let own = self.own()?;
        let mut api = own.api.lock().await;
        match api.as_ref() {
            Some(paused) => paused.signal(Signal::SIGCONT)?,
            None => *api = Some(Daemon::start("kube-apiserver", &*own.command.lock().await, &own.log)?),
        }
        drop(api);
        self.ready().await
    }

    /// Starts a stopped server again as if it had always had these flags.
    pub async fn resume_with(&self, flags: &[&str]) -> Result<()> {
        self.own()?.command.lock().await.args(flags);
        self.resume().await
    }

    /// Lets the server hang (`SIGSTOP`): connections stay open, and nobody answers.
    pub async fn pause(&self) -> Result<()> {
        let api = self.own()?.api.lock().await;
        api.as_ref().context("the API server is stopped")?.signal(Signal::SIGSTOP)
    }

    /// Lets the store hang: the server still answers what it can by itself, with errors.
    pub async fn pause_store(&self) -> Result<()> {
        self.own()?.etcd.lock().await.signal(Signal::SIGSTOP)
    }

    /// Lets a hanging store go on.
    pub async fn resume_store(&self) -> Result<()> {
        self.own()?.etcd.lock().await.signal(Signal::SIGCONT)?;
        self.ready().await
    }

    /// Ends the store with `SIGKILL` and starts it again with what it had written.
    pub async fn restart_store(&self) -> Result<()> {
        let own = self.own()?;
        let mut etcd = own.etcd.lock().await;
        etcd.kill()?;
        *etcd = Daemon::start("etcd", &own.etcd_command, &own.folder.path().join("etcd.log"))?;
        drop(etcd);
        self.ready().await
    }

    /// The file with the key by which it signs tokens.
    pub(crate) fn signing_key(&self) -> Result<PathBuf> {
        Ok(self.own()?.folder.path().join("accounts.key"))
    }

    fn own(&self) -> Result<&Own> {
        self.own.as_ref().context("this test needs an API server of its own: run it without $KUBECONFIG")
    }

    pub(crate) async fn ready(&self) -> Result<()> {
        eventually("ready API server", READY, async || {
            if let Some(own) = &self.own {
                own.check_alive().await?;
            }
            let client = self.client().await?;
            let answer = client.request_text(hyper::Request::get("/readyz").body(Vec::new())?).await?;
            if answer != "ok" {
                bail!("/readyz answers {answer:?}");
            }
            Ok(())
        })
        .await
    }
}

impl Own {
    async fn check_alive(&self) -> Result<()> {
        self.etcd.lock().await.check()?;
        let mut api: MutexGuard<'_, Option<Daemon>> = self.api.lock().await;
        api.as_mut().context("the API server is stopped")?.check()
    }
}

fn etcd_command(folder: &Path, client_port: u16, peer_port: u16) -> Result<Command> {
    let clients = format!("http://127.0.0.1:{client_port}");
    let mut etcd = Command::new(Tool::Etcd.path()?);
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    etcd.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    etcd.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    etcd.arg("--listen-peer-urls").arg(format!("http://127.0.0.1:{peer_port}"));
    Ok(etcd)
}

fn api_command(pki: &Pki, etcd_port: u16, port: u16) -> Result<Command> {
    let mut api = Command::new(Tool::ApiServer.path()?);
    api.arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}")).arg(format!("--secure-port={port}"));
    api.args([
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        // Its controller, which makes each namespace's `default` account, does not run here.
        "--disable-admission-plugins=ServiceAccount",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
    ]);
    api.args(pki.flags(&FILES));
    Ok(api)
}

/// A port below the range from which the kernel takes the ports of outgoing connections, so that it stays free while the
/// server is stopped. Processes start at different places, and each goes on from where it was.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const RANGE: u16 = 12_000;
    let start = u16::try_from(std::process::id() % 1_000)? * 12;
    (0..RANGE)
        .map(|_| 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed) % RANGE) % RANGE)
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .context("no free port on 127.0.0.1")
}

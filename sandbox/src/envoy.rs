//! A pod's stock Envoy: where it is found, how it runs, and its admin interface.

use std::{
    fs::{self, Permissions},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use smidge_injector::{ADMIN_PORT, Bootstrap, PROXY_UID, Redirect, bootstrap};
use tokio::time;

use crate::{Command, Error, Pod, Process};

/// Where Envoy's admin listens, in the pod's network.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), ADMIN_PORT);
/// How often an Envoy that is not ready is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long one answer of the admin may take: a paused Envoy accepts and never answers.
const ANSWER: Duration = Duration::from_secs(5);

/// How a pod's Envoy shall run.
#[derive(Debug, Clone)]
pub struct Sidecar {
    /// The pod's service account; with the namespace it names the node's cluster.
    pub service_account: String,
    /// The control plane's Unix socket; see [`crate::Sandbox::open_socket`].
    pub xds_socket: PathBuf,
    /// What is redirected to Envoy.
    pub redirect: Redirect,
    /// More arguments for Envoy, such as `--drain-time-s 2`.
    pub args: Vec<String>,
    /// A bootstrap in place of the injector's, in JSON or YAML.
    pub bootstrap: Option<String>,
}

impl Sidecar {
    /// A sidecar as injection would make it.
    pub fn new(service_account: &str, xds_socket: &Path) -> Self {
        Self {
            service_account: service_account.into(),
            xds_socket: xds_socket.into(),
            redirect: Redirect::default(),
            args: Vec::new(),
            bootstrap: None,
        }
    }

    fn bootstrap(&self, pod: &Pod) -> String {
        self.bootstrap.clone().unwrap_or_else(|| {
            bootstrap(&Bootstrap {
                node: pod.id(),
                cluster: format!("{}.{}", self.service_account, pod.namespace()),
                xds_socket: self.xds_socket.clone(),
                admin_port: ADMIN_PORT,
            })
        })
    }
}

/// Starts the pod's Envoy as [`PROXY_UID`], without capabilities.
pub(crate) fn start(pod: &Pod, sidecar: &Sidecar) -> Result<Process, Error> {
    let sandbox = pod.sandbox();
    // Envoy tells the format by the file's ending, and JSON is YAML.
    let file = sandbox.folder().join(format!("{}.bootstrap.yaml", pod.id()));
    fs::write(&file, sidecar.bootstrap(pod)).map_err(Error::io("write an Envoy's bootstrap"))?;
    let command = Command::new(sandbox.envoy()?)
        .arg("--config-path")
        .arg(file)
        // Hot restart shares memory by a number that all Envoys of a machine would have to agree on.
        .args(["--disable-hot-restart", "--concurrency", "1", "--file-flush-interval-msec", "1000"])
        .args(&sidecar.args)
        .uid(PROXY_UID);
    pod.spawn(&command)
}

impl Pod {
    /// Waits until the pod's Envoy has loaded what it needs to serve.
    ///
    /// # Errors
    /// [`Error::TooLate`] with Envoy's last answer after `within`, or if Envoy has ended: see its log.
    pub async fn wait_ready(&mut self, within: Duration) -> Result<(), Error> {
        let begin = time::Instant::now();
        loop {
            let Err(error) = self.admin("GET", "/ready").await else { return Ok(()) };
            if begin.elapsed() >= within || !self.envoy_mut()?.is_running() {
                let last = format!("{error}; its log ends: {}", tail(&self.envoy()?.log(), 5));
                return Err(Error::TooLate { what: format!("Envoy of {} ready", self.id()), within, last });
            }
            time::sleep(ASK_AGAIN).await;
        }
    }

    /// Asks the pod's Envoy by its admin interface: `GET` to read (`/config_dump`, `/stats?filter=…`), `POST` to change.
    ///
    /// # Errors
    /// [`Error::Admin`] for any status but 200, with the body.
    pub async fn admin(&self, method: &str, path: &str) -> Result<String, Error> {
        let answer = time::timeout(ANSWER, self.ask_admin(method, path)).await;
        let (status, body) = answer.map_err(|_| Error::TooLate {
            what: format!("answer of the admin of {} to {path}", self.id()),
            within: ANSWER,
            last: "none".into(),
        })??;
        match status {
            StatusCode::OK => Ok(body),
            _ => Err(Error::Admin { path: path.into(), status: status.as_u16(), body }),
        }
    }

    async fn ask_admin(&self, method: &str, path: &str) -> Result<(StatusCode, String), Error> {
        let failed = |error: hyper::Error| Error::io("ask Envoy's admin")(std::io::Error::other(error));
        let stream = TokioIo::new(self.connect(ADMIN).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(failed)?;
        let request = Request::builder().method(method).uri(path).header("host", "admin").body(Empty::<Bytes>::new());
        let request = request.map_err(|error| Error::io("ask Envoy's admin")(std::io::Error::other(error)))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::select! {
            answer = exchange => answer.map_err(failed),
            // The connection ends before the answer only when Envoy goes away.
            _ = connection => Err(Error::io("ask Envoy's admin")(std::io::ErrorKind::ConnectionReset.into())),
        }
    }
}

/// Lets Envoys reach a control plane's Unix socket, which belongs to root: connecting takes the right to write.
pub(crate) fn open_socket(socket: &Path) -> Result<(), Error> {
    let what = format!("open {} to Envoys", socket.display());
    std::os::unix::fs::chown(socket, None, Some(PROXY_UID)).map_err(Error::io(&what))?;
    fs::set_permissions(socket, Permissions::from_mode(0o660)).map_err(Error::io(what))
}

/// The last lines of a log, for messages.
pub(crate) fn tail(log: &str, lines: usize) -> String {
    let skip = log.lines().count().saturating_sub(lines);
    log.lines().skip(skip).collect::<Vec<_>>().join("\n")
}

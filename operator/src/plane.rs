//! A running control plane without its sources: the loop, the hub and the server on its socket.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use rustls::ServerConfig;
use smidge_compiler::Snapshot;
use smidge_mesh::TrustBundle;
use smidge_report::Limits as StatusLimits;
use smidge_xds_server::{Hub, Identify, Limits, NodeId, serve};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;

use crate::{
    control::{Control, QUEUE},
    identity::{Authority, Certificates, Root, RootError, Shared},
    message::{Message, Source},
    metrics::Numbers,
    socket::{self, Socket},
    statuses::{Order, Statuses},
    tls,
};

/// How long nothing is accepted after a connection could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// On a cluster the streams are ended over this time, so that their Envoys do not all come to the other replica at once.
const DRAIN: Duration = Duration::from_secs(5);

/// What every control plane needs, whatever its objects come from.
#[derive(Clone, Debug)]
pub struct PlaneConfig {
    /// Where proxies connect.
    pub socket: Socket,
    /// The folder in which the root is kept over restarts; `None`: each start makes a new one, and until every proxy
    /// has its new certificate, proxies with old and new ones refuse each other.
    pub state: Option<PathBuf>,
    /// How long a workload's certificate is good; it is renewed after two thirds of that.
    pub certificate_lifetime: Duration,
}

/// The control plane cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// Nothing to sign with.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Nowhere to serve.
    #[error(transparent)]
    Socket(#[from] socket::Error),
    /// TLS is not to be had.
    #[error("cannot serve proxies by TLS")]
    Tls(#[from] rustls::Error),
    /// A part of it has ended before it was told to.
    #[error("the {0} broke down; this is a bug: please report it with the log")]
    Broken(&'static str),
}

impl PlaneConfig {
    /// An authority with the root that is kept, or a new one.
    pub(crate) fn authority(&self) -> Result<Authority, PlaneError> {
        Ok(Authority::with(match &self.state {
            Some(folder) => Root::keep(folder, self.certificate_lifetime)?,
            None => Root::generate(self.certificate_lifetime)?,
        }))
    }
}

/// Where proxies come in, and how they say who they are.
pub(crate) enum Door {
    /// By this socket, which decides who may open it: what they say is believed.
    Socket(Socket),
    /// By TLS, and they are identified.
    Tls(TcpListener, Arc<ServerConfig>, Arc<dyn Identify>),
}

/// A control plane that runs.
pub(crate) struct Plane {
    pub(crate) hub: Arc<Hub>,
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) numbers: watch::Receiver<Numbers>,
    /// The newest trust bundle that every proxy has acknowledged.
    pub(crate) acknowledged: watch::Receiver<TrustBundle>,
    /// All objects as the loop knows them; `None`: not yet.
    pub(crate) snapshot: watch::Receiver<Option<Snapshot>>,
    control: JoinHandle<()>,
    server: JoinHandle<()>,
}

impl Plane {
    /// Starts the loop and the server; what is to be done with statuses comes out of the second value.
    pub(crate) fn start(
        door: Door,
        shared: Shared,
        awaited: impl IntoIterator<Item = Source>,
        limits: StatusLimits,
        shutdown: &CancellationToken,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Order>), PlaneError> {
        let certificates = Certificates::new(shared.authority.clone(), shared.identities.clone());
        let drain = if matches!(door, Door::Tls(..)) { DRAIN } else { Duration::ZERO };
        let hub = Hub::new(Limits { drain, ..Limits::default() }, Arc::new(certificates));
        let server = open(door, &hub, shutdown)?;
        let (orders, ordered) = mpsc::unbounded_channel();
        let (messages, inbox) = mpsc::channel(QUEUE);
        let control = Control::new(Arc::clone(&hub), shared, Statuses::new(limits, orders), awaited);
        let (numbers, acknowledged, snapshot) = (control.numbers(), control.acknowledged(), control.snapshot());
        let (run, end) = (control.run(inbox, shutdown.clone()), shutdown.clone().drop_guard());
        let control = tokio::spawn(async move {
            // Without the loop nothing goes on, however it ended.
            let _end = end;
            run.await;
        });
        Ok((Self { hub, messages, numbers, acknowledged, snapshot, control, server }, ordered))
    }

    /// Waits, after the shutdown was asked for, until streams are ended and the loop has stopped.
    pub(crate) async fn stopped(self) -> Result<(), PlaneError> {
        let (server, control) = (self.server.await, self.control.await);
        server.map_err(|_| PlaneError::Broken("server"))?;
        control.map_err(|_| PlaneError::Broken("loop"))
    }
}

fn open(door: Door, hub: &Arc<Hub>, shutdown: &CancellationToken) -> Result<JoinHandle<()>, PlaneError> {
    let (hub, shutdown) = (Arc::clone(hub), shutdown.clone());
    Ok(match door {
        Door::Socket(socket) => {
            let listener = socket.bind()?;
            tracing::info!(socket = %socket.path.display(), "serving proxies");
            tokio::spawn(serve_on(listener, socket, hub, shutdown))
        }
        Door::Tls(listener, config, identify) => {
            let incoming = Box::pin(tls::incoming(listener, config));
            tokio::spawn(serve_tls(incoming, identify, hub, shutdown))
        }
    })
}

async fn serve_tls(
    incoming: impl Stream<Item = Result<tls::Connection, Infallible>> + Send + 'static,
    identify: Arc<dyn Identify>,
    hub: Arc<Hub>,
    shutdown: CancellationToken,
) {
    if let Err(error) = serve(hub, identify, incoming, shutdown.clone()).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the server ended");
        shutdown.cancel();
    }
}

async fn serve_on(listener: UnixListener, socket: Socket, hub: Arc<Hub>, shutdown: CancellationToken) {
    let incoming = UnixListenerStream::new(listener).filter_map(async |stream| match stream {
        Ok(stream) => Some(Ok::<_, Infallible>(stream)),
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted; see the limit of open files (ulimit -n)");
            // Most likely no file is left to open, and the next try would fail at once.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    });
    let unlinked = CancellationToken::new();
    let serving = async {
        if let Err(error) = serve(hub, Arc::new(NodeId), incoming, unlinked.clone()).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the server ended");
            shutdown.cancel();
        }
    };
    let unlinking = async {
        shutdown.cancelled().await;
        // While it still listens: once it does not, the name may be that of the next control plane.
        socket.remove();
        unlinked.cancel();
    };
    tokio::join!(serving, unlinking);
}

#[cfg(test)]
mod tests {
    use std::iter::empty;

    use tokio::net::UnixStream;

    use super::*;
    use crate::identity::LIFETIME;

    #[tokio::test(start_paused = true)]
    async fn who_is_about_to_end_leaves_the_socket_of_the_next_alone() {
        let folder = tempfile::tempdir().unwrap();
        let socket = Socket { path: folder.path().join("xds.sock"), group: None };
        let config = PlaneConfig { socket: socket.clone(), state: None, certificate_lifetime: LIFETIME };
        let shutdown = CancellationToken::new();
        let (door, shared) = (Door::Socket(socket.clone()), Shared::with(config.authority().unwrap()));
        let (plane, _orders) = Plane::start(door, shared, empty(), StatusLimits::default(), &shutdown).unwrap();
        // A client that holds up the end.
        let _client = UnixStream::connect(&socket.path).await.unwrap();
        shutdown.cancel();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let _next = socket.bind().unwrap();
        plane.stopped().await.unwrap();
        assert!(UnixStream::connect(&socket.path).await.is_ok(), "the next one is reached");
    }
}

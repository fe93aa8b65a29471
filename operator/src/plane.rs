//! A running control plane without its sources: the loop, the hub and the server on its socket.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use futures::StreamExt;
use smidge_report::Limits as StatusLimits;
use smidge_xds_server::{Hub, Limits, NodeId, serve};
use tokio::{
    net::UnixListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;

use crate::{
    control::{Control, QUEUE},
    identity::{Authority, Certificates, Identities, Issuer, Root, RootError},
    message::{Message, Source},
    metrics::Numbers,
    socket::{self, Socket},
    statuses::{Order, Statuses},
};

/// How long nothing is accepted after a connection could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    /// A part of it has ended before it was told to.
    #[error("the {0} broke down; this is a bug: please report it with the log")]
    Broken(&'static str),
}

/// A control plane that runs.
pub(crate) struct Plane {
    pub(crate) hub: Arc<Hub>,
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) numbers: watch::Receiver<Numbers>,
    control: JoinHandle<()>,
    server: JoinHandle<()>,
}

impl Plane {
    /// Starts the loop and the server; what is to be done with statuses comes out of the second value.
    pub(crate) fn start(
        config: &PlaneConfig,
        awaited: impl IntoIterator<Item = Source>,
        limits: StatusLimits,
        shutdown: &CancellationToken,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Order>), PlaneError> {
        let root = Arc::new(Authority::with(match &config.state {
            Some(folder) => Root::keep(folder, config.certificate_lifetime)?,
            None => Root::generate(config.certificate_lifetime)?,
        }));
        let listener = config.socket.bind()?;
        let identities = Identities::default();
        let trust_bundle = root.trust_bundle();
        let hub = Hub::new(Limits::default(), Arc::new(Certificates::new(root, identities.clone())));
        let (orders, ordered) = mpsc::unbounded_channel();
        let (messages, inbox) = mpsc::channel(QUEUE);
        let control = Control::new(Arc::clone(&hub), identities, Statuses::new(limits, orders), awaited, trust_bundle);
        let numbers = control.numbers();
        let (run, end) = (control.run(inbox, shutdown.clone()), shutdown.clone().drop_guard());
        let control = tokio::spawn(async move {
            // Without the loop nothing goes on, however it ended.
            let _end = end;
            run.await;
        });
        let server = tokio::spawn(serve_on(listener, config.socket.clone(), Arc::clone(&hub), shutdown.clone()));
        tracing::info!(socket = %config.socket.path.display(), "serving proxies");
        Ok((Self { hub, messages, numbers, control, server }, ordered))
    }

    /// Waits, after the shutdown was asked for, until streams are ended and the loop has stopped.
    pub(crate) async fn stopped(self) -> Result<(), PlaneError> {
        let (server, control) = (self.server.await, self.control.await);
        server.map_err(|_| PlaneError::Broken("server"))?;
        control.map_err(|_| PlaneError::Broken("loop"))
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
        let (plane, _orders) = Plane::start(&config, empty(), StatusLimits::default(), &shutdown).unwrap();
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

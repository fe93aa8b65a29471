//! A running control plane without its sources: the loop, the hub and the server on its socket.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use futures::StreamExt;
use smidge_report::Limits as StatusLimits;
use smidge_xds_server::{Hub, Limits, NodeId, serve};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;

use crate::{
    control::{Control, QUEUE},
    identity::{Certificates, Identities, Issuer, Root, RootError},
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
    socket: Socket,
}

impl Plane {
    /// Starts the loop and the server; what is to be done with statuses comes out of the second value.
    pub(crate) fn start(
        config: &PlaneConfig,
        awaited: impl IntoIterator<Item = Source>,
        limits: StatusLimits,
        shutdown: &CancellationToken,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Order>), PlaneError> {
        let root: Arc<dyn Issuer> = Arc::new(match &config.state {
            Some(folder) => Root::keep(folder)?,
            None => Root::generate()?,
        });
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
        let server = tokio::spawn(serve_on(listener, Arc::clone(&hub), shutdown.clone()));
        tracing::info!(socket = %config.socket.path.display(), "serving proxies");
        Ok((Self { hub, messages, numbers, control, server, socket: config.socket.clone() }, ordered))
    }

    /// Waits, after the shutdown was asked for, until streams are ended and the loop has stopped.
    pub(crate) async fn stopped(self) -> Result<(), PlaneError> {
        let (server, control) = (self.server.await, self.control.await);
        self.socket.remove();
        server.map_err(|_| PlaneError::Broken("server"))?;
        control.map_err(|_| PlaneError::Broken("loop"))
    }
}

async fn serve_on(listener: tokio::net::UnixListener, hub: Arc<Hub>, shutdown: CancellationToken) {
    let incoming = UnixListenerStream::new(listener).filter_map(async |stream| match stream {
        Ok(stream) => Some(Ok::<_, Infallible>(stream)),
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted; see the limit of open files (ulimit -n)");
            // Most likely no file is left to open, and the next try would fail at once.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    });
    if let Err(error) = serve(hub, Arc::new(NodeId), incoming, shutdown.clone()).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the server ended");
        shutdown.cancel();
    }
}

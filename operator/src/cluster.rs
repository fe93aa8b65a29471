//! On a cluster: objects come from the API server's watches, statuses go to it.

use std::{io::ErrorKind, net::SocketAddr};

use kube::{
    Client, Config as ClientConfig,
    config::{KubeConfigOptions, KubeconfigError},
};
use smidge_report::Limits;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    endpoint,
    plane::{Plane, PlaneConfig, PlaneError},
    statuses::write_statuses,
    watch::watches,
};

/// What the control plane of a cluster needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The socket and the state.
    pub plane: PlaneConfig,
    /// Where `/metrics`, `/readyz` and `/livez` are served in plain HTTP; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
}

/// The control plane cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no API server to talk to.
    #[error("no way to an API server: set KUBECONFIG to a kubeconfig's path, or run in a pod with a service account")]
    NoServer,
    /// The kubeconfig is of no use. (Its error names its own sources.)
    #[error("no way to an API server by the kubeconfig (of $KUBECONFIG, else ~/.kube/config): {0}")]
    Kubeconfig(KubeconfigError),
    /// No client can be made of the configuration.
    #[error("no way to the API server {address}")]
    Client {
        /// Where.
        address: String,
        /// Why.
        source: kube::Error,
    },
    /// Its own part does not start.
    #[error(transparent)]
    Plane(#[from] PlaneError),
    /// Metrics cannot be served.
    #[error("cannot serve metrics on {address}: give another address with --metrics")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs until `shutdown`. An API server that is away, or lacks the CRDs, is waited for.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let (client, address) = connect().await?;
    let metrics = listen(config.metrics).await?;
    // The watches need the plane's inbox, the plane the names of the watches: these are all kinds.
    let (plane, orders) = Plane::start(&config.plane, crate::watch::sources(), Limits::default(), &shutdown)?;
    let mut tasks = JoinSet::new();
    for watch in watches(&client, &address, &plane.messages) {
        tasks.spawn(watch);
    }
    tasks.spawn(write_statuses(client, orders, plane.messages.clone()));
    if let Some(listener) = metrics {
        tasks.spawn(endpoint::serve(listener, plane.numbers.clone(), plane.hub.counters().clone()));
    }
    shutdown.cancelled().await;
    tracing::info!("ending: proxies go on with what they have");
    Ok(plane.stopped().await?)
}

/// A client of the API server, and its address. A kubeconfig that cannot be used is told, unless the service account of
/// a pod takes its place.
///
/// # Errors
/// When neither is there, or of use.
pub async fn connect() -> Result<(Client, String), Error> {
    let config = match ClientConfig::from_kubeconfig(&KubeConfigOptions::default()).await {
        Ok(config) => config,
        Err(error) if std::env::var_os("KUBECONFIG").is_some() => return Err(Error::Kubeconfig(error)),
        Err(error) => ClientConfig::incluster().map_err(|_| without_cluster(error))?,
    };
    let address = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|source| Error::Client { address: address.clone(), source })?;
    Ok((client, address))
}

fn without_cluster(error: KubeconfigError) -> Error {
    match error {
        KubeconfigError::FindPath => Error::NoServer,
        KubeconfigError::ReadConfig(io, _) if io.kind() == ErrorKind::NotFound => Error::NoServer,
        other => Error::Kubeconfig(other),
    }
}

async fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Error> {
    let Some(address) = address else { return Ok(None) };
    TcpListener::bind(address).await.map(Some).map_err(|source| Error::Metrics { address, source })
}

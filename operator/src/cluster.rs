//! On a cluster: objects come from the API server's watches, statuses go to it.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use kube::{
    Client, Config as ClientConfig,
    config::{KubeConfigOptions, KubeconfigError},
};
use smidge_compiler::Snapshot;
use smidge_crds::WEBHOOK_SERVICE;
use smidge_injector::{Settings, XDS_SERVICE};
use smidge_report::Limits;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Told, follow},
    custody, endpoint,
    identity::{
        Serving, Shared,
        callers::{ApiServerReview, ByToken, Refusals},
        roots::{Phase, Times},
    },
    leader::{Candidate, Leadership},
    message::{Message, Source},
    metrics::Gauges,
    plane::{Door, Plane, PlaneConfig, PlaneError},
    replicas::{self, Trust},
    statuses::write_statuses,
    tls,
    watch::watches,
    webhook::{self, Webhook},
};

/// What the control plane of a cluster needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The socket and the state, of which nothing is used with `secure` but the certificates' lifetime.
    pub plane: PlaneConfig,
    /// How proxies are served by TLS; `None`: on the socket, by one replica, with a root of its own.
    pub secure: Option<Secure>,
    /// Where `/metrics`, `/proxies`, `/readyz` and `/livez` are served in plain HTTP; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
}

/// How several replicas serve a cluster.
#[derive(Clone, Debug)]
pub struct Secure {
    /// Where proxies connect.
    pub address: SocketAddr,
    /// The namespace of the control plane.
    pub namespace: String,
    /// What this replica is called; no other has that name.
    pub replica: String,
    /// Where it listens to the other replicas while it leads.
    pub replica_address: SocketAddr,
    /// Where they reach it.
    pub ip: IpAddr,
    /// How long after a ConfigMap is written all pods may have it.
    pub propagation: Duration,
    /// How pods join; `None`: none does.
    pub webhook: Option<WebhookConfig>,
}

impl Secure {
    /// How pods join the mesh of this control plane.
    fn own_webhook(&self) -> Option<WebhookConfig> {
        let WebhookConfig { address, settings } = self.webhook.clone()?;
        Some(WebhookConfig { address, settings: Settings { control_plane: self.namespace.clone(), ..settings } })
    }
}

/// How pods join.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Where the API server asks.
    pub address: SocketAddr,
    /// The images and whatever else the MeshConfig does not say.
    pub settings: Settings,
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
    /// Proxies cannot be served.
    #[error("cannot serve proxies on {address}: give another address with --xds-address")]
    Xds {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Other replicas cannot be listened to.
    #[error("cannot listen to other replicas on {address}: give another address with --replica-address")]
    Replicas {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Admissions cannot be served.
    #[error("cannot serve admissions on {address}: give another address with --webhook-address")]
    Webhook {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
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
    let (refusals, admissions, limits) =
        (Arc::new(Refusals::default()), Arc::<webhook::Counters>::default(), Limits::default());
    let shared = shared(&config)?;
    let door = door(&config, &client, &shared, &refusals).await?;
    // The watches need the plane's inbox, the plane the names of the watches: these are all kinds.
    let awaited = crate::watch::sources().chain(config.secure.is_some().then_some(Source::Root));
    let (plane, orders) = Plane::start(door, shared.clone(), awaited, limits, &shutdown)?;
    let mut tasks = JoinSet::new();
    for watch in watches(&client, &address, &plane.messages) {
        tasks.spawn(watch);
    }
    tasks.spawn(write_statuses(client.clone(), orders, plane.messages.clone()));
    let (rotation, unmigrated) = (watch::Sender::new(Phase::Settled), watch::Sender::default());
    if let Some(listener) = metrics {
        let (numbers, server) = (plane.numbers.clone(), plane.hub.counters().clone());
        let (webhook, rotation, unmigrated) = (admissions.clone(), rotation.subscribe(), unmigrated.subscribe());
        let gauges = Gauges { numbers, server, refusals, webhook, rotation, unmigrated };
        tasks.spawn(endpoint::serve(listener, gauges, plane.messages.clone()));
    }
    let has_cluster_bundle = watch::Sender::new(false);
    if let Some(webhook) = config.secure.as_ref().and_then(Secure::own_webhook) {
        let (has_bundle, snapshot) = (has_cluster_bundle.subscribe(), plane.snapshot.clone());
        let asked = Asked { counters: admissions, has_bundle, snapshot };
        tasks.spawn(admit(webhook, &client, &shared, asked, &shutdown).await?);
    }
    let candidacy = match &config.secure {
        Some(secure) => {
            let times = Times { propagation: secure.propagation, lifetime: config.plane.certificate_lifetime };
            let (candidate, leadership) = meet(secure, &client, &shared, &plane, &mut tasks).await?;
            let surroundings = custody::Surroundings {
                client,
                namespace: secure.namespace.clone(),
                authority: shared.authority,
                identities: shared.identities,
                messages: plane.messages.clone(),
                leadership,
                acknowledged: plane.acknowledged.clone(),
                numbers: plane.numbers.clone(),
                times,
                has_cluster_bundle,
                unmigrated,
                rotation,
            };
            tasks.spawn(custody::keep(surroundings));
            Some(tokio::spawn(candidate.run(shutdown.clone())))
        }
        None => None,
    };
    shutdown.cancelled().await;
    tracing::info!("ending: proxies go on with what they have");
    plane.stopped().await?;
    if let Some(candidacy) = candidacy {
        // Gives the Lease back.
        let _ = candidacy.await;
    }
    Ok(())
}

/// Served by TLS, the authority is what the Secret holds, once it is read.
fn shared(config: &Config) -> Result<Shared, PlaneError> {
    Ok(match &config.secure {
        Some(_) => Shared::default(),
        None => Shared::with(config.plane.authority()?),
    })
}

async fn door(config: &Config, client: &Client, shared: &Shared, refusals: &Arc<Refusals>) -> Result<Door, Error> {
    let Some(secure) = &config.secure else { return Ok(Door::Socket(config.plane.socket.clone())) };
    let address = secure.address;
    let listener = TcpListener::bind(address).await.map_err(|source| Error::Xds { address, source })?;
    let name = format!("{XDS_SERVICE}.{}.svc", secure.namespace);
    let serving = Serving::keep(shared.authority.clone(), vec![name.clone()]);
    let tls = tls::server_config(Arc::new(serving), &["h2"]).map_err(PlaneError::from)?;
    let (pods, identities) = (shared.pods.clone(), shared.identities.clone());
    let review = Arc::new(ApiServerReview::new(client.clone()));
    tracing::info!(%address, name, "serving proxies by TLS");
    let identify = Arc::new(ByToken::new(review, pods, identities, refusals.clone()));
    Ok(Door::Tls(listener, tls, identify))
}

/// Meets the other replicas: one of them leads, and the others tell it what their proxies acknowledge.
async fn meet(
    secure: &Secure,
    client: &Client,
    shared: &Shared,
    plane: &Plane,
    tasks: &mut JoinSet<()>,
) -> Result<(Candidate, watch::Receiver<Leadership>), Error> {
    let address = secure.replica_address;
    let listener = TcpListener::bind(address).await.map_err(|source| Error::Replicas { address, source })?;
    let port = listener.local_addr().map_or(address.port(), |bound| bound.port());
    let (namespace, name) = (&secure.namespace, &secure.replica);
    let reached = SocketAddr::new(secure.ip, port);
    let (candidate, leadership) = Candidate::new(client.clone(), namespace, name, reached);
    let (trust, messages) = (Trust::new(shared.authority.clone(), namespace), &plane.messages);
    let heard = replicas::hear(listener, &trust, leadership.clone(), messages.clone());
    tasks.spawn(heard.map_err(PlaneError::from)?);
    tasks.spawn(replicas::follow(trust, name.clone(), leadership.clone(), messages.clone()));
    tasks.spawn(tell_leadership(leadership.clone(), messages.clone()));
    Ok((candidate, leadership))
}

/// What the webhooks know from elsewhere, and what they count.
struct Asked {
    counters: Arc<webhook::Counters>,
    has_bundle: watch::Receiver<bool>,
    snapshot: watch::Receiver<Option<Snapshot>>,
}

/// Answers the API server: what comes back goes on for ever.
async fn admit(
    WebhookConfig { address, settings }: WebhookConfig,
    client: &Client,
    shared: &Shared,
    Asked { counters, has_bundle, snapshot }: Asked,
    shutdown: &CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, Error> {
    let listener = TcpListener::bind(address).await.map_err(|source| Error::Webhook { address, source })?;
    let name = format!("{WEBHOOK_SERVICE}.{}.svc", settings.control_plane);
    let serving = Serving::keep(shared.authority.clone(), vec![name.clone()]);
    let told = Told { settings: watch::Sender::new(Arc::new(settings.clone())), namespaces: watch::Sender::default() };
    let (wanted, namespaces) = (told.settings.subscribe(), told.namespaces.subscribe());
    let webhook = Webhook { settings: wanted, namespaces, snapshot, counters };
    let tls = tls::server_config(Arc::new(serving), &webhook::PROTOCOLS).map_err(PlaneError::from)?;
    tracing::info!(%address, name, "pods may join");
    let (followed, served) =
        (follow(client.clone(), settings, has_bundle, told), webhook::serve(listener, tls, webhook, shutdown.clone()));
    Ok(async move {
        let ((), ()) = tokio::join!(followed, served);
    })
}

/// The loop writes statuses only while this replica leads.
async fn tell_leadership(mut leadership: watch::Receiver<Leadership>, messages: mpsc::Sender<Message>) {
    loop {
        let leads = leadership.borrow_and_update().is_own();
        if messages.send(Message::Leading(leads)).await.is_err() || leadership.changed().await.is_err() {
            return;
        }
    }
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

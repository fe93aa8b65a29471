//! One load client: a delta ADS stream over HTTP/2 on a Unix socket.
//!
//! As Envoy does, it asks for all clusters; with the first ones for their endpoints and secrets; when those are there,
//! for all listeners; then for routes. It acknowledges every response.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use envoy_types::pb::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest};
use h2::{RecvStream, SendStream, client::ResponseFuture};
use smidge_xds::TypeUrl;
use tokio::{net::UnixStream, sync::mpsc, time::timeout};

use crate::{
    interests::Interests,
    wire::{self, Response},
};

const WINDOW_BYTES: u32 = 16 << 20;

/// How much every client expects, and what it asks for.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// What to subscribe to by name.
    pub interests: Interests,
    /// How many clusters there are.
    pub clusters: usize,
    /// How many listeners there are.
    pub listeners: usize,
}

/// What all clients share.
#[derive(Debug)]
pub struct Load {
    expected: Arc<Expected>,
    /// The resource that is waited for, and its version when it was last seen.
    awaited: Mutex<(Vec<u8>, TypeUrl)>,
    events: mpsc::UnboundedSender<Event>,
    /// Bytes of responses, all clients together.
    pub bytes: AtomicU64,
}

/// What clients tell.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client has all that it asks for.
    Served(Instant),
    /// A client has received the awaited resource in this version.
    Arrived(Instant, Bytes),
    /// A client has failed.
    Failed(String),
}

impl Load {
    /// Clients that expect so much and tell `events`.
    pub fn new(expected: Expected, events: mpsc::UnboundedSender<Event>) -> Arc<Self> {
        let awaited = Mutex::new((Vec::new(), TypeUrl::Route));
        Arc::new(Self { expected: Arc::new(expected), awaited, events, bytes: AtomicU64::new(0) })
    }

    /// From now on, tell when this resource arrives.
    pub fn await_resource(&self, type_url: TypeUrl, name: &str) {
        *self.awaited.lock().unwrap_or_else(PoisonError::into_inner) = (name.as_bytes().to_vec(), type_url);
    }

    /// Starts a client on this runtime.
    pub fn spawn(self: &Arc<Self>, socket: &Path, node: String) {
        let (load, socket) = (self.clone(), socket.to_owned());
        tokio::spawn(async move {
            if let Err(error) = load.clone().run(&socket, node).await {
                // Nobody listens any more when the bench is over.
                let _ = load.events.send(Event::Failed(format!("{error:#}")));
            }
        });
    }

    async fn run(self: Arc<Self>, socket: &Path, node: String) -> anyhow::Result<()> {
        let (mut requests, mut messages) = connect(socket).await?;
        send(&mut requests, &as_node(&node, subscribe(TypeUrl::Cluster, [])))?;
        let mut client =
            Client { load: self, requests, come: Default::default(), asked_listeners: false, served: false };
        loop {
            let message = messages.next().await?;
            client.load.bytes.fetch_add(std::mem::take(&mut messages.bytes), Relaxed);
            client.receive(message)?;
        }
    }
}

/// Fetches everything with one client that decodes it, to learn what there is.
///
/// # Errors
/// When the server does not answer as expected.
pub async fn scout(socket: &Path, node: &str) -> anyhow::Result<Expected> {
    let mut expected = Expected::default();
    let (mut requests, mut messages) = connect(socket).await?;
    send(&mut requests, &as_node(node, subscribe(TypeUrl::Cluster, [])))?;
    let mut asked_listeners = false;
    // An operator that has just started has to list all objects first.
    let mut patience = Duration::from_secs(60);
    loop {
        // All there is has come when nothing more comes for a while.
        let Ok(message) = timeout(patience, messages.next()).await else {
            if asked_listeners {
                return Ok(expected);
            }
            anyhow::ensure!(expected.clusters > 0, "the server sends no clusters");
            asked_listeners = true;
            send(&mut requests, &subscribe(TypeUrl::Listener, []))?;
            continue;
        };
        patience = Duration::from_millis(500);
        let response = wire::response(message?).context("not a response")?;
        for resource in response.resources.clone() {
            match TypeUrl::from_url(&response.type_url) {
                Some(TypeUrl::Cluster) => expected.add_cluster(resource)?,
                _ => expected.add_listener(resource)?,
            }
        }
        send(&mut requests, &acknowledge(&response))?;
    }
}

impl Expected {
    fn add_cluster(&mut self, resource: Bytes) -> anyhow::Result<()> {
        self.clusters += 1;
        Ok(self.interests.add_cluster(resource)?)
    }

    fn add_listener(&mut self, resource: Bytes) -> anyhow::Result<()> {
        self.listeners += 1;
        Ok(self.interests.add_listener(resource)?)
    }
}

async fn connect(socket: &Path) -> anyhow::Result<(SendStream<Bytes>, Messages)> {
    let stream = UnixStream::connect(socket).await.context("cannot connect to the server")?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let (mut client, connection) = builder.handshake::<_, Bytes>(stream).await?;
    tokio::spawn(connection);
    let path = "http://xds/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
    let request = http::Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    let (head, requests) = client.send_request(request.body(())?, false)?;
    // The server answers the head only after the first message, so nobody waits for it here.
    Ok((requests, Messages { head: Some(head), body: None, received: BytesMut::new(), bytes: 0 }))
}

/// The messages of a response stream.
struct Messages {
    head: Option<ResponseFuture>,
    body: Option<RecvStream>,
    received: BytesMut,
    bytes: u64,
}

impl Messages {
    async fn next(&mut self) -> anyhow::Result<Bytes> {
        if let Some(head) = &mut self.head {
            let response = head.await?;
            self.head = None;
            if let Some(status) = response.headers().get("grpc-message") {
                bail!("refused: {status:?}");
            }
            self.body = Some(response.into_body());
        }
        let body = self.body.as_mut().context("the stream has failed before")?;
        loop {
            if let Some(message) = wire::take_message(&mut self.received) {
                return Ok(message);
            }
            let data = body.data().await.context("the server ended the stream")??;
            body.flow_control().release_capacity(data.len())?;
            self.bytes += data.len() as u64;
            self.received.extend_from_slice(&data);
        }
    }
}

fn send(requests: &mut SendStream<Bytes>, request: &DeltaDiscoveryRequest) -> anyhow::Result<()> {
    Ok(requests.send_data(wire::framed(request), false)?)
}

fn subscribe(type_url: TypeUrl, names: impl IntoIterator<Item = String>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.as_str().into(),
        resource_names_subscribe: names.into_iter().collect(),
        ..Default::default()
    }
}

fn acknowledge(response: &Response) -> DeltaDiscoveryRequest {
    let (type_url, response_nonce) = (response.type_url.clone(), response.nonce.clone());
    DeltaDiscoveryRequest { type_url, response_nonce, ..Default::default() }
}

fn as_node(id: &str, request: DeltaDiscoveryRequest) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { node: Some(Node { id: id.to_owned(), ..Default::default() }), ..request }
}

/// A client that has connected.
struct Client {
    load: Arc<Load>,
    requests: SendStream<Bytes>,
    /// How many resources of each type have come, until everything has.
    come: [usize; TypeUrl::ALL.len()],
    asked_listeners: bool,
    served: bool,
}

impl Client {
    fn receive(&mut self, message: Bytes) -> anyhow::Result<()> {
        let response = wire::response(message).context("not a response")?;
        let type_url = TypeUrl::from_url(&response.type_url).context("unknown type")?;
        if self.served {
            self.look_for_awaited(type_url, &response);
        } else {
            self.start_up(type_url, &response)?;
        }
        send(&mut self.requests, &acknowledge(&response))
    }

    fn look_for_awaited(&self, type_url: TypeUrl, response: &Response) {
        let (name, awaited) = self.load.awaited.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let resources = response.resources.iter().filter(|_| type_url == awaited);
        let named = resources.filter_map(|resource| wire::name_and_version(resource.clone()));
        for (_, version) in named.filter(|(other, _)| **other == *name) {
            // Nobody listens any more when the bench is over.
            let _ = self.load.events.send(Event::Arrived(Instant::now(), version));
        }
    }

    /// Asks for the next types once what makes Envoy ask for them has come.
    fn start_up(&mut self, type_url: TypeUrl, response: &Response) -> anyhow::Result<()> {
        use TypeUrl::{Cluster, Endpoints, Listener, Route, Secret};
        let expected = self.load.expected.clone();
        let interests = &expected.interests;
        let first = self.come[type_url as usize] == 0;
        self.come[type_url as usize] += response.resources.len();
        let come = |type_url: TypeUrl| self.come[type_url as usize];
        let warm = come(Cluster) >= expected.clusters && come(Endpoints) >= interests.endpoints.len();
        let served = warm
            && come(Listener) >= expected.listeners
            && come(Route) >= interests.routes.len()
            && come(Secret) >= interests.secrets.len();
        if type_url == Cluster && first {
            send(&mut self.requests, &subscribe(Endpoints, interests.endpoints.iter().cloned()))?;
            send(&mut self.requests, &subscribe(Secret, interests.secrets.iter().cloned()))?;
        }
        if warm && !self.asked_listeners {
            self.asked_listeners = true;
            send(&mut self.requests, &subscribe(Listener, []))?;
        }
        if type_url == Listener && first {
            send(&mut self.requests, &subscribe(Route, interests.routes.iter().cloned()))?;
        }
        if served {
            self.served = true;
            let _ = self.load.events.send(Event::Served(Instant::now()));
        }
        Ok(())
    }
}

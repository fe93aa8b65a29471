//! One simulated proxy that does what it is told.
//!
//! As Envoy does, it asks for all clusters; with the first ones for their endpoints and secrets; when those are there,
//! for all listeners; then for routes. It acknowledges every response.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use smidge_xds::TypeUrl;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{
    interests::Interests,
    stream::{Door, Stream},
    wire::{self, Response},
};

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

    /// Starts a client on this runtime, for the proxy `node`, by its pod's token if it has one.
    pub fn spawn(self: &Arc<Self>, door: &Door, node: String, token: Option<String>) -> JoinHandle<()> {
        let (load, door) = (self.clone(), door.clone());
        tokio::spawn(async move {
            if let Err(error) = load.clone().run(&door, &node, token.as_deref()).await {
                // Nobody listens any more when the test is over.
                let _ = load.events.send(Event::Failed(format!("{error:#}")));
            }
        })
    }

    /// Is a client until its stream ends: the error says how.
    ///
    /// # Errors
    /// Always.
    pub async fn run(self: Arc<Self>, door: &Door, node: &str, token: Option<&str>) -> Result<()> {
        let (mut stream, mut responses) = Stream::open(door, node, token).await?;
        stream.subscribe(TypeUrl::Cluster, [])?;
        let mut client = Client { load: self, stream, come: Default::default(), asked_listeners: false, served: false };
        loop {
            let response = responses.next().await?;
            client.load.bytes.fetch_add(responses.take_bytes(), Relaxed);
            client.receive(&response)?;
        }
    }
}

/// Fetches everything with one client that decodes it, to learn what there is.
///
/// # Errors
/// When the server does not answer as expected.
pub async fn scout(door: &Door, node: &str, token: Option<&str>) -> Result<Expected> {
    let mut expected = Expected::default();
    let (mut stream, mut responses) = Stream::open(door, node, token).await?;
    stream.subscribe(TypeUrl::Cluster, [])?;
    let mut asked_listeners = false;
    // An operator that has just started has to list all objects first.
    let mut patience = Duration::from_secs(60);
    loop {
        // All there is has come when nothing more comes for a while.
        let Ok(response) = timeout(patience, responses.next()).await else {
            if asked_listeners {
                return Ok(expected);
            }
            ensure!(expected.clusters > 0, "the server sends no clusters");
            asked_listeners = true;
            stream.subscribe(TypeUrl::Listener, [])?;
            continue;
        };
        patience = Duration::from_millis(500);
        let response = response?;
        for resource in response.resources.clone() {
            match TypeUrl::from_url(&response.type_url) {
                Some(TypeUrl::Cluster) => expected.add_cluster(resource)?,
                _ => expected.add_listener(resource)?,
            }
        }
        stream.acknowledge(&response)?;
    }
}

impl Expected {
    fn add_cluster(&mut self, resource: Bytes) -> Result<()> {
        self.clusters += 1;
        Ok(self.interests.add_cluster(resource)?)
    }

    fn add_listener(&mut self, resource: Bytes) -> Result<()> {
        self.listeners += 1;
        Ok(self.interests.add_listener(resource)?)
    }
}

/// A client that has connected.
struct Client {
    load: Arc<Load>,
    stream: Stream,
    /// How many resources of each type have come, until everything has.
    come: [usize; TypeUrl::ALL.len()],
    asked_listeners: bool,
    served: bool,
}

impl Client {
    fn receive(&mut self, response: &Response) -> Result<()> {
        let type_url = TypeUrl::from_url(&response.type_url).context("unknown type")?;
        if self.served {
            self.look_for_awaited(type_url, response);
        } else {
            self.start_up(type_url, response)?;
        }
        self.stream.acknowledge(response)
    }

    fn look_for_awaited(&self, type_url: TypeUrl, response: &Response) {
        let (name, awaited) = self.load.awaited.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let resources = response.resources.iter().filter(|_| type_url == awaited);
        let named = resources.filter_map(|resource| wire::name_and_version(resource.clone()));
        for (_, version) in named.filter(|(other, _)| **other == *name) {
            // Nobody listens any more when the test is over.
            let _ = self.load.events.send(Event::Arrived(Instant::now(), version));
        }
    }

    /// Asks for the next types once what makes Envoy ask for them has come.
    fn start_up(&mut self, type_url: TypeUrl, response: &Response) -> Result<()> {
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
            self.stream.subscribe(Endpoints, interests.endpoints.iter().cloned())?;
            self.stream.subscribe(Secret, interests.secrets.iter().cloned())?;
        }
        if warm && !self.asked_listeners {
            self.asked_listeners = true;
            self.stream.subscribe(Listener, [])?;
        }
        if type_url == Listener && first {
            self.stream.subscribe(Route, interests.routes.iter().cloned())?;
        }
        if served {
            self.served = true;
            let _ = self.load.events.send(Event::Served(Instant::now()));
        }
        Ok(())
    }
}

//! The watches: objects of the API server, digested at the door, the raw ones dropped.
//!
//! Each kind has a task that lists, watches, and begins again when the connection is lost. After a new list, what is
//! not in it is gone. Custom objects are read one by one, so that an unreadable one is alone in being absent. A kind whose
//! CRD is not installed counts as listed and empty, and is watched from when it is.

mod backoff;
mod door;
pub(crate) mod list;
mod mirror;
mod missing;
mod seen;
mod trouble;

use std::{pin::pin, time::Duration};

use futures::{
    StreamExt,
    future::{BoxFuture, ready},
};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject},
};
use kube_runtime::{WatchStreamExt, watcher};
use smidge_compiler::{Digest, Kind};
use smidge_crds::{HTTPRouteGroup, IngressBackend, MeshConfig, TCPRoute, TrafficSplit, TrafficTarget, UDPRoute};
use tokio::{sync::mpsc, time::Instant};

use crate::message::{Message, Source};
pub(crate) use backoff::Backoff;
use door::{CoreObject, CustomObject, Door};
pub(crate) use mirror::{Lacking, is_listed, mirror, mirror_if_served};
use seen::Seen;
use trouble::{Contact, Trouble, answer};

/// Where objects of a kind are found; `None`: we only read that kind by its own type.
pub(crate) fn api_resource(kind: Kind) -> Option<ApiResource> {
    Some(match kind {
        Kind::TrafficSplit => ApiResource::erase::<TrafficSplit>(&()),
        Kind::TrafficTarget => ApiResource::erase::<TrafficTarget>(&()),
        Kind::HttpRouteGroup => ApiResource::erase::<HTTPRouteGroup>(&()),
        Kind::TcpRoute => ApiResource::erase::<TCPRoute>(&()),
        Kind::UdpRoute => ApiResource::erase::<UDPRoute>(&()),
        Kind::IngressBackend => ApiResource::erase::<IngressBackend>(&()),
        Kind::MeshConfig => ApiResource::erase::<MeshConfig>(&()),
        Kind::Namespace | Kind::Service | Kind::EndpointSlice | Kind::Pod => return None,
    })
}

/// The kinds that are watched.
const KINDS: [Kind; 11] = [
    Kind::Namespace,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::TrafficSplit,
    Kind::TrafficTarget,
    Kind::HttpRouteGroup,
    Kind::TcpRoute,
    Kind::UdpRoute,
    Kind::MeshConfig,
    Kind::IngressBackend,
];

/// After so long without it a watch may again lose its place, and be none the worse for it.
const FORGIVEN: Duration = Duration::from_secs(60);

/// What has to have told everything before anything is published.
pub(crate) fn sources() -> impl Iterator<Item = Source> {
    KINDS.into_iter().map(Source::Watch)
}

/// The API server, as all watches see it.
#[derive(Clone)]
struct Server {
    client: Client,
    contact: Contact,
}

/// The watches of all kinds; each goes on for ever.
pub(crate) fn watches(client: &Client, address: &str, to: &mpsc::Sender<Message>) -> Vec<BoxFuture<'static, ()>> {
    let server = Server { client: client.clone(), contact: Contact::new(address) };
    KINDS.into_iter().map(|kind| watch_kind(&server, to, kind)).collect()
}

fn watch_kind(server: &Server, to: &mpsc::Sender<Message>, kind: Kind) -> BoxFuture<'static, ()> {
    match kind {
        Kind::Namespace => core::<Namespace>(server, to, kind),
        Kind::Service => core::<Service>(server, to, kind),
        Kind::EndpointSlice => core::<EndpointSlice>(server, to, kind),
        Kind::Pod => core::<Pod>(server, to, kind),
        Kind::TrafficSplit => custom::<TrafficSplit>(server, to, kind),
        Kind::TrafficTarget => custom::<TrafficTarget>(server, to, kind),
        Kind::HttpRouteGroup => custom::<HTTPRouteGroup>(server, to, kind),
        Kind::TcpRoute => custom::<TCPRoute>(server, to, kind),
        Kind::UdpRoute => custom::<UDPRoute>(server, to, kind),
        Kind::IngressBackend => custom::<IngressBackend>(server, to, kind),
        Kind::MeshConfig => custom::<MeshConfig>(server, to, kind),
    }
}

fn core<K>(server: &Server, to: &mpsc::Sender<Message>, kind: Kind) -> BoxFuture<'static, ()>
where
    K: Resource<DynamicType = ()> + Digest + Clone + std::fmt::Debug + Send + Sync + 'static,
    K: serde::de::DeserializeOwned,
{
    Box::pin(watch::<CoreObject<K>>(Api::all(server.client.clone()), kind, server.clone(), to.clone()))
}

fn custom<K>(server: &Server, to: &mpsc::Sender<Message>, kind: Kind) -> BoxFuture<'static, ()>
where
    K: Resource<DynamicType = ()> + Digest + serde::de::DeserializeOwned + Send + 'static,
{
    let api: Api<DynamicObject> = Api::all_with(server.client.clone(), &ApiResource::erase::<K>(&()));
    Box::pin(watch::<CustomObject<K>>(api, kind, server.clone(), to.clone()))
}

/// Tells the loop about the objects of one kind until nobody listens any more.
async fn watch<D: Door>(api: Api<D::Raw>, kind: Kind, server: Server, to: mpsc::Sender<Message>)
where
    D::Raw: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let events = watcher(api, watcher::Config::default());
    let mut forgotten = None;
    let events = events.filter(move |event| ready(!(is_expired(event) && is_first(&mut forgotten))));
    let events = events.backoff(Backoff::default());
    let (mut events, mut seen, mut trouble) = (pin!(events), Seen::<D>::new(kind), Trouble::new(kind, server.contact));
    while let Some(event) = events.next().await {
        let messages = match event {
            Ok(event) => {
                trouble.is_over(&event);
                seen.take_in(event)
            }
            Err(error) if is_missing(&server.client, kind, &error).await => {
                trouble.note_missing();
                seen.vanish()
            }
            Err(error) => {
                trouble.note(&error);
                continue;
            }
        };
        for message in messages {
            if to.send(message).await.is_err() {
                return;
            }
        }
    }
}

/// Kubernetes' own kinds are always there.
async fn is_missing(client: &Client, kind: Kind, error: &watcher::Error) -> bool {
    match api_resource(kind) {
        Some(resource) => missing::is_missing(client, &resource, error).await,
        None => false,
    }
}

/// Whether this is the first time for a while: a server that forgets again and again is asked for no list after the other.
fn is_first(forgotten: &mut Option<Instant>) -> bool {
    let before = forgotten.replace(Instant::now());
    before.is_none_or(|before| before.elapsed() > FORGIVEN)
}

/// The server has forgotten the version that the watch stood at, as after its restart: no trouble, a new list follows,
/// and is not waited for.
fn is_expired<T>(event: &watcher::Result<T>) -> bool {
    matches!(event, Err(watcher::Error::WatchError(status)) if status.code == 410)
}

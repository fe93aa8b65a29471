//! What the API server has of one kind: a watch in, a store out.

use std::{
    fmt::Debug,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use futures::{FutureExt, Stream, StreamExt, stream::BoxStream};
use kube::{Api, Client, Resource, api::ApiResource};
use kube_runtime::{
    WatchStreamExt, reflector,
    reflector::Store,
    watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;

use super::{Backoff, answer, missing::is_missing};

/// Whether a store has had its first list.
pub(crate) fn is_listed<K>(store: &Store<K>) -> bool
where
    K: reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
}

/// Whether the API server lacks a kind for certain, as it said when it was asked last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lacking(Arc<AtomicBool>);

impl Lacking {
    pub(crate) fn is_certain(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A store, and a stream that has an item for each change and has to be read for the store to follow. `what` names the
/// objects where they cannot be watched.
pub(crate) fn mirror<K>(api: Api<K>, config: watcher::Config, what: &'static str) -> (Store<K>, BoxStream<'static, ()>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let ((store, events), mut trouble) = (follow(api, config), Trouble { what, is_told: false });
    (store, events.map(move |event| trouble.note(&event)).boxed())
}

/// The same for a cluster's kind that its API server may lack, or get, or lose: it is looked for every few seconds.
pub(crate) fn mirror_if_served<K>(
    client: &Client,
    config: watcher::Config,
    what: &'static str,
) -> (Store<K>, Lacking, BoxStream<'static, ()>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (store, events) = follow(Api::all(client.clone()), config);
    let (lacking, mut trouble) = (Lacking::default(), Trouble { what, is_told: false });
    let (client, told) = (client.clone(), lacking.clone());
    let judged = events.then(move |event: watcher::Result<Event<K>>| {
        let (client, told) = (client.clone(), told.clone());
        async move {
            match &event {
                // It announces a try, before the server is asked.
                Ok(Event::Init) => {}
                Ok(_) => told.0.store(false, Relaxed),
                Err(error) => {
                    let lacks = is_missing(&client, &ApiResource::erase::<K>(&()), error).await;
                    told.0.fetch_or(lacks, Relaxed);
                }
            }
            event
        }
    });
    let known = lacking.clone();
    let changes = judged.map(move |event| {
        if !known.is_certain() {
            trouble.note(&event)
        }
    });
    (store, lacking, changes.boxed())
}

fn follow<K>(api: Api<K>, config: watcher::Config) -> (Store<K>, impl Stream<Item = watcher::Result<Event<K>>> + Send)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    (store, reflector(writer, watcher(api, config).backoff(Backoff::default())))
}

/// What one watch has told.
struct Trouble {
    what: &'static str,
    is_told: bool,
}

impl Trouble {
    fn note<K>(&mut self, event: &watcher::Result<Event<K>>) {
        match event {
            Ok(Event::Init) => {}
            Ok(_) => self.is_told = false,
            // That nobody answers is told by the other watches.
            Err(error) if answer(error).is_some() && !std::mem::replace(&mut self.is_told, true) => {
                tracing::warn!(
                    what = self.what,
                    error = error as &dyn std::error::Error,
                    "cannot be watched (see manifests/ for what the operator has to be allowed); trying again every few seconds"
                );
            }
            Err(_) => {}
        }
    }
}

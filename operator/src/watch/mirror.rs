//! What the API server has of one kind: a watch in, a store out.

use std::{fmt::Debug, hash::Hash};

use futures::{FutureExt, StreamExt, stream::BoxStream};
use kube::{Api, Resource};
use kube_runtime::{
    WatchStreamExt, reflector,
    reflector::Store,
    watcher::{self, watcher},
};
use serde::de::DeserializeOwned;

use super::{Backoff, answer};

/// Whether a store has had its first list.
pub(crate) fn is_listed<K>(store: &Store<K>) -> bool
where
    K: reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
}

/// A store, and a stream that has an item for each change and has to be read for the store to follow. `what` names the
/// objects where they cannot be watched.
pub(crate) fn mirror<K>(api: Api<K>, config: watcher::Config, what: &'static str) -> (Store<K>, BoxStream<'static, ()>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let mut is_told = false;
    let changes = reflector(writer, watcher(api, config).backoff(Backoff::default())).map(move |event| match event {
        Ok(watcher::Event::Init) => {}
        Ok(_) => is_told = false,
        // That nobody answers is told by the other watches.
        Err(error) if answer(&error).is_some() && !std::mem::replace(&mut is_told, true) => {
            tracing::warn!(
                what,
                error = &error as &dyn std::error::Error,
                "cannot be watched (see manifests/ for what the operator has to be allowed); trying again every few seconds"
            );
        }
        Err(_) => {}
    });
    (store, changes.boxed())
}

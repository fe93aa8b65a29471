//! Says once that a watch is in trouble, and once that it is not any more.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use kube_runtime::watcher;
use smidge_compiler::Kind;

/// Whether the API server answers: the watches lose it together, and one of them tells.
#[derive(Clone)]
pub(super) struct Contact {
    address: Arc<str>,
    is_lost: Arc<AtomicBool>,
}

impl Contact {
    /// With the API server at this address.
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.into(), is_lost: Arc::default() }
    }

    fn lose(&self, error: &watcher::Error) {
        if !self.is_lost.swap(true, Relaxed) {
            tracing::warn!(
                address = &*self.address,
                error = error as &dyn std::error::Error,
                "no answer from the API server: is it running, and is this its address? Proxies go on with what they \
                 have; trying again every few seconds"
            );
        }
    }

    fn regain(&self) {
        if self.is_lost.swap(false, Relaxed) {
            tracing::info!(address = &*self.address, "the API server answers again");
        }
    }
}

/// What one watch has told.
pub(super) struct Trouble {
    kind: Kind,
    contact: Contact,
    is_told: bool,
    is_missing: bool,
}

impl Trouble {
    pub(super) fn new(kind: Kind, contact: Contact) -> Self {
        Self { kind, contact, is_told: false, is_missing: false }
    }

    /// The watch has failed and tries again.
    pub(super) fn note(&mut self, error: &watcher::Error) {
        let kind = self.kind.as_str();
        tracing::debug!(kind, error = error as &dyn std::error::Error, "a watch tries again");
        let Some(answer) = answer(error) else { return self.contact.lose(error) };
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        match answer.code {
            401 | 403 => tracing::error!(
                kind,
                answer = answer.message,
                "not allowed to list and watch this kind, and nothing is published before: give the control plane's \
                 user the ClusterRole of manifests/rbac.yaml; trying again every few seconds"
            ),
            code => tracing::warn!(
                kind,
                code,
                answer = answer.message,
                "the API server does not let this kind be watched; trying again every few seconds"
            ),
        }
    }

    /// The API server does not know the kind.
    pub(super) fn note_missing(&mut self) {
        self.contact.regain();
        if !self.is_missing {
            (self.is_told, self.is_missing) = (true, true);
            tracing::warn!(
                kind = self.kind.as_str(),
                "the API server does not know this kind, so it counts as having no objects: install the CRDs with \
                 `smidge crds | kubectl apply --server-side -f -`; looking for it every few seconds"
            );
        }
    }

    /// An event has come.
    pub(super) fn is_over<K>(&mut self, event: &watcher::Event<K>) {
        // It announces a try, before the server is asked.
        if matches!(event, watcher::Event::Init) {
            return;
        }
        self.contact.regain();
        self.is_missing = false;
        if std::mem::take(&mut self.is_told) {
            tracing::info!(kind = self.kind.as_str(), "the watch works again");
        }
    }
}

/// What the API server answered, if it did.
pub(super) fn answer(error: &watcher::Error) -> Option<&kube::core::Status> {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => Some(status),
        _ => None,
    }
}

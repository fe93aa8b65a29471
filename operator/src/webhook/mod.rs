//! The admission webhook: an AdmissionReview with a Pod in over HTTPS, the injector's verdict out.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use smidge_injector::Settings;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::identity::PrivateKey;

/// The labels of every namespace by its name.
pub type NamespaceLabels = HashMap<String, BTreeMap<String, String>>;

/// What the webhook shows to the API server.
#[derive(Debug)]
pub struct ServerCredential {
    /// Its certificate and those between it and the root, in PEM.
    pub chain: String,
    /// Its key.
    pub key: PrivateKey,
}

/// What admissions depend on. All of it may change while the webhook serves.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// How sidecars are made.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The namespaces as the operator's own watch knows them.
    pub namespaces: watch::Receiver<NamespaceLabels>,
    /// What it has done.
    pub counters: Arc<Counters>,
}

/// What the webhook has done since it started.
#[derive(Debug, Default)]
pub struct Counters {}

/// Answers `POST /inject` until `shutdown`, then ends what is under way. Without a credential (`None`) it waits for one;
/// a new one is shown to the connections that come after it.
pub async fn serve(
    listener: TcpListener,
    credential: watch::Receiver<Option<Arc<ServerCredential>>>,
    webhook: Webhook,
    shutdown: CancellationToken,
) {
    let _ = (listener, credential, webhook);
    shutdown.cancelled().await;
}

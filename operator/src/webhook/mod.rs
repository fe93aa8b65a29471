//! The webhooks: what the API server asks over HTTPS, each question by its path.
//!
//! ```text
//! POST /inject    AdmissionReview with a Pod ──→ the injector's verdict
//! POST /convert   ConversionReview ──→ the same objects in another version
//! POST /validate  AdmissionReview with an SMI object ──→ refused, or warned of, for what diagnostics say of it
//! POST /mutate    AdmissionReview with an HTTPRouteGroup ──→ its headers in the one form that every client reads
//! ```
//! Anybody in the cluster may connect: what they send is bounded, and one address cannot take all places.

mod answer;
mod convert;
mod counters;
mod guests;
mod http;
mod json;
mod mutate;
mod validate;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use smidge_compiler::Snapshot;
use smidge_injector::Settings;
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use self::guests::Guests;
pub use self::{
    answer::answer,
    convert::{Converted, NoReview, convert},
    counters::Counters,
    mutate::mutate,
    validate::validate,
};
use crate::tls;

/// How long what is under way may take after the shutdown.
const ENDING: Duration = Duration::from_secs(5);

/// The labels of a namespace.
pub type Labels = BTreeMap<String, String>;
/// The labels of every namespace by its name.
pub type NamespaceLabels = HashMap<String, Labels>;

/// What admissions depend on. All of it may change while the webhook serves.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// How sidecars are made.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The namespaces as the operator's own watch knows them.
    pub namespaces: watch::Receiver<NamespaceLabels>,
    /// All objects as the loop knows them; `None`: not yet.
    pub snapshot: watch::Receiver<Option<Snapshot>>,
    /// What it has done.
    pub counters: Arc<Counters>,
}

/// What it speaks, for ALPN: the API server takes the first.
pub const PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];

/// Answers until `shutdown`, then ends what is under way.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, webhook: Webhook, shutdown: CancellationToken) {
    let mut connections = Box::pin(tls::incoming(listener, tls));
    let (guests, graceful) = (Guests::default(), GracefulShutdown::new());
    let server = http::server();
    loop {
        let connection = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(Ok(connection)) = connections.next() => connection,
        };
        let Some(from) = connection.connect_info() else { continue };
        let Some(guest) = guests.admit(canonical(from.ip())) else { continue };
        let served = graceful.watch(http::connection(&server, connection, webhook.clone(), Arc::clone(&guest)));
        tokio::spawn(async move {
            // The client has gone or said nonsense: its own matter.
            let _ = served.await;
            drop(guest);
        });
    }
    if timeout(ENDING, graceful.shutdown()).await.is_err() {
        tracing::info!("admissions that were under way for too long are given up");
    }
}

/// One address for one host, whichever way it is written.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests;

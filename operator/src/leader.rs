//! Who leads: of all replicas the one that holds the Lease `smidge-leader`. It alone writes what there is once: statuses,
//! Events, ConfigMaps, the root, the webhook's caBundle. Out comes a watch that says whether this replica is it.
//!
//! Others take over once they have seen nothing new in the Lease for its whole duration, by their own clocks; a leader that
//! could not renew it stops earlier than that, by its own.

use std::{net::SocketAddr, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::watch,
    time::{Instant, error::Elapsed, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// The name of the Lease.
pub const LEASE: &str = "smidge-leader";

/// The annotation with the address at which the other replicas tell the holder what their proxies acknowledge.
const ADDRESS: &str = "smidge.dev/replica-address";

/// How long nobody else leads after a leader was last heard of.
const DURATION: Duration = Duration::from_secs(15);
/// How long after its last renewal a leader that cannot renew goes on.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often a leader renews, and the others look.
const PERIOD: Duration = Duration::from_secs(2);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(4);

/// Whether this replica leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Leadership {
    /// Nobody is known to lead.
    #[default]
    Unknown,
    /// Another one leads.
    Other {
        /// Its name.
        name: String,
        /// Where other replicas reach it, if it says so.
        address: Option<SocketAddr>,
    },
    /// This one leads.
    Own,
}

impl Leadership {
    /// Where another replica that leads is reached.
    pub fn elsewhere(&self) -> Option<SocketAddr> {
        match self {
            Self::Other { address, .. } => *address,
            _ => None,
        }
    }

    /// Whether this replica leads.
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

/// The Lease was not read or written.
#[derive(Debug, thiserror::Error)]
enum Unwritten {
    /// The API server says so, or nobody does.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// Nobody answered in time.
    #[error("no answer within {REQUEST:?}")]
    Late(#[from] Elapsed),
}

/// One request, each with a time of its own: of two in a row that take two seconds each, neither is late.
async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Unwritten> {
    Ok(timeout(REQUEST, request).await??)
}

/// A replica that wants to lead.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    /// Where the others reach it.
    address: SocketAddr,
    /// What was last seen in the Lease, and when it was first seen so.
    seen: Option<(Option<String>, Instant)>,
    /// The Lease as this one wrote it last, as long as nobody else is known to have written it.
    held: Option<Lease>,
    told: watch::Sender<Leadership>,
}

/// What is to be done about the Lease.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is ours, or free: write it.
    Write,
    /// It is another's.
    Wait(String),
}

impl Candidate {
    /// A candidate of this name, which no other replica has, in this namespace; `address`: where the others reach
    /// it.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        address: SocketAddr,
    ) -> (Self, watch::Receiver<Leadership>) {
        let (told, leadership) = watch::channel(Leadership::default());
        let api = Api::namespaced(client, namespace);
        (Self { api, name: name.to_owned(), address, seen: None, held: None, told }, leadership)
    }

    /// Stands for leader until `shutdown`; then gives it up, so that another one leads at once.
    pub async fn run(mut self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let begun = Instant::now();
            if self.attempt().await {
                self.tell(Leadership::Own);
                self.lead(begun, &shutdown).await;
            }
            let _ = timeout(PERIOD, shutdown.cancelled()).await;
        }
    }

    /// Renews as long as it can. `renewed`: when the last renewal began.
    async fn lead(&mut self, mut renewed: Instant, shutdown: &CancellationToken) {
        while Instant::now() < renewed + DEADLINE {
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = shutdown.cancelled() => {
                    self.tell(Leadership::Unknown);
                    return self.release().await;
                }
            }
            let begun = Instant::now();
            match timeout_at(renewed + DEADLINE, self.attempt()).await {
                Ok(true) => renewed = begun,
                Ok(false) if matches!(*self.told.borrow(), Leadership::Other { .. }) => return,
                _ => {}
            }
        }
        self.held = None;
        tracing::warn!("the Lease could not be renewed in time: another replica may lead from now on");
        self.tell(Leadership::Unknown);
    }

    /// Reads the Lease, and writes it if that is right; whether it is ours now.
    async fn attempt(&mut self) -> bool {
        match self.try_once().await {
            Ok(is_ours) => is_ours,
            // Another one was faster, or it is gone: the next attempt reads it.
            Err(Unwritten::Api(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                self.held = None;
                false
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the Lease is out of reach");
                false
            }
        }
    }

    async fn try_once(&mut self) -> Result<bool, Unwritten> {
        // One request: whether somebody else has written it meanwhile the API server says.
        if let Some(held) = self.held.clone() {
            return self.write(held).await;
        }
        let Some(lease) = in_time(self.api.get_opt(LEASE)).await? else {
            let wanted = self.lease(ObjectMeta::default(), None);
            let created = in_time(self.api.create(&PostParams::default(), &wanted)).await?;
            self.note(&created);
            return Ok(true);
        };
        self.note(&lease);
        match self.step(lease.spec.as_ref()) {
            Step::Wait(name) => {
                self.tell(Leadership::Other { name, address: address_in(&lease) });
                Ok(false)
            }
            Step::Write => self.write(lease).await,
        }
    }

    async fn write(&mut self, lease: Lease) -> Result<bool, Unwritten> {
        let wanted = self.lease(lease.metadata, lease.spec.as_ref());
        let written = in_time(self.api.replace(LEASE, &PostParams::default(), &wanted)).await?;
        self.note(&written);
        self.held = Some(written);
        Ok(true)
    }

    /// Notes what stands in the Lease: each write of it is a sign of life.
    fn note(&mut self, lease: &Lease) {
        let version = lease.metadata.resource_version.clone();
        if self.seen.as_ref().map(|(seen, _)| seen) != Some(&version) {
            self.seen = Some((version, Instant::now()));
        }
    }

    fn step(&self, spec: Option<&LeaseSpec>) -> Step {
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        let told = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
        let duration = told.map_or(DURATION, Duration::from_secs);
        let is_alive = self.seen.as_ref().is_some_and(|(_, since)| since.elapsed() < duration);
        if holder.is_empty() || holder == self.name || !is_alive { Step::Write } else { Step::Wait(holder.to_owned()) }
    }

    fn lease(&self, metadata: ObjectMeta, before: Option<&LeaseSpec>) -> Lease {
        let now = Some(MicroTime(Timestamp::now()));
        let same = before.filter(|before| before.holder_identity.as_deref() == Some(&self.name));
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or(0);
        let spec = LeaseSpec {
            holder_identity: Some(self.name.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: same.map_or(now.clone(), |same| same.acquire_time.clone()),
            renew_time: now,
            lease_transitions: Some(transitions + i32::from(before.is_some() && same.is_none())),
            ..LeaseSpec::default()
        };
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.insert(ADDRESS.to_owned(), self.address.to_string());
        let (name, annotations) = (Some(LEASE.to_owned()), Some(annotations));
        Lease { metadata: ObjectMeta { name, annotations, ..metadata }, spec: Some(spec) }
    }

    /// Only if it is still ours, as the version says.
    async fn release(&self) {
        let released = async {
            let Some(mut lease) = in_time(self.api.get_opt(LEASE)).await? else { return Ok(()) };
            if let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.name)) {
                spec.holder_identity = None;
                in_time(self.api.replace(LEASE, &PostParams::default(), &lease)).await?;
            }
            Ok::<_, Unwritten>(())
        };
        if released.await.is_err() {
            tracing::warn!("the Lease was not given back: another replica leads after {DURATION:?}");
        }
    }

    fn tell(&self, leadership: Leadership) {
        self.told.send_if_modified(|now| {
            let is_news = *now != leadership;
            if is_news {
                match &leadership {
                    Leadership::Own => tracing::info!("this replica leads"),
                    Leadership::Other { name, .. } => tracing::info!(leader = name, "another replica leads"),
                    Leadership::Unknown => tracing::info!("this replica does not lead"),
                }
                *now = leadership;
            }
            is_news
        });
    }
}

fn address_in(lease: &Lease) -> Option<SocketAddr> {
    lease.metadata.annotations.as_ref()?.get(ADDRESS)?.parse().ok()
}

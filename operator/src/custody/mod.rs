//! What a cluster keeps of the mesh's trust: the roots in a Secret, which every replica follows and signs by; and what the
//! leader writes: that Secret, a ConfigMap with the trusted roots in each meshed namespace and, where the API server has such,
//! a ClusterTrustBundle with them, the `caBundle` by which the API server trusts our webhooks.
//!
//! ```text
//! Secret smidge-root ─watch→ Roots ─→ Authority (signs), the loop (trust bundle)
//!        ▲                     │ leader: rotate, advance          ┌─→ ConfigMaps, ClusterTrustBundle smidge-trust
//!        └─────────────────────┴──────────────────────────────────┴─→ caBundle of the webhooks and of the CRDs
//! ```
//! Everything is looked at again after each change of any of it, and every second: what somebody has edited is put right.

mod ca_bundle;
mod cluster_bundle;
mod conversions;
mod maps;
mod mirror;
mod root_secret;
mod waits;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::{
    admissionregistration::v1::{
        MutatingWebhookConfiguration as Injector, ValidatingWebhookConfiguration as Validator,
    },
    core::v1::Secret,
};
use kube::Client;
use smidge_compiler::Event;
use smidge_mesh::TrustBundle;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    identity::{
        Authority, Identities, Issuer, Root,
        roots::{Kept, Phase, Progress, Roots, Times},
    },
    leader::Leadership,
    message::{Message, Source},
    metrics::Numbers,
};
use ca_bundle::Configuration;
use mirror::Mirrors;
use waits::{Missing, waits};

pub use ca_bundle::{INJECTOR, VALIDATOR};
pub use root_secret::{
    ROOT_SECRET, Requested, RotationError, RotationStatus, request_rotation, rotation, rotation_status,
};

/// Under which name fields are applied.
const FIELD_MANAGER: &str = "smidge";

/// How often the leader looks again without being told to.
const LOOK: Duration = Duration::from_secs(1);

/// How long what the leader writes may take in all: what is never answered must not hold up the next look.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the custody needs to know and to tell.
pub(crate) struct Surroundings {
    pub(crate) client: Client,
    /// The control plane's namespace.
    pub(crate) namespace: String,
    pub(crate) authority: Arc<Authority>,
    pub(crate) identities: Identities,
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// The trust bundle that every proxy has acknowledged.
    pub(crate) acknowledged: watch::Receiver<TrustBundle>,
    /// Whether the loop has published.
    pub(crate) numbers: watch::Receiver<Numbers>,
    pub(crate) times: Times,
    /// Told whether there is a ClusterTrustBundle that new pods can have the roots from.
    pub(crate) has_cluster_bundle: watch::Sender<bool>,
    /// Told of which kinds objects may be stored in an older version.
    pub(crate) unmigrated: watch::Sender<Vec<String>>,
    /// Told how far a rotation is.
    pub(crate) rotation: watch::Sender<Phase>,
}

/// Follows the roots for ever, and keeps what the leader keeps while it leads.
pub(crate) async fn keep(surroundings: Surroundings) {
    let (mirrors, changes) = Mirrors::watch(&surroundings.client, &surroundings.namespace);
    let mut changes = changes.ready_chunks(1024);
    let mut leadership = surroundings.leadership.clone();
    let mut custody = Custody { with: surroundings, mirrors, held: None, told: None, waits_told_at: None };
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(_) = changes.next() => {}
            Ok(()) = leadership.changed() => {}
            _ = look.tick() => {}
        }
        custody.follow().await;
        custody.tell_seen();
        let leads = custody.with.leadership.borrow().is_own();
        if leads && timeout(PATIENCE, custody.lead()).await.is_err() {
            tracing::warn!("no answer from the API server to what the leader writes; trying again");
        }
    }
}

struct Custody {
    with: Surroundings,
    mirrors: Mirrors,
    /// The roots in force: what the Secret held last that was of use.
    held: Option<Roots>,
    /// What was last said of a Secret that is of no use.
    told: Option<String>,
    /// When it was last written what a rotation waits for.
    waits_told_at: Option<Instant>,
}

impl Custody {
    /// Takes over what the Secret holds, if it is news and of use.
    async fn follow(&mut self) {
        let Some(secret) = self.mirrors.root() else { return };
        match self.usable(&secret) {
            Ok((roots, root)) => {
                self.told = None;
                if self.held.as_ref() != Some(&roots) {
                    self.adopt(roots, root).await;
                }
            }
            Err(error) => self.tell(format!(
                "Secret {ROOT_SECRET} is of no use ({error}) and is left as it is: restore it from a backup{}",
                if self.held.is_some() { "; until then what it held before goes on" } else { "" }
            )),
        }
    }

    fn usable(&self, secret: &Secret) -> Result<(Roots, Root), crate::identity::Unusable> {
        let entries: BTreeMap<_, _> =
            secret.data.iter().flatten().map(|(name, value)| (name.clone(), value.0.clone())).collect();
        let roots = Roots::read(&entries)?;
        let root = roots.signer(self.with.times.lifetime)?;
        Ok((roots, root))
    }

    async fn adopt(&mut self, roots: Roots, root: Root) {
        tracing::info!(signer = &**root.id(), phase = ?roots.phase(), "the mesh's roots");
        let trust_bundle = roots.trust_bundle();
        self.with.authority.follow(root, trust_bundle.clone());
        self.with.rotation.send_replace(roots.phase());
        self.held = Some(roots);
        let messages = [Message::Event(Event::TrustBundle(trust_bundle)), Message::Listed(Source::Root)];
        for message in messages {
            // The loop has ended: nobody has to know.
            let _ = self.with.messages.send(message).await;
        }
    }

    fn tell_seen(&self) {
        let is_there = cluster_bundle::is_there(&self.mirrors);
        self.with.has_cluster_bundle.send_if_modified(|told| std::mem::replace(told, is_there) != is_there);
        let unmigrated = conversions::unmigrated(&self.mirrors);
        self.with.unmigrated.send_if_modified(|told| {
            let is_news = *told != unmigrated;
            *told = unmigrated;
            is_news
        });
    }

    /// What only the leader does. What fails is tried again with the next look.
    async fn lead(&mut self) {
        let Some(held) = self.held.clone() else { return self.begin().await };
        let Some(secret) = self.mirrors.root() else { return self.restore(&held).await };
        if self.told.is_some() {
            return;
        }
        if let Some(next) = self.next(&held, &secret) {
            let written = root_secret::replace(&self.with.client, &secret, &next).await;
            return self.note("Secret smidge-root", written);
        }
        let bundle = held.trust_bundle();
        self.tell_waits(&held, &secret).await;
        for act in self.acts(&bundle) {
            let done = maps::carry_out(&self.with.client, &act, &bundle).await;
            self.note(&format!("ConfigMap {} in {}", maps::NAME, act.namespace()), done);
        }
        if cluster_bundle::is_wrong(&self.mirrors, &bundle) {
            let done = cluster_bundle::write(&self.with.client, &bundle).await;
            self.note(&format!("ClusterTrustBundle {}", cluster_bundle::NAME), done);
        }
        self.write_ca_bundle(self.mirrors.injectors(), &bundle).await;
        self.write_ca_bundle(self.mirrors.validators(), &bundle).await;
        for name in conversions::wrong(&self.mirrors, &bundle) {
            let done = conversions::write(&self.with.client, &name, &bundle).await;
            self.note(&format!("the caBundle of CustomResourceDefinition {name}"), done);
        }
    }

    async fn write_ca_bundle<K: Configuration>(&self, stored: Vec<Arc<K>>, bundle: &TrustBundle) {
        if let Some(configuration) = ca_bundle::wrong(stored, bundle) {
            let done = ca_bundle::write(&self.with.client, &*configuration, bundle).await;
            self.note(&ca_bundle::shown::<K>(), done);
        }
    }

    /// There never was a root, as far as this process knows.
    async fn begin(&mut self) {
        if !self.mirrors.are_listed() || self.mirrors.root().is_some() {
            return;
        }
        if let Some(namespace) = self.mirrors.trusting() {
            return self.tell(format!(
                "Secret {ROOT_SECRET} is gone, but namespace {namespace} still trusts what it held: restore it from a backup. \
                 To give it up, delete the ConfigMaps {} in all namespaces: then a new root is made, and every pod has to be restarted",
                maps::NAME
            ));
        }
        match Root::generate(self.with.times.lifetime) {
            Ok(root) => {
                let roots = Roots::first(Kept::of(&root));
                tracing::info!(root = &**root.id(), "the mesh has no root yet: making one");
                let created = root_secret::create(&self.with.client, &self.with.namespace, &roots).await;
                self.note("Secret smidge-root", created);
            }
            Err(error) => self.tell(error.to_string()),
        }
    }

    /// The Secret was deleted while this process knows what it held.
    async fn restore(&mut self, held: &Roots) {
        if self.mirrors.are_listed() {
            tracing::warn!("Secret {ROOT_SECRET} was deleted: writing it back, since the mesh trusts it");
            let created = root_secret::create(&self.with.client, &self.with.namespace, held).await;
            self.note("Secret smidge-root", created);
        }
    }

    /// What should stand in the Secret, if it is something else than now.
    fn next(&mut self, held: &Roots, secret: &Secret) -> Option<Roots> {
        let now = Timestamp::now();
        let asked = root_secret::request(secret).filter(|request| held.request() != Some(request));
        // What is asked for while a rotation is under way comes after it.
        if let Some(request) = asked.filter(|_| held.phase() == Phase::Settled) {
            let root = Root::generate(self.with.times.lifetime).ok()?;
            return held.rotate(Kept::of(&root), request, now);
        }
        let next = held.advance(self.progress(held), self.with.times, now)?;
        tracing::info!(phase = ?next.phase(), "the rotation of the root goes on");
        Some(next)
    }

    fn progress(&self, held: &Roots) -> Progress {
        let Missing { untrusting, unsigned, unwritten } = self.missing(held);
        Progress {
            trust_acknowledged: untrusting.is_none(),
            maps_written: self.mirrors.are_listed() && unwritten.is_empty(),
            all_signed: unsigned == 0,
        }
    }

    fn missing(&self, held: &Roots) -> Missing {
        let bundle = held.trust_bundle();
        let maps = self.acts(&bundle).into_iter().map(|act| format!("ConfigMap {} in {}", maps::NAME, act.namespace()));
        let cluster = cluster_bundle::is_wrong(&self.mirrors, &bundle);
        let cluster = cluster.then(|| format!("ClusterTrustBundle {}", cluster_bundle::NAME));
        let injector = ca_bundle::wrong(self.mirrors.injectors(), &bundle).map(|_| ca_bundle::shown::<Injector>());
        let validator = ca_bundle::wrong(self.mirrors.validators(), &bundle).map(|_| ca_bundle::shown::<Validator>());
        let conversions = conversions::wrong(&self.mirrors, &bundle).into_iter();
        let conversions = conversions.map(|name| format!("the caBundle of CustomResourceDefinition {name}"));
        let is_acknowledged = *self.with.acknowledged.borrow() == bundle;
        Missing {
            untrusting: (!is_acknowledged).then(|| self.with.numbers.borrow().untrusting),
            unsigned: self.with.identities.signed_by_others(&self.with.authority.signer().borrow()),
            unwritten: maps.chain(cluster).chain(injector).chain(validator).chain(conversions).collect(),
        }
    }

    /// Says on the Secret what a rotation waits for, where that is news; at most once per look.
    async fn tell_waits(&mut self, held: &Roots, secret: &Secret) {
        if self.waits_told_at.is_some_and(|told| told.elapsed() < LOOK) {
            return;
        }
        let lines = match held.phase() {
            Phase::Settled => Vec::new(),
            phase => waits(phase, &self.missing(held), self.with.times, Timestamp::now()),
        };
        if let Some(secret) = root_secret::saying(secret, &lines) {
            self.waits_told_at = Some(Instant::now());
            let written = root_secret::write(&self.with.client, &secret).await;
            self.note("what the rotation waits for", written);
        }
    }

    /// Until the loop knows the pods, every namespace may have sidecars.
    fn acts(&self, bundle: &TrustBundle) -> Vec<maps::Act> {
        let knows_pods = self.with.numbers.borrow().awaited.is_empty();
        maps::acts(&self.mirrors, bundle, |namespace| !knows_pods || self.with.identities.are_in(namespace))
    }

    fn tell(&mut self, what: String) {
        if self.told.as_ref() != Some(&what) {
            tracing::error!("{what}");
            self.told = Some(what);
        }
    }

    fn note(&self, what: &str, done: Result<(), kube::Error>) {
        match done {
            Ok(()) => tracing::debug!(what, "written"),
            // Somebody was faster: the watch tells what there is now.
            Err(kube::Error::Api(status)) if status.code == 409 => tracing::debug!(what, "was changed meanwhile"),
            Err(error) => {
                tracing::warn!(what, error = &error as &dyn std::error::Error, "not written; trying again");
            }
        }
    }
}

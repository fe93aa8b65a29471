//! The one loop: it alone owns the engine. Messages and reports in, publications and statuses out; no locks.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use smidge_compiler::{Event, Kind, Snapshot, workload_key};
use smidge_engine::{Engine, Expected, Step};
use smidge_mesh::{PodName, TrustBundle};
use smidge_report::{Acknowledgements, Replica, Subject};
use smidge_xds::{Epoch, ProxyId, Version};
use smidge_xds_server::{Hub, Reported};
use tokio::{
    sync::{
        mpsc::{self, OwnedPermit},
        watch,
    },
    task::{JoinError, JoinHandle},
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    identity::{Issuer, Shared},
    message::{Message, Source},
    metrics::Numbers,
    proxies::{Proxies, proxies},
    replicas::{Account, Outbox, Word},
    statuses::Statuses,
};

/// How many messages may wait; a watch that is faster waits.
pub(crate) const QUEUE: usize = 4096;

/// How long what proxies acknowledge is gathered. Most have answered a publication in this time: they are told of once,
/// and not as behind before that.
const GATHER: Duration = Duration::from_millis(50);

/// How often everything is compiled again and compared.
const VERIFY: Duration = Duration::from_secs(300);

/// The loop's state.
pub(crate) struct Control {
    engine: Engine,
    hub: Arc<Hub>,
    shared: Shared,
    statuses: Statuses,
    /// The publication with the present trust bundle, and its version.
    trusted: (Epoch, Version),
    /// What is still to be told to the leader, where another one leads.
    outbox: Option<Outbox>,
    acknowledged: watch::Sender<TrustBundle>,
    /// What others look at: a clone that shares all that has not changed.
    snapshot: watch::Sender<Option<Snapshot>>,
    /// Sources that have not yet told everything; until then events are only gathered.
    awaited: BTreeSet<Source>,
    /// Kinds that the API server does not know: they count as listed.
    missing: BTreeSet<Kind>,
    gathered: Vec<Event>,
    /// When the next reports of proxies are taken in.
    reports_at: Instant,
    numbers: watch::Sender<Numbers>,
    /// The full compile that is under way, beside the loop.
    verification: Option<JoinHandle<Expected>>,
}

/// What the loop woke up for.
enum Occasion {
    Messages(Vec<Message>),
    Reports(Reported),
    Due,
    /// The leader listens; `None`: no more.
    Room(Option<OwnedPermit<Account>>),
    /// Proxies were given a certificate.
    Signed(BTreeSet<ProxyId>),
    Verify,
    Verified(Result<Expected, JoinError>),
}

impl Control {
    pub(crate) fn new(
        hub: Arc<Hub>,
        shared: Shared,
        statuses: Statuses,
        awaited: impl IntoIterator<Item = Source>,
    ) -> Self {
        let awaited: BTreeSet<Source> = awaited.into_iter().collect();
        let numbers = Numbers { awaited: awaited.iter().copied().collect(), ..Numbers::default() };
        Self {
            engine: Engine::default(),
            hub,
            gathered: vec![Event::TrustBundle(shared.authority.trust_bundle())],
            shared,
            statuses,
            trusted: Default::default(),
            outbox: None,
            acknowledged: watch::Sender::default(),
            snapshot: watch::Sender::default(),
            awaited,
            missing: BTreeSet::new(),
            reports_at: Instant::now(),
            numbers: watch::Sender::new(numbers),
            verification: None,
        }
    }

    /// The loop's counters, as they were after its last turn.
    pub(crate) fn numbers(&self) -> watch::Receiver<Numbers> {
        self.numbers.subscribe()
    }

    /// The newest trust bundle that every Ready proxy has acknowledged, and each change of it.
    pub(crate) fn acknowledged(&self) -> watch::Receiver<TrustBundle> {
        self.acknowledged.subscribe()
    }

    /// All objects as they are known after each turn; `None`: not yet.
    pub(crate) fn snapshot(&self) -> watch::Receiver<Option<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Turns until `shutdown`, or until nobody can tell it anything any more.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<Message>, shutdown: CancellationToken) {
        let mut verify = interval_at(Instant::now() + VERIFY, VERIFY);
        verify.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(occasion) = self.wait(&mut messages, &mut verify, &shutdown).await {
            match occasion {
                Occasion::Messages(batch) => self.take_in(batch),
                Occasion::Reports(reported) => {
                    self.reports_at = Instant::now() + GATHER;
                    self.statuses.report(reported);
                }
                Occasion::Verify => self.begin_verify(),
                Occasion::Verified(expected) => self.conclude_verify(expected),
                Occasion::Room(room) => self.tell_leader(room),
                Occasion::Signed(proxies) => {
                    if let Some(outbox) = &mut self.outbox {
                        outbox.sign(proxies);
                    }
                }
                Occasion::Due => {}
            }
            self.statuses.settle(&self.engine);
            let changed = self.statuses.take_changed();
            if let Some(outbox) = &mut self.outbox {
                outbox.touch(changed);
            }
            let untrusting = self.tell_acknowledged();
            self.tell_numbers(untrusting);
        }
    }

    fn tell_numbers(&self, untrusting: u32) {
        self.numbers.send_replace(Numbers {
            engine: self.engine.counters(),
            awaited: self.awaited.iter().copied().collect(),
            missing: self.missing.iter().copied().collect(),
            untrusting,
            replicas: self.statuses.acknowledgements().replicas() as u64,
        });
    }

    /// Counted anew only while it is awaited: how many proxies have not acknowledged the trusted roots.
    fn tell_acknowledged(&self) -> u32 {
        let bundle = self.engine.snapshot().trust_bundle();
        if *self.acknowledged.borrow() == *bundle {
            return 0;
        }
        let lacking = self.statuses.lacking(self.trusted);
        if lacking.is_none() {
            self.acknowledged.send_replace(bundle.clone());
        }
        lacking.unwrap_or_default()
    }

    async fn wait(
        &mut self,
        messages: &mut mpsc::Receiver<Message>,
        verify: &mut Interval,
        shutdown: &CancellationToken,
    ) -> Option<Occasion> {
        let mut batch = Vec::new();
        let due = self.statuses.next_due();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            // What is already queued makes one batch: no timer, so a lone change waits for nothing.
            count = messages.recv_many(&mut batch, QUEUE) => (count > 0).then_some(Occasion::Messages(batch)),
            reported = reported_from(&self.hub, self.reports_at) => Some(Occasion::Reports(reported)),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Some(Occasion::Due),
            room = room(self.outbox.as_ref(), self.statuses.acknowledgements()) => Some(Occasion::Room(room)),
            proxies = self.shared.identities.signed() => Some(Occasion::Signed(proxies)),
            expected = joined(&mut self.verification) => Some(Occasion::Verified(expected)),
            _ = verify.tick() => Some(Occasion::Verify),
        }
    }

    fn take_in(&mut self, batch: Vec<Message>) {
        for message in batch {
            match message {
                Message::Event(event) => self.gather(event),
                Message::Observed(object, observed) => self.statuses.observe(object, observed),
                Message::Written(object, outcome) => self.statuses.conclude(object, outcome),
                Message::Listed(source) => {
                    self.awaited.remove(&source);
                }
                Message::Leading(leads) => self.statuses.lead(leads, &self.engine),
                Message::Replica(replica, word) => self.hear(&replica, word),
                Message::Leader(sender) => self.begin_telling(sender),
                Message::Asked(answer) => self.tell_proxies(&answer),
                Message::Missing(kind, true) => {
                    self.missing.insert(kind);
                }
                Message::Missing(kind, false) => {
                    self.missing.remove(&kind);
                }
            }
        }
        if self.awaited.is_empty() && !self.gathered.is_empty() {
            let gathered = std::mem::take(&mut self.gathered);
            let pods = gathered.iter().filter_map(pod_of).collect::<BTreeSet<_>>();
            let before = self.engine.snapshot().trust_bundle().clone();
            let step = self.engine.apply(gathered);
            self.snapshot.send_replace(Some(self.engine.snapshot().clone()));
            let bundle = self.engine.snapshot().trust_bundle();
            if *bundle != before {
                self.trusted = (self.engine.epoch(), Version::of(bundle.0.as_bytes()));
                if let Some(outbox) = &mut self.outbox {
                    outbox.change([Subject::TrustBundle]);
                }
            }
            self.publish(step);
            self.show(pods);
        }
    }

    /// After the publication: a stream that waits for its pod is then one of a known proxy.
    fn show(&self, pods: BTreeSet<PodName>) {
        for name in pods {
            let proxy = ProxyId::from(name.to_string().as_str());
            match self.engine.snapshot().pod(&name) {
                Some(pod) => self.shared.pods.set(proxy, pod.uid.clone()),
                None => self.shared.pods.remove(&proxy),
            }
        }
    }

    fn tell_proxies(&self, answer: &mpsc::Sender<Proxies>) {
        let (acknowledgements, leads) = (self.statuses.acknowledgements(), self.statuses.leads());
        // Who asked may have gone.
        let _ = answer.try_send(proxies(acknowledgements, leads, self.hub.connected()));
    }

    fn gather(&mut self, event: Event) {
        if let Event::Delete(object) = &event {
            self.statuses.forget(object.clone());
        }
        self.gathered.push(event);
    }

    fn publish(&mut self, step: Step) {
        for (proxy, placement) in &step.placements {
            // Before the publication: a stream that it wakes asks for its certificate at once.
            let pod = placement.and_then(|_| PodName::parse(proxy.as_str()));
            match pod.and_then(|pod| workload_key(self.engine.snapshot(), &pod)) {
                Some(key) => self.shared.identities.set(proxy.clone(), key.identity),
                None => self.shared.identities.remove(proxy),
            }
            self.statuses.place(proxy, *placement);
        }
        if !step.update.is_empty() {
            tracing::debug!(epoch = %step.update.epoch, shared = step.update.shared.len(), "published");
            self.hub.publish(step.update);
            // Not later and later: publications may come faster than this.
            if self.reports_at <= Instant::now() {
                self.reports_at = Instant::now() + GATHER;
            }
        }
        self.statuses.publish();
        if let Some(outbox) = &mut self.outbox {
            outbox.change(step.objects.iter().cloned().map(Subject::Object));
        }
        self.statuses.touch(step.objects);
    }

    /// Another replica tells of its proxies.
    fn hear(&mut self, replica: &Replica, word: Word) {
        if let Word::Told(account) = &word {
            for (proxy, signer) in &account.signers {
                self.shared.identities.hear_signer(proxy, signer.clone());
            }
        }
        self.statuses.hear(replica, word);
    }

    /// The leader listens: it is told everything.
    fn begin_telling(&mut self, to: mpsc::Sender<Account>) {
        let objects = self.engine.objects().cloned().map(Subject::Object);
        let subjects = objects.chain([Subject::TrustBundle]);
        self.outbox = Some(Outbox::new(to, self.statuses.acknowledgements(), subjects));
    }

    fn tell_leader(&mut self, room: Option<OwnedPermit<Account>>) {
        let (Some(room), Some(outbox)) = (room, &mut self.outbox) else {
            self.outbox = None;
            return;
        };
        let (engine, trusted) = (&self.engine, self.trusted);
        let effect = |subject: &Subject| match subject {
            Subject::TrustBundle => Some(trusted),
            Subject::Object(object) => engine.effect(object).map(|effect| (effect.epoch, effect.version)),
        };
        room.send(outbox.next(self.statuses.acknowledgements(), &self.shared.identities, effect));
    }

    /// In a large mesh a full compile takes a while, and changes do not wait for it.
    fn begin_verify(&mut self) {
        if self.awaited.is_empty() && self.verification.is_none() {
            let snapshot = self.engine.begin_verify();
            self.verification = Some(tokio::task::spawn_blocking(move || Expected::of(&snapshot)));
        }
    }

    fn conclude_verify(&mut self, expected: Result<Expected, JoinError>) {
        self.verification = None;
        let expected = match expected {
            Ok(expected) => expected,
            Err(error) => {
                return tracing::error!(%error, "the full compile broke down; this is a bug: please report it");
            }
        };
        let drift = self.engine.conclude_verify(&expected);
        if !drift.keys.is_empty() {
            tracing::error!(keys = ?drift.keys, "drift: the incremental state was not what a full compile says; mended");
        }
        self.publish(drift.mending);
    }
}

/// The pod that an event is about.
fn pod_of(event: &Event) -> Option<PodName> {
    let object = match event {
        Event::Apply(fact) => fact.object(),
        Event::Delete(object) => object.clone(),
        _ => return None,
    };
    (object.kind == Kind::Pod).then(|| PodName::new(object.namespace, object.name))
}

/// Room for the next account, if there is somebody to give it to.
async fn room(outbox: Option<&Outbox>, of: &Acknowledgements) -> Option<OwnedPermit<Account>> {
    match outbox {
        Some(outbox) => outbox.room(of).await,
        None => std::future::pending().await,
    }
}

/// The end of a task, if there is one.
async fn joined<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

async fn reported_from(hub: &Hub, from: Instant) -> Reported {
    sleep_until(from).await;
    hub.reported().await
}

//! The one loop: it alone owns the engine. Messages and reports in, publications and statuses out; no locks.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use smidge_compiler::{Event, Kind, workload_key};
use smidge_engine::{Engine, Expected, Step};
use smidge_mesh::{PodName, TrustBundle};
use smidge_xds::{Epoch, ProxyId};
use smidge_xds_server::{Hub, Reported};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle},
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    identity::{Issuer, Shared},
    message::{Message, Source},
    metrics::Numbers,
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
    /// The publication with the present trust bundle.
    trusted_since: Epoch,
    acknowledged: watch::Sender<TrustBundle>,
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
            trusted_since: Epoch::default(),
            acknowledged: watch::Sender::default(),
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
                Occasion::Due => {}
            }
            self.statuses.settle(&self.engine);
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
        });
    }

    /// Counted anew only while it is awaited: how many proxies have not acknowledged the trusted roots.
    fn tell_acknowledged(&self) -> u32 {
        let bundle = self.engine.snapshot().trust_bundle();
        if *self.acknowledged.borrow() == *bundle {
            return 0;
        }
        let lacking = self.statuses.lacking(self.trusted_since);
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
            if *self.engine.snapshot().trust_bundle() != before {
                self.trusted_since = self.engine.epoch();
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
        self.statuses.touch(step.objects);
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

//! Which status each object should have, and which writes that takes.
//!
//! ```text
//! hub ─Reported─→ Acknowledgements ─Tally─→ desired ─difference─→ Budget ─due─→ Write ─→ the writer
//!                                  observed ───┘  ▲                                        │
//!                                                 └────────────── Outcome ─────────────────┘
//! ```

mod arrivals;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use smidge_compiler::ObjectRef;
use smidge_crds::Status;
use smidge_engine::{Audience, Effect, Engine, Placement};
use smidge_report::{Acknowledgements, Budget, Limits, Replica, Standing, Subject, Urgency, View, desired, difference};
use smidge_xds::{Epoch, ProxyId, Version};
use smidge_xds_server::{ProxyReport, Reported};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use crate::{
    message::{Observed, Outcome},
    replicas::Word,
};
use arrivals::Arrivals;

pub(crate) use writer::write_statuses;

/// News are gathered for so long before objects are looked at: proxies acknowledge one by one.
const GATHER: Duration = Duration::from_millis(20);

/// What the writer has to do.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Write this status, and say how it went.
    Write(Write),
    /// There is no such object any more.
    Forget(ObjectRef),
}

/// A status to write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// Whose.
    pub(crate) object: ObjectRef,
    /// In place of what.
    pub(crate) observed: Observed,
    /// What.
    pub(crate) status: Arc<Status>,
}

/// The statuses that objects have, and what is known of those that they should have.
pub(crate) struct Statuses {
    observed: BTreeMap<ObjectRef, Observed>,
    acknowledgements: Acknowledgements,
    arrivals: Arrivals,
    budget: Budget,
    /// Objects to look at again.
    touched: BTreeSet<ObjectRef>,
    /// When to look at them.
    look_at: Option<Instant>,
    writing: BTreeSet<ObjectRef>,
    orders: UnboundedSender<Order>,
    start: Instant,
    /// Whether this replica writes.
    leads: bool,
}

impl Statuses {
    pub(crate) fn new(limits: Limits, orders: UnboundedSender<Order>) -> Self {
        Self {
            observed: BTreeMap::new(),
            acknowledgements: Acknowledgements::default(),
            arrivals: Arrivals::default(),
            budget: Budget::new(limits),
            touched: BTreeSet::new(),
            look_at: None,
            writing: BTreeSet::new(),
            orders,
            start: Instant::now(),
            leads: true,
        }
    }

    /// Writes from now on, or no more. Who begins to lead looks at everything.
    pub(crate) fn lead(&mut self, leads: bool, engine: &Engine) {
        if !leads {
            self.acknowledgements.forget_others();
            self.arrivals.keep(|proxy| self.acknowledgements.is_served(proxy));
        }
        if leads && !self.leads {
            self.arrivals.restart(Instant::now());
            self.touch(engine.objects().cloned().collect::<Vec<_>>());
        }
        self.leads = leads;
    }

    /// Whether this replica writes.
    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// How many Ready proxies have not acknowledged the trust bundle of this version, published in this epoch, as far as is
    /// known; `None`: all have, for certain.
    pub(crate) fn lacking(&self, (epoch, version): (Epoch, Version)) -> Option<u32> {
        let (generation, diagnostics, audience) = (0, Arc::default(), Audience::Everyone);
        let everyone = Effect { generation, diagnostics, epoch, version, audience };
        let tally = self.acknowledgements.tally(&Subject::TrustBundle, &everyone, BTreeSet::new);
        let number = tally.total.saturating_sub(tally.acknowledged);
        (number > 0 || !self.arrivals.are_complete()).then_some(number)
    }

    /// Takes in what an object's status is where it is kept.
    pub(crate) fn observe(&mut self, object: ObjectRef, observed: Observed) {
        if self.observed.get(&object) != Some(&observed) {
            self.observed.insert(object.clone(), observed);
            self.touch([object]);
        }
    }

    /// Takes in that an object is gone. That the engine knows none is no sign of it: it may not have been told yet.
    pub(crate) fn forget(&mut self, object: ObjectRef) {
        self.observed.remove(&object);
        self.budget.forget(&object);
        self.acknowledgements.forget(&Subject::Object(object.clone()));
        // The writer ends with the process only; then nothing has to be forgotten.
        let _ = self.orders.send(Order::Forget(object));
    }

    /// Takes in how a write ended.
    pub(crate) fn conclude(&mut self, object: ObjectRef, outcome: Outcome) {
        self.writing.remove(&object);
        match outcome {
            Outcome::Done(status) => {
                if let Some(observed) = self.observed.get_mut(&object) {
                    observed.status = status;
                }
            }
            Outcome::Obsolete => return,
            Outcome::Failed => {}
        }
        self.touch([object]);
    }

    /// Objects whose status may be another one now.
    pub(crate) fn touch(&mut self, objects: impl IntoIterator<Item = ObjectRef>) {
        self.touched.extend(objects);
        if !self.touched.is_empty() {
            self.look_at.get_or_insert_with(|| Instant::now() + GATHER);
        }
    }

    /// Takes in where a proxy stands in the mesh; `None`: it is gone.
    pub(crate) fn place(&mut self, proxy: &ProxyId, placement: Option<Placement>) {
        self.acknowledgements.place(proxy, placement);
        self.arrivals.expect(proxy, placement.is_some_and(|placement| placement.ready));
        if placement.is_none() {
            self.arrive(std::slice::from_ref(proxy));
        }
        self.note_news();
    }

    /// Takes in what proxies have acknowledged.
    pub(crate) fn report(&mut self, reported: Reported) {
        let names: Vec<ProxyId> = reported.proxies.iter().map(|(proxy, _)| proxy.clone()).collect();
        let proxies = reported.proxies.into_iter().map(|(proxy, report)| (proxy, report.map(standing)));
        self.acknowledgements.report(reported.epoch, proxies);
        self.arrive(&names);
        self.note_news();
    }

    /// Takes in what another replica says.
    pub(crate) fn hear(&mut self, replica: &Replica, word: Word) {
        let proxies = match word {
            Word::Opened => return self.acknowledgements.open(replica),
            Word::Told(account) => self.acknowledgements.hear(replica, account.told),
            Word::Closed => {
                let mut lost = self.acknowledgements.close(replica);
                lost.retain(|proxy| !self.acknowledgements.is_served(proxy));
                self.arrivals.lose(&lost, Instant::now());
                lost
            }
        };
        self.arrive(&proxies);
        self.note_news();
    }

    fn arrive(&mut self, proxies: &[ProxyId]) {
        for proxy in proxies {
            self.arrivals.arrive(proxy, self.acknowledgements.is_served(proxy));
        }
    }

    /// What the proxies have acknowledged.
    pub(crate) fn acknowledgements(&self) -> &Acknowledgements {
        &self.acknowledgements
    }

    /// Proxies of this replica that may have got further since the last call.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<ProxyId> {
        self.acknowledgements.take_changed()
    }

    /// The first publication is out: from now on proxies are awaited.
    pub(crate) fn publish(&mut self) {
        self.arrivals.start(Instant::now());
    }

    /// When [`settle`](Self::settle) is worth the next call.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let budget = self.budget.next_due().map(|at| self.start + at);
        [self.look_at, budget, self.arrivals.deadline()].into_iter().flatten().min()
    }

    /// Looks at what may have changed, and orders the writes that are due.
    pub(crate) fn settle(&mut self, engine: &Engine) {
        let now = Instant::now();
        if self.arrivals.conclude(now) {
            self.touched.extend(engine.objects().cloned());
            self.look_at = Some(now);
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look(engine, now);
        }
        for object in self.budget.due(now - self.start) {
            if self.leads {
                self.order(object, engine);
            }
        }
    }

    fn look(&mut self, engine: &Engine, now: Instant) {
        self.look_at = None;
        let news = self.acknowledgements.take_news();
        if !news.is_empty() {
            let concerned = |object: &ObjectRef, effect: &Effect| {
                self.acknowledgements.concern(&news, &Subject::Object(object.clone()), effect)
            };
            let is_concerned =
                |object: &&ObjectRef| engine.effect(object).is_some_and(|effect| concerned(object, &effect));
            self.touched.extend(engine.objects().filter(is_concerned).cloned());
        }
        for object in std::mem::take(&mut self.touched) {
            match self.pending(&object, engine) {
                Some((_, urgency)) => self.budget.want(&object, urgency, now - self.start),
                None => self.budget.cancel(&object),
            }
        }
    }

    fn order(&mut self, object: ObjectRef, engine: &Engine) {
        if self.writing.contains(&object) {
            return;
        }
        let Some((status, _)) = self.pending(&object, engine) else { return };
        let observed = self.observed.get(&object).cloned().unwrap_or_default();
        self.writing.insert(object.clone());
        let _ = self.orders.send(Order::Write(Write { object, observed, status: Arc::new(status) }));
    }

    /// The status that an object should have, if it has another one that can be replaced.
    fn pending(&self, object: &ObjectRef, engine: &Engine) -> Option<(Status, Urgency)> {
        let effect = engine.effect(object)?;
        let observed = self.observed.get(object)?;
        let tally = self.acknowledgements.tally(&Subject::Object(object.clone()), &effect, || engine.carriers(object));
        let view = if self.arrivals.are_complete() { View::Complete } else { View::Partial };
        let status = desired(&effect, &tally, view, &observed.status, &Time(jiff::Timestamp::now()));
        let urgency = Urgency::of(difference(&observed.status, &status))?;
        Some((status, urgency))
    }

    fn note_news(&mut self) {
        self.look_at.get_or_insert_with(|| Instant::now() + GATHER);
    }
}

fn standing(report: ProxyReport) -> Standing {
    let words = |(key, rejected): (&_, &smidge_xds_server::Rejected)| (Clone::clone(key), rejected.message.clone());
    Standing { behind_since: report.behind_since, rejected: report.rejected.iter().map(words).collect() }
}

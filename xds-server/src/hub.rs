//! The protocol machine behind one lock, and whom to wake. The lock is held for microseconds: responses are encoded
//! outside of it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use envoy_types::pb::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest};
use smidge_xds::{ProxyId, Resource, TypeUrl, Update};
use tokio::{
    sync::{Notify, watch},
    time::MissedTickBehavior,
};

use crate::{
    Connected, Counters, Limits, Reported, Resolve,
    body::Chunks,
    connection::Line,
    protocol::{Ended, Machine, Next, StreamId, TICKS, Wanted},
};

/// Where updates are published, streams are served from, and reports are read.
pub struct Hub {
    state: Mutex<State>,
    limits: Limits,
    counters: Arc<Counters>,
    resolver: Arc<dyn Resolve>,
    published: watch::Sender<bool>,
    moved: Notify,
    chunks: Chunks,
}

struct State {
    machine: Machine,
    /// By stream.
    tasks: Vec<StreamTask>,
}

/// How a stream's task is reached, and how it began.
#[derive(Default)]
struct StreamTask {
    waker: Arc<Notify>,
    line: Arc<Line>,
    began: Option<Connected>,
}

impl Hub {
    /// A hub that has published nothing: streams wait.
    pub fn new(limits: Limits, resolver: Arc<dyn Resolve>) -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        let machine = Machine::new(limits, counters.clone(), &resolver.names());
        Arc::new(Self {
            state: Mutex::new(State { machine, tasks: Vec::new() }),
            limits,
            counters,
            resolver,
            published: watch::Sender::new(false),
            moved: Notify::new(),
            chunks: Chunks::default(),
        })
    }

    /// Publishes: marks what changed in the streams that want it and wakes them. Its epoch has to be greater than
    /// that of the one before. Never blocks on a proxy.
    pub fn publish(&self, update: Update) {
        self.change(|machine| machine.publish(update));
        self.chunks.clear();
        self.published.send_replace(true);
        self.moved.notify_one();
    }

    /// What changed in the reports since the last call; waits until something did, or something is published. For
    /// one reader: what it gets, nobody gets again.
    pub async fn reported(&self) -> Reported {
        let mut told = self.lock().machine.reported();
        while told.proxies.is_empty() {
            self.moved.notified().await;
            told = self.lock().machine.reported();
            if told.epoch.0 > 0 {
                break;
            }
        }
        told
    }

    /// What was done so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// What clients may cost.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    pub(crate) fn resolver(&self) -> &dyn Resolve {
        &*self.resolver
    }

    /// Returns once something is published.
    pub(crate) async fn wait_for_first(&self) {
        // An error would mean that the sender is gone, but it is in `self`.
        let _ = self.published.subscribe().wait_for(|published| *published).await;
    }

    /// The proxies that have a stream. Goes through all of them: for somebody who asks, not for each turn of a loop.
    pub fn connected(&self) -> Vec<(ProxyId, Connected)> {
        let state = self.lock();
        let began = |(proxy, stream): (&ProxyId, StreamId)| {
            Some((proxy.clone(), state.tasks.get(stream as usize)?.began.clone()?))
        };
        state.machine.connected().filter_map(began).collect()
    }

    pub(crate) fn open(self: &Arc<Self>, proxy: &ProxyId, node: &Node, line: Arc<Line>) -> Result<OpenStream, Ended> {
        let waker = Arc::new(Notify::new());
        let began = Some(Connected::now(node, SystemTime::now()));
        let task = StreamTask { waker: waker.clone(), line, began };
        let id = self.change_with(|state| {
            let id = state.machine.open(proxy)?;
            state.tasks.resize_with(state.tasks.len().max(id as usize + 1), StreamTask::default);
            state.tasks[id as usize] = task;
            Ok(id)
        })?;
        Ok(OpenStream { hub: self.clone(), id, waker })
    }

    /// Ends, for ever, the streams whose clients do not answer, and the connections of those that do not even read.
    pub(crate) async fn end_the_silent(&self) {
        let mut ticks = tokio::time::interval(self.limits.answer / TICKS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (proxy, type_url) in self.tick() {
                let waited = self.limits.answer;
                tracing::warn!(%proxy, %type_url, ?waited, "no answer to a response; the stream is ended, so that Envoy opens another");
            }
        }
    }

    fn tick(&self) -> Vec<(ProxyId, TypeUrl)> {
        self.change_with(|state| {
            let ticked = state.machine.tick();
            ticked.stuck.iter().for_each(|stream| state.tasks[*stream as usize].line.close());
            ticked.unanswered
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        self.change_with(|state| change(&mut state.machine))
    }

    fn change_with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let woken = state.machine.woken();
        let wakers: Vec<_> = woken.into_iter().map(|stream| state.tasks[stream as usize].waker.clone()).collect();
        let moved = state.machine.has_reports();
        drop(state);
        wakers.iter().for_each(|waker| waker.notify_one());
        if moved {
            self.moved.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The machine has no state that a panic could leave half changed and that a later call would not mend; to go
        // on serving is better than to stop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream of one proxy; closed when dropped.
pub(crate) struct OpenStream {
    hub: Arc<Hub>,
    id: StreamId,
    waker: Arc<Notify>,
}

impl OpenStream {
    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    pub(crate) fn receive(&self, request: DeltaDiscoveryRequest) -> Result<Vec<Wanted>, Ended> {
        self.hub.change(|machine| machine.receive(self.id, request))
    }

    pub(crate) fn resolve(&self, resource: Arc<Resource>) {
        self.hub.change(|machine| machine.resolve(self.id, resource));
    }

    pub(crate) fn next(&self) -> Next {
        self.hub.lock().machine.next(self.id)
    }

    pub(crate) async fn woken(&self) {
        self.waker.notified().await;
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.hub.change(|machine| machine.close(self.id));
    }
}

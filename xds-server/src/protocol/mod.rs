//! The delta xDS protocol as a state machine without I/O, clock or thread: publications and requests go in, responses
//! come out when asked for.
//!
//! ```text
//! publish(Update) ──→ marks names as pending in the streams that want them ──→ woken()
//! receive(stream, DeltaDiscoveryRequest) ──→ subscriptions, ACK, NACK             │
//! next(stream) ←──────────────────────────────────────────────────────────────────┘
//!   └─→ Response: pending names, newest state of each, in the order of warming, one unanswered response per type
//! ```

mod answer;
mod kind;
mod order;
mod overdue;
mod request;
mod response;
mod send;
mod stream;
mod table;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

pub use overdue::{TICKS, Ticked};
pub use response::Response;
use roaring::RoaringBitmap;
use smidge_xds::{Epoch, LayerChange, Name, ProxyChange, ProxyId, Resource, TypeUrl, Update, Version, WorkloadId};

use self::{
    stream::Stream,
    table::{Id, Published},
};
use crate::{Counters, Limits, Reported, counters::add};

/// A stream, until it is closed.
pub type StreamId = u32;

/// What to do for a stream now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this.
    Response(Response),
    /// Nothing, until the stream is woken or a request comes.
    Idle,
    /// End it.
    Ended(Ended),
}

/// Why a stream is refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The proxy is not (or no longer) published.
    #[error("no meshed pod is known for this node id (<pod>.<namespace>); Envoy will ask again")]
    Unknown,
    /// The proxy has opened newer streams.
    #[error("this proxy has opened a newer stream: is another Envoy running with its node id?")]
    Replaced,
    /// There are too many streams.
    #[error("too many streams are open on this server; Envoy will ask again")]
    TooMany,
    /// It subscribes to too many names, or to one that is too long.
    #[error("the request names too many resources, or one with too long a name")]
    Violation,
    /// It did not answer a response.
    #[error("a response of type {0} was not answered in time; Envoy will ask again")]
    Unanswered(TypeUrl),
}

/// A name that the stream has subscribed to and that has to be resolved for its proxy.
pub type Wanted = (TypeUrl, Name);

#[derive(Debug)]
struct Proxy {
    workload: WorkloadId,
    /// The newest last; that one is reported.
    streams: Vec<StreamId>,
}

/// The state of the whole server.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    counters: Arc<Counters>,
    epoch: Epoch,
    published: Published,
    proxies: HashMap<ProxyId, Proxy>,
    streams: Vec<Option<Stream>>,
    free: Vec<StreamId>,
    woken: Vec<StreamId>,
    /// The proxies whose report may have changed.
    moved: HashSet<ProxyId>,
    /// How many names there were after the last sweep.
    swept: usize,
}

impl Machine {
    /// A machine that has published nothing. `resolved` are the names that are resolved for each proxy.
    pub fn new(limits: Limits, counters: Arc<Counters>, resolved: &[Wanted]) -> Self {
        let mut published = Published::default();
        for (type_url, name) in resolved {
            let table = published.table_mut(*type_url);
            let id = table.intern(name.as_str());
            table.entry_mut(id).resolved = true;
        }
        Self {
            limits,
            counters,
            epoch: Epoch::default(),
            published,
            proxies: HashMap::new(),
            streams: Vec::new(),
            free: Vec::new(),
            woken: Vec::new(),
            moved: HashSet::new(),
            swept: 1024,
        }
    }

    /// The newest publication.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Publishes. The work is proportional to the changes and the streams that want them, not to all streams.
    pub fn publish(&mut self, update: Update) {
        self.epoch = update.epoch;
        add(&self.counters.publications, 1);
        let mut touched = RoaringBitmap::new();
        for change in update.shared {
            if let Some((type_url, id)) = self.published.change_shared(change, self.epoch) {
                touched |= self.mark_shared(type_url, id);
            }
        }
        let (resources, gone): (Vec<_>, Vec<_>) =
            update.workloads.into_iter().partition(|(_, change)| matches!(change, LayerChange::Resources(_)));
        for (workload, change) in resources {
            touched |= self.change_layer(workload, change);
        }
        for change in update.proxies {
            touched |= self.change_proxy(change);
        }
        for (workload, _) in gone {
            self.published.drop_layer(workload);
        }
        for stream in &touched {
            self.note(stream);
            self.wake(stream);
        }
        self.sweep();
    }

    fn mark_shared(&mut self, type_url: TypeUrl, id: Id) -> RoaringBitmap {
        let table = self.published.table(type_url);
        let streams = &table.wildcard | &table.entry(id).interested;
        streams.iter().for_each(|stream| self.mark(stream, type_url, id));
        streams
    }

    fn change_layer(&mut self, workload: WorkloadId, change: LayerChange) -> RoaringBitmap {
        let LayerChange::Resources(changes) = change else { return RoaringBitmap::new() };
        let mut touched = RoaringBitmap::new();
        self.published.layers.entry(workload).or_default();
        for change in changes {
            let Some((type_url, id)) = self.published.change_layer(workload, change, self.epoch) else { continue };
            let table = self.published.table(type_url);
            let streams = (&table.wildcard | &table.entry(id).interested) & &self.published.layers[&workload].streams;
            streams.iter().for_each(|stream| self.mark(stream, type_url, id));
            touched |= streams;
        }
        touched
    }

    fn change_proxy(&mut self, change: ProxyChange) -> RoaringBitmap {
        match change {
            ProxyChange::Set(proxy, workload) => {
                self.moved.insert(proxy.clone());
                let known = self.proxies.entry(proxy).or_insert(Proxy { workload, streams: Vec::new() });
                let old = std::mem::replace(&mut known.workload, workload);
                let streams = known.streams.clone();
                streams.iter().for_each(|stream| self.move_stream(*stream, old, workload));
                streams.into_iter().collect()
            }
            ProxyChange::Remove(proxy) => {
                let streams = self.proxies.remove(&proxy).map(|p| p.streams).unwrap_or_default();
                self.moved.insert(proxy);
                streams.iter().for_each(|stream| self.end(*stream, Ended::Unknown));
                streams.into_iter().collect()
            }
        }
    }

    /// A stream whose proxy has got another workload layer is sent the difference only.
    fn move_stream(&mut self, stream: StreamId, old: WorkloadId, new: WorkloadId) {
        if old == new {
            return;
        }
        if let Some(layer) = self.published.layers.get_mut(&old) {
            layer.streams.remove(stream);
        }
        self.published.layers.entry(new).or_default().streams.insert(stream);
        let difference = self.published.difference(old, new);
        if let Some(state) = self.stream_mut(stream) {
            state.workload = new;
        }
        difference.into_iter().for_each(|(type_url, id)| self.mark(stream, type_url, id));
    }

    /// Marks a name as changed for one stream, if it wants it.
    fn mark(&mut self, stream: StreamId, type_url: TypeUrl, id: Id) {
        let now = self.version(stream, type_url, id);
        let epoch = self.epoch;
        let resolved = self.published.table(type_url).entry(id).resolved;
        let Some(kind) = self.stream_mut(stream).map(|s| &mut s.kinds[type_url]) else { return };
        if kind.wants(id) && !resolved {
            kind.mark(id, now, epoch);
            add(&self.counters.marks, 1);
        }
    }

    /// Opens a stream of a proxy.
    ///
    /// # Errors
    /// When the proxy is not published, or there are too many streams.
    pub fn open(&mut self, proxy: &ProxyId) -> Result<StreamId, Ended> {
        if self.streams.len() - self.free.len() >= self.limits.streams {
            return Err(Ended::TooMany);
        }
        let known = self.proxies.get_mut(proxy).ok_or(Ended::Unknown)?;
        let stream = self.free.pop().unwrap_or_else(|| {
            self.streams.push(None);
            (self.streams.len() - 1) as StreamId
        });
        known.streams.push(stream);
        let surplus = known.streams.len().saturating_sub(self.limits.streams_per_proxy);
        let oldest = known.streams[..surplus].to_vec();
        let workload = known.workload;
        self.streams[stream as usize] = Some(Stream::new(proxy.clone(), workload));
        self.published.layers.entry(workload).or_default().streams.insert(stream);
        self.moved.insert(proxy.clone());
        for old in oldest {
            self.end(old, Ended::Replaced);
            self.wake(old);
        }
        add(&self.counters.streams_opened, 1);
        self.counters.streams.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    /// Closes a stream and forgets all about it.
    pub fn close(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream as usize).and_then(Option::take) else { return };
        for type_url in TypeUrl::ALL {
            let table = self.published.table_mut(type_url);
            table.wildcard.remove(stream);
            for id in &state.kinds[type_url].names {
                table.entry_mut(id).interested.remove(stream);
            }
        }
        if let Some(layer) = self.published.layers.get_mut(&state.workload) {
            layer.streams.remove(stream);
        }
        if let Some(proxy) = self.proxies.get_mut(&state.proxy) {
            proxy.streams.retain(|other| *other != stream);
        }
        self.moved.insert(state.proxy);
        self.free.push(stream);
        self.counters.streams.fetch_sub(1, Ordering::Relaxed);
        self.sweep();
    }

    /// Gives a stream a resource that was resolved for its proxy.
    pub fn resolve(&mut self, stream: StreamId, resource: Arc<Resource>) {
        let (type_url, epoch) = (resource.type_url, self.epoch);
        let Some(id) = self.published.table(type_url).id(resource.name.as_str()) else { return };
        let Some(state) = self.stream_mut(stream) else { return };
        let Some(own) = state.own.iter_mut().find(|own| own.type_url == type_url && own.id == id) else { return };
        let version = resource.version;
        own.resource = Some(resource);
        state.kinds[type_url].mark(id, Some(version), epoch);
        self.note(stream);
        self.wake(stream);
    }

    /// The proxies that have a stream, each with its newest.
    pub fn connected(&self) -> impl Iterator<Item = (&ProxyId, StreamId)> {
        self.proxies.iter().filter_map(|(proxy, known)| Some((proxy, *known.streams.last()?)))
    }

    /// The streams that have something to do since the last call.
    pub fn woken(&mut self) -> Vec<StreamId> {
        std::mem::take(&mut self.woken)
    }

    /// Whether any report may have changed since it was last taken.
    pub fn has_reports(&self) -> bool {
        !self.moved.is_empty()
    }

    /// The reports of the proxies that have moved since the last call.
    pub fn reported(&mut self) -> Reported {
        let moved = std::mem::take(&mut self.moved);
        let proxies = moved.into_iter().map(|proxy| {
            let report = self.proxies.get(&proxy).map(|known| {
                let newest = known.streams.last().and_then(|s| self.streams[*s as usize].as_mut());
                newest.map(Stream::report).unwrap_or_else(crate::ProxyReport::disconnected)
            });
            (proxy, report)
        });
        Reported { epoch: self.epoch, proxies: proxies.collect() }
    }

    fn end(&mut self, stream: StreamId, why: Ended) {
        if let Some(state) = self.stream_mut(stream) {
            state.ended.get_or_insert(why);
        }
    }

    /// Remembers the proxy for the next report if its own has changed.
    fn note(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream as usize).and_then(Option::as_mut) else { return };
        if state.has_moved() {
            self.moved.insert(state.proxy.clone());
        }
    }

    fn wake(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(stream as usize).and_then(Option::as_mut) else { return };
        if !state.awake {
            state.awake = true;
            self.woken.push(stream);
            add(&self.counters.wakes, 1);
        }
    }

    fn stream(&self, stream: StreamId) -> Option<&Stream> {
        self.streams.get(stream as usize)?.as_ref()
    }

    fn stream_mut(&mut self, stream: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(stream as usize)?.as_mut()
    }

    /// The version of what a stream sees under a name.
    fn version(&self, stream: StreamId, type_url: TypeUrl, id: Id) -> Option<Version> {
        let state = self.stream(stream)?;
        let own = state.own(type_url, id).map(|resource| resource.version);
        own.or_else(|| self.published.version(state.workload, type_url, id))
    }

    /// Forgets unused names once they may be as many as the used ones: hostile subscriptions cost no memory for long.
    fn sweep(&mut self) {
        let names: usize = TypeUrl::ALL.iter().map(|t| self.published.table(*t).len()).sum();
        if names < 2 * self.swept {
            return;
        }
        for type_url in TypeUrl::ALL {
            let streams = self.streams.iter().flatten();
            let in_use = streams.fold(RoaringBitmap::new(), |ids, s| ids | s.kinds[type_url].refers_to());
            self.published.table_mut(type_url).forget_unused(&in_use);
        }
        let left: usize = TypeUrl::ALL.iter().map(|t| self.published.table(*t).len()).sum();
        self.swept = left.max(1024);
    }
}

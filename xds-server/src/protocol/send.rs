//! The next response of a stream.

use std::sync::Arc;

use roaring::RoaringBitmap;
use smidge_xds::{Epoch, Name, Resource, TypeUrl};

use super::{
    Machine, Next, Response, StreamId,
    kind::{InFlight, Kind},
    order::{REMOVALS, may_remove, may_set},
    response::field_len,
    stream::Stream,
    table::{Id, Published},
};
use crate::counters::add;

/// Which of a type's pending names a response is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Sets,
    Absent,
    Gone,
}

impl Machine {
    /// What a stream has to send now. To be asked again once that is flushed; after `Idle`, once it is woken.
    pub fn next(&mut self, stream: StreamId) -> Next {
        let epoch = self.epoch;
        let limit = self.limits.response_bytes;
        let Some(state) = self.streams.get_mut(stream as usize).and_then(Option::as_mut) else { return Next::Idle };
        if let Some(why) = state.ended {
            return Next::Ended(why);
        }
        let Some((type_url, part)) = choose(state) else {
            state.awake = false;
            return Next::Idle;
        };
        let response = take(&self.published, state, type_url, part, epoch, limit);
        if type_url == TypeUrl::Cluster && part == Part::Sets {
            follow_with_endpoints(&self.published, state, epoch);
        }
        add(&self.counters.responses, 1);
        add(&self.counters.response_bytes, response.size() as u64);
        add(&self.counters.resources, response.resources.len() as u64);
        add(&self.counters.removals, response.removed.len() as u64);
        Next::Response(response)
    }
}

/// Additions in the order of warming, then what is asked for and absent, then removals in the opposite order. A type
/// whose last response is not answered waits.
fn choose(state: &Stream) -> Option<(TypeUrl, Part)> {
    let kinds = &state.kinds;
    let free = |t: &TypeUrl| kinds[*t].in_flight.is_none();
    let sets = |t: &TypeUrl| (!kinds[*t].sets.is_empty() || kinds[*t].owes_answer) && may_set(kinds, *t);
    let absent = |t: &TypeUrl| !kinds[*t].gone.is_disjoint(&kinds[*t].urgent);
    let gone = |t: &TypeUrl| !kinds[*t].gone.is_empty() && may_remove(kinds, *t);
    let first =
        |types: &[TypeUrl], ready: &dyn Fn(&TypeUrl) -> bool| types.iter().find(|t| free(t) && ready(t)).copied();
    (first(&TypeUrl::ALL, &sets).map(|t| (t, Part::Sets)))
        .or_else(|| first(&TypeUrl::ALL, &absent).map(|t| (t, Part::Absent)))
        .or_else(|| first(&REMOVALS, &gone).map(|t| (t, Part::Gone)))
}

/// Takes as many pending names as fit into one response, and puts them under way. A resource of the proxy's own goes
/// alone: the others' bytes are shared with other streams.
fn take(
    published: &Published,
    state: &mut Stream,
    type_url: TypeUrl,
    part: Part,
    epoch: Epoch,
    limit: usize,
) -> Response {
    let mut batch = Batch::default();
    for id in candidates(&state.kinds[type_url], part) {
        let own = state.own(type_url, id);
        let alone = own.is_some();
        if alone && !batch.ids.is_empty() {
            break;
        }
        let resource = own.or_else(|| published.find(state.workload, type_url, id).map(|held| &held.resource));
        let name = || published.table(type_url).name(id);
        if !batch.add(id, resource.filter(|_| part == Part::Sets).cloned().ok_or_else(name), limit) || alone {
            break;
        }
    }
    state.last_nonce += 1;
    let nonce = state.last_nonce;
    put_under_way(&mut state.kinds[type_url], part, &batch, nonce, epoch);
    Response { type_url, nonce, epoch, resources: batch.resources, removed: batch.removed }
}

/// The names to take from: a single one while there are suspects.
fn candidates(kind: &Kind, part: Part) -> RoaringBitmap {
    let pending = part_of(kind, part);
    let suspects = &kind.suspects & &pending;
    let hint = kind.hint.filter(|id| suspects.contains(*id));
    match hint.or(suspects.min()) {
        Some(one) => RoaringBitmap::from_iter([one]),
        None => pending,
    }
}

fn part_of(kind: &Kind, part: Part) -> RoaringBitmap {
    match part {
        Part::Sets => kind.sets.clone(),
        Part::Absent => kind.absent(),
        Part::Gone => kind.gone.clone(),
    }
}

fn put_under_way(kind: &mut Kind, part: Part, batch: &Batch, nonce: u64, epoch: Epoch) {
    let since = kind.since.unwrap_or(epoch);
    kind.unmark_all(&batch.ids);
    kind.owes_answer = false;
    let version = batch.resources.first().map(|resource| resource.version);
    let only = batch.ids.min().filter(|_| batch.ids.len() == 1).map(|id| (id, version));
    let ids = batch.ids.clone();
    kind.in_flight = Some(InFlight { nonce, ids, removes: part != Part::Sets, since, only, age: 0 });
}

/// Each cluster that was sent is followed by its endpoints, changed or not: Envoy does not ask for them again, and
/// without them the cluster warms for 15 s. (A new cluster's are not subscribed to yet; Envoy will.)
fn follow_with_endpoints(published: &Published, state: &mut Stream, epoch: Epoch) {
    let Some(flight) = &state.kinds[TypeUrl::Cluster].in_flight else { return };
    let (clusters, endpoints) = (published.table(TypeUrl::Cluster), published.table(TypeUrl::Endpoints));
    let since = flight.since.min(epoch);
    let ids: Vec<Id> =
        flight.ids.iter().filter_map(|id| endpoints.id(clusters.entry(id).name.as_ref()?.as_str())).collect();
    let kind = &mut state.kinds[TypeUrl::Endpoints];
    for id in ids {
        if kind.wants(id) {
            kind.mark_asked(id, published.version(state.workload, TypeUrl::Endpoints, id), since);
        }
    }
}

/// A response in the making.
#[derive(Default)]
struct Batch {
    ids: RoaringBitmap,
    resources: Vec<Arc<Resource>>,
    removed: Vec<Name>,
    bytes: usize,
}

impl Batch {
    /// Adds a resource, or the name of one that is gone. False when it does not fit; the first one always does.
    fn add(&mut self, id: Id, resource: Result<Arc<Resource>, Name>, limit: usize) -> bool {
        let len = resource.as_ref().map_or_else(|name| name.as_str().len(), |resource| resource.encoded.len());
        let bytes = self.bytes + field_len(len);
        if bytes > limit && !self.ids.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.ids.insert(id);
        match resource {
            Ok(resource) => self.resources.push(resource),
            Err(name) => self.removed.push(name),
        }
        true
    }
}

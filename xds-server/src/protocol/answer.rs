//! What an answer to a response does: ACK, or NACK and the search for its culprit.

use std::sync::Arc;

use envoy_types::pb::google::rpc;
use smidge_xds::{Epoch, Name, TypeUrl};

use super::{
    Machine, StreamId,
    kind::{InFlight, Kind},
    table::{Id, Table},
};
use crate::{Rejected, counters::add};

/// How much of a proxy's own words is kept.
const MESSAGE_BYTES: usize = 1024;
/// Of how many rejected resources of a stream the words are kept.
const MESSAGES: usize = 100;

impl Machine {
    /// An answer whose nonce is not that of the response under way is stale: it acknowledges nothing.
    pub(super) fn answer(&mut self, s: StreamId, type_url: TypeUrl, nonce: &str, error: Option<&rpc::Status>) {
        let Some(state) = self.stream_mut(s) else { return };
        let kind = &mut state.kinds[type_url];
        let Some(flight) = kind.in_flight.take_if(|flight| nonce == flight.nonce.to_string()) else { return };
        match error {
            None => self.acknowledged(s, type_url, flight),
            Some(error) => self.rejected(s, type_url, flight, &error.message),
        }
    }

    fn acknowledged(&mut self, s: StreamId, type_url: TypeUrl, flight: InFlight) {
        add(&self.counters.acks, 1);
        let Some(state) = self.stream_mut(s) else { return };
        let kind = &mut state.kinds[type_url];
        kind.suspects -= &flight.ids;
        for id in &flight.ids {
            kind.rejected.remove(&id);
        }
        if !state.rejected.is_empty() {
            self.accept(s, type_url, flight.ids);
        }
    }

    /// A NACK covers its whole response. A response of one resource has found the culprit; the resources of a larger
    /// one become suspects: they are sent again one by one until the culprit is found.
    fn rejected(&mut self, s: StreamId, type_url: TypeUrl, flight: InFlight, message: &str) {
        add(&self.counters.nacks, 1);
        let Some((id, version)) = flight.only else { return self.suspect(s, type_url, &flight, message) };
        add(&self.counters.culprits, 1);
        let name = self.published.table(type_url).name(id);
        let Some(state) = self.stream_mut(s) else { return };
        let kind = &mut state.kinds[type_url];
        kind.suspects.clear();
        kind.hint = None;
        if !kind.wants(id) {
            return;
        }
        kind.rejected.insert(id, version);
        let words = if state.rejected.len() < MESSAGES { shorten(message) } else { "rejected, as many others" };
        let rejected = Rejected { version, message: words.into() };
        Arc::make_mut(&mut state.rejected).insert((type_url, name), rejected);
    }

    fn suspect(&mut self, s: StreamId, type_url: TypeUrl, flight: &InFlight, message: &str) {
        let hint = named_in(self.published.table(type_url), flight, message);
        for id in &flight.ids {
            let now = self.version(s, type_url, id);
            let Some(state) = self.stream_mut(s) else { return };
            let kind = &mut state.kinds[type_url];
            if kind.wants(id) {
                mark_again(kind, id, now, flight);
                kind.suspects.insert(id);
            }
        }
        if let Some(state) = self.stream_mut(s) {
            state.kinds[type_url].hint = hint;
        }
    }

    /// These names are no longer rejected.
    pub(super) fn accept(&mut self, s: StreamId, type_url: TypeUrl, ids: impl IntoIterator<Item = Id>) {
        let names: Vec<Name> = ids.into_iter().map(|id| self.published.table(type_url).name(id)).collect();
        let Some(state) = self.stream_mut(s) else { return };
        if state.rejected.is_empty() {
            return;
        }
        let rejected = Arc::make_mut(&mut state.rejected);
        for name in names {
            rejected.remove(&(type_url, name));
        }
    }
}

fn mark_again(kind: &mut Kind, id: Id, now: Option<smidge_xds::Version>, flight: &InFlight) {
    let asked = flight.removes && now.is_none();
    let since: Epoch = flight.since;
    if asked { kind.mark_asked(id, now, since) } else { kind.mark(id, now, since) }
}

/// Envoy's message often names the culprit: of the names of the response that occur in it, the longest is tried first.
fn named_in(table: &Table, flight: &InFlight, message: &str) -> Option<Id> {
    let named = flight.ids.iter().filter(|id| message.contains(table.name(*id).as_str()));
    named.max_by_key(|id| table.name(*id).as_str().len())
}

fn shorten(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES)]
}

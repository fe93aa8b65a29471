//! What a request does: subscriptions. (Its other half, the answer to a response, is in `answer`.)

use std::collections::HashMap;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use roaring::RoaringBitmap;
use smidge_xds::{Epoch, TypeUrl, Version};

use super::{Ended, Machine, StreamId, Wanted, stream::Own, table::Id};
use crate::counters::add;

/// Subscribes to everything.
/// <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return>
const WILDCARD: &str = "*";

/// What the client says it has, on its first request for a type.
/// <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds>
type Has = HashMap<Id, Option<Version>>;

impl Machine {
    /// Takes in a request; ask [`next`](Machine::next) after it. Gives the names that have to be resolved for this stream from now on. A type that is not
    /// served is not answered.
    ///
    /// # Errors
    /// When the request breaks a limit; the stream has to be ended.
    pub fn receive(&mut self, stream: StreamId, request: DeltaDiscoveryRequest) -> Result<Vec<Wanted>, Ended> {
        add(&self.counters.requests, 1);
        let Some(type_url) = TypeUrl::from_url(&request.type_url) else { return Ok(Vec::new()) };
        if self.stream(stream).is_none() {
            return Ok(Vec::new());
        }
        self.check_limits(stream, type_url, &request).inspect_err(|_| add(&self.counters.violations, 1))?;
        if !request.response_nonce.is_empty() {
            self.answer(stream, type_url, &request.response_nonce, request.error_detail.as_ref());
        }
        // The subscription counts even when the nonce is stale.
        // https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds
        let wanted = self.subscriptions(stream, type_url, &request);
        self.note(stream);
        Ok(wanted)
    }

    fn check_limits(&self, s: StreamId, type_url: TypeUrl, request: &DeltaDiscoveryRequest) -> Result<(), Ended> {
        let names = request.resource_names_subscribe.iter().chain(request.initial_resource_versions.keys());
        let too_long = names.into_iter().any(|name| name.len() > self.limits.name_bytes);
        let held = self.stream(s).map_or(0, |state| state.kinds[type_url].names.len() as usize);
        let limit = self.limits.subscriptions;
        let too_many = request.resource_names_subscribe.len().saturating_add(held) > limit
            || request.initial_resource_versions.len() > limit;
        if too_long || too_many { Err(Ended::Violation) } else { Ok(()) }
    }

    fn subscriptions(&mut self, s: StreamId, type_url: TypeUrl, request: &DeltaDiscoveryRequest) -> Vec<Wanted> {
        let Some(state) = self.stream_mut(s) else { return Vec::new() };
        let kind = &mut state.kinds[type_url];
        let first = !std::mem::replace(&mut kind.asked, true);
        kind.resumed |= first && !request.initial_resource_versions.is_empty();
        let (subscribe, unsubscribe) = (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
        let wildcard = subscribe.iter().any(|name| name == WILDCARD);
        let legacy = first && subscribe.is_empty() && unsubscribe.is_empty() && has_legacy_wildcard(type_url);
        let has = if first { self.has(type_url, request, wildcard || legacy) } else { Has::new() };
        if wildcard || legacy {
            self.subscribe_to_all(s, type_url, &has);
        }
        let named = subscribe.iter().filter(|name| *name != WILDCARD);
        let mut asked = Vec::new();
        let wanted = named.filter_map(|name| self.subscribe(s, type_url, name, &has, &mut asked)).collect();
        if let Some(state) = self.stream_mut(s) {
            state.kinds[type_url].mark_all_asked(asked);
        }
        unsubscribe.iter().for_each(|name| self.unsubscribe(s, type_url, name));
        wanted
    }

    /// What the client has, of the names that it may be interested in.
    fn has(&mut self, type_url: TypeUrl, request: &DeltaDiscoveryRequest, wildcard: bool) -> Has {
        let table = self.published.table_mut(type_url);
        let versions = request.initial_resource_versions.iter();
        let has = versions.filter_map(|(name, version)| {
            let id = if wildcard { Some(table.intern(name)) } else { table.id(name) };
            Some((id?, Version::parse(version)))
        });
        has.collect()
    }

    /// Everything that there is will be sent, except what the client has, and what it has and is not there is gone.
    fn subscribe_to_all(&mut self, s: StreamId, type_url: TypeUrl, has: &Has) {
        self.published.table_mut(type_url).wildcard.insert(s);
        let Some(state) = self.stream(s) else { return };
        let mut sets = self.published.visible(state.workload, type_url);
        let mut gone = RoaringBitmap::new();
        for (id, version) in has {
            if !sets.contains(*id) {
                gone.insert(*id);
            } else if version.is_some() && self.published.version(state.workload, type_url, *id) == *version {
                sets.remove(*id);
            }
        }
        let Some(state) = self.stream_mut(s) else { return };
        let kind = &mut state.kinds[type_url];
        kind.wildcard = true;
        kind.rejected.clear();
        kind.owes_answer |= has.is_empty();
        if !(sets.is_empty() && gone.is_empty()) {
            kind.since_at_most(Epoch::default());
        }
        kind.sets |= sets;
        kind.gone |= gone;
    }

    /// A name that is subscribed to is sent even if it was sent before, or told not to exist.
    /// <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#subscribing-to-resources>
    fn subscribe(
        &mut self,
        s: StreamId,
        type_url: TypeUrl,
        name: &str,
        has: &Has,
        asked: &mut Vec<(Id, bool, Epoch)>,
    ) -> Option<Wanted> {
        let table = self.published.table_mut(type_url);
        let id = table.intern(name);
        table.add_interest(id, s);
        if table.entry(id).resolved {
            return self.subscribe_to_own(s, type_url, id);
        }
        let state = self.stream(s)?;
        let held = self.published.find(state.workload, type_url, id);
        let now = held.map(|held| held.resource.version);
        let since = held.map_or(self.epoch, |held| held.changed);
        let Some(version) = has.get(&id) else {
            asked.push((id, now.is_some(), since));
            return None;
        };
        let same = *version == now && now.is_some();
        let kind = &mut self.stream_mut(s)?.kinds[type_url];
        kind.names.insert(id);
        if !same {
            kind.mark(id, now, since);
        }
        None
    }

    /// A resource of the proxy's own: sent as soon as it is resolved; sent again if it already is.
    fn subscribe_to_own(&mut self, s: StreamId, type_url: TypeUrl, id: Id) -> Option<Wanted> {
        let (name, epoch) = (self.published.table(type_url).name(id), self.epoch);
        let state = self.stream_mut(s)?;
        state.kinds[type_url].names.insert(id);
        if let Some(resource) = state.own(type_url, id) {
            let version = resource.version;
            state.kinds[type_url].rejected.remove(&id);
            state.kinds[type_url].mark(id, Some(version), epoch);
        }
        if state.own.iter().any(|own| own.type_url == type_url && own.id == id) {
            return None;
        }
        state.own.push(Own { type_url, id, resource: None });
        Some((type_url, name))
    }

    /// Nothing is sent for a name that is unsubscribed from, unless a subscription to everything goes on: then the
    /// client has to be told whether it is part of that.
    /// <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#unsubscribing-from-resources>
    fn unsubscribe(&mut self, s: StreamId, type_url: TypeUrl, name: &str) {
        if name == WILDCARD {
            return self.unsubscribe_from_all(s, type_url);
        }
        let table = self.published.table_mut(type_url);
        let Some(id) = table.id(name) else { return };
        table.entry_mut(id).interested.remove(s);
        let (now, epoch) = (self.version(s, type_url, id), self.epoch);
        let Some(state) = self.stream_mut(s) else { return };
        let kind = &mut state.kinds[type_url];
        let was_named = kind.names.remove(id);
        if kind.wildcard {
            if was_named {
                kind.mark_asked(id, now, epoch);
            }
            return;
        }
        kind.drop_name(id);
        state.own.retain(|own| !(own.type_url == type_url && own.id == id));
        self.accept(s, type_url, [id]);
    }

    fn unsubscribe_from_all(&mut self, s: StreamId, type_url: TypeUrl) {
        self.published.table_mut(type_url).wildcard.remove(s);
        let Some(state) = self.stream_mut(s) else { return };
        let kind = &mut state.kinds[type_url];
        kind.wildcard = false;
        kind.owes_answer = false;
        let names = kind.names.clone();
        let dropped: Vec<Id> = (kind.refers_to() - names).into_iter().collect();
        dropped.iter().for_each(|id| kind.drop_name(*id));
        self.accept(s, type_url, dropped);
    }
}

/// Only listeners and clusters may be subscribed to as a whole by saying nothing.
/// <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return>
fn has_legacy_wildcard(type_url: TypeUrl) -> bool {
    matches!(type_url, TypeUrl::Listener | TypeUrl::Cluster)
}

//! What a stream knows of one resource type: subscriptions, what is to be sent, what is under way, what was rejected.
//! Not what the client has: that is everything it subscribes to, less what is to be sent.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;
use smidge_xds::{Epoch, Version};

use super::table::Id;

/// A response that is not answered yet. There is at most one per type.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) nonce: u64,
    pub(super) ids: RoaringBitmap,
    /// It removes; else it sets.
    pub(super) removes: bool,
    /// The first publication that is in it.
    pub(super) since: Epoch,
    /// When it is about one resource only: which version of it.
    pub(super) only: Option<(Id, Option<Version>)>,
    /// For how many ticks it has not been answered.
    pub(super) age: u32,
}

/// The state of one type in one stream.
#[derive(Debug, Default)]
pub(super) struct Kind {
    /// The client has sent a request for this type.
    pub(super) asked: bool,
    /// Its first request said that it has some already.
    pub(super) resumed: bool,
    /// It subscribes to everything.
    pub(super) wildcard: bool,
    /// The names that it subscribes to.
    pub(super) names: RoaringBitmap,
    /// To be sent.
    pub(super) sets: RoaringBitmap,
    /// To be told to be gone, once nothing names it any more.
    pub(super) gone: RoaringBitmap,
    /// The client has asked for it and waits: if it is gone, that is told at once.
    pub(super) urgent: RoaringBitmap,
    /// A first subscription to everything is answered even when there is nothing.
    pub(super) owes_answer: bool,
    /// The first publication that is in `sets` or `gone`.
    pub(super) since: Option<Epoch>,
    pub(super) in_flight: Option<InFlight>,
    /// Of these one is sent per response: a rejected response held them, or an earlier version was rejected.
    pub(super) suspects: RoaringBitmap,
    /// The suspect that Envoy's message names.
    pub(super) hint: Option<Id>,
    /// What was rejected (`None`: its removal); not sent again until it is another version.
    pub(super) rejected: BTreeMap<Id, Option<Version>>,
}

impl Kind {
    /// Whether it subscribes to a name.
    pub(super) fn wants(&self, id: Id) -> bool {
        self.wildcard || self.names.contains(id)
    }

    /// Marks a name as changed: to be sent if it exists, else to be told to be gone.
    pub(super) fn mark(&mut self, id: Id, now: Option<Version>, since: Epoch) {
        self.sets.remove(id);
        self.gone.remove(id);
        if !self.has_pending() {
            self.since = None;
        }
        if self.rejected.get(&id) == Some(&now) {
            return;
        }
        if self.rejected.contains_key(&id) {
            self.suspects.insert(id);
        }
        let set = if now.is_some() { &mut self.sets } else { &mut self.gone };
        set.insert(id);
        self.since_at_most(since);
    }

    /// Marks a name as asked for: to be sent if it exists, else to be told at once that it does not.
    pub(super) fn mark_asked(&mut self, id: Id, now: Option<Version>, since: Epoch) {
        self.urgent.insert(id);
        self.mark(id, now, since);
    }

    /// Marks many names as newly asked for, at once: one by one is slow where there are thousands.
    pub(super) fn mark_all_asked(&mut self, mut asked: Vec<(Id, bool, Epoch)>) {
        let Some(since) = asked.iter().map(|(_, _, since)| *since).min() else { return };
        asked.sort_unstable();
        asked.dedup_by_key(|(id, _, _)| *id);
        let ids_of = |exists: bool| asked.iter().filter(move |a| a.1 == exists).map(|a| a.0);
        let (sets, gone): (RoaringBitmap, RoaringBitmap) = (ids_of(true).collect(), ids_of(false).collect());
        let ids = &sets | &gone;
        self.unmark_all(&ids);
        self.rejected.retain(|id, _| !ids.contains(*id));
        self.since_at_most(since);
        self.sets |= sets;
        self.gone |= gone;
        self.urgent |= &ids;
        self.names |= ids;
        self.names.optimize();
    }

    /// Nothing is to be sent of these names.
    pub(super) fn unmark_all(&mut self, ids: &RoaringBitmap) {
        self.sets -= ids;
        self.gone -= ids;
        self.urgent -= ids;
        if !self.has_pending() {
            self.since = None;
        }
    }

    /// Nothing is to be sent of this name.
    pub(super) fn unmark(&mut self, id: Id) {
        self.sets.remove(id);
        self.gone.remove(id);
        self.urgent.remove(id);
    }

    /// Something that was first published in `since` waits.
    pub(super) fn since_at_most(&mut self, since: Epoch) {
        self.since = Some(self.since.map_or(since, |earlier| earlier.min(since)));
    }

    /// Whether anything waits to be sent.
    pub(super) fn has_pending(&self) -> bool {
        !(self.sets.is_empty() && self.gone.is_empty())
    }

    /// What is to be told at once not to exist.
    pub(super) fn absent(&self) -> RoaringBitmap {
        &self.gone & &self.urgent
    }

    /// Whether nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_pending() && self.in_flight.is_none() && !self.owes_answer
    }

    /// The first publication of which something is not acknowledged.
    pub(super) fn behind_since(&self) -> Option<Epoch> {
        let pending = if self.has_pending() { self.since } else { None };
        pending.into_iter().chain(self.in_flight.as_ref().map(|f| f.since)).min()
    }

    /// Forgets one name altogether.
    pub(super) fn drop_name(&mut self, id: Id) {
        self.unmark(id);
        self.suspects.remove(id);
        self.rejected.remove(&id);
    }

    /// Every name that it still refers to.
    pub(super) fn refers_to(&self) -> RoaringBitmap {
        let mut ids = &self.sets | &self.gone;
        ids |= &self.suspects;
        ids |= self.in_flight.as_ref().map(|f| f.ids.clone()).unwrap_or_default();
        ids.extend(self.rejected.keys().copied());
        ids
    }
}

//! What the other replicas tell of their proxies, and which replica a proxy belongs to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use smidge_xds::{Epoch, ProxyId, Version};

use crate::{Mark, Subject, group::Gate};

/// Another replica: one process, not the next of the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replica(Arc<str>);

impl<T: Into<Arc<str>>> From<T> for Replica {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

/// Where a proxy is counted; `None`: here.
pub(crate) type Seat = Option<Replica>;

/// News of a replica, for the one that leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The newest of its publications of which now all is told; `None`: more is to come.
    pub through: Option<Epoch>,
    /// How far its proxies have got; `None`: it knows no such proxy of the mesh any more.
    pub proxies: Vec<(ProxyId, Option<Mark>)>,
    /// What objects do there, and in which of its publications that last changed; `None`: it knows none of it.
    pub effects: Vec<(Subject, Option<(Epoch, Version)>)>,
}

/// What another replica has told. It is kept when its stream is cut: what its proxies have acknowledged they have.
#[derive(Debug, Default)]
pub(crate) struct Other {
    pub(crate) is_connected: bool,
    /// What was told before all was told once: of half of it nothing would be true.
    begun: Option<Told>,
    pub(crate) through: Epoch,
    pub(crate) marks: BTreeMap<ProxyId, Mark>,
    pub(crate) effects: BTreeMap<Subject, (Epoch, Version)>,
}

impl Other {
    /// It tells from the beginning.
    pub(crate) fn begin(&mut self) {
        (self.is_connected, self.begun) = (true, Some(Told::default()));
    }

    /// What to take in now.
    pub(crate) fn gather(&mut self, told: Told) -> Option<Told> {
        let Some(mut begun) = self.begun.take() else { return Some(told) };
        begun.through = told.through;
        begun.proxies.extend(told.proxies);
        begun.effects.extend(told.effects);
        if begun.through.is_none() {
            self.begun = Some(begun);
            return None;
        }
        Some(begun)
    }

    /// Nothing more is known of its proxies than that they have what they had.
    pub(crate) fn freeze(&mut self) {
        self.is_connected = false;
        let end = self.through.next();
        for mark in self.marks.values_mut() {
            mark.gate.get_or_insert(end);
        }
    }

    /// How far a proxy of this layer has got, in its epochs.
    pub(crate) fn gate(&self, id: &ProxyId, key: Version) -> Gate {
        self.marks.get(id).map_or(Gate::CLOSED, |mark| Gate::new(mark.gate, mark.key == Some(key)))
    }

    /// In which of its epochs this took effect there; `None`: what it does there is something else.
    pub(crate) fn epoch_of(&self, subject: &Subject, version: Version) -> Option<Epoch> {
        self.effects.get(subject).filter(|(_, told)| *told == version).map(|(epoch, _)| *epoch)
    }
}

/// Where a proxy has been.
#[derive(Debug, Default)]
struct Stays {
    /// Where it is served, the last to say so last: one that it has left may not have noticed.
    here: Vec<Seat>,
    last: Seat,
}

/// Which replica each proxy belongs to: where it last got past its first full set.
#[derive(Debug, Default)]
pub(crate) struct Homes(BTreeMap<ProxyId, Stays>);

impl Homes {
    pub(crate) fn of(&self, id: &ProxyId) -> Seat {
        self.0.get(id).and_then(|stays| stays.last.clone())
    }

    /// A replica serves it, or not.
    pub(crate) fn set(&mut self, id: &ProxyId, seat: &Seat, is_here: bool) {
        let stays = self.0.entry(id.clone()).or_default();
        if !is_here {
            stays.here.retain(|other| other != seat);
        } else if !stays.here.contains(seat) {
            stays.here.push(seat.clone());
        }
        if let Some(newest) = stays.here.last() {
            stays.last = newest.clone();
        }
    }

    pub(crate) fn is_anywhere(&self, id: &ProxyId) -> bool {
        self.0.get(id).is_some_and(|stays| !stays.here.is_empty())
    }

    pub(crate) fn forget(&mut self, id: &ProxyId) {
        self.0.remove(id);
    }

    /// The other replicas that proxies belong to.
    pub(crate) fn owners(&self) -> BTreeSet<Replica> {
        self.0.values().filter_map(|stays| stays.last.clone()).collect()
    }

    /// The proxies that belong to a replica.
    pub(crate) fn at(&self, seat: &Seat) -> Vec<ProxyId> {
        self.0.iter().filter(|(_, stays)| stays.last == *seat).map(|(id, _)| id.clone()).collect()
    }
}

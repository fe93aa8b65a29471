//! What has changed in what proxies have acknowledged: which objects are worth another look.

use std::collections::{BTreeMap, BTreeSet};

use smidge_compiler::ObjectRef;
use smidge_engine::Audience;
use smidge_xds::{Epoch, WorkloadId};

use crate::replicas::Seat;

/// What proxies acknowledge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The roots that vouch for identities.
    TrustBundle,
    /// What an object does.
    Object(ObjectRef),
}

/// What has changed since the last time it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Proxies of a replica got past these epochs of its own, or fell behind them: from, through.
    epochs: BTreeMap<Seat, (Epoch, Epoch)>,
    /// Proxies of these layers came, went, became Ready, went to another replica, or rejected something. Any such news
    /// concern what everyone has.
    workloads: BTreeSet<WorkloadId>,
    /// Of these another replica has told something else.
    subjects: BTreeSet<Subject>,
}

impl News {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.epochs.is_empty() && self.workloads.is_empty() && self.subjects.is_empty()
    }

    pub(crate) fn tell_of(&self, subject: &Subject) -> bool {
        self.subjects.contains(subject)
    }

    /// Whether they concern what took effect at a replica in this epoch of its own.
    pub(crate) fn passed(&self, seat: &Seat, epoch: Epoch) -> bool {
        self.epochs.get(seat).is_some_and(|(from, through)| (*from..=*through).contains(&epoch))
    }

    /// The replicas whose proxies got anywhere.
    pub(crate) fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.epochs.keys()
    }

    pub(crate) fn concern(&self, audience: &Audience) -> bool {
        match audience {
            Audience::Everyone => !self.workloads.is_empty(),
            Audience::Workloads(workloads) => !workloads.is_disjoint(&self.workloads),
            Audience::Nobody => false,
        }
    }

    pub(crate) fn pass(&mut self, seat: &Seat, from: Epoch, through: Epoch) {
        if from <= through {
            let (low, high) = self.epochs.get(seat).copied().unwrap_or((from, through));
            self.epochs.insert(seat.clone(), (low.min(from), high.max(through)));
        }
    }

    pub(crate) fn reach(&mut self, workloads: impl IntoIterator<Item = WorkloadId>) {
        self.workloads.extend(workloads);
    }

    pub(crate) fn note(&mut self, subject: Subject) {
        self.subjects.insert(subject);
    }
}

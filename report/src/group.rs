//! Ready proxies, counted by how far they have got.

use std::collections::BTreeMap;

use smidge_engine::Audience;
use smidge_xds::{Epoch, WorkloadId};

/// A set of proxies, of which only numbers are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    total: u32,
    /// How many have not acknowledged an epoch and what follows it. The others have acknowledged everything.
    behind: BTreeMap<Epoch, u32>,
}

impl Group {
    pub(crate) fn add(&mut self, gate: Option<Epoch>) {
        self.total += 1;
        if let Some(epoch) = gate {
            *self.behind.entry(epoch).or_default() += 1;
        }
    }

    pub(crate) fn take(&mut self, gate: Option<Epoch>) {
        self.total -= 1;
        let Some(epoch) = gate else { return };
        if let Some(count) = self.behind.get_mut(&epoch) {
            *count -= 1;
            if *count == 0 {
                self.behind.remove(&epoch);
            }
        }
    }

    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// How many have acknowledged an epoch, provided that it has been reported on.
    pub(crate) fn acknowledged(&self, epoch: Epoch) -> u32 {
        self.total - self.behind.range(..=epoch).map(|(_, count)| count).sum::<u32>()
    }
}

/// How far a proxy has got: the first epoch that it has not acknowledged; `None`: it has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    /// Of what every proxy has.
    pub(crate) shared: Option<Epoch>,
    /// Of its workload layer: who has joined one has nothing of it, whatever else it has.
    pub(crate) layer: Option<Epoch>,
}

impl Gate {
    /// Of who has acknowledged nothing.
    pub(crate) const CLOSED: Self = Self { shared: Some(Epoch(0)), layer: Some(Epoch(0)) };

    /// `has_joined`: it has acknowledged what put it into its layer.
    pub(crate) fn new(shared: Option<Epoch>, has_joined: bool) -> Self {
        Self { shared, layer: if has_joined { shared } else { Some(Epoch(0)) } }
    }

    /// Of what these have.
    pub(crate) fn of(&self, audience: &Audience) -> Option<Epoch> {
        match audience {
            Audience::Workloads(_) => self.layer,
            Audience::Everyone | Audience::Nobody => self.shared,
        }
    }
}

/// The proxies that belong to one replica.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    everyone: Group,
    workloads: BTreeMap<WorkloadId, Group>,
}

impl Ledger {
    pub(crate) fn add(&mut self, workload: WorkloadId, gate: Gate) {
        self.everyone.add(gate.shared);
        self.workloads.entry(workload).or_default().add(gate.layer);
    }

    pub(crate) fn take(&mut self, workload: WorkloadId, gate: Gate) {
        self.everyone.take(gate.shared);
        if let Some(group) = self.workloads.get_mut(&workload) {
            group.take(gate.layer);
            if group.total() == 0 {
                self.workloads.remove(&workload);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.everyone.total() == 0
    }

    /// Those of an audience.
    pub(crate) fn groups(&self, audience: &Audience) -> Vec<&Group> {
        match audience {
            Audience::Everyone => vec![&self.everyone],
            Audience::Workloads(workloads) => workloads.iter().filter_map(|id| self.workloads.get(id)).collect(),
            Audience::Nobody => Vec::new(),
        }
    }
}

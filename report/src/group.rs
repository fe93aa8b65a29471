//! Ready proxies, counted by how far they have got.

use std::collections::BTreeMap;

use smidge_xds::Epoch;

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

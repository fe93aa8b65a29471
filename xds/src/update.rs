//! What the engine publishes and the server serves: changes to layers of resources, numbered.
//!
//! ```text
//! shared layer ────────────┐
//! workload layer (by id) ──┴→ what a proxy may see; which workload layer is its own: `ProxyChange`
//! ```

use std::{fmt, sync::Arc};

use crate::Change;

/// The number of a publication: grows by one with each, starts again with each process. Zero: before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The number of the publication that follows this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A workload layer: the resources that all pods with one workload key share. Never used again for another one
/// in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId(pub u32);

/// A proxy: `<pod>.<namespace>`, which is its node id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProxyId(Arc<str>);

impl ProxyId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for ProxyId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl std::borrow::Borrow<str> for ProxyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProxyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one publication does. Each resource, layer and proxy occurs in it at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Its number.
    pub epoch: Epoch,
    /// To the layer that every proxy sees.
    pub shared: Vec<Change>,
    /// To the layers of single workloads. A layer is there before a proxy is put into it and gone after its last
    /// proxy was taken out of it, so within an update: `Resources`, then `proxies`, then `Gone`.
    pub workloads: Vec<(WorkloadId, LayerChange)>,
    /// To who sees which layer.
    pub proxies: Vec<ProxyChange>,
}

impl Update {
    /// Whether it does nothing at all, so that there is nothing to publish.
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.workloads.is_empty() && self.proxies.is_empty()
    }
}

/// What a publication does to a workload layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerChange {
    /// These resources change; the layer is new when it was not there before (then they are all of it).
    Resources(Vec<Change>),
    /// The layer is gone: no proxy is in it any more.
    Gone,
}

/// What a publication does to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyChange {
    /// It is known, and this is its workload layer now.
    Set(ProxyId, WorkloadId),
    /// It is not known any more: its pod is gone or not meshed.
    Remove(ProxyId),
}

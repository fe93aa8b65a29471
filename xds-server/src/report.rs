//! What proxies have acknowledged, told as changes: its cost depends on the proxies that moved, not on all of them.

use std::{collections::BTreeMap, sync::Arc};

use smidge_xds::{Epoch, Name, ProxyId, TypeUrl, Version};

/// What changed since the last time it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// The newest publication. Every proxy that is not [behind](ProxyReport::behind_since) has all of it.
    pub epoch: Epoch,
    /// The proxies whose report changed; `None`: it is not known any more.
    pub proxies: Vec<(ProxyId, Option<ProxyReport>)>,
}

/// How one proxy stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyReport {
    /// Whether it has a stream.
    pub connected: bool,
    /// The first publication of which something that it subscribes to is not yet acknowledged; `None` when it has
    /// acknowledged everything. A proxy that is not connected, or has not yet asked for its listeners, is behind
    /// since epoch 0.
    pub behind_since: Option<Epoch>,
    /// What it rejected, in Envoy's own words; it stays on the last form that it accepted.
    pub rejected: Arc<BTreeMap<(TypeUrl, Name), Rejected>>,
}

impl ProxyReport {
    /// Of a proxy that has no stream.
    pub fn disconnected() -> Self {
        Self { connected: false, behind_since: Some(Epoch::default()), rejected: Arc::default() }
    }

    /// The newest publication of which the proxy has acknowledged everything that concerns it. `epoch` is that of the
    /// newest [`Reported`].
    pub fn synced_through(&self, epoch: Epoch) -> Epoch {
        self.behind_since.map_or(epoch, |since| Epoch(since.0.saturating_sub(1)))
    }
}

/// A resource that a proxy rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The version that it rejected; `None` when it rejected the removal.
    pub version: Option<Version>,
    /// What Envoy said.
    pub message: Arc<str>,
}

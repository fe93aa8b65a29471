//! How far the proxies of this replica have got, in its own epochs.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use smidge_engine::Placement;
use smidge_xds::{Epoch, Name, ProxyId, TypeUrl, Version};

use crate::group::Gate;

/// How one proxy stands, as the hub says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The first publication of which it has not acknowledged all that it subscribes to; `None`: it has all. Epoch 0: it
    /// has no stream, or has not acknowledged its first full set on it.
    pub behind_since: Option<Epoch>,
    /// What it has rejected and not had a better form of since, with Envoy's words.
    pub rejected: BTreeMap<(TypeUrl, Name), Arc<str>>,
}

impl Standing {
    /// Whether it has a stream, and has got past its first full set on it.
    pub fn is_here(&self) -> bool {
        self.behind_since != Some(Epoch(0))
    }
}

/// What a proxy has rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Envoy's words.
    pub words: Arc<str>,
    /// What took effect before this epoch the proxy still has, in the form that it accepted last.
    pub from: Epoch,
}

/// How far a proxy has got, in the epochs of the replica that serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whether that replica still serves it.
    pub is_here: bool,
    /// The workload layer of which that holds too, as every process calls it; `None`: it has acknowledged nothing of the one
    /// that it is in.
    pub key: Option<Version>,
    /// The first publication that it has not acknowledged; `None`: it has all.
    pub gate: Option<Epoch>,
    /// What it has rejected.
    pub rejected: BTreeMap<(TypeUrl, Name), Rejection>,
}

#[derive(Debug)]
struct Proxy {
    placement: Option<Placement>,
    is_here: bool,
    /// Never goes back while the proxy is known: what it has acknowledged it has, connected or not.
    behind: Option<Epoch>,
    rejected: BTreeMap<(TypeUrl, Name), Rejection>,
}

impl Default for Proxy {
    fn default() -> Self {
        Self { placement: None, is_here: false, behind: Some(Epoch(0)), rejected: BTreeMap::new() }
    }
}

impl Proxy {
    /// The layer that it is in, if it has acknowledged the publication that put it there. All through `through` were
    /// reported on.
    fn joined(&self, through: Epoch) -> Option<Placement> {
        self.placement.filter(|placement| match self.behind {
            Some(behind) => placement.since < behind,
            None => placement.since <= through,
        })
    }
}

/// The proxies of this replica.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    proxies: BTreeMap<ProxyId, Proxy>,
    /// Proxies that were placed by a publication that is not reported on yet.
    early: BTreeSet<ProxyId>,
    through: Epoch,
}

impl Marks {
    /// The newest publication that the hub has reported on.
    pub(crate) fn through(&self) -> Epoch {
        self.through
    }

    pub(crate) fn placement(&self, id: &ProxyId) -> Option<Placement> {
        self.proxies.get(id)?.placement
    }

    pub(crate) fn gate(&self, id: &ProxyId) -> Gate {
        let gate = |proxy: &Proxy| Gate::new(proxy.behind, proxy.joined(self.through).is_some());
        self.proxies.get(id).map_or(Gate::CLOSED, gate)
    }

    pub(crate) fn rejected(&self, id: &ProxyId) -> Option<&BTreeMap<(TypeUrl, Name), Rejection>> {
        self.proxies.get(id).map(|proxy| &proxy.rejected)
    }

    /// The proxies that are served here.
    pub(crate) fn here(&self) -> impl Iterator<Item = &ProxyId> {
        self.proxies.iter().filter(|(_, proxy)| proxy.is_here).map(|(id, _)| id)
    }

    pub(crate) fn is_here(&self, id: &ProxyId) -> bool {
        self.proxies.get(id).is_some_and(|proxy| proxy.is_here)
    }

    /// How far a proxy has got.
    pub(crate) fn mark(&self, id: &ProxyId) -> Option<Mark> {
        let proxy = self.proxies.get(id)?;
        proxy.placement?;
        let key = proxy.joined(self.through).map(|placement| placement.key);
        Some(Mark { is_here: proxy.is_here, key, gate: proxy.behind, rejected: proxy.rejected.clone() })
    }

    /// Takes in where a proxy stands; `None`: its pod is gone.
    pub(crate) fn place(&mut self, id: &ProxyId, placement: Option<Placement>) {
        if placement.is_some() {
            self.proxies.entry(id.clone()).or_default().placement = placement;
            self.expect(id);
        } else {
            self.proxies.remove(id);
            self.early.remove(id);
        }
    }

    /// Takes in a report of the hub; returns whose mark may be another one now, and whether it has rejected something else.
    pub(crate) fn report(
        &mut self,
        through: Epoch,
        proxies: impl IntoIterator<Item = (ProxyId, Option<Standing>)>,
    ) -> BTreeMap<ProxyId, bool> {
        let reported = mem::replace(&mut self.through, through);
        let mut changed: BTreeMap<_, _> = mem::take(&mut self.early).into_iter().map(|id| (id, false)).collect();
        for (id, standing) in proxies {
            if standing.is_some() || self.placement(&id).is_some() {
                let rejects = self.stand(&id, standing.as_ref(), reported);
                changed.insert(id, rejects);
            } else {
                self.proxies.remove(&id);
                changed.insert(id, false);
            }
        }
        changed.keys().for_each(|id| self.expect(id));
        changed
    }

    /// `reported`: what the report before this one covered. Whether it has rejected something else than before.
    fn stand(&mut self, id: &ProxyId, standing: Option<&Standing>, reported: Epoch) -> bool {
        let proxy = self.proxies.entry(id.clone()).or_default();
        proxy.is_here = standing.is_some_and(Standing::is_here);
        let first = proxy.behind.unwrap_or(reported.next());
        proxy.behind = match standing {
            Some(standing) => standing.behind_since.map(|behind| behind.max(first)),
            None => Some(Epoch(0)),
        };
        let old = mem::take(&mut proxy.rejected);
        let rejection = |(key, words): (&(TypeUrl, Name), &Arc<str>)| {
            let from = old.get(key).map_or(first, |old| old.from);
            (key.clone(), Rejection { words: words.clone(), from })
        };
        proxy.rejected = standing.into_iter().flat_map(|standing| &standing.rejected).map(rejection).collect();
        proxy.rejected != old
    }

    /// Notes whose placement waits for a report.
    fn expect(&mut self, id: &ProxyId) {
        let Some(proxy) = self.proxies.get(id) else { return };
        if proxy.behind.is_none() && proxy.placement.is_some_and(|placement| placement.since > self.through) {
            self.early.insert(id.clone());
        }
    }
}

//! One stream: its types, its place among the layers, its report.

use std::{
    collections::BTreeMap,
    ops::{Index, IndexMut},
    sync::Arc,
};

use smidge_xds::{Epoch, Name, ProxyId, Resource, TypeUrl, WorkloadId};

use super::{Ended, kind::Kind, table::Id};
use crate::{ProxyReport, Rejected};

/// The state of every type.
#[derive(Debug, Default)]
pub(super) struct Kinds([Kind; TypeUrl::ALL.len()]);

impl Index<TypeUrl> for Kinds {
    type Output = Kind;
    fn index(&self, type_url: TypeUrl) -> &Kind {
        &self.0[type_url as usize]
    }
}

impl IndexMut<TypeUrl> for Kinds {
    fn index_mut(&mut self, type_url: TypeUrl) -> &mut Kind {
        &mut self.0[type_url as usize]
    }
}

/// A resource that only this stream's proxy may have; `None` until it is resolved.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) type_url: TypeUrl,
    pub(super) id: Id,
    pub(super) resource: Option<Arc<Resource>>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) proxy: ProxyId,
    pub(super) workload: WorkloadId,
    pub(super) kinds: Kinds,
    pub(super) own: Vec<Own>,
    pub(super) last_nonce: u64,
    pub(super) ended: Option<Ended>,
    /// For how many ticks it has been ended and not closed.
    pub(super) ended_for: u32,
    /// Its task has been woken and has not yet found that there is nothing to do.
    pub(super) awake: bool,
    /// It has once acknowledged everything, listeners included.
    pub(super) served: bool,
    pub(super) rejected: Arc<BTreeMap<(TypeUrl, Name), Rejected>>,
    /// The report as it was last noted.
    noted: ProxyReport,
}

impl Stream {
    pub(super) fn new(proxy: ProxyId, workload: WorkloadId) -> Self {
        Self {
            proxy,
            workload,
            kinds: Kinds::default(),
            own: Vec::new(),
            last_nonce: 0,
            ended: None,
            ended_for: 0,
            awake: true,
            served: false,
            rejected: Arc::default(),
            noted: ProxyReport::disconnected(),
        }
    }

    /// Its own resource of this name.
    pub(super) fn own(&self, type_url: TypeUrl, id: Id) -> Option<&Arc<Resource>> {
        self.own.iter().find(|own| own.type_url == type_url && own.id == id)?.resource.as_ref()
    }

    /// The first publication of which something is not acknowledged. A proxy counts as served once it has asked for
    /// its listeners (Envoy does so after its clusters are warm) and has acknowledged all that it asked for.
    pub(super) fn behind_since(&mut self) -> Option<Epoch> {
        let behind = TypeUrl::ALL.iter().filter_map(|t| self.kinds[*t].behind_since()).min();
        let resolved = self.own.iter().all(|own| own.resource.is_some());
        let idle = behind.is_none() && !self.kinds[TypeUrl::Listener].owes_answer;
        self.served |= idle && resolved && self.kinds[TypeUrl::Listener].asked;
        if self.served { behind } else { Some(Epoch::default()) }
    }

    /// Whether the report has changed since this was last asked.
    pub(super) fn has_moved(&mut self) -> bool {
        let now = self.report();
        let same = now.behind_since == self.noted.behind_since && Arc::ptr_eq(&now.rejected, &self.noted.rejected);
        self.noted = now;
        !same
    }

    pub(super) fn report(&mut self) -> ProxyReport {
        ProxyReport { connected: true, behind_since: self.behind_since(), rejected: self.rejected.clone() }
    }
}

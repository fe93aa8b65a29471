//! What the engine tells the rest: the server what to serve, the report what objects do and whom they concern.

use std::{collections::BTreeSet, sync::Arc};

use smidge_compiler::{Diagnostic, ObjectRef};
use smidge_xds::{Epoch, Name, ProxyId, TypeUrl, Update, Version, WorkloadId};

/// What a batch of events did.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// For the hub. Nothing is to be published when it is empty.
    pub update: Update,
    /// Objects with a status whose [`Effect`] is another one now, or which are gone.
    pub objects: BTreeSet<ObjectRef>,
    /// Proxies whose placement changed; `None`: gone.
    pub placements: Vec<(ProxyId, Option<Placement>)>,
}

/// Where a meshed pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its workload layer.
    pub workload: WorkloadId,
    /// What every process calls that layer.
    pub key: Version,
    /// Whether the pod is Ready: only then do objects wait for it.
    pub ready: bool,
    /// The publication that put it into its layer: with less it has acknowledged nothing of it.
    pub since: Epoch,
}

/// What an object does at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The generation of the object that this is about.
    pub generation: i64,
    /// What there is to say about it, errors first.
    pub diagnostics: Arc<[Diagnostic]>,
    /// The publication in which its effect last changed. It does not move when endpoints come and go.
    pub epoch: Epoch,
    /// What its effect is, as every process calls it: it is another one whenever a change of the effect moves the epoch.
    pub version: Version,
    /// Whom it concerns.
    pub audience: Audience,
}

/// Whose sidecars carry an object's effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every meshed pod: all are clients.
    Everyone,
    /// The pods of these workload layers; empty: there is none yet.
    Workloads(BTreeSet<WorkloadId>),
    /// No sidecar's, whatever pods there are: the object has no effect.
    Nobody,
}

/// A resource that carries an object's effect: whoever rejects it does not have the effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Carrier {
    /// The workload layer it stands in; `None`: the shared layer.
    pub workload: Option<WorkloadId>,
    /// Its type.
    pub type_url: TypeUrl,
    /// Its name.
    pub name: Name,
}

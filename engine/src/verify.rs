//! Compares what is cached with a full compile.

use std::collections::{BTreeMap, BTreeSet};

use smidge_compiler::{Diagnostic, Dirty, ObjectRef, Reach, Snapshot, compile, diagnose, reach};
use smidge_mesh::{Mesh, PodName, ServiceAccountName};

use crate::{
    effects::Effects,
    workloads::{Workloads, account_of},
};

/// What a full compile says. It takes a while in a large mesh, so it may be made elsewhere than in the loop.
#[derive(Debug)]
pub struct Expected {
    pub(crate) mesh: Mesh,
    /// Whether each meshed pod is Ready.
    pub(crate) ready: BTreeMap<PodName, bool>,
    /// Every object with a status.
    pub(crate) objects: BTreeMap<ObjectRef, (Vec<Diagnostic>, Reach)>,
}

impl Expected {
    /// Compiles everything.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mesh = compile(snapshot);
        let is_ready = |pod: &PodName| snapshot.pod(pod).is_some_and(|facts| facts.ready);
        let ready = mesh.workloads.keys().map(|pod| (pod.clone(), is_ready(pod))).collect();
        let objects = snapshot.objects_with_status();
        let judged = |object: &ObjectRef| (object.clone(), (diagnose(snapshot, object), reach(snapshot, object)));
        Self { ready, objects: objects.map(judged).collect(), mesh }
    }
}

/// The keys of which one map says something else than the other.
pub(crate) fn differing<'a, K: Ord + Clone + 'a, V: PartialEq + 'a>(
    cached: impl Iterator<Item = (&'a K, &'a V)>,
    wanted: &'a BTreeMap<K, V>,
) -> BTreeSet<K> {
    let cached: BTreeMap<&K, &V> = cached.collect();
    let stale = cached.iter().filter(|(key, value)| wanted.get(*key) != Some(**value)).map(|(key, _)| *key);
    let missing = wanted.keys().filter(|key| !cached.contains_key(key));
    stale.chain(missing).cloned().collect()
}

/// Pods that sit elsewhere than they should.
pub(crate) fn misplaced(workloads: &Workloads, expected: &Expected) -> BTreeSet<PodName> {
    let mut pods = differing(workloads.pods(), &expected.mesh.workloads);
    let unlike = workloads.ready().filter(|(pod, is_ready)| expected.ready.get(*pod) != Some(is_ready));
    pods.extend(unlike.map(|(pod, _)| pod.clone()));
    pods
}

/// Service accounts whose inbound side is not what it should be.
pub(crate) fn misjudged(workloads: &Workloads, mesh: &Mesh) -> BTreeSet<ServiceAccountName> {
    let cached = workloads.layers().map(|(key, workload)| (key, &workload.inbound));
    differing(cached, &mesh.inbound).iter().map(account_of).collect()
}

/// Objects of which something else is remembered than what is so.
pub(crate) fn misread(effects: &Effects, expected: &Expected) -> BTreeSet<ObjectRef> {
    let is_stale = |object: &ObjectRef| match (effects.state(object), expected.objects.get(object)) {
        (Some(state), Some((diagnostics, reach))) => *state.diagnostics != **diagnostics || state.reach != *reach,
        _ => true,
    };
    let known = effects.objects().chain(expected.objects.keys());
    known.filter(|object| is_stale(object)).cloned().collect()
}

/// What was found, less what may have changed since.
pub(crate) fn unchanged(mut found: Dirty, since: &Dirty) -> Dirty {
    found.services.retain(|key| !since.services.contains(key));
    found.endpoints.retain(|key| !since.endpoints.contains(key));
    found.peers.retain(|key| !since.peers.contains(key));
    found.workloads.retain(|key| !since.workloads.contains(key));
    // Whoever came may be the first of its layer, and whoever went the last.
    found.inbound.retain(|key| since.workloads.is_empty() && !since.inbound.contains(key));
    found.objects.retain(|key| !since.objects.contains(key));
    found
}

/// The keys by name.
pub(crate) fn describe(dirty: &Dirty) -> Vec<String> {
    fn named<T: std::fmt::Display>(what: &str, keys: &BTreeSet<T>) -> Vec<String> {
        keys.iter().map(|key| format!("{what} {key}")).collect()
    }
    let values = [
        named("service", &dirty.services),
        named("endpoints", &dirty.endpoints),
        named("peers", &dirty.peers),
        named("pod", &dirty.workloads),
        named("inbound", &dirty.inbound),
        named("object", &dirty.objects),
    ];
    values.concat()
}

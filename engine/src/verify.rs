//! Compares what is cached with a full compile.

use std::collections::{BTreeMap, BTreeSet};

use smidge_compiler::{Dirty, ObjectRef, Snapshot, diagnose, reach};
use smidge_mesh::{Mesh, PodName, ServiceAccountName};

use crate::{
    effects::Effects,
    stages,
    workloads::{Workloads, account_of},
};

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
pub(crate) fn misplaced(workloads: &Workloads, mesh: &Mesh, snapshot: &Snapshot) -> BTreeSet<PodName> {
    let mut pods = differing(workloads.pods(), &mesh.workloads);
    let ready = |pod: &PodName| stages::seat(snapshot, pod).map(|seat| seat.ready);
    pods.extend(workloads.ready().filter(|(pod, is)| ready(pod) != Some(*is)).map(|(pod, _)| pod.clone()));
    pods
}

/// Service accounts whose inbound side is not what it should be.
pub(crate) fn misjudged(workloads: &Workloads, mesh: &Mesh) -> BTreeSet<ServiceAccountName> {
    let cached = workloads.layers().map(|(key, workload)| (key, &workload.inbound));
    differing(cached, &mesh.inbound).iter().map(account_of).collect()
}

/// Objects of which something else is remembered than what is so.
pub(crate) fn misread(effects: &Effects, snapshot: &Snapshot) -> BTreeSet<ObjectRef> {
    let is_stale = |object: &ObjectRef| match effects.state(object) {
        Some(state) => *state.diagnostics != *diagnose(snapshot, object) || state.reach != reach(snapshot, object),
        None => true,
    };
    let known = effects.objects().cloned().chain(snapshot.objects_with_status().cloned());
    known.filter(is_stale).collect()
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

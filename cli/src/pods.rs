//! What the mesh would say of the pods in manifests when they are created: manifests in, remarks out. The judge is the
//! webhook's own, so that lint says what the cluster would.

use std::{collections::BTreeMap, sync::Arc};

use smidge_compiler::{ObjectRef, Severity, Snapshot, manifest::Authored};
use smidge_injector::{INJECT, Namespace, Outcome, Settings, Verdict, asks_to_join, inject, misspelt};
use smidge_operator::standalone::{Manifests, whole_pod};

/// Something to be said of a pod, or of what makes pods.
pub(crate) struct Remark {
    pub(crate) object: ObjectRef,
    /// Where in the object.
    pub(crate) field: String,
    pub(crate) severity: Severity,
    pub(crate) message: String,
}

/// What is to be said of each pod: of keys that mean nothing wherever it is, the rest where it is to join the mesh.
pub(crate) fn remarks(manifests: &Manifests, snapshot: &Snapshot) -> Vec<Remark> {
    let config = snapshot.config();
    let settings = Settings::default().chosen(&config.sidecar, config.permit_proxy_bypass, false);
    manifests.pods().flat_map(|(object, pod)| of_pod(&settings, snapshot, &object, pod)).collect()
}

fn of_pod(settings: &Settings, snapshot: &Snapshot, object: &ObjectRef, pod: &Authored) -> Vec<Remark> {
    let remark =
        |field: &str, severity, message| Remark { object: object.clone(), field: pod.place(field), severity, message };
    let keys = misspelt(&pod.metadata);
    let labels = labels(snapshot, &object.namespace, pod);
    let mut judged = labels.map(|labels| judged(settings, &object.namespace, &labels, pod)).unwrap_or_default();
    judged.retain(|(_, message)| !keys.iter().any(|key| key.message == *message));
    let judged = judged.into_iter().map(|(severity, message)| remark("spec", severity, message));
    let keys = keys.iter().map(|key| remark(&key.field, Severity::Warning, key.message.clone()));
    keys.chain(judged).collect()
}

/// Those labels of a pod's namespace by which it joins the mesh, or thinks that it does; `None`: it is not to join. What Pod
/// Security says is told of the namespace itself.
fn labels(snapshot: &Snapshot, namespace: &Arc<str>, pod: &Authored) -> Option<BTreeMap<String, String>> {
    let asks = asks_to_join(&pod.metadata);
    // Of a namespace that is not among the files its pods know best.
    let is_meshed = snapshot.namespace(namespace).map_or(asks, |namespace| namespace.meshed);
    let label = is_meshed.then(|| (INJECT.to_owned(), "enabled".to_owned()));
    (is_meshed || asks).then(|| label.into_iter().collect())
}

fn judged(
    settings: &Settings,
    name: &str,
    labels: &BTreeMap<String, String>,
    pod: &Authored,
) -> Vec<(Severity, String)> {
    let pod = match whole_pod(pod) {
        Ok(pod) => pod,
        Err(error) => {
            return vec![(Severity::Error, format!("it cannot be read as a pod, so it is not judged: {error}"))];
        }
    };
    let Outcome { verdict, warnings } = inject(settings, Namespace { name, labels }, &pod);
    let refused = match verdict {
        Verdict::Refused(why) => Some((Severity::Error, format!("the mesh refuses the pod: {why}"))),
        Verdict::Unchanged | Verdict::Patched(_) => None,
    };
    refused.into_iter().chain(warnings.into_iter().map(|warning| (Severity::Warning, warning))).collect()
}

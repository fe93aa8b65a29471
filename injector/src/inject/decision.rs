//! Whether a pod is one of the mesh.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::core::v1::{Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::Namespace;
use crate::{INJECT, PROXY, Settings};

/// Whether a pod gets a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It does, with what is to be said of it.
    Inject(Option<String>),
    /// It does not, and nobody expects it to.
    Leave,
    /// It does not, which its author should know.
    LeaveSaying(String),
}

/// What the kubelet writes on the API server's picture of a pod that it runs from a file: changing the picture changes nothing.
const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) fn decide(settings: &Settings, namespace: Namespace<'_>, pod: &Pod, spec: &PodSpec) -> Decision {
    if is_exempt(settings, namespace.name) || is_mirror(pod) {
        return Decision::Leave;
    }
    let wish = wish(&pod.metadata);
    if namespace.labels.get(INJECT).map(String::as_str) != Some("enabled") {
        return match wish {
            Wish::Enabled => saying(format!(
                "not injected: {INJECT}: enabled on a pod counts only in a namespace with that label, which {} has not",
                namespace.name
            )),
            _ => Decision::Leave,
        };
    }
    match wish {
        Wish::Disabled => Decision::Leave,
        Wish::Unknown(text) => inject(
            spec,
            Some(format!("{INJECT} is {text:?}, neither enabled nor disabled: the namespace's label holds")),
        ),
        Wish::Enabled | Wish::None => inject(spec, None),
    }
}

/// Is it a namespace whose pods are never injected, whatever its labels?
pub fn is_exempt(settings: &Settings, namespace: &str) -> bool {
    ["kube-system", &settings.control_plane].contains(&namespace)
}

fn inject(spec: &PodSpec, remark: Option<String>) -> Decision {
    if spec.host_network == Some(true) {
        return saying("not injected: the pod uses its node's network (hostNetwork)".to_owned());
    }
    if is_windows(spec) {
        return saying("not injected: sidecars run on Linux only, and the pod asks for Windows".to_owned());
    }
    if spec.containers.iter().any(|container| container.name == PROXY) {
        return saying(format!("not injected: the pod has a container {PROXY} of its own"));
    }
    // The API server refuses such a pod; what it meant is not for us to guess.
    if has_namesakes(spec) { Decision::Leave } else { Decision::Inject(remark) }
}

fn has_namesakes(spec: &PodSpec) -> bool {
    let mut names = BTreeSet::new();
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(|container| !names.insert(&container.name))
}

fn saying(what: String) -> Decision {
    Decision::LeaveSaying(what)
}

/// What the pod says of itself, by label or annotation.
enum Wish {
    None,
    Enabled,
    Disabled,
    Unknown(String),
}

/// Whether a pod says of itself that it is to be one of the mesh.
pub fn asks_to_join(pod: &ObjectMeta) -> bool {
    matches!(wish(pod), Wish::Enabled)
}

/// Who says no, by either, stays out.
fn wish(pod: &ObjectMeta) -> Wish {
    let maps = [&pod.labels, &pod.annotations];
    let said: Vec<&str> = maps.into_iter().flatten().filter_map(|map| map.get(INJECT)).map(String::as_str).collect();
    let unknown = said.iter().find(|text| !["enabled", "disabled"].contains(text));
    match (said.contains(&"disabled"), unknown, said.is_empty()) {
        (true, _, _) => Wish::Disabled,
        (_, Some(text), _) => Wish::Unknown(text.chars().take(40).collect()),
        (_, None, false) => Wish::Enabled,
        (_, None, true) => Wish::None,
    }
}

fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR))
}

fn is_windows(spec: &PodSpec) -> bool {
    let selected = spec.node_selector.as_ref().and_then(|selector| selector.get("kubernetes.io/os"));
    let named = spec.os.as_ref().map(|os| &os.name);
    selected.into_iter().chain(named).any(|os| os == "windows")
}

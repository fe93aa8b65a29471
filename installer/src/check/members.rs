//! Are the namespaces and pods of the mesh what their owners think?

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};

use smidge_crds::smidge::{MODE, MTLS};
use smidge_injector::{INJECT, PROXY, PodSecurityMode, TRUST_CONFIG_MAP, misspelt, pod_security};

use super::{
    Finding,
    restart::{advice, maker},
    some,
};

/// The labels of namespaces that mean something, and their values.
const MEANINGS: &[(&str, &[&str])] =
    &[(INJECT, &["enabled", "disabled"]), (MODE, &["deny", "audit", "allow"]), (MTLS, &["strict", "permissive"])];

pub(super) async fn namespaces(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let all: Api<Namespace> = Api::all(client.clone());
    let meshed = all.list(&ListParams::default().labels(&format!("{INJECT}=enabled"))).await?;
    let typos = meaningless(client).await?;
    let staying: Vec<&Namespace> = meshed.iter().filter(|of| of.metadata.deletion_timestamp.is_none()).collect();
    if staying.is_empty() {
        let why = format!("label one: kubectl label namespace <name> {INJECT}=enabled");
        return Ok([typos, vec![Finding::doubtful("no namespace is in the mesh", why)]].concat());
    }
    let of_each = try_join_all(staying.into_iter().map(|namespace| one(client, namespace))).await?;
    Ok([typos, of_each.concat()].concat())
}

/// Labels of namespaces whose values mean nothing: whoever wrote them thinks that they do.
async fn meaningless(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let all: Api<Namespace> = Api::all(client.clone());
    let mut findings = Vec::new();
    for (label, values) in MEANINGS {
        let other = ListParams::default().labels(&format!("{label},{label} notin ({})", values.join(",")));
        for namespace in all.list(&other).await? {
            let value = namespace.labels().get(*label).cloned().unwrap_or_default();
            let why = format!("it is taken for none: write one of {}", values.join(", "));
            findings.push(Finding::bad(format!("{label}={value} of namespace {}", namespace.name_any()), why));
        }
    }
    Ok(findings)
}

async fn one(client: &Client, namespace: &Namespace) -> Result<Vec<Finding>, kube::Error> {
    let name = namespace.name_any();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &name);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &name);
    let everything = ListParams::default();
    let (trust, pods) = futures::try_join!(maps.get_opt(TRUST_CONFIG_MAP), pods.list(&everything))?;
    let mut findings = vec![trusted(&name, trust.is_some()), joined(&name, &pods.items)];
    findings.extend(admitted(namespace));
    findings.extend(ready(&name, &pods.items));
    findings.extend(spelt(&name, &pods.items));
    Ok(findings)
}

/// With no control plane: pods that still have sidecars, which nobody serves.
pub(super) async fn sidecars(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let all: Api<Pod> = Api::all(client.clone());
    let mut pods: BTreeMap<String, Vec<Pod>> = BTreeMap::new();
    for pod in all.list(&ListParams::default()).await?.items {
        if is_meshed(&pod) && !is_over(&pod) {
            pods.entry(pod.namespace().unwrap_or_default()).or_default().push(pod);
        }
    }
    let told = |(namespace, pods): (String, Vec<Pod>)| {
        let pods: Vec<&Pod> = pods.iter().collect();
        let names: Vec<String> = pods.iter().map(|pod| pod.name_any()).collect();
        let why = format!(
            "{} go on with what they have until their certificates end: {}",
            some(&names),
            advice(&namespace, &pods)
        );
        Finding::doubtful(format!("pods of {namespace} still have sidecars"), why)
    };
    Ok(pods.into_iter().map(told).collect())
}

fn trusted(namespace: &str, is_there: bool) -> Finding {
    Finding::if_so(is_there, format!("namespace {namespace} has the mesh's roots"), || {
        format!("ConfigMap {TRUST_CONFIG_MAP} is missing, so new pods wait: the leader writes it, see its log")
    })
}

fn joined(namespace: &str, pods: &[Pod]) -> Finding {
    let outside: Vec<&Pod> = pods.iter().filter(|pod| should_join(pod) && !is_meshed(pod)).collect();
    let what = format!("every pod of {namespace} that should have a sidecar has one");
    if outside.is_empty() {
        return Finding::good(what);
    }
    let names: Vec<String> = outside.iter().map(|pod| pod.name_any()).collect();
    Finding::doubtful(what, format!("{} were created before: {}", some(&names), advice(namespace, &outside)))
}

fn ready(namespace: &str, pods: &[Pod]) -> Option<Finding> {
    let waiting: Vec<String> =
        pods.iter().filter(|pod| is_meshed(pod) && !is_over(pod) && !is_started(pod)).map(Pod::name_any).collect();
    let why = || format!("{} wait: see kubectl -n {namespace} logs <pod> -c {PROXY}", some(&waiting));
    (!waiting.is_empty()).then(|| Finding::doubtful(format!("every sidecar of {namespace} has started"), why()))
}

/// The webhook warns of keys that mean nothing whoever creates the pods, and for most that is a controller, which tells nobody.
fn spelt(namespace: &str, pods: &[Pod]) -> Option<Finding> {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !is_over(pod)) {
        for key in misspelt(&pod.metadata) {
            told.entry(key.message).or_default().insert(maker(pod));
        }
    }
    let line = |(message, makers): (String, BTreeSet<String>)| {
        let makers: Vec<String> = makers.into_iter().collect();
        format!("{}: {message}", some(&makers))
    };
    let lines: Vec<String> = told.into_iter().map(line).collect();
    let what = format!("every key smidge.dev/… of pods of {namespace} means something");
    (!lines.is_empty()).then(|| {
        Finding::doubtful(what, format!("{} (correct it there; of what makes pods, in their template)", some(&lines)))
    })
}

/// Pod Security may refuse the init container that sets the redirect.
fn admitted(namespace: &Namespace) -> Option<Finding> {
    let name = namespace.name_any();
    let conflict = pod_security(smidge_injector::Namespace { name: &name, labels: namespace.labels() })?;
    Some(match conflict.mode {
        PodSecurityMode::Enforce => Finding::bad(format!("pods may be injected in {name}"), conflict.to_string()),
        PodSecurityMode::Warn | PodSecurityMode::Audit => {
            Finding::doubtful(format!("Pod Security is silent on pods in {name}"), conflict.to_string())
        }
    })
}

fn should_join(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let on_host = spec.is_some_and(|spec| spec.host_network == Some(true));
    let says = |value: Option<&String>| value.is_some_and(|value| value == "disabled");
    !on_host && !is_over(pod) && !says(pod.labels().get(INJECT)) && !says(pod.annotations().get(INJECT))
}

fn is_meshed(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    containers.into_iter().any(|container| container.name == PROXY)
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_started(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    statuses.into_iter().any(|status| status.name == PROXY && status.started == Some(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, key: &str, phase: &str) -> Pod {
        let owner =
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7f9", "uid": "u", "controller": true});
        serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "labels": {"pod-template-hash": "7f9"},
                "annotations": {key: "25"},
                "ownerReferences": [owner],
            },
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn a_key_that_means_nothing_is_told_once_with_who_makes_the_pods() {
        let wrong = "smidge.dev/exclude-outbound-port";
        let pods = [pod("web-7f9-a", wrong, "Running"), pod("web-7f9-b", wrong, "Running")];
        assert_eq!(
            spelt("shop", &pods).unwrap().to_string(),
            "! every key smidge.dev/… of pods of shop means something: deployment/web: annotation \
             smidge.dev/exclude-outbound-port is unknown and means nothing: do you mean \
             smidge.dev/exclude-outbound-ports? (correct it there; of what makes pods, in their template)"
        );
    }

    #[test]
    fn pods_that_are_rightly_spelt_or_over_are_not_told() {
        let right = pod("web-7f9-a", "smidge.dev/exclude-outbound-ports", "Running");
        assert_eq!(spelt("shop", &[right, pod("web-7f9-b", "smidge.dev/nonsense", "Succeeded")]), None);
    }
}

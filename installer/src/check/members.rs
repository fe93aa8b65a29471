//! Are the namespaces and pods of the mesh what their owners think?

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::Finding;

const LABEL: &str = "smidge.dev/inject";
const SIDECAR: &str = "smidge-proxy";
const TRUST: &str = "smidge-trust";
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// The labels of namespaces that mean something, and their values.
const MEANINGS: &[(&str, &[&str])] = &[
    (LABEL, &["enabled", "disabled"]),
    ("smidge.dev/mode", &["deny", "audit", "allow"]),
    ("smidge.dev/mtls", &["strict", "permissive"]),
];

/// How many names a line holds.
const SHOWN: usize = 3;

pub(super) async fn namespaces(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let all: Api<Namespace> = Api::all(client.clone());
    let meshed = all.list(&ListParams::default().labels(&format!("{LABEL}=enabled"))).await?;
    let typos = misspelt(client).await?;
    let staying: Vec<&Namespace> = meshed.iter().filter(|of| of.metadata.deletion_timestamp.is_none()).collect();
    if staying.is_empty() {
        let why = format!("label one: kubectl label namespace <name> {LABEL}=enabled");
        return Ok([typos, vec![Finding::doubtful("no namespace is in the mesh", why)]].concat());
    }
    let of_each = try_join_all(staying.into_iter().map(|namespace| one(client, namespace))).await?;
    Ok([typos, of_each.concat()].concat())
}

/// Labels of namespaces whose values mean nothing: whoever wrote them thinks that they do.
async fn misspelt(client: &Client) -> Result<Vec<Finding>, kube::Error> {
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
    let (trust, pods) = futures::try_join!(maps.get_opt(TRUST), pods.list(&everything))?;
    let mut findings = vec![trusted(&name, trust.is_some()), joined(&name, &pods.items)];
    findings.extend(admitted(namespace));
    findings.extend(ready(&name, &pods.items));
    Ok(findings)
}

fn trusted(namespace: &str, is_there: bool) -> Finding {
    Finding::if_so(is_there, format!("namespace {namespace} has the mesh's roots"), || {
        format!("ConfigMap {TRUST} is missing, so new pods wait: the leader writes it, see its log")
    })
}

fn joined(namespace: &str, pods: &[Pod]) -> Finding {
    let outside: Vec<String> =
        pods.iter().filter(|pod| should_join(pod) && !is_meshed(pod)).map(Pod::name_any).collect();
    let what = format!("every pod of {namespace} that should have a sidecar has one");
    if outside.is_empty() {
        return Finding::good(what);
    }
    let why = format!(
        "{} were created before: restart them (kubectl -n {namespace} rollout restart deployment,statefulset,daemonset)",
        some(&outside)
    );
    Finding::doubtful(what, why)
}

fn ready(namespace: &str, pods: &[Pod]) -> Option<Finding> {
    let waiting: Vec<String> =
        pods.iter().filter(|pod| is_meshed(pod) && !is_over(pod) && !is_started(pod)).map(Pod::name_any).collect();
    let why = || format!("{} wait: see kubectl -n {namespace} logs <pod> -c {SIDECAR}", some(&waiting));
    (!waiting.is_empty()).then(|| Finding::doubtful(format!("every sidecar of {namespace} has started"), why()))
}

/// Pod Security's levels other than `privileged` refuse the init container that sets the redirect.
fn admitted(namespace: &Namespace) -> Option<Finding> {
    let level = namespace.labels().get(POD_SECURITY).filter(|level| level.as_str() != "privileged")?;
    let name = namespace.name_any();
    let why = format!(
        "{POD_SECURITY}={level} refuses the init container with NET_ADMIN: kubectl label --overwrite namespace {name} \
         {POD_SECURITY}=privileged, and let another policy judge the app's own containers"
    );
    Some(Finding::bad(format!("pods may be injected in {name}"), why))
}

fn should_join(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let on_host = spec.is_some_and(|spec| spec.host_network == Some(true));
    let says = |value: Option<&String>| value.is_some_and(|value| value == "disabled");
    !on_host && !is_over(pod) && !says(pod.labels().get(LABEL)) && !says(pod.annotations().get(LABEL))
}

fn is_meshed(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    containers.into_iter().any(|container| container.name == SIDECAR)
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_started(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    statuses.into_iter().any(|status| status.name == SIDECAR && status.started == Some(true))
}

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

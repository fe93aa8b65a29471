//! What a report is made of: questions to the API server, the replicas and some Envoys in, files of the archive out. What cannot
//! be had is told, and the rest goes on.

use anstream::adapter::strip_str;
use anyhow::Context;
use k8s_openapi::{
    api::core::v1::Pod, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Crd,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, LogParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use smidge_injector::PROXY;
use smidge_installer::check::check;
use smidge_operator::custody::{INJECTOR, VALIDATOR};

use super::{
    Archive,
    redaction::{redact, without_queries},
};
use crate::{
    args::reads::{BugReport, ProxyPod},
    proxy::Envoy,
    status::{self, Report, State},
};

/// How much of each log.
const LINES: i64 = 5000;
/// Of how many proxies that are not as they should be.
const PROXIES: usize = 10;
/// How many objects of a kind.
const OBJECTS: u32 = 5000;

/// What of the control plane's namespace: group, version, kind. No Secrets, no ConfigMaps.
const OWN: [(&str, &str, &str); 6] = [
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "ReplicaSet"),
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "Event"),
    ("coordination.k8s.io", "v1", "Lease"),
];

pub(super) async fn all(client: &Client, args: &BugReport, archive: &mut Archive) {
    eprintln!("… versions and findings");
    archive.add_or_tell("versions.yaml", versions(client).await);
    archive.add_or_tell("check.txt", findings(client).await);
    archive.add_or_tell("kinds.yaml", kinds(client).await);
    eprintln!("… objects");
    for (group, version, kind) in OWN {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api = Api::namespaced_with(client.clone(), &args.control_plane, &resource);
        archive.add_or_tell(&format!("control-plane/{kind}.yaml"), listed(&api).await);
    }
    for (kind, name) in [("MutatingWebhookConfiguration", INJECTOR), ("ValidatingWebhookConfiguration", VALIDATOR)] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        archive.add_or_tell(&format!("control-plane/{kind}.yaml"), one(&api, name).await);
    }
    for crd in smidge_crds::all() {
        archive.add_or_tell(&format!("objects/{}.yaml", crd.spec.names.kind), custom(client, &crd).await);
    }
    eprintln!("… logs and proxies");
    logs(client, args, archive).await;
    match status::report(client, &args.control_plane, None, args.timeout).await {
        Ok(report) => proxies(client, args, &report, archive).await,
        Err(error) => archive.failures.push(format!("status: {error:#}")),
    }
}

async fn versions(client: &Client) -> anyhow::Result<String> {
    let server = client.apiserver_version().await?;
    let versions =
        json!({"smidge": env!("CARGO_PKG_VERSION"), "kubernetes": server.git_version, "platform": server.platform});
    Ok(serde_yaml::to_string(&versions)?)
}

async fn findings(client: &Client) -> anyhow::Result<String> {
    let findings = check(client).await?;
    Ok(findings.iter().map(|finding| format!("{finding}\n")).collect())
}

/// Of our CRDs, which versions are served and stored.
async fn kinds(client: &Client) -> anyhow::Result<String> {
    let crds: Api<Crd> = Api::all(client.clone());
    let mut kinds = Vec::new();
    for ours in smidge_crds::all() {
        let name = ours.name_any();
        let Some(theirs) = crds.get_opt(&name).await? else {
            kinds.push(json!({"name": name, "installed": false}));
            continue;
        };
        let versions = theirs.spec.versions.iter();
        let versions: Vec<Value> =
            versions.map(|it| json!({"name": it.name, "served": it.served, "storage": it.storage})).collect();
        let stored = theirs.status.as_ref().and_then(|status| status.stored_versions.clone());
        kinds.push(
            json!({"name": name, "versions": versions, "storedVersions": stored, "conversion": theirs.spec.conversion}),
        );
    }
    Ok(serde_yaml::to_string(&kinds)?)
}

async fn custom(client: &Client, crd: &Crd) -> anyhow::Result<String> {
    let stored = crd.spec.versions.iter().find(|version| version.storage).context("no storage version")?;
    let kind = GroupVersionKind::gvk(&crd.spec.group, &stored.name, &crd.spec.names.kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, &crd.spec.names.plural);
    listed(&Api::all_with(client.clone(), &resource)).await
}

async fn listed(api: &Api<DynamicObject>) -> anyhow::Result<String> {
    let objects = api.list(&ListParams::default().limit(OBJECTS)).await?;
    let objects: Vec<Value> = objects.items.into_iter().map(shown).collect::<Result<_, _>>()?;
    Ok(serde_yaml::to_string(&objects)?)
}

async fn one(api: &Api<DynamicObject>, name: &str) -> anyhow::Result<String> {
    Ok(serde_yaml::to_string(&shown(api.get(name).await?)?)?)
}

fn shown(object: DynamicObject) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(object)?;
    redact(&mut value);
    Ok(value)
}

/// Of each replica, and of the process in it before this one.
async fn logs(client: &Client, args: &BugReport, archive: &mut Archive) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &args.control_plane);
    let replicas = match pods.list(&ListParams::default()).await {
        Ok(replicas) => replicas,
        Err(error) => return archive.failures.push(format!("logs: {error}")),
    };
    for replica in replicas {
        let name = replica.name_any();
        let parameters = LogParams { tail_lines: Some(LINES), ..LogParams::default() };
        archive.add_or_tell(&format!("logs/{name}.log"), log(&pods, &name, &parameters).await);
        let statuses = replica.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        if statuses.into_iter().any(|status| status.restart_count > 0) {
            let before = LogParams { previous: true, ..parameters };
            archive.add_or_tell(&format!("logs/{name}.previous.log"), log(&pods, &name, &before).await);
        }
    }
}

/// The state of all, and of some that are not as they should be what they have and say.
async fn proxies(client: &Client, args: &BugReport, report: &Report, archive: &mut Archive) {
    archive.add_or_tell("status.yaml", serde_yaml::to_string(report));
    archive.add("status.txt", &strip_str(&status::text(report, &args.control_plane)).to_string());
    let ill = report.proxies.iter().filter(|row| !matches!(row.state, State::Synced | State::Stale));
    for row in ill.take(PROXIES) {
        let (namespace, pod) = (Some(row.namespace.clone()), row.pod.clone());
        let of = ProxyPod { pod, namespace, timeout: args.timeout };
        let place = format!("proxies/{}.{}", row.pod, row.namespace);
        archive.add_or_tell(&format!("{place}.config.json"), dump(client, &of).await);
        let pods: Api<Pod> = Api::namespaced(client.clone(), &row.namespace);
        let container = Some(PROXY.to_owned());
        let parameters = LogParams { container, tail_lines: Some(LINES), ..LogParams::default() };
        archive.add_or_tell(&format!("{place}.log"), log(&pods, &row.pod, &parameters).await);
    }
}

async fn log(pods: &Api<Pod>, name: &str, parameters: &LogParams) -> kube::Result<String> {
    Ok(without_queries(&pods.logs(name, parameters).await?))
}

async fn dump(client: &Client, of: &ProxyPod) -> anyhow::Result<String> {
    let mut dump = Envoy::of(client, of).await?.dump().await?.value().clone();
    redact(&mut dump);
    Ok(serde_json::to_string_pretty(&dump)?)
}

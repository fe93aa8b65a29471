//! `smidge diff`: what the objects of the cluster say that a pod's Envoy should have, by the control plane's own engine, against
//! what it has, by its configuration dump.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write as _,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use serde::Serialize;
use serde_json::Value;
use smidge_compiler::Event;
use smidge_engine::Engine;
use smidge_injector::{TRUST_BUNDLE, TRUST_CONFIG_MAP};
use smidge_mesh::TrustBundle;
use smidge_operator::{Scope, cluster::connect, list};
use smidge_xds::{Change, LayerChange, Resource, TypeUrl};

use crate::{
    args::reads::{Of, Shown},
    columns::plain,
    output::write,
    proxy::{
        Envoy,
        dump::{Dump, Entry, State},
    },
    seen::runtime,
};

/// After how long it looks again where something differs: it may have been on its way.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How many differing fields of a resource are shown.
const FIELDS: usize = 8;
/// How much of a field's value is shown.
const LONGEST: usize = 120;
/// Secrets that are a proxy's own: its certificate, and what it reads from files to reach the control plane.
const OWN: [&str; 3] = ["workload", "xds-ca", "xds-token"];

/// What should be there.
type Wanted = BTreeMap<(TypeUrl, String), Arc<Resource>>;

/// How what should be there compares with what is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Comparison {
    namespace: String,
    pod: String,
    in_step: bool,
    /// How many resources were compared.
    resources: usize,
    differences: Vec<Difference>,
}

/// A resource that is not as it should be.
#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    what: What,
    /// What differs in it, the first few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum What {
    /// Envoy lacks it.
    Missing,
    /// Envoy has it, and should not.
    Extra,
    /// Envoy has another form of it.
    Different,
}

/// A field in both; null where it is absent.
#[derive(Debug, PartialEq, Serialize)]
struct Field {
    path: String,
    wanted: Value,
    has: Value,
}

pub(crate) fn run(args: &Of) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let (client, _) = connect().await?;
        let envoy = Envoy::of(&client, &args.pod).await?;
        let mut comparison = look(&client, &envoy).await?;
        if !comparison.in_step {
            tokio::time::sleep(LOOK_AGAIN).await;
            comparison = look(&client, &envoy).await?;
        }
        match args.output {
            Shown::Table => std::io::stdout().lock().write_all(text(&comparison).as_bytes())?,
            form => write(&comparison, form)?,
        }
        Ok(if comparison.in_step { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

async fn look(client: &Client, envoy: &Envoy<'_>) -> anyhow::Result<Comparison> {
    let (namespace, pod) = (envoy.namespace.clone(), envoy.of.pod.clone());
    let wanted = wanted(client, &namespace, &pod).await?;
    let dump = envoy.dump().await?;
    let differences = compare(&wanted, &dump)?;
    Ok(Comparison { namespace, pod, in_step: differences.is_empty(), resources: wanted.len(), differences })
}

/// All that a proxy may see of what the objects say.
async fn wanted(client: &Client, namespace: &str, pod: &str) -> anyhow::Result<Wanted> {
    let listing = list(client, &Scope::Everything).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let what = || format!("cannot read ConfigMap {TRUST_CONFIG_MAP} in {namespace}");
    let map = maps.get_opt(TRUST_CONFIG_MAP).await.with_context(what)?;
    let roots = map.and_then(|map| map.data?.remove(TRUST_BUNDLE));
    let roots = roots
        .with_context(|| format!("ConfigMap {TRUST_CONFIG_MAP} in {namespace} is not there: smidge check says why"))?;
    let facts = listing.facts.into_iter().map(Event::Apply);
    let wanted = resources(facts.chain([Event::TrustBundle(TrustBundle(roots.into()))]), &format!("{pod}.{namespace}"));
    wanted.with_context(|| {
        format!("{namespace}/{pod} is no pod of the mesh: its namespace lacks the label smidge.dev/inject=enabled, or it is over")
    })
}

/// What the control plane would serve; `None`: to no such proxy.
fn resources(events: impl IntoIterator<Item = Event>, proxy: &str) -> Option<Wanted> {
    let step = Engine::default().apply(events);
    let placed = step.placements.iter().find(|(id, _)| id.as_str() == proxy);
    let workload = placed?.1?.workload;
    let own = step.update.workloads.iter().filter(|(id, _)| *id == workload).flat_map(|(_, change)| match change {
        LayerChange::Resources(changes) => changes.as_slice(),
        LayerChange::Gone => &[],
    });
    let set = step.update.shared.iter().chain(own).filter_map(|change| match change {
        Change::Set(resource) => Some(((resource.type_url, resource.name.to_string()), resource.clone())),
        Change::Remove(..) => None,
    });
    Some(set.collect())
}

fn compare(wanted: &Wanted, dump: &Dump) -> anyhow::Result<Vec<Difference>> {
    let named = names(wanted)?;
    let mut differences = Vec::new();
    for kind in TypeUrl::ALL {
        let has = newest(dump, kind);
        let is_asked_for = |name: &str| matches!(kind, TypeUrl::Cluster | TypeUrl::Listener) || named.contains(name);
        let of_kind = wanted.iter().filter(|((of, name), _)| *of == kind && is_asked_for(name));
        for ((_, name), resource) in of_kind {
            let (what, fields) = match has.get(name.as_str()) {
                None => (What::Missing, Vec::new()),
                Some(entry) => (What::Different, differing(resource, entry)?),
            };
            if what == What::Missing || !fields.is_empty() {
                differences.push(Difference { kind: kind.to_string(), name: name.clone(), what, fields });
            }
        }
        let is_extra = |name: &&&str| {
            let is_own = kind == TypeUrl::Secret && OWN.contains(name);
            // It tells the endpoints of all clusters, also of those that have them from elsewhere.
            !is_own && kind != TypeUrl::Endpoints && !wanted.contains_key(&(kind, (**name).to_owned()))
        };
        differences.extend(has.keys().filter(is_extra).map(|name| {
            let name = (*name).to_owned();
            Difference { kind: kind.to_string(), name, what: What::Extra, fields: Vec::new() }
        }));
    }
    Ok(differences)
}

/// What came from the control plane and is not on its way out; of two forms the one that is in use.
fn newest(dump: &Dump, kind: TypeUrl) -> BTreeMap<&str, Entry<'_>> {
    let mut newest = BTreeMap::new();
    for entry in dump.entries(kind) {
        match entry.state {
            State::Active => drop(newest.insert(entry.name, entry)),
            State::Warming => drop(newest.entry(entry.name).or_insert(entry)),
            State::Draining | State::Static => {}
        }
    }
    newest
}

/// Every word that clusters and listeners say: what Envoy asks for by name is among them.
fn names(wanted: &Wanted) -> anyhow::Result<BTreeSet<String>> {
    let mut words = BTreeSet::new();
    for ((kind, name), resource) in wanted {
        if matches!(kind, TypeUrl::Cluster | TypeUrl::Listener) {
            gather(&printed(resource).with_context(|| name.clone())?, &mut words);
        }
    }
    Ok(words)
}

fn gather(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::String(word) => drop(words.insert(word.clone())),
        Value::Array(items) => items.iter().for_each(|item| gather(item, words)),
        Value::Object(fields) => fields.values().for_each(|value| gather(value, words)),
        _ => {}
    }
}

fn printed(resource: &Resource) -> anyhow::Result<Value> {
    smidge_printer::print(resource).with_context(|| format!("cannot print {} {}", resource.type_url, resource.name))
}

/// What differs between a resource and Envoy's form of it. A version is a hash of the content: equal ones need no look.
fn differing(resource: &Resource, entry: &Entry<'_>) -> anyhow::Result<Vec<Field>> {
    if entry.version == resource.version.to_string() {
        return Ok(Vec::new());
    }
    let wanted = printed(resource)?;
    let has = smidge_printer::canonical(entry.content)
        .with_context(|| format!("cannot read Envoy's {} {}", resource.type_url, resource.name))?;
    if resource.type_url == TypeUrl::Endpoints {
        return Ok(of_endpoints(&wanted, &has));
    }
    let mut fields = Vec::new();
    walk("", &wanted, &has, &mut fields);
    fields.truncate(FIELDS);
    Ok(fields)
}

/// Envoy makes its dump of endpoints from its hosts, so only who is in it can be compared.
fn of_endpoints(wanted: &Value, has: &Value) -> Vec<Field> {
    let (wanted, has) = (addresses(wanted), addresses(has));
    let path = "addresses".to_owned();
    if wanted == has {
        Vec::new()
    } else {
        vec![Field { path, wanted: wanted.into_iter().collect(), has: has.into_iter().collect() }]
    }
}

fn addresses(of: &Value) -> BTreeSet<String> {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let endpoints = items(&of["endpoints"]).into_iter().flat_map(|locality| items(&locality["lbEndpoints"]));
    let shown = |endpoint: Value| {
        let address = &endpoint["endpoint"]["address"]["socketAddress"];
        Some(format!("{} {}", address["address"].as_str()?, address["portValue"]))
    };
    endpoints.filter_map(shown).collect()
}

fn walk(path: &str, wanted: &Value, has: &Value, fields: &mut Vec<Field>) {
    match (wanted, has) {
        (Value::Object(one), Value::Object(other)) => {
            for name in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&path, &wanted[name], &has[name], fields);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                walk(&format!("{path}[{index}]"), one, other, fields);
            }
        }
        (one, other) if one == other => {}
        (one, other) => fields.push(Field { path: path.to_owned(), wanted: one.clone(), has: other.clone() }),
    }
}

fn text(of: &Comparison) -> String {
    let Comparison { namespace, pod, resources, differences, .. } = of;
    if of.in_step {
        return format!("{namespace}/{pod} is in step: it has all of {resources} resources as they should be\n");
    }
    let mut text = format!("{namespace}/{pod} differs in {} of {resources} resources:\n", differences.len());
    for Difference { kind, name, what, fields } in differences {
        let what = match what {
            What::Missing => "missing  ",
            What::Extra => "extra    ",
            What::Different => "different",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what}  {kind} {}", plain(name));
        for Field { path, wanted, has } in fields {
            let _ = writeln!(text, "           {path}: wanted {}, has {}", short(wanted), short(has));
        }
    }
    text + "smidge status says whether the proxy is connected, and what it has rejected\n"
}

fn short(value: &Value) -> String {
    let shown = plain(&value.to_string());
    if shown.chars().count() <= LONGEST { shown } else { shown.chars().take(LONGEST).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use smidge_operator::standalone::Manifests;

    use super::*;

    #[test]
    fn fields_that_differ_are_named_by_their_path() {
        let wanted = json!({"name": "a", "routes": [{"weight": 90}, {"weight": 10}], "new": true});
        let has = json!({"name": "a", "routes": [{"weight": 100}, {"weight": 10}]});
        let mut fields = Vec::new();
        walk("", &wanted, &has, &mut fields);
        let told: Vec<_> = fields.iter().map(|it| format!("{} {} {}", it.path, it.wanted, it.has)).collect();
        assert_eq!(told, ["new true null", "routes[0].weight 90 100"]);
    }

    const SHOP: &str = r"
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {smidge.dev/inject: enabled}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: app}], initContainers: [{name: smidge-proxy}]}
status: {phase: Running, podIP: 10.0.1.1, podIPs: [{ip: 10.0.1.1}], conditions: [{type: Ready, status: 'True'}]}
";

    fn shop() -> Wanted {
        let mut manifests = Manifests::default();
        manifests.replace_text(SHOP);
        resources(manifests.events(), "web-0.shop").unwrap()
    }

    /// What an Envoy with these resources dumps.
    fn dumped(of: &Wanted) -> Value {
        let list = |kind, item: fn(&Resource, Value) -> Value| {
            let of_kind = of.values().filter(|resource| resource.type_url == kind);
            of_kind.map(|resource| item(resource, printed(resource).unwrap())).collect::<Value>()
        };
        let message = |name: &str, list: &str, items: Value| json!({"@type": format!("x.{name}"), list: items});
        json!({"configs": [
            message("ClustersConfigDump", "dynamic_active_clusters", list(TypeUrl::Cluster, |of, printed| {
                json!({"version_info": of.version.to_string(), "cluster": printed})
            })),
            message("ListenersConfigDump", "dynamic_listeners", list(TypeUrl::Listener, |of, printed| {
                let state = json!({"version_info": of.version.to_string(), "listener": printed});
                json!({"name": of.name.as_str(), "active_state": state})
            })),
            message("RoutesConfigDump", "dynamic_route_configs", list(TypeUrl::Route, |of, printed| {
                json!({"version_info": of.version.to_string(), "route_config": printed})
            })),
            message("SecretsConfigDump", "dynamic_active_secrets", list(TypeUrl::Secret, |of, printed| {
                json!({"name": of.name.as_str(), "version_info": of.version.to_string(), "secret": printed})
            })),
            message("EcdsConfigDump", "ecds_filters", list(TypeUrl::Extension, |of, printed| {
                json!({"version_info": of.version.to_string(), "ecds_filter": printed})
            })),
            message("EndpointsConfigDump", "dynamic_endpoint_configs", list(TypeUrl::Endpoints, |of, mut printed| {
                printed["cluster_name"] = of.name.as_str().into();
                printed.as_object_mut().unwrap().remove("clusterName");
                json!({"endpoint_config": printed})
            })),
        ]})
    }

    #[test]
    fn what_is_missing_extra_or_different_is_told_and_nothing_else() {
        let wanted = shop();
        let dump = dumped(&wanted);
        assert_eq!(compare(&wanted, &Dump::new(dump.clone())).unwrap(), [], "what is as it should be is in step");
        let mut has = wanted.clone();
        has.remove(&(TypeUrl::Cluster, "shop/web/80/http".to_owned())).unwrap();
        let mut other = dumped(&has);
        let routes = other["configs"][2]["dynamic_route_configs"].as_array_mut().unwrap();
        let route = routes.iter_mut().find(|route| route["route_config"]["name"] == "shop/web/80").unwrap();
        route["version_info"] = "other".into();
        route["route_config"]["virtualHosts"][0]["name"] = "old".into();
        let listeners = other["configs"][1]["dynamic_listeners"].as_array_mut().unwrap();
        listeners.push(json!({"name": "old", "active_state": {"listener": {"name": "old"}}}));
        let told = compare(&wanted, &Dump::new(other)).unwrap();
        let told: Vec<_> = told.iter().map(|it| (it.name.as_str(), it.what, it.fields.len())).collect();
        let expected =
            [("shop/web/80/http", What::Missing, 0), ("old", What::Extra, 0), ("shop/web/80", What::Different, 1)];
        assert_eq!(told, expected);
    }
}

//! `smidge status`: each replica of the control plane, and each proxy: in step, or what is wrong with it. Replicas are asked
//! for `/proxies`, pods are compared with what they say.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::ExitCode,
    time::Duration,
};

use anstyle::Style;
use anyhow::Context;
use futures::{StreamExt, stream};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Pod, PodCondition},
};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde::Serialize;
use smidge_injector::PROXY;
use smidge_installer::OPERATOR;
use smidge_operator::{
    cluster::connect,
    leader::LEASE,
    proxies::{Proxies, Proxy, Rejected},
};

use crate::{
    args::reads::{Shown, Status},
    columns::{columns, plain, styled},
    forward::{Port, ask},
    output::write,
    paint::{BAD, DOUBTFUL, GOOD, out},
    seen::runtime,
};

/// The operator's plain HTTP, as the manifests have it.
const PORT: u16 = 9090;
/// How many replicas are asked at once.
const AT_ONCE: usize = 8;

/// What is told: the control plane, then the proxies.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) proxies: Vec<Row>,
}

/// One replica of the control plane.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Replica {
    pub(crate) name: String,
    /// The version that it says it is; absent: it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    pub(crate) image: String,
    pub(crate) ready: bool,
    pub(crate) leads: bool,
    /// How many proxies it serves.
    pub(crate) proxies: usize,
    /// Why it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// How a proxy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    /// It has all that concerns it.
    Synced,
    /// It has not yet acknowledged all that concerns it.
    Stale,
    /// It has rejected something, and keeps the last good form of that.
    Rejected,
    /// Its pod is Ready, and no replica serves it: it goes on with what it has, and learns nothing new.
    NotConnected,
    /// No replica that answered serves it, and not all answered.
    Unknown,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
            Self::NotConnected => "not connected",
            Self::Unknown => "unknown",
        }
    }
}

/// One proxy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    envoy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<String>,
    /// How many resources it has rejected.
    rejections: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<Rejected>,
}

pub(crate) fn run(args: &Status) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let (client, _) = connect().await?;
        let report = report(&client, &args.control_plane, args.namespace.as_deref(), args.timeout).await?;
        match args.output {
            Shown::Table => out().write_all(text(&report, &args.control_plane).as_bytes())?,
            form => write(&report, form)?,
        }
        Ok(if is_well(&report) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Asks the API server for the pods and every replica for its proxies. `namespace`: only that one's proxies.
pub(crate) async fn report(
    client: &Client,
    control_plane: &str,
    namespace: Option<&str>,
    patience: Duration,
) -> anyhow::Result<Report> {
    let own: Api<Pod> = Api::namespaced(client.clone(), control_plane);
    let selected = ListParams::default().labels(&format!("app.kubernetes.io/name={OPERATOR}"));
    let replicas = own.list(&selected).await.with_context(|| format!("cannot list the pods of {control_plane}"))?;
    anyhow::ensure!(
        !replicas.items.is_empty(),
        "there is no replica of the control plane in {control_plane}: smidge check says more, smidge install installs one"
    );
    let leases: Api<Lease> = Api::namespaced(client.clone(), control_plane);
    let lease = leases.get_opt(LEASE).await.with_context(|| format!("cannot read Lease {LEASE} in {control_plane}"))?;
    let leader = lease.and_then(|lease| lease.spec?.holder_identity);
    let all: Api<Pod> =
        namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace));
    let answers = stream::iter(&replicas.items).map(async |replica| {
        let name = replica.name_any();
        let port = Port { namespace: control_plane, pod: &name, port: PORT };
        let answer = ask(client, port, "/proxies", patience).await;
        let told = answer.and_then(|body| serde_json::from_slice(&body).context("/proxies is not what it should be"));
        (replica.clone(), told)
    });
    let mut answers: Vec<(Pod, anyhow::Result<Proxies>)> = answers.buffered(AT_ONCE).collect().await;
    // A replica on its way out serves for a moment longer, and need not answer; one that was evicted is only still listed.
    answers.retain(|(replica, told)| told.is_ok() || !is_over(replica));
    // After the answers: whose pod has become Ready since is connected by then.
    let pods = all.list(&ListParams::default()).await.context("cannot list the pods")?;
    let meshed = pods.items.iter().filter(|pod| is_meshed(pod) && !is_over(pod));
    let proxies = rows(meshed, &answers);
    let replicas = answers.iter().map(|(pod, told)| of_replica(pod, told, leader.as_deref())).collect();
    Ok(Report { replicas, proxies })
}

fn of_replica(pod: &Pod, told: &anyhow::Result<Proxies>, leader: Option<&str>) -> Replica {
    let container = pod.spec.iter().flat_map(|spec| &spec.containers).next();
    let told = told.as_ref();
    Replica {
        name: pod.name_any(),
        version: told.ok().map(|told| told.version.clone()),
        image: container.and_then(|container| container.image.clone()).unwrap_or_default(),
        ready: is_ready(pod),
        leads: leader == Some(pod.name_any().as_str()),
        proxies: told.map_or(0, |told| told.proxies.len()),
        error: told.err().map(|error| format!("{error:#}")),
    }
}

/// A line for each pod that is served, or should be.
fn rows<'a>(meshed: impl Iterator<Item = &'a Pod>, answers: &[(Pod, anyhow::Result<Proxies>)]) -> Vec<Row> {
    let all_answered = answers.iter().all(|(_, told)| told.is_ok());
    let mut served: BTreeMap<(&str, &str), (&Proxy, String)> = BTreeMap::new();
    for (replica, told) in answers {
        for proxy in told.iter().flat_map(|told| &told.proxies) {
            let known = served.entry((&proxy.namespace, &proxy.pod)).or_insert((proxy, replica.name_any()));
            // The replica that a proxy has left may not have noticed yet.
            if known.0.connected_since < proxy.connected_since {
                *known = (proxy, replica.name_any());
            }
        }
    }
    let names = meshed.map(|pod| (pod.namespace().unwrap_or_default(), pod.name_any(), is_ready(pod)));
    let names: BTreeSet<(String, String, bool)> = names.collect();
    let row = |(namespace, pod, is_ready): (String, String, bool)| match served.get(&(&*namespace, &*pod)) {
        Some((proxy, replica)) => Some(of_proxy(proxy, replica)),
        None if !is_ready => None,
        None if all_answered => Some(without(namespace, pod, State::NotConnected)),
        None => Some(without(namespace, pod, State::Unknown)),
    };
    names.into_iter().filter_map(row).collect()
}

fn of_proxy(proxy: &Proxy, replica: &str) -> Row {
    let state = match proxy {
        Proxy { rejections: 1.., .. } => State::Rejected,
        Proxy { behind: 1.., .. } => State::Stale,
        _ => State::Synced,
    };
    Row {
        namespace: proxy.namespace.clone(),
        pod: proxy.pod.clone(),
        state,
        behind: Some(proxy.behind),
        envoy: proxy.envoy.clone(),
        connected_since: Some(proxy.connected_since.0.to_string()),
        replica: Some(replica.to_owned()),
        rejections: proxy.rejections,
        rejected: proxy.rejected.clone(),
    }
}

fn without(namespace: String, pod: String, state: State) -> Row {
    let (behind, envoy, connected_since, replica) = (None, None, None, None);
    Row { namespace, pod, state, behind, envoy, connected_since, replica, rejections: 0, rejected: Vec::new() }
}

/// Whether nobody has to look at it: what is stale is on its way.
pub(crate) fn is_well(report: &Report) -> bool {
    let answered = report.replicas.iter().all(|replica| replica.error.is_none());
    answered && report.proxies.iter().all(|row| matches!(row.state, State::Synced | State::Stale))
}

/// As the mesh itself decides: by the name of any container.
pub(crate) fn is_meshed(pod: &Pod) -> bool {
    let all = pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    all.into_iter().any(|container| container.name == PROXY)
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_ready(pod: &Pod) -> bool {
    let is_so = |condition: &PodCondition| condition.type_ == "Ready" && condition.status == "True";
    pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).any(is_so)
}

pub(crate) fn text(report: &Report, control_plane: &str) -> String {
    let Report { replicas, proxies } = report;
    let ready = replicas.iter().filter(|replica| replica.ready).count();
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let role = |leads: bool| if leads { "leader" } else { "follower" }.to_owned();
    let cells = |it: &Replica| {
        let version = it.version.clone().unwrap_or_else(|| "no answer".to_owned());
        [it.name.clone(), version, it.image.clone(), yes(it.ready), role(it.leads), it.proxies.to_string()]
    };
    let table = columns(["REPLICA", "VERSION", "IMAGE", "READY", "ROLE", "PROXIES"], replicas.iter().map(cells));
    let silent = replicas.iter().filter_map(|it| Some(format!("  {}: {}\n", it.name, plain(it.error.as_ref()?))));
    let silent: String = silent.collect();
    let head = format!("control plane in {control_plane}: {ready} of {} replicas ready\n", replicas.len());
    format!("{head}{table}{silent}\n{}", proxy_table(proxies))
}

fn proxy_table(proxies: &[Row]) -> String {
    if proxies.is_empty() {
        return "no proxy: no pod has a sidecar (label a namespace smidge.dev/inject=enabled, and create its pods anew)\n"
            .to_owned();
    }
    let cells = |row: &Row| {
        let behind = row.behind.map(|behind| behind.to_string()).unwrap_or_default();
        let name = format!("{}/{}", row.namespace, row.pod);
        let (envoy, replica) = (row.envoy.clone().unwrap_or_default(), row.replica.clone().unwrap_or_default());
        [name, row.state.as_str().to_owned(), behind, envoy, replica]
    };
    let table = styled(["PROXY", "STATE", "BEHIND", "ENVOY", "REPLICA"], proxies.iter().map(cells), style);
    let rejected: String = proxies.iter().filter(|row| row.rejections > 0).map(rejections).collect();
    if rejected.is_empty() { table } else { format!("{table}\n{rejected}") }
}

fn style(cell: &str) -> Option<Style> {
    let of = |state: State| (cell == state.as_str()).then_some(state);
    let all = [State::Synced, State::Stale, State::Rejected, State::NotConnected, State::Unknown];
    all.into_iter().find_map(of).map(|state| match state {
        State::Synced => GOOD,
        State::Stale | State::Unknown => DOUBTFUL,
        State::Rejected | State::NotConnected => BAD,
    })
}

/// What Envoy said, below the table: it is too long for a cell.
fn rejections(of: &Row) -> String {
    let head = format!("{}/{} has rejected {}, and keeps the last good form:\n", of.namespace, of.pod, of.rejections);
    let line = |it: &Rejected| format!("  {} {}: {}\n", plain(&it.kind), plain(&it.name), plain(&it.words));
    head + &of.rejected.iter().map(line).collect::<String>()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::{Value, json};

    use super::*;
    use crate::paint::painted;

    fn pod(name: &str, ready: bool) -> Pod {
        let conditions = json!([{"type": "Ready", "status": if ready { "True" } else { "False" }}]);
        pod_of(json!({
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"containers": [], "initContainers": [{"name": PROXY}]},
            "status": {"conditions": conditions},
        }))
    }

    fn pod_of(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    fn proxies(of: Value) -> anyhow::Result<Proxies> {
        Ok(serde_json::from_value(json!({"version": "0.1.0", "leads": true, "epoch": 9, "proxies": of})).unwrap())
    }

    fn proxy(name: &str, since: &str, behind: u64, rejected: &Value) -> Value {
        let rejections = rejected.as_array().map_or(0, Vec::len);
        json!({
            "pod": name, "namespace": "shop", "envoy": "1.40.0", "connectedSince": since, "behind": behind,
            "rejections": rejections, "rejected": rejected,
        })
    }

    fn seen(answers: &[(Pod, anyhow::Result<Proxies>)]) -> Report {
        let pods = [("bad-0", true), ("lost-0", true), ("starts-0", false), ("web-0", true)];
        let pods = pods.map(|(name, ready)| pod(name, ready));
        let proxies = rows(pods.iter(), answers);
        let replicas = answers.iter().map(|(pod, told)| of_replica(pod, told, Some("one"))).collect();
        Report { replicas, proxies }
    }

    fn served() -> [Value; 3] {
        let rejected = json!([{"type": "RouteConfiguration", "name": "shop/web/80", "words": "no\u{1b}[31mregex"}]);
        let early = "2027-01-15T08:00:00Z";
        [
            proxy("bad-0", early, 0, &rejected),
            proxy("gone-0", early, 0, &json!([])),
            proxy("web-0", early, 3, &json!([])),
        ]
    }

    #[test]
    fn a_ready_pod_that_no_replica_serves_is_not_connected() {
        let newer = proxy("web-0", "2027-01-15T09:00:00Z", 0, &json!([]));
        let answers = [(pod("one", true), proxies(json!(served()))), (pod("two", true), proxies(json!([newer])))];
        let report = seen(&answers);
        let expected = "\
control plane in smidge-system: 2 of 2 replicas ready
REPLICA  VERSION  IMAGE  READY  ROLE      PROXIES
one      0.1.0    -      yes    leader    3
two      0.1.0    -      yes    follower  1

PROXY        STATE          BEHIND  ENVOY   REPLICA
shop/bad-0   rejected       0       1.40.0  one
shop/lost-0  not connected  -       -       -
shop/web-0   synced         0       1.40.0  two

shop/bad-0 has rejected 1, and keeps the last good form:
  RouteConfiguration shop/web/80: no [31mregex
";
        let shown = text(&report, "smidge-system");
        assert!(shown.contains(&painted(BAD, "rejected     ")), "{shown}");
        assert_eq!(strip_str(&shown).to_string(), expected);
        assert!(!is_well(&report));
    }

    #[test]
    fn where_a_replica_is_silent_it_is_not_said_that_a_proxy_is_not_connected() {
        let report =
            seen(&[(pod("one", true), proxies(json!(served()))), (pod("two", false), Err(anyhow::anyhow!("gone")))]);
        let states: Vec<_> = report.proxies.iter().map(|row| (row.pod.as_str(), row.state)).collect();
        assert_eq!(states, [("bad-0", State::Rejected), ("lost-0", State::Unknown), ("web-0", State::Stale)]);
        assert!(text(&report, "x").contains("two      no answer") && text(&report, "x").contains("  two: gone\n"));
    }
}

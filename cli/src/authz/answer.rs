//! The answer: a question and the snapshot in, what each port of the destination's pods does with the call out, with the objects
//! that decide it. Whether it is let in is said by the compiled inbound side alone; SMI objects are looked at for their names.

use std::{collections::BTreeSet, net::IpAddr};

use serde::Serialize;
use smidge_compiler::{
    Fact, Kind, ObjectRef, Snapshot, compile_inbound,
    facts::{PodFacts, Rule, RuleKind, TargetFacts},
    opened_ports, selected_matches, workload_key,
};
use smidge_mesh::{Identity, Inbound, Mode, PortSet, Protocol, ServiceAccountName, WorkloadKey};

use super::{
    judge::{Asked, Call, Caller, Permit, Port, Verdict, judge, permits},
    missing::missing,
    request::{Request, in_words},
};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Who calls.
    pub(crate) from: ServiceAccountName,
    /// Whose pods are called.
    pub(crate) to: ServiceAccountName,
    /// On which port of the pods; `None`: on those that Services name.
    pub(crate) port: Option<u16>,
    /// For which request; `None`: for anything.
    pub(crate) request: Option<Request>,
}

/// What is so.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// `namespace/name`.
    pub(crate) from: String,
    /// `namespace/name`.
    pub(crate) to: String,
    /// The request, with its path as the sidecars see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<Request>,
    /// Whether the call is let in on any of the ports.
    pub(crate) allowed: bool,
    /// What each port does with it.
    pub(crate) ports: Vec<OnPort>,
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// What one port does with the call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct OnPort {
    /// The pods' port; absent: one that no Service names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// What it speaks, as Services say: http, http2, tcp, detect.
    pub(crate) protocol: Protocol,
    /// From which address, where the caller proves no identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) caller: Option<IpAddr>,
    /// Whether the call is let in.
    pub(crate) allowed: bool,
    /// How: permitted, audited (nothing permits it), unrestricted (mode allow), forbidden (HTTP 403), bad path (HTTP 400),
    /// closed; not enforced (pods without a sidecar).
    pub(crate) verdict: &'static str,
    /// What permits it.
    pub(crate) by: Vec<By>,
    /// What would have to be so for it to be permitted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<String>,
}

/// Something that permits the call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct By {
    /// Such as `TrafficTarget/shop/orders`.
    pub(crate) object: String,
    /// The routes in it that do, such as `HTTPRouteGroup/shop/orders match read`.
    pub(crate) routes: Vec<String>,
    /// What they permit.
    pub(crate) what: Vec<String>,
}

/// The answer to a question.
pub(crate) fn answer(snapshot: &Snapshot, question: &Question) -> Answer {
    let from = identity(snapshot, &question.from);
    let callers = callers(snapshot, &question.from, &from);
    let mut ports: BTreeSet<OnPort> = unenforced(snapshot, question).into_iter().collect();
    let inbounds = if has_sidecars(snapshot, &question.to) { inbounds(snapshot, &question.to) } else { Vec::new() };
    for (inbound, caller) in inbounds.iter().flat_map(|inbound| callers.iter().map(move |caller| (inbound, *caller))) {
        ports
            .extend(asked_ports(inbound, question.port).map(|port| on_port(snapshot, question, inbound, caller, port)));
    }
    Answer {
        from: shown(&question.from),
        to: shown(&question.to),
        request: question.request.clone(),
        allowed: ports.iter().any(|port| port.allowed),
        ports: ports.into_iter().collect(),
        notes: notes(snapshot, question, &callers),
    }
}

/// As in questions and in manifests.
pub(crate) fn shown(account: &ServiceAccountName) -> String {
    format!("{}/{}", account.namespace, account.name)
}

/// Who a service account's pods are.
pub(crate) fn identity(snapshot: &Snapshot, account: &ServiceAccountName) -> Identity {
    let trust_domain = snapshot.config().trust_domain.clone();
    Identity { trust_domain, namespace: account.namespace.clone(), service_account: account.name.clone() }
}

/// The pods of a service account.
pub(crate) fn pods<'a>(snapshot: &'a Snapshot, account: &ServiceAccountName) -> impl Iterator<Item = &'a PodFacts> {
    let account = account.clone();
    snapshot.pods().filter(move |pod| pod.account() == account)
}

/// As whom a service account's pods call: those without a sidecar prove no identity, each address of theirs is judged. Pods that
/// are still to come are thought to have one.
fn callers<'a>(snapshot: &Snapshot, account: &ServiceAccountName, identity: &'a Identity) -> Vec<Caller<'a>> {
    let (meshed, outside): (Vec<_>, Vec<_>) = pods(snapshot, account).partition(|pod| pod.meshed);
    let addresses: BTreeSet<IpAddr> = outside.iter().flat_map(|pod| pod.addresses.iter().copied()).collect();
    let is_known = !meshed.is_empty() || addresses.is_empty();
    let known = is_known.then_some(Caller::Known(identity));
    known.into_iter().chain(addresses.into_iter().map(Caller::Outside)).collect()
}

/// Whether there is something to enforce, or will be when the first pod comes.
fn has_sidecars(snapshot: &Snapshot, account: &ServiceAccountName) -> bool {
    pods(snapshot, account).any(|pod| pod.meshed) || pods(snapshot, account).next().is_none()
}

/// Where the destination has pods without a sidecar: nothing is enforced there.
fn unenforced(snapshot: &Snapshot, question: &Question) -> Option<OnPort> {
    pods(snapshot, &question.to).any(|pod| !pod.meshed).then(|| OnPort {
        port: question.port,
        protocol: Protocol::Detect,
        caller: None,
        allowed: true,
        verdict: "not enforced",
        by: Vec::new(),
        missing: Vec::new(),
    })
}

/// The inbound sides of a service account's pods: several where they are behind different Services. Of an account without
/// pods, what its first one would have.
pub(crate) fn inbounds(snapshot: &Snapshot, account: &ServiceAccountName) -> Vec<Inbound> {
    let keys: BTreeSet<WorkloadKey> =
        pods(snapshot, account).filter_map(|pod| workload_key(snapshot, &pod.name())).collect();
    let keys = if keys.is_empty() { BTreeSet::from([bare_key(snapshot, account)]) } else { keys };
    keys.iter().map(|key| compile_inbound(snapshot, key)).collect()
}

/// The key of a pod behind no Service.
fn bare_key(snapshot: &Snapshot, account: &ServiceAccountName) -> WorkloadKey {
    let (namespace, config) = (snapshot.namespace(&account.namespace), snapshot.config());
    let mode = namespace.and_then(|facts| facts.mode).unwrap_or(config.mode);
    let mtls = namespace.and_then(|facts| facts.mtls).or(config.mtls).unwrap_or(smidge_mesh::Mtls::of(mode));
    let identity = identity(snapshot, account);
    WorkloadKey { identity, ports: [].into(), mode, mtls, openings: [].into() }
}

fn asked_ports(inbound: &Inbound, asked: Option<u16>) -> impl Iterator<Item = Port> {
    let declared = inbound.key.ports.keys().map(|port| Some(*port));
    let all: Vec<_> = match asked {
        Some(_) => vec![asked],
        None if inbound.key.ports.is_empty() => granted_ports(inbound),
        None => declared.collect(),
    };
    all.into_iter().map(|number| Port::of(inbound, number))
}

/// Where no Service names a port: those that TrafficTargets open, else any.
fn granted_ports(inbound: &Inbound) -> Vec<Option<u16>> {
    let named = inbound.grants.iter().filter_map(|grant| match &grant.ports {
        PortSet::Only(ports) => Some(ports.iter().copied()),
        PortSet::All => None,
    });
    let named: BTreeSet<u16> = named.flatten().collect();
    if named.is_empty() { vec![None] } else { named.into_iter().map(Some).collect() }
}

fn on_port(snapshot: &Snapshot, question: &Question, inbound: &Inbound, caller: Caller<'_>, port: Port) -> OnPort {
    let asked = match (port.protocol(), &question.request) {
        (Protocol::Tcp, _) => Asked::Connection,
        (_, Some(request)) => Asked::Request(request),
        (_, None) => Asked::Anything,
    };
    let call = Call { caller, port, asked };
    let verdict = judge(inbound, &call);
    let is_permitted = verdict == Verdict::Permitted;
    let by = if is_permitted { permits(inbound, &call) } else { Vec::new() };
    OnPort {
        port: port.number,
        protocol: port.protocol(),
        caller: match caller {
            Caller::Outside(ip) => Some(ip),
            Caller::Known(_) => None,
        },
        allowed: verdict.is_let_in(),
        verdict: word(verdict),
        by: by.iter().map(|permit| named(snapshot, permit, &call)).collect(),
        missing: if is_permitted { Vec::new() } else { missing(snapshot, question, &call, verdict) },
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Permitted => "permitted",
        Verdict::LetIn(Mode::Audit) => "audited",
        Verdict::LetIn(_) => "unrestricted",
        Verdict::Forbidden => "forbidden",
        Verdict::BadPath => "bad path",
        Verdict::Closed => "closed",
    }
}

/// The TrafficTarget of this `namespace/name`.
pub(crate) fn target<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a TargetFacts> {
    let (namespace, name) = name.split_once('/')?;
    match snapshot.fact(&ObjectRef::new(Kind::TrafficTarget, namespace, name))? {
        Fact::TrafficTarget(facts) => Some(facts),
        _ => None,
    }
}

fn named(snapshot: &Snapshot, permit: &Permit<'_>, call: &Call<'_>) -> By {
    match permit {
        Permit::Target(grant) => {
            let facts = target(snapshot, &grant.name);
            let said: Vec<_> = facts.into_iter().flat_map(|facts| routes(snapshot, facts, call)).collect();
            let (routes, what) = said.into_iter().unzip();
            By { object: format!("TrafficTarget/{}", grant.name), routes, what }
        }
        Permit::Ingress(grant) => {
            let requests = grant.requests.iter().flatten().map(in_words).collect();
            let what = if grant.requests.is_none() { vec!["everything".to_owned()] } else { requests };
            By { object: format!("IngressBackend/{} backend {}", grant.name, grant.backend), routes: Vec::new(), what }
        }
    }
}

/// The routes of a target that are about a call, each with what it permits.
fn routes(snapshot: &Snapshot, facts: &TargetFacts, call: &Call<'_>) -> Vec<(String, String)> {
    let namespace = &facts.origin.namespace;
    let of_rule = |rule: &Rule| -> Vec<(String, String)> {
        let object = rule.object_in(namespace);
        match rule.kind {
            RuleKind::HttpRouteGroup => {
                let matches = selected_matches(snapshot, namespace, rule);
                let about = matches.filter(|named| match call.asked {
                    Asked::Request(request) => request.fits(&named.request),
                    Asked::Anything | Asked::Connection => true,
                });
                about.map(|named| (format!("{object} match {}", named.name), in_words(&named.request))).collect()
            }
            RuleKind::TcpRoute => {
                let ports = opened_ports(snapshot, facts, rule);
                let is_about = ports.is_some_and(|ports| call.port.number.is_none_or(|port| ports.permits(port)));
                is_about.then(|| (object.to_string(), "its ports".to_owned())).into_iter().collect()
            }
            RuleKind::UdpRoute => Vec::new(),
        }
    };
    facts.rules.iter().flat_map(of_rule).collect()
}

fn notes(snapshot: &Snapshot, question: &Question, callers: &[Caller<'_>]) -> Vec<String> {
    let (from, to) = (&question.from, &question.to);
    let mut notes = Vec::new();
    let is_meshed = snapshot.namespace(&to.namespace).is_some_and(|facts| facts.meshed);
    if !is_meshed {
        notes.push(format!("namespace {} is not in the mesh: label it smidge.dev/inject=enabled", to.namespace));
    }
    match pods(snapshot, to).find(|pod| !pod.meshed).or(pods(snapshot, to).next()) {
        None => notes.push(format!("no pod runs as {}: this is what its pods would do", shown(to))),
        Some(pod) if !pod.meshed => {
            notes.push(format!("pod {} of {} has no sidecar: nothing is enforced there", pod.origin.name, shown(to)));
        }
        Some(_) => {}
    }
    if callers.iter().any(|caller| matches!(caller, Caller::Outside(_))) {
        let words = "has pods without a sidecar: they prove no identity and are judged by their addresses";
        notes.push(format!("{} {words}", shown(from)));
    } else if pods(snapshot, from).next().is_none() {
        notes.push(format!("no pod runs as {}: this is what its pods might do", shown(from)));
    }
    notes.extend(question.port.and_then(|port| as_service_port(snapshot, to, port)));
    notes
}

/// smi.md §3.7: ports are the pods'. One that is only a Service's is likely meant otherwise.
fn as_service_port(snapshot: &Snapshot, to: &ServiceAccountName, port: u16) -> Option<String> {
    let pod = pods(snapshot, to).find(|pod| pod.meshed)?;
    let own = workload_key(snapshot, &pod.name())?.ports;
    if own.contains_key(&port) {
        return None;
    }
    let service = smidge_compiler::services_of(snapshot, pod).into_iter().find(|facts| facts.ports.contains_key(&port));
    let ports: Vec<String> = own.keys().map(ToString::to_string).collect();
    let known = format!("Services name the ports {} of its pods", ports.join(", "));
    Some(match service {
        Some(facts) => format!("--port is the pods' own; port {port} is Service {}'s: {known}", facts.name()),
        None => format!("no Service names port {port}: {known}"),
    })
}

//! What would have to be so for a call to be permitted: a refused call in, a sentence for each object that comes near out.

use smidge_compiler::{Fact, Severity, Snapshot, diagnose, facts::TargetFacts, permission};
use smidge_mesh::{PortSet, Protocols, ServiceAccountName};

use super::{
    answer::{Question, shown},
    judge::{Asked, Call, Caller, Port, Verdict},
    request::in_words,
};

/// How many objects are told of.
const MOST: usize = 3;

/// What is missing, most telling first.
pub(crate) fn missing(snapshot: &Snapshot, question: &Question, call: &Call<'_>, verdict: Verdict) -> Vec<String> {
    if verdict == Verdict::BadPath {
        return vec!["a path with an escaped slash or a fragment opens nothing: sidecars answer 400".to_owned()];
    }
    if let Caller::Outside(ip) = call.caller {
        let what = "put its pods into the mesh, or name them in an IngressBackend (docs/access.md)";
        return vec![format!("a caller without mTLS at {ip} is let in by an IngressBackend alone: {what}")];
    }
    let (naming, others): (Vec<_>, Vec<_>) =
        targets_to(snapshot, &question.to).partition(|target| target.sources.contains(&question.from));
    match (naming.is_empty(), others.is_empty()) {
        (false, _) => naming.iter().take(MOST).map(|target| falls_short(snapshot, target, call)).collect(),
        (true, false) => {
            let names: Vec<&str> = others.iter().take(MOST).map(|target| &*target.origin.name).collect();
            let (from, to) = (shown(&question.from), shown(&question.to));
            vec![format!("TrafficTarget {} of {to} has other sources only: add {from} to them", names.join(", "))]
        }
        (true, true) => vec![format!(
            "no TrafficTarget in namespace {} has {} as its destination: make one with {} among its sources",
            question.to.namespace,
            shown(&question.to),
            shown(&question.from)
        )],
    }
}

/// The TrafficTargets whose destination is a service account.
pub(crate) fn targets_to<'a>(
    snapshot: &'a Snapshot,
    account: &ServiceAccountName,
) -> impl Iterator<Item = &'a TargetFacts> {
    let account = account.clone();
    targets(snapshot).filter(move |target| target.destination.as_ref() == Some(&account))
}

/// Every TrafficTarget.
pub(crate) fn targets(snapshot: &Snapshot) -> impl Iterator<Item = &TargetFacts> {
    snapshot.objects().filter_map(|object| match snapshot.fact(object)? {
        Fact::TrafficTarget(facts) => Some(&**facts),
        _ => None,
    })
}

/// Why a target that names both does not permit the call.
fn falls_short(snapshot: &Snapshot, target: &TargetFacts, call: &Call<'_>) -> String {
    let object = target.origin.object(smidge_compiler::Kind::TrafficTarget);
    let Some((ports, protocols)) = permission(snapshot, target) else {
        let told = diagnose(snapshot, &object).into_iter().find(|told| told.code.severity == Severity::Error);
        return match told {
            Some(told) => format!("{object} names both, and opens nothing: {}", told.message),
            None => format!("{object} names both, and its rules open nothing"),
        };
    };
    let port = call.port;
    let opens = format!("{object} names both, and opens {}", in_ports(&ports));
    match (&protocols, call.asked) {
        _ if !is_in(port, &ports) => format!("{opens} only: add a TCPRoute with this port to its rules"),
        (Protocols::Http(_), Asked::Connection) => {
            format!("{object} names both, and opens HTTP requests only: TCP takes a rule that names a TCPRoute alone")
        }
        (Protocols::Any, _) => format!("{opens} only: a TCP port that no Service names takes a TCPRoute of every port"),
        (Protocols::Http(matches), _) => {
            let requests: Vec<String> = matches.iter().take(MOST).map(in_words).collect();
            let more = if matches.len() > MOST { ", …" } else { "" };
            format!("{object} names both, and opens other requests only: {}{more}", requests.join("; "))
        }
    }
}

fn is_in(port: Port, ports: &PortSet) -> bool {
    port.number.map_or(*ports == PortSet::All, |number| ports.permits(number))
}

/// `every port`, `port 80`, `ports 80, 81`.
pub(crate) fn in_ports(ports: &PortSet) -> String {
    match ports {
        PortSet::All => "every port".to_owned(),
        PortSet::Only(ports) => {
            let many = if ports.len() == 1 { "" } else { "s" };
            format!("port{many} {}", ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
    }
}

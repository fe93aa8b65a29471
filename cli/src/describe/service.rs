//! Services: what they speak, which splits spread their calls, whose pods are behind them.

use std::collections::BTreeSet;

use smidge_compiler::{
    Fact, Kind, ObjectRef, Snapshot, compile_service,
    facts::{Addressing, IngressFacts, ServiceFacts, SplitFacts},
    own_pods, protocol_of, reach,
};
use smidge_mesh::{ServiceAccountName, ServiceName};

use super::{
    Said,
    access::{callers, counted_pods},
    split::ready,
};
use crate::authz::shown;

pub(super) fn tell(snapshot: &Snapshot, facts: &ServiceFacts) -> Vec<Said> {
    let name = facts.name();
    let accounts: BTreeSet<ServiceAccountName> = own_pods(snapshot, facts).iter().map(|pod| pod.account()).collect();
    let behind = accounts.iter().map(|account| format!("{} ({})", shown(account), counted_pods(snapshot, account)));
    let calls = accounts.iter().filter_map(|account| Some((account, callers(snapshot, account)?)));
    let is_one = accounts.len() == 1;
    let calls = calls.flat_map(|(account, said)| {
        let whom = if is_one { String::new() } else { format!("{} by ", shown(account)) };
        said.sentences.into_iter().map(move |sentence| format!("{whom}{sentence}"))
    });
    [
        Said::of("what it is", what(snapshot, facts)),
        Said::of("splits in its way", splits_of(snapshot, &name)),
        Said::of("service accounts behind it", behind),
        Said::of("who may call them", calls),
        Said::of("what opens it to callers outside the mesh", ingress(snapshot, &name)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn what(snapshot: &Snapshot, facts: &ServiceFacts) -> Vec<String> {
    let name = facts.name();
    let is_meshed = compile_service(snapshot, &name).is_some();
    let place = match (&facts.addressing, is_meshed) {
        (Addressing::External, _) => "an ExternalName: the mesh has no part in it".to_owned(),
        (_, false) => {
            format!("outside the mesh: namespace {} is not labelled smidge.dev/inject=enabled", name.namespace)
        }
        (Addressing::Headless, true) => "in the mesh, headless: its pods are called one by one".to_owned(),
        (Addressing::Virtual(addresses), true) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("in the mesh, at {}", addresses.join(", "))
        }
    };
    let ports = facts.ports.iter().map(|(number, port)| {
        let protocol = format!("{:?}", protocol_of(*number, port, snapshot.config())).to_lowercase();
        format!("port {number} ({protocol}): {}", ready(snapshot, &name, *number))
    });
    [place].into_iter().chain(ports).collect()
}

/// The splits of which a Service is the root or a backend.
pub(super) fn splits_of(snapshot: &Snapshot, name: &ServiceName) -> Vec<String> {
    let all = snapshot.objects().filter_map(|object| match snapshot.fact(object)? {
        Fact::TrafficSplit(facts) => Some((object, &**facts)),
        _ => None,
    });
    let part = |(object, split): (&ObjectRef, &SplitFacts)| {
        let backend = split.backends.iter().find(|backend| backend.service == *name);
        let is_root = split.root.as_ref() == Some(name);
        let part = match (is_root, backend) {
            (true, _) => format!("spreads the calls of {name}"),
            (false, Some(backend)) => {
                let root = split.root.as_ref().map_or("no Service".to_owned(), ToString::to_string);
                format!("gives {name} a share of the calls of {root} (weight {})", backend.weight)
            }
            (false, None) => return None,
        };
        let force = if reach(snapshot, object).services.is_empty() { ", but is not in force" } else { "" };
        Some(format!("{object} {part}{force}"))
    };
    all.filter_map(part).collect()
}

fn ingress(snapshot: &Snapshot, name: &ServiceName) -> Vec<String> {
    let all = snapshot.objects().filter_map(|object| match snapshot.fact(object)? {
        Fact::IngressBackend(facts) => Some(&**facts),
        _ => None,
    });
    let opened = |facts: &IngressFacts| {
        let ports = facts.backends.iter().filter(|backend| backend.service == *name).map(|backend| backend.port);
        let object = facts.origin.object(Kind::IngressBackend);
        ports.map(|port| format!("{object}: port {port}")).collect::<Vec<_>>()
    };
    all.flat_map(opened).collect()
}

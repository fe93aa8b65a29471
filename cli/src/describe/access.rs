//! Who may call whom: TrafficTargets, IngressBackends, and what they come to for a service account.

use std::collections::BTreeSet;

use smidge_compiler::{
    Kind, Snapshot,
    facts::{IngressFacts, IngressSource, Rule, RuleKind, TargetFacts},
    opened_ports, permission, selected_matches,
};
use smidge_mesh::{Mode, Protocols, ServiceAccountName};

use super::Said;
use crate::authz::{in_ports, in_words, inbounds, pods, shown, targets, targets_to};

/// How many names of a list are told.
const MOST: usize = 8;

/// `a, b, c and 4 more`.
pub(super) fn listed(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> = names.into_iter().collect();
    let first = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > MOST { format!("{first} and {} more", names.len() - MOST) } else { first }
}

/// `3 pods, all in the mesh`.
pub(super) fn counted_pods(snapshot: &Snapshot, account: &ServiceAccountName) -> String {
    let (meshed, outside): (Vec<_>, Vec<_>) = pods(snapshot, account).partition(|pod| pod.meshed);
    let total = meshed.len() + outside.len();
    let many = if total == 1 { "" } else { "s" };
    match (total, outside.len()) {
        (0, _) => "no pod".to_owned(),
        (_, 0) => format!("{total} pod{many} in the mesh"),
        (_, missing) => format!("{total} pod{many}, {missing} without a sidecar"),
    }
}

pub(super) fn tell_target(snapshot: &Snapshot, facts: &TargetFacts) -> Vec<Said> {
    let Some(destination) = &facts.destination else {
        return Said::of("what it opens", ["nothing: its destination is none of its own namespace".to_owned()])
            .into_iter()
            .collect();
    };
    let opens = match permission(snapshot, facts) {
        None => vec!["nothing, as it is".to_owned()],
        Some(_) => {
            let whose = format!("{} ({})", shown(destination), counted_pods(snapshot, destination));
            [format!("the pods of service account {whose}, for:")]
                .into_iter()
                .chain(rules(snapshot, facts).into_iter().map(|rule| format!("  {rule}")))
                .collect()
        }
    };
    let sources = facts.sources.iter().map(|source| format!("{} ({})", shown(source), counted_pods(snapshot, source)));
    [Said::of("what it opens", opens), Said::of("to whom", sources)].into_iter().flatten().collect()
}

/// What each rule of a target comes to.
fn rules(snapshot: &Snapshot, facts: &TargetFacts) -> Vec<String> {
    let ports = permission(snapshot, facts).map(|(ports, _)| in_ports(&ports)).unwrap_or_default();
    let has_http = facts.rules.iter().any(|rule| rule.kind == RuleKind::HttpRouteGroup);
    let of_rule = |rule: &Rule| -> Vec<String> {
        let object = facts.object_of(rule);
        match rule.kind {
            RuleKind::HttpRouteGroup => {
                let named = selected_matches(snapshot, &facts.origin.namespace, rule);
                named
                    .map(|named| format!("{} on {ports} ({object} match {})", in_words(&named.request), named.name))
                    .collect()
            }
            // It narrows the routes, and says nothing by itself.
            RuleKind::TcpRoute if has_http => Vec::new(),
            RuleKind::TcpRoute => {
                let own = opened_ports(snapshot, facts, rule);
                own.map(|own| format!("any protocol on {} ({object})", in_ports(own))).into_iter().collect()
            }
            RuleKind::UdpRoute => vec![format!("UDP passes untouched: {object} opens and closes nothing")],
        }
    };
    facts.rules.iter().flat_map(of_rule).collect()
}

/// `GET /orders… on every port`.
fn in_short(snapshot: &Snapshot, facts: &TargetFacts) -> Option<String> {
    let (ports, protocols) = permission(snapshot, facts)?;
    let what = match protocols {
        Protocols::Any => "any protocol".to_owned(),
        Protocols::Http(matches) => listed(matches.iter().map(in_words)),
    };
    Some(format!("{what} on {} ({})", in_ports(&ports), facts.origin.object(Kind::TrafficTarget)))
}

/// Who may call the pods of a service account.
pub(super) fn callers(snapshot: &Snapshot, account: &ServiceAccountName) -> Option<Said> {
    let of_target = |target: &TargetFacts| {
        Some(format!("{}: {}", listed(target.sources.iter().map(shown)), in_short(snapshot, target)?))
    };
    let permitted: Vec<String> = targets_to(snapshot, account).filter_map(of_target).collect();
    let inbounds = inbounds(snapshot, account);
    let ingress: BTreeSet<String> = inbounds
        .iter()
        .flat_map(|inbound| &inbound.ingress)
        .map(|grant| format!("callers outside the mesh on port {}: IngressBackend/{}", grant.port, grant.name))
        .collect();
    let modes: BTreeSet<Mode> = inbounds.iter().map(|inbound| inbound.key.mode).collect();
    let others = if permitted.is_empty() && ingress.is_empty() { "anybody" } else { "anybody else" };
    let others = modes.into_iter().map(|mode| format!("{others}: {}", fate(mode)));
    Said::of("who may call it", permitted.into_iter().chain(ingress).chain(others))
}

/// What comes of a call that nothing permits.
pub(super) fn fate(mode: Mode) -> &'static str {
    match mode {
        Mode::Deny => "refused (mode deny): HTTP 403, TCP closed",
        Mode::Audit => "let in and logged (mode audit)",
        Mode::Allow => "let in (mode allow)",
    }
}

/// Whom the pods of a service account may call.
pub(super) fn callees(snapshot: &Snapshot, account: &ServiceAccountName) -> Option<Said> {
    let naming = targets(snapshot).filter(|target| target.sources.contains(account));
    let permitted = naming
        .filter_map(|target| Some(format!("{}: {}", shown(target.destination.as_ref()?), in_short(snapshot, target)?)));
    Said::of("whom it may call where mode deny holds", permitted)
}

pub(super) fn tell_ingress(snapshot: &Snapshot, facts: &IngressFacts) -> Vec<Said> {
    let backends = facts.backends.iter().map(|backend| {
        let requests = backend.routes.as_ref().map(|rules| {
            let named = rules.iter().flat_map(|rule| selected_matches(snapshot, &facts.origin.namespace, rule));
            listed(named.map(|named| in_words(&named.request)))
        });
        let what = requests.map_or("everything".to_owned(), |requests| match requests.as_str() {
            "" => "nothing: its routes have no usable match".to_owned(),
            _ => requests,
        });
        format!("port {} of Service {}: {what}", backend.port, backend.service)
    });
    let sources = facts.sources.iter().map(|source| match &source.source {
        IngressSource::Range(range) => format!("whoever calls without mTLS from {range}"),
        IngressSource::Service(service) => format!("the pods of Service {service}"),
        IngressSource::Principal(principal) => format!("whoever proves to be {} by certificate", principal.as_str()),
    });
    [Said::of("what it opens", backends), Said::of("to whom", sources)].into_iter().flatten().collect()
}

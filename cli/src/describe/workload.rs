//! Pods and service accounts: who they are, who may call them, whom they may call.

use smidge_compiler::{Snapshot, facts::PodFacts, services_of, workload_key};
use smidge_mesh::{Mtls, ServiceAccountName, WorkloadKey};

use super::{
    Said,
    access::{callees, callers, counted_pods, fate, listed},
    service::splits_of,
};
use crate::authz::{identity, inbounds};

pub(super) fn tell_account(snapshot: &Snapshot, account: &ServiceAccountName) -> Vec<Said> {
    let who = [identity(snapshot, account).to_string(), counted_pods(snapshot, account)];
    let mtls = inbounds(snapshot, account).first().map(|inbound| plaintext(&inbound.key));
    [Said::of("who it is", who.into_iter().chain(mtls)), callers(snapshot, account), callees(snapshot, account)]
        .into_iter()
        .flatten()
        .collect()
}

pub(super) fn tell_pod(snapshot: &Snapshot, pod: &PodFacts) -> Vec<Said> {
    let services = services_of(snapshot, pod);
    let key = workload_key(snapshot, &pod.name());
    let who = match &key {
        None => vec![why_outside(snapshot, pod)],
        Some(key) => {
            let ports =
                key.ports.iter().map(|(port, protocol)| format!("{port} ({})", format!("{protocol:?}").to_lowercase()));
            let mode = format!("calls that nothing permits are {}", fate(key.mode));
            vec![key.identity.to_string(), mode, plaintext(key), format!("ports that Services name: {}", listed(ports))]
        }
    };
    let readiness = if pod.ready { "ready" } else { "not ready: it gets no new calls" };
    let behind = services.iter().map(|facts| format!("Service {}", facts.name()));
    let splits = services.iter().flat_map(|facts| splits_of(snapshot, &facts.name()));
    let (callers, callees) = match key {
        Some(_) => (callers(snapshot, &pod.account()), callees(snapshot, &pod.account())),
        None => (None, None),
    };
    [
        Said::of("who it is", who.into_iter().chain([readiness.to_owned()])),
        Said::of("what it is behind", behind),
        Said::of("splits in its way", splits),
        callers,
        callees,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn why_outside(snapshot: &Snapshot, pod: &PodFacts) -> String {
    let namespace = &pod.origin.namespace;
    let is_meshed = snapshot.namespace(namespace).is_some_and(|facts| facts.meshed);
    let why = match (pod.on_host, is_meshed) {
        (true, _) => "it has the network of its node".to_owned(),
        (false, false) => format!("namespace {namespace} is not labelled smidge.dev/inject=enabled"),
        (false, true) => "it was made before its namespace was labelled, or says no itself (smidge.dev/inject); \
                          a pod joins when it is made anew"
            .to_owned(),
    };
    format!("outside the mesh, without identity; nothing is enforced here: {why}")
}

fn plaintext(key: &WorkloadKey) -> String {
    match key.mtls {
        Mtls::Strict => "calls without mTLS are taken only where an IngressBackend says so (mtls strict)".to_owned(),
        Mtls::Permissive => {
            "calls without mTLS are taken, as of callers without an identity (mtls permissive)".to_owned()
        }
    }
}

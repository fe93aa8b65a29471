//! What is told of TrafficSplits beyond what is wrong in themselves.

use std::collections::BTreeSet;

use smidge_mesh::{Mode, Protocol, ServiceAccountName, ServiceName};

use super::Told;
use crate::{
    Snapshot, codes,
    compile::{is_meshed, own_pods, permission, protocol_of, splits},
    facts::{ServiceFacts, SplitBackend, SplitFacts},
    link::Link,
};

pub(super) fn tell(told: &mut Told<'_>, split: &SplitFacts) {
    if !is_meshed(told.snapshot, &split.origin.namespace) {
        let message = format!("namespace {} is not labelled smidge.dev/inject: enabled", split.origin.namespace);
        told.add(codes::SPLIT_NOT_MESHED, "", message);
    }
    absent_groups(told, split);
    let Some(root) = &split.root else { return };
    conflict(told, split, root);
    let facts = told.snapshot.service(root).filter(|facts| splits::has_endpoints(facts));
    if facts.is_none() {
        told.add(
            codes::ROOT_NOT_FOUND,
            "spec.service",
            format!("Service {root} does not exist, or is an ExternalName"),
        );
    }
    for backend in &split.backends {
        absent_backend(told, backend, facts);
    }
    if let Some(facts) = facts {
        matches_on_tcp(told, split, facts);
        lacking_callers(told, split, facts);
    }
}

/// smi.md §3.1
fn conflict(told: &mut Told<'_>, split: &SplitFacts, root: &ServiceName) {
    if split.groups.is_some() || !split.is_fit {
        return;
    }
    let winner = splits::plain_in_force(told.snapshot, root).filter(|winner| winner.origin != split.origin);
    if let Some(winner) = winner {
        let message = format!(
            "TrafficSplit {} is in force for {root}: it is older, or of the same age and first by name",
            winner.origin.name
        );
        told.add(codes::CONFLICTED, "spec.service", message);
    }
}

fn absent_groups(told: &mut Told<'_>, split: &SplitFacts) {
    for object in split.group_objects() {
        match told.snapshot.route_group_at(&object) {
            None => told.add(codes::GROUP_NOT_FOUND, "spec.matches", format!("{object} does not exist")),
            Some(group) if group.matches.is_empty() => {
                told.add(codes::GROUP_UNUSABLE, "spec.matches", format!("{object} has no usable match"));
            }
            Some(_) => {}
        }
    }
}

fn absent_backend(told: &mut Told<'_>, backend: &SplitBackend, root: Option<&ServiceFacts>) {
    let field = format!("spec.backends[{}].service", backend.position);
    let name = &backend.service;
    let Some(facts) = told.snapshot.service(name) else {
        told.add(codes::BACKEND_NOT_FOUND, field, format!("Service {name} does not exist: the others get its share"));
        return;
    };
    if !splits::has_endpoints(facts) {
        told.add(
            codes::BACKEND_EXTERNAL,
            field,
            format!("Service {name} is an ExternalName: the others get its share"),
        );
        return;
    }
    for port in root.into_iter().flat_map(|root| root.ports.keys()).filter(|port| !facts.ports.contains_key(port)) {
        let message = format!("Service {name} has no TCP port {port}: it gets nothing of that port's traffic");
        told.add(codes::PORT_MISMATCH, field.clone(), message);
    }
}

/// smi.md §3.12
fn matches_on_tcp(told: &mut Told<'_>, split: &SplitFacts, root: &ServiceFacts) {
    if split.groups.is_none() {
        return;
    }
    for (number, port) in &root.ports {
        if protocol_of(*number, port, told.snapshot.config()) == Protocol::Tcp {
            let message =
                format!("port {number} of {} is plain TCP: its connections go to the root service", root.name());
            told.add(codes::MATCHES_ON_TCP, "spec.matches", message);
        }
    }
}

/// smi.md §3.10: a split grants nothing; who may call one of its Services needs a target for the others too.
fn lacking_callers(told: &mut Told<'_>, split: &SplitFacts, root: &ServiceFacts) {
    let snapshot = told.snapshot;
    let mode = snapshot.namespace(&split.origin.namespace).and_then(|facts| facts.mode);
    if mode.unwrap_or(snapshot.config().mode) != Mode::Deny {
        return;
    }
    let weighty = split.backends.iter().filter(|backend| backend.weight > 0);
    let backends: Vec<_> =
        weighty.filter_map(|backend| Some((backend.position, snapshot.service(&backend.service)?))).collect();
    let everyone: BTreeSet<_> =
        backends.iter().map(|(_, facts)| *facts).chain([root]).flat_map(|facts| accounts(snapshot, facts)).collect();
    let callers: BTreeSet<_> = everyone.iter().flat_map(|account| callers(snapshot, account)).collect();
    for (position, facts) in backends {
        for account in accounts(snapshot, facts) {
            let permitted = self::callers(snapshot, &account);
            if let Some(caller) = callers.difference(&permitted).next() {
                let message = format!(
                    "{caller} may not call {account}, which runs backend {}: its share is denied",
                    facts.name()
                );
                told.add(codes::CALLER_LACKS_TARGET, format!("spec.backends[{position}].service"), message);
            }
        }
    }
}

fn accounts(snapshot: &Snapshot, facts: &ServiceFacts) -> BTreeSet<ServiceAccountName> {
    own_pods(snapshot, facts).into_iter().filter(|pod| pod.meshed).map(|pod| pod.account()).collect()
}

/// Who may call pods of a service account at all.
fn callers(snapshot: &Snapshot, account: &ServiceAccountName) -> BTreeSet<ServiceAccountName> {
    let targets = snapshot.linked(&Link::Destination(account.clone())).filter_map(|object| snapshot.target_at(object));
    targets.filter(|target| permission(snapshot, target).is_some()).flat_map(|target| target.sources.clone()).collect()
}

//! TrafficSplits: for which calls, and who gets which share of them.

use smidge_compiler::Severity;
use smidge_compiler::{Kind, Snapshot, compile_endpoints, compile_service, diagnose, facts::SplitFacts, reach};
use smidge_mesh::{Health, HttpRoute, Protocol, ServiceName, ServicePort};

use super::{Said, access::listed};
use crate::authz::in_words;

pub(super) fn tell(snapshot: &Snapshot, split: &SplitFacts) -> Vec<Said> {
    let object = split.origin.object(Kind::TrafficSplit);
    let root = split.root.as_ref().filter(|_| !reach(snapshot, &object).services.is_empty());
    let Some(root) = root else {
        let told = diagnose(snapshot, &object).into_iter().find(|told| told.code.severity == Severity::Error);
        let why = told.map_or(String::new(), |told| format!(": {}", told.message));
        return Said::of("what it does", [format!("nothing{why}")]).into_iter().collect();
    };
    let (namespace, name) = (&root.namespace, &root.name);
    let hosts = format!(
        "Service {root}, by its cluster IP or as {name}, {name}.{namespace}, {name}.{namespace}.svc, \
         {name}.{namespace}.svc.cluster.local"
    );
    let rest = split.groups.is_some().then(|| {
        "requests that fit none of these go on to the next split of the Service, else to its own endpoints; so do TCP connections"
            .to_owned()
    });
    let unweighted = split.backends.iter().filter(|backend| backend.weight == 0);
    let unweighted = unweighted.map(|backend| format!("{}: nothing (weight 0)", backend.service));
    let shares = shares(snapshot, split, root).into_iter().chain(unweighted).chain(rest);
    [Said::of("calls of", [hosts]), Said::of("go to", shares)].into_iter().flatten().collect()
}

/// A line for each port, and of splits with `matches` for each group.
fn shares(snapshot: &Snapshot, split: &SplitFacts, root: &ServiceName) -> Vec<String> {
    let Some(service) = compile_service(snapshot, root) else { return Vec::new() };
    let stem = format!("split/{}", split.origin.name);
    let is_own = |route: &&HttpRoute| {
        route.name.0.strip_prefix(stem.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let of_port = |(number, port): (&u16, &ServicePort)| -> Vec<String> {
        let protocol = format!("{:?}", port.protocol).to_lowercase();
        let head = format!("port {number} ({protocol})");
        if port.protocol == Protocol::Tcp {
            return of_connections(snapshot, root, *number).map(|to| format!("{head}: {to}")).into_iter().collect();
        }
        let line = |route: &HttpRoute| {
            let weights = route.backends.iter().map(|backend| (&backend.service, backend.weight));
            let to = spread(snapshot, weights, *number);
            match route.matches.is_empty() {
                true => format!("{head}: {to}"),
                false => format!("{head}, {}: {to}", listed(route.matches.iter().map(in_words))),
            }
        };
        port.routes.iter().filter(is_own).map(line).collect()
    };
    service.ports.iter().flat_map(of_port).collect()
}

/// Of TCP connections: what the endpoints of the root say.
fn of_connections(snapshot: &Snapshot, root: &ServiceName, port: u16) -> Option<String> {
    let shares = compile_endpoints(snapshot, root)?.ports.remove(&port)?.tcp?;
    Some(spread(snapshot, shares.iter().map(|share| (&share.service, share.weight)), port))
}

/// `90 % to web-v1.shop (3 ready endpoints), 10 % to web-v2.shop (no ready endpoint)`.
pub(super) fn spread<'a>(
    snapshot: &Snapshot,
    weights: impl Iterator<Item = (&'a ServiceName, u32)> + Clone,
    port: u16,
) -> String {
    let sum: u64 = weights.clone().map(|(_, weight)| u64::from(weight)).sum();
    let share = |(service, weight): (&ServiceName, u32)| {
        format!("{} to {service} ({})", percent(weight, sum), ready(snapshot, service, port))
    };
    weights.map(share).collect::<Vec<_>>().join(", ")
}

/// To a tenth.
fn percent(weight: u32, sum: u64) -> String {
    let tenths = (u64::from(weight) * 1000 + sum / 2) / sum.max(1);
    match tenths % 10 {
        0 => format!("{} %", tenths / 10),
        tenth => format!("{}.{tenth} %", tenths / 10),
    }
}

/// How many endpoints of a Service's port take new calls.
pub(super) fn ready(snapshot: &Snapshot, service: &ServiceName, port: u16) -> String {
    let endpoints = compile_endpoints(snapshot, service).and_then(|mut endpoints| endpoints.ports.remove(&port));
    let own = endpoints.map(|endpoints| endpoints.own).unwrap_or_default();
    match own.iter().filter(|endpoint| endpoint.health == Health::Ready).count() {
        0 => "no ready endpoint".to_owned(),
        1 => "1 ready endpoint".to_owned(),
        count => format!("{count} ready endpoints"),
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn shares_are_told_to_a_tenth() {
        assert_eq!(
            [percent(1, 2), percent(1, 3), percent(999, 1000), percent(0, 0)],
            ["50 %", "33.3 %", "99.9 %", "0 %"]
        );
    }
}

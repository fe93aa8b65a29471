//! TrafficSplits: a root service and the shares of its backends.

use std::sync::Arc;

use smidge_crds::{
    TrafficSplit,
    split::{Backend, MatchRef},
};
use smidge_mesh::ServiceName;

use super::{Digest, Fact, Origin, Problem, shown};
use crate::{Kind, ObjectRef, codes};

/// The facts about a TrafficSplit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitFacts {
    /// Which.
    pub origin: Origin,
    /// The root service; `None`: it names none of the split's own namespace.
    pub root: Option<ServiceName>,
    /// The shares, each backend once, in the author's order; weights may be 0.
    pub backends: Vec<SplitBackend>,
    /// The HTTPRouteGroups that choose the requests; `None`: every request.
    pub groups: Option<Vec<Arc<str>>>,
    /// Whether it can be in force: its root is one, the sum of its weights is above 0 and below 2³².
    pub is_fit: bool,
    /// What is unfit in it.
    pub problems: Vec<Problem>,
}

impl SplitFacts {
    /// The HTTPRouteGroups that it names.
    pub fn group_objects(&self) -> impl Iterator<Item = ObjectRef> {
        let namespace = self.origin.namespace.clone();
        let groups = self.groups.iter().flatten();
        groups.map(move |group| ObjectRef::new(Kind::HttpRouteGroup, namespace.clone(), group.clone()))
    }
}

/// A share of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitBackend {
    /// Whose endpoints get it.
    pub service: ServiceName,
    /// Relative to the others.
    pub weight: u32,
    /// Where it stands in `spec.backends`.
    pub position: usize,
}

/// How many backends count.
const MOST_BACKENDS: usize = 128;
/// How many groups count.
const MOST_GROUPS: usize = 64;

impl Digest for TrafficSplit {
    fn digest(&self) -> Fact {
        let mut problems = Vec::new();
        let origin = Origin::with_status(&self.metadata);
        let root = own_service(&self.spec.service, &origin.namespace);
        if root.is_none() {
            let message = format!("{} names no Service of namespace {}", shown(&self.spec.service), origin.namespace);
            problems.push(Problem::new(codes::ROOT_NOT_OWN, "spec.service", message));
        }
        let backends = backends(&self.spec.backends, &origin.namespace, &mut problems);
        let is_weighty = is_weighty(&backends, &mut problems);
        let groups = (!self.spec.matches.is_empty()).then(|| groups(&self.spec.matches, &mut problems));
        let is_fit = root.is_some() && is_weighty;
        Fact::TrafficSplit(Arc::new(SplitFacts { origin, root, backends, groups, is_fit, problems }))
    }
}

/// smi.md §3.5: a Service is named short or in full, in the split's own namespace.
fn own_service(text: &str, namespace: &Arc<str>) -> Option<ServiceName> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut parts = text.splitn(3, '.');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let is_own = parts.next().is_none_or(|part| part == &**namespace)
        && parts.next().is_none_or(|rest| rest == "svc" || rest.starts_with("svc."));
    is_own.then(|| ServiceName::new(namespace.clone(), name))
}

fn backends(named: &[Backend], namespace: &Arc<str>, problems: &mut Vec<Problem>) -> Vec<SplitBackend> {
    if named.len() > MOST_BACKENDS {
        let message = format!("{} backends; the first {MOST_BACKENDS} count", named.len());
        problems.push(Problem::new(codes::TOO_MANY_BACKENDS, "spec.backends", message));
    }
    let mut backends: Vec<SplitBackend> = Vec::new();
    for (position, backend) in named.iter().take(MOST_BACKENDS).enumerate() {
        let field = format!("spec.backends[{position}].service");
        let shown = shown(&backend.service);
        let Some(service) = own_service(&backend.service, namespace) else {
            let message = format!("{shown} names no Service of namespace {namespace}: it gets nothing");
            problems.push(Problem::new(codes::BACKEND_NOT_OWN, field, message));
            continue;
        };
        match backends.iter_mut().find(|known| known.service == service) {
            Some(known) => {
                known.weight = known.weight.saturating_add(backend.weight);
                let message = format!("{shown} is named again: its weights are added");
                problems.push(Problem::new(codes::DUPLICATE_BACKEND, field, message));
            }
            None => backends.push(SplitBackend { service, weight: backend.weight, position }),
        }
    }
    backends
}

/// smi.md §3.6: a split without weight is as if it were not there.
fn is_weighty(backends: &[SplitBackend], problems: &mut Vec<Problem>) -> bool {
    let sum: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    let (code, message) = match sum {
        _ if backends.is_empty() => (codes::NO_BACKENDS, "no backend: traffic goes to the root service".to_owned()),
        0 => (codes::NO_WEIGHT, "all weights are 0: traffic goes to the root service".to_owned()),
        sum if sum > u64::from(u32::MAX) => {
            (codes::WEIGHT_OVERFLOW, format!("the weights add up to {sum}, more than {}", u32::MAX))
        }
        _ => return true,
    };
    problems.push(Problem::new(code, "spec.backends", message));
    false
}

fn groups(named: &[MatchRef], problems: &mut Vec<Problem>) -> Vec<Arc<str>> {
    let mut groups: Vec<Arc<str>> = Vec::new();
    for (position, group) in named.iter().enumerate() {
        let is_ours = matches!(group.api_group.as_deref(), None | Some("" | "specs.smi-spec.io"));
        if !is_ours || position >= MOST_GROUPS {
            let message = match is_ours {
                true => format!("only the first {MOST_GROUPS} groups count"),
                false => format!("API group {} has no HTTPRouteGroup", shown(group.api_group.as_deref().unwrap_or(""))),
            };
            problems.push(Problem::new(codes::UNKNOWN_GROUP, format!("spec.matches[{position}]"), message));
            if is_ours {
                break;
            }
        } else if !groups.iter().any(|known| **known == *group.name) {
            groups.push(group.name.as_str().into());
        }
    }
    groups
}

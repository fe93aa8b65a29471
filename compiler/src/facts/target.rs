//! TrafficTargets: who may call whom, and for what.

use std::{collections::BTreeSet, sync::Arc};

use smidge_crds::{
    TrafficTarget,
    access::{RuleKind as CrdRuleKind, Subject, SubjectKind, TargetRule},
};
use smidge_mesh::ServiceAccountName;

use super::{Digest, Fact, Origin, Problem, shown};
use crate::{Code, Kind, ObjectRef, codes};

/// The facts about a TrafficTarget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFacts {
    /// Which.
    pub origin: Origin,
    /// Whose pods may be called; `None`: it names none of the target's own namespace, and so opens nothing.
    pub destination: Option<ServiceAccountName>,
    /// Who may call.
    pub sources: BTreeSet<ServiceAccountName>,
    /// The only port that it opens, if an older version of SMI said so.
    pub port: Option<u16>,
    /// For what.
    pub rules: Vec<Rule>,
    /// What is unfit in it.
    pub problems: Vec<Problem>,
}

impl TargetFacts {
    /// The object that a rule names.
    pub fn object_of(&self, rule: &Rule) -> ObjectRef {
        rule.object_in(&self.origin.namespace)
    }
}

/// Routes that a TrafficTarget or an IngressBackend names, of its own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it names.
    pub kind: RuleKind,
    /// The name of the object.
    pub name: Arc<str>,
    /// The names of matches in it; `None`: every match.
    pub matches: Option<Vec<Arc<str>>>,
    /// Where it stands in the list of rules.
    pub position: usize,
}

impl Rule {
    /// The object that it names, seen from an object of a namespace.
    pub fn object_in(&self, namespace: &Arc<str>) -> ObjectRef {
        ObjectRef::new(self.kind.kind(), namespace.clone(), self.name.clone())
    }
}

/// What a rule may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleKind {
    /// HTTP requests.
    HttpRouteGroup,
    /// TCP ports.
    TcpRoute,
    /// UDP ports.
    UdpRoute,
}

impl RuleKind {
    /// The kind of the object that it names.
    pub fn kind(self) -> Kind {
        match self {
            Self::HttpRouteGroup => Kind::HttpRouteGroup,
            Self::TcpRoute => Kind::TcpRoute,
            Self::UdpRoute => Kind::UdpRoute,
        }
    }
}

/// How many sources count.
const MOST_SOURCES: usize = 1_000;
/// How many rules count.
const MOST_RULES: usize = 64;

impl Digest for TrafficTarget {
    fn digest(&self) -> Fact {
        let mut problems = Vec::new();
        let origin = Origin::with_status(&self.metadata);
        let destination = destination(&self.spec.destination, &origin.namespace, &mut problems);
        let sources = sources(&self.spec.sources, &origin.namespace, &mut problems);
        let rules = rules(&self.spec.rules, &mut problems);
        let port = self.port();
        Fact::TrafficTarget(Arc::new(TargetFacts { origin, destination, sources, port, rules, problems }))
    }
}

/// The namespace that a subject means: absent, it is the target's own (smi.md §3.4, §3.8).
fn namespace_of<'a>(subject: &'a Subject, own: &'a str) -> &'a str {
    subject.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or(own)
}

fn destination(subject: &Subject, own: &Arc<str>, problems: &mut Vec<Problem>) -> Option<ServiceAccountName> {
    let namespace = namespace_of(subject, own);
    if subject.kind != SubjectKind::ServiceAccount {
        let message = format!("the destination is of kind {:?}: only a ServiceAccount can be opened", subject.kind);
        problems.push(Problem::new(codes::DESTINATION_KIND, "spec.destination.kind", message));
        return None;
    }
    if namespace != &**own {
        let message =
            format!("the destination is in namespace {}, the target in {own}: nothing is opened", shown(namespace));
        problems.push(Problem::new(codes::DESTINATION_NAMESPACE_MISMATCH, "spec.destination.namespace", message));
        return None;
    }
    Some(ServiceAccountName::new(own.clone(), subject.name.as_str()))
}

fn sources(subjects: &[Subject], own: &Arc<str>, problems: &mut Vec<Problem>) -> BTreeSet<ServiceAccountName> {
    bound(subjects.len(), MOST_SOURCES, "spec.sources", problems);
    let mut sources = BTreeSet::new();
    for (position, subject) in subjects.iter().take(MOST_SOURCES).enumerate() {
        if subject.kind == SubjectKind::ServiceAccount {
            sources.insert(ServiceAccountName::new(namespace_of(subject, own), subject.name.as_str()));
        } else {
            let message =
                format!("{} is of kind {:?}: only ServiceAccounts can be let in", shown(&subject.name), subject.kind);
            problems.push(Problem::new(codes::SOURCE_KIND, format!("spec.sources[{position}].kind"), message));
        }
    }
    need(!sources.is_empty(), codes::NO_SOURCES, "spec.sources", problems);
    sources
}

fn rules(rules: &[TargetRule], problems: &mut Vec<Problem>) -> Vec<Rule> {
    bound(rules.len(), MOST_RULES, "spec.rules", problems);
    need(!rules.is_empty(), codes::NO_RULES, "spec.rules", problems);
    let rule = |(position, rule): (usize, &TargetRule)| Rule {
        kind: match rule.kind {
            CrdRuleKind::HttpRouteGroup => RuleKind::HttpRouteGroup,
            CrdRuleKind::TcpRoute => RuleKind::TcpRoute,
            CrdRuleKind::UdpRoute => RuleKind::UdpRoute,
        },
        name: rule.name.as_str().into(),
        matches: (!rule.matches.is_empty()).then(|| rule.matches.iter().map(|name| name.as_str().into()).collect()),
        position,
    };
    rules.iter().take(MOST_RULES).enumerate().map(rule).collect()
}

fn bound(count: usize, most: usize, field: &str, problems: &mut Vec<Problem>) {
    if count > most {
        problems.push(Problem::new(codes::TOO_MANY_PARTS, field, format!("{count} of them; the first {most} count")));
    }
}

fn need(is_there: bool, code: Code, field: &str, problems: &mut Vec<Problem>) {
    if !is_there {
        problems.push(Problem::new(code, field, "none that is usable: the target opens nothing"));
    }
}

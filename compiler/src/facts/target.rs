//! TrafficTargets: who may call whom, and for what.

use std::{collections::BTreeSet, sync::Arc};

use smidge_mesh::ServiceAccountName;

use super::{Origin, Problem};
use crate::{Kind, ObjectRef};

/// The facts about a TrafficTarget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFacts {
    /// Which.
    pub origin: Origin,
    /// Whose pods may be called; `None`: it names none of the target's own namespace, and so opens nothing.
    pub destination: Option<ServiceAccountName>,
    /// Who may call.
    pub sources: BTreeSet<ServiceAccountName>,
    /// For what.
    pub rules: Vec<Rule>,
    /// What is unfit in it.
    pub problems: Vec<Problem>,
}

impl TargetFacts {
    /// The object that a rule names.
    pub fn object_of(&self, rule: &Rule) -> ObjectRef {
        ObjectRef::new(rule.kind.kind(), self.origin.namespace.clone(), rule.name.clone())
    }
}

/// A rule of a TrafficTarget: it names routes of the target's own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it names.
    pub kind: RuleKind,
    /// The name of the object.
    pub name: Arc<str>,
    /// The names of matches in it; `None`: every match.
    pub matches: Option<Vec<Arc<str>>>,
    /// Where it stands in `spec.rules`.
    pub position: usize,
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

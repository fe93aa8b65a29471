//! TrafficSplits: a root service and the shares of its backends.

use std::sync::Arc;

use smidge_mesh::ServiceName;

use super::{Origin, Problem};
use crate::{Kind, ObjectRef};

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

//! HTTPRouteGroups, TCPRoutes and UDPRoutes: which traffic a target or a split is about.

use std::sync::Arc;

use smidge_mesh::{HttpMatch, PortSet};

use super::{Origin, Problem};

/// The facts about an HTTPRouteGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteGroupFacts {
    /// Which.
    pub origin: Origin,
    /// Its matches that are fit; their names are unique.
    pub matches: Vec<NamedMatch>,
    /// What is unfit in it.
    pub problems: Vec<Problem>,
}

/// One match of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMatch {
    /// What rules call it.
    pub name: Arc<str>,
    /// Which requests it is about.
    pub request: HttpMatch,
}

/// The facts about a TCPRoute or a UDPRoute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRouteFacts {
    /// Which.
    pub origin: Origin,
    /// What rules call its one match.
    pub match_name: Option<Arc<str>>,
    /// The ports of the destination's pods.
    pub ports: PortSet,
    /// What is unfit in it.
    pub problems: Vec<Problem>,
}

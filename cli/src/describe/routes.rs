//! HTTPRouteGroups, TCPRoutes and UDPRoutes: what they are about, and what names them.

use smidge_compiler::{
    Kind, Snapshot,
    facts::{PortRouteFacts, RouteGroupFacts},
    grantors,
};

use super::Said;
use crate::authz::{in_ports, in_words};

pub(super) fn tell_group(snapshot: &Snapshot, facts: &RouteGroupFacts) -> Vec<Said> {
    let matches = facts.matches.iter().map(|named| format!("{}: {}", named.name, in_words(&named.request)));
    let naming = grantors(snapshot, &facts.origin.object(Kind::HttpRouteGroup));
    let naming = naming.iter().map(ToString::to_string);
    [Said::of("which requests it is about", matches), Said::of("what names it", naming)].into_iter().flatten().collect()
}

pub(super) fn tell_ports(snapshot: &Snapshot, facts: &PortRouteFacts, kind: Kind) -> Vec<Said> {
    let name = facts.match_name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let ports = format!("{name}{} of the destination's pods", in_ports(&facts.ports));
    let naming = grantors(snapshot, &facts.origin.object(kind));
    let naming = naming.iter().map(ToString::to_string);
    [Said::of("which ports it is about", [ports]), Said::of("what names it", naming)].into_iter().flatten().collect()
}

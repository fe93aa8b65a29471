//! What is told of HTTPRouteGroups, TCPRoutes and UDPRoutes beyond what is wrong in themselves.

use super::Told;
use crate::{codes, link::Link};

pub(super) fn tell(told: &mut Told<'_>) {
    if told.snapshot.count_linked(&Link::Names(told.object.clone())) == 0 {
        told.add(codes::ROUTE_UNUSED, "", "no TrafficTarget, TrafficSplit or IngressBackend names it");
    }
}

pub(super) fn tell_udp(told: &mut Told<'_>) {
    let message =
        "UDP passes the sidecars untouched: it is not opened and not closed by this route; use a NetworkPolicy";
    told.add(codes::UDP_ROUTE, "", message);
    tell(told);
}

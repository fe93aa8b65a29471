//! `specs.smi-spec.io`: the routes that targets and splits name.

pub mod http_route_group;
pub mod ports;
pub mod tcp_route;
pub mod udp_route;

//! LDS: what listeners of both sides are made of.

use std::net::{IpAddr, Ipv6Addr};

use envoy_types::{
    pb::{
        envoy::{
            config::{
                core::v3::TrafficDirection,
                listener::v3::{Filter, FilterChain, Listener, ListenerFilter, listener_filter::ConfigType},
            },
            extensions::filters::listener::{
                http_inspector::v3::HttpInspector, original_dst::v3::OriginalDst, tls_inspector::v3::TlsInspector,
            },
        },
        google::protobuf::{Any, BoolValue},
    },
    util::pack_any,
};
use smidge_xds::{Resource, TypeUrl};

use crate::envoy::address;

/// What `http_inspector` calls HTTP.
pub(crate) const HTTP_IN_PLAIN: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];

/// A listener that takes what the redirect rules bring it, of both IP families.
pub(crate) fn redirected(name: &str, port: u16, direction: TrafficDirection) -> Listener {
    Listener {
        name: name.to_owned(),
        stat_prefix: name.to_owned(),
        address: Some(address(Ipv6Addr::UNSPECIFIED.into(), port, true)),
        traffic_direction: direction.into(),
        listener_filters: vec![original_destination()],
        ..Default::default()
    }
}

/// A listener for one address that only [`redirected`] ones hand connections to.
pub(crate) fn handed_over(name: String, ip: IpAddr, port: u16) -> Listener {
    Listener {
        name,
        address: Some(address(ip, port, false)),
        bind_to_port: Some(BoolValue { value: false }),
        traffic_direction: TrafficDirection::Outbound.into(),
        ..Default::default()
    }
}

pub(crate) fn chain(filters: Vec<Filter>) -> FilterChain {
    FilterChain { filters, ..Default::default() }
}

pub(crate) fn resource(listener: &Listener) -> Resource {
    Resource::new(TypeUrl::Listener, listener.name.clone(), listener)
}

fn original_destination() -> ListenerFilter {
    listener_filter("envoy.filters.listener.original_dst", pack_any(OriginalDst {}))
}

/// Tells HTTP from other bytes.
pub(crate) fn http_inspector() -> ListenerFilter {
    listener_filter("envoy.filters.listener.http_inspector", pack_any(HttpInspector {}))
}

/// Tells TLS and its ALPN from other bytes.
pub(crate) fn tls_inspector() -> ListenerFilter {
    listener_filter("envoy.filters.listener.tls_inspector", pack_any(TlsInspector::default()))
}

fn listener_filter(name: &str, config: Any) -> ListenerFilter {
    ListenerFilter { name: name.to_owned(), config_type: Some(ConfigType::TypedConfig(config)), ..Default::default() }
}

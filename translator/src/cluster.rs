//! CDS. A cluster holds no address and no identity: those come by EDS and SDS, so that nothing in SMI changes it.

use std::collections::HashMap;

use envoy_types::{
    pb::{
        envoy::{
            config::{
                cluster::v3::{
                    CircuitBreakers, Cluster,
                    circuit_breakers::Thresholds,
                    cluster::{
                        ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbPolicy,
                        TransportSocketMatch,
                        common_lb_config::{LocalityConfigSpecifier, LocalityWeightedLbConfig},
                    },
                },
                core::v3::{
                    BindConfig, SocketOption, TransportSocket,
                    socket_option::{SocketIpVersion, SocketState, Value as OptionValue},
                    transport_socket::ConfigType,
                },
            },
            extensions::{
                transport_sockets::raw_buffer::v3::RawBuffer,
                upstreams::http::v3::{
                    HttpProtocolOptions,
                    http_protocol_options::{UpstreamProtocolOptions, UseDownstreamHttpConfig},
                },
            },
            r#type::v3::Percent,
        },
        google::protobuf::{Any, Struct, Value, value::Kind},
    },
    util::pack_any,
};
use smidge_mesh::ServiceName;

use crate::{
    envoy::{ads, number, seconds},
    http, name, tls,
};

/// The key of an endpoint's metadata that picks its transport socket.
pub(crate) const TRANSPORT_SOCKET_MATCH: &str = "envoy.transport_socket_match";
/// Marks an endpoint that is in the mesh.
pub(crate) const MTLS: &str = "mtls";

/// What marks the packets of Envoy's own calls to its app, so that the redirect rules let them through (DSCP 3, which
/// no standard uses). The injector's rules hold the same number.
const APP_DSCP: i64 = 3;

/// `…/http`: the Service's own endpoints.
pub(crate) fn http(service: &ServiceName, port: u16) -> Cluster {
    let name = name::http(service, port);
    let socket = tls::upstream(tls::ALPN_HTTP, name::peers(service));
    Cluster { typed_extension_protocol_options: downstream_protocol(), ..by_eds(name, socket) }
}

/// `…/tcp`: where TCP connections go; the localities' weights are a split's.
pub(crate) fn tcp(service: &ServiceName, port: u16) -> Cluster {
    let weighted = LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {});
    let cluster = by_eds(name::tcp(service, port), tls::upstream(tls::ALPN_TCP, name::peers_tcp(service)));
    Cluster {
        common_lb_config: Some(CommonLbConfig {
            locality_config_specifier: Some(weighted),
            ..cluster.common_lb_config.unwrap_or_default()
        }),
        ..cluster
    }
}

/// `…/direct/http`: the pod that was called by its own address.
pub(crate) fn direct_http(service: &ServiceName, port: u16) -> Cluster {
    Cluster {
        transport_socket: Some(tls::upstream(tls::ALPN_HTTP, name::peers(service))),
        typed_extension_protocol_options: downstream_protocol(),
        ..original_destination(name::direct_http(service, port))
    }
}

/// `…/direct/tcp`: as [`direct_http`].
pub(crate) fn direct_tcp(service: &ServiceName, port: u16) -> Cluster {
    Cluster {
        transport_socket: Some(tls::upstream(tls::ALPN_TCP, name::peers(service))),
        ..original_destination(name::direct_tcp(service, port))
    }
}

/// Wherever the client wanted to go, as it is.
pub(crate) fn passthrough() -> Cluster {
    original_destination(name::PASSTHROUGH.to_owned())
}

/// The pod's own app.
pub(crate) fn inbound() -> Cluster {
    Cluster {
        typed_extension_protocol_options: downstream_protocol(),
        upstream_bind_config: Some(BindConfig { socket_options: mark(), ..Default::default() }),
        ..original_destination(name::INBOUND.to_owned())
    }
}

fn by_eds(name: String, mutual: TransportSocket) -> Cluster {
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), service_name: name.clone() }),
        lb_policy: LbPolicy::RoundRobin.into(),
        transport_socket_matches: vec![matches_meshed(mutual), matches_any()],
        // No panic: endpoints are left out by the control plane, there is no health check to distrust.
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent { value: 0.0 }),
            ..Default::default()
        }),
        ..bare(name)
    }
}

fn original_destination(name: String) -> Cluster {
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into())),
        lb_policy: LbPolicy::ClusterProvided.into(),
        ..bare(name)
    }
}

/// Envoy's limits (1024 connections, 3 retries at a time) are raised: bounding an app is not the mesh's business.
/// The name is the statistics' name too: it is stable and holds no address.
fn bare(name: String) -> Cluster {
    let most = number(u32::MAX);
    let thresholds = Thresholds {
        max_connections: most,
        max_pending_requests: most,
        max_requests: most,
        max_retries: most,
        ..Default::default()
    };
    Cluster {
        name,
        connect_timeout: seconds(5),
        circuit_breakers: Some(CircuitBreakers { thresholds: vec![thresholds], ..Default::default() }),
        ..Default::default()
    }
}

fn matches_meshed(socket: TransportSocket) -> TransportSocketMatch {
    let yes = Value { kind: Some(Kind::BoolValue(true)) };
    TransportSocketMatch {
        name: MTLS.to_owned(),
        r#match: Some(Struct { fields: HashMap::from([(MTLS.to_owned(), yes)]) }),
        transport_socket: Some(socket),
    }
}

fn matches_any() -> TransportSocketMatch {
    let socket = TransportSocket {
        name: "envoy.transport_sockets.raw_buffer".to_owned(),
        config_type: Some(ConfigType::TypedConfig(pack_any(RawBuffer {}))),
    };
    TransportSocketMatch {
        name: "plaintext".to_owned(),
        r#match: Some(Struct::default()),
        transport_socket: Some(socket),
    }
}

/// HTTP/1.1 to the server for HTTP/1.1 from the client, HTTP/2 for HTTP/2.
fn downstream_protocol() -> HashMap<String, Any> {
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            UseDownstreamHttpConfig {
                http_protocol_options: Some(http::http1()),
                http2_protocol_options: Some(http::http2()),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    HashMap::from([("envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(), pack_any(options))])
}

/// DSCP on the sockets of either family: IP_TOS or IPV6_TCLASS, with Linux' numbers for levels and options.
fn mark() -> Vec<SocketOption> {
    let option = |description: &str, level, name, family: SocketIpVersion| SocketOption {
        description: description.to_owned(),
        level,
        name,
        state: SocketState::StatePrebind.into(),
        ip_version: family.into(),
        value: Some(OptionValue::IntValue(APP_DSCP << 2)),
        ..Default::default()
    };
    vec![option("IP_TOS", 0, 1, SocketIpVersion::Ipv4), option("IPV6_TCLASS", 41, 67, SocketIpVersion::Ipv6)]
}

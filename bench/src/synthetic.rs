//! A mesh of made-up services whose resources have the sizes and references of real ones.

use std::sync::Arc;

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster,
                cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, TransportSocketMatch},
            },
            core::v3::{
                Address, ConfigSource, SocketAddress, TransportSocket, address, config_source::ConfigSourceSpecifier,
                socket_address::PortSpecifier, transport_socket,
            },
            endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint},
            listener::v3::{Filter, FilterChain, Listener, filter::ConfigType},
            route::v3::{
                Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster, route::Action,
                route_action::ClusterSpecifier, route_match::PathSpecifier, weighted_cluster::ClusterWeight,
            },
        },
        extensions::{
            filters::network::http_connection_manager::v3::{
                HttpConnectionManager, Rds, http_connection_manager::RouteSpecifier,
            },
            transport_sockets::tls::v3::{
                CertificateValidationContext, CommonTlsContext, SdsSecretConfig, Secret, UpstreamTlsContext,
                common_tls_context::ValidationContextType, secret,
            },
        },
    },
    google::protobuf::{Any, UInt32Value},
};
use prost::Message;
use smidge_xds::{Change, LayerChange, ProxyChange, Resource, TypeUrl, Update, WorkloadId};

/// All services, and the proxies `proxy-<n>.bench`, which all see all of them.
pub(crate) fn everything(services: usize, proxies: usize) -> Update {
    let set_proxy = |n| ProxyChange::Set(format!("proxy-{n}.bench").into(), WorkloadId(0));
    Update {
        shared: (0..services).flat_map(service).map(|resource| Change::Set(Arc::new(resource))).collect(),
        workloads: vec![(WorkloadId(0), LayerChange::Resources(Vec::new()))],
        proxies: (0..=proxies).map(set_proxy).collect(),
        ..Update::default()
    }
}

pub(crate) fn name(n: usize) -> String {
    format!("bench/service-{n}/8080")
}

fn service(n: usize) -> [Resource; 7] {
    let (http, tcp, peers) = (format!("{}/http", name(n)), format!("{}/tcp", name(n)), peers(n));
    [
        Resource::new(TypeUrl::Secret, peers, &validation(n)),
        Resource::new(TypeUrl::Cluster, http.clone(), &cluster(n, &http)),
        Resource::new(TypeUrl::Cluster, tcp.clone(), &cluster(n, &tcp)),
        endpoints(n, "http", 0),
        endpoints(n, "tcp", 0),
        Resource::new(TypeUrl::Listener, name(n), &listener(n)),
        route(n, 90),
    ]
}

fn peers(n: usize) -> String {
    format!("peers/bench/service-{n}")
}

/// A service's route with a split of this weight.
pub(crate) fn route(n: usize, weight: u32) -> Resource {
    let part = |suffix: &str, weight| ClusterWeight {
        name: format!("{}{suffix}/http", name(n)),
        weight: Some(UInt32Value { value: weight }),
        ..Default::default()
    };
    let split = WeightedCluster { clusters: vec![part("", weight), part("-v2", 100 - weight)], ..Default::default() };
    let route = Route {
        r#match: Some(RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..Default::default() }),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::WeightedClusters(split)),
            ..Default::default()
        })),
        stat_prefix: name(n),
        ..Default::default()
    };
    let host = VirtualHost { name: name(n), domains: vec!["*".into()], routes: vec![route], ..Default::default() };
    let message = RouteConfiguration { name: name(n), virtual_hosts: vec![host], ..Default::default() };
    Resource::new(TypeUrl::Route, name(n), &message)
}

/// A service's two endpoints; `generation` moves them.
pub(crate) fn endpoints(n: usize, protocol: &str, generation: usize) -> Resource {
    let endpoint = |last: usize| LbEndpoint {
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(Endpoint {
            address: Some(socket(&format!("10.{}.{}.{}", n >> 8 & 255, n & 255, (generation * 2 + last) % 250), 8080)),
            ..Default::default()
        })),
        ..Default::default()
    };
    let locality = LocalityLbEndpoints { lb_endpoints: vec![endpoint(1), endpoint(2)], ..Default::default() };
    let cluster_name = format!("{}/{protocol}", name(n));
    let message =
        ClusterLoadAssignment { cluster_name: cluster_name.clone(), endpoints: vec![locality], ..Default::default() };
    Resource::new(TypeUrl::Endpoints, cluster_name, &message)
}

fn cluster(n: usize, name: &str) -> Cluster {
    let mtls = TransportSocketMatch { name: "mtls".into(), transport_socket: Some(tls(n)), ..Default::default() };
    Cluster {
        name: name.into(),
        alt_stat_name: name.replace('/', "_"),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), ..Default::default() }),
        transport_socket_matches: vec![mtls],
        ..Default::default()
    }
}

fn tls(n: usize) -> TransportSocket {
    let sds = |name: String| SdsSecretConfig { name, sds_config: Some(ads()) };
    let common = CommonTlsContext {
        validation_context_type: Some(ValidationContextType::ValidationContextSdsSecretConfig(sds(peers(n)))),
        alpn_protocols: vec!["smidge-http".into()],
        ..Default::default()
    };
    let context = UpstreamTlsContext { common_tls_context: Some(common), ..Default::default() };
    let config = transport_socket::ConfigType::TypedConfig(packed(&context));
    TransportSocket { name: "envoy.transport_sockets.tls".into(), config_type: Some(config) }
}

fn validation(n: usize) -> Secret {
    let context = CertificateValidationContext { verify_certificate_hash: vec!["0".repeat(64)], ..Default::default() };
    Secret { name: peers(n), r#type: Some(secret::Type::ValidationContext(context)) }
}

/// Two filter chains, as a listener that detects HTTP has.
fn listener(n: usize) -> Listener {
    let rds = Rds { config_source: Some(ads()), route_config_name: name(n) };
    let manager = HttpConnectionManager {
        stat_prefix: name(n),
        server_name: "x".repeat(400),
        route_specifier: Some(RouteSpecifier::Rds(rds)),
        ..Default::default()
    };
    let filter = |config| Filter { name: "f".into(), config_type: Some(ConfigType::TypedConfig(config)) };
    let chain = |config| FilterChain { filters: vec![filter(config)], ..Default::default() };
    Listener {
        name: name(n),
        address: Some(socket(&format!("10.96.{}.{}", n >> 8 & 255, n & 255), 8080)),
        filter_chains: vec![chain(packed(&manager)), chain(Any { type_url: "tcp".into(), value: vec![7; 300] })],
        ..Default::default()
    }
}

fn socket(address: &str, port: u32) -> Address {
    let address = SocketAddress {
        address: address.into(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..Default::default()
    };
    Address { address: Some(address::Address::SocketAddress(address)) }
}

fn ads() -> ConfigSource {
    ConfigSource { config_source_specifier: Some(ConfigSourceSpecifier::Ads(Default::default())), ..Default::default() }
}

fn packed<M: Message + prost::Name>(message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}

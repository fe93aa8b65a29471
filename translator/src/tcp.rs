//! The TCP proxy of both sides.

use envoy_types::pb::envoy::{
    config::{accesslog::v3::AccessLog, listener::v3::Filter},
    extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier},
};

use crate::envoy::{filter, number, seconds};

/// Passes each connection on to a cluster. Idle connections stay: a database's pool may sleep all night.
pub(crate) fn proxy(stat_prefix: &str, cluster: String, access_log: Vec<AccessLog>) -> Filter {
    let proxy = TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)),
        access_log,
        idle_timeout: seconds(0),
        max_connect_attempts: number(3),
        ..Default::default()
    };
    filter("envoy.filters.network.tcp_proxy", proxy)
}

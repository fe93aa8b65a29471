//! The TCP proxy of both sides.

use envoy_types::pb::envoy::{
    config::{accesslog::v3::AccessLog, listener::v3::Filter},
    extensions::filters::network::tcp_proxy::v3::{TcpProxy, UpstreamConnectMode, tcp_proxy::ClusterSpecifier},
};

use crate::envoy::{filter, number, seconds};

/// Passes each connection on to a cluster. Idle connections stay: a database's pool may sleep all night.
pub(crate) fn proxy(stat_prefix: &str, cluster: String, access_log: Vec<AccessLog>) -> Filter {
    network_filter(proxying(stat_prefix, cluster, access_log))
}

/// As [`proxy`], behind mTLS: the app sees a connection only once the caller has proved who it is.
pub(crate) fn proxy_after_handshake(stat_prefix: &str, cluster: String, access_log: Vec<AccessLog>) -> Filter {
    network_filter(TcpProxy {
        upstream_connect_mode: UpstreamConnectMode::OnDownstreamTlsHandshake.into(),
        // What is held back while the app is being connected to; more waits in the socket.
        max_early_data_bytes: number(64 * 1024),
        ..proxying(stat_prefix, cluster, access_log)
    })
}

fn proxying(stat_prefix: &str, cluster: String, access_log: Vec<AccessLog>) -> TcpProxy {
    TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)),
        access_log,
        idle_timeout: seconds(0),
        max_connect_attempts: number(3),
        ..Default::default()
    }
}

fn network_filter(proxy: TcpProxy) -> Filter {
    filter("envoy.filters.network.tcp_proxy", proxy)
}

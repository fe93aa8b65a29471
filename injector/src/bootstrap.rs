//! The Envoy bootstrap: who the proxy is, where its control plane is, and nothing that could come by xDS.

use std::path::PathBuf;

use serde_json::{Value, json};

/// What the bootstrap of one proxy depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The node's id: `<pod>.<namespace>`.
    pub node: String,
    /// The node's cluster: `<service account>.<namespace>`, for statistics and logs only.
    pub cluster: String,
    /// The control plane's Unix socket: private keys travel there, so it is no open port.
    pub xds_socket: PathBuf,
    /// The port of the admin interface on loopback.
    pub admin_port: u16,
}

/// The bootstrap as JSON, to be given to `envoy -c`.
pub fn bootstrap(of: &Bootstrap) -> String {
    let bootstrap = json!({
        "node": {"id": of.node, "cluster": of.cluster},
        "admin": {"address": socket_address("127.0.0.1", of.admin_port)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [control_plane(of)]},
        // Statistics of what is never called cost nothing.
        "deferred_stat_options": {"enable_deferred_creation_stats": true},
        "layered_runtime": {"layers": [
            {"name": "smidge", "static_layer": {
                // Envoy's own bound of 100 refuses everyday paths; the compiler bounds expressions by their size.
                "re2.max_program_size.error_level": u32::MAX,
            }},
            {"name": "admin", "admin_layer": {}},
        ]},
    });
    format!("{bootstrap:#}\n")
}

fn control_plane(of: &Bootstrap) -> Value {
    let keepalive = json!({"connection_keepalive": {"interval": "30s", "timeout": "5s"}});
    json!({
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": of.xds_socket}}}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": keepalive},
            },
        },
    })
}

fn socket_address(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

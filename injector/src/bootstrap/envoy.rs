//! Envoy's words in JSON, as far as bootstraps need them.

use serde_json::{Value, json};

/// A message with its type, as `Any` is written in JSON.
pub(super) fn typed(type_name: &str, mut message: Value) -> Value {
    message["@type"] = format!("type.googleapis.com/{type_name}").into();
    message
}

/// A named extension with its configuration.
pub(super) fn extension(name: &str, type_name: &str, message: Value) -> Value {
    json!({"name": name, "typed_config": typed(type_name, message)})
}

pub(super) fn address(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// All addresses of either family.
pub(super) fn everywhere(port: u16) -> Value {
    json!({"socket_address": {"address": "::", "port_value": port, "ipv4_compat": true}})
}

/// The endpoints of a cluster that has one.
pub(super) fn endpoint(cluster: &str, address: &Value) -> Value {
    json!({
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    })
}

/// `typed_extension_protocol_options` of a cluster.
pub(super) fn protocol(options: Value) -> Value {
    const NAME: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    json!({NAME: typed(NAME, options)})
}

/// A listener that lets through what its routes name and nothing else.
pub(super) fn http_listener(name: &str, address: &Value, http_filters: Vec<Value>, routes: &[Value]) -> Value {
    let router = extension(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        json!({"suppress_envoy_headers": true}),
    );
    let http_filters = [http_filters, vec![router]].concat();
    let manager = json!({
        "stat_prefix": name,
        // What goes on is what came: probes of an app are between it and the kubelet.
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": false,
        "skip_xff_append": true,
        "strip_any_host_port": true,
        "stream_idle_timeout": "60s",
        "request_headers_timeout": "10s",
        "common_http_protocol_options": {"idle_timeout": "60s"},
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": http_filters,
    });
    let filter = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        manager,
    );
    json!({
        "name": name,
        "address": address,
        "per_connection_buffer_limit_bytes": 32768,
        "filter_chains": [{"filters": [filter]}],
    })
}

/// The match of one method on one path.
pub(super) fn exactly(method: &str, path: &str) -> Value {
    json!({"path": path, "headers": [{"name": ":method", "string_match": {"exact": method}}]})
}

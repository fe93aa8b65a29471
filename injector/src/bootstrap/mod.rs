//! The Envoy bootstrap: who the proxy is, where its control plane is, and nothing that could come by xDS.

mod envoy;
mod probes;
mod sidecar;

use std::path::PathBuf;

use serde_json::{Value, json};

pub(crate) use sidecar::sidecar_bootstrap;

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

/// The bootstrap of a proxy beside its control plane as JSON, to be given to `envoy -c`.
pub fn bootstrap(of: &Bootstrap) -> String {
    let mut bootstrap = common(&envoy::address("127.0.0.1", of.admin_port));
    bootstrap["node"] = json!({"id": of.node, "cluster": of.cluster});
    bootstrap["dynamic_resources"] = dynamic_resources(json!({"ads": {}, "resource_api_version": "V3"}));
    bootstrap["static_resources"] = json!({"clusters": [control_plane(of)]});
    format!("{bootstrap:#}\n")
}

/// What every proxy starts with.
fn common(admin: &Value) -> Value {
    json!({
        "admin": {"address": admin},
        // Statistics of what is never called cost nothing.
        "deferred_stat_options": {"enable_deferred_creation_stats": true},
        "stats_config": {"histogram_bucket_settings": [durations()]},
        // Golden metrics of which nothing was heard for an hour go: whom nobody calls any more costs no memory for ever.
        "stats_eviction_interval": "3600s",
        "layered_runtime": {"layers": [
            {"name": "smidge", "static_layer": {
                // Envoy's own bound of 100 refuses everyday paths; the compiler bounds expressions by their size.
                "re2.max_program_size.error_level": u32::MAX,
            }},
            {"name": "admin", "admin_layer": {}},
        ]},
    })
}

/// The buckets of the golden metrics' histogram, in microseconds: what happens within a cluster takes a fraction of a
/// millisecond to some seconds.
fn durations() -> Value {
    const BUCKETS: [u32; 16] = [
        250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
        5_000_000, 10_000_000, 30_000_000,
    ];
    json!({"match": {"prefix": "smidge."}, "buckets": BUCKETS})
}

/// Everything else comes from the cluster `xds`.
fn dynamic_resources(source: Value) -> Value {
    json!({
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
        },
        "cds_config": source,
        "lds_config": source,
    })
}

/// HTTP/2 with pings: a control plane that has vanished without a word is noticed.
fn xds_protocol() -> Value {
    json!({"http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}})
}

fn control_plane(of: &Bootstrap) -> Value {
    json!({
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": envoy::endpoint("xds", &json!({"pipe": {"path": of.xds_socket}})),
        "typed_extension_protocol_options": envoy::protocol(json!({"explicit_http_config": xds_protocol()})),
    })
}

//! The bootstrap of a sidecar in a cluster: the xDS server by TLS and the pod's token, and the listeners for Prometheus
//! and the kubelet. One inline argument; the kubelet writes the pod's address in place of [`POD_IP`].

use serde_json::{Value, json};

use super::{
    common, dynamic_resources,
    envoy::{address, endpoint, everywhere, exactly, extension, http_listener, protocol, typed},
    probes, xds_protocol,
};
use crate::{
    ADMIN_PATH, ADMIN_PORT, METRICS_PATH, METRICS_PORT, READY_PORT, Settings, XDS_PORT,
    probe::Probe,
    trust::{self, path},
};

const TLS: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
/// Where the listeners for Prometheus, the kubelet and those who look for a fault find Envoy's own admin interface.
const ADMIN: &str = "admin";
/// What of the admin interface can be read at [`ADMIN_PORT`] on loopback (`kubectl port-forward`). An app in the pod
/// reaches that too, so nothing that changes Envoy is among it.
const READABLE: [&str; 9] = [
    "/certs",
    "/clusters",
    "/config_dump",
    "/init_dump",
    "/listeners",
    "/ready",
    "/server_info",
    "/stats",
    METRICS_PATH,
];

/// The bootstrap as JSON on one line.
pub(crate) fn sidecar_bootstrap(settings: &Settings, probes: &[Probe]) -> String {
    let mut bootstrap = common(&socket());
    // Without a configuration it is not ready, however long that takes: ready would mean open.
    let source = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    bootstrap["dynamic_resources"] = dynamic_resources(source);
    let own = [
        admin_listener("metrics", &everywhere(METRICS_PORT), &[METRICS_PATH]),
        admin_listener("ready", &everywhere(READY_PORT), &["/ready"]),
        admin_listener(ADMIN, &address("127.0.0.1", ADMIN_PORT), &READABLE),
    ];
    let listeners = [own.to_vec(), probes::listeners(probes)].concat();
    let clusters = [vec![control_plane(&settings.xds_name()), admin()], probes::clusters(probes)].concat();
    bootstrap["static_resources"] = json!({"listeners": listeners, "clusters": clusters});
    bootstrap.to_string()
}

/// Some paths of the admin interface, for reading.
fn admin_listener(name: &str, address: &Value, paths: &[&str]) -> Value {
    let route = |path: &&str| json!({"match": exactly("GET", path), "route": {"cluster": ADMIN, "timeout": "30s"}});
    http_listener(name, address, Vec::new(), &paths.iter().map(route).collect::<Vec<_>>())
}

/// Not on loopback, which all containers of the pod share: whoever reaches the admin interface can end Envoy.
fn socket() -> Value {
    json!({"pipe": {"path": format!("{ADMIN_PATH}/socket"), "mode": 0o600}})
}

fn admin() -> Value {
    json!({
        "name": ADMIN,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": endpoint(ADMIN, &socket()),
    })
}

fn control_plane(name: &str) -> Value {
    let options = json!({
        "explicit_http_config": xds_protocol(),
        "http_filters": [
            token(),
            extension(
                "envoy.filters.http.upstream_codec",
                "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
                json!({}),
            ),
        ],
    });
    json!({
        "name": "xds",
        "type": "STRICT_DNS",
        "dns_lookup_family": "ALL",
        "connect_timeout": "5s",
        "load_assignment": endpoint("xds", &address(name, XDS_PORT)),
        "transport_socket": extension("envoy.transport_sockets.tls", TLS, server(name)),
        "typed_extension_protocol_options": protocol(options),
    })
}

/// TLS 1.3 to the server of this name, by the roots in the file that follows their rotation.
fn server(name: &str) -> Value {
    json!({
        "sni": name,
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "combined_validation_context": {
                "default_validation_context": {
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}],
                },
                "validation_context_sds_secret_config": by_file(trust::CA_SECRET, trust::CA_FILE),
            },
        },
    })
}

/// Puts the pod's token on each stream, as it is in its file at that moment.
fn token() -> Value {
    let generic = typed(
        "envoy.extensions.http.injected_credentials.generic.v3.Generic",
        json!({
            "credential": by_file(trust::TOKEN_SECRET, trust::TOKEN_FILE),
            "header": "authorization",
            "header_value_prefix": "Bearer ",
        }),
    );
    extension(
        "envoy.filters.http.credential_injector",
        "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        json!({
            "overwrite": true,
            "credential": {"name": "envoy.http.injected_credentials.generic", "typed_config": generic},
        }),
    )
}

fn by_file(secret: &str, file: &str) -> Value {
    json!({
        "name": secret,
        "sds_config": {"path_config_source": {"path": path(file)}, "resource_api_version": "V3"},
    })
}

//! The floor: two Envoys that do mutual TLS 1.3 and pass HTTP on, written by hand, with Envoy's own defaults for all the rest.
//!
//! They are reached by the same redirect rules and speak the same protocols as ours. They know no control plane, no
//! policies, no metrics and no access logs.

use std::net::Ipv4Addr;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

use crate::sidecar::app;

/// The authority of both.
pub(super) struct Floor {
    root: CertifiedIssuer<'static, KeyPair>,
}

impl Floor {
    pub(super) fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "floor");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self { root: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The bootstrap of the client's Envoy, which calls this server.
    pub(super) fn client(&self, server: Ipv4Addr) -> Result<String> {
        let tls = json!({"common_tls_context": self.mutual("client")?});
        let mut cluster = cluster("server", &server.to_string());
        cluster["transport_socket"] = socket("UpstreamTlsContext", tls);
        Ok(bootstrap(&listener(15001, "server"), &cluster))
    }

    /// The bootstrap of the server's Envoy.
    pub(super) fn server(&self) -> Result<String> {
        let tls = json!({"common_tls_context": self.mutual("server")?, "require_client_certificate": true});
        let mut listener = listener(15006, "app");
        listener["filter_chains"][0]["transport_socket"] = socket("DownstreamTlsContext", tls);
        Ok(bootstrap(&listener, &cluster("app", "127.0.0.1")))
    }

    fn mutual(&self, name: &str) -> Result<Value> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            vec![SanType::URI(format!("spiffe://cluster.local/ns/floor/sa/{name}").as_str().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.root)?.pem();
        let inline = |text: String| json!({"inline_string": text});
        Ok(json!({
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": inline(certificate), "private_key": inline(key.serialize_pem())}],
            "validation_context": {"trusted_ca": inline(self.root.pem())},
        }))
    }
}

fn bootstrap(listener: &Value, cluster: &Value) -> String {
    let admin = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}});
    json!({"admin": admin, "static_resources": {"listeners": [listener], "clusters": [cluster]}}).to_string()
}

/// HTTP in plain on the port, and all of it to the cluster.
fn listener(port: u16, cluster: &str) -> Value {
    const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": format!("{FILTERS}.http.router.v3.Router")},
    });
    let routes = json!([{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]);
    let manager = json!({
        "@type": format!("{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "floor",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [router],
    });
    json!({
        "name": "floor",
        "address": {"socket_address": {"address": "::", "port_value": port, "ipv4_compat": true}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
        }]}],
    })
}

fn cluster(name: &str, address: &str) -> Value {
    let address = json!({"socket_address": {"address": address, "port_value": app::PORT}});
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    })
}

fn socket(context: &str, mut message: Value) -> Value {
    message["@type"] = format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{context}").into();
    json!({"name": "envoy.transport_sockets.tls", "typed_config": message})
}

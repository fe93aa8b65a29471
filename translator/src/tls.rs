//! mTLS between sidecars: TLS 1.3 only, certificates and validation by SDS, ALPN of our own.
//!
//! The client's sidecar offers one ALPN, which tells the server's sidecar what is inside; the server's filter chain is
//! picked by what the client offers. The server itself negotiates none: with a negotiated protocol that Envoy does not
//! know it would read HTTP/2 as HTTP/1, without one it looks at the first bytes.

use envoy_types::{
    pb::{
        envoy::{
            config::core::v3::{TransportSocket, transport_socket::ConfigType},
            extensions::transport_sockets::tls::v3::{
                CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, TlsParameters, UpstreamTlsContext,
                common_tls_context::ValidationContextType, downstream_tls_context::SessionTicketKeysType,
                tls_parameters::TlsProtocol,
            },
        },
        google::protobuf::{Any, BoolValue},
    },
    util::pack_any,
};

use crate::{envoy::ads, name};

/// The connection holds HTTP/1.1 or HTTP/2.
pub(crate) const ALPN_HTTP: &str = "smidge-http";
/// The connection holds anything.
pub(crate) const ALPN_TCP: &str = "smidge-tcp";

/// A client's side: calls with an ALPN, and takes only servers that the secret `peers` names.
pub(crate) fn upstream(alpn: &str, peers: String) -> TransportSocket {
    let common_tls_context = Some(mutual(vec![alpn.to_owned()], peers));
    socket(pack_any(UpstreamTlsContext { common_tls_context, ..Default::default() }))
}

/// A server's side: takes only clients that the secret `callers` names.
pub(crate) fn downstream(callers: String) -> TransportSocket {
    serving(mutual(Vec::new(), callers))
}

fn serving(common: CommonTlsContext) -> TransportSocket {
    socket(pack_any(DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: Some(BoolValue { value: true }),
        // Each connection is judged by who may call now: a resumed session would be judged by its first handshake.
        disable_stateful_session_resumption: true,
        session_ticket_keys_type: Some(SessionTicketKeysType::DisableStatelessSessionResumption(true)),
        ..Default::default()
    }))
}

/// A server's side for callers outside the mesh: any TLS 1.3 client that the secret `guests` names.
pub(crate) fn of_guests(guests: String) -> TransportSocket {
    let alpn = ["h2", "http/1.1"].map(str::to_owned).to_vec();
    serving(mutual(alpn, guests))
}

fn mutual(alpn_protocols: Vec<String>, validation: String) -> CommonTlsContext {
    let only = TlsProtocol::TlSv13.into();
    CommonTlsContext {
        tls_params: Some(TlsParameters {
            tls_minimum_protocol_version: only,
            tls_maximum_protocol_version: only,
            ..Default::default()
        }),
        alpn_protocols,
        tls_certificate_sds_secret_configs: vec![secret(name::WORKLOAD.to_owned())],
        validation_context_type: Some(ValidationContextType::ValidationContextSdsSecretConfig(secret(validation))),
        ..Default::default()
    }
}

fn secret(name: String) -> SdsSecretConfig {
    SdsSecretConfig { name, sds_config: Some(ads()) }
}

fn socket(context: Any) -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(ConfigType::TypedConfig(context)),
    }
}

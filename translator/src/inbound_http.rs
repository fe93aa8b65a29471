//! The HTTP connection manager of the server's side: who the caller is, what it may not do, and what it is told then.

use envoy_types::{
    pb::envoy::{
        config::{
            accesslog::v3::{
                AccessLog, AccessLogFilter, ComparisonFilter, StatusCodeFilter, access_log_filter::FilterSpecifier,
                comparison_filter::Op,
            },
            common::mutation_rules::v3::{HeaderMutation, header_mutation::Action},
            core::v3::{RuntimeUInt32, TypedExtensionConfig},
        },
        extensions::{
            filters::network::http_connection_manager::v3::{
                HttpConnectionManager, LocalReplyConfig,
                http_connection_manager::{ForwardClientCertDetails, SetCurrentClientCertDetails},
            },
            http::early_header_mutation::header_mutation::v3::HeaderMutation as HeaderMutations,
        },
    },
    util::pack_any,
};
use smidge_mesh::WorkloadKey;

use crate::{
    envoy::literal,
    http,
    name::{self, InboundPort},
    rbac,
};

/// What a connection has told of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It has proved its identity.
    Known,
    /// Only from which address it calls.
    Unknown,
}

/// The manager for one port of a workload.
pub(crate) fn server(
    key: &WorkloadKey,
    port: InboundPort,
    caller: Caller,
    access_log: Vec<AccessLog>,
) -> HttpConnectionManager {
    let server = http::server(name::INBOUND, port.route(), access_log);
    let permit = http::http_filter(rbac::HTTP_FILTER, rbac::nothing_permitted());
    HttpConnectionManager {
        http_filters: [permit].into_iter().chain(server.http_filters).collect(),
        // The app may believe what its own sidecar says of the caller; a header of the caller's never passes.
        forward_client_cert_details: ForwardClientCertDetails::SanitizeSet.into(),
        set_current_client_cert_details: Some(SetCurrentClientCertDetails { uri: true, ..Default::default() }),
        local_reply_config: Some(refusal(key, caller)),
        early_header_mutation_extensions: vec![unsteered()],
        ..server
    }
}

/// A caller may not steer the server's sidecar: retries would multiply its requests, and each statistics' name of its
/// choice would take memory for ever.
fn unsteered() -> TypedExtensionConfig {
    let removal = |name: &&str| HeaderMutation { action: Some(Action::Remove((*name).to_owned())) };
    TypedExtensionConfig {
        name: "envoy.http.early_header_mutation.header_mutation".to_owned(),
        typed_config: Some(pack_any(HeaderMutations { mutations: STEERING.iter().map(removal).collect() })),
    }
}

/// The headers by which a request tells Envoy's router what to do.
const STEERING: &[&str] = &[
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-max-retries",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
];

/// The body of a 403: who, where, what, and what may be missing. Only RBAC answers 403 here, and it does not tell whether
/// somebody admits the caller. Who has not proved its identity learns none either.
fn refusal(key: &WorkloadKey, caller: Caller) -> LocalReplyConfig {
    let what =
        "may not %REQ(:METHOD):32% %REQ(:PATH):256% at %REQ(:AUTHORITY):128%, port %DOWNSTREAM_LOCAL_PORT% of the pod";
    let text = match caller {
        Caller::Known => format!(
            "smidge: %DOWNSTREAM_PEER_URI_SAN% {what} of {}: either no TrafficTarget in namespace {} has this caller \
             among its sources and this destination, or none of the routes and ports of those that have fits the request",
            literal(&key.identity.to_string()),
            literal(&key.identity.namespace)
        ),
        Caller::Unknown => format!(
            "smidge: a caller without mTLS at %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% {what}: \
             no IngressBackend permits it"
        ),
    };
    http::local_reply(is_forbidden(), text)
}

fn is_forbidden() -> AccessLogFilter {
    let value = RuntimeUInt32 { default_value: 403, runtime_key: "smidge.forbidden".to_owned() };
    let comparison = ComparisonFilter { op: Op::Eq.into(), value: Some(value) };
    AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::StatusCodeFilter(StatusCodeFilter { comparison: Some(comparison) })),
    }
}

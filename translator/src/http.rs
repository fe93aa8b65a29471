//! The HTTP connection manager of both sides: what passes is changed as little as an app could notice.

use envoy_types::{
    pb::{
        envoy::{
            config::{
                accesslog::v3::{AccessLog, AccessLogFilter},
                core::v3::{
                    DataSource, Http1ProtocolOptions, Http2ProtocolOptions, SubstitutionFormatString,
                    TypedExtensionConfig,
                    data_source::Specifier,
                    http1_protocol_options::{HeaderKeyFormat, header_key_format::HeaderFormat},
                    substitution_format_string::Format,
                },
                listener::v3::Filter,
                route::v3::{
                    RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
                    retry_policy::{self, RetryHostPredicate},
                    route,
                    route_action::ClusterSpecifier,
                },
            },
            extensions::{
                filters::{
                    http::router::v3::Router,
                    network::http_connection_manager::v3::{
                        HttpConnectionManager, HttpFilter, LocalReplyConfig, Rds, ResponseMapper,
                        http_connection_manager::{
                            ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier,
                            ServerHeaderTransformation, UpgradeConfig,
                        },
                        http_filter::ConfigType,
                    },
                },
                http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig,
                retry::host::previous_hosts::v3::PreviousHostsPredicate,
            },
        },
        google::protobuf::{Any, BoolValue},
    },
    util::pack_any,
};
use smidge_xds::{Resource, TypeUrl};

use crate::envoy::{ads, filter, number, seconds};

/// What both sides have in common; routes come by RDS.
pub(crate) fn server(stat_prefix: &str, route: String, access_log: Vec<AccessLog>) -> HttpConnectionManager {
    HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(Rds { config_source: Some(ads()), route_config_name: route })),
        access_log,
        http_filters: vec![router()],
        // Both sides decide on the same path as the app will.
        normalize_path: Some(BoolValue { value: true }),
        merge_slashes: true,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::RejectRequest.into(),
        http_protocol_options: Some(Http1ProtocolOptions { accept_http_10: true, ..http1() }),
        http2_protocol_options: Some(http2()),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".to_owned(), ..Default::default() }],
        server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
        // What an app says of a client's certificate is hearsay.
        forward_client_cert_details: ForwardClientCertDetails::Sanitize.into(),
        use_remote_address: Some(BoolValue { value: false }),
        // Streams may be silent for hours.
        stream_idle_timeout: seconds(0),
        ..Default::default()
    }
}

/// What is said instead of Envoy's own words where the filter holds: one line of text with command operators.
pub(crate) fn local_reply(filter: AccessLogFilter, line: String) -> LocalReplyConfig {
    let body = DataSource { specifier: Some(Specifier::InlineString(line + "\n")), ..Default::default() };
    let mapper = ResponseMapper {
        filter: Some(filter),
        body_format_override: Some(SubstitutionFormatString {
            format: Some(Format::TextFormatSource(body)),
            ..Default::default()
        }),
        ..Default::default()
    };
    LocalReplyConfig { mappers: vec![mapper], ..Default::default() }
}

/// HTTP/1 as the peer wrote it: the case of headers, the reason phrase.
pub(crate) fn http1() -> Http1ProtocolOptions {
    let preserve_case = PreserveCaseFormatterConfig { forward_reason_phrase: true, ..Default::default() };
    let formatter = TypedExtensionConfig {
        name: "envoy.http.stateful_header_formatters.preserve_case".to_owned(),
        typed_config: Some(pack_any(preserve_case)),
    };
    let header_key_format = Some(HeaderKeyFormat { header_format: Some(HeaderFormat::StatefulFormatter(formatter)) });
    Http1ProtocolOptions { header_key_format, ..Default::default() }
}

/// HTTP/2, with WebSockets over it (RFC 8441).
pub(crate) fn http2() -> Http2ProtocolOptions {
    Http2ProtocolOptions { allow_connect: true, ..Default::default() }
}

/// The manager as a network filter.
pub(crate) fn network_filter(server: HttpConnectionManager) -> Filter {
    filter("envoy.filters.network.http_connection_manager", server)
}

/// An HTTP filter.
pub(crate) fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter { name: name.to_owned(), config_type: Some(ConfigType::TypedConfig(config)), ..Default::default() }
}

fn router() -> HttpFilter {
    http_filter("envoy.filters.http.router", pack_any(Router { suppress_envoy_headers: true, ..Default::default() }))
}

/// A route configuration with one virtual host: the listener's address has already said whose the request is.
pub(crate) fn route_configuration(host: VirtualHost) -> Resource {
    let name = host.name.clone();
    let host = VirtualHost { domains: vec!["*".to_owned()], ..host };
    let configuration = RouteConfiguration { name: name.clone(), virtual_hosts: vec![host], ..Default::default() };
    Resource::new(TypeUrl::Route, name, &configuration)
}

/// A route without a timeout: how long a request may take is the app's business.
pub(crate) fn route(name: &str, matching: RouteMatch, clusters: ClusterSpecifier) -> Route {
    let action = RouteAction { cluster_specifier: Some(clusters), timeout: seconds(0), ..Default::default() };
    Route {
        name: name.to_owned(),
        r#match: Some(matching),
        action: Some(route::Action::Route(action)),
        ..Default::default()
    }
}

/// Only requests of which the server has seen nothing, and on another host.
pub(crate) fn never_delivered() -> RetryPolicy {
    let previous_hosts = RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
        config_type: Some(retry_policy::retry_host_predicate::ConfigType::TypedConfig(pack_any(
            PreviousHostsPredicate {},
        ))),
    };
    RetryPolicy {
        retry_on: "connect-failure,refused-stream,reset-before-request".to_owned(),
        num_retries: number(2),
        retry_host_predicate: vec![previous_hosts],
        host_selection_retry_max_attempts: 3,
        ..Default::default()
    }
}

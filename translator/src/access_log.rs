//! The access log: one JSON object a line on standard output, with one schema for both sides, HTTP and TCP.

use std::collections::BTreeMap;

use envoy_types::pb::{
    envoy::{
        config::accesslog::v3::{
            AccessLog, AccessLogFilter, MetadataFilter, ResponseFlagFilter, access_log::ConfigType,
            access_log_filter::FilterSpecifier,
        },
        extensions::access_loggers::stream::v3::StdoutAccessLog,
        r#type::matcher::v3::{
            MetadataMatcher, ValueMatcher, metadata_matcher::PathSegment, metadata_matcher::path_segment::Segment,
            value_matcher::MatchPattern,
        },
    },
    google::protobuf::{BoolValue, Value, value::Kind},
};

use crate::envoy::{exactly, literal, pack_mirror};

/// Whose log it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side<'a> {
    /// The client's; with the port that it called, `<namespace>/<service>/<port>`, if that is known.
    Outbound(Option<&'a str>),
    /// The server's.
    Inbound,
}

/// Every request and connection.
pub(crate) fn everything(side: Side<'_>) -> AccessLog {
    AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        filter: None,
        config_type: Some(ConfigType::TypedConfig(pack_mirror::<StdoutAccessLog>(&StdoutMirror {
            log_format: Some(FormatMirror { json_format: Some(StructMirror { fields: fields(side) }) }),
        }))),
    }
}

/// Only what an audit found that enforcement would have refused. `filter` is the RBAC filter that says so.
pub(crate) fn audited(side: Side<'_>, filter: &str) -> AccessLog {
    AccessLog { filter: Some(would_be_refused(filter)), ..everything(side) }
}

/// What an RBAC filter found that enforcement would have refused.
pub(crate) fn would_be_refused(filter: &str) -> AccessLogFilter {
    let matcher = MetadataMatcher {
        filter: filter.to_owned(),
        path: vec![PathSegment { segment: Some(Segment::Key("shadow_engine_result".to_owned())) }],
        value: Some(ValueMatcher { match_pattern: Some(MatchPattern::StringMatch(exactly("denied"))) }),
        ..Default::default()
    };
    let filter = MetadataFilter { matcher: Some(matcher), match_if_key_not_found: Some(BoolValue { value: false }) };
    AccessLogFilter { filter_specifier: Some(FilterSpecifier::MetadataFilter(filter)) }
}

/// Where Envoy has said this of the request or connection, by one of its response flags.
pub(crate) fn with_flag(flag: &str) -> AccessLogFilter {
    let filter = ResponseFlagFilter { flags: vec![flag.to_owned()] };
    AccessLogFilter { filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(filter)) }
}

fn fields(side: Side<'_>) -> BTreeMap<String, Value> {
    let (direction, source, destination) = match side {
        Side::Outbound(_) => ("outbound", "%UPSTREAM_LOCAL_URI_SAN%", "%UPSTREAM_PEER_URI_SAN%"),
        Side::Inbound => ("inbound", "%DOWNSTREAM_PEER_URI_SAN%", "%DOWNSTREAM_LOCAL_URI_SAN%"),
    };
    let service = match side {
        Side::Outbound(Some(service)) => literal(service),
        _ => "-".to_owned(),
    };
    let of_the_side = [
        ("direction", direction),
        ("source_identity", source),
        ("destination_identity", destination),
        ("service", &service),
    ];
    let text =
        |&(name, format): &(&str, &str)| (name.to_owned(), Value { kind: Some(Kind::StringValue(format.to_owned())) });
    of_the_side.iter().chain(FIELDS).map(text).collect()
}

/// What both sides say, in Envoy's command operators; numbers stay numbers.
const FIELDS: &[(&str, &str)] = &[
    ("audit_http", "%DYNAMIC_METADATA(envoy.filters.http.rbac:shadow_engine_result)%"),
    ("audit_tcp", "%DYNAMIC_METADATA(envoy.filters.network.rbac:shadow_engine_result)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("backend", "%UPSTREAM_CLUSTER_RAW%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("connection_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("destination_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("duration_ms", "%DURATION%"),
    ("grpc_status", "%GRPC_STATUS%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route", "%ROUTE_NAME%"),
    ("source_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("time", "%START_TIME%"),
    ("upstream_address", "%UPSTREAM_HOST%"),
    ("upstream_failure", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
];

/// Mirrors of the generated messages: those hold a `HashMap`, which encodes in any order.
#[derive(Clone, PartialEq, prost::Message)]
struct StdoutMirror {
    #[prost(message, optional, tag = "1")]
    log_format: Option<FormatMirror>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FormatMirror {
    #[prost(message, optional, tag = "2")]
    json_format: Option<StructMirror>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StructMirror {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, Value>,
}

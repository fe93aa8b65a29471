//! HTTPRouteGroup v1alpha1: no `spec`, no `headers`.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Method;
use crate::{Status, lenient::null_is_absent, schema};

/// HTTP routes that TrafficTargets allow and TrafficSplits match. A request that fits any match fits the group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "specs.smi-spec.io",
    version = "v1alpha1",
    kind = "HTTPRouteGroup",
    root = "HttpRouteGroup",
    plural = "httproutegroups"
)]
#[kube(
    namespaced,
    no_spec,
    status = "Status",
    derive = "PartialEq",
    doc = "HTTP routes that TrafficTargets allow and TrafficSplits match."
)]
#[schemars(extend("required" = ["matches"]))]
pub struct HttpRouteGroupSpec {
    /// The routes, each with a name of its own.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = schema::MATCHES))]
    pub matches: Vec<HttpMatch>,
}

/// Requests that have this path and one of these methods. What is absent matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpMatch {
    /// The name by which a TrafficTarget picks this match out of the group.
    #[schemars(length(min = 1, max = schema::NAME))]
    pub name: String,
    /// A regular expression (RE2), anchored at the start of the path without its query, and not at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = schema::REGEX))]
    pub path_regex: Option<String>,
    /// The methods; `*` is every method.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub methods: Vec<Method>,
}

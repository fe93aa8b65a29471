//! HTTPRouteGroup v1alpha3: like v1alpha4.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HttpMatch;
use crate::{Status, lenient::null_is_absent, schema};

/// HTTP routes that TrafficTargets allow and TrafficSplits match. A request that fits any match fits the group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "specs.smi-spec.io",
    version = "v1alpha3",
    kind = "HTTPRouteGroup",
    root = "HttpRouteGroup",
    plural = "httproutegroups"
)]
#[kube(
    namespaced,
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

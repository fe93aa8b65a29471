//! `split.smi-spec.io`: TrafficSplit in its four versions, and the parts that they share.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

pub mod v1alpha1;
pub mod v1alpha2;
pub mod v1alpha3;
pub mod v1alpha4;

/// A Service that gets a share of the root service's traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backend {
    /// The name of a Service in the split's own namespace. The root service itself means its own endpoints.
    #[schemars(length(min = 1, max = schema::NAME))]
    pub service: String,
    /// Its share, relative to the other backends' weights. 0 is no traffic.
    #[schemars(schema_with = "schema::weight")]
    pub weight: u32,
}

/// A group of routes that narrows a split to some of the root service's requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatchRef {
    /// The group's API group: `specs.smi-spec.io`, or nothing, which means the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = schema::NAME))]
    #[x_kube(validation = Rule::new("self in ['', 'specs.smi-spec.io']").message("apiGroup must be specs.smi-spec.io or absent"))]
    pub api_group: Option<String>,
    /// Always `HTTPRouteGroup`.
    pub kind: MatchKind,
    /// The name of an HTTPRouteGroup in the split's own namespace.
    #[schemars(length(min = 1, max = schema::NAME))]
    pub name: String,
}

/// What a split's `matches` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MatchKind {
    /// A group of HTTP routes.
    #[serde(rename = "HTTPRouteGroup")]
    HttpRouteGroup,
}

//! TrafficSplit v1alpha1: weights are Kubernetes quantities, there are no `matches`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Status, lenient::null_is_absent, schema};

/// Sends shares of a root service's traffic to backend services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(group = "split.smi-spec.io", version = "v1alpha1", kind = "TrafficSplit", plural = "trafficsplits")]
#[kube(
    namespaced,
    status = "Status",
    derive = "PartialEq",
    doc = "Sends shares of a root service's traffic to backend services."
)]
#[schemars(extend("required" = ["service", "backends"]))]
pub struct TrafficSplitSpec {
    /// The root service: the Service that clients call, in the split's own namespace, short or as an FQDN.
    #[schemars(length(min = 1, max = schema::NAME))]
    pub service: String,
    /// The Services that get its traffic, each named once.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = schema::BACKENDS))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["service".to_owned()]),
        validation = Rule::new("self.exists(backend, type(backend.weight) == int ? backend.weight > 0 : quantity(backend.weight).isGreaterThan(quantity('0')))")
            .message("at least one weight must be greater than 0"),
    )]
    pub backends: Vec<Backend>,
}

/// A Service that gets a share of the root service's traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backend {
    /// The name of a Service in the split's own namespace. The root service itself means its own endpoints.
    #[schemars(length(min = 1, max = schema::NAME))]
    pub service: String,
    /// Its share, relative to the other backends' weights: `1` is the same as `1000m`.
    #[schemars(schema_with = "schema::quantity")]
    pub weight: Quantity,
}

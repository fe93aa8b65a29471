//! TrafficSplit v1alpha4: the version that is stored.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{Backend, MatchRef};
use crate::{Status, lenient::null_is_absent, schema};

/// Sends shares of a root service's traffic to backend services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(group = "split.smi-spec.io", version = "v1alpha4", kind = "TrafficSplit", plural = "trafficsplits")]
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
        validation = Rule::new("self.exists(backend, backend.weight > 0)").message("at least one weight must be greater than 0"),
        validation = Rule::new("self.map(backend, backend.weight).sum() <= 4294967295").message("weights must add up to less than 2^32"),
    )]
    pub backends: Vec<Backend>,
    /// Narrows the split to the requests that one of these groups matches; all others go to the root service.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = schema::REFERENCES))]
    pub matches: Vec<MatchRef>,
}

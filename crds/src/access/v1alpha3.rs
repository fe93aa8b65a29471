//! TrafficTarget v1alpha3: the version that is stored.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Subject, TargetRule};
use crate::{Status, conversion::carried_port, lenient::null_is_absent, schema};

/// Lets sources call a destination on some routes. Access is additive: what no target allows is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(group = "access.smi-spec.io", version = "v1alpha3", kind = "TrafficTarget", plural = "traffictargets")]
#[kube(namespaced, status = "Status", derive = "PartialEq", doc = "Lets sources call a destination on some routes.")]
#[schemars(extend("required" = ["destination", "rules", "sources"]))]
pub struct TrafficTargetSpec {
    /// Who may be called: the pods that run as this identity, in the target's own namespace.
    pub destination: Subject,
    /// What may be called.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = schema::REFERENCES))]
    pub rules: Vec<TargetRule>,
    /// Who may call.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = schema::REFERENCES))]
    pub sources: Vec<Subject>,
}

impl TrafficTarget {
    /// The only port that may be called, if the target was written in an older version, which could say so.
    /// A port of the destination's pod. Whoever ignores it allows more than the author did.
    pub fn port(&self) -> Option<u16> {
        let destination = serde_json::to_value(&self.spec.destination).ok()?;
        carried_port(self.metadata.annotations.as_ref()?, &destination)
    }
}

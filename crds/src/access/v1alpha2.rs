//! TrafficTarget v1alpha2: a port at the destination.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Subject, SubjectKind, TargetRule};
use crate::{Status, lenient::null_is_absent, schema};

/// Lets sources call a destination on some routes. Access is additive: what no target allows is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(group = "access.smi-spec.io", version = "v1alpha2", kind = "TrafficTarget", plural = "traffictargets")]
#[kube(namespaced, status = "Status", derive = "PartialEq", doc = "Lets sources call a destination on some routes.")]
pub struct TrafficTargetSpec {
    /// Who may be called: the pods that run as this identity, in the target's own namespace.
    pub destination: Destination,
    /// What may be called.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = schema::REFERENCES))]
    pub rules: Vec<TargetRule>,
    /// Who may call.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = schema::REFERENCES))]
    pub sources: Vec<Subject>,
}

/// The identity that is called, and on which port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Destination {
    /// What kind of identity it is.
    pub kind: SubjectKind,
    /// Its name.
    #[schemars(length(min = 1, max = schema::NAME))]
    pub name: String,
    /// Its namespace; absent, the target's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// The only port that may be called; absent, every port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_port")]
    pub port: Option<u16>,
}

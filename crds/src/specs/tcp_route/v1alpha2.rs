//! TCPRoute v1alpha2: no `spec`, no fields: every port.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Status;

/// TCP connections to any port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(group = "specs.smi-spec.io", version = "v1alpha2", kind = "TCPRoute", root = "TcpRoute", plural = "tcproutes")]
#[kube(namespaced, no_spec, status = "Status", derive = "PartialEq", doc = "TCP connections to any port.")]
pub struct TcpRouteSpec {}

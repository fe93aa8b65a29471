//! TCPRoute v1alpha4: the version that is stored.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Status, specs::ports::PortMatch};

/// TCP traffic to some ports, which TrafficTargets allow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(group = "specs.smi-spec.io", version = "v1alpha4", kind = "TCPRoute", root = "TcpRoute", plural = "tcproutes")]
#[kube(
    namespaced,
    status = "Status",
    derive = "PartialEq",
    doc = "TCP traffic to some ports, which TrafficTargets allow."
)]
pub struct TcpRouteSpec {
    /// The ports; absent, every port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<PortMatch>,
}

impl TcpRouteSpec {
    /// The ports that are matched, as the pod listens on them. Empty means every port.
    pub fn ports(&self) -> &[u16] {
        self.matches.as_ref().map_or(&[], |matches| &matches.ports)
    }
}

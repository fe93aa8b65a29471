//! What a TCPRoute and a UDPRoute match: ports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{lenient::null_is_absent, schema};

/// Ports of the destination's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortMatch {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = schema::NAME))]
    pub name: Option<String>,
    /// The ports, as the pod listens on them; absent or empty, every port.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::ports")]
    pub ports: Vec<u16>,
}

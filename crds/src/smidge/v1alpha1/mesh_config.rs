//! MeshConfig v1alpha1: the settings of the whole mesh. One object, named `default`; absent, everything has its default.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Sidecar;
use crate::{Status, schema};

/// The only name that a MeshConfig may have.
pub const NAME: &str = "default";

/// The settings of the whole mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(group = "smidge.dev", version = "v1alpha1", kind = "MeshConfig", plural = "meshconfigs")]
#[kube(status = "Status", derive = "PartialEq", derive = "Default", doc = "The settings of the whole mesh.")]
#[kube(validation = Rule::new("self.metadata.name == 'default'").message("the mesh has one MeshConfig, and its name is default"))]
#[serde(rename_all = "camelCase")]
pub struct MeshConfigSpec {
    /// What happens to a call that no TrafficTarget allows. A namespace's label `smidge.dev/mode` overrides it.
    #[serde(default)]
    pub mode: Mode,
    /// Whether pods accept connections without mTLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtls: Option<Mtls>,
    /// The trust domain in every identity, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. Cannot be changed:
    /// every certificate in the mesh holds it. To move to another, delete this object and restart the mesh.
    #[serde(default = "trust_domain")]
    #[schemars(length(min = 1, max = schema::NAME), regex(pattern = r"^[a-z0-9]([-a-z0-9._]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("trustDomain cannot be changed"))]
    pub trust_domain: String,
    /// Ports on which the server speaks first, or whose protocol must not be guessed: their traffic is always plain TCP to the mesh.
    #[serde(default = "opaque_ports")]
    #[schemars(schema_with = "schema::ports")]
    pub opaque_ports: Vec<u16>,
    /// What is done with a port whose Service does not declare its protocol.
    #[serde(default)]
    pub default_protocol: DefaultProtocol,
    /// Whether every proxy writes a line for every request and connection.
    #[serde(default)]
    pub access_log: bool,
    /// What pods are given when they join the mesh.
    #[serde(default)]
    pub sidecar: Sidecar,
    /// Whether pods may have containers that could go round the mesh: that run as the sidecar's user or may change the
    /// network (`NET_ADMIN`).
    #[serde(default)]
    pub permit_proxy_bypass: bool,
}

impl Default for MeshConfigSpec {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            mtls: None,
            trust_domain: trust_domain(),
            opaque_ports: opaque_ports(),
            default_protocol: DefaultProtocol::default(),
            access_log: false,
            sidecar: Sidecar::default(),
            permit_proxy_bypass: false,
        }
    }
}

fn trust_domain() -> String {
    "cluster.local".to_owned()
}

/// SMTP, submission, MySQL, Galera, PostgreSQL, Redis, Elasticsearch's transport, Memcached.
fn opaque_ports() -> Vec<u16> {
    vec![25, 587, 3306, 4444, 5432, 6379, 9300, 11211]
}

/// What happens to a call that no policy allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is refused: SMI's default.
    #[default]
    Deny,
    /// It goes through; that it would have been refused is logged and counted.
    Audit,
    /// It goes through.
    Allow,
}

/// Whether pods accept connections without mTLS; absent: strict where the mode is deny, else permissive. A namespace's
/// label `smidge.dev/mtls` overrides it. Whom an IngressBackend names by address is accepted either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mtls {
    /// They are closed before a byte is answered.
    Strict,
    /// They are accepted, as from a caller without an identity: the mode decides what such a one may do.
    Permissive,
}

/// How the protocol of a port is found that nothing declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefaultProtocol {
    /// From the connection's first bytes.
    #[default]
    Detect,
    /// It is plain TCP.
    Tcp,
}

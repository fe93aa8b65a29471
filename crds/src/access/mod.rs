//! `access.smi-spec.io`: TrafficTarget in its three versions, and the parts that they share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{lenient::null_is_absent, schema};

pub mod v1alpha1;
pub mod v1alpha2;
pub mod v1alpha3;

/// An identity: who calls or who is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// What kind of identity it is.
    pub kind: SubjectKind,
    /// Its name.
    #[schemars(length(min = 1, max = schema::NAME))]
    pub name: String,
    /// Its namespace; absent, the target's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
}

/// The kinds of identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SubjectKind {
    /// A Kubernetes ServiceAccount.
    ServiceAccount,
    /// A group of ServiceAccounts, such as `system:serviceaccounts:<namespace>`.
    Group,
    /// An IdentityBinding.
    IdentityBinding,
}

/// Routes that the sources may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetRule {
    /// What kind of routes they are.
    pub kind: RuleKind,
    /// The name of the group or route, in the target's own namespace.
    #[schemars(length(min = 1, max = schema::NAME))]
    pub name: String,
    /// The names of the matches that are allowed; absent, every match of the group.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = schema::MATCHES), inner(length(min = 1, max = schema::NAME)))]
    pub matches: Vec<String>,
}

/// The kinds of routes that a rule may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleKind {
    /// A group of HTTP routes.
    #[serde(rename = "HTTPRouteGroup")]
    HttpRouteGroup,
    /// TCP ports.
    #[serde(rename = "TCPRoute")]
    TcpRoute,
    /// UDP ports.
    #[serde(rename = "UDPRoute")]
    UdpRoute,
}

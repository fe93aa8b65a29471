//! IngressBackend v1alpha1: who outside the mesh may call a Service's pods. Whom it does not name stays out.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Status, lenient::null_is_absent, schema};

/// Lets callers outside the mesh (ingress controllers, Prometheus, test runners) call some ports of Services.
/// Access is additive: what neither this nor a TrafficTarget allows is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(group = "smidge.dev", version = "v1alpha1", kind = "IngressBackend", plural = "ingressbackends")]
#[kube(namespaced, status = "Status", derive = "PartialEq", doc = "Lets callers outside the mesh call some Services.")]
#[schemars(extend("required" = ["backends", "sources"]))]
pub struct IngressBackendSpec {
    /// What may be called.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = schema::INGRESS_BACKENDS))]
    pub backends: Vec<Backend>,
    /// Who may call.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = schema::INGRESS_SOURCES))]
    pub sources: Vec<Source>,
}

/// A port of a Service, and which requests to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backend {
    /// The Service, in the object's own namespace.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its port.
    pub port: BackendPort,
    /// The only requests that are let in; absent, everything is. On a TCP port there are no requests: with routes nothing is.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = schema::INGRESS_ROUTES))]
    pub routes: Vec<IngressRoute>,
}

/// A port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendPort {
    /// Its number, as the Service has it.
    #[schemars(schema_with = "schema::port")]
    pub number: u16,
}

/// Routes of an HTTPRouteGroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IngressRoute {
    /// The name of the HTTPRouteGroup, in the object's own namespace.
    #[schemars(length(min = 1, max = schema::NAME))]
    pub name: String,
    /// The names of the matches that are allowed; absent, every match of the group.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = schema::REFERENCES), inner(length(min = 1, max = schema::NAME)))]
    pub matches: Vec<String>,
}

/// Callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.kind == 'IPRange' ? has(self.cidr) && !has(self.name) && !has(self.namespace) : true")
    .message("a source of kind IPRange has a cidr and nothing else"))]
#[x_kube(validation = Rule::new("self.kind == 'Service' ? has(self.name) && !has(self.cidr) : true")
    .message("a source of kind Service has a name, and a namespace if it is another one"))]
#[x_kube(validation = Rule::new("self.kind == 'AuthenticatedPrincipal' ? has(self.name) && !has(self.cidr) && !has(self.namespace) : true")
    .message("a source of kind AuthenticatedPrincipal has a name and nothing else"))]
pub struct Source {
    /// By what they are known.
    pub kind: SourceKind,
    /// IPRange: the addresses, such as `10.0.0.0/8` or `fd00::1/128`, as the pod sees them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"))]
    pub cidr: Option<String>,
    /// Service: its name. AuthenticatedPrincipal: a URI (`spiffe://…`) or DNS name of the caller's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub name: Option<String>,
    /// Service: its namespace; absent, the object's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
}

/// By what callers outside the mesh are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SourceKind {
    /// Their address. An address says where a call comes from, not who makes it.
    #[serde(rename = "IPRange")]
    IpRange,
    /// The pods of a Service: by their addresses, or, those that are in the mesh, by their identities.
    Service,
    /// A client certificate that the mesh's root vouches for.
    AuthenticatedPrincipal,
}

//! Which object something is about.

use std::{fmt, sync::Arc};

use serde::Serialize;
use smidge_mesh::{PodName, ServiceName};

/// The kinds that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// `v1 Namespace`
    Namespace,
    /// `v1 Service`
    Service,
    /// `discovery.k8s.io/v1 EndpointSlice`
    EndpointSlice,
    /// `v1 Pod`
    Pod,
    /// `split.smi-spec.io TrafficSplit`
    TrafficSplit,
    /// `access.smi-spec.io TrafficTarget`
    TrafficTarget,
    /// `specs.smi-spec.io HTTPRouteGroup`
    #[serde(rename = "HTTPRouteGroup")]
    HttpRouteGroup,
    /// `specs.smi-spec.io TCPRoute`
    #[serde(rename = "TCPRoute")]
    TcpRoute,
    /// `specs.smi-spec.io UDPRoute`
    #[serde(rename = "UDPRoute")]
    UdpRoute,
    /// `smidge.dev MeshConfig`
    MeshConfig,
    /// `smidge.dev IngressBackend`
    IngressBackend,
}

impl Kind {
    /// The kind as it stands in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
            Self::TrafficSplit => "TrafficSplit",
            Self::TrafficTarget => "TrafficTarget",
            Self::HttpRouteGroup => "HTTPRouteGroup",
            Self::TcpRoute => "TCPRoute",
            Self::UdpRoute => "UDPRoute",
            Self::MeshConfig => "MeshConfig",
            Self::IngressBackend => "IngressBackend",
        }
    }

    /// Whether its status is ours to write.
    pub fn has_status(self) -> bool {
        !matches!(self, Self::Namespace | Self::Service | Self::EndpointSlice | Self::Pod)
    }
}

/// The name of an object of any kind. `namespace` is empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace, or empty.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectRef {
    /// The reference to an object.
    pub fn new(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl From<&ServiceName> for ObjectRef {
    fn from(service: &ServiceName) -> Self {
        Self::new(Kind::Service, service.namespace.clone(), service.name.clone())
    }
}

impl From<&PodName> for ObjectRef {
    fn from(pod: &PodName) -> Self {
        Self::new(Kind::Pod, pod.namespace.clone(), pod.name.clone())
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{}/{}", self.kind.as_str(), self.name),
            namespace => write!(f, "{}/{namespace}/{}", self.kind.as_str(), self.name),
        }
    }
}

//! The resource types that are served, in the order in which a proxy has to receive them.

use std::fmt;

/// The type of an xDS resource. The order of the variants is the order of warming: what is named comes before what
/// names it, so that an addition is never seen half (make before break); removals go the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TypeUrl {
    /// SDS: certificates and validation contexts.
    Secret,
    /// CDS.
    Cluster,
    /// EDS: `ClusterLoadAssignment`.
    Endpoints,
    /// ECDS: one filter's configuration, changed without touching its listener.
    Extension,
    /// LDS.
    Listener,
    /// RDS. After the listeners: Envoy subscribes to a route configuration because a listener names it.
    Route,
}

impl TypeUrl {
    /// Every type, in the order of warming.
    pub const ALL: [Self; 6] =
        [Self::Secret, Self::Cluster, Self::Endpoints, Self::Extension, Self::Listener, Self::Route];

    /// The URL on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Extension => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The type that a URL names, if it is one that is served.
    pub fn from_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == url)
    }
}

impl fmt::Display for TypeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str().rsplit('.').next().unwrap_or_default())
    }
}

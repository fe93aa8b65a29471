//! What is kept of an object: small values, made at the door, the raw object dropped.
//!
//! `Digest::digest` reads an object once, into a value that cannot be wrong: what is unfit in it is left out and told as
//! a [`Problem`]. What comes of its relation to other objects is not known here.

mod config;
mod ingress;
mod pod;
mod routes;
mod service;
mod slice;
mod split;
mod target;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{Code, Kind, ObjectRef};

pub use config::{MeshConfigFacts, NamespaceFacts};
pub use ingress::{IngressBackendFacts, IngressFacts, IngressSource, SourceFacts};
pub use pod::{PodFacts, SIDECAR};
pub use routes::{NamedMatch, PortRouteFacts, RouteGroupFacts};
pub use service::{Addressing, ServiceFacts, ServicePortFacts, TargetPort};
pub use slice::{EndpointFacts, EndpointSliceFacts, SlicePort};
pub use split::{SplitBackend, SplitFacts};
pub use target::{Rule, RuleKind, TargetFacts};

/// The facts about one object. A clone is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// `v1 Namespace`
    Namespace(Arc<NamespaceFacts>),
    /// `v1 Service`
    Service(Arc<ServiceFacts>),
    /// `discovery.k8s.io/v1 EndpointSlice`
    EndpointSlice(Arc<EndpointSliceFacts>),
    /// `v1 Pod`
    Pod(Arc<PodFacts>),
    /// `split.smi-spec.io TrafficSplit`
    TrafficSplit(Arc<SplitFacts>),
    /// `access.smi-spec.io TrafficTarget`
    TrafficTarget(Arc<TargetFacts>),
    /// `specs.smi-spec.io HTTPRouteGroup`
    HttpRouteGroup(Arc<RouteGroupFacts>),
    /// `specs.smi-spec.io TCPRoute`
    TcpRoute(Arc<PortRouteFacts>),
    /// `specs.smi-spec.io UDPRoute`
    UdpRoute(Arc<PortRouteFacts>),
    /// `smidge.dev MeshConfig`
    MeshConfig(Arc<MeshConfigFacts>),
    /// `smidge.dev IngressBackend`
    IngressBackend(Arc<IngressFacts>),
}

impl Fact {
    /// Which object these are the facts of.
    pub fn object(&self) -> ObjectRef {
        self.origin().object(self.kind())
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Namespace(_) => Kind::Namespace,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Pod(_) => Kind::Pod,
            Self::TrafficSplit(_) => Kind::TrafficSplit,
            Self::TrafficTarget(_) => Kind::TrafficTarget,
            Self::HttpRouteGroup(_) => Kind::HttpRouteGroup,
            Self::TcpRoute(_) => Kind::TcpRoute,
            Self::UdpRoute(_) => Kind::UdpRoute,
            Self::MeshConfig(_) => Kind::MeshConfig,
            Self::IngressBackend(_) => Kind::IngressBackend,
        }
    }

    /// Its name, age and generation.
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Namespace(facts) => &facts.origin,
            Self::Service(facts) => &facts.origin,
            Self::EndpointSlice(facts) => &facts.origin,
            Self::Pod(facts) => &facts.origin,
            Self::TrafficSplit(facts) => &facts.origin,
            Self::TrafficTarget(facts) => &facts.origin,
            Self::HttpRouteGroup(facts) => &facts.origin,
            Self::TcpRoute(facts) | Self::UdpRoute(facts) => &facts.origin,
            Self::MeshConfig(facts) => &facts.origin,
            Self::IngressBackend(facts) => &facts.origin,
        }
    }

    /// What is unfit in the object itself.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Namespace(facts) => &facts.problems,
            Self::TrafficSplit(facts) => &facts.problems,
            Self::TrafficTarget(facts) => &facts.problems,
            Self::HttpRouteGroup(facts) => &facts.problems,
            Self::TcpRoute(facts) | Self::UdpRoute(facts) => &facts.problems,
            Self::MeshConfig(facts) => &facts.problems,
            Self::IngressBackend(facts) => &facts.problems,
            Self::Service(_) | Self::EndpointSlice(_) | Self::Pod(_) => &[],
        }
    }
}

/// Objects that have facts.
pub trait Digest {
    /// Its facts.
    fn digest(&self) -> Fact;
}

/// Name, age and generation of the object that facts were made of. Orders by age, the oldest first; those of equal
/// age, or of none as in a folder, by namespace and name (smi.md §3.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// When it was created, in seconds since 1970.
    pub created: Option<i64>,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// `metadata.generation` of the kinds whose status is ours; else `None`, so that a change that is none of ours is none.
    pub generation: Option<i64>,
}

impl Origin {
    /// Of a kind whose status is not ours.
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            created: meta.creation_timestamp.as_ref().map(|time| time.0.as_second()),
            namespace: meta.namespace.as_deref().unwrap_or_default().into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
            generation: None,
        }
    }

    /// Of a kind whose status is ours.
    fn with_status(meta: &ObjectMeta) -> Self {
        Self { generation: meta.generation, ..Self::of(meta) }
    }

    /// The object of that kind.
    pub fn object(&self, kind: Kind) -> ObjectRef {
        ObjectRef::new(kind, self.namespace.clone(), self.name.clone())
    }
}

/// Something unfit in an object itself, whatever else there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which entry of the catalogue.
    pub code: Code,
    /// Where: `spec.backends[1].weight`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    /// A problem at a field.
    pub(crate) fn new(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: message.into() }
    }
}

/// A text from outside, cut so that a message stays readable.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

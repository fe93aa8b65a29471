//! `smidge.dev/v1alpha1`: MeshConfig and IngressBackend.

mod ingress_backend;
mod mesh_config;
mod sidecar;

pub use ingress_backend::{Backend, BackendPort, IngressBackend, IngressBackendSpec, IngressRoute, Source, SourceKind};
pub use mesh_config::{DefaultProtocol, MeshConfig, MeshConfigSpec, Mode, Mtls, NAME};
pub use sidecar::{Amounts, LogLevel, Resources, Sidecar, TrustFrom};

//! The words that the translator and the xDS server share: a resource, its name, its type, its version.
//!
//! A [`Resource`] is encoded once, as the `envoy.service.discovery.v3.Resource` message that goes on the wire, and its
//! bytes are shared by every stream that gets it. This crate knows no stream, no protocol rule and no mesh.

mod resource;
mod type_url;
mod update;

pub use resource::{Change, Name, Resource, Version};
pub use type_url::TypeUrl;
pub use update::{Epoch, LayerChange, ProxyChange, ProxyId, Update, WorkloadId};

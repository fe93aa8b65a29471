//! `smidge.dev`: what SMI leaves to each mesh.

pub mod v1alpha1;

/// The label of namespaces that puts them into the mesh: `enabled` or `disabled`. On a pod, as label or annotation, it may
/// keep the pod out.
pub const INJECT: &str = "smidge.dev/inject";
/// The label that overrides the mesh's mode for a namespace: `deny`, `audit` or `allow`.
pub const MODE: &str = "smidge.dev/mode";
/// The label that says whether a namespace's pods accept connections without mTLS: `strict` or `permissive`.
pub const MTLS: &str = "smidge.dev/mtls";

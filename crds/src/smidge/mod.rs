//! `smidge.dev`: what SMI leaves to each mesh.

pub mod v1alpha1;

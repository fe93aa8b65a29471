//! UDPRoute, which has one version.

pub mod v1alpha4;

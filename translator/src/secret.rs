//! Secrets.

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use smidge_mesh as mesh;
use smidge_xds::{Resource, TypeUrl};

/// To come.
pub fn translate_peers(_: &mesh::Peers) -> Vec<Resource> {
    Vec::new()
}

/// The SDS resource `workload`: the proxy's own certificate, with its chain, and key, both in PEM.
/// Holds a private key: never log it, never share it between streams.
pub fn workload_certificate(_chain_pem: &str, _key_pem: &str) -> Resource {
    Resource::new(TypeUrl::Secret, "workload", &Secret::default())
}

//! Mesh value → resources.

use smidge_mesh as mesh;
use smidge_xds::Resource;

/// To come.
pub fn translate_endpoints(_: &mesh::Endpoints) -> Vec<Resource> {
    Vec::new()
}

//! Mesh value → resources.

use smidge_mesh as mesh;
use smidge_xds::Resource;

/// To come.
pub fn translate_service(_: &mesh::Service) -> Vec<Resource> {
    Vec::new()
}

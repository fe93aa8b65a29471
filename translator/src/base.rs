//! Mesh value → resources.

use smidge_mesh as mesh;
use smidge_xds::Resource;

/// To come.
pub fn translate_base(_: &mesh::Base) -> Vec<Resource> {
    Vec::new()
}

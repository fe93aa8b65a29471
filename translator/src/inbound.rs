//! Mesh value → resources.

use smidge_mesh as mesh;
use smidge_xds::Resource;

/// To come.
pub fn translate_inbound(_: &mesh::Inbound) -> Vec<Resource> {
    Vec::new()
}

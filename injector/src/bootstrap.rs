//! The Envoy bootstrap.

use std::path::PathBuf;

/// What the bootstrap of one proxy depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The node's id: `<pod>.<namespace>`.
    pub node: String,
    /// The node's cluster: `<service account>.<namespace>`, for statistics and logs only.
    pub cluster: String,
    /// The control plane's Unix socket.
    pub xds_socket: PathBuf,
    /// The port of the admin interface on loopback.
    pub admin_port: u16,
}

/// The bootstrap as JSON, to be given to `envoy -c`.
pub fn bootstrap(_: &Bootstrap) -> String {
    String::new()
}

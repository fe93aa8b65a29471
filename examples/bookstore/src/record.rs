//! The line that an app writes to its standard output for each call it makes, and that the demo counts.

use serde::{Deserialize, Serialize};

/// One call of an app, and how it ended. One line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The path that was called.
    pub(crate) path: String,
    /// The HTTP status; 0 when no answer came.
    pub(crate) status: u16,
    /// Which app says it has answered; empty when a sidecar did, as for a denied call.
    pub(crate) by: String,
}

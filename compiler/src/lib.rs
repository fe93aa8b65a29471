//! Kubernetes and SMI objects in, the mesh and its diagnostics out: pure, synchronous functions per key over an
//! immutable snapshot.
//!
//! ```text
//! object ─digest→ Fact ─apply→ Snapshot ─compile_*→ mesh values
//!                                      ├affected→  which keys to compile again
//!                                      └diagnose→  what to tell the author of an object
//! ```
//! There is no watch, clock, lock, file or Envoy here, and no memory: the same snapshot gives the same values in every
//! process. A wrong object is never an error of ours: an invalid part counts as absent, and `diagnose` says so.

mod affected;
pub mod codes;
mod compile;
mod diagnose;
mod diagnostic;
pub mod facts;
mod link;
pub mod manifest;
mod object;
pub mod pattern;
mod snapshot;
#[cfg(feature = "testing")]
pub mod testing;

pub use affected::{Dirty, affected};
pub use compile::{
    compile, compile_endpoints, compile_inbound, compile_peers, compile_service, meshed_pods, opened_ports, own_pods,
    permission, protocol_of, selected_matches, services_of, workload_key,
};
pub use diagnose::{Reach, diagnose, grantors, reach};
pub use diagnostic::{Code, Condition, Diagnostic, Severity};
pub use facts::{Digest, Fact};
pub use object::{Kind, ObjectRef};
pub use snapshot::{Change, Event, Snapshot};

//! The way onto a cluster and off it: the manifests of `manifests/`, embedded, and checks that say what is wrong.
//!
//! ```text
//! manifests/*.yaml ──┐
//! smidge_crds::all() ┴→ objects(Options) ──install──→ API server ──check──→ Vec<Finding>
//!                                        ──migrate─→ (objects of users, stored anew)
//!                                        ──remove──→
//! ```
//! Nothing of the control plane's own work is in here.

mod apply;
pub mod check;
mod manifests;
mod migrate;
mod remove;

pub use apply::{Progress, install};
pub use manifests::{Options, objects};
pub use remove::{Removal, Removing, remove};
pub use smidge_injector::CONTROL_PLANE as NAMESPACE;

/// The name of the control plane's Deployment, account, role and policies.
pub const OPERATOR: &str = "smidge-operator";

/// Why the cluster is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A manifest of ours is broken.
    #[error("the manifest {file} that was built in is broken; this is a bug: please report it")]
    Manifest {
        /// Which.
        file: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server has refused.
    #[error("{what}")]
    Refused {
        /// What was tried, with the object.
        what: String,
        /// Its words.
        source: Box<kube::Error>,
    },
    /// It has not come true in time.
    #[error("{what} after {seconds} s; `smidge check` says why, and `kubectl -n {NAMESPACE} get pods,events`")]
    Late {
        /// What is missing.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Objects from before the installation that the API server does not take as they are.
    #[error(
        "objects of {kind} are still stored in an older version ({number}), since they cannot be written as they are: {shown}. Mend them, \
         then run smidge install again; until then they can be read while the control plane works"
    )]
    Unmigrated {
        /// Of which kind.
        kind: String,
        /// How many.
        number: usize,
        /// The first of them, each with the API server's words.
        shown: String,
    },
    /// What is being deleted is not gone in time.
    #[error("{what} is still there after {seconds} s; `smidge uninstall` goes on from here")]
    Remains {
        /// What.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
}

/// Says which object was in hand when the API server refused.
fn refused(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
    let what = what.into();
    move |source| Error::Refused { what, source: Box::new(source) }
}

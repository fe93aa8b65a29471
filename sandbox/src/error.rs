//! Why a sandbox could not do what it was asked to.

use std::{io, path::PathBuf, time::Duration};

/// What went wrong, and with what.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Namespaces, veth pairs and nft rules need root.
    #[error(
        "only root may make network namespaces, the machine's or that of a user namespace: {why}; {advice}, or run it as root (sudo -E)"
    )]
    NotRoot {
        /// What stands in the way.
        why: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A program that cargo does not build is not there.
    #[error("{} does not exist: run `make tools`, or set {variable} to your own", path.display())]
    NoTool {
        /// Where it was looked for.
        path: PathBuf,
        /// The environment variable that names a user's own.
        variable: &'static str,
    },
    /// A program of the system could not be started.
    #[error("cannot start {program}: {source} (needed: util-linux, iproute2, nftables)")]
    Spawn {
        /// The program's name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program of the system said no.
    #[error("{program} failed: {stderr}")]
    Failed {
        /// The command line.
        program: String,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// A file, folder or socket could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Something was expected in time and did not come.
    #[error("{what} not within {within:?}; last seen: {last}")]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
        /// The last answer or error.
        last: String,
    },
    /// Envoy's admin answered, but not with 200.
    #[error("Envoy's admin answered {status} to {path}: {body}")]
    Admin {
        /// The path that was asked for.
        path: String,
        /// HTTP status.
        status: u16,
        /// The answer's body.
        body: String,
    },
    /// A pod that was asked to do something with its Envoy has none.
    #[error("pod {pod} has no sidecar")]
    NoSidecar {
        /// `<pod>.<namespace>`.
        pod: String,
    },
}

impl Error {
    /// Says what was tried when `source` happened.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

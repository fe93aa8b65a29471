//! Where the programs are that cargo does not build: the user's own by an environment variable, else those that
//! `make tools` put into the cache. Out comes a path that exists, or an error that says what to do.

use std::{env, path::PathBuf};

use crate::Error;

/// Shared with the scripts that install the tools.
const VERSIONS: &str = include_str!("../../e2e/tools/versions.env");

/// A program that the demo or the tests run and cargo does not build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The API server's store.
    Etcd,
    /// `kube-apiserver`.
    ApiServer,
    /// `kubectl`.
    Kubectl,
    /// Stock Envoy.
    Envoy,
}

impl Tool {
    /// The environment variable with which a user brings their own.
    fn variable(self) -> &'static str {
        match self {
            Self::Etcd => "ETCD",
            Self::ApiServer => "KUBE_APISERVER",
            Self::Kubectl => "KUBECTL",
            Self::Envoy => "ENVOY",
        }
    }

    /// Its name in the cache without the version, and the name of the version.
    fn cached(self) -> (&'static str, &'static str) {
        match self {
            Self::Etcd => ("etcd", "ETCD_VERSION"),
            Self::ApiServer => ("kube-apiserver", "KUBERNETES_VERSION"),
            Self::Kubectl => ("kubectl", "KUBERNETES_VERSION"),
            Self::Envoy => ("envoy", "ENVOY_VERSION"),
        }
    }

    fn file_name(self) -> String {
        let (name, version) = self.cached();
        let says = |line: &'static str| line.strip_prefix(version)?.strip_prefix('=');
        format!("{name}-{}", VERSIONS.lines().find_map(says).unwrap_or_default())
    }

    /// The program's path.
    ///
    /// # Errors
    /// [`Error::NoTool`] when there is none.
    pub fn path(self) -> Result<PathBuf, Error> {
        let variable = self.variable();
        let own = env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        let path = own.unwrap_or_else(|| cache().join("bin").join(self.file_name()));
        if path.is_file() { Ok(path) } else { Err(Error::NoTool { path, variable }) }
    }
}

/// The folder outside the checkout where the tools are kept: `$SMIDGE_CACHE`, else `~/.cache/smidge`.
fn cache() -> PathBuf {
    let own = env::var_os("SMIDGE_CACHE").filter(|path| !path.is_empty());
    own.map_or_else(|| env::home_dir().unwrap_or_default().join(".cache/smidge"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_version_in_its_name() {
        for tool in [Tool::Etcd, Tool::ApiServer, Tool::Kubectl, Tool::Envoy] {
            assert!(tool.file_name().contains(|c: char| c.is_ascii_digit()), "{tool:?}");
        }
    }
}

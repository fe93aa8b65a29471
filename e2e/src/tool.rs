//! Where the programs are that the tests run: the user's own by an environment variable, else those that `make tools` put
//! into the cache. Out comes a path that exists, or an error that says what to do.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Shared with the scripts that build the tools.
const VERSIONS: &str = include_str!("../tools/versions.env");

/// A program that the tests run and cargo does not build.
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
            Tool::Etcd => "ETCD",
            Tool::ApiServer => "KUBE_APISERVER",
            Tool::Kubectl => "KUBECTL",
            Tool::Envoy => "ENVOY",
        }
    }

    /// Where `make tools` puts it, relative to the cache.
    fn cached(self) -> Result<PathBuf> {
        Ok(match self {
            Tool::Etcd => format!("bin/etcd-{}", version("ETCD_VERSION")?).into(),
            Tool::ApiServer => format!("bin/kube-apiserver-{}", version("KUBERNETES_VERSION")?).into(),
            Tool::Kubectl => format!("bin/kubectl-{}", version("KUBERNETES_VERSION")?).into(),
            Tool::Envoy => format!("bin/envoy-{}", version("ENVOY_VERSION")?).into(),
        })
    }

    /// The program's path.
    pub fn path(self) -> Result<PathBuf> {
        if let Some(own) = std::env::var_os(self.variable()) {
            return existing(own.into(), &format!("named by ${}", self.variable()));
        }
        let how = format!("run `make tools`, or set ${} to your own", self.variable());
        existing(cache()?.join(self.cached()?), &how)
    }
}

fn existing(path: PathBuf, how: &str) -> Result<PathBuf> {
    if !path.exists() {
        bail!("{} does not exist ({how})", path.display());
    }
    Ok(path)
}

fn version(name: &str) -> Result<&'static str> {
    VERSIONS
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .with_context(|| format!("e2e/tools/versions.env does not say {name}"))
}

/// The folder outside the checkout where the tools are kept.
pub fn cache() -> Result<PathBuf> {
    if let Some(own) = std::env::var_os("SMIDGE_CACHE") {
        return Ok(own.into());
    }
    let home = std::env::var_os("HOME").context("neither $SMIDGE_CACHE nor $HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/smidge"))
}

/// The root of the checkout.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_version_in_its_name() {
        for tool in [Tool::Etcd, Tool::ApiServer, Tool::Kubectl, Tool::Envoy] {
            let path = tool.cached().unwrap();
            assert!(path.to_str().unwrap().contains(|c: char| c.is_ascii_digit()), "{path:?}");
        }
    }

    #[test]
    fn a_missing_program_says_what_to_do() {
        let error = existing("/nowhere/etcd".into(), "run `make tools`").unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/etcd does not exist (run `make tools`)");
    }
}

//! Where the programs are that cargo does not build: the user's own by an environment variable, else those that
//! `make tools` put into the cache. Out comes a path that exists, or an error that says what to do.

use std::{env, path::PathBuf};

use crate::Error;

/// Shared with the scripts that install the tools.
const VERSIONS: &str = include_str!("../../e2e/tools/versions.env");

/// A program that the demo or the tests run and cargo does not build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the program of that name")]
pub enum Tool {
    Etcd,
    ApiServer,
    Kubectl,
    Envoy,
    ControllerManager,
    Scheduler,
    Kubelet,
    KubeProxy,
    Containerd,
    ContainerdShim,
    Ctr,
    CniBridge,
    CniLoopback,
    CniHostLocal,
    CniPortmap,
    CoreDns,
}

impl Tool {
    /// The environment variable with which a user brings their own, its name in the cache without the version, and the
    /// name of the version.
    fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Etcd => ("ETCD", "etcd", "ETCD_VERSION"),
            Self::ApiServer => ("KUBE_APISERVER", "kube-apiserver", "KUBERNETES_VERSION"),
            Self::Kubectl => ("KUBECTL", "kubectl", "KUBERNETES_VERSION"),
            Self::Envoy => ("ENVOY", "envoy", "ENVOY_VERSION"),
            Self::ControllerManager => ("KUBE_CONTROLLER_MANAGER", "kube-controller-manager", "KUBERNETES_VERSION"),
            Self::Scheduler => ("KUBE_SCHEDULER", "kube-scheduler", "KUBERNETES_VERSION"),
            Self::Kubelet => ("KUBELET", "kubelet", "KUBERNETES_VERSION"),
            Self::KubeProxy => ("KUBE_PROXY", "kube-proxy", "KUBERNETES_VERSION"),
            Self::Containerd => ("CONTAINERD", "containerd", "CONTAINERD_VERSION"),
            Self::ContainerdShim => ("CONTAINERD_SHIM", "containerd-shim-runc-v2", "CONTAINERD_VERSION"),
            Self::Ctr => ("CTR", "ctr", "CONTAINERD_VERSION"),
            Self::CniBridge => ("CNI_BRIDGE", "cni-bridge", "CNI_VERSION"),
            Self::CniLoopback => ("CNI_LOOPBACK", "cni-loopback", "CNI_VERSION"),
            Self::CniHostLocal => ("CNI_HOST_LOCAL", "cni-host-local", "CNI_VERSION"),
            Self::CniPortmap => ("CNI_PORTMAP", "cni-portmap", "CNI_VERSION"),
            Self::CoreDns => ("COREDNS", "coredns", "COREDNS_VERSION"),
        }
    }

    fn file_name(self) -> String {
        let (_, name, version) = self.row();
        let says = |line: &'static str| line.strip_prefix(version)?.strip_prefix('=');
        format!("{name}-{}", VERSIONS.lines().find_map(says).unwrap_or_default())
    }

    /// The program's path.
    ///
    /// # Errors
    /// [`Error::NoTool`] when there is none.
    pub fn path(self) -> Result<PathBuf, Error> {
        let (variable, ..) = self.row();
        let own = env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        let path = own.unwrap_or_else(|| cache_folder().join("bin").join(self.file_name()));
        if path.is_file() { Ok(path) } else { Err(Error::NoTool { path, variable }) }
    }
}

/// The folder outside the checkout where the tools are kept: `$SMIDGE_CACHE`, else `~/.cache/smidge`.
pub fn cache_folder() -> PathBuf {
    let own = env::var_os("SMIDGE_CACHE").filter(|path| !path.is_empty());
    own.map_or_else(|| env::home_dir().unwrap_or_default().join(".cache/smidge"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_version_in_its_name() {
        for tool in [Tool::Etcd, Tool::Kubelet, Tool::Ctr, Tool::CniBridge, Tool::CoreDns, Tool::Envoy] {
            assert!(tool.file_name().contains(|c: char| c.is_ascii_digit()), "{tool:?}");
        }
    }
}

//! The node's programs: their settings as files in the node's folder, and the command lines that start them.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::Result;
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};

use crate::{TRUST_BUNDLES, Tool, api_server::FILES, image::Image, pki::Pki};

/// The node's address in its own network, which no other node shares. Also in `begin.sh`.
pub(super) const ADDRESS: &str = "10.99.0.2";
/// Where the API server listens in the node's network.
pub(super) const API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 6443);
const INSIDE: &str = "https://127.0.0.1:6443";
const SERVICES: &str = "10.96.0.0/16,fd00:10:96::/112";
/// The programs that others look for by these names.
const LINKS: [(&str, Tool); 7] = [
    ("containerd", Tool::Containerd),
    ("containerd-shim-runc-v2", Tool::ContainerdShim),
    ("ctr", Tool::Ctr),
    ("bridge", Tool::CniBridge),
    ("loopback", Tool::CniLoopback),
    ("host-local", Tool::CniHostLocal),
    ("portmap", Tool::CniPortmap),
];

/// Writes all that the programs read. `port` is where the API server is reached from outside.
pub(super) fn write_settings(folder: &Path, port: u16) -> Result<Pki> {
    for sub in ["bin", "cni", "log", "plugins"] {
        fs::create_dir(folder.join(sub))?;
    }
    for (name, tool) in LINKS {
        symlink(tool.path()?, folder.join("bin").join(name))?;
    }
    for (name, template) in [
        ("containerd.toml", include_str!("containerd.toml")),
        ("kubelet.yaml", include_str!("kubelet.yaml")),
        ("kube-proxy.yaml", include_str!("kube-proxy.yaml")),
        ("cni/pods.conflist", include_str!("cni.json")),
        // No name server: an unknown name fails at once, where the machine's servers would be waited for in vain.
        ("resolv.conf", ""),
    ] {
        fs::write(folder.join(name), filled(template, folder)?)?;
    }
    certificates(folder, port)
}

/// CoreDNS as a Deployment.
pub(super) fn dns(folder: &Path) -> Result<String> {
    filled(include_str!("coredns.yaml"), folder)
}

fn filled(template: &str, folder: &Path) -> Result<String> {
    // An overlay on an overlay is refused, as in a container; copies work everywhere.
    let overlay = statfs(folder)?.filesystem_type() == OVERLAYFS_SUPER_MAGIC;
    Ok(template
        .replace("{folder}", &folder.display().to_string())
        .replace("{cgroup}", &folder.file_name().unwrap_or_default().to_string_lossy())
        .replace("{snapshotter}", if overlay { "native" } else { "overlayfs" })
        .replace("{pause}", &Image::reference("pause"))
        .replace("{coredns}", &Image::reference("coredns")))
}

fn certificates(folder: &Path, port: u16) -> Result<Pki> {
    let service =
        ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
    let names = [&service[..], &["localhost", "127.0.0.1", "10.96.0.1", ADDRESS]].concat();
    let pki = Pki::write(folder, &format!("https://127.0.0.1:{port}"), &names)?;
    pki.server("kubelet", "node", &["node", ADDRESS, "127.0.0.1"])?;
    pki.client("apiserver-kubelet", "kube-apiserver-kubelet-client", Some("system:masters"))?;
    for (file, user, group) in [
        ("controller-manager", "system:kube-controller-manager", None),
        ("scheduler", "system:kube-scheduler", None),
        ("proxy", "system:kube-proxy", None),
        ("node", "system:node:node", Some("system:nodes")),
    ] {
        pki.client_with_kubeconfig(file, user, group, INSIDE)?;
    }
    Ok(pki)
}

pub(super) fn etcd(folder: &Path) -> Result<Command> {
    let mut etcd = Command::new(Tool::Etcd.path()?);
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    etcd.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    Ok(etcd)
}

/// `has_bundles`: with ClusterTrustBundles, which are off by default.
pub(super) fn api_server(pki: &Pki, has_bundles: bool) -> Result<Command> {
    let mut api = Command::new(Tool::ApiServer.path()?);
    api.args([
        "--etcd-servers=http://127.0.0.1:2379",
        "--secure-port=6443",
        &format!("--advertise-address={ADDRESS}"),
        &format!("--service-cluster-ip-range={SERVICES}"),
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--kubelet-preferred-address-types=InternalIP",
    ]);
    api.args(pki.flags(&FILES)).args(pki.flags(&[
        ("kubelet-certificate-authority", "ca.crt"),
        ("kubelet-client-certificate", "apiserver-kubelet.crt"),
        ("kubelet-client-key", "apiserver-kubelet.key"),
    ]));
    if has_bundles {
        api.args(TRUST_BUNDLES);
    }
    Ok(api)
}

pub(super) fn controllers(pki: &Pki) -> Result<Command> {
    let mut controllers = authorized(Tool::ControllerManager, pki, "controller-manager")?;
    controllers.args(["--use-service-account-credentials=true", "--kube-api-qps=200", "--kube-api-burst=400"]);
    controllers.args(pki.flags(&[
        ("service-account-private-key-file", "accounts.key"),
        ("root-ca-file", "ca.crt"),
        ("cluster-signing-cert-file", "ca.crt"),
        ("cluster-signing-key-file", "ca.key"),
    ]));
    Ok(controllers)
}

pub(super) fn scheduler(pki: &Pki) -> Result<Command> {
    authorized(Tool::Scheduler, pki, "scheduler")
}

fn authorized(tool: Tool, pki: &Pki, name: &str) -> Result<Command> {
    let kubeconfig = pki.file(&format!("{name}.kubeconfig"));
    let mut command = Command::new(tool.path()?);
    for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        command.arg(format!("--{flag}={}", kubeconfig.display()));
    }
    command.arg("--leader-elect=false");
    Ok(command)
}

pub(super) fn containerd(folder: &Path) -> Command {
    let mut containerd = Command::new(folder.join("bin/containerd"));
    containerd.arg("--config").arg(folder.join("containerd.toml"));
    containerd
}

/// `has_bundles`: it can project ClusterTrustBundles.
pub(super) fn kubelet(pki: &Pki, has_bundles: bool) -> Result<Command> {
    let mut kubelet = Command::new(Tool::Kubelet.path()?);
    kubelet.arg(format!("--config={}", pki.file("kubelet.yaml").display()));
    kubelet.arg(format!("--kubeconfig={}", pki.file("node.kubeconfig").display()));
    kubelet.args(["--hostname-override=node", &format!("--node-ip={ADDRESS},fd00:10:99::2")]);
    if has_bundles {
        kubelet.arg(TRUST_BUNDLES[0]);
    }
    Ok(kubelet)
}

pub(super) fn kube_proxy(folder: &Path) -> Result<Command> {
    let mut proxy = Command::new(Tool::KubeProxy.path()?);
    proxy.arg(format!("--config={}", folder.join("kube-proxy.yaml").display()));
    Ok(proxy)
}

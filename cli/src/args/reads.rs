//! What can be asked of a mesh that runs: the arguments of `status`, `proxy` and their like.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use smidge_injector::CONTROL_PLANE;

use super::parse_duration;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shown {
    /// For people
    Table,
    /// All of it, as JSON
    Json,
    /// All of it, as YAML
    Yaml,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all is well; 1 a proxy has rejected something or is not connected, a replica does not \
                        answer, or the command failed; 2 the arguments are wrong."
)]
pub(crate) struct Status {
    /// Only the proxies of this namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Shown,
    /// The control plane's namespace
    #[arg(long, value_name = "NAMESPACE", default_value = CONTROL_PLANE)]
    pub(crate) control_plane: String,
    /// How long to wait for each answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

/// What is asked of a proxy.
#[derive(Debug, Subcommand)]
pub(crate) enum Proxy {
    /// All of its configuration; as a table how many resources of each type it has
    Config(Of),
    /// The clusters, and how many of their endpoints are healthy
    Clusters(Of),
    /// The routes in the order in which they are tried: what they match, and where they lead
    Routes(Of),
    /// The listeners, and the routes and clusters that they lead to
    Listeners(Of),
    /// The endpoints of all clusters, as Envoy sees them now
    Endpoints(Of),
    /// Who the proxy is and until when, and whom it believes; private keys are never shown
    Secrets(Of),
    /// The sidecar's log: the access log's JSON lines among Envoy's own
    Logs(ProxyLogs),
}

/// Which proxy.
#[derive(Debug, Args)]
pub(crate) struct ProxyPod {
    /// The pod
    pub(crate) pod: String,
    /// Its namespace; by default that of the kubeconfig
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// How long to wait for each answer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Of {
    #[command(flatten)]
    pub(crate) pod: ProxyPod,
    /// How to print; json and yaml are Envoy's own words
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct ProxyLogs {
    #[command(flatten)]
    pub(crate) pod: ProxyPod,
    /// Go on until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only this many of the newest lines
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) tail: Option<i64>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all is well; 1 the mesh refuses a pod, or the command failed; 2 the arguments are wrong."
)]
pub(crate) struct Inject {
    /// File or folder of manifests, or - for standard input; may be given several times
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// The namespace of objects that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    pub(crate) namespace: String,
    /// Image of the sidecar, where no MeshConfig among the files names one
    #[arg(long, value_name = "IMAGE")]
    pub(crate) proxy_image: Option<String>,
    /// Image of the init container that sets the redirect rules, where no MeshConfig among the files names one
    #[arg(long, value_name = "IMAGE")]
    pub(crate) redirect_image: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all is well; 1 something could not be taken out, or the command failed; 2 the arguments \
                        are wrong."
)]
pub(crate) struct Uninject {
    /// File or folder of manifests, or - for standard input; may be given several times
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
}

/// What happens to calls that nothing allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wanted {
    /// They are served, counted and logged
    Audit,
    /// They are refused
    Deny,
    /// They are served
    Allow,
}

impl Wanted {
    /// As labels and MeshConfig write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Mode {
    /// What happens to calls that no TrafficTarget or IngressBackend allows
    #[arg(value_enum)]
    pub(crate) mode: Wanted,
    /// Of this namespace's pods, by its label
    #[arg(short, long, value_name = "NAMESPACE", required_unless_present = "mesh", conflicts_with = "mesh")]
    pub(crate) namespace: Option<String>,
    /// Of all namespaces without a mode of their own, by the MeshConfig
    #[arg(long)]
    pub(crate) mesh: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BugReport {
    /// The archive (tar), which must not be there yet; by default smidge-bug-report-<time>.tar
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The control plane's namespace
    #[arg(long, value_name = "NAMESPACE", default_value = CONTROL_PLANE)]
    pub(crate) control_plane: String,
    /// How long to wait for each answer of a pod
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

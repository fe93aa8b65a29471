//! What can be asked of `smidge`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use smidge_injector::{CONTROL_PLANE as NAMESPACE, Settings};
use smidge_operator::{
    PlaneConfig, Socket,
    cluster::{Secure, WebhookConfig},
};

use crate::{cluster, crds, lint, operator, rotate, run, translate};

/// A service mesh for the Service Mesh Interface on stock Envoy.
#[derive(Debug, Parser)]
#[command(name = "smidge", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 all is well; 1 the manifests hold errors, or the command failed; 2 the arguments are wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane of a cluster (KUBECONFIG, or the pod's service account)
    Operator(Operator),
    /// Run the control plane without a cluster, over a folder of manifests
    Run(Run),
    /// Print what a proxy gets
    Translate(Translate),
    /// Look for mistakes in manifests; exit code 1 when there are errors
    Lint(Lint),
    /// Install the control plane on the cluster that kubectl would use
    Install(Install),
    /// Remove the control plane; CRDs and what users wrote stay
    Uninstall(Uninstall),
    /// Say whether the cluster is fit for the mesh, and whether the mesh on it works
    ///
    /// A line for each thing looked at: ✓ it is as it should be; ! it works, but not as one would expect, and why; ✗ it does not
    /// work, and what to do. Exit code 1 when there is a ✗.
    Check,
    /// Replace what the mesh trusts, while it runs
    #[command(subcommand)]
    Rotate(Rotate),
    /// Print the CustomResourceDefinitions, for kubectl apply -f -
    Crds,
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
enum Rotate {
    /// Make a new root and retire the old one, without a failed request; shows the progress until it is done
    Root(RotateRoot),
    /// Say how far a rotation is, and what it waits for
    Status(RotateStatus),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RotateStatus {
    /// The control plane's namespace
    #[arg(short, long, value_name = "NAMESPACE", default_value = NAMESPACE)]
    pub(crate) namespace: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RotateRoot {
    /// The control plane's namespace
    #[arg(short, long, value_name = "NAMESPACE", default_value = NAMESPACE)]
    pub(crate) namespace: String,
    /// Ask for it and return; the leader goes on
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Where proxies connect, and what outlives a restart.
#[derive(Debug, ClapArgs)]
struct Plane {
    /// Unix socket on which proxies are served; whoever may open it may get private keys
    #[arg(long, value_name = "PATH", default_value = "/run/smidge/xds.sock")]
    xds_socket: PathBuf,
    /// Group id that may connect to the socket, such as that of Envoy; by default only the own user
    #[arg(long, value_name = "GID", value_parser = parse_gid)]
    xds_group: Option<u32>,
    /// Folder that keeps the root certificate and its key over restarts; without it each start makes a new root
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// How long a workload's certificate is good, such as 1h: from 10s to 8760h, renewed after two thirds of it
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_lifetime)]
    certificate_lifetime: Duration,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Operator {
    #[command(flatten)]
    plane: Plane,
    /// Serve proxies by TLS on this address, such as [::]:15010, each proven by its pod's token, in place of the socket; the
    /// root is then in Secret smidge-root, and of several replicas one leads (environment: POD_NAMESPACE, POD_NAME, POD_IP)
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["xds_socket", "xds_group", "state"])]
    xds_address: Option<SocketAddr>,
    /// With --xds-address: where the leader listens to the other replicas, which tell it what their proxies acknowledge
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:15011")]
    replica_address: SocketAddr,
    /// With --xds-address: how long kubelets may take to bring a changed ConfigMap into all pods, which a rotation waits for
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_duration)]
    trust_propagation: Duration,
    /// With --xds-address: answer the API server's question how pods join on this address, such as [::]:9443
    #[arg(long, value_name = "ADDRESS", requires = "xds_address")]
    webhook_address: Option<SocketAddr>,
    /// Image of the sidecar, a stock Envoy, where the MeshConfig names none
    #[arg(long, value_name = "IMAGE", requires = "webhook_address")]
    proxy_image: Option<String>,
    /// Image of the init container that sets the redirect rules, where the MeshConfig names none
    #[arg(long, value_name = "IMAGE", requires = "webhook_address")]
    redirect_image: Option<String>,
    /// Serve /metrics, /readyz and /livez in plain HTTP on this address, such as 127.0.0.1:9090
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Log in JSON
    #[arg(long)]
    pub(crate) log_json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    /// Folder of manifests (watched), or a file (watched), or - for standard input
    pub(crate) input: PathBuf,
    #[command(flatten)]
    plane: Plane,
    /// File that always holds all statuses: JSON when it ends in .json, else YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) status: Option<PathBuf>,
    /// End after this time, such as 20s, 5m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Log in JSON
    #[arg(long)]
    pub(crate) log_json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Translate {
    /// File or folder of manifests, or - for standard input; may be given several times
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// The proxy: <pod>.<namespace>
    #[arg(long, value_name = "POD.NAMESPACE")]
    pub(crate) proxy: String,
    /// What to print
    #[arg(short, long, value_enum, default_value = "yaml")]
    pub(crate) output: Form,
}

/// How resources are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Form {
    /// Envoy's resources as YAML
    Yaml,
    /// Envoy's resources as JSON
    Json,
    /// The mesh from which they are made
    Mesh,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Lint {
    /// File or folder of manifests, or - for standard input; may be given several times
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Findings,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Findings {
    /// A line each: file:line, code, object, field, message
    Text,
    /// A list
    Json,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Install {
    /// Print what would be applied, for kubectl apply --server-side -f -
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Image of the control plane
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Image of the sidecar: a stock Envoy
    #[arg(long, value_name = "IMAGE")]
    proxy_image: Option<String>,
    /// Image of the init container that sets the redirect rules
    #[arg(long, value_name = "IMAGE")]
    redirect_image: Option<String>,
    /// Replicas of the control plane
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    replicas: Option<u16>,
    /// Do not wait until the control plane is available
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait for it
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

impl Install {
    pub(crate) fn options(&self) -> smidge_installer::Options {
        smidge_installer::Options {
            image: self.image.clone(),
            proxy_image: self.proxy_image.clone(),
            redirect_image: self.redirect_image.clone(),
            replicas: self.replicas,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Uninstall {
    /// Delete the CRDs too, and with them every SMI object of the cluster
    #[arg(long)]
    pub(crate) crds: bool,
    /// How long to wait until everything is gone
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

impl Args {
    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Operator(operator) => operator::run(&operator),
            Command::Run(run) => run::run(&run),
            Command::Translate(translate) => translate::run(&translate),
            Command::Lint(lint) => lint::run(&lint),
            Command::Install(install) => cluster::install_it(&install),
            Command::Uninstall(uninstall) => cluster::uninstall(&uninstall),
            Command::Check => cluster::check_it(),
            Command::Rotate(Rotate::Root(args)) => rotate::root(&args),
            Command::Rotate(Rotate::Status(args)) => rotate::status(&args),
            Command::Crds => crds::run(),
            Command::Version => {
                println!("smidge {}", env!("CARGO_PKG_VERSION"));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Plane {
    fn config(&self) -> PlaneConfig {
        let socket = Socket { path: self.xds_socket.clone(), group: self.xds_group };
        PlaneConfig { socket, state: self.state.clone(), certificate_lifetime: self.certificate_lifetime }
    }
}

/// The value of an environment variable, if it has one.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Operator {
    pub(crate) fn secure(&self) -> Option<Secure> {
        let address = self.xds_address?;
        let namespace = environment("POD_NAMESPACE").unwrap_or_else(|| NAMESPACE.to_owned());
        let unnamed = || format!("{}-{}", environment("HOSTNAME").unwrap_or_default(), std::process::id());
        let replica = environment("POD_NAME").unwrap_or_else(unnamed);
        let replica_address = self.replica_address;
        let unspecified = replica_address.ip().is_unspecified();
        let unspoken = if unspecified { Ipv4Addr::LOCALHOST.into() } else { replica_address.ip() };
        let ip = environment("POD_IP").and_then(|ip| ip.parse().ok()).unwrap_or(unspoken);
        let (propagation, webhook) = (self.trust_propagation, self.webhook());
        Some(Secure { address, namespace, replica, replica_address, ip, propagation, webhook })
    }

    fn webhook(&self) -> Option<WebhookConfig> {
        let mut settings = Settings::default();
        for (image, asked) in
            [(&mut settings.proxy_image, &self.proxy_image), (&mut settings.redirect_image, &self.redirect_image)]
        {
            if let Some(asked) = asked {
                image.clone_from(asked);
            }
        }
        self.webhook_address.map(|address| WebhookConfig { address, settings })
    }

    pub(crate) fn plane(&self) -> PlaneConfig {
        self.plane.config()
    }
}

impl Run {
    pub(crate) fn plane(&self) -> PlaneConfig {
        self.plane.config()
    }
}

fn parse_gid(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "write the group's number, as `getent group <name>` tells it".to_owned())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("write a whole number and s, m or h, such as 20s".to_owned()),
    };
    let number: u64 = number.parse().map_err(|error| format!("{error}"))?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "too long".to_owned())
}

/// Shorter, and a slow machine could not renew in time; longer, and it would come near the life of the root.
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_secs(10)..=Duration::from_secs(8760 * 3600);
    parse_duration(text)
        .and_then(|time| if allowed.contains(&time) { Ok(time) } else { Err("write 10s to 8760h".to_owned()) })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(parse_duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["20", "s", "1d", "-1s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_certificate_lives_neither_too_short_nor_too_long_to_be_renewed() {
        assert_eq!(parse_lifetime("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_lifetime("8760h"), Ok(Duration::from_secs(8760 * 3600)));
        for wrong in ["9s", "0h", "8761h", "1"] {
            assert!(parse_lifetime(wrong).is_err(), "{wrong}");
        }
    }
}

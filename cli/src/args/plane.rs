//! What the control plane can be told: on a cluster (`smidge operator`) and without one (`smidge run`).

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Args as ClapArgs;
use smidge_injector::{CONTROL_PLANE as NAMESPACE, Settings};
use smidge_operator::{
    PlaneConfig, Socket,
    cluster::{Secure, WebhookConfig},
};

use super::parse_duration;

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

/// Shorter, and a slow machine could not renew in time; longer, and it would come near the life of the root.
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_secs(10)..=Duration::from_secs(8760 * 3600);
    parse_duration(text)
        .and_then(|time| if allowed.contains(&time) { Ok(time) } else { Err("write 10s to 8760h".to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_lives_neither_too_short_nor_too_long_to_be_renewed() {
        assert_eq!(parse_lifetime("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_lifetime("8760h"), Ok(Duration::from_secs(8760 * 3600)));
        for wrong in ["9s", "0h", "8761h", "1"] {
            assert!(parse_lifetime(wrong).is_err(), "{wrong}");
        }
    }
}

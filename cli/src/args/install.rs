//! The way onto a cluster and off it, and what is replaced while it runs.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use smidge_injector::CONTROL_PLANE as NAMESPACE;

use super::{Shape, parse_duration};

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

#[derive(Debug, Subcommand)]
pub(crate) enum Rotate {
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

#[derive(Debug, ClapArgs)]
pub(crate) struct Version {
    /// Say of the control plane too, on the cluster that kubectl would use
    #[arg(long)]
    pub(crate) cluster: bool,
    /// The control plane's namespace
    #[arg(short, long, value_name = "NAMESPACE", default_value = NAMESPACE)]
    pub(crate) namespace: String,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Shape,
}

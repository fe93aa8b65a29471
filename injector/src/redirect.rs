//! The redirect rules.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::{INBOUND_PORT, OUTBOUND_PORT, PROXY_UID};

/// What the redirect rules of one pod depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The user that Envoy runs as.
    pub proxy_uid: u32,
    /// Where outbound connections are taken to.
    pub outbound_port: u16,
    /// Where inbound connections are taken to.
    pub inbound_port: u16,
    /// The admin port, which nobody outside may reach.
    pub admin_port: u16,
    /// Ports of the pod that are reached without the proxy.
    pub exclude_inbound_ports: BTreeSet<u16>,
    /// Destination ports that are called without the proxy.
    pub exclude_outbound_ports: BTreeSet<u16>,
    /// Destinations that are called without the proxy.
    pub exclude_outbound_addresses: BTreeSet<IpNet>,
}

impl Default for Redirect {
    fn default() -> Self {
        Self {
            proxy_uid: PROXY_UID,
            outbound_port: OUTBOUND_PORT,
            inbound_port: INBOUND_PORT,
            admin_port: crate::ADMIN_PORT,
            exclude_inbound_ports: BTreeSet::new(),
            exclude_outbound_ports: BTreeSet::new(),
            exclude_outbound_addresses: BTreeSet::new(),
        }
    }
}

/// A script for `nft -f`: one transaction, and the same result when it is run again.
pub fn redirect_rules(_: &Redirect) -> String {
    String::new()
}

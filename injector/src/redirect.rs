//! The redirect rules: one nftables table for IPv4 and IPv6.
//!
//! ```text
//! app ──→ elsewhere                  → outbound port        app ──→ itself (lo)   untouched
//! elsewhere ──→ pod                  → inbound port         Envoy ──→ elsewhere   untouched
//! Envoy ──→ the pod's own address    → inbound port: a call to oneself, come out of the outbound side
//! Envoy ──→ the pod's own address, marked by DSCP: untouched, the inbound side calls the app
//! ```

use std::{collections::BTreeSet, fmt::Display};

use ipnet::IpNet;

use crate::{ADMIN_PORT, APP_DSCP, INBOUND_PORT, METRICS_PORT, OUTBOUND_PORT, PROXY_UID, READY_PORT};

/// What the redirect rules of one pod depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The user that Envoy runs as.
    pub proxy_uid: u32,
    /// Where outbound connections are taken to.
    pub outbound_port: u16,
    /// Where inbound connections are taken to.
    pub inbound_port: u16,
    /// The admin port, which only the pod itself may reach.
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
            admin_port: ADMIN_PORT,
            exclude_inbound_ports: BTreeSet::new(),
            exclude_outbound_ports: BTreeSet::new(),
            exclude_outbound_addresses: BTreeSet::new(),
        }
    }
}

/// Where Envoy listens, in whatever pod. A call to such a port of another pod must not be handed to the caller's own listener of
/// that port, which `use_original_dst` would do.
const OWN_PORTS: [u16; 4] = [OUTBOUND_PORT, INBOUND_PORT, METRICS_PORT, READY_PORT];

/// What `nft` takes as its one argument or as a script: one transaction, and the same result when it is run again. TCP only.
pub fn redirect_rules(of: &Redirect) -> String {
    let Redirect { proxy_uid, outbound_port, inbound_port, admin_port, .. } = of;
    let outbound = except("tcp dport", OWN_PORTS) + &outbound_exceptions(of);
    let inbound = except("tcp dport", &of.exclude_inbound_ports);
    format!(
        "\
table inet smidge
delete table inet smidge
table inet smidge {{
  chain output {{
    type nat hook output priority -100; policy accept;
    meta l4proto != tcp return
    meta skuid {proxy_uid} goto envoy
    oifname \"lo\" return
{outbound}    meta l4proto tcp redirect to :{outbound_port}
  }}
  chain envoy {{
    oifname != \"lo\" return
    ip daddr 127.0.0.0/8 return
    ip6 daddr ::1 return
    ip dscp {APP_DSCP} return
    ip6 dscp {APP_DSCP} return
    meta l4proto tcp redirect to :{inbound_port}
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    meta l4proto != tcp return
    iifname \"lo\" return
    fib daddr type != local return
{inbound}    meta l4proto tcp redirect to :{inbound_port}
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    tcp dport {{ {outbound_port}, {inbound_port} }} ct state new ct status & dnat != dnat reject with tcp reset
    iifname != \"lo\" tcp dport {admin_port} ct state new reject with tcp reset
  }}
}}
"
    )
}

fn outbound_exceptions(of: &Redirect) -> String {
    // nft refuses a set whose intervals overlap.
    let addresses = IpNet::aggregate(&of.exclude_outbound_addresses.iter().copied().collect());
    let (v4, v6): (Vec<IpNet>, Vec<_>) = addresses.into_iter().partition(|net| net.addr().is_ipv4());
    except("tcp dport", &of.exclude_outbound_ports) + &except("ip daddr", v4) + &except("ip6 daddr", v6)
}

/// A rule that leaves what is in the set alone; of an empty set, nothing.
fn except<T: Display>(what: &str, set: impl IntoIterator<Item = T>) -> String {
    let set: Vec<_> = set.into_iter().map(|item| item.to_string()).collect();
    if set.is_empty() { String::new() } else { format!("    {what} {{ {} }} return\n", set.join(", ")) }
}

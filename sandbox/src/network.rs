//! What `ip` and `nft` are told, as text: pure functions from a pod to the batches that make its network.

use std::{fmt::Write, net::IpAddr, path::Path};

/// Joins the pod's namespace, the file `net`, to the bridge.
pub(crate) fn join_bridge(veth: &str, net: &Path) -> String {
    let net = net.display();
    format!(
        "link add {veth} type veth peer name eth0 netns {net}\n\
         link set {veth} master br0\n\
         link set {veth} up\n"
    )
}

/// The pod's own side: its addresses, and one default route per family.
///
/// Every address is a neighbour on the bridge, so no gateway and no common prefix is needed; and a virtual address
/// that nobody has finds a route, which the redirect of locally made connections needs before it can happen.
pub(crate) fn addresses(ips: &[IpAddr]) -> String {
    let mut batch = String::from("link set lo up\nlink set eth0 up\n");
    for ip in ips {
        // Writing to a String cannot fail.
        let _ = match ip {
            IpAddr::V4(ip) => writeln!(batch, "addr add {ip}/32 dev eth0"),
            // Duplicate detection would keep the address unusable for a second.
            IpAddr::V6(ip) => writeln!(batch, "addr add {ip}/128 dev eth0 nodad"),
        };
    }
    let source = |v6: bool| ips.iter().find(|ip| ip.is_ipv6() == v6);
    if let Some(ip) = source(false) {
        let _ = writeln!(batch, "route add default dev eth0 src {ip}");
    }
    if let Some(ip) = source(true) {
        let _ = writeln!(batch, "route add ::/0 dev eth0 src {ip}");
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_with_both_families_gets_a_default_route_in_each() {
        let batch = addresses(&["10.1.0.2".parse().unwrap(), "fd01::2".parse().unwrap()]);
        assert_eq!(
            batch,
            "link set lo up\nlink set eth0 up\naddr add 10.1.0.2/32 dev eth0\naddr add fd01::2/128 dev eth0 nodad\n\
             route add default dev eth0 src 10.1.0.2\nroute add ::/0 dev eth0 src fd01::2\n"
        );
    }
}

//! The redirect rules, given to the real nft as one argument, in a network namespace of its own.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

use std::process::Command;

use smidge_injector::{Redirect, redirect_rules};

/// Applies the rules twice, and returns the rule set that is then in force.
fn apply(redirect: &Redirect) -> String {
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-ec", "nft \"$0\"; nft \"$0\"; nft list ruleset"])
        .arg(redirect_rules(redirect))
        .output()
        .expect("unshare is in util-linux, nft in nftables");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_rules_are_one_table_however_often_they_are_applied() {
    let ruleset = apply(&Redirect::default());
    assert_eq!(ruleset.matches("table ").count(), 1, "{ruleset}");
    assert_eq!(ruleset.matches("redirect to :15001").count(), 1, "{ruleset}");
    assert_eq!(ruleset.matches("redirect to :15006").count(), 2, "{ruleset}");
}

#[test]
fn exclusions_may_overlap_and_come_from_both_families() {
    let ruleset = apply(&Redirect {
        exclude_inbound_ports: [22, 9100].into(),
        exclude_outbound_ports: [53].into(),
        exclude_outbound_addresses: ["10.0.0.0/8", "10.1.0.0/16", "169.254.169.254/32", "fd00::/8", "fd00::1/128"]
            .map(|net| net.parse().unwrap())
            .into(),
        ..Redirect::default()
    });
    for rule in [
        "tcp dport { 15001, 15006, 15020, 15021 } return",
        "tcp dport { 22, 9100 } return",
        "tcp dport 53 return",
        "ip daddr { 10.0.0.0/8, 169.254.169.254 } return",
        "ip6 daddr fd00::/8 return",
    ] {
        assert!(ruleset.contains(rule), "no {rule} in {ruleset}");
    }
}

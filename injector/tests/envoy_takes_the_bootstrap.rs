//! The bootstrap, given to a stock Envoy.

use std::process::Command;

use smidge_injector::{ADMIN_PORT, Bootstrap, bootstrap};
use smidge_sandbox::Tool;

#[test]
fn envoy_takes_the_bootstrap_whatever_the_names() {
    for node in ["cart-0.shop", "\"}, {\"x\": \"${HOME}\\.shop"] {
        let text = bootstrap(&Bootstrap {
            node: node.to_owned(),
            cluster: "cart.shop".to_owned(),
            xds_socket: "/run/smidge/xds".into(),
            admin_port: ADMIN_PORT,
        });
        let envoy = Tool::Envoy.path().unwrap_or_else(|error| panic!("{error}"));
        let output = Command::new(envoy).args(["--mode", "validate", "--config-yaml", &text]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

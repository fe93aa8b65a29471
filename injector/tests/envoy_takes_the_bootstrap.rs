//! The bootstrap, given to a stock Envoy.

use std::{env, process::Command};

use smidge_injector::{ADMIN_PORT, Bootstrap, bootstrap};

#[test]
fn envoy_takes_the_bootstrap_whatever_the_names() {
    for node in ["cart-0.shop", "\"}, {\"x\": \"${HOME}\\.shop"] {
        let text = bootstrap(&Bootstrap {
            node: node.to_owned(),
            cluster: "cart.shop".to_owned(),
            xds_socket: "/run/smidge/xds".into(),
            admin_port: ADMIN_PORT,
        });
        let envoy = env::var_os("ENVOY").expect("set ENVOY to the path of a stock Envoy, as `make test` does");
        let output = Command::new(envoy).args(["--mode", "validate", "--config-yaml", &text]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

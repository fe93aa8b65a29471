//! The bootstraps, given to a stock Envoy.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

mod cases;

use std::process::Command;

use cases::{cases, proxy};
use smidge_injector::{ADMIN_PORT, Bootstrap, TRUST_BUNDLE, VOLUME_PATH, bootstrap, trust_files};
use smidge_sandbox::{Tool, expand};

fn check(arguments: &[String]) -> Result<(), String> {
    let envoy = Tool::Envoy.path().unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(envoy).args(["--mode", "validate"]).args(arguments).output().unwrap();
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn envoy_takes_the_bootstrap_whatever_the_names() {
    for node in ["cart-0.shop", "\"}, {\"x\": \"${HOME}\\.shop"] {
        let text = bootstrap(&Bootstrap {
            node: node.to_owned(),
            cluster: "cart.shop".to_owned(),
            xds_socket: "/run/smidge/xds".into(),
            admin_port: ADMIN_PORT,
        });
        check(&["--config-yaml".to_owned(), text]).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn envoy_takes_the_bootstrap_of_every_injected_pod_in_either_family() {
    let volume = tempfile::tempdir().unwrap();
    let path = volume.path().to_str().unwrap();
    std::fs::write(volume.path().join(TRUST_BUNDLE), "").unwrap();
    for (file, text) in trust_files() {
        std::fs::write(volume.path().join(file), text.replace(VOLUME_PATH, path)).unwrap();
    }
    let mut checked = 0;
    for case in cases() {
        let Some(pod) = case.injected() else { continue };
        let Some(proxy) = proxy(&pod) else { continue };
        for ip in ["10.1.0.2", "fd00::2"] {
            let variables = [("POD_IP", ip), ("POD_NAME", "cart-0"), ("POD_NAMESPACE", "shop")];
            let arguments = proxy["args"]
                .as_array()
                .unwrap()
                .iter()
                .map(|argument| expand(argument.as_str().unwrap(), &variables).replace(VOLUME_PATH, path));
            check(&arguments.collect::<Vec<_>>()).unwrap_or_else(|why| panic!("{} with {ip}: {why}", case.name()));
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} bootstraps");
}

//! The built binary: arguments and small folders in, what it says out.

#![allow(dead_code, clippy::unwrap_used)] // Test code outside of test functions; not every test needs all of it.

use std::{
    fs,
    process::{Command, Output},
};

use tempfile::TempDir;

pub(crate) const MESH: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {smidge.dev/inject: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{port: 80, appProtocol: http}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {containers: [{name: app}]}
status: {podIPs: [{ip: 10.1.0.1}]}
";

pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

pub(crate) fn smidge(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_smidge")).args(args).output().unwrap()
}

pub(crate) fn lint(files: &[(&str, &str)], more: &[&str]) -> (Option<i32>, String) {
    let folder = folder(files);
    let output = smidge(&[&["lint", "-f", folder.path().to_str().unwrap()], more].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text.replace(folder.path().to_str().unwrap(), ""))
}

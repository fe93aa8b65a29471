//! Finds the descriptors of Envoy's messages in the sources of the crate `envoy-types`, which publishes them but does
//! not export them, and puts them where the crate can include them.

use std::{env, error::Error, fs, path::Path, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    // Offline and of this platform alone: all of it is there, because it is being built.
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--offline", "--filter-platform", &env::var("TARGET")?])
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata: no packages")?;
    let package = packages.iter().find(|package| package["name"] == "envoy-types").ok_or("no package envoy-types")?;
    let manifest = package["manifest_path"].as_str().ok_or("envoy-types: no manifest_path")?;
    let descriptors = Path::new(manifest).with_file_name("src/generated/types.bin");
    fs::copy(descriptors, Path::new(&env::var("OUT_DIR")?).join("types.bin"))?;
    Ok(())
}

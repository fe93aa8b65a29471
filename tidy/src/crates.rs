//! The workspace's crates and what each is built from, as cargo resolves it for that crate alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::root;

/// A crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// `smidge-mesh`.
    pub name: String,
    /// Relative to the root of the checkout: `mesh`.
    pub folder: String,
}

/// The workspace.
#[derive(Debug)]
pub struct Graph {
    /// Its crates.
    pub packages: Vec<Package>,
}

impl Graph {
    /// Asks cargo.
    pub fn read() -> Result<Graph> {
        let json = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"])?;
        let metadata: Value = serde_json::from_str(&json)?;
        let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        Ok(Graph { packages: packages.iter().map(package).collect::<Result<_>>()? })
    }
}

impl Package {
    /// The names of all crates that end up in this one, without tests and build scripts. What only `behind` brings is left out.
    pub fn dependencies(&self, behind: &str) -> Result<BTreeSet<String>> {
        let name = &self.name;
        let tree = cargo(&[
            "tree",
            "-p",
            name,
            "-e",
            "normal,no-proc-macro",
            "--prefix",
            "depth",
            "--no-dedupe",
            "--offline",
        ])?;
        let mut found = BTreeSet::new();
        let mut hidden_below = usize::MAX;
        for line in tree.lines() {
            let (depth, name) = depth_and_name(line).with_context(|| format!("cargo tree says `{line}`"))?;
            if depth > hidden_below {
                continue;
            }
            hidden_below = if name == behind { depth } else { usize::MAX };
            found.insert(name.to_owned());
        }
        Ok(found)
    }
}

/// Of `2tokio v1.54.1 (…)`.
fn depth_and_name(line: &str) -> Option<(usize, &str)> {
    let digits = line.find(|c: char| !c.is_ascii_digit())?;
    let (depth, rest) = line.split_at(digits);
    Some((depth.parse().ok()?, rest.split(' ').next()?))
}

fn package(value: &Value) -> Result<Package> {
    let name = value["name"].as_str().context("a package without a name")?;
    let manifest = value["manifest_path"].as_str().context("a package without a manifest")?;
    let folder = Path::new(manifest).parent().context("a manifest without a folder")?;
    let folder = folder.strip_prefix(root().canonicalize()?).or_else(|_| folder.strip_prefix(root()))?;
    Ok(Package { name: name.to_owned(), folder: folder.display().to_string() })
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(arguments).current_dir(root()).output().context("cargo")?;
    ensure!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_digits() {
        assert_eq!(depth_and_name("12h2 v0.4.20"), Some((12, "h2")));
    }
}

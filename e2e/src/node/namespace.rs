//! A namespace of one test: its name is of that test and run alone, and it goes away when the test has passed.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    ops::Deref,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Result;

use super::Node;
use crate::Tool;

/// A namespace, usable as its name. It is deleted when dropped, so that its pods make room for the next test's; where the
/// test panics it stays, to be looked at. All of them bear the label `smidge.dev/e2e`.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    kubeconfig: PathBuf,
}

impl Node {
    /// Creates the namespace `<name>-<random>` with labels (`smidge.dev/inject=enabled`).
    pub async fn namespace(&self, name: &str, labels: &[&str]) -> Result<Namespace> {
        let random = RandomState::new().build_hasher().finish() as u32;
        let name = format!("{name}-{random:08x}");
        self.api.create_namespace(&name, &[labels, &["smidge.dev/e2e=true"]].concat()).await?;
        Ok(Namespace { name, kubeconfig: self.api.kubeconfig().to_owned() })
    }
}

impl Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let Ok(kubectl) = Tool::Kubectl.path() else { return };
        if std::thread::panicking() {
            return;
        }
        let mut delete = Command::new(kubectl);
        delete.arg("--kubeconfig").arg(&self.kubeconfig).args(["delete", "namespace", "--wait=false", &self.name]);
        // A namespace that stays harms nobody: its name is of this run alone.
        let _ = delete.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

//! Smidge on the cluster, as a user installs it: by `smidge install`.

use std::{env, path::PathBuf};

use anyhow::{Context, Result, ensure};
use tokio::{process::Command, sync::OnceCell};

use super::Node;
use crate::world::beside_this_test;

impl Node {
    /// [`Node::shared`], with Smidge installed in `smidge-system` by whoever asks first.
    pub async fn meshed() -> Result<&'static Node> {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let node = Self::shared().await?;
        INSTALLED.get_or_try_init(|| node.install()).await?;
        Ok(node)
    }

    /// `smidge install`: comes back when the control plane is available.
    pub async fn install(&self) -> Result<()> {
        if self.is_own() {
            // Its images have the names that users' manifests give them.
            return self.smidge(&["install"]).await.map(drop);
        }
        let [own, proxy, redirect] = ["smidge", "envoy", "smidge-redirect"].map(Self::image);
        let images = ["--image", &own, "--proxy-image", &proxy, "--redirect-image", &redirect];
        self.smidge(&[&["install"], &images[..]].concat()).await.map(drop)
    }

    /// Runs the command line `smidge` on this cluster; the answer is its standard output, the error all that it said.
    pub async fn smidge(&self, arguments: &[&str]) -> Result<String> {
        let own = env::var_os("SMIDGE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let mut command = Command::new(own.map_or_else(|| beside_this_test("smidge"), Ok)?);
        command.args(arguments).env("KUBECONFIG", self.api.kubeconfig());
        let output = command.kill_on_drop(true).output().await.context("cannot run smidge")?;
        let [said, complained] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        ensure!(output.status.success(), "smidge {arguments:?}: {said}{complained}");
        Ok(said)
    }
}

//! A cluster to try things on: the tests' node, kept until Ctrl-C. Prints what another shell needs to use it.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::{Context, Result};
use smidge_e2e::{Node, Tool, world::beside_this_test};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<()> {
    let (mut interrupted, mut ended) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    println!("starting a node; its images hold what this checkout has built …");
    let node = Node::start().await?;
    let kubeconfig = node.api.kubeconfig();
    let commands = kubeconfig.with_file_name("commands");
    link(&commands).context("cannot link kubectl and smidge")?;
    println!("ready, until Ctrl-C. In another shell:\n");
    println!("    export KUBECONFIG={} PATH={}:$PATH\n", kubeconfig.display(), commands.display());
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = ended.recv() => {}
    }
    println!("ending it");
    Ok(())
}

/// A folder with `kubectl` and `smidge`; it goes with the node.
fn link(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    symlink(Tool::Kubectl.path()?, folder.join("kubectl"))?;
    symlink(beside_this_test("smidge")?, folder.join("smidge"))?;
    Ok(())
}

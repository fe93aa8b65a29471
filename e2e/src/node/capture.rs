//! What goes over the wire between pods: tcpdump on the bridge that all pods of the node are plugged into.

use std::time::Duration;

use anyhow::Result;
use smidge_sandbox::{Command, Process, ROOT_UID};

use super::Node;
use crate::{eventually, holds};

/// A running tcpdump.
#[derive(Debug)]
pub struct Capture(Process);

impl Capture {
    /// Begins to capture packets that a filter of pcap picks (`tcp and host 10.244.0.7`); returns when none is missed any more.
    pub async fn start(node: &Node, filter: &str) -> Result<Self> {
        let tcpdump = Command::new("tcpdump").uid(ROOT_UID).args(["-i", "cni0", "-n", "-A", "-l", "--immediate-mode"]);
        let process = node.spawn(&tcpdump.arg(filter))?;
        eventually("listening tcpdump", Duration::from_secs(30), async || {
            holds(process.log().contains("listening on"), || process.log())
        })
        .await?;
        Ok(Self(process))
    }

    /// What was captured until now: a line for each packet, and its bytes as text, a dot for each that is none.
    pub fn text(&self) -> String {
        self.0.log()
    }

    /// Ends it; the answer is all that it has captured.
    pub async fn finish(mut self) -> Result<String> {
        self.0.terminate().await?;
        Ok(self.0.log())
    }
}

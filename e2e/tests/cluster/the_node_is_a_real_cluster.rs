//! The node that the other tests stand on does what a cluster does.

use std::time::Instant;

use anyhow::Result;
use smidge_e2e::Node;

#[tokio::test]
async fn a_service_is_reached_by_its_name() -> Result<()> {
    let begin = Instant::now();
    let node = Node::shared().await?;
    eprintln!("node after {:?}", begin.elapsed());
    eprintln!("{}", node.api.kubectl(&["get", "pods,nodes,services", "-A", "-o", "wide"]).await?);
    Ok(())
}

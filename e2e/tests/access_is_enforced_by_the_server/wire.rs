//! What can be read between two pods.

use anyhow::{Result, ensure};
use serde_json::json;
use smidge_e2e::{eventually, holds, world::SOON};
use smidge_sandbox::{Command, ROOT_UID};

use crate::shop::Shop;

#[tokio::test]
async fn nothing_that_meshed_pods_say_can_be_read_on_the_wire() -> Result<()> {
    let shop = Shop::open("wire").await?;
    shop.routes("all", json!([{"name": "all"}])).await?;
    shop.target("all", &["buyer"], &[("HTTPRouteGroup", "all")]).await?;
    let listen = ["-i", "eth0", "-l", "-A", "-s", "0"];
    let capture = shop.store.pod.spawn(&Command::new("tcpdump").args(listen).uid(ROOT_UID))?;
    eventually("capture", SOON, async || holds(capture.log().contains("listening on"), || capture.log())).await?;

    let answer =
        shop.expect(&shop.buyer, 80, &["/?secret-of-the-path", "-H", "x-note: secret-of-a-header"], 200).await?;
    let body = answer["body"].as_str().unwrap_or_default();
    ensure!(body.contains("secret-of-the-path") && body.contains("secret-of-a-header"), "not echoed: {body}");

    // The same from a pod without a sidecar is refused, and readable: this capture sees what there is to be seen.
    let open = shop.stranger.call(shop.store_ip(), 8080, &["/?openly-said"]).await?;
    ensure!(open["status"] == 0, "a caller without an identity got {open}");
    eventually("plaintext", SOON, async || holds(capture.log().contains("openly-said"), || capture.log())).await?;
    ensure!(!capture.log().contains("secret-of"), "{}", capture.log());
    Ok(())
}

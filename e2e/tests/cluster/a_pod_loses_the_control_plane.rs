//! The network takes one pod's xDS stream away, without a word to either end: the pod goes on by what it knows, everybody else hears
//! of changes at once, statuses say that one is missing, and what it has missed comes to it afterwards.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use smidge_e2e::{eventually, holds};
use smidge_sandbox::{Command, ROOT_UID};

use crate::{
    shares::{STORE, split},
    shop::{SOON, Shop},
};

/// Looks for the network namespace that has the address `$0`, and gives nft the rules `$1` in it.
const IN_NETWORK: &str = r#"
for network in /run/netns/*; do
  if nsenter --net="$network" ip -oneline address | grep -qF " $0/"; then exec nsenter --net="$network" nft "$1"; fi
done
echo "no pod has the address $0" >&2
exit 1
"#;
/// Whatever goes to the control plane, or comes from it.
const CUT: &str = "add table inet cut; \
    add chain inet cut out { type filter hook output priority 0; }; add rule inet cut out tcp dport 15010 drop; \
    add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in tcp sport 15010 drop";
const MENDED: &str = "delete table inet cut";

/// Gives these rules to the network of the pod of an app.
async fn rule(shop: &Shop, app: &str, rules: &str) -> Result<()> {
    let select = ["-l", &format!("app={app}"), "-ojsonpath={.items[0].status.podIP}"];
    let ip = shop.node.api.kubectl(&[&["get", "pods", "-n", &shop.namespace], &select[..]].concat()).await?;
    let done = shop.node.run(&Command::new("sh").uid(ROOT_UID).args(["-ec", IN_NETWORK, &ip, rules])).await?;
    ensure!(done.status.success(), "{done:?}");
    Ok(())
}

/// The version that answers a client.
async fn version(shop: &Shop, from: &str) -> Result<String> {
    let answer = shop.run(from, &["call", "store:80"]).await?;
    ensure!(answer["status"] == 200, "{from}: {answer}");
    Ok(answer["server"].as_str().unwrap_or_default().chars().take("store-v1".len()).collect())
}

async fn is_served_by(shop: &Shop, from: &str, expected: &str, within: Duration) -> Result<()> {
    eventually(&format!("{expected} for {from}"), within, async || {
        let seen = version(shop, from).await?;
        holds(seen == expected, || seen)
    })
    .await
}

#[tokio::test]
async fn it_goes_on_by_what_it_knows_and_hears_the_news_afterwards() -> Result<()> {
    let shop = Shop::open("cut").await?;
    if !shop.node.is_own() {
        return Ok(());
    }
    shop.apply(STORE).await?;
    shop.apply(&split([1, 0])).await?;
    shop.deploy(&["store-v1", "store-v2", "near", "far"]).await?;
    for from in ["near", "far"] {
        shop.allow(from, "store-v1").await?;
        shop.allow(from, "store-v2").await?;
        shop.answered(from, &["store:80"], 200).await?;
    }
    shop.node.api.wait(&shop.namespace, "trafficsplit/store", "condition=Programmed").await?;

    rule(&shop, "far", CUT).await?;
    shop.apply(&split([0, 1])).await?;
    is_served_by(&shop, "near", "store-v2", SOON).await?;
    eventually("a status that counts one proxy too few", SOON, async || {
        let status: Value = serde_json::from_str(&shop.field("trafficsplit/store", "{.status}").await?)?;
        let [total, acknowledged] = ["total", "acknowledged"].map(|count| status["proxies"][count].as_u64());
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let is_not = conditions.into_iter().any(|of| of["type"] == "Programmed" && of["status"] == "False");
        holds(is_not && total > Some(1) && acknowledged.map(|count| count + 1) == total, || status.to_string())
    })
    .await?;
    for _ in 0..20 {
        let seen = version(&shop, "far").await?;
        ensure!(seen == "store-v1", "{seen}, of which it cannot know");
    }
    rule(&shop, "far", MENDED).await?;
    // What is lost is sent again after twice the time that it was away, at the latest.
    is_served_by(&shop, "far", "store-v2", SOON * 3).await?;
    shop.node.api.wait(&shop.namespace, "trafficsplit/store", "condition=Programmed").await
}

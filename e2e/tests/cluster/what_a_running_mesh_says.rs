//! `smidge status`, `smidge proxy` and `smidge diff` on pods that were injected: what people see of a mesh that runs.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smidge_e2e::{eventually, holds};

use crate::shop::{SOON, Shop};

/// What a command prints as JSON, whatever its exit code.
async fn json(shop: &Shop, arguments: &[&str]) -> Result<Value> {
    let said = shop.node.smidge(&[arguments, &["-o", "json"]].concat()).await?;
    serde_json::from_str(&said).with_context(|| said)
}

fn is_row(text: &str, begin: &str, cells: &[&str]) -> Result<()> {
    let fits = |line: &str| line.starts_with(begin) && cells.iter().all(|cell| line.contains(cell));
    ensure!(text.lines().any(fits), "no line {begin} … {cells:?} in\n{text}");
    Ok(())
}

#[tokio::test]
async fn each_proxy_says_what_it_has_and_it_is_what_it_should_have() -> Result<()> {
    let shop = Shop::open("told").await?;
    shop.deploy(&["web", "client"]).await?;
    shop.allow("client", "web").await?;
    shop.answered("client", &["web:80"], 200).await?;
    let web = shop.field("pods", "{.items[?(@.metadata.labels.app==\"web\")].metadata.name}").await?;
    the_control_plane_says_how_its_proxies_are(&shop, &web).await?;
    an_envoy_is_read(&shop, &web).await?;
    let diff = ["diff", "-n", &shop.namespace, &web];
    let said = eventually("a proxy in step", SOON, async || shop.node.smidge(&diff).await).await?;
    ensure!(said.contains("is in step"), "{said}");
    a_report_has_the_logs_and_no_token(&shop, &web).await
}

async fn a_report_has_the_logs_and_no_token(shop: &Shop, web: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.tar");
    let path = file.to_str().context("the folder's path is not UTF-8")?;
    shop.node.smidge(&["bug-report", "-o", path]).await?;
    let bytes = std::fs::read(&file)?;
    let report = String::from_utf8_lossy(&bytes);
    for part in ["/logs/smidge-operator-", "serving proxies by TLS", "/status.txt", web, "✓ namespace"] {
        ensure!(report.contains(part), "no {part} in the report");
    }
    for secret in ["-----BEGIN", "LS0tLS1CRUdJTi", "eyJhbGci"] {
        ensure!(!report.contains(secret), "{secret} is in the report");
    }
    Ok(())
}

async fn the_control_plane_says_how_its_proxies_are(shop: &Shop, web: &str) -> Result<()> {
    let namespace: &str = &shop.namespace;
    let synced = async || {
        let said = shop.node.smidge(&["status", "-n", namespace]).await?;
        is_row(&said, &format!("{namespace}/{web} "), &["synced", "1.40.0", "smidge-operator-"])?;
        is_row(&said, "smidge-operator-", &["0.1.0", "yes", "leader"])
    };
    eventually("proxies in step", SOON, synced).await?;
    let all = json(shop, &["status", "-n", namespace]).await?;
    let proxies = all["proxies"].as_array().context("no proxies")?;
    holds(proxies.len() == 2 && proxies.iter().all(|proxy| proxy["state"] == "synced"), || all.to_string())
}

/// Each table names what is there; the JSON is Envoy's own.
async fn an_envoy_is_read(shop: &Shop, web: &str) -> Result<()> {
    let namespace: &str = &shop.namespace;
    let proxy = async |what: &str| shop.node.smidge(&["proxy", what, "-n", namespace, web]).await;
    let service = format!("{namespace}/web/80");
    is_row(&proxy("config").await?, "Listener ", &["0"])?;
    is_row(&proxy("clusters").await?, &format!("{service}/http "), &["EDS", "2 of 2", "active"])?;
    is_row(&proxy("routes").await?, &format!("{service} "), &["any path", &format!("{service}/http"), "active"])?;
    is_row(&proxy("listeners").await?, "outbound/", &[&format!("route {service}"), "active"])?;
    is_row(&proxy("listeners").await?, "inbound ", &["[::]:15006", "route inbound/8080"])?;
    is_row(&proxy("endpoints").await?, &format!("{service}/http "), &[":8080", "healthy"])?;
    let secrets = proxy("secrets").await?;
    let own = format!("spiffe://cluster.local/ns/{namespace}/sa/web");
    is_row(&secrets, "workload ", &["certificate", &own, "h)", "active"])?;
    is_row(&secrets, &format!("peers/{namespace}/web "), &["roots", &own, "d)"])?;
    let ours = json(shop, &["proxy", "config", "-n", namespace, web]).await?.to_string();
    let curl = ["curl", "-sf", "http://127.0.0.1:15000/config_dump"];
    let envoys = shop.node.api.exec(namespace, "deployment/web", "app", &curl).await?;
    // Envoy itself keeps keys to itself; ours is the second to see to it. PEM may be in base64.
    for dump in [ours, envoys] {
        ensure!(dump.contains("private_key"), "no secret at all was dumped");
        ensure!(
            !dump.contains("PRIVATE KEY") && !dump.contains("LS0tLS1CRUdJTiBQUklWQVRF"),
            "a private key is in a dump"
        );
    }
    let log = shop.node.smidge(&["proxy", "logs", "-n", namespace, web, "--tail", "1"]).await?;
    ensure!(log.lines().count() == 1, "{log}");
    let none =
        shop.node.smidge(&["proxy", "config", "-n", namespace, "none"]).await.err().context("there is no such pod")?;
    ensure!(none.to_string().contains("there is no pod none in namespace"), "{none}");
    Ok(())
}

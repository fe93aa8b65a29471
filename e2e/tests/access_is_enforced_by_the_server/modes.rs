//! The modes deny, audit and allow, of the mesh and of a namespace. Each is a change that no Envoy is restarted for.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{eventually, holds, world::SOON};

use crate::{foretold::verdict_is, shop::Shop};

/// The counters of what enforcement would have refused.
const SHADOW_DENIED: &str = "rbac.shadow_denied$";
/// The golden metric of the same, of HTTP requests.
const REFUSALS: &str = "audit_refusals_total.*8080";
/// The connections that HTTP requests came to the store over.
const CONNECTIONS: &str = "^http.inbound.downstream_cx_total$";

#[tokio::test]
async fn a_mode_lets_in_or_not_and_an_audit_tells_whom() -> Result<()> {
    let shop = Shop::open("modes").await?;
    shop.routes("all", json!([{"name": "all"}])).await?;
    shop.ports("every", &[]).await?;
    shop.target("http", &["buyer"], &[("HTTPRouteGroup", "all")]).await?;
    only_the_permitted_get_in(&shop).await?;

    an_audit_sees_every_request_of_open_connections(&shop).await?;
    everybody_gets_in(&shop).await?;
    verdict_is(&shop, &shop.thief, (8080, Some("/")), "audited")?;
    verdict_is(&shop, &shop.stranger, (9100, None), "audited")?;
    an_audit_counts_and_logs_what_would_be_refused(&shop).await?;

    shop.configure(json!({"mode": "allow"})).await?;
    allowing_finds_nothing(&shop).await?;

    label(&shop, "smidge.dev/mode=deny").await?;
    eventually("enforcement", SOON, async || only_the_permitted_get_in(&shop).await).await?;

    shop.configure(json!({"mode": "deny", "accessLog": true})).await?;
    an_access_log_tells_of_every_call(&shop).await?;

    label(&shop, "smidge.dev/mode=audit").await?;
    everybody_gets_in(&shop).await
}

async fn label(shop: &Shop, label: &str) -> Result<()> {
    shop.world.api.kubectl(&["label", "--overwrite", "namespace", &shop.world.namespace, label]).await.map(drop)
}

async fn only_the_permitted_get_in(shop: &Shop) -> Result<()> {
    shop.expect(&shop.buyer, 80, &[], 200).await?;
    shop.expect(&shop.thief, 80, &[], 403).await?;
    shop.expect_nothing(&shop.buyer, (shop.service, 91), "").await?;
    shop.expect_nothing(&shop.stranger, (shop.store_ip(), 8080), "GET / HTTP/1.1\r\nhost: store\r\n\r\n").await?;
    shop.expect_nothing(&shop.stranger, (shop.store_ip(), 9100), "").await
}

/// With an identity and without, in HTTP and where the server speaks first.
async fn everybody_gets_in(shop: &Shop) -> Result<()> {
    eventually("answer to everybody", SOON, async || {
        shop.expect(&shop.thief, 80, &[], 200).await?;
        let answer = shop.stranger.call(shop.store_ip(), 8080, &[]).await?;
        ensure!(answer["status"] == 200, "without a sidecar: {answer}");
        for (caller, to) in [(&shop.thief, (shop.service, 91)), (&shop.stranger, (shop.store_ip(), 9100))] {
            let greeted = shop.tcp(caller, to, "").await?;
            ensure!(greeted["received"] == "220 store ready\r\n", "{} got {greeted}", caller.name);
        }
        Ok(())
    })
    .await
}

/// Connections between sidecars are kept, and those that were there before an audit are seen from its first request on.
async fn an_audit_sees_every_request_of_open_connections(shop: &Shop) -> Result<()> {
    let (connections, before) = (shop.counted(CONNECTIONS).await?, shop.counted(REFUSALS).await?);
    shop.configure(json!({"mode": "audit"})).await?;
    // Refused until the switch, so that the first one to be let in is the first one after it.
    let first = async || shop.expect(&shop.thief, 80, &["/first"], 200).await.map(drop);
    eventually("audit after deny", SOON, first).await?;
    shop.expect(&shop.buyer, 80, &["/permitted"], 200).await?;
    is_told(shop, "/first", before + 1).await?;

    shop.configure(json!({"mode": "allow"})).await?;
    is_audited(shop, false).await?;
    shop.expect(&shop.thief, 80, &["/allowed"], 200).await?;
    shop.configure(json!({"mode": "audit"})).await?;
    is_audited(shop, true).await?;
    shop.expect(&shop.thief, 80, &["/second"], 200).await?;
    is_told(shop, "/second", before + 2).await?;
    let after = shop.counted(CONNECTIONS).await?;
    ensure!(after == connections, "{connections} connections to the store became {after}");
    Ok(())
}

/// Waits until a request is counted and logged that an audit has found, as the `counted`th.
async fn is_told(shop: &Shop, path: &str, counted: u64) -> Result<()> {
    eventually("finding of the audit", SOON, async || {
        let found = shop.counted(REFUSALS).await?;
        let log = shop.access_log()?;
        let is_logged = log.iter().any(|line| line["path"] == path && line["audit_http"] == "denied");
        holds(found == counted && is_logged, || format!("{path}: {found} counted instead of {counted}, {log:?}"))
    })
    .await
}

/// Waits until the store's Envoy has or has not the routes of an audit.
async fn is_audited(shop: &Shop, wanted: bool) -> Result<()> {
    eventually("routes of another mode", SOON, async || {
        let routes = shop.store.pod.admin("GET", "/config_dump?resource=dynamic_route_configs").await?;
        holds(routes.contains("shadow_rules") == wanted, || routes.clone())
    })
    .await
}

fn audited(log: &[Value], field: &str) -> usize {
    log.iter().filter(|line| line[field] == "denied").count()
}

async fn an_audit_counts_and_logs_what_would_be_refused(shop: &Shop) -> Result<()> {
    let before = shop.counted(SHADOW_DENIED).await?;
    shop.expect(&shop.thief, 80, &["/audited"], 200).await?;
    shop.tcp(&shop.thief, (shop.service, 90), "hello").await?;
    let after = shop.counted(SHADOW_DENIED).await?;
    ensure!(after >= before + 2, "{before} counted before a request and a connection, {after} after them");

    // What is permitted is neither counted nor logged.
    shop.expect(&shop.buyer, 80, &["/permitted"], 200).await?;
    ensure!(shop.counted(SHADOW_DENIED).await? == after, "a permitted request was counted");
    eventually("line in the access log", SOON, async || {
        let log = shop.access_log()?;
        let told = log.iter().any(|line| line["path"] == "/audited" && line["audit_http"] == "denied");
        holds(told && audited(&log, "audit_tcp") > 0, || format!("{log:?}"))
    })
    .await?;
    // Nor does a caller without an identity get by unseen.
    let before = shop.counted(SHADOW_DENIED).await?;
    ensure!(shop.call_from_outside(&shop.stranger, "/unknown").await?["status"] == 200);
    ensure!(shop.counted(SHADOW_DENIED).await? > before, "a plaintext request was not counted");
    let address = format!("{}:", shop.stranger.pod.ips()[0]);
    let is_strangers = |line: &Value| {
        line["path"] == "/unknown"
            && line["audit_http"] == "denied"
            && line["source_address"].as_str().is_some_and(|from| from.starts_with(&address))
    };
    eventually("line in the access log", SOON, async || {
        let log = shop.access_log()?;
        holds(log.iter().any(is_strangers), || format!("{log:?}"))
    })
    .await?;
    let log = shop.access_log()?;
    let line = log.iter().find(|line| line["path"] == "/audited").cloned().unwrap_or_default();
    ensure!(line["source_identity"] == "spiffe://cluster.local/ns/modes/sa/thief", "{line}");
    ensure!(!log.iter().any(|line| line["path"] == "/permitted"), "a permitted request was logged: {log:?}");
    Ok(())
}

async fn allowing_finds_nothing(shop: &Shop) -> Result<()> {
    eventually("end of the audit", SOON, async || {
        let before = shop.counted(SHADOW_DENIED).await?;
        shop.expect(&shop.thief, 80, &[], 200).await?;
        let after = shop.counted(SHADOW_DENIED).await?;
        holds(before == after, || format!("still counted: {before}, then {after}"))
    })
    .await?;
    everybody_gets_in(shop).await
}

async fn an_access_log_tells_of_every_call(shop: &Shop) -> Result<()> {
    eventually("line in the access log", SOON, async || {
        shop.expect(&shop.buyer, 80, &["/logged"], 200).await?;
        shop.expect(&shop.thief, 80, &["/refused"], 403).await?;
        let log = shop.access_log()?;
        let line =
            |path: &str, status: u16| log.iter().any(|line| line["path"] == path && line["response_code"] == status);
        holds(line("/logged", 200) && line("/refused", 403), || format!("{log:?}"))
    })
    .await
}
